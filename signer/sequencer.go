package signer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"countersign.dev/agent"
	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// Run is the sequencer: it takes whatever queued up while the last head was being signed, appends it in one transaction,
// has the new head signed, and answers. One checkpoint is in flight at a time; there are no timers. Once ctx ended it takes
// no new work, and returns nil when every waiter has its answer; or an error after which the process must not go on.
func (s *Service) Run(ctx context.Context) error {
	var agents sync.WaitGroup
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer agents.Wait()
	defer stop()
	s.quorum.start(asking, &agents)
	agents.Go(func() { s.warnOfExpiry(asking) })
	if s.StatusInterval > 0 {
		agents.Go(func() { s.makeStatuses(asking) })
	}
	defer s.close()
	defer context.AfterFunc(ctx, s.shut)()
	for {
		settled, err := s.settleTail(ctx)
		if err != nil || !settled {
			return err
		}
		items, err := s.queue.take(ctx, s.MaxBatch)
		if err != nil {
			return nil
		}
		if err := s.round(items); err != nil {
			return err
		}
	}
}

// expiryNotice is how long before the identity's expiry the operator is told, once a day.
const expiryNotice = 30 * 24 * time.Hour

// warnOfExpiry runs until ctx ends.
func (s *Service) warnOfExpiry(ctx context.Context) {
	for ctx.Err() == nil {
		if expires := s.state.Load().identity().Expires; time.Until(expires) < expiryNotice {
			s.Logger.Warn("the identity expires soon: its root must sign a new version, or countersigning stops",
				"registry", s.Registry, "expires", provenance.At(expires).String())
		}
		select {
		case <-time.After(24 * time.Hour):
		case <-ctx.Done():
		}
	}
}

// shut takes no new work.
func (s *Service) shut() {
	s.closing.Store(true)
	s.queue.close()
}

// close refuses new work and what is still queued.
func (s *Service) close() {
	s.shut()
	s.refuseQueue(unavailable("the service is shutting down"))
	s.announce()
}

// round logs a batch and answers it. A signature that does not come in time leaves an unsigned tail, which settleTail
// sees to.
func (s *Service) round(items []*item) error {
	logged, err := s.append(items)
	if err != nil {
		giveUp(logged)
		return err
	}
	if len(logged) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.SignTimeout)
	defer cancel()
	late := s.sign(ctx)
	if late == nil {
		answer(logged, nil)
		return nil
	}
	err = s.unsigned(late)
	answer(logged, loggedOnly(late))
	return err
}

// settleTail signs what is logged and not signed, after a start or a failure, before anything new is logged. Meanwhile
// new work is refused. It gives up only if ctx ends.
func (s *Service) settleTail(ctx context.Context) (settled bool, err error) {
	for s.log.Size() > s.log.Checkpoint().Size {
		if s.stalled.Load() == nil {
			s.stall(errUnsigned)
		}
		if ctx.Err() != nil {
			return false, nil
		}
		s.refuseQueue(s.stalled.Load().problem())
		if err := s.signTail(ctx); err != nil {
			return false, err
		}
	}
	if s.stalled.Swap(nil) != nil {
		s.Logger.Info("signing again", "registry", s.Registry, "size", s.log.Size())
	}
	return true, nil
}

