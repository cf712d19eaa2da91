package signer

import (
	"fmt"
	"slices"

	"countersign.dev/provenance"
)

// Role is what a caller may ask for.
type Role string

const (
	Publish  Role = "publish"  // countersignatures of publications
	Enrol    Role = "enrol"    // enrolments and their ends
	Backfill Role = "backfill" // registry statements
	Withdraw Role = "withdraw" // withdrawals
)

// Caller is a registry's back end, known by the key of its TLS certificate.
type Caller struct {
	Name   string
	Keys   []string // SHA-256 of the certificate's SubjectPublicKeyInfo, "sha256:…"
	Grants []Grant
}

// Grant binds a caller to a registry, to roles there, and to namespaces.
type Grant struct {
	Registry   string
	Roles      []Role
	Namespaces []provenance.Namespace // none: all of the registry's
}

// may refuses what the caller was not granted.
func (c *Caller) may(registry string, role Role, about provenance.Coordinate) *Problem {
	if problem := c.has(registry, role); problem != nil {
		return problem
	}
	for _, g := range c.Grants {
		if g.Registry == registry && slices.Contains(g.Roles, role) && g.covers(about) {
			return nil
		}
	}
	return newProblem(CallerNotAuthorized, fmt.Sprintf("%s has no grant for %s at %s", c.Name, about, registry))
}

// has refuses a caller with none of the roles at the registry, whatever it is about.
func (c *Caller) has(registry string, roles ...Role) *Problem {
	for _, g := range c.Grants {
		if g.Registry == registry && slices.ContainsFunc(g.Roles, func(r Role) bool { return slices.Contains(roles, r) }) {
			return nil
		}
	}
	return newProblem(CallerNotAuthorized, fmt.Sprintf("%s has none of the roles %s at %s", c.Name, roles, registry))
}

// mayRead refuses a caller whose grants at the registry, whatever their roles, do not cover the coordinate.
func (c *Caller) mayRead(registry string, about provenance.Coordinate) *Problem {
	for _, g := range c.Grants {
		if g.Registry == registry && len(g.Roles) > 0 && g.covers(about) {
			return nil
		}
	}
	return newProblem(CallerNotAuthorized, fmt.Sprintf("%s has no grant for %s at %s", c.Name, about, registry))
}

func (g *Grant) covers(about provenance.Coordinate) bool {
	if len(g.Namespaces) == 0 {
		return true
	}
	_, ok := provenance.Longest(g.Namespaces, about)
	return ok
}

// mayEnrol refuses certificates, and ends of certificates, for namespaces that the caller was not granted.
func (c *Caller) mayEnrol(registry string, namespaces []provenance.Namespace) *Problem {
	for _, ns := range namespaces {
		if !slices.ContainsFunc(c.Grants, func(g Grant) bool {
			return g.Registry == registry && slices.Contains(g.Roles, Enrol) && (len(g.Namespaces) == 0 || within(ns, g.Namespaces))
		}) {
			return newProblem(CallerNotAuthorized, fmt.Sprintf("%s has no grant to enrol publishers for %s at %s", c.Name, ns, registry))
		}
	}
	return nil
}
