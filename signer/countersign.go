package signer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// Submission is one request for a countersignature, or for a registry statement.
type Submission struct {
	Publication *provenance.Envelope // nil for a registry statement
	Statement   *StatementRequest    // nil for a countersignature
	Observed    Observed
}

// StatementRequest asks for the registry's own word about a file; the role backfill allows it.
type StatementRequest struct {
	Purl     string
	FileName string
	Reason   string
	Evidence []provenance.Evidence
}

// Outcome answers one submission: a bundle, or a problem, or neither when nobody knows whether the entry is durable.
type Outcome struct {
	Bundle  []byte
	Created bool // the entry is new; false: the same as before, with a fresh proof
	Problem *Problem
}

// Countersign handles submissions in order and returns an outcome for each. If the queue has no room for all of them the
// whole call is refused and nothing is logged.
func (s *Service) Countersign(ctx context.Context, caller *Caller, submissions []Submission, yielding bool) ([]Outcome, *Problem) {
	items, st := make([]*item, len(submissions)), s.state.Load()
	parallel(len(submissions), func(i int) {
		w, problem := s.read(caller, st, submissions[i])
		items[i] = newItem(ctx, w)
		if problem != nil {
			items[i].refuse(problem)
		} else {
			s.admit(st, items[i])
		}
	})
	priority := live
	if yielding {
		priority = backfill
	}
	if problem := s.submit(caller, priority, items); problem != nil {
		return nil, problem
	}
	outcomes := make([]Outcome, len(items))
	parallel(len(items), func(i int) { outcomes[i] = s.outcome(ctx, items[i]) })
	return outcomes, nil
}

// submit queues the items that are not answered yet and waits until all are.
func (s *Service) submit(caller *Caller, priority int, items []*item) *Problem {
	var open []*item
	for _, it := range items {
		select {
		case <-it.done:
		default:
			open = append(open, it)
		}
	}
	if problem := s.enqueue(caller, priority, open); problem != nil {
		return problem
	}
	for _, it := range open {
		<-it.done // the sequencer answers everything it was given
	}
	return nil
}

func (s *Service) enqueue(caller *Caller, priority int, items []*item) *Problem {
	if len(items) == 0 {
		return nil
	}
	switch err := s.queue.push(caller.Name, priority, items); {
	case errors.Is(err, errQueueFull):
		p := newProblem(Overloaded, fmt.Sprintf("%s has %d items waiting at most: send fewer at once, or later", caller.Name, s.QueueShare))
		p.After = 1
		return p
	case err != nil:
		return unavailable("the service is shutting down")
	}
	return nil
}

// admit answers the item, or makes it ready to be queued. What is logged already is found before anything that depends
// on time or state is asked.
func (s *Service) admit(st *state, it *item) {
	if !s.look(st, it) {
		return
	}
	problem := s.available()
	if problem == nil {
		it.at, problem = s.now()
	}
	if problem != nil {
		it.refuse(problem)
		return
	}
	it.prepare(st)
}

// read checks a submission by itself: shape, registry, the caller's rights, digests, the publisher's signature.
func (s *Service) read(caller *Caller, st *state, sub Submission) (work, *Problem) {
	if sub.Statement != nil {
		return s.readStatement(caller, sub)
	}
	p, err := provenance.ParsePublication(sub.Publication)
	if err != nil {
		return nil, parseProblem(err)
	}
	if p.Registry != s.Registry {
		return nil, newProblem(WrongRegistry, fmt.Sprintf("the publisher signed for registry %s, this is %s", p.Registry, s.Registry))
	}
	if problem := caller.may(s.Registry, Publish, p.Coordinate); problem != nil {
		return nil, problem
	}
	if problem := observed(p.Subject.Digest, sub.Observed); problem != nil {
		return nil, problem
	}
	publisher := st.publishers[p.Publisher()]
	if publisher == nil {
		return nil, newProblem(PublisherNotEnrolled, fmt.Sprintf("publisher %s was never enrolled at %s: an enrolment officer makes a certificate", p.Publisher(), s.Registry))
	}
	if !p.Envelope.SignedBy(publisher.key) {
		return nil, newProblem(PublicationSignatureInvalid, fmt.Sprintf("the signature does not verify with %s", p.Publisher()))
	}
	return &countersigning{publication: p, maxAge: s.MaxAge}, nil
}

