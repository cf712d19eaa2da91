package hsm_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// One failed call costs its caller nothing but time, whatever the code, and no login where a session is enough.
func TestOneFault(t *testing.T) {
	for _, c := range []struct {
		function string
		code     uint
		logins   int // with the first
	}{
		{"C_SignInit", pkcs11.CKR_OPERATION_ACTIVE, 1},
		{"C_Sign", pkcs11.CKR_FUNCTION_FAILED, 1},
		{"C_Sign", pkcs11.CKR_GENERAL_ERROR, 1},
		{"C_SignInit", pkcs11.CKR_SESSION_HANDLE_INVALID, 1},
		{"C_Sign", pkcs11.CKR_SESSION_CLOSED, 1},
		{"C_Sign", pkcs11.CKR_OPERATION_NOT_INITIALIZED, 1},
		{"C_Sign", pkcs11.CKR_HOST_MEMORY, 1},
		{"C_Sign", 0x80000123, 1},
		{"C_SignInit", pkcs11.CKR_USER_NOT_LOGGED_IN, 2},
		{"C_SignInit", pkcs11.CKR_KEY_HANDLE_INVALID, 2},
		{"C_SignInit", pkcs11.CKR_OBJECT_HANDLE_INVALID, 2},
		{"C_Sign", pkcs11.CKR_DEVICE_ERROR, 2},
		{"C_Sign", pkcs11.CKR_DEVICE_REMOVED, 2},
		{"C_SignInit", pkcs11.CKR_TOKEN_NOT_PRESENT, 2},
	} {
		t.Run(fmt.Sprintf("%s 0x%x", c.function, c.code), func(t *testing.T) {
			d := newDevice(t)
			finalised := d.Calls("C_Finalize")
			d.Fail(c.function, c.code, 0, 1)
			d.mustSign()
			d.mustSign()
			logins(t, d, c.logins, 0)
			if n := d.Calls("C_Finalize"); n != finalised {
				t.Errorf("%d C_Finalize for one %#x", n-finalised, c.code)
			}
			if now, _ := d.Sessions(); now != 2 {
				t.Errorf("%d sessions open, want the anchor and one", now)
			}
		})
	}
}

// What the device will refuse again is not asked again, and does not cost the device its connection.
func TestRequestRefused(t *testing.T) {
	d := newDevice(t)
	for _, code := range []uint{pkcs11.CKR_DATA_LEN_RANGE, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED} {
		d.Fail("C_Sign", code, 0, 1)
		calls := d.Calls("C_Sign")
		_, err := d.key.Sign(nil, []byte("message"), crypto.Hash(0))
		var answer *hsm.Error
		if !errors.As(err, &answer) || answer.Code != code || answer.Class() != hsm.ClassRequest {
			t.Fatalf("%v", err)
		}
		if n := d.Calls("C_Sign") - calls; n != 1 {
			t.Errorf("asked %d times", n)
		}
		d.mustSign()
		logins(t, d, 1, 0)
	}
}

// A module that answers nothing else until it is finalised is finalised, under load, with no call in it.
func TestStaleModule(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 30 * time.Second })
	d.Latency(2 * time.Millisecond)
	stop := make(chan struct{})
	var users sync.WaitGroup
	var signed atomic.Int64
	for range 8 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					d.mustSign()
					signed.Add(1)
				}
			}
		})
	}
	for range 5 {
		before := signed.Load()
		wait(t, "signatures", func() bool { return signed.Load() > before+20 })
		d.Stale(pkcs11.CKR_DEVICE_ERROR)
	}
	before := signed.Load()
	wait(t, "signatures", func() bool { return signed.Load() > before+20 })
	close(stop)
	users.Wait()
	if s := d.key.Status(); s.State != "up" || s.Recoveries < 5 || s.Stuck != 0 {
		t.Errorf("%+v", s)
	}
	if _, wrong := d.Logins(); wrong != 0 {
		t.Errorf("%d wrong logins", wrong)
	}
}

