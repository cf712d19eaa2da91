package fault_test

import (
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/test/fault"
)

// signAll signs once in each of n sessions at the same time, and says how long that took.
func (d *device) signAll(n int) time.Duration {
	d.t.Helper()
	var wg sync.WaitGroup
	private := d.private(d.login())
	sessions := make([]pkcs11.SessionHandle, n)
	for i := range sessions {
		sessions[i] = d.open()
	}
	start := time.Now()
	for _, s := range sessions {
		wg.Go(func() {
			if signature, err := d.sign(s, private, "m"); err != nil || !d.verify("m", signature) {
				d.t.Errorf("%x, %v", signature, err)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	must(d.t, d.CloseAllSessions(d.slot))
	return took
}

func TestLatency(t *testing.T) {
	d := newDevice(t)
	const latency = 200 * time.Millisecond
	d.Latency(latency)
	if took := d.signAll(12); took < latency || took > 10*latency {
		t.Errorf("12 at once took %v", took)
	}
	d.Engines(3)
	if took := d.signAll(6); took < 2*latency || took >= 6*latency {
		t.Errorf("6 with 3 engines took %v", took)
	}
	d.Engines(1)
	if took := d.signAll(4); took < 4*latency {
		t.Errorf("4 with 1 engine took %v", took)
	}
	d.Latency(0)
	d.Engines(0)
	d.Jitter(400 * time.Millisecond)
	if took := d.signAll(12); took < 100*time.Millisecond { // all 12 below a quarter: once in 16 million
		t.Errorf("the longest of 12 took %v", took)
	}
}

func TestHangs(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	done := make(chan error, 1)
	for function, call := range map[string]func() error{
		"C_Sign":        func() error { _, err := d.sign(s, private, "m"); return err },
		"C_SignInit":    func() error { _, err := d.sign(s, private, "m"); return err },
		"C_OpenSession": func() error { _, err := d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION); return err },
		"C_Initialize":  func() error { return d.Initialize() },
		"C_GetSlotList": func() error { _, err := d.GetSlotList(true); return err },
		"C_Login":       func() error { return d.Login(s, pkcs11.CKU_USER, d.pin) },
	} {
		d.Hang(function)
		go func() { done <- call() }()
		eventually(t, function+" hangs", func() bool { return d.Hanging() == 1 })
		select {
		case err := <-done:
			t.Fatalf("%s did not hang: %v", function, err)
		case <-time.After(50 * time.Millisecond):
		}
		d.Release()
		switch err := <-done; function {
		case "C_Initialize":
			wantCode(t, err, pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)
		case "C_Login":
			wantCode(t, err, pkcs11.CKR_USER_ALREADY_LOGGED_IN)
		default:
			must(t, err)
		}
		if n := d.Hanging(); n != 0 {
			t.Errorf("%d calls hang after the release", n)
		}
		if err := call(); function == "C_Sign" {
			must(t, err) // it hangs no more
		}
	}
}

func TestHangsForATime(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	d.HangFor("C_Sign", 300*time.Millisecond, 1)
	start := time.Now()
	d.mustSign(s, private)
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("hung for %v", took)
	}
	d.HangFor("C_Sign", time.Hour, 0)
	d.mustSign(s, private)
	d.HangFor("C_Sign", time.Hour, 1)
	go func() {
		for d.Hanging() != 1 {
			time.Sleep(time.Millisecond)
		}
		d.Release()
	}()
	d.mustSign(s, private)
	d.mustSign(s, private)
}

func TestDies(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	d.Die(fault.TokenNotPresent)
	_, err := d.sign(s, private, "m")
	wantCode(t, err, pkcs11.CKR_TOKEN_NOT_PRESENT)
	_, err = d.GetSlotList(true)
	wantCode(t, err, pkcs11.CKR_TOKEN_NOT_PRESENT)
	_, err = d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION)
	wantCode(t, err, pkcs11.CKR_TOKEN_NOT_PRESENT)
	wantCode(t, d.CloseSession(s), pkcs11.CKR_TOKEN_NOT_PRESENT)
	must(t, d.Finalize())
	wantCode(t, d.Initialize(), pkcs11.CKR_TOKEN_NOT_PRESENT)
	d.Revive()
	must(t, d.Initialize())
	d.findSlot()
	s = d.login()
	d.mustSign(s, d.private(s))
}

// A device removed while it signs answers that, not with a signature.
func TestDiesSigning(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	for _, end := range []func(){func() { d.Die(fault.DeviceRemoved) }, func() { d.Reboot(fault.DeviceRemoved) }} {
		d.Latency(time.Second)
		done := make(chan error, 1)
		before := d.Calls("C_Sign")
		go func() { _, err := d.sign(s, private, "m"); done <- err }()
		eventually(t, "signs", func() bool { return d.Calls("C_Sign") == before+1 })
		end()
		wantCode(t, <-done, pkcs11.CKR_DEVICE_REMOVED)
		d.Revive()
		d.Latency(0)
	}
	if n := d.Signatures(); n != 0 {
		t.Errorf("%d signatures were given", n)
	}
}

func TestReboots(t *testing.T) {
	d := newDevice(t)
	for _, answer := range []uint{fault.SessionHandleInvalid, fault.DeviceRemoved} {
		s, other := d.login(), d.open()
		private := d.private(s)
		d.mustSign(other, private)
		d.Reboot(answer)
		if now, _ := d.Sessions(); now != 0 {
			t.Errorf("%d sessions after a reboot", now)
		}
		for range 2 {
			_, err := d.sign(s, private, "m")
			wantCode(t, err, answer)
			_, err = d.GetSessionInfo(other)
			wantCode(t, err, answer)
		}
		wantCode(t, d.CloseSession(other), answer)

		fresh := d.open() // works at once, but nobody is logged in
		if found := d.find(fresh, pkcs11.CKO_PRIVATE_KEY); len(found) != 0 {
			t.Errorf("still logged in")
		}
		must(t, d.Login(fresh, pkcs11.CKU_USER, d.pin))
		d.mustSign(fresh, d.private(fresh))
		_, err := d.GetSessionInfo(s)
		wantCode(t, err, answer)
		must(t, d.CloseSession(fresh))
	}
	if good, wrong := d.Logins(); good != 4 || wrong != 0 {
		t.Errorf("%d good and %d wrong logins", good, wrong)
	}
}

// Sessions of before a reboot do not count for the cap.
func TestRebootFreesSessions(t *testing.T) {
	d := newDevice(t)
	d.SessionCap(1)
	d.open()
	d.Reboot(fault.SessionHandleInvalid)
	d.open()
	_, err := d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION)
	wantCode(t, err, pkcs11.CKR_SESSION_COUNT)
}

