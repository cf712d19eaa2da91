package tpm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
)

func (f *fixture) setLockout(maximum uint32) {
	f.t.Helper()
	if err := f.device().SetLockout(f.t.Context(), nil, tpm.LockoutState{Max: maximum, Forget: time.Hour, Recovery: time.Minute}); err != nil {
		f.t.Fatal(err)
	}
}

func TestWrongPIN(t *testing.T) {
	f, p := onBus(t)
	f.setLockout(4)
	f.unlocks()
	f.writePIN(wrongPIN)
	for left := uint32(2); ; left-- {
		p.record(nil)
		if e := refuses[*tpm.PINError](f); e.Left != left || !errors.Is(e, tpm.ErrStopped) || !errors.Is(e, tpm.ErrPIN) {
			t.Fatalf("%d attempts left, want %d", e.Left, left)
		}
		if n := commands(p, tpm2.TPMCCUnseal); n != 1 {
			t.Fatalf("the PIN was tried %d times", n)
		}
		if got := f.failures().Failures; got != 3-left {
			t.Fatalf("the TPM has counted %d", got)
		}
		if left == 0 {
			break
		}
	}
	f.writePIN(rightPIN)
	p.record(nil)
	begin := time.Now()
	e := refuses[*tpm.LockoutError](f)
	if e.Failures != 3 || e.Max != 4 || !errors.Is(e, tpm.ErrStopped) || errors.Is(e, tpm.ErrPIN) {
		t.Fatalf("%+v", e)
	}
	if wait := e.Ends.Sub(begin); wait < 59*time.Minute || wait > 2*time.Hour {
		t.Fatalf("the lockout ends in %v, and one failure is forgotten in an hour", wait)
	}
	if commands(p, tpm2.TPMCCUnseal)+commands(p, tpm2.TPMCCLoad) != 0 || f.failures().Failures != 3 {
		t.Fatal("the last attempt was made")
	}
	f.resetLockout()
	f.unlocks()
	if got := f.failures().Failures; got != 0 {
		t.Fatalf("%d failures after the reset", got)
	}
}

func commands(p *proxy, code tpm2.TPMCC) (n int) {
	for _, e := range p.recorded() {
		if e.code() == code {
			n++
		}
	}
	return n
}

func TestLockedTPM(t *testing.T) {
	f := newFixture(t)
	f.setLockout(2)
	object := sealPlainly(t, f.raw(), f)
	for range 2 {
		_, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: tpm2.PasswordAuth([]byte(wrongPIN))}}.Execute(f.raw())
		if !errors.Is(err, tpm2.TPMRCAuthFail) && !errors.Is(err, tpm2.TPMRCRetry) {
			t.Fatal(err)
		}
	}
	if state := f.failures(); !state.Locked || state.Failures != 2 {
		t.Fatalf("the TPM is not locked: %+v", state)
	}
	if e := refuses[*tpm.LockoutError](f); e.Failures != 2 || e.Max != 2 || e.Ends.IsZero() {
		t.Fatalf("%+v", e)
	}
	f.resetLockout()
	f.unlocks()
}

// TestLockedMeanwhile: another program used up the attempts after we looked.
func TestLockedMeanwhile(t *testing.T) {
	f, p := onBus(t)
	p.record(func(_ int, command, response []byte) []byte {
		if (exchange{command: command}).code() == tpm2.TPMCCUnseal {
			return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0x09, 0x21} // TPM_RC_LOCKOUT
		}
		return response
	})
	refuses[*tpm.LockoutError](f)
	if n := commands(p, tpm2.TPMCCUnseal); n != 1 {
		t.Fatalf("unsealed %d times", n)
	}
}

