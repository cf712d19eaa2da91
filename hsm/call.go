package hsm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

var errHung = errors.New("the call has not returned")

// call runs f, which calls into the module, in a goroutine of its own, since
// nothing interrupts it there. It returns with an error when ctx ends. When the
// patience is over f counts as stuck until it returns, and the link, if there
// is one yet, as lost. f must not touch what the caller of call goes on to use.
func (k *Key) call(ctx context.Context, l *link, patience time.Duration, f func() error) error {
	const running, returned, hung = 0, 1, 2
	var state atomic.Int32
	done := make(chan error, 1)
	timer := time.AfterFunc(patience, func() {
		if state.CompareAndSwap(running, hung) {
			err := fmt.Errorf("%w for %s", errHung, patience)
			k.lost(l, err)
			k.stuck(1)
			done <- err
		}
	})
	go func() {
		err := f()
		timer.Stop()
		if state.CompareAndSwap(running, returned) {
			done <- err
		} else {
			k.stuck(-1)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the device has not answered: %w", context.Cause(ctx))
	}
}

// stuck counts calls that do not return, and calls that did at last.
func (k *Key) stuck(n int) {
	k.mu.Lock()
	k.counts.stuck += n
	stuck := k.counts.stuck
	k.mu.Unlock()
	if n > 0 {
		k.Logger.Warn("calls into the PKCS#11 module do not return", "key", k.URI.String(), "calls", stuck)
	}
	if stuck > k.Sessions {
		k.end(fmt.Errorf("%d calls have not returned: %w", stuck, ErrStuck))
	}
}
