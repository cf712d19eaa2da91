package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/agent"
	"countersign.dev/hsm"
)

const (
	// shutdownTime is how long a hardware call may still take after a signal to end.
	shutdownTime = 20 * time.Second

	// closeTime is how long closing the keys may take, after that.
	closeTime = 5 * time.Second

	// answerTime is how long a key that is being opened at a signal may still take. A PIN may be on its way, and if it is
	// refused that must be remembered: or the next start tries it again.
	answerTime = 10 * time.Second
)

// life is what the agent does between two starts.
type life struct {
	*config
	path      string       // of the configuration
	binary    string       // what to execute to start again
	inherited *inheritance // nil for an agent that somebody else started
	began     time.Time
	signals   *signals
	manager   manager
	confined  string // the digest of the confinement
	log       *slog.Logger

	latch    pinLatch
	opening  sync.WaitGroup // of keys in the background
	cancel   func()         // ends it
	states   []*agent.State
	devices  []*device
	listener *door
	server   *agent.Server
	served   chan error // what Serve returned

	signed    atomic.Uint64 // signatures
	recycle   atomic.Uint64 // with so many it is time to start again
	recycling atomic.Bool   // errRecycle is in events
	events    chan error    // errRecycle, or why a device ended
}

var errRecycle = errors.New("as many signatures as recycle_after allows")

// run serves until ctx ends or a key stops. It does not return if the agent starts again in place.
func (l *life) run(ctx context.Context) error {
	ctx, l.cancel = context.WithCancel(ctx)
	defer l.cancel()
	if err := l.begin(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil
		}
		return errors.Join(err, l.close())
	}
	for {
		select {
		case err := <-l.served:
			return errors.Join(err, l.close())
		case <-ctx.Done():
			return l.end()
		case event := <-l.events:
			switch {
			case errors.Is(event, errRecycle) && !l.mayRecycle():
				continue
			case errors.Is(event, errRecycle) || errors.Is(event, hsm.ErrStuck):
				return l.startAgain(ctx, event)
			}
			return errors.Join(event, l.end())
		}
	}
}

// begin opens the states before the keys, so that no PIN is tried in vain. The first start waits for the keys, so that
// whoever started it is told what is wrong; a successor serves without them.
func (l *life) begin(ctx context.Context) error {
	for _, log := range l.logs {
		state, err := l.state(log.Origin)
		if err != nil {
			return err
		}
		l.states = append(l.states, state)
	}
	guards, err := l.guards(ctx)
	if err != nil {
		return err
	}
	l.server, err = agent.NewServer(agent.Config{Guards: guards, AllowUIDs: l.uids, AllowOwnUID: l.ownUID, Logger: l.log})
	if err != nil {
		return err
	}
	if l.listener, err = l.listen(); err != nil {
		return err
	}
	if err := l.manager.ready(); err != nil {
		return err
	}
	l.log.Info("serving", "socket", l.socket, "logs", len(guards), "again", l.inherited != nil)
	l.served = make(chan error, 1)
	go func() { l.served <- l.server.Serve(l.listener) }()
	return nil
}

func (l *life) state(origin string) (*agent.State, error) {
	if l.inherited != nil {
		if fd, ok := l.inherited.States[origin]; ok {
			return agent.InheritState(l.stateDir, origin, fd)
		}
	}
	return agent.OpenState(l.stateDir, origin)
}

func (l *life) listen() (*door, error) {
	if i := l.inherited; i != nil {
		listener, err := agent.Inherit(l.socket, l.mode, i.Socket, i.Lock)
		return &door{Listener: listener}, err
	}
	listener, err := agent.Listen(l.socket, l.mode)
	return &door{Listener: listener}, err
}

func (l *life) guards(ctx context.Context) ([]*agent.Guard, error) {
	if err := l.latch.writable(); err != nil {
		l.log.Warn("if a token refuses its PIN, only the exit status keeps it from being tried again: the agent cannot write", "file", l.latch.path, "error", err)
	}
	l.events = make(chan error, len(l.logs)+1)
	l.recycle.Store(l.recycleAfter)
	var guards []*agent.Guard
	for i, log := range l.logs {
		d := newDevice(log.source, opening{public: log.public, timeout: l.callTimeout, wait: l.inherited != nil, log: l.log}, l.counting(log.source))
		l.devices = append(l.devices, d)
		if err := l.open(ctx, d); err != nil {
			return nil, err
		}
		guard, err := agent.NewGuard(log.Log, d, l.states[i])
		if err != nil {
			return nil, err
		}
		mark := guard.Watermark()
		l.log.Info("guarding", "origin", log.Origin, "size", mark.Size, "root", mark.Root[:])
		guards = append(guards, guard)
	}
	return guards, nil
}

// open opens a device now, or leaves that to the background in a successor.
func (l *life) open(ctx context.Context, d *device) error {
	if l.inherited == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.open(ctx, l.latch); err != nil {
			return err
		}
		go l.watch(d)
		return nil
	}
	l.opening.Go(func() {
		select {
		case <-time.After(l.inherited.pause()):
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil {
			return
		}
		switch err := d.open(ctx, l.latch); {
		case err == nil:
			go l.watch(d)
		case ctx.Err() == nil:
			l.events <- err
		}
	})
	return nil
}

func (l *life) watch(d *device) {
	<-d.key.Ended()
	l.events <- d.key.Err()
}

// counting is what is called after each signature of a key.
func (l *life) counting(s source) func() {
	if !s.renewable() {
		return func() {}
	}
	return l.countSignature
}

func (l *life) countSignature() {
	if l.signed.Add(1) >= l.recycle.Load() && l.recycleAfter > 0 && l.recycling.CompareAndSwap(false, true) {
		l.events <- errRecycle
	}
}

// end answers what is in flight and closes everything. A hardware call that is stuck ends with the process; package hsm
// closes nothing under it.
func (l *life) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := l.server.Shutdown(ctx)
	err = errors.Join(err, <-l.served)
	return errors.Join(err, l.close())
}

// failure is why a device ended that must not be used again, if one has.
func (l *life) failure() error {
	for _, d := range l.devices {
		if err := d.failure(); isStopped(err) {
			return err
		}
	}
	return nil
}

// closeKeys gives the modules a little time. What is not closed by then ends with the program.
func (l *life) closeKeys() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, d := range l.devices {
			if err := d.close(); err != nil {
				l.log.Warn("key not closed", "error", err)
			}
		}
	}()
	select {
	case <-closed:
	case <-time.After(closeTime):
		l.log.Warn("keys not closed in time")
	}
}

// settle waits for keys that are being opened, a little.
func (l *life) settle() {
	l.cancel()
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		l.opening.Wait()
	}()
	select {
	case <-opened:
	case <-time.After(answerTime):
	}
}

// close is the last thing that a life does. A PIN that was refused is remembered before anything else.
func (l *life) close() error {
	l.settle()
	var err error
	for _, d := range l.devices {
		if isRefusedPIN(d.failure()) {
			if e := l.latch.record(d.pinned()); e != nil {
				err = errors.Join(err, fmt.Errorf("the refused PIN could not be remembered: %w", e))
			}
		}
	}
	if l.listener != nil {
		err = errors.Join(err, l.listener.Listener.Close())
	}
	l.closeKeys()
	for _, s := range l.states {
		err = errors.Join(err, s.Close())
	}
	return err
}
