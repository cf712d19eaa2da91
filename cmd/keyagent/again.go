package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"countersign.dev/agent"
	"countersign.dev/hsm"
)

const (
	// stuckTime is how long requests may still wait for a module that is stuck.
	stuckTime = 1500 * time.Millisecond

	// servedWell is how long the device was used before a stuck module is a new event, and not the last one going on.
	servedWell = time.Minute
)

// mayRecycle has a healthy agent go on where its successor could not start.
func (l *life) mayRecycle() bool {
	next, err := load(l.path, os.Getenv("CREDENTIALS_DIRECTORY"), l.users)
	if err == nil && l.confined != "" && next.confinement(l.path).digest() != l.confined {
		err = errConfinedOtherwise
	}
	if err != nil {
		l.recycle.Store(l.signed.Load() + l.recycleAfter)
		l.recycling.Store(false)
		l.log.Error("not starting again in place, because the configuration was changed and is wrong now", "error", err, "signatures", l.signed.Load())
	}
	return err == nil
}

// startAgain answers what is in flight and executes the program anew. Of a module that is stuck nothing is closed, since
// that would hang or crash. It returns if the start failed, and if there was a reason to end instead.
func (l *life) startAgain(ctx context.Context, reason error) error {
	next := &inheritance{PID: os.Getpid(), States: map[string]int{}, Users: l.users, Confined: l.confined}
	level, patience, stuck := slog.LevelInfo, shutdownTime, errors.Is(reason, hsm.ErrStuck)
	if stuck {
		level, patience = slog.LevelError, stuckTime
		next.Stuck = l.stuckBefore() + 1
	}
	l.log.Log(ctx, level, "starting again in place", "reason", reason, "signatures", l.signed.Load(), "stuck", next.Stuck)
	bounded, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l.listener.keep.Store(true)
	err := l.server.Shutdown(bounded)
	if err := <-l.served; err != nil {
		return errors.Join(err, l.close())
	}
	if !stuck && err == nil {
		l.closeKeys()
	}
	if err := l.bequeath(next); err != nil {
		return errors.Join(err, l.close())
	}
	// From here until the next program asks for it, for a few milliseconds, SIGTERM ends the process there and then.
	// Nothing is lost by that but the socket's file, which the next start replaces.
	if err := l.signals.stop(); err != nil {
		return errors.Join(err, l.close())
	}
	if stopped := l.failure(); ctx.Err() != nil || isStopped(stopped) {
		return errors.Join(stopped, l.close())
	}
	return errors.Join(next.execute(l.binary, l.log), l.close())
}

// bequeath names what the successor gets.
func (l *life) bequeath(next *inheritance) (err error) {
	for i, log := range l.logs {
		next.States[log.Origin] = l.states[i].Descriptor()
	}
	next.Socket, next.Lock, err = l.listener.Descriptors()
	return err
}

// stuckBefore is how many times in a row the module was stuck before this life, if that still counts.
func (l *life) stuckBefore() int {
	if l.inherited == nil || time.Since(l.began) >= servedWell {
		return 0
	}
	return l.inherited.Stuck
}

// door is the agent's socket. Once it is to be kept, Close ends Accept and nothing else.
type door struct {
	*agent.Listener
	keep atomic.Bool
}

func (d *door) Close() error {
	if d.keep.Load() {
		return d.SetDeadline(time.Unix(1, 0))
	}
	return d.Listener.Close()
}