// TestLockedWithoutFailures: the TPM says that it is locked, and of failures
// fewer than that takes.
func TestLockedWithoutFailures(t *testing.T) {
	f, p := onBus(t)
	p.record(func(_ int, command, response []byte) []byte {
		if i := bytes.Index(response, []byte{0, 0, 2, 0}); i > 0 && (exchange{command: command}).code() == tpm2.TPMCCGetCapability {
			response[i+6] |= 2 // TPM_PT_PERMANENT, inLockout
		}
		return response
	})
	refuses[*tpm.LockoutError](f)
	if commands(p, tpm2.TPMCCUnseal) != 0 {
		t.Fatal("the PIN was tried on a locked TPM")
	}
}

func TestLockoutAuthorisation(t *testing.T) {
	f := newFixture(t)
	auth := []byte("lockout authorisation")
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: auth},
	}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, f.emulator)
	d := tpm.NewDevice(p.path, 0)
	if err := d.ResetLockout(t.Context(), auth); err != nil {
		t.Fatal(err)
	}
	if p.carried(auth) {
		t.Error("the bus carried the lockout authorisation")
	}
	for range 2 { // wrong, then locked
		if err := d.ResetLockout(t.Context(), []byte("wrong")); !errors.Is(err, tpm.ErrStopped) {
			t.Fatal(err)
		}
	}
	for _, s := range []tpm.LockoutState{{Max: 1, Forget: time.Hour}, {Max: 3}} {
		if err := d.SetLockout(t.Context(), auth, s); err == nil {
			t.Errorf("%+v: taken", s)
		}
	}
	if n := f.loaded(); n != 0 {
		t.Fatalf("%d handles left", n)
	}
}

// TestTamperedReset: whoever says that the lockout was reset must be the TPM.
func TestTamperedReset(t *testing.T) {
	f, p := onBus(t)
	p.record(func(_ int, command, response []byte) []byte {
		if (exchange{command: command}).code() == 0x139 {
			response[len(response)-1] ^= 1
		}
		return response
	})
	if err := tpm.NewDevice(p.path, 0).ResetLockout(t.Context(), nil); !errors.Is(err, tpm.ErrTampered) {
		t.Fatal(err)
	}
	f.unlocks()
}

func TestPINFile(t *testing.T) {
	f := newFixture(t)
	for _, pin := range []string{"", "a\nb", "a\x00", "123456789012345678901234567890123", "123456789012345678901234567890123456789"} {
		f.writePIN(pin)
		if _, err := f.unseal(); err == nil || errors.Is(err, tpm.ErrPIN) {
			t.Errorf("%q: %v", pin, err)
		}
		if _, err := f.device().Seal(t.Context(), tpm.Sealing{Storage: f.storage, Appliance: "a", Approver: &f.approver.PublicKey, PIN: []byte(pin)}, f.seed); err == nil {
			t.Errorf("%q: sealed", pin)
		}
	}
	f.writePIN(rightPIN)
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o440: true, 0o604: false, 0o602: false, 0o601: false} {
		if err := os.Chmod(f.config.URI.PINFile, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := f.unseal(); (err == nil) != good || !good && !strings.Contains(err.Error(), "open to every user") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if got := f.failures().Failures; got != 0 {
		t.Fatalf("%d attempts wasted", got)
	}
}

// TestLostRefusal: the TPM refused the PIN, and nobody heard of it, because the
// answer came too late, not at all, or to a caller who had left. Whoever opens
// again with the same device, as an agent that waits does, must not try again.
func TestLostRefusal(t *testing.T) {
	f, p := onBus(t)
	f.unlocks() // the first time after a start, the TPM asks for the unsealing twice
	f.writePIN(wrongPIN)
	unsealing := func(command []byte) bool { return exchange{command: command}.code() == tpm2.TPMCCUnseal }
	for name, lost := range map[string]func(leave func(), response []byte) []byte{
		"no answer":        func(func(), []byte) []byte { return nil },
		"the line is cut":  func(_ func(), response []byte) []byte { return response[:0] },
		"a damaged answer": func(_ func(), response []byte) []byte { return append([]byte{0x80, 9}, response[2:]...) },
		"the caller leaves": func(leave func(), response []byte) []byte {
			leave()
			time.Sleep(50 * time.Millisecond)
			return response
		},
	} {
		f.resetLockout()
		f.config.Device = tpm.NewDevice(p.path, 2*time.Second)
		ctx, leave := context.WithCancel(t.Context())
		p.record(func(_ int, command, response []byte) []byte {
			if unsealing(command) {
				return lost(leave, response)
			}
			return response
		})
		if _, _, err := tpm.Unseal(ctx, f.config); err == nil || errors.Is(err, tpm.ErrPIN) {
			t.Errorf("%s: %v", name, err)
		}
		leave()
		for range 3 {
			if err := again(t, f); !errors.Is(err, tpm.ErrStopped) {
				t.Errorf("%s, then %v", name, err)
			}
		}
		if n := commands(p, tpm2.TPMCCUnseal); n != 1 {
			t.Errorf("%s: the PIN was tried %d times", name, n)
		}
	}
}

// again unseals once the device is free.
func again(t *testing.T, f *fixture) error {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := f.unseal()
		if !errors.Is(err, tpm.ErrBusy) || time.Now().After(deadline) {
			return err
		}
	}
}

