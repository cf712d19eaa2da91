package hsm_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// neighbours are two keys of one module, not opened yet.
func neighbours(t *testing.T) (a, b *device) {
	t.Helper()
	tokens := softhsm.New(t)
	first, second := tokens.Token("first"), tokens.Token("second")
	a = &device{t: t, generated: tokens.Key(first, "log-1"), Module: fault.New(t, softhsm.Module)}
	b = &device{t: t, generated: tokens.Key(second, "log-2"), Module: a.Module}
	return a, b
}

func patient(c *hsm.Config) { c.Timeout = 20 * time.Second }

// absent opens a key whose token is nowhere: it has the module finalised again and again.
func (d *device) absent() {
	d.t.Helper()
	c := d.config(patient, func(c *hsm.Config) { c.Wait = true })
	c.URI.Token, c.URI.Serial = "nobody", ""
	key, err := hsm.Open(d.t.Context(), c)
	must(d.t, err)
	d.t.Cleanup(func() { key.Close() })
}

// onceUnopened has the key's supervisor do something when it cannot open the key for the first time.
func onceUnopened(do func()) func(*hsm.Config) {
	return func(c *hsm.Config) {
		c.Logger = logging(map[string]func(){"key cannot be opened yet, trying on": sync.OnceFunc(do)})
	}
}

func (d *device) finalised(want int) {
	d.t.Helper()
	if n := d.Calls("C_Finalize"); n != want {
		d.t.Errorf("the module was finalised %d times, want %d", n, want)
	}
}

// Sessions of before C_Finalize are neither used nor closed: their numbers may be another key's by now.
func TestSessionsEndWithTheModule(t *testing.T) {
	a, b := neighbours(t)
	a.key, b.key = a.open(patient), b.open(patient)
	a.Stale(pkcs11.CKR_DEVICE_ERROR)
	a.mustSign()
	begun, closed := a.Calls("C_SignInit"), a.Calls("C_CloseSession")
	b.mustSign()
	if n := a.Calls("C_SignInit") - begun; n != 2 {
		t.Errorf("%d C_SignInit, want those of the self-test and the signature", n)
	}
	if n := a.Calls("C_CloseSession") - closed; n != 0 {
		t.Errorf("%d sessions were closed that had ended", n)
	}
}