// A token that is pulled out and put back is signed with again, though SoftHSM answers that all is well but for the key.
func TestTokenAway(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 300 * time.Millisecond })
	tokens := filepath.Join(filepath.Dir(d.generated.URI.PINFile), "tokens")
	entries, err := os.ReadDir(tokens)
	must(t, err)
	home, away := filepath.Join(tokens, entries[0].Name()), filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(home, away))
	if err := d.refusesToSign(context.DeadlineExceeded); !strings.Contains(err.Error(), "token") {
		t.Errorf("the error does not say what is missing: %v", err)
	}
	if s := d.key.Status(); s.State != "recovering" || s.Cause == "" {
		t.Errorf("%+v", s)
	}
	time.Sleep(time.Second)
	must(t, os.Rename(away, home))
	back := time.Now()
	d.waitState("up")
	if gap := time.Since(back); gap > 5*time.Second {
		t.Errorf("recovered %s after the token was back", gap)
	}
	d.mustSign()
	if _, wrong := d.Logins(); wrong != 0 {
		t.Errorf("%d wrong logins", wrong)
	}
}

// A device that is removed without anybody signing is missed, and had again before anybody signs.
func TestCanary(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Canary = 50 * time.Millisecond })
	d.Die(pkcs11.CKR_DEVICE_REMOVED)
	d.waitState("recovering")
	d.Revive()
	d.waitState("up")
	if s := d.key.Status(); s.Recoveries != 1 || s.Signatures != 0 {
		t.Errorf("%+v", s)
	}
	before, _ := d.Logins()
	d.Reboot(pkcs11.CKR_SESSION_HANDLE_INVALID)
	wait(t, "a login after the reboot", func() bool { good, _ := d.Logins(); return good > before })
	d.mustSign()
	for _, message := range d.Messages() {
		if message[0] != 0 && string(message) != "message" {
			t.Errorf("signed %q", message)
		}
	}
}

// While the key is in use there are no test signatures.
func TestNoCanaryUnderLoad(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Canary = 200 * time.Millisecond })
	calls := d.Calls("C_Sign")
	n := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); n++ {
		d.mustSign()
		time.Sleep(5 * time.Millisecond)
	}
	if extra := d.Calls("C_Sign") - calls - n; extra > 1 {
		t.Errorf("%d signatures beside %d that were asked for", extra, n)
	}
}

func TestWait(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	d.Die(pkcs11.CKR_TOKEN_NOT_PRESENT)
	if _, err := hsm.Open(t.Context(), d.config()); err == nil {
		t.Fatal("opened a dead device")
	}
	d.key = d.open(func(c *hsm.Config) { c.Wait, c.Timeout = true, 200*time.Millisecond })
	d.refusesToSign(context.DeadlineExceeded)
	d.Revive()
	d.waitState("up")
	d.mustSign()
}

// A hung C_Sign holds up nobody beyond the time-out, not its caller either, and its thread is the only one lost.
func TestHungOnce(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 500 * time.Millisecond })
	d.mustSign()
	d.HangFor("C_Sign", time.Hour, 1)
	began := time.Now()
	d.refusesToSign(context.DeadlineExceeded)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the caller was held for %s", took)
	}
	wait(t, "the call to be missed", func() bool { return d.key.Status().Stuck == 1 })
	d.waitState("up")
	for range 20 {
		d.mustSign()
	}
	if s := d.key.Status(); s.Stuck != 1 {
		t.Errorf("%+v", s)
	}
	d.Release()
	wait(t, "the stuck call to return", func() bool { return d.key.Status().Stuck == 0 })
	wait(t, "its session to be closed", func() bool { now, _ := d.Sessions(); return now == 2 })
	d.mustSign()
	logins(t, d, 1, 0)
}

