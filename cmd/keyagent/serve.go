package main

import (
	"context"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"time"

	"countersign.dev/agent"
	"countersign.dev/hsm"
)

// shutdownTime is how long a hardware call may still take after a signal to end.
const shutdownTime = 20 * time.Second

// serve opens the states before the keys, so that no PIN is tried in vain, and answers until ctx ends or a key stops.
func (c *config) serve(ctx context.Context, log *slog.Logger) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()

	guards, err := c.guards(ctx, &open, stop, log)
	if err != nil {
		return err
	}
	server, err := agent.NewServer(agent.Config{Guards: guards, AllowUIDs: c.uids, AllowOwnUID: c.ownUID, Logger: log})
	if err != nil {
		return err
	}
	l, err := agent.Listen(c.socket, c.mode)
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return errors.Join(err, l.Close())
	}
	log.Info("serving", "socket", c.socket, "logs", len(guards))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	return shutdown(ctx, server, ended, &open)
}

// shutdown ends the server. While a hardware call is stuck nothing is closed under it: the process ends, and with it
// the call.
func shutdown(ctx context.Context, server *agent.Server, ended chan error, open *closers) error {
	bounded, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := server.Shutdown(bounded)
	if err != nil {
		*open = nil
	}
	err = errors.Join(err, <-ended)
	if cause := context.Cause(ctx); errors.Is(cause, hsm.ErrStopped) {
		err = errors.Join(cause, err)
	}
	return err
}

func (c *config) guards(ctx context.Context, open *closers, stop context.CancelCauseFunc, log *slog.Logger) ([]*agent.Guard, error) {
	var states []*agent.State
	for _, l := range c.logs {
		state, err := agent.OpenState(c.stateDir, l.Origin)
		if err != nil {
			return nil, err
		}
		open.add(state)
		states = append(states, state)
	}
	var guards []*agent.Guard
	for i, l := range c.logs {
		key, err := hsm.Open(ctx, hsm.Config{URI: l.uri, PublicKey: l.public, Logger: log})
		if err != nil {
			return nil, err
		}
		open.add(key)
		guard, err := agent.NewGuard(l.Log, watched{key, stop}, states[i])
		if err != nil {
			return nil, err
		}
		mark := guard.Watermark()
		log.Info("guarding", "origin", l.Origin, "size", mark.Size, "root", mark.Root[:])
		guards = append(guards, guard)
	}
	return guards, nil
}

// watched ends the process when the key stops for good: the service manager then keeps it down until a person acts.
type watched struct {
	crypto.Signer
	stop context.CancelCauseFunc
}

func (w watched) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := w.Signer.Sign(rand, message, opts)
	if errors.Is(err, hsm.ErrStopped) {
		w.stop(err)
	}
	return signature, err
}

// closers closes in reverse order.
type closers []io.Closer

func (c *closers) add(x io.Closer) { *c = append(*c, x) }

func (c *closers) close() error {
	var err error
	for i := len(*c) - 1; i >= 0; i-- {
		err = errors.Join(err, (*c)[i].Close())
	}
	return err
}