// No call begins while the module is finalised.
func TestNoCallDuringFinalise(t *testing.T) {
	a, b := neighbours(t)
	a.key, b.key = a.open(patient), b.open(patient)
	a.Stale(pkcs11.CKR_DEVICE_ERROR)
	a.Hang("C_Finalize")
	var users sync.WaitGroup
	users.Go(a.mustSign)
	wait(t, "C_Finalize", func() bool { return a.Hanging() == 1 })
	calls := func() int { return a.Calls("C_SignInit") + a.Calls("C_GetSlotList") }
	before := calls()
	users.Go(b.mustSign)
	users.Go(func() {
		if _, err := hsm.Tokens(t.Context(), a.Path); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(200 * time.Millisecond)
	if n := calls() - before; n != 0 {
		t.Errorf("%d calls during C_Finalize", n)
	}
	a.Release()
	users.Wait()
}

// Two keys that want the module finalised at one time have that once.
func TestFinaliseAtOnce(t *testing.T) {
	a, b := neighbours(t)
	var both sync.WaitGroup
	both.Add(2)
	meet := func() { both.Done(); both.Wait() }
	a.key, b.key = a.open(patient, onceUnopened(meet)), b.open(patient, onceUnopened(meet))
	a.Stale(pkcs11.CKR_DEVICE_ERROR)
	a.Hang("C_Finalize")
	var users sync.WaitGroup
	users.Go(a.mustSign)
	users.Go(b.mustSign)
	wait(t, "C_Finalize", func() bool { return a.Hanging() > 0 })
	time.Sleep(300 * time.Millisecond) // the other is as far
	a.finalised(1)
	a.Release()
	users.Wait()
}

// A key that could not be opened before another had the module finalised does not have that done once more.
func TestFinalisedMeanwhile(t *testing.T) {
	a, b := neighbours(t)
	held, on := make(chan struct{}), make(chan struct{})
	a.key, b.key = a.open(patient), b.open(patient, onceUnopened(func() { close(held); <-on }))
	a.Stale(pkcs11.CKR_DEVICE_ERROR)
	var users sync.WaitGroup
	users.Go(b.mustSign)
	<-held
	a.mustSign()
	must(t, a.key.Close()) // else it is spared
	close(on)
	users.Wait()
	a.finalised(1)
}

// A key that is closed is not spared.
func TestClosedNeighbour(t *testing.T) {
	a, b := neighbours(t)
	a.key, b.key = a.open(patient), b.open(patient)
	for range 2 {
		a.Stale(pkcs11.CKR_DEVICE_ERROR)
		a.mustSign()
		must(t, b.key.Close())
	}
	a.finalised(2)
}

// A key that begins again because of another's C_Finalize is spared meanwhile.
func TestNeighbourBeginsAgain(t *testing.T) {
	a, b := neighbours(t)
	b.key = b.open(patient)
	b.Latency(600 * time.Millisecond)
	a.absent()
	wait(t, "C_Finalize", func() bool { return a.Calls("C_Finalize") == 1 })
	b.mustSign()
	a.finalised(1)
}

// C_Finalize comes when the last call has returned, not when the patience is over.
func TestFinaliseAfterTheLastCall(t *testing.T) {
	a, b := neighbours(t)
	b.key = b.open(patient)
	b.Latency(500 * time.Millisecond)
	signed := make(chan struct{})
	go func() { b.mustSign(); close(signed) }()
	wait(t, "the call", func() bool { return b.Calls("C_Sign") == 2 })
	a.absent()
	<-signed
	began := time.Now()
	wait(t, "C_Finalize", func() bool { return a.Calls("C_Finalize") > 0 })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("C_Finalize came %s after the call", took)
	}
}

// A key that is closed at the moment at which its device is had again stays closed.
func TestCloseAtRecovery(t *testing.T) {
	var d *device
	d = newDevice(t, func(c *hsm.Config) {
		c.Logger = logging(map[string]func(){"recovered": func() { go d.key.Close(); <-d.key.Ended() }})
	})
	d.Fail("C_Sign", pkcs11.CKR_DEVICE_REMOVED, 0, 1)
	d.refusesToSign(hsm.ErrClosed)
	must(t, d.key.Close())
	if s := d.key.Status(); s.State != "closed" || s.Cause == "" || s.Sessions != 0 {
		t.Errorf("%+v", s)
	}
	if now, _ := d.Sessions(); now != 0 {
		t.Errorf("%d sessions open", now)
	}
}

// A call that hangs since before the device was lost says nothing of the one that is had again.
func TestHungCallOfALostDevice(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 1500 * time.Millisecond })
	d.HangFor("C_Sign", time.Hour, 1)
	go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	wait(t, "the call to hang", func() bool { return d.Hanging() == 1 })
	d.Fail("C_Sign", pkcs11.CKR_DEVICE_REMOVED, 0, 1)
	go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	wait(t, "the recovery", func() bool { return d.key.Status().Recoveries == 1 })
	wait(t, "the hung call to be noticed", func() bool { return d.key.Status().Stuck == 1 })
	if s := d.key.Status(); s.State != "up" || s.Recoveries != 1 {
		t.Errorf("%+v", s)
	}
	d.Release()
	wait(t, "the call to return", func() bool { return d.key.Status().Stuck == 0 })
}

// Where the device is had again after each call that hangs, the key ends when more of them hang than there are sessions.
func TestHungOneByOne(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout, c.Sessions = 400*time.Millisecond, 2 })
	for n := 1; n <= 3; n++ {
		d.waitState("up")
		d.HangFor("C_Sign", time.Hour, 1)
		go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
		wait(t, "the hung call to be noticed", func() bool { return d.key.Status().Stuck == n })
	}
	d.waitState("stuck")
	d.refusesToSign(hsm.ErrStuck)
	d.Release()
	wait(t, "the calls to return", func() bool { return d.key.Status().Stuck == 0 })
}

