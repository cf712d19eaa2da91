package provenance

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"countersign.dev/strict"
)

// Pins is a consumer's decision: for these namespaces, only this registry's word counts.
type Pins struct {
	Default Mode // for coordinates that no pin covers
	Pins    []Pin
}

// Pin binds a namespace to one registry identity.
type Pin struct {
	Namespace  Namespace
	Registry   string
	Identity   string   // fingerprint: SHA-256 of version 1's payload, "sha256:…"
	Latest     *Latest  // a version that the chain must contain, nil for none
	Publishers []string // key fingerprints; empty: any enrolled publisher
	Require    Basis
	Mode       Mode
	// StatusMaxAge is how old the registry's status may be; 0: none is required, one at hand is used.
	StatusMaxAge time.Duration
}

// Latest stops the rollback of an identity for consumers that keep no state.
type Latest struct {
	Version uint64 `toml:"version"`
	SHA256  string `toml:"sha256"` // hex digest of that version's payload
}

// Mode says what a refusal leads to. Verify itself always refuses; whoever calls it acts by the mode.
type Mode string

const (
	Reject  Mode = "reject"  // default only: refuse what no pin covers
	Ignore  Mode = "ignore"  // default only: what no pin covers is not our business
	Report  Mode = "report"  // say it, go on
	Enforce Mode = "enforce" // refuse
)

// Basis is whose signature a proof stands on.
type Basis string

const (
	ByPublisher Basis = "publisher" // the publisher signed and the registry countersigned
	ByRegistry  Basis = "registry"  // the registry's word alone
)

type pinsWire struct {
	Version int     `toml:"version"`
	Default *string `toml:"default"`
	Pin     []struct {
		Namespace  string   `toml:"namespace"`
		Registry   string   `toml:"registry"`
		Identity   string   `toml:"identity"`
		Latest     *Latest  `toml:"latest"`
		Publishers []string `toml:"publishers"`
		Require    *string  `toml:"require"`
		Mode       *string  `toml:"mode"`
		MaxAge     *string  `toml:"status_max_age"`
	} `toml:"pin"`
}

// ParsePins reads a pins file. What it leaves out means the stricter choice: default "reject", mode "enforce", require
// "publisher".
func ParsePins(data []byte) (*Pins, error) {
	var w pinsWire
	if err := strict.TOML(data, &w); err != nil {
		return nil, fmt.Errorf("pins: %w", err)
	}
	if w.Version != 1 {
		return nil, errors.New("pins: write version = 1")
	}
	p := &Pins{Default: either(w.Default, Reject)}
	if p.Default != Reject && p.Default != Report && p.Default != Ignore {
		return nil, fmt.Errorf(`pins: default is %q: write "reject", "report" or "ignore"`, p.Default)
	}
	seen := make(map[string]bool)
	for i, e := range w.Pin {
		pin := Pin{Registry: e.Registry, Identity: e.Identity, Latest: e.Latest, Publishers: e.Publishers,
			Require: either(e.Require, ByPublisher), Mode: either(e.Mode, Enforce)}
		var err error
		if pin.Namespace, err = ParsePinNamespace(e.Namespace); err == nil {
			err = pin.check()
		}
		if e.MaxAge != nil && err == nil {
			pin.StatusMaxAge, err = parseAge(*e.MaxAge)
		}
		if err != nil {
			return nil, fmt.Errorf("pins: pin %d: %w", i+1, err)
		}
		if seen[pin.Namespace.String()] {
			return nil, fmt.Errorf("pins: namespace %s is pinned twice", pin.Namespace)
		}
		seen[pin.Namespace.String()] = true
		p.Pins = append(p.Pins, pin)
	}
	return p, nil
}

// either is what is written, be it empty, or otherwise what leaving it out means.
func either[T ~string](written *string, otherwise T) T {
	if written == nil {
		return otherwise
	}
	return T(*written)
}

var ageForm = regexp.MustCompile(`^[1-9][0-9]{0,4}[smh]$`)

// parseAge reads one whole number of seconds, minutes or hours: 72h.
func parseAge(s string) (time.Duration, error) {
	if !ageForm.MatchString(s) {
		return 0, fmt.Errorf(`status_max_age is %.40q: write a number from 1 to 99999 and s, m or h, like "72h"`, s)
	}
	return time.ParseDuration(s)
}

func (p *Pin) check() error {
	if err := CheckRegistry(p.Registry); err != nil {
		return err
	}
	if err := checkDigest("identity", p.Identity); err != nil {
		return err
	}
	if l := p.Latest; l != nil && (l.Version < 1 || !lowerHex(l.SHA256, 64)) {
		return errors.New("latest needs a version and sha256, 64 lower-case hex digits")
	}
	for _, id := range p.Publishers {
		if err := checkDigest("publishers", id); err != nil {
			return err
		}
	}
	if p.Publishers != nil && len(p.Publishers) == 0 {
		return errors.New("publishers is empty: leave it out to accept every enrolled publisher")
	}
	if p.Require != ByPublisher && p.Require != ByRegistry {
		return fmt.Errorf(`require is %q: write "publisher" or "registry"`, p.Require)
	}
	if p.Mode != Enforce && p.Mode != Report {
		return fmt.Errorf(`mode is %q: write "enforce" or "report"`, p.Mode)
	}
	if len(p.Publishers) > 0 && p.Require == ByRegistry {
		return errors.New(`publishers has no meaning with require = "registry"`)
	}
	return nil
}

// For finds the pin whose namespace covers c most precisely, or nil.
func (p *Pins) For(c Coordinate) *Pin {
	patterns := make([]Namespace, len(p.Pins))
	for i := range p.Pins {
		patterns[i] = p.Pins[i].Namespace
	}
	i, ok := Longest(patterns, c)
	if !ok {
		return nil
	}
	return &p.Pins[i]
}