// A device that hangs for ever makes the key say that the process must be left, with few threads lost, however many ask.
func TestHungForEver(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout, c.Sessions = 300*time.Millisecond, 3 })
	d.Hang("C_Sign")
	goroutines := runtime.NumGoroutine()
	var users sync.WaitGroup
	for range 200 {
		users.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := d.key.SignContext(ctx, []byte("message")); err == nil {
				t.Error("a hung device signed")
			}
		})
	}
	users.Wait()
	select {
	case <-d.key.Ended():
	case <-time.After(20 * time.Second):
		t.Fatalf("not ended: %+v", d.key.Status())
	}
	if !errors.Is(d.key.Err(), hsm.ErrStuck) || d.key.Status().State != "stuck" {
		t.Fatalf("%v, %+v", d.key.Err(), d.key.Status())
	}
	began := time.Now()
	d.refusesToSign(hsm.ErrStuck)
	if time.Since(began) > 100*time.Millisecond {
		t.Error("an ended key makes its callers wait")
	}
	if n := d.Hanging(); n > 5 {
		t.Errorf("%d threads are stuck for 3 sessions", n)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 20 {
		t.Errorf("%d goroutines more", n)
	}
	logins(t, d, 1, 0)
	d.Release()
	wait(t, "the stuck calls to return", func() bool { return d.key.Status().Stuck == 0 })
}

func TestCloseWhileHung(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 300 * time.Millisecond })
	d.mustSign()
	d.Hang("C_Sign")
	d.Hang("C_CloseSession")
	go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	wait(t, "the call to hang", func() bool { return d.Hanging() > 0 })
	began := time.Now()
	if err := d.key.Close(); !errors.Is(err, hsm.ErrStuck) {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %s", took)
	}
	if n := d.Calls("C_Finalize"); n != 0 {
		t.Error("the module was finalised under a call")
	}
	d.Release()
	wait(t, "the stuck calls to return", func() bool { return d.key.Status().Stuck == 0 })
	must(t, pkcs11.New(d.Path).Finalize()) // for the tests that follow
}

// The pool makes do with the sessions there are.
func TestSessionCap(t *testing.T) {
	for _, reported := range []bool{false, true} {
		for limit, want := range map[int]int{1: 1, 2: 1, 3: 2, 9: 4} {
			t.Run(fmt.Sprintf("%d reported %t", limit, reported), func(t *testing.T) {
				tokens := softhsm.New(t)
				d := &device{t: t, generated: tokens.Key(tokens.Token("registry"), "log-1"), Module: fault.New(t, softhsm.Module)}
				d.SessionCap(limit)
				d.ReportSessionCap(reported)
				d.Latency(2 * time.Millisecond)
				d.key = d.open()
				var users sync.WaitGroup
				for range 8 {
					users.Go(func() {
						for range 10 {
							d.mustSign()
						}
					})
				}
				users.Wait()
				if s := d.key.Status(); s.Sessions != want || s.Recoveries != 0 {
					t.Errorf("%+v, want %d sessions", s, want)
				}
				logins(t, d, 1, 0)
				d.Fail("C_Sign", pkcs11.CKR_FUNCTION_FAILED, 0, 1)
				d.mustSign()
			})
		}
	}
}

// Invariant 9: a PIN that is wrong when the device comes back is tried once.
func TestInvariant9_PINChangedMeanwhile(t *testing.T) {
	d := newDevice(t)
	must(t, os.WriteFile(d.generated.URI.PINFile, []byte("wrong-pin\n"), 0o600))
	d.Reboot(pkcs11.CKR_DEVICE_REMOVED)
	d.refusesToSign(hsm.ErrStopped)
	d.refusesToSign(hsm.ErrPIN)
	<-d.key.Ended()
	if s := d.key.Status(); s.State != "stopped" || !strings.Contains(s.Cause, "CKR_PIN_INCORRECT") {
		t.Errorf("%+v", s)
	}
	logins(t, d, 1, 1)
}

// Another key in the place of the pinned one, after a reboot.
func TestInvariant9_KeyChangedMeanwhile(t *testing.T) {
	d := newDevice(t)
	u := d.generated.URI
	other := ed25519.NewKeyFromSeed(make([]byte, 32))
	must(t, d.key.Close())
	raw(t, u, func(r rawToken) {
		r.importKey(rawKey{label: "imposter", id: []byte("i"), seed: other.Seed()})
	})
	c := d.config()
	c.URI.Object, c.URI.ID, c.Wait = "imposter", nil, true
	key, err := hsm.Open(t.Context(), c)
	must(t, err)
	defer key.Close()
	<-key.Ended()
	if !errors.Is(key.Err(), hsm.ErrStopped) || errors.Is(key.Err(), hsm.ErrPIN) {
		t.Error(key.Err())
	}
}

