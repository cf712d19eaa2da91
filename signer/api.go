package signer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"countersign.dev/provenance"
)

// defaultDeadline is how long a request may wait before its entry is appended. The answer to an appended entry is waited
// for beyond it, as long as its Service's SignTimeout.
const defaultDeadline = 30 * time.Second

// Limits bound what a caller can occupy of the signing listener. The zero value has the defaults.
type Limits struct {
	Deadline time.Duration // of one request until its entries are appended; 30 s if zero
	Bulk     int           // batches and lists of one caller in memory at a time; 4 if zero
}

// api is the signing listener: the registries' back ends ask here for countersignatures.
type api struct {
	services map[string]*Service
	clients  map[string]*client // by key
}

// client is a caller with what it occupies.
type client struct {
	*Caller
	bulk chan struct{} // a place for each batch in memory
}

// NewSigningHandler serves the signing API for registries' back ends, which docs/openapi.yaml describes. It must be behind
// TLS with a configuration like TLSConfig's. It is an error if a key belongs to two callers.
func NewSigningHandler(services []*Service, callers []*Caller, limits Limits, logger *slog.Logger) (http.Handler, error) {
	if limits.Deadline == 0 {
		limits.Deadline = defaultDeadline
	}
	if limits.Bulk == 0 {
		limits.Bulk = 4
	}
	a := &api{clients: make(map[string]*client)}
	var err error
	if a.services, err = byRegistry(services); err != nil {
		return nil, err
	}
	for _, c := range callers {
		if err := a.add(&client{c, make(chan struct{}, limits.Bulk)}); err != nil {
			return nil, err
		}
	}
	return &edge{"signing", limits.Deadline, logger, a.authenticated(newRouter(a.routes()))}, nil
}

func byRegistry(services []*Service) (map[string]*Service, error) {
	all := make(map[string]*Service)
	for _, s := range services {
		if all[s.Registry] != nil {
			return nil, fmt.Errorf("registry %s has two services", s.Registry)
		}
		all[s.Registry] = s
	}
	return all, nil
}

var keyFingerprint = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (a *api) add(c *client) error {
	for _, key := range c.Keys {
		if !keyFingerprint.MatchString(key) {
			return fmt.Errorf("caller %s: key %.80q is not sha256: and 64 hex digits, the SHA-256 of its certificate's SubjectPublicKeyInfo", c.Name, key)
		}
		if other := a.clients[key]; other != nil {
			return fmt.Errorf("callers %s and %s have the same key %s", other.Name, c.Name, key)
		}
		a.clients[key] = c
	}
	return nil
}

func (a *api) routes() []route {
	const registry = "/v1/registries/{registry}"
	return []route{
		{http.MethodPost, registry + "/countersignatures", a.countersign},
		{http.MethodPost, registry + "/countersignatures:batch", a.batch},
		{http.MethodGet, registry + "/countersignatures", a.find},
		{http.MethodPost, registry + "/enrolments", a.enrol},
		{http.MethodPost, registry + "/withdrawals", a.withdraw},
	}
}

// authenticated lets known callers through.
func (a *api) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange)
		if problem := a.identify(x, r); problem != nil {
			x.Header().Set("Connection", "close") // strangers do not keep connections open
			x.refuse(problem)
			return
		}
		next.ServeHTTP(x, r)
	})
}

// identify finds the caller by the key of its certificate. Dates are compared here because connections are long-lived.
func (a *api) identify(x *exchange, r *http.Request) *Problem {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return newProblem(CallerNotAuthorized, "a client certificate is needed")
	}
	certificate := r.TLS.PeerCertificates[0]
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	key := "sha256:" + hex.EncodeToString(sum[:])
	c := a.clients[key]
	if c == nil {
		return newProblem(CallerNotAuthorized, "no caller has the key "+key+": the operator adds it to a caller")
	}
	x.client = c
	if now := time.Now(); now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return newProblem(CallerNotAuthorized, fmt.Sprintf("the client certificate is valid from %s to %s: renew it, the key may stay",
			certificate.NotBefore.UTC().Format(time.RFC3339), certificate.NotAfter.UTC().Format(time.RFC3339)))
	}
	return nil
}

// service finds the registry of the path and refuses a caller with none of the roles there, before anything is read.
func (a *api) service(x *exchange, r *http.Request, roles ...Role) (*Service, *Problem) {
	name := r.PathValue("registry")
	s := a.services[name]
	if s == nil {
		return nil, newProblem(WrongRegistry, fmt.Sprintf("there is no registry %.200q here", name))
	}
	return s, x.client.has(name, roles...)
}

// occupy takes one of the caller's places for large bodies; the result gives it back.
func (c *client) occupy() (free func(), problem *Problem) {
	select {
	case c.bulk <- struct{}{}:
		return func() { <-c.bulk }, nil
	default:
		p := newProblem(Overloaded, fmt.Sprintf("%s has %d batches under way, which is as many as it may: wait for one", c.Name, cap(c.bulk)))
		p.After = 1
		return nil, p
	}
}

// countersign handles one publication.
func (a *api) countersign(x *exchange, r *http.Request) *Problem {
	s, problem := a.service(x, r, Publish)
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
	submission, problem := decodeSingle(data)
	if problem != nil {
		return problem
	}
	outcomes, problem := s.Countersign(r.Context(), x.client.Caller, []Submission{submission}, false)
	if problem != nil {
		return problem
	}
	return x.outcome(outcomes[0])
}

// outcome answers a single request.
func (x *exchange) outcome(o Outcome) *Problem {
	switch {
	case o.Problem != nil:
		return o.Problem
	case o.Bundle == nil:
		x.indeterminate()
	default:
		x.answer(o.status(), provenance.BundleType, o.Bundle)
	}
	return nil
}

// status of an outcome with a bundle or a problem.
func (o *Outcome) status() int {
	switch {
	case o.Problem != nil:
		return o.Problem.Status
	case o.Created:
		return http.StatusCreated
	}
	return http.StatusOK
}

// find lists the bundles of a purl. Whoever has any role may read what its grants cover.
func (a *api) find(x *exchange, r *http.Request) *Problem {
	s, problem := a.service(x, r, Publish, Enrol, Backfill, Withdraw)
	if problem != nil {
		return problem
	}
	purl, digest, problem := purlQuery(r)
	if problem != nil {
		return problem
	}
	c, err := provenance.ParseExpected(purl)
	if err != nil {
		return parseProblem(err)
	}
	if problem := x.client.mayRead(s.Registry, c); problem != nil {
		return problem
	}
	list, problem := bundles(r.Context(), s, purl, digest)
	if problem == nil {
		x.answer(http.StatusOK, jsonType, list)
	}
	return problem
}

// bundles is the JSON array of a purl's bundles.
func bundles(ctx context.Context, s *Service, purl, digest string) ([]byte, *Problem) {
	list, problem := s.Bundles(ctx, purl, digest)
	if problem != nil {
		return nil, problem
	}
	out := []byte{'['}
	for i, b := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, b...)
	}
	return append(out, ']'), nil
}
