package signer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"

	"countersign.dev/provenance"
)

// publicSite is the public listener: whatever consumers, mirrors and monitors read. It shows the whole log, so a registry
// of private packages does without it, or keeps it to its own network.
type publicSite struct {
	services map[string]*Service
	order    []*Service
}

// NewPublicHandler serves bundles, identities and logs to anyone. Nothing here changes anything, or waits for anything.
func NewPublicHandler(services []*Service, logger *slog.Logger) (http.Handler, error) {
	all, err := byRegistry(services)
	if err != nil {
		return nil, err
	}
	p := &publicSite{all, services}
	return &edge{"public", defaultDeadline, logger, newRouter(p.routes())}, nil
}

func (p *publicSite) routes() []route {
	return []route{
		{http.MethodGet, "/healthz", p.health},
		{http.MethodGet, "/readyz", p.ready},
		{http.MethodGet, "/{registry}/bundles/{coordinate}", p.bundle},
		{http.MethodGet, "/{registry}/bundles", p.find},
		{http.MethodPost, "/{registry}/bundles:batch", p.batch},
		{http.MethodGet, "/{registry}/identity", p.identity},
		{http.MethodGet, "/{registry}/status", p.status},
		{http.MethodGet, "/{registry}/logs/{log}/checkpoint", p.checkpoint},
		{http.MethodGet, "/{registry}/logs/{log}/tile/{tile}", p.tile},
		{http.MethodGet, "/{registry}/logs/{log}/bridge", p.bridge},
	}
}

// How long answers may be kept. A bundle's proof stays good while the log's keys do; a withdrawal should be seen soon.
const (
	aMinute = "public, max-age=60"
	seconds = "public, max-age=2"
	forEver = "public, max-age=31536000, immutable"
)

func (p *publicSite) service(r *http.Request) (*Service, *Problem) {
	s := p.services[r.PathValue("registry")]
	if s == nil {
		return nil, newProblem(WrongRegistry, fmt.Sprintf("there is no registry %.200q here", r.PathValue("registry")))
	}
	return s, nil
}

// cached answers with a body that caches may keep and ask about.
func (x *exchange) cached(r *http.Request, contentType, control string, body []byte) {
	x.tagged(r, contentType, control, tagOf(body), body)
}

// tagOf is the entity tag of a body.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

func (x *exchange) tagged(r *http.Request, contentType, control, tag string, body []byte) {
	x.Header().Set("Cache-Control", control)
	x.Header().Set("ETag", tag)
	if matches(r.Header.Get("If-None-Match"), tag) {
		x.WriteHeader(http.StatusNotModified)
		return
	}
	x.answer(http.StatusOK, contentType, body)
}

// bundle is found by the SHA-256 of the canonical purl, as in a static export.
func (p *publicSite) bundle(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem != nil {
		return problem
	}
	key, ok := parseKey(r.PathValue("coordinate"))
	if !ok {
		return newProblem(NotFound, "a bundle is found under the 64 lower-case hex digits of the SHA-256 of its purl")
	}
	data, problem := s.Bundle(r.Context(), key)
	if problem == nil {
		x.cached(r, provenance.BundleType, aMinute, data)
	}
	return problem
}

func parseKey(text string) (key [32]byte, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(key) || hex.EncodeToString(raw) != text {
		return key, false
	}
	return [32]byte(raw), true
}

// find lists the bundles of a purl.
func (p *publicSite) find(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem != nil {
		return problem
	}
	purl, digest, problem := purlQuery(r)
	if problem != nil {
		return problem
	}
	list, problem := bundles(r.Context(), s, purl, digest)
	if problem == nil {
		x.cached(r, jsonType, aMinute, list)
	}
	return problem
}

// identity is the registry's identity with all its versions.
func (p *publicSite) identity(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem == nil {
		x.cached(r, jsonType, aMinute, s.IdentityChain())
	}
	return problem
}

// status is the registry's newest status: everything withdrawn and ended up to a size of its log, with a proof.
func (p *publicSite) status(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem != nil {
		return problem
	}
	last := s.lastStatus()
	if last == nil || last.body == nil {
		return newProblem(NotFound, fmt.Sprintf("there is no status of %s yet", s.Registry))
	}
	x.tagged(r, provenance.StatusBundleType, aMinute, last.tag, last.body)
	return nil
}