// A wrong signature stops the key wherever it turns up, in a test signature too.
func TestCorruptedCanaryStops(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Canary = 50 * time.Millisecond })
	d.Corrupt(1)
	<-d.key.Ended()
	if !errors.Is(d.key.Err(), hsm.ErrStopped) {
		t.Error(d.key.Err())
	}
	d.Corrupt(0)
	d.refusesToSign(hsm.ErrStopped)
}

// Keys share a module: one that must have it finalised makes the others begin again, and none of them fail.
func TestTwoKeysOneModule(t *testing.T) {
	tokens := softhsm.New(t)
	first, second := tokens.Token("first"), tokens.Token("second")
	a := &device{t: t, generated: tokens.Key(first, "log-1"), Module: fault.New(t, softhsm.Module)}
	b := &device{t: t, generated: tokens.Key(second, "log-2"), Module: a.Module}
	a.key, b.key = a.open(), b.open()
	for range 3 {
		a.mustSign()
		b.mustSign()
		a.Stale(pkcs11.CKR_DEVICE_ERROR)
		var users sync.WaitGroup
		users.Go(a.mustSign)
		users.Go(b.mustSign)
		users.Wait()
	}
	must(t, a.key.Close())
	b.mustSign()
}

// A token that is away for long does not take the module from a key that works, again and again.
func TestAbsentNeighbour(t *testing.T) {
	tokens := softhsm.New(t)
	first := tokens.Token("first")
	a := &device{t: t, generated: tokens.Key(first, "log-1"), Module: fault.New(t, softhsm.Module)}
	b := &device{t: t, generated: tokens.Key(tokens.Token("second"), "log-2"), Module: a.Module}
	b.key = b.open()
	c := a.config(func(c *hsm.Config) { c.Wait, c.Timeout = true, 100*time.Millisecond })
	c.URI.Token = "nobody"
	c.URI.Serial = ""
	key, err := hsm.Open(t.Context(), c)
	must(t, err)
	defer key.Close()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		b.mustSign()
	}
	if n := a.Calls("C_Finalize"); n > 1 {
		t.Errorf("the module was finalised %d times in 2 s", n)
	}
	if s := key.Status(); s.State != "recovering" || !strings.Contains(s.Cause, `no token "nobody"`) {
		t.Errorf("%+v", s)
	}
}

// Fifty users, while one call in a hundred fails and the device restarts now and then: everyone is served.
func TestFiftyUsers(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout, c.Canary = 60*time.Second, 100*time.Millisecond })
	d.FailOften("C_Sign", pkcs11.CKR_FUNCTION_FAILED, 100)
	d.FailOften("C_SignInit", pkcs11.CKR_USER_NOT_LOGGED_IN, 10)
	d.FailOften("C_OpenSession", pkcs11.CKR_SESSION_COUNT, 100)
	var over atomic.Bool
	var users sync.WaitGroup
	for range 50 {
		users.Go(func() {
			for !over.Load() && !t.Failed() {
				message := []byte("message")
				if signature, err := d.key.Sign(nil, message, crypto.Hash(0)); err != nil || !ed25519.Verify(d.generated.PublicKey, message, signature) {
					t.Errorf("%x, %v", signature, err)
				}
			}
		})
	}
	for _, restart := range []func(uint){d.Reboot, d.Stale, d.Reboot} {
		time.Sleep(500 * time.Millisecond)
		restart(pkcs11.CKR_DEVICE_ERROR)
	}
	time.Sleep(500 * time.Millisecond)
	over.Store(true)
	users.Wait()
	if s := d.key.Status(); s.Signatures < 100 || s.Recoveries < 3 || s.Stuck != 0 {
		t.Errorf("%+v", s)
	}
}