// Close waits for the signature in progress and for none that has not begun.
func TestCloseWhileQueuing(t *testing.T) {
	d := newDevice(t, patient, func(c *hsm.Config) { c.Sessions = 1 })
	d.Latency(1500 * time.Millisecond)
	before := d.Calls("C_Sign")
	var users sync.WaitGroup
	users.Go(d.mustSign)
	wait(t, "the signature", func() bool { return d.Calls("C_Sign") > before })
	for range 3 {
		users.Go(func() {
			if _, err := d.key.Sign(nil, []byte("message"), crypto.Hash(0)); !errors.Is(err, hsm.ErrClosed) {
				t.Errorf("signing while Close waits: %v", err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // in the queue by now
	began := time.Now()
	must(t, d.key.Close())
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %s", took)
	}
	users.Wait()
	if n := d.Calls("C_Sign") - before; n != 1 {
		t.Errorf("%d signatures, want the one that had begun", n)
	}
	d.finalised(1)
}

// No call begins while the last key has the module finalised.
func TestNoCallDuringLastFinalise(t *testing.T) {
	d := newDevice(t, patient)
	d.Hang("C_Finalize")
	var users sync.WaitGroup
	users.Go(func() { must(t, d.key.Close()) })
	wait(t, "C_Finalize", func() bool { return d.Hanging() == 1 })
	before := d.Calls("C_GetSlotList")
	users.Go(func() {
		if _, err := hsm.Tokens(t.Context(), d.Path); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(200 * time.Millisecond)
	if n := d.Calls("C_GetSlotList") - before; n != 0 {
		t.Errorf("%d calls during C_Finalize", n)
	}
	d.Release()
	users.Wait()
}

// A call that hangs where the module must be finalised ends the key.
func TestHungCallBeforeFinalise(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Timeout = 500 * time.Millisecond })
	d.HangFor("C_Sign", time.Hour, 1)
	go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	wait(t, "the call to hang", func() bool { return d.Hanging() == 1 })
	d.Stale(pkcs11.CKR_DEVICE_ERROR)
	d.waitState("stuck")
	d.refusesToSign(hsm.ErrStuck)
	d.finalised(0)
	d.Release()
	wait(t, "the call to return", func() bool { return d.key.Status().Stuck == 0 })
}

// Where closing hangs too, the device is had again without waiting for that.
func TestHungCloseDoesNotDelayRecovery(t *testing.T) {
	var d *device
	stuck := make(chan int, 1)
	d = newDevice(t, func(c *hsm.Config) {
		c.Timeout = 1500 * time.Millisecond
		c.Logger = logging(map[string]func(){"recovered": sync.OnceFunc(func() { stuck <- d.key.Status().Stuck })})
	})
	d.HangFor("C_Sign", time.Hour, 1)
	d.Hang("C_CloseSession")
	go d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	if n := <-stuck; n > 1 {
		t.Errorf("recovered after %d calls were given up, want the first", n)
	}
	d.Release()
	wait(t, "the calls to return", func() bool { return d.key.Status().Stuck == 0 && d.Hanging() == 0 })
}

// A device that is away is not asked all the time.
func TestPauses(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	d.Die(pkcs11.CKR_TOKEN_NOT_PRESENT)
	d.key = d.open(func(c *hsm.Config) { c.Wait = true })
	asked := d.Calls("C_Initialize")
	time.Sleep(time.Second)
	if n := d.Calls("C_Initialize") - asked; n > 10 {
		t.Errorf("asked %d times in a second", n)
	}
}

// Nor is one that passes each self-test and fails at once.
func TestPausesBetweenFailures(t *testing.T) {
	var d *device
	fail := func(calls int) func() {
		return func() {
			if d != nil {
				d.Fail("C_Sign", pkcs11.CKR_DEVICE_ERROR, 0, calls)
			}
		}
	}
	d = newDevice(t, func(c *hsm.Config) {
		c.Timeout = time.Second
		c.Logger = logging(map[string]func(){"device lost, recovering": fail(0), "key opened": fail(fault.Always)})
	})
	d.Fail("C_Sign", pkcs11.CKR_DEVICE_ERROR, 0, fault.Always)
	d.refusesToSign(context.DeadlineExceeded)
	if good, _ := d.Logins(); good > 10 {
		t.Errorf("%d logins in a second", good)
	}
}

// A token that says how many sessions it has is not asked for more.
func TestReportedSessionCap(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	d.SessionCap(4)
	d.ReportSessionCap(true)
	d.Latency(20 * time.Millisecond)
	d.key = d.open(func(c *hsm.Config) {
		c.Logger = logging(map[string]func(){"the token has no session left: fewer signatures at once": func() { t.Error("asked for a session too many") }})
	})
	d.burst(8)
	if _, most := d.Sessions(); most != 4 {
		t.Errorf("%d sessions, want all 4", most)
	}
}

// An Open that is refused leaves no session, at whatever step.
func TestRefusedOpenLeavesNoSession(t *testing.T) {
	d := newDevice(t)
	before, _ := d.Sessions()
	for want, change := range map[string]func(*hsm.Config){
		"is pinned": func(c *hsm.Config) { c.PublicKey, _, _ = ed25519.GenerateKey(nil) },
		"PIN file":  func(c *hsm.Config) { c.URI.PINFile = "/nowhere" },
	} {
		refused(t, d.config(change), want)
		if now, _ := d.Sessions(); now != before {
			t.Errorf("%s: %d sessions open, want %d", want, now, before)
		}
	}
}

// Nobody logs in for a caller who has left.
func TestAbandonedOpenDoesNotLogIn(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	finalised, asked := d.Calls("C_Finalize"), d.Calls("C_Login")
	d.openAndLeave("C_GetTokenInfo")
	d.Release()
	wait(t, "the end of the call", func() bool { return d.Calls("C_Finalize") > finalised })
	if n := d.Calls("C_Login") - asked; n != 0 {
		t.Errorf("%d logins", n)
	}
}

// A key that was stopped by another one's wrong signature has nothing to wait for when it is closed.
func TestCloseStopped(t *testing.T) {
	d := newDevice(t)
	other := d.open(patient)
	d.Corrupt(1)
	d.refusesToSign(hsm.ErrStopped)
	d.Corrupt(0)
	if _, err := other.Sign(nil, []byte("message"), crypto.Hash(0)); !errors.Is(err, hsm.ErrStopped) {
		t.Error(err)
	}
	began := time.Now()
	must(t, other.Close())
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %s", took)
	}
}

// A module that another part of the process finalises is initialised again, whoever did that first.
func TestFinalisedByOthers(t *testing.T) {
	for name, initialise := range map[string]func(*pkcs11.Ctx) error{
		"ours":   func(*pkcs11.Ctx) error { return nil },
		"theirs": func(ctx *pkcs11.Ctx) error { return ctx.Initialize() },
	} {
		t.Run(name, func(t *testing.T) {
			tokens := softhsm.New(t)
			d := &device{t: t, generated: tokens.Key(tokens.Token("registry"), "log-1"), Module: fault.New(t, softhsm.Module)}
			others := pkcs11.New(d.Path)
			must(t, initialise(others))
			d.key = d.open()
			must(t, others.Finalize())
			d.mustSign()
			must(t, d.key.Close())
			if _, err := others.GetSlotList(true); !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// A key that cannot be opened because a call hangs ends at once, though others of the module work.
func TestHungOpen(t *testing.T) {
	a, b := neighbours(t)
	a.key, b.key = a.open(func(c *hsm.Config) { c.Timeout = 300 * time.Millisecond }), b.open(patient)
	a.Hang("C_Login")
	a.Fail("C_Sign", pkcs11.CKR_USER_NOT_LOGGED_IN, 0, 1)
	go a.key.Sign(nil, []byte("message"), crypto.Hash(0))
	a.waitState("stuck")
	if n := a.key.Status().Stuck; n != 1 {
		t.Errorf("ended after %d calls that hang, want 1", n)
	}
	b.mustSign()
	a.Release()
	wait(t, "the call to return", func() bool { return a.key.Status().Stuck == 0 })
}

// A test signature that is refused costs the device its connection, whatever the reason: it was not refused before.
func TestCanaryRefused(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Canary = 50 * time.Millisecond })
	d.Fail("C_Sign", pkcs11.CKR_DATA_INVALID, 0, fault.Always)
	d.waitState("recovering")
	d.Clear()
	d.waitState("up")
	d.mustSign()
}

// A test signature that fails once is tried again, and costs the device nothing.
func TestCanaryTriesAgain(t *testing.T) {
	d := newDevice(t, func(c *hsm.Config) { c.Canary = 50 * time.Millisecond })
	d.Fail("C_Sign", pkcs11.CKR_FUNCTION_FAILED, 0, 1)
	made := d.Signatures()
	wait(t, "test signatures", func() bool { return d.Signatures() > made+1 })
	if s := d.key.Status(); s.State != "up" || s.Recoveries != 0 {
		t.Errorf("%+v", s)
	}
}

// Close does not wait for a device that is away.
func TestCloseWhileAway(t *testing.T) {
	d := newDevice(t)
	must(t, d.key.Close())
	d.Die(pkcs11.CKR_TOKEN_NOT_PRESENT)
	d.key = d.open(func(c *hsm.Config) { c.Wait = true })
	closed := make(chan error, 1)
	go func() { closed <- d.key.Close() }()
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(15 * time.Second):
		t.Error("Close has not returned")
	}
}

// The second failure of a session is the device's, which is had again.
func TestSecondFailure(t *testing.T) {
	d := newDevice(t, patient)
	d.Stale(pkcs11.CKR_GENERAL_ERROR)
	d.mustSign()
}
