package hsm_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// onLog is a log that does something when it is told of an event.
type onLog struct {
	slog.Handler
	events map[string]func()
}

func (h onLog) Handle(_ context.Context, r slog.Record) error {
	if do := h.events[r.Message]; do != nil {
		do()
	}
	return nil
}

func logging(events map[string]func()) *slog.Logger {
	return slog.New(onLog{slog.NewTextHandler(io.Discard, nil), events})
}

// abandon signs with a caller who leaves before the device has answered, and returns when it has.
func (d *device) abandon(message []byte) {
	d.t.Helper()
	d.Latency(300 * time.Millisecond)
	signatures := d.Signatures()
	ctx, cancel := context.WithCancel(d.t.Context())
	go func() {
		for d.Calls("C_Sign") == signatures {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := d.key.SignContext(ctx, message); !errors.Is(err, context.Canceled) {
		d.t.Errorf("the caller did not leave: %v", err)
	}
	clear(message)
	wait(d.t, "the device to answer", func() bool { return d.Signatures() > signatures })
	time.Sleep(50 * time.Millisecond)
	d.Latency(0)
}

// A caller who has left may use his buffer again: the signature made of it in the end does not pass for a wrong one.
func TestAbandonedMessage(t *testing.T) {
	d := newDevice(t)
	d.abandon([]byte("a message that its owner overwrites"))
	d.Reboot(pkcs11.CKR_DEVICE_REMOVED)
	d.mustSign()
}

// A wrong signature stops the key at once, though its caller has left and nobody else asks.
func TestAbandonedWrongSignatureStops(t *testing.T) {
	d := newDevice(t)
	d.Corrupt(1)
	d.abandon([]byte("message"))
	d.waitState("stopped")
	d.Corrupt(0)
	d.refusesToSign(hsm.ErrStopped)
}

// A wrong signature stops whoever else has the key open.
func TestWrongSignatureStopsEverywhere(t *testing.T) {
	d := newDevice(t)
	other := d.open()
	d.mustSignWith(other)
	d.Corrupt(1)
	d.refusesToSign(hsm.ErrStopped)
	d.Corrupt(0)
	if _, err := other.Sign(nil, []byte("message"), crypto.Hash(0)); !errors.Is(err, hsm.ErrStopped) {
		t.Error(err)
	}
	if s := other.Status(); s.State != "stopped" {
		t.Errorf("%+v", s)
	}
}

// The anchor that signs, because there is no other session, is not closed under its call.
func TestOnlySessionIsNotClosedUnderItsCall(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	d.SessionCap(1)
	d.key = d.open(func(c *hsm.Config) { c.Timeout = 300 * time.Millisecond })
	d.HangFor("C_Sign", time.Hour, 1)
	d.refusesToSign(context.DeadlineExceeded)
	wait(t, "the hung call to be noticed", func() bool { return d.key.Status().State != "up" })
	time.Sleep(500 * time.Millisecond)
	d.Release()
	for _, misuse := range d.Misuse() {
		t.Error(misuse)
	}
}

// Who waits for a session of a device that is lost goes over to the one that is had again.
func TestQueueLeavesALostDevice(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout, c.Sessions = 2*time.Second, 1 })
	d.HangFor("C_Sign", time.Hour, 1)
	go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	wait(t, "the call to hang", func() bool { return d.Hanging() == 1 })
	time.Sleep(time.Second)
	d.mustSign() // the device is had again a second later, this caller's time is over two seconds later
	d.Release()
	wait(t, "the stuck call to return", func() bool { return d.key.Status().Stuck == 0 })
}

// What opens for a caller who has left is closed.
func TestAbandonedOpenLeavesNoSession(t *testing.T) {
	d := newDevice(t)
	before, _ := d.Sessions()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	c := d.config()
	c.Logger = logging(map[string]func(){"key opened": func() { cancel(); <-left }})
	if _, err := hsm.Open(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(left)
	wait(t, "the sessions to be closed", func() bool { now, _ := d.Sessions(); return now <= before })
}

// Close comes back from a module that does not, and does not hold up the keys of others.
func TestCloseWhileFinaliseHangs(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 300 * time.Millisecond })
	d.Hang("C_Finalize")
	closed := make(chan error, 1)
	go func() { closed <- d.key.Close() }()
	wait(t, "C_Finalize to hang", func() bool { return d.Hanging() == 1 })
	listed := make(chan error, 1)
	go func() { _, err := hsm.Tokens(t.Context(), softhsm.Module); listed <- err }()
	select {
	case err := <-listed:
		must(t, err)
	case <-time.After(5 * time.Second):
		t.Error("another module waits for this one")
	}
	select {
	case err := <-closed:
		if !errors.Is(err, hsm.ErrStuck) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Close has not returned")
	}
	d.Release()
	wait(t, "C_Finalize to return", func() bool { return d.Hanging() == 0 })
	time.Sleep(50 * time.Millisecond)
}