// Reboots while sessions are opened, used and closed.
func TestRebootsUnderLoad(t *testing.T) {
	d := newDevice(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s, err := d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION)
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				if err := d.Login(s, pkcs11.CKU_USER, d.pin); err == nil {
					_, _, _ = d.FindObjects(s, 1)
				}
				_, _ = d.GetSessionInfo(s)
				_ = d.CloseSession(s)
			}
		})
	}
	for range 50 {
		time.Sleep(5 * time.Millisecond)
		d.Reboot(fault.SessionHandleInvalid)
	}
	close(stop)
	wg.Wait()
	s := d.login()
	d.mustSign(s, d.private(s))
	must(t, d.CloseSession(s))
	if now, most := d.Sessions(); now != 0 || most > 6 {
		t.Errorf("%d sessions, at most %d", now, most)
	}
}

func TestStale(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	d.Stale(fault.DeviceError)
	for range 2 {
		_, err := d.GetSlotList(true)
		wantCode(t, err, pkcs11.CKR_DEVICE_ERROR)
		_, err = d.GetSessionInfo(s)
		wantCode(t, err, pkcs11.CKR_DEVICE_ERROR)
		d.Clear()
		wantCode(t, d.Initialize(), pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED) // does not help
	}
	must(t, d.Finalize())
	must(t, d.Initialize())
	d.findSlot()
	s = d.login()
	d.mustSign(s, d.private(s))
}

func TestMisuse(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	if found := d.Misuse(); found != nil {
		t.Fatal(found)
	}
	d.Hang("C_Sign")
	done := make(chan error, 1)
	go func() { _, err := d.sign(s, private, "m"); done <- err }()
	eventually(t, "hangs", func() bool { return d.Hanging() == 1 })
	wantCode(t, d.CloseSession(s), pkcs11.CKR_FUNCTION_FAILED)
	if found := d.Misuse(); len(found) != 1 {
		t.Errorf("a shared session: %q", found)
	}
	must(t, d.CloseAllSessions(d.slot))
	if found := d.Misuse(); len(found) != 1 {
		t.Errorf("closing all sessions: %q", found)
	}
	must(t, d.Finalize())
	if found := d.Misuse(); len(found) != 1 {
		t.Errorf("an early C_Finalize: %q", found)
	}
	d.Release()
	wantCode(t, <-done, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)
	must(t, d.Initialize())
	if found := d.Misuse(); found != nil {
		t.Errorf("reported again: %q", found)
	}
}
