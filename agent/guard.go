package agent

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Guard makes one key sign one history of one log. It is safe for concurrent use.
type Guard struct {
	log    Log
	ids    []uint32 // note key ids of log.Keys
	known  note.Verifiers
	key    ed25519.PublicKey
	signer crypto.Signer
	state  *State

	// slot is held while an operation runs, and by nothing else may mark be moved.
	slot chan struct{}

	signatures atomic.Uint64 // that left

	mu   sync.Mutex // guards mark and stop
	mark Head       // durable
	stop *StoppedError
}

// patient is a signer that knows how its device is. Health never waits for the device; nil says that it signs.
type patient interface{ Health() error }

// NewGuard takes the state over: one guard per state. The signer's key must be one of the log's. A signer with a method
// Health() error is asked how its device is. A signer that returns a *StoppedError stops the guard.
func NewGuard(log Log, signer crypto.Signer, state *State) (*Guard, error) {
	key, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("log %s: the signer's key is a %T, not an Ed25519 key", log.Origin, signer.Public())
	}
	if err := log.Check(key); err != nil {
		return nil, err
	}
	verifiers, err := log.verifiers()
	if err != nil {
		return nil, err
	}
	g := &Guard{
		log:    Log{Origin: log.Origin, Threshold: log.Threshold},
		known:  note.VerifierList(verifiers...),
		key:    bytes.Clone(key),
		signer: signer,
		state:  state,
		slot:   make(chan struct{}, 1),
	}
	for i, k := range log.Keys {
		g.log.Keys = append(g.log.Keys, bytes.Clone(k))
		g.ids = append(g.ids, verifiers[i].KeyHash())
	}
	if g.mark, err = state.claim(log.Origin); err != nil {
		return nil, err
	}
	return g, nil
}

// Watermark is the last head this guard signed or recorded. It is on disk.
func (g *Guard) Watermark() Head {
	mark, _ := g.position()
	return mark
}

// Sign returns the key's signature over the checkpoint text of {size, root}. The proof is the RFC 6962 consistency
// proof from the watermark; the watermark itself is signed again without one.
func (g *Guard) Sign(ctx context.Context, size uint64, root [32]byte, proof []tlog.Hash) (signature [64]byte, err error) {
	return g.step(ctx, Head{size, root}, proof, g.sign)
}

// Record moves the watermark to a checkpoint, a signed note, that threshold keys of the log signed. The proof is the
// consistency proof from the watermark. Recording the watermark itself changes nothing.
func (g *Guard) Record(ctx context.Context, checkpoint []byte, proof []tlog.Hash) (Head, error) {
	head, err := g.log.open(checkpoint, g.known)
	if err != nil {
		return Head{}, &RefusedError{err.Error(), g.Watermark()}
	}
	_, err = g.step(ctx, head, proof, func(head Head) ([64]byte, error) { return [64]byte{}, g.advance(head) })
	if err != nil {
		return Head{}, err
	}
	return head, nil
}

// step runs op on a head that extends the watermark, alone. When ctx ends first, op goes on and keeps the slot; its
// outcome is dropped.
func (g *Guard) step(ctx context.Context, head Head, proof []tlog.Hash, op func(Head) ([64]byte, error)) ([64]byte, error) {
	if err := g.acquire(ctx); err != nil {
		return [64]byte{}, err
	}
	if err := g.admit(head, proof); err != nil {
		<-g.slot
		return [64]byte{}, err
	}
	type outcome struct {
		signature [64]byte
		err       error
	}
	done := make(chan outcome, 1)
	go func() {
		signature, err := op(head)
		<-g.slot
		done <- outcome{signature, err}
	}()
	select {
	case o := <-done:
		return o.signature, o.err
	case <-ctx.Done():
		return [64]byte{}, busy(ctx)
	}
}

func (g *Guard) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return busy(ctx)
	}
	select {
	case g.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy(ctx)
	}
}

func busy(ctx context.Context) error {
	return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
}

// admit decides whether the head is the watermark or extends it. The caller holds the slot.
func (g *Guard) admit(head Head, proof []tlog.Hash) error {
	mark, stop := g.position()
	if stop != nil {
		return stop
	}
	refuse := func(reason string) error { return &RefusedError{reason, mark} }
	switch {
	case head == mark:
		return nil
	case head.Size > MaxSize:
		return refuse("the size is over 2^53-1")
	case head.Size < mark.Size:
		return refuse("the size is below the watermark")
	case head.Size == mark.Size:
		return refuse("the watermark has this size and another root")
	case tlog.CheckTree(proof, int64(head.Size), head.Root, int64(mark.Size), mark.Root) != nil:
		return refuse("the consistency proof does not lead from the watermark to this head")
	}
	return nil
}

// sign has the hardware sign while the watermark is written, and returns when both are done: a signature exists for
// the caller only if the watermark is on disk. The caller holds the slot.
func (g *Guard) sign(head Head) (signature [64]byte, err error) {
	written := make(chan error, 1)
	go func() { written <- g.advance(head) }()

	text := head.Text(g.log.Origin)
	raw, err := g.signer.Sign(nil, []byte(text), crypto.Hash(0))
	if stopped := <-written; stopped != nil {
		return signature, stopped
	}
	if stopped := (*StoppedError)(nil); errors.As(err, &stopped) {
		return signature, g.latch(stopped.Reason, stopped.Cause)
	}
	if err != nil {
		return signature, fmt.Errorf("sign head of %s at size %d: %w", g.log.Origin, head.Size, err)
	}
	if len(raw) != len(signature) || !ed25519.Verify(g.key, []byte(text), raw) {
		return signature, g.latch("the hardware returned a signature that does not verify", errors.New("wrong key or faulty device"))
	}
	g.signatures.Add(1)
	return [64]byte(raw), nil
}

// advance makes head the watermark, on disk first. The caller holds the slot.
func (g *Guard) advance(head Head) error {
	if head == g.Watermark() {
		return nil
	}
	if err := g.state.write(head); err != nil {
		return g.latch("the watermark could not be written", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mark = head
	return nil
}

// health is nil for a signer that does not tell.
func (g *Guard) health() error {
	if p, ok := g.signer.(patient); ok {
		return p.Health()
	}
	return nil
}

func (g *Guard) position() (Head, *StoppedError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mark, g.stop
}

// latch stops the guard for good. The first reason stays.
func (g *Guard) latch(reason string, cause error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop == nil {
		g.stop = &StoppedError{reason, cause}
	}
	return g.stop
}

// close waits for the operation in flight and lets no other begin.
func (g *Guard) close(ctx context.Context) error {
	if err := g.acquire(ctx); err != nil {
		return fmt.Errorf("log %s: %w", g.log.Origin, err)
	}
	g.latch("the agent was shut down", nil)
	<-g.slot
	return nil
}
