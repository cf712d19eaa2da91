package tpm

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"
)

// Device is a TPM, reached by a path: /dev/tpmrm0, or the unix socket of an
// emulator. Its operations run one at a time, each over a connection of its own
// that is closed with everything the operation left in the TPM.
type Device struct {
	path    string
	timeout time.Duration
	turn    chan struct{} // holds one token while no operation runs
	last    trial         // of the operation that has the turn
}

// NewDevice touches nothing. timeout bounds an operation of several commands; 0
// is one minute, since a chip may take seconds to make a key.
func NewDevice(path string, timeout time.Duration) *Device {
	d := &Device{path: path, timeout: cmp.Or(timeout, time.Minute), turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

type result[T any] struct {
	value T
	err   error
}

// perform runs op alone on the TPM. The caller leaves when ctx ends or the time
// is over; op then ends before its next command and frees what it loaded. A
// command that hangs holds one goroutine and the device's turn, never more. A
// value nobody waits for is wiped.
func perform[T any](ctx context.Context, d *Device, op func(*link) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	var none T
	select {
	case <-d.turn:
	case <-ctx.Done():
		defer cancel()
		return none, fmt.Errorf("%s: %w: another operation is under way (%w)", d.path, ErrBusy, context.Cause(ctx))
	}
	done, left := make(chan result[T]), make(chan struct{})
	go func() {
		defer cancel()
		value, err := attempt(ctx, d, op)
		d.turn <- struct{}{}
		select {
		case done <- result[T]{value, err}:
		case <-left:
			wipe(value)
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		close(left)
		return none, fmt.Errorf("%s: %w (%w)", d.path, ErrBusy, context.Cause(ctx))
	}
}

// performAs is perform with an authorisation. The operation may outlast the
// caller, so it has a copy.
func performAs[T any](ctx context.Context, d *Device, auth []byte, op func(*link, []byte) (T, error)) (T, error) {
	auth = bytes.Clone(auth)
	return perform(ctx, d, func(l *link) (T, error) {
		defer clear(auth)
		return op(l, auth)
	})
}

// attempt opens a connection, runs op and leaves nothing in the TPM, nor copies
// of what passed through op.
func attempt[T any](ctx context.Context, d *Device, op func(*link) (T, error)) (value T, err error) {
	var none T
	l, err := connect(ctx, d.path, time.Now().Add(d.timeout))
	if err != nil {
		return none, fmt.Errorf("%s: %w", d.path, err)
	}
	defer l.close()
	erasing(func() { value, err = op(l) })
	if err != nil {
		wipe(value)
		return none, err
	}
	return value, nil
}

// wipe clears a secret.
func wipe(value any) {
	switch v := value.(type) {
	case []byte:
		clear(v)
	case *unsealed:
		if v != nil {
			clear(v.seed)
		}
	}
}