// A module that is not finalised keeps its sessions: a neighbour whose token is away costs a key that works none.
func TestFinaliseRefused(t *testing.T) {
	for name, refuse := range map[string]func(*device){
		"by the module": func(d *device) { d.Fail("C_Finalize", pkcs11.CKR_FUNCTION_FAILED, 0, fault.Always) },
		"not ours": func(d *device) {
			must(d.t, pkcs11.New(d.Path).Initialize())
			d.t.Cleanup(func() { pkcs11.New(d.Path).Finalize() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := softhsm.New(t)
			d := &device{t: t, generated: tokens.Key(tokens.Token("registry"), "log-1"), Module: fault.New(t, softhsm.Module)}
			refuse(d)
			d.key = d.open()
			c := d.config(func(c *hsm.Config) { c.Wait = true })
			c.URI.Token, c.URI.Serial = "nobody", ""
			away, err := hsm.Open(t.Context(), c)
			must(t, err)
			defer away.Close()
			for range 50 {
				d.mustSign()
				time.Sleep(10 * time.Millisecond)
			}
			if now, _ := d.Sessions(); now != 2 {
				t.Errorf("%d sessions open, want the anchor and one", now)
			}
			logins(t, d, 1, 0)
		})
	}
}

// A neighbour with little patience neither takes a slow call for a hung one nor costs its key the sessions.
func TestSlowNeighbour(t *testing.T) {
	tokens := softhsm.New(t)
	d := &device{t: t, generated: tokens.Key(tokens.Token("registry"), "log-1"), Module: fault.New(t, softhsm.Module)}
	d.key = d.open()
	d.Latency(time.Second)
	var users sync.WaitGroup
	users.Go(d.mustSign)
	wait(t, "the call", func() bool { return d.Calls("C_Sign") == 2 })
	c := d.config(func(c *hsm.Config) { c.Wait, c.Timeout = true, 300*time.Millisecond })
	c.URI.Token, c.URI.Serial = "nobody", ""
	away, err := hsm.Open(t.Context(), c)
	must(t, err)
	defer away.Close()
	wait(t, "the neighbour to be noticed", func() bool { return strings.Contains(away.Status().Cause, "nobody") })
	d.mustSign()
	users.Wait()
	if s := away.Status(); s.State != "recovering" {
		t.Errorf("%+v", s)
	}
	if now, _ := d.Sessions(); now > 3 {
		t.Errorf("%d sessions open, want the anchor and two at most", now)
	}
	logins(t, d, 1, 0)
}

// An answer to C_Login that nobody knows may be about the PIN, and each try may count. About a PIN that the token took
// before it is not.
func TestInvariant9_UnknownAnswerToLogin(t *testing.T) {
	for _, code := range []uint{0x80000139, pkcs11.CKR_ARGUMENTS_BAD} {
		for name, changed := range map[string]bool{"PIN as before": false, "another PIN": true} {
			t.Run(fmt.Sprintf("%#x %s", code, name), func(t *testing.T) {
				d := newDevice(t)
				if changed {
					must(t, os.WriteFile(d.generated.URI.PINFile, []byte("another-pin\n"), 0o600))
				}
				before := d.Calls("C_Login")
				d.Fail("C_Login", code, 0, fault.Always)
				d.Reboot(pkcs11.CKR_DEVICE_REMOVED)
				if changed {
					d.refusesToSign(hsm.ErrStopped)
					if n := d.Calls("C_Login") - before; n != 1 {
						t.Errorf("the PIN was tried %d times", n)
					}
					return
				}
				go func() {
					time.Sleep(300 * time.Millisecond)
					d.Clear()
				}()
				d.mustSign()
			})
		}
	}
}

// A PIN that the token did not look at, because the process was logged in already, is not one that it took.
func TestInvariant9_UncheckedPIN(t *testing.T) {
	d := newDevice(t)
	d.open() // holds the login
	must(t, os.WriteFile(d.generated.URI.PINFile, []byte("another-pin\n"), 0o600))
	d.Fail("C_Sign", pkcs11.CKR_DEVICE_ERROR, 0, 1)
	d.mustSign()
	logins(t, d, 1, 0)
	before := d.Calls("C_Login")
	d.Fail("C_Login", 0x80000139, 0, fault.Always)
	d.Reboot(pkcs11.CKR_DEVICE_REMOVED)
	d.refusesToSign(hsm.ErrStopped)
	if n := d.Calls("C_Login") - before; n != 1 {
		t.Errorf("the PIN was tried %d times", n)
	}
}

// A pool that had to shrink grows when there are sessions again.
func TestPoolGrowsAgain(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Canary = 50 * time.Millisecond })
	d.SessionCap(2)
	d.Latency(2 * time.Millisecond)
	d.burst(20)
	if n := d.key.Status().Sessions; n != 1 {
		t.Fatalf("%d sessions", n)
	}
	d.SessionCap(0)
	for range 100 {
		d.burst(8)
		time.Sleep(20 * time.Millisecond)
	}
	if n := d.key.Status().Sessions; n == 1 {
		t.Errorf("%d sessions", n)
	}
}

