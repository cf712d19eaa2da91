package signer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/agent"
	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// Config is one registry's countersigning.
type Config struct {
	Registry   string
	DB         *ledger.DB
	Agents     []AgentConfig
	FreezeFile string // while it exists the registry is frozen; its text is the reason. Empty: freezes end with the process
	DrainFile  string // names the agents that are drained. Empty: drains end with the process

	MaxAge       time.Duration // of a publication at admission; 24 h if zero
	QueueShare   int           // items a caller may have waiting; 4096 if zero
	MaxBatch     int           // entries under one hardware operation; 4096 if zero
	SignTimeout  time.Duration // until waiters are told that signing is unavailable; 10 s if zero
	AgentTimeout time.Duration // of one request to an agent; 10 s if zero

	StatusInterval time.Duration // after which a status is made even if nothing was withdrawn or ended; none is ever made if zero
	statusDelay    time.Duration // of a status after a withdrawal or an end, for those that come with it; 3 s if zero

	Now    func() (wall time.Time, monotonic time.Duration) // for tests; nil: the system's clocks
	Logger *slog.Logger
}

// Service countersigns for one registry: it admits, batches, logs, has heads signed, and answers with bundles. Its
// methods may be called from many goroutines.
type Service struct {
	Config
	log    *ledger.Log // the open one
	quorum *quorum
	queue  *queue
	clock  *clock

	state   atomic.Pointer[state]
	stalled atomic.Pointer[stall]  // nil while heads are signed in time
	frozen  atomic.Pointer[string] // why an operator, or the service itself, froze it
	closing atomic.Bool

	changed chan struct{} // capacity 1: there is another state
	serving sync.Mutex    // held to set served
	served  atomic.Pointer[served]

	keeping sync.Mutex // frozen and drained, and the files that keep them, change together

	mu     sync.Mutex
	signed chan struct{} // closed when a checkpoint is stored; then there is another
	counts Counts
}

// Counts says what the service has done since it started.
type Counts struct {
	Entries     uint64 `json:"entries"`     // appended
	Checkpoints uint64 `json:"checkpoints"` // signed and stored
	Repeated    uint64 `json:"repeated"`    // answered with an entry that was there
}

// New opens the registry's logs, folds their state, and is ready to Run. It creates nothing.
func New(c Config) (*Service, error) {
	c.MaxAge = cmp.Or(c.MaxAge, 24*time.Hour)
	c.QueueShare = cmp.Or(c.QueueShare, 4096)
	c.MaxBatch = cmp.Or(c.MaxBatch, 4096)
	c.SignTimeout = cmp.Or(c.SignTimeout, 10*time.Second)
	c.AgentTimeout = cmp.Or(c.AgentTimeout, 10*time.Second)
	c.statusDelay = cmp.Or(c.statusDelay, 3*time.Second)
	if c.MaxBatch > ledger.MaxBatch {
		return nil, fmt.Errorf("registry %s: at most %d entries can be appended at once, the maximum for a batch is %d", c.Registry, ledger.MaxBatch, c.MaxBatch)
	}
	s := &Service{Config: c, queue: newQueue(c.QueueShare), clock: newClock(c.Now), signed: make(chan struct{}), changed: make(chan struct{}, 1)}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("registry %s: %w", c.Registry, err)
	}
	if err := errors.Join(s.readFreeze(), s.readDrained()); err != nil {
		return nil, fmt.Errorf("registry %s: %w", c.Registry, err)
	}
	return s, nil
}

// open finds the registry's logs, folds them, and holds the agents to the identity's open log.
func (s *Service) open() error {
	state, err := fold(s.DB, s.Registry)
	if err != nil {
		return err
	}
	s.state.Store(state)
	open := state.identity().Open()
	if s.log, err = s.DB.Log(open.Origin); err != nil {
		return err
	}
	if s.log.Checkpoint().Size == 0 {
		return fmt.Errorf("log %s has no checkpoint: the ceremony that makes a log signs its first", open.Origin)
	}
	if err := checkTail(s.log); err != nil {
		return err
	}
	active := make(map[provenance.PublicKey]bool)
	for _, k := range open.Active() {
		active[k] = true
	}
	names := make(map[string]bool)
	for _, a := range s.Agents {
		if !active[a.Key] || names[a.Name] {
			return fmt.Errorf("agent %s: its name or key is used twice, or its key %s is not a key of log %s that is not ended", a.Name, a.Key.Fingerprint(), open.Origin)
		}
		delete(active, a.Key)
		names[a.Name] = true
	}
	if w := holding(open.Threshold, len(open.Active())); len(s.Agents) < w {
		return fmt.Errorf("%d agents for log %s with %d keys and threshold %d: nothing could be released with fewer than %d",
			len(s.Agents), open.Origin, len(open.Active()), open.Threshold, w)
	}
	s.quorum = newQuorum(s.Config, s.log, open.Origin, open.Threshold, len(open.Active()))
	cp := s.log.Checkpoint()
	s.quorum.release(agent.Head{Size: cp.Size, Root: cp.Root}, cp.Note)
	return nil
}

