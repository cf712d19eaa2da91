package signer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"countersign.dev/provenance"
)

// makeStatuses has a status made whenever the last one is too old or does not cover everything, until ctx ends. A change is
// waited after for others: a status covers all that came together.
func (s *Service) makeStatuses(ctx context.Context) {
	last := s.lastStatus()
	again := last != nil && last.body == nil // cannot be served: another one is
	rest, trouble := s.statusDelay, ""
	var soon time.Time
	for {
		wait := s.untilOld()
		if again || s.state.Load().behind() {
			if soon.IsZero() {
				soon = time.Now().Add(rest)
			}
			wait = time.Until(soon)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
			continue
		case <-time.After(wait):
		}
		took, problem := s.makeStatus(ctx)
		if s.closing.Load() {
			return
		}
		again, soon = problem != nil, time.Time{}
		if again && problem.Error() != trouble {
			trouble = problem.Error()
			s.Logger.Warn("no status can be made; the last one is served", "registry", s.Registry, "problem", trouble)
		}
		// A document of very many withdrawals takes a while: no more than a tenth of the time is spent on it.
		rest = max(s.statusDelay, 10*took)
		if !again {
			trouble = ""
		}
	}
}

// untilOld is how long the last status may still be the last.
func (s *Service) untilOld() time.Duration {
	at, ok := s.state.Load().last(func(stated) bool { return true })
	if !ok {
		return 0
	}
	now, _ := s.now()
	if at.at.Sub(now) > clockSkew { // made by a clock that was set right since: consumers who ask for its age refuse it
		return 0
	}
	return max(0, min(s.StatusInterval-now.Sub(at.at), s.StatusInterval))
}

// makeStatus logs a status and has it served. It says how long its document took.
func (s *Service) makeStatus(ctx context.Context) (took time.Duration, problem *Problem) {
	w, start := &reporting{log: s.log}, time.Now()
	it := newItem(ctx, w)
	s.admit(s.state.Load(), it)
	took = time.Since(start)
	if problem := s.submit(&Caller{}, live, []*item{it}); problem != nil { // no caller that is configured is without a name
		return took, problem
	}
	switch {
	case it.problem != nil:
		return took, it.problem
	case it.unknown:
		return took, unavailable("nobody knows whether the status is logged")
	}
	s.serving.Lock()
	defer s.serving.Unlock()
	s.serve(stated{it.ref, w.size, it.at, sha256.Sum256(w.document)}, w.document)
	return took, nil
}

// served is a status as everybody is given it.
type served struct {
	stated
	body []byte // nil if the document cannot be made again
	tag  string
}

// lastStatus is the newest status under the stored checkpoint, nil if there is none.
func (s *Service) lastStatus() *served {
	now, at, current := s.isServed()
	if current {
		return now
	}
	s.serving.Lock()
	defer s.serving.Unlock()
	if now, at, current = s.isServed(); current {
		return now
	}
	document, err := s.state.Load().document(at.Origin, at.size)
	if err == nil && sha256.Sum256(document) != at.document {
		err = fmt.Errorf("the logs no longer give the document of the status at %d in %s", at.Index, at.Origin)
	}
	if err != nil {
		s.Logger.Error("a status cannot be served; another one is made", "registry", s.Registry, "error", err)
		s.served.Store(&served{stated: at})
		return s.served.Load()
	}
	return s.serve(at, document)
}

// isServed reports whether what is served is the last that is stated.
func (s *Service) isServed() (now *served, at stated, current bool) {
	at, ok := s.lastStated()
	if !ok {
		return nil, at, true
	}
	now = s.served.Load()
	return now, at, now != nil && now.Ref == at.Ref
}

// lastStated is the newest status under the stored checkpoint.
func (s *Service) lastStated() (stated, bool) {
	covered := s.log.Checkpoint().Size
	return s.state.Load().last(func(at stated) bool { return at.Origin != s.log.Origin() || at.Index < covered })
}

// serve gives everybody a status from now on; s.serving is held. If the ledger cannot be read now, the one before stays
// until somebody asks again.
func (s *Service) serve(at stated, document []byte) *served {
	now := &served{stated: at}
	data, err := s.data(at.Ref)
	if err == nil {
		b := provenance.StatusBundle{Statement: data, Document: document, Identity: s.state.Load().chain.Envelopes()}
		if b.Proof, err = s.prove(at.Ref); err == nil {
			now.body = b.JSON()
			now.tag = tagOf(now.body)
		}
	}
	if err != nil {
		s.Logger.Error("a status cannot be served now; the one before is", "registry", s.Registry, "error", err)
		return s.served.Load()
	}
	s.served.Store(now)
	return now
}