// burst signs n messages at once.
func (d *device) burst(n int) {
	var users sync.WaitGroup
	for range n {
		users.Go(d.mustSign)
	}
	users.Wait()
}

// A message that the device fails at, while it passes its self-test, does not cost it its connection over and over.
func TestPoisonedMessage(t *testing.T) {
	var d *device
	fail := func(calls int) func() {
		return func() {
			if d != nil {
				d.Fail("C_Sign", pkcs11.CKR_FUNCTION_FAILED, 0, calls)
			}
		}
	}
	d = newDevice(t, func(c *hsm.Config) {
		c.Timeout = 2 * time.Second
		c.Logger = logging(map[string]func(){"device lost, recovering": fail(0), "key opened": fail(fault.Always)})
	})
	d.Fail("C_Sign", pkcs11.CKR_FUNCTION_FAILED, 0, fault.Always)
	_, err := d.key.Sign(nil, []byte("poison"), crypto.Hash(0))
	var answer *hsm.Error
	if good, _ := d.Logins(); good > 2 || !errors.As(err, &answer) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d logins, %v", good, err)
	}
}

// One file under two names is one module.
func TestModuleWithTwoNames(t *testing.T) {
	d := newDevice(t)
	c := d.config()
	c.URI.ModulePath += ".too.so"
	must(t, os.Link(d.Path, c.URI.ModulePath))
	other, err := hsm.Open(t.Context(), c)
	must(t, err)
	defer other.Close()
	d.mustSignWith(other)
	must(t, d.key.Close())
	finalised := d.Calls("C_Finalize")
	d.mustSignWith(other)
	if finalised != 0 {
		t.Errorf("C_Finalize under a key")
	}
}

// openAndLeave begins to open the key and gives up when a function hangs, which goes on hanging.
func (d *device) openAndLeave(function string) {
	d.t.Helper()
	d.Hang(function)
	ctx, cancel := context.WithCancel(d.t.Context())
	go func() {
		for d.Hanging() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := hsm.Open(ctx, d.config()); !errors.Is(err, context.Canceled) {
		d.t.Fatal(err)
	}
}

// A module whose C_Initialize returns when nobody waits any more is not left initialised.
func TestAbandonedOpenFinalises(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	d.openAndLeave("C_Initialize")
	d.Release()
	wait(t, "C_Initialize to return", func() bool { return d.Hanging() == 0 })
	time.Sleep(100 * time.Millisecond)
	if err := pkcs11.New(d.Path).Finalize(); !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		t.Errorf("the module was left initialised: %v", err)
	}
}

// A call that hangs does not hold up the recovery from what another call found out.
func TestHungCallDoesNotDelayRecovery(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 3 * time.Second })
	d.burst(4)
	d.HangFor("C_Sign", time.Hour, 1)
	go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	wait(t, "the call to hang", func() bool { return d.Hanging() == 1 })
	d.Fail("C_Sign", pkcs11.CKR_DEVICE_REMOVED, 0, 1)
	began := time.Now()
	_, err := d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	if took := time.Since(began); err != nil {
		t.Errorf("not recovered after %s: %v", took, err)
	}
	d.Release()
}

// A log may ask the key how it is doing, and may be slow.
func TestLogThatAsks(t *testing.T) {
	var d *device
	asked := make(chan struct{})
	d = newDevice(t, func(c *hsm.Config) {
		c.Logger = logging(map[string]func(){"device lost, recovering": func() {
			go func() { d.key.Status(); close(asked) }()
			select {
			case <-asked:
			case <-time.After(2 * time.Second):
				t.Error("Status waits for the log")
			}
		}})
	})
	d.Fail("C_Sign", pkcs11.CKR_DEVICE_REMOVED, 0, 1)
	d.mustSign()
}

// The first time that the device is had is no recovery.
func TestWaitCountsNoRecovery(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	d.key = d.open(func(c *hsm.Config) { c.Wait = true })
	d.waitState("up")
	if n := d.key.Status().Recoveries; n != 0 {
		t.Errorf("%d recoveries of a device that was never away", n)
	}
}

// The errors say once what happened, in one line.
func TestErrorOfATimeout(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout, c.Sessions = 300*time.Millisecond, 1 })
	d.HangFor("C_Sign", time.Hour, 1)
	err := d.refusesToSign(context.DeadlineExceeded)
	if text := err.Error(); strings.Count(text, "deadline exceeded") != 1 || strings.Contains(text, "\n") || strings.Contains(text, "signature: context") {
		t.Errorf("%q", text)
	}
	d.Release()
	wait(t, "the stuck call to return", func() bool { return d.key.Status().Stuck == 0 })
}

func TestDurationsRefused(t *testing.T) {
	d := newDevice(t)
	for _, change := range []func(*hsm.Config){
		func(c *hsm.Config) { c.Timeout = -1 },
		func(c *hsm.Config) { c.Timeout = math.MaxInt64 },
		func(c *hsm.Config) { c.Canary = -1; c.URI.PINFile = "/nowhere" }, // where it opens it brings the process down
	} {
		refused(t, d.config(change), "timeout")
	}
}
