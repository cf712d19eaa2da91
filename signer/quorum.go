package signer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/provenance"
)

// Agent is one key agent, asked for one log at a time; *agent.Client is one.
type Agent interface {
	Watermark(ctx context.Context, origin string) (agent.Head, error)
	Sign(ctx context.Context, origin string, head agent.Head, proof []tlog.Hash) ([64]byte, agent.Head, error)
	Record(ctx context.Context, origin string, checkpoint []byte, proof []tlog.Hash) (agent.Head, error)
}

// AgentConfig names an agent and the log key it must sign with.
type AgentConfig struct {
	Name  string
	Key   provenance.PublicKey
	Agent Agent
}

// errTooFew: so many agents diverged or stopped that the holding rule cannot be met until an operator acts.
var errTooFew = errors.New("too few agents are left to meet the holding rule")

// tree is what the quorum reads of the log to prove one head from another.
type tree interface {
	Size() uint64
	Root(size uint64) (tlog.Hash, error)
	ConsistencyProof(from, to uint64) ([]tlog.Hash, error)
}

// quorum has the agents of one log sign its heads and applies the holding rule (invariant 2): a head is released once m
// agents signed it and w = max(m, n-m+1) of n hold it, where signing is holding. Drained agents are not among the n.
//
// Each agent has a goroutine of its own, which always works for the newest head: a slow one skips what it missed and
// holds up nobody.
type quorum struct {
	origin  string
	m, n    int // threshold and number of not-ended keys in the identity
	tree    tree
	timeout time.Duration // of one request to an agent
	log     *slog.Logger

	members []*member // fixed

	mu       sync.Mutex
	target   agent.Head // the newest head to sign; size 0 before the first
	released agent.Head // the stored checkpoint's
	note     []byte     // the stored checkpoint
	changed  chan struct{}
}

// newQuorum is a quorum of the log of c whose n not-ended keys must sign with m.
func newQuorum(c Config, t tree, origin string, m, n int) *quorum {
	q := &quorum{origin: origin, m: m, n: n, tree: t, timeout: c.AgentTimeout, log: c.Logger, changed: make(chan struct{})}
	for _, a := range c.Agents {
		q.members = append(q.members, &member{AgentConfig: a, quorum: q, wake: make(chan struct{}, 1)})
	}
	return q
}

// start runs the agents' goroutines until ctx ends; wait for them with the group.
func (q *quorum) start(ctx context.Context, group *sync.WaitGroup) {
	for _, m := range q.members {
		group.Go(func() { m.run(ctx) })
	}
}

// sign has head signed and held, and returns m signatures that verified. It waits for as long as ctx allows, except that
// errTooFew is returned at once.
func (q *quorum) sign(ctx context.Context, head agent.Head) ([]provenance.KeySignature, error) {
	q.mu.Lock()
	q.target = head
	for _, m := range q.members {
		m.poke()
	}
	q.mu.Unlock()
	for {
		q.mu.Lock()
		signatures, err := q.collect(head)
		changed := q.changed
		q.mu.Unlock()
		if signatures != nil || err != nil {
			return signatures, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", q.shortfall(head), ctx.Err())
		}
	}
}

// collect applies the holding rule; q.mu is held. Nil and no error means: not yet.
func (q *quorum) collect(head agent.Head) ([]provenance.KeySignature, error) {
	w, left := q.rule()
	if left < w {
		return nil, errTooFew
	}
	holders := 0
	var signatures []provenance.KeySignature
	for _, m := range q.members {
		if !m.counts() {
			continue
		}
		if m.signedHead == head || m.known && m.watermark == head {
			holders++
		}
		if m.signedHead == head && len(signatures) < q.m {
			signatures = append(signatures, provenance.KeySignature{Key: m.Key, Signature: m.signature[:]})
		}
	}
	if len(signatures) < q.m || holders < w {
		return nil, nil
	}
	return signatures, nil
}

// rule gives w for the agents that count, and how many of them are left to meet it: neither diverged nor stopped. A key
// of the log without an agent here counts and is not left. q.mu is held.
func (q *quorum) rule() (w, left int) {
	n := q.n
	for _, m := range q.members {
		switch {
		case !m.counts():
			n--
		case m.phase != diverged && m.phase != stopped:
			left++
		}
	}
	return holding(q.m, n), left
}

// viable reports whether the holding rule can be met without an operator.
func (q *quorum) viable() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	w, left := q.rule()
	return left >= w
}

// holding is w: how many of n agents must hold a head before it is released, so that any m signers include one that
// knows it.
func holding(m, n int) int { return max(m, n-m+1) }

// release tells the agents which checkpoint is stored. A returning agent that holds it counts from now on.
func (q *quorum) release(head agent.Head, note []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released, q.note = head, note
	for _, m := range q.members {
		m.rejoin()
	}
	q.announce()
}

// announce wakes whoever waits for the members' state to change; q.mu is held.
func (q *quorum) announce() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *quorum) shortfall(head agent.Head) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	signed := 0
	for _, m := range q.members {
		if m.signedHead == head {
			signed++
		}
	}
	return fmt.Sprintf("%d of the %d signatures needed for size %d", signed, q.m, head.Size)
}

var errNoAgent = errors.New("no agent of this name")

// drain takes an agent out of the rule for maintenance. It is not asked again until it is returned. One that diverged
// stays in: it may be the last that knows a released head, and the others could then sign another history.
func (q *quorum) drain(name string) error {
	return q.with(name, func(m *member) error {
		if m.phase == diverged {
			return fmt.Errorf("agent %s diverged (%s): it is replaced by a ceremony, not drained", name, m.failure)
		}
		m.phase, m.known, m.signedHead = drained, false, agent.Head{}
		q.log.Warn("agent drained", "agent", m.Name)
		return nil
	})
}

// restore returns an agent that was drained, stopped or diverged. It counts again once it holds the stored checkpoint.
func (q *quorum) restore(name string) error {
	return q.with(name, func(m *member) error {
		switch m.phase {
		case drained:
			m.phase = returning
		case stopped, diverged:
			m.phase = joining
		default:
			return fmt.Errorf("agent %s is %s, there is nothing to return", name, m.phase)
		}
		m.known, m.failure, m.signedHead = false, "", agent.Head{}
		m.poke()
		return nil
	})
}

func (q *quorum) with(name string, act func(*member) error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.members {
		if m.Name == name {
			err := act(m)
			q.announce()
			return err
		}
	}
	return errNoAgent
}

// AgentState is an agent as an operator sees it.
type AgentState struct {
	Name      string `json:"name"`
	Key       string `json:"key"` // fingerprint
	Phase     string `json:"phase"`
	Watermark uint64 `json:"watermark"` // size; 0 while unknown
	Failure   string `json:"failure,omitzero"`
}

func (q *quorum) state() []AgentState {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]AgentState, len(q.members))
	for i, m := range q.members {
		out[i] = AgentState{m.Name, m.Key.Fingerprint(), m.phase.String(), m.watermark.Size, m.failure}
	}
	return out
}