// signTail tries once, and does not return sooner than it makes sense to try again.
func (s *Service) signTail(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.SignTimeout)
	defer cancel()
	late := s.sign(limited)
	if late == nil {
		return nil
	}
	if err := s.unsigned(late); err != nil {
		return err
	}
	if limited.Err() == nil { // not for want of time: too few agents, or a fork
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

var errUnsigned = errors.New("entries from before the start are being signed")

// stall is why no head is being signed in time.
type stall struct{ err error }

// problem is what new work is told; nothing of it is logged. Where only an operator can help, that is a freeze.
func (st *stall) problem() *Problem {
	if errors.Is(st.err, errTooFew) {
		return newProblem(Frozen, st.err.Error())
	}
	return unavailable("heads are not being signed").because(st.err)
}

// stall has new work refused, and waiters for unsigned entries told.
func (s *Service) stall(err error) {
	if before := s.stalled.Swap(&stall{err}); before == nil || before.err.Error() != err.Error() {
		s.Logger.Error("no head is being signed", "registry", s.Registry, "error", err)
	}
	s.announce()
}

// forkError: a checkpoint of this log with another root is stored, or our tree is not what was signed.
type forkError struct{ err error }

func (e *forkError) Error() string {
	return "the ledger holds another history than what was signed, signing must not go on: " + e.err.Error()
}

// ledgerError: the ledger cannot be read, or does not take what is written.
type ledgerError struct{ err error }

func (e *ledgerError) Error() string { return e.err.Error() }

// unsigned sees to a head that was not signed and stored. It returns an error if the process must not go on.
func (s *Service) unsigned(late error) error {
	s.stall(late)
	var fork *forkError
	var broken *ledgerError
	switch {
	case errors.As(late, &broken):
		return fmt.Errorf("registry %s: %w", s.Registry, late)
	case errors.As(late, &fork) && s.frozen.Load() == nil:
		return s.Freeze(fork.Error())
	}
	return nil
}

// sign has the log's head signed, and stores and releases it (invariants 1 and 2).
func (s *Service) sign(ctx context.Context) error {
	size := s.log.Size()
	root, err := s.log.Root(size)
	if err != nil {
		return &ledgerError{err}
	}
	head := agent.Head{Size: size, Root: root}
	signatures, err := s.quorum.sign(ctx, head)
	if err != nil {
		return err
	}
	note := []byte(provenance.SignedNote(provenance.Head{Origin: s.log.Origin(), Size: size, Root: root}, signatures))
	err = s.log.StoreCheckpoint(context.WithoutCancel(ctx), ledger.Checkpoint{Size: size, Root: root, Note: note})
	switch {
	case errors.Is(err, ledger.ErrFork):
		return &forkError{err}
	case err != nil:
		return &ledgerError{err}
	}
	s.quorum.release(head, note)
	s.mu.Lock()
	s.counts.Checkpoints++
	s.mu.Unlock()
	s.announce()
	return nil
}

// announce wakes those who wait for a checkpoint.
func (s *Service) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.signed)
	s.signed = make(chan struct{})
}

// append logs the items that are still wanted and still admissible, and returns those with an entry to wait for. The
// others have their answer. An error says that nobody knows what of the returned is durable.
func (s *Service) append(items []*item) ([]*item, error) {
	for {
		st := s.state.Load()
		leaders, later := s.plan(st, items)
		if len(leaders) == 0 {
			return nil, nil
		}
		entries := make([]ledger.Entry, len(leaders))
		for i, it := range leaders {
			entries[i] = it.draft
		}
		first, err := s.log.Append(context.Background(), st.epoch, entries)
		var conflict *ledger.ConflictError
		switch {
		case err == nil:
			return s.logged(st, leaders, later, first)
		case errors.Is(err, ledger.ErrEpoch):
			if err := s.refold(); err != nil {
				return append(flatten(leaders), later...), err
			}
		case errors.As(err, &conflict):
			for _, c := range conflict.Conflicts {
				leaders[c.Entry].seen = -1 // look again
			}
		default:
			return append(flatten(leaders), later...), fmt.Errorf("registry %s: %w", s.Registry, err)
		}
		items = append(flatten(leaders), later...)
	}
}

// plan drops items whose callers have gone, decides the others again if the state has changed or others have appended,
// and puts those with one key behind the first. What comes after a state entry is for later: it is decided by the state
// that the entry makes.
func (s *Service) plan(st *state, items []*item) (leaders, later []*item) {
	changes := false
	byKey := make(map[[32]byte]*item, len(items))
	for _, it := range items {
		it.follower = nil
		if it.ctx.Err() != nil {
			it.refuse(unavailable("the caller went away; nothing was logged"))
			continue
		}
		if why := s.frozen.Load(); why != nil {
			it.refuse(newProblem(Frozen, *why))
			continue
		}
		changed := it.epoch != st.epoch
		if (changed || it.seen < 0) && !s.look(st, it) || changed && !it.prepare(st) {
			continue
		}
		if leader := byKey[it.key()]; leader != nil {
			leader.follower = append(leader.follower, it)
			continue
		}
		if changes && !it.draft.State {
			later = append(later, it)
			continue
		}
		changes = changes || it.draft.State
		if len(it.draft.Keys) > 0 {
			it.draft.Keys[0].Ordinal = it.seen
		}
		byKey[it.key()] = it
		leaders = append(leaders, it)
	}
	return leaders, later
}

