package signer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
)

// phase is where an agent stands in the quorum.
type phase int

const (
	joining   phase = iota // its watermark is not known yet, or it is behind the stored checkpoint
	active                 // signs
	drained                // taken out by an operator
	returning              // given back by an operator, does not count until it holds the stored checkpoint
	diverged               // its watermark is not on our tree: never asked again
	stopped                // latched, or gave a bad signature: not asked until an operator acts
)

func (p phase) String() string {
	return [...]string{"joining", "active", "drained", "returning", "diverged", "stopped"}[p]
}

// member is one agent of the quorum. The fields below are under quorum.mu; run is the only one that talks to the agent.
type member struct {
	AgentConfig
	quorum *quorum
	wake   chan struct{} // capacity 1
	pause  time.Duration // run's own: after the next failure

	phase      phase
	known      bool // watermark is what the agent said last, and on our tree
	watermark  agent.Head
	signedHead agent.Head // the head that signature is over
	signature  [64]byte
	failure    string // the last error, "" after a success
}

const (
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second
)

// run does what there is to do for the agent until ctx ends, pausing ever longer while it fails. Only a signature ends
// that: an agent whose device is away still says where it is.
func (m *member) run(ctx context.Context) {
	m.pause = firstPause
	for {
		step := m.next()
		if step == nil {
			select {
			case <-m.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		limited, cancel := context.WithTimeout(ctx, m.quorum.timeout)
		err := step(limited)
		cancel()
		if err == nil {
			continue
		}
		m.fail(err)
		select {
		case <-time.After(m.pause):
			m.pause = min(2*m.pause, lastPause)
		case <-ctx.Done():
			return
		}
	}
}

// poke makes run look for work; quorum.mu may be held.
func (m *member) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// next chooses the most urgent thing to do, nil for nothing.
func (m *member) next() func(context.Context) error {
	q := m.quorum
	q.mu.Lock()
	defer q.mu.Unlock()
	target := q.target
	switch {
	case m.phase == drained || m.phase == diverged || m.phase == stopped:
		return nil
	case !m.known:
		return m.learn
	case m.phase != active && m.watermark.Size < q.released.Size:
		return m.catchUp
	case m.phase == joining:
		m.phase = active
		q.announce()
	}
	if target.Size > 0 && m.signedHead != target && m.watermark.Size <= target.Size {
		return func(ctx context.Context) error { return m.sign(ctx, target) }
	}
	return nil
}

// learn asks where the agent is and checks that this is on our tree.
func (m *member) learn(ctx context.Context) error {
	mark, err := m.Agent.Watermark(ctx, m.quorum.origin)
	if err != nil {
		return err
	}
	return m.place(mark)
}

// place takes the agent's word for its watermark, or declares it diverged. An agent ahead of our ledger is one too: the
// ledger lost what it signed.
func (m *member) place(mark agent.Head) error {
	q := m.quorum
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.phase == drained {
		return nil // the answer came after the drain
	}
	if reason := m.offTree(mark); reason != "" {
		m.phase, m.known, m.failure = diverged, false, reason
		q.log.Error("agent diverged and is not asked again: replace it by a ceremony, or restore the ledger it knows",
			"agent", m.Name, "reason", reason)
		q.announce()
		return nil
	}
	m.known, m.watermark, m.failure = true, mark, ""
	m.rejoin()
	q.announce()
	return nil
}

func (m *member) offTree(mark agent.Head) string {
	if mark.Size > m.quorum.tree.Size() {
		return fmt.Sprintf("it holds size %d, the ledger has only %d entries", mark.Size, m.quorum.tree.Size())
	}
	root, err := m.quorum.tree.Root(mark.Size)
	if err != nil || root != mark.Root {
		return fmt.Sprintf("it holds another history at size %d", mark.Size)
	}
	return ""
}

// counts reports whether the agent is one of the n of the holding rule; quorum.mu is held.
func (m *member) counts() bool { return m.phase != drained && m.phase != returning }

// rejoin counts a returning agent again once it knows what was released last, and what may be released at this moment;
// quorum.mu is held.
func (m *member) rejoin() {
	if m.phase == returning && m.known && m.watermark.Size >= max(m.quorum.released.Size, m.quorum.target.Size) {
		m.phase = active
		m.quorum.log.Info("agent returned", "agent", m.Name, "size", m.watermark.Size)
	}
}

// catchUp has the agent hold the stored checkpoint before it signs anything newer.
func (m *member) catchUp(ctx context.Context) error {
	q := m.quorum
	q.mu.Lock()
	from, to, note := m.watermark, q.released, q.note
	q.mu.Unlock()
	proof, err := m.proof(from, to)
	if err != nil {
		return err
	}
	mark, err := m.Agent.Record(ctx, q.origin, note, proof)
	if err != nil {
		return err
	}
	return m.place(mark)
}

// sign has the agent sign head and keeps the signature if it verifies.
func (m *member) sign(ctx context.Context, head agent.Head) error {
	q := m.quorum
	q.mu.Lock()
	from := m.watermark
	q.mu.Unlock()
	proof, err := m.proof(from, head)
	if err != nil {
		return err
	}
	signature, _, err := m.Agent.Sign(ctx, q.origin, head, proof)
	if err != nil {
		return err
	}
	if !m.Key.Verify([]byte(head.Text(q.origin)), signature[:]) {
		return &agent.StoppedError{Reason: "its signature does not verify with the log key it is configured for"}
	}
	m.pause = firstPause
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.phase != drained {
		m.watermark, m.signedHead, m.signature, m.failure = head, head, signature, ""
		m.rejoin()
		q.announce()
	}
	return nil
}

func (m *member) proof(from, to agent.Head) ([]tlog.Hash, error) {
	if from.Size >= to.Size {
		return nil, nil
	}
	return m.quorum.tree.ConsistencyProof(from.Size, to.Size)
}

// fail sorts an error: a refusal tells where the agent really is, a stop ends its service, anything else is tried again.
func (m *member) fail(err error) {
	q := m.quorum
	q.mu.Lock()
	var refused *agent.RefusedError
	var stop *agent.StoppedError
	switch {
	case m.phase == drained:
	case errors.As(err, &stop):
		m.phase, m.known, m.failure = stopped, false, stop.Error()
		q.log.Error("agent stopped and is not asked until it is returned", "agent", m.Name, "reason", stop.Error())
	default:
		if m.failure != err.Error() {
			q.log.Warn("agent does not answer as it should; trying again", "agent", m.Name, "error", err)
		}
		m.known, m.failure = false, err.Error()
		if m.phase == active {
			m.phase = joining
		}
	}
	q.announce()
	q.mu.Unlock()
	if errors.As(err, &refused) {
		m.place(refused.Watermark)
	}
}