func (s *Service) readStatement(caller *Caller, sub Submission) (work, *Problem) {
	c, err := provenance.ParseCoordinate(sub.Statement.Purl)
	if err != nil {
		return nil, parseProblem(err)
	}
	if problem := caller.may(s.Registry, Backfill, c); problem != nil {
		return nil, problem
	}
	if problem := observed(nil, sub.Observed); problem != nil {
		return nil, problem
	}
	statement := provenance.RegistryStatement{Claim: provenance.Claim{Coordinate: c}, Reason: sub.Statement.Reason, Evidence: sub.Statement.Evidence,
		Subject: provenance.Subject{Name: sub.Statement.FileName, Digest: sub.Observed.Digests}}
	if err := statement.Check(); err != nil {
		return nil, newProblem(Malformed, "statement: "+err.Error())
	}
	return &stating{statement}, nil
}

// observed holds the publisher's digests to the file that the back end stored. Every one of them must have been
// recomputed: one that nobody looked at could be of another file.
func observed(signed provenance.Digests, o Observed) *Problem {
	if err := o.Digests.Check(); err != nil {
		return newProblem(Malformed, "observed: "+err.Error())
	}
	if o.Size == 0 {
		return newProblem(Malformed, "observed: size is missing, or the file is empty")
	}
	if name := signed.Disagreement(o.Digests); name != "" {
		return newProblem(DigestDisagreement, fmt.Sprintf("%s: the publisher signed %s, the stored file has %s", name, signed[name], o.Digests[name]))
	}
	for name := range signed {
		if o.Digests[name] == "" {
			return newProblem(DigestDisagreement, fmt.Sprintf("the publisher signed a %s, which was not observed on the stored file: compute it and send it", name))
		}
	}
	return nil
}

// parseProblem gives a document's error its code.
func parseProblem(err error) *Problem {
	var canonical *provenance.CanonicalError
	if errors.As(err, &canonical) {
		p := newProblem(CoordinateNotCanonical, err.Error())
		p.Canonical = canonical.Canonical
		return p
	}
	return newProblem(Malformed, err.Error())
}

// look reads what is logged under the item's key and answers the item if that settles it.
func (s *Service) look(st *state, it *item) (undecided bool) {
	list, err := s.under(it.key())
	if err != nil {
		it.refuse(unreadable(err))
		return false
	}
	it.seen = len(list)
	answer, problem := it.settle(st, list)
	switch {
	case problem != nil:
		it.refuse(problem)
	case answer >= 0:
		it.ref = list[answer].Ref
		close(it.done)
	}
	return problem == nil && answer < 0
}

// under reads the entries under a key, oldest first.
func (s *Service) under(key [32]byte) ([]found, error) {
	refs, err := s.log.Lookup(key)
	if err != nil || len(refs) == 0 {
		return nil, err
	}
	list := make([]found, len(refs))
	for i, ref := range refs {
		data, err := s.data(ref)
		if err != nil {
			return nil, err
		}
		entry, err := provenance.ParseEntry(data)
		if err != nil {
			return nil, fmt.Errorf("log %s: entry %d: %w", ref.Origin, ref.Index, err)
		}
		list[i] = found{ref, entry}
	}
	return list, nil
}

func (s *Service) data(ref ledger.Ref) ([]byte, error) {
	log, err := s.DB.Log(ref.Origin)
	if err != nil {
		return nil, err
	}
	return log.Entry(ref.Index)
}

// outcome waits for the item's entry to be under a checkpoint and makes its bundle.
func (s *Service) outcome(ctx context.Context, it *item) Outcome {
	if it.problem != nil || it.unknown {
		return Outcome{Problem: it.problem}
	}
	if it.created {
		var enrolment []byte
		if w, ok := it.work.(*countersigning); ok {
			enrolment = w.enrolment.json
		}
		bundle, err := s.encode(it.ref, it.draft.Data, enrolment)
		problem := unreadable(err)
		if problem != nil {
			problem.Logged = true
		}
		return Outcome{Bundle: bundle, Created: true, Problem: problem}
	}
	s.mu.Lock()
	s.counts.Repeated++
	s.mu.Unlock()
	bundle, problem := s.bundle(ctx, it.ref)
	return Outcome{Bundle: bundle, Problem: problem}
}

// parallel calls fn for 0 to n-1 on all processors.
func parallel(n int, fn func(int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			fn(i)
		}
		return
	}
	var group sync.WaitGroup
	panics := make(chan any, workers)
	for w := range workers {
		group.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panics <- p
				}
			}()
			for i := w; i < n; i += workers {
				fn(i)
			}
		})
	}
	group.Wait()
	select {
	case p := <-panics:
		panic(p) // in the caller's goroutine, where it ends one request and not the daemon
	default:
	}
}