// prepare makes the item's entry under a state, or answers it.
func (it *item) prepare(st *state) bool {
	var problem *Problem
	if it.draft, problem = it.entry(st, it.at); problem != nil {
		it.refuse(problem)
		return false
	}
	it.epoch = st.epoch
	return true
}

// logged gives the appended items their places, and settles their followers as if they had come after: some
// get the same entry, some are refused, some are appended in their turn, and then what was left for later.
func (s *Service) logged(st *state, leaders, later []*item, first uint64) ([]*item, error) {
	var waiting, again []*item
	next := st
	fail := func(i int, err error) ([]*item, error) {
		rest := slices.Concat(leaders[i].follower, flatten(leaders[i+1:]), again, later)
		return append(waiting, rest...), fmt.Errorf("registry %s: own entry %d: %w", s.Registry, first+uint64(i), err)
	}
	for i, it := range leaders {
		it.ref, it.created = ledger.Ref{Origin: s.log.Origin(), Index: first + uint64(i)}, true
		waiting = append(waiting, it)
		if len(it.follower) == 0 && !it.draft.State {
			continue
		}
		entry, err := provenance.ParseEntry(it.draft.Data)
		if err != nil {
			return fail(i, err)
		}
		if it.draft.State {
			if next == st {
				next = st.clone()
			}
			if err := next.apply(found{it.ref, entry}); err != nil {
				return fail(i, err)
			}
		}
		for _, f := range it.follower {
			if answer, problem := f.settle(st, []found{{it.ref, entry}}); problem != nil {
				f.refuse(problem)
			} else if answer < 0 {
				f.seen = -1
				again = append(again, f)
			} else {
				f.ref = it.ref
				waiting = append(waiting, f)
			}
		}
	}
	if next != st {
		s.become(next)
	}
	s.mu.Lock()
	s.counts.Entries += uint64(len(leaders))
	s.mu.Unlock()
	if again = append(again, later...); len(again) == 0 {
		return waiting, nil
	}
	more, err := s.append(again)
	return append(waiting, more...), err
}

// refold reads the state again after somebody else changed it.
func (s *Service) refold() error {
	st, err := fold(s.DB, s.Registry)
	if err != nil {
		return fmt.Errorf("registry %s: %w", s.Registry, err)
	}
	s.become(st)
	return nil
}

// become makes a state the one that holds, and lets the maker of statuses look at it.
func (s *Service) become(st *state) {
	s.state.Store(st)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func flatten(leaders []*item) []*item {
	var all []*item
	for _, it := range leaders {
		followers := it.follower
		all = append(append(all, it), followers...)
	}
	return all
}

// answer ends the wait of logged items.
func answer(items []*item, problem *Problem) {
	for _, it := range items {
		it.problem = problem
		close(it.done)
	}
}

func loggedOnly(err error) *Problem {
	p := unavailable("the entry is logged, its head is not signed yet").because(err)
	p.Logged = true
	return p
}

// giveUp answers items of which nobody knows whether they are durable.
func giveUp(items []*item) {
	for _, it := range items {
		it.unknown = true
		close(it.done)
	}
}

func refuseAll(items []*item, problem *Problem) {
	for _, it := range items {
		it.refuse(problem)
	}
}

// refuseQueue answers everything that waits; none of it is logged.
func (s *Service) refuseQueue(problem *Problem) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		items, err := s.queue.take(ctx, s.MaxBatch)
		if err != nil {
			return
		}
		refuseAll(items, problem)
	}
}
