package signer

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"

	"countersign.dev/provenance"
	"countersign.dev/strict"
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
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
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

// batch gives the bundles of up to 1000 coordinates, one line each, in order.
func (p *publicSite) batch(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem != nil {
		return problem
	}
	if _, problem := query(r); problem != nil {
		return problem
	}
	data, problem := x.body(r, jsonType, maxSingle)
	if problem != nil {
		return problem
	}
	keys, problem := decodeCoordinates(data)
	if problem != nil {
		return problem
	}
	x.items = len(keys)
	x.Header().Set("Content-Type", ndjsonType)
	x.WriteHeader(http.StatusOK)
	w := bufio.NewWriterSize(x, 64<<10)
	defer w.Flush()
	for _, key := range keys {
		data, problem := s.Bundle(r.Context(), key)
		w.WriteString(`{"coordinate":"`)
		w.Write(append(hex.AppendEncode(w.AvailableBuffer(), key[:]), '"'))
		x.result(w, Outcome{Bundle: data, Problem: problem})
		if r.Context().Err() != nil {
			break
		}
	}
	return nil
}

func decodeCoordinates(data []byte) ([][32]byte, *Problem) {
	var w struct {
		Coordinates []string `json:"coordinates"`
	}
	if err := strict.JSON(data, &w); err != nil {
		return nil, newProblem(Malformed, err.Error())
	}
	if len(w.Coordinates) == 0 {
		return nil, newProblem(Malformed, "coordinates is missing or empty")
	}
	if len(w.Coordinates) > maxLines {
		return nil, newProblem(TooLarge, fmt.Sprintf("%d coordinates, at most %d are allowed in a call", len(w.Coordinates), maxLines))
	}
	keys := make([][32]byte, len(w.Coordinates))
	for i, text := range w.Coordinates {
		var ok bool
		if keys[i], ok = parseKey(text); !ok {
			return nil, newProblem(Malformed, fmt.Sprintf("coordinate %d is not the 64 lower-case hex digits of the SHA-256 of a purl", i))
		}
	}
	return keys, nil
}

// identity is the registry's identity with all its versions.
func (p *publicSite) identity(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem == nil {
		x.cached(r, jsonType, aMinute, s.IdentityChain())
	}
	return problem
}