// TestLostAnswer: what was lost was no refusal, so trying again does no harm.
func TestLostAnswer(t *testing.T) {
	f, p := onBus(t)
	f.unlocks()
	f.config.Device = tpm.NewDevice(p.path, 0)
	p.record(func(_ int, command, response []byte) []byte {
		if (exchange{command: command}).code() == tpm2.TPMCCUnseal {
			return response[:0]
		}
		return response
	})
	if seed, err := f.unseal(); err == nil || seed != nil || errors.Is(err, tpm.ErrStopped) {
		t.Fatal(err)
	}
	p.record(nil)
	f.unlocks()
}

// TestRefusedForGood: a device that refused a PIN is not asked again, whoever asks.
func TestRefusedForGood(t *testing.T) {
	f, p := onBus(t)
	f.config.Device = tpm.NewDevice(p.path, 0)
	f.writePIN(wrongPIN)
	for range 3 {
		if e := refuses[*tpm.PINError](f); e.Left != 1 {
			t.Errorf("%d attempts left", e.Left)
		}
	}
	if n := f.failures().Failures; n != 1 {
		t.Errorf("%d failures counted", n)
	}
}

// TestRefusedAndGone: after its refusal the TPM does not say how many attempts are left.
func TestRefusedAndGone(t *testing.T) {
	f, p := onBus(t)
	f.unlocks() // the first time after a start, the TPM asks for the unsealing twice
	f.config.Device = tpm.NewDevice(p.path, 0)
	f.writePIN(wrongPIN)
	refused := false
	p.record(func(_ int, command, response []byte) []byte {
		if refused {
			return response[:0]
		}
		refused = exchange{command: command}.code() == tpm2.TPMCCUnseal
		return response
	})
	f.refusesWith(tpm.ErrPIN)
	p.record(nil)
	f.refusesWith(tpm.ErrPIN)
	if n := commands(p, tpm2.TPMCCUnseal); n != 0 || f.failures().Failures != 1 {
		t.Errorf("the PIN was tried again")
	}
}

// TestManyWrongPINs: agents that share a TPM never make the last attempt.
func TestManyWrongPINs(t *testing.T) {
	f := newFixture(t)
	f.setLockout(5)
	f.unlocks() // the first time after a start, the TPM asks for the unsealing twice
	f.writePIN(wrongPIN)
	var callers sync.WaitGroup
	for range 12 {
		callers.Go(func() {
			if _, _, err := tpm.Unseal(t.Context(), f.config); !errors.Is(err, tpm.ErrStopped) {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if s := f.failures(); s.Failures != 4 || s.Locked {
		t.Errorf("%+v", s)
	}
}
