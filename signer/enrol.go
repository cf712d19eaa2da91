package signer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// enrolling is the work of logging an enrolment certificate.
type enrolling struct{ certificate *provenance.Enrolment }

func (w *enrolling) key() [sha256.Size]byte { return enrolmentKey(w.certificate.Digest()) }

// settle: one signature by a live enrolment key suffices for a certificate's payload.
func (w *enrolling) settle(s *state, list []found) (int, *Problem) {
	for i, f := range list {
		if e, ok := f.entry.(*provenance.Enrolment); ok && s.reaches(f.Ref) && s.identity().Enrols(e.Envelope) {
			return i, nil
		}
	}
	return -1, nil
}

func (w *enrolling) entry(s *state, _ time.Time) (ledger.Entry, *Problem) {
	c, id := w.certificate, s.identity()
	if !id.Enrols(c.Envelope) {
		return ledger.Entry{}, newProblem(EnrolmentInvalid, "not signed by an enrolment key of "+id.Registry+" that is not ended")
	}
	if id.Holds(c.Publisher) {
		return ledger.Entry{}, newProblem(EnrolmentInvalid, "the publisher's key has a role in the registry's identity: one key, one role")
	}
	for _, ns := range c.Namespaces {
		if !within(ns, id.Namespaces) {
			return ledger.Entry{}, newProblem(NamespaceNotBound, fmt.Sprintf("the identity of %s does not speak for all of %s", id.Registry, ns))
		}
	}
	return stateEntry(c.Envelope, w.key()), nil
}

// ending is the work of logging the end of an enrolment.
type ending struct{ end *provenance.EnrolmentEnd }

func (w *ending) key() [sha256.Size]byte { return enrolmentEndKey(w.end.Enrolment) }

// settle: an enrolment ends once.
func (w *ending) settle(s *state, list []found) (int, *Problem) {
	return slices.IndexFunc(list, func(f found) bool { return s.reaches(f.Ref) }), nil
}

func (w *ending) entry(s *state, _ time.Time) (ledger.Entry, *Problem) {
	if !s.identity().Enrols(w.end.Envelope) {
		return ledger.Entry{}, newProblem(EnrolmentInvalid, "not signed by an enrolment key of "+s.identity().Registry+" that is not ended")
	}
	if s.enrolments[w.end.Enrolment] == nil {
		return ledger.Entry{}, newProblem(NotFound, "no enrolment "+w.end.Enrolment+" is logged")
	}
	return stateEntry(w.end.Envelope, w.key()), nil
}

func within(ns provenance.Namespace, list []provenance.Namespace) bool {
	for _, outer := range list {
		if ns.Within(outer) {
			return true
		}
	}
	return false
}

func stateEntry(e *provenance.Envelope, key [sha256.Size]byte) ledger.Entry {
	return ledger.Entry{Data: e.JSON(), Keys: []ledger.Key{{Hash: key, Ordinal: ledger.Next}}, State: true}
}

// Enrolled answers one enrolment document.
type Enrolled struct {
	Enrolment string // digest of the certificate it is about
	Created   bool   // false: it was logged before
	Problem   *Problem
	Unknown   bool // nobody knows whether it is durable: send the same again
}

// Enrol logs certificates and ends, in order, and returns when a checkpoint covers them.
func (s *Service) Enrol(ctx context.Context, caller *Caller, envelopes []*provenance.Envelope) ([]Enrolled, *Problem) {
	if problem := caller.has(s.Registry, Enrol); problem != nil {
		return nil, problem
	}
	out, items := make([]Enrolled, len(envelopes)), make([]*item, len(envelopes))
	st := s.state.Load()
	for i, e := range envelopes {
		w, about, problem := s.readEnrolment(e)
		if problem == nil {
			problem = caller.mayEnrol(s.Registry, s.covered(st, w))
		}
		out[i].Enrolment = about
		items[i] = newItem(ctx, w)
		if problem != nil {
			items[i].refuse(problem)
		} else {
			s.admit(st, items[i])
		}
	}
	if problem := s.finish(ctx, caller, items); problem != nil {
		return nil, problem
	}
	for i, it := range items {
		out[i].Created, out[i].Problem, out[i].Unknown = it.created, it.problem, it.unknown
	}
	return out, nil
}

// finish has the items done, and waits until a checkpoint covers the entries that answer them.
func (s *Service) finish(ctx context.Context, caller *Caller, items []*item) *Problem {
	if problem := s.submit(caller, live, items); problem != nil {
		return problem
	}
	for _, it := range items {
		if it.problem == nil && !it.unknown && it.ref.Origin == s.log.Origin() {
			if err := s.wait(ctx, it.ref.Index); err != nil {
				it.problem = loggedOnly(err)
			}
		}
	}
	return nil
}

// readEnrolment checks a certificate or an end by itself.
func (s *Service) readEnrolment(e *provenance.Envelope) (w work, about string, problem *Problem) {
	registry := ""
	if c, err := provenance.ParseEnrolment(e); err == nil {
		w, about, registry = &enrolling{c}, c.Digest(), c.Registry
	} else if end, endErr := provenance.ParseEnrolmentEnd(e); endErr == nil {
		w, about, registry = &ending{end}, end.Enrolment, end.Registry
	} else {
		return nil, "", newProblem(Malformed, fmt.Sprintf("neither a certificate (%v) nor an end (%v)", err, endErr))
	}
	if registry != s.Registry {
		return nil, about, newProblem(WrongRegistry, fmt.Sprintf("it is for registry %s, this is %s", registry, s.Registry))
	}
	return w, about, nil
}

// covered lists the namespaces of the certificate that the work is about; none for the end of one that is not logged.
func (s *Service) covered(st *state, w work) []provenance.Namespace {
	switch w := w.(type) {
	case *enrolling:
		return w.certificate.Namespaces
	case *ending:
		if e := st.enrolments[w.end.Enrolment]; e != nil {
			return e.Namespaces
		}
	}
	return nil
}