// Origin is the log that is written to.
func (s *Service) Origin() string { return s.log.Origin() }

// wait blocks until a checkpoint covers index.
func (s *Service) wait(ctx context.Context, index uint64) error {
	for {
		s.mu.Lock()
		signed := s.signed
		s.mu.Unlock()
		if s.log.Checkpoint().Size > index {
			return nil
		}
		if st := s.stalled.Load(); st != nil {
			return st.err
		}
		select {
		case <-signed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// available says why new work is refused now, before anything is logged.
func (s *Service) available() *Problem {
	if why := s.frozen.Load(); why != nil {
		return newProblem(Frozen, *why)
	}
	if s.closing.Load() {
		return unavailable("the service is shutting down")
	}
	if st := s.stalled.Load(); st != nil {
		return st.problem()
	}
	if !s.quorum.viable() {
		return newProblem(Frozen, errTooFew.Error())
	}
	return nil
}

func unavailable(detail string) *Problem {
	p := newProblem(SigningUnavailable, detail)
	p.After = 2
	return p
}

// now is the time of day for admission.
func (s *Service) now() (time.Time, *Problem) {
	t, err := s.clock.read()
	if err != nil {
		return t, newProblem(Frozen, err.Error())
	}
	return t, nil
}

// Freeze refuses all new work until Thaw, also across restarts. After an error it holds as long as the process.
func (s *Service) Freeze(reason string) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	s.frozen.Store(&reason)
	s.Logger.Warn("frozen", "registry", s.Registry, "reason", reason)
	if s.FreezeFile == "" {
		return nil
	}
	if err := writeFile(s.FreezeFile, reason+"\n"); err != nil {
		return fmt.Errorf("frozen until the next start only: %w", err)
	}
	return nil
}

// Thaw ends a freeze and accepts the clock as it is. After a fork the next head freezes it again: that takes a ceremony.
func (s *Service) Thaw() error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	if s.FreezeFile != "" {
		if err := os.Remove(s.FreezeFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	s.clock.believe()
	s.frozen.Store(nil)
	s.Logger.Warn("thawed", "registry", s.Registry)
	return nil
}

func (s *Service) readFreeze() error {
	if s.FreezeFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.FreezeFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	reason := cmp.Or(strings.TrimSpace(string(text)), s.FreezeFile+" exists")
	s.frozen.Store(&reason)
	return err
}

// writeFile is durable when it returns.
func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Status is the service as an operator sees it.
type Status struct {
	Registry   string       `json:"registry"`
	Identity   string       `json:"identity"`
	Version    uint64       `json:"identityVersion"`
	Expires    string       `json:"identityExpires"`
	Origin     string       `json:"origin"`
	Size       uint64       `json:"size"`       // durable entries
	Checkpoint uint64       `json:"checkpoint"` // entries under the stored checkpoint
	Queue      int          `json:"queue"`
	Frozen     string       `json:"frozen,omitzero"`
	Stalled    string       `json:"stalled,omitzero"`
	Threshold  int          `json:"threshold"`
	Agents     []AgentState `json:"agents"`
	Counts     Counts       `json:"counts"`
	LastStatus *StatusState `json:"lastStatus,omitzero"` // none: there is no status yet
}

// StatusState is the status that consumers are given, as an operator sees it.
type StatusState struct {
	At     string `json:"at"`
	Origin string `json:"origin"`
	Size   uint64 `json:"size"` // covered
}

// Status reads the service's state.
func (s *Service) Status() Status {
	st := s.state.Load()
	id := st.identity()
	out := Status{Registry: s.Registry, Identity: st.fingerprint, Version: id.Version, Expires: provenance.At(id.Expires).String(),
		Origin: s.log.Origin(), Size: s.log.Size(), Checkpoint: s.log.Checkpoint().Size, Queue: s.queue.length(),
		Threshold: s.quorum.m, Agents: s.quorum.state()}
	if why := s.frozen.Load(); why != nil {
		out.Frozen = *why
	}
	if st := s.stalled.Load(); st != nil {
		out.Stalled = st.err.Error()
	}
	if at, ok := s.lastStated(); ok {
		out.LastStatus = &StatusState{provenance.At(at.at).String(), at.Origin, at.size}
	}
	s.mu.Lock()
	out.Counts = s.counts
	s.mu.Unlock()
	return out
}
