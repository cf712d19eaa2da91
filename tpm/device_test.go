package tpm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"
)

func TestCapabilities(t *testing.T) {
	e := newEmulator(t)
	c, err := e.device().Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.NativeEdDSA || !c.Sealable || c.Manufacturer != "IBM" || c.Transient < 3 || c.OwnerAuth || c.LockedAuth || c.Lockout.Max == 0 {
		t.Errorf("%+v", c)
	}
	native := tpm.StorageTemplate()
	parameters, err := native.Parameters.ECCDetail()
	if err != nil {
		t.Fatal(err)
	}
	changed := *parameters
	changed.CurveID = 0x0040
	native.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &changed)
	_, err = tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}, InPublic: tpm2.New2B(native),
	}.Execute(e.raw())
	if !errors.Is(err, tpm2.TPMRCCurve) {
		t.Errorf("a key on curve 25519: %v", err)
	}
}

// TestNativeEdDSA lists what no TPM known to us has: both ids are needed.
func TestNativeEdDSA(t *testing.T) {
	for _, ids := range [][2]bool{{true, true}, {true, false}, {false, true}} {
		e := newEmulator(t)
		p := newProxy(t, e)
		p.record(func(_ int, command, response []byte) []byte {
			if (exchange{command: command}).code() != tpm2.TPMCCGetCapability || len(response) < 23 {
				return response
			}
			switch asked := tpm2.TPMCap(binary.BigEndian.Uint32(command[10:])); {
			case asked == tpm2.TPMCapAlgs && ids[0]: // the last of the list, with 4 bytes of properties
				binary.BigEndian.PutUint16(response[len(response)-6:], 0x0060)
			case asked == tpm2.TPMCapECCCurves && ids[1]:
				binary.BigEndian.PutUint16(response[len(response)-2:], 0x0040)
			}
			return response
		})
		c, err := tpm.NewDevice(p.path, 0).Capabilities(t.Context())
		if err != nil || c.NativeEdDSA != (ids[0] && ids[1]) {
			t.Errorf("%v: %v, %v", ids, c.NativeEdDSA, err)
		}
	}
}

func TestFailuresLeaveNoHandles(t *testing.T) {
	f, p := onBus(t)
	f.setLockout(64)
	f.unlocks()
	good := f.policy()
	failures := 0
	fails := func(want error) {
		t.Helper()
		if _, err := f.unseal(); err == nil || want != nil && !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		failures++
		if n := f.loaded(); n != 0 {
			t.Fatalf("failure %d left %d handles", failures, n)
		}
	}
	f.writePIN(wrongPIN)
	for range 20 {
		fails(tpm.ErrPIN)
	}
	f.writePIN(rightPIN)
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCLoad, tpm2.TPMCCStartAuthSession, tpm2.TPMCCVerifySignature, tpm2.TPMCCPolicyAuthorize, tpm2.TPMCCUnseal} {
		p.record(func(_ int, command, response []byte) []byte {
			if (exchange{command: command}).code() == code {
				response = bytes.Clone(response)
				response[len(response)-1] ^= 1
			}
			return response
		})
		fails(nil)
	}
	p.record(nil)
	f.approve(tpm.Policy{PCRs: tpm.PCRs{7: make([]byte, 32), 11: bytes.Repeat([]byte{1}, 32)}, Limit: good.Limit}, time.Hour)
	fails(nil)
	f.approve(good, time.Hour)
	f.unlocks()
	if n := f.loaded(); n != 0 {
		t.Fatalf("success left %d handles", n)
	}
}

// TestCallerLeaves has the caller go before each command in turn.
func TestCallerLeaves(t *testing.T) {
	f, p := onBus(t)
	f.unlocks()
	p.record(nil)
	f.unlocks()
	unsealing := slices.IndexFunc(p.recorded(), func(e exchange) bool { return e.code() == tpm2.TPMCCUnseal })
	for n := range unsealing {
		p.record(nil)
		ctx, leave := context.WithCancel(t.Context())
		var count atomic.Int32
		p.meanwhile(func(tpm2.TPMCC, transport.TPM) {
			if int(count.Add(1)) == n+1 {
				leave()
				time.Sleep(2 * time.Millisecond)
			}
		})
		if seed, _, err := tpm.Unseal(ctx, f.config); !errors.Is(err, tpm.ErrBusy) || !errors.Is(err, context.Canceled) || seed != nil {
			t.Fatalf("command %d: %v", n, err)
		}
		if n := f.loaded(); n != 0 {
			t.Fatalf("left before a command: %d handles", n)
		}
		for _, e := range p.recorded()[n+1:] {
			if e.code() != tpm2.TPMCCFlushContext {
				t.Fatalf("left before command %d, and command %x was still begun", n, uint32(e.code()))
			}
		}
	}
	p.meanwhile(nil)
	f.unlocks()
}

func TestConcurrentCallers(t *testing.T) {
	f := newFixture(t)
	f.config.Device = f.device()
	alone := f.config
	alone.Device = nil
	var callers sync.WaitGroup
	for n := range 50 {
		callers.Go(func() {
			var err error
			switch n % 5 {
			case 0:
				_, err = f.config.Device.Capabilities(t.Context())
			case 1:
				_, err = f.device().ReadPCRs(t.Context(), 0, 7, 14)
			case 2:
				var key *tpm.Key
				if key, err = tpm.Open(t.Context(), alone); err == nil {
					_, err = key.Sign(nil, []byte("m"), hashless{})
					err = errors.Join(err, key.Close())
				}
			default:
				var seed []byte
				if seed, _, err = tpm.Unseal(t.Context(), f.config); err == nil && !bytes.Equal(seed, f.seed) {
					err = errors.New("another seed")
				}
			}
			if err != nil {
				t.Errorf("caller %d: %v", n, err)
			}
		})
	}
	callers.Wait()
	if n := f.loaded(); n != 0 {
		t.Fatalf("%d handles left", n)
	}
}

// TestHungDriver: one operation is left behind and no more; the others are
// refused in time; the secret that comes too late is wiped.
func TestHungDriver(t *testing.T) {
	e := newEmulator(t)
	d := e.device()
	ctx, leave := context.WithCancel(t.Context())
	late, until := []byte("secret"), make(chan struct{})
	begin := runtime.NumGoroutine()
	if got, err := d.Hang(ctx, leave, until, late); !errors.Is(err, tpm.ErrBusy) || got != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := d.Capabilities(ctx); !errors.Is(err, tpm.ErrBusy) {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if n := settled(begin + 1); n > begin+1 {
		t.Errorf("%d goroutines left behind", n-begin)
	}
	close(until)
	if _, err := d.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := settled(begin); n > begin {
		t.Errorf("%d goroutines left behind", n-begin)
	}
	if !bytes.Equal(late, make([]byte, 6)) {
		t.Errorf("%q is left in memory", late)
	}
}

// settled waits for the number of goroutines to fall to want.
func settled(want int) int {
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > want && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// TestOneKeyManyCallers signs and closes at once.
func TestOneKeyManyCallers(t *testing.T) {
	f := newFixture(t)
	key, err := tpm.Open(t.Context(), f.config)
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for n := range 50 {
		callers.Go(func() {
			if n == 25 {
				key.Close()
			}
			if _, err := key.Sign(nil, []byte("m"), hashless{}); err != nil && !errors.Is(err, tpm.ErrClosed) {
				t.Error(err)
			}
		})
	}
	callers.Wait()
}

func TestLeftoversAreSwept(t *testing.T) {
	f := newFixture(t)
	for range 2 { // agents that were killed during their unlock
		sealPlainly(t, f.raw(), f)
		if _, _, err := tpm2.HMACSession(f.raw(), tpm2.TPMAlgSHA256, 16); err != nil {
			t.Fatal(err)
		}
	}
	f.unlocks()
	if n := f.loaded(); n != 0 {
		t.Fatalf("%d handles left", n)
	}
}

// TestPowerCutCounts: a TPM that lost its power after a use of what it protects
// cannot know whether an attempt was hidden that way, and counts one.
func TestPowerCutCounts(t *testing.T) {
	f := newFixture(t)
	f.unlocks()
	f.restart()
	if n := f.failures().Failures; n != 0 {
		t.Fatalf("%d failures after a restart", n)
	}
	f.unlocks()
	f.kill()
	f.start()
	if n := f.failures().Failures; n != 1 {
		t.Fatalf("%d failures after a power cut", n)
	}
}

func TestPowerCycle(t *testing.T) {
	f, p := onBus(t)
	f.setLockout(32) // see TestPowerCutCounts
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCLoad, tpm2.TPMCCPolicyPCR, tpm2.TPMCCUnseal} {
		var once sync.Once
		p.meanwhile(func(next tpm2.TPMCC, _ transport.TPM) {
			if next == code {
				once.Do(func() { f.control("-i") })
			}
		})
		within(t, "power cycle", func(context.Context) { f.refusesWith(tpm2.TPMRCInitialize) })
		f.refusesWith(tpm2.TPMRCInitialize)
		if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(f.raw()); err != nil {
			t.Fatal(err)
		}
		f.unlocks()
	}
}

func TestKilledTPM(t *testing.T) {
	f, p := onBus(t)
	f.setLockout(32) // see TestPowerCutCounts
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCGetCapability, tpm2.TPMCCStartAuthSession, tpm2.TPMCCLoad, tpm2.TPMCCPolicyAuthorize, tpm2.TPMCCUnseal} {
		var once sync.Once
		p.meanwhile(func(next tpm2.TPMCC, _ transport.TPM) {
			if next == code {
				once.Do(f.kill)
			}
		})
		within(t, "kill -9", func(context.Context) {
			if seed, err := f.unseal(); err == nil || seed != nil {
				t.Errorf("%x: %v", uint32(code), err)
			}
		})
		if seed, err := f.unseal(); err == nil || seed != nil {
			t.Errorf("without a TPM: %v", err)
		}
		f.start()
		f.unlocks()
	}
}

func TestDevicePaths(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/dev/null": "use /dev/tpmrm0", file: "neither a TPM device nor a socket", file + "x": "no such file",
	} {
		if _, err := tpm.NewDevice(path, 0).Capabilities(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestCharacterDevice plays the kernel's driver: readable when the answer is
// there, and not before.
func TestCharacterDevice(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	command, answer := []byte("a command"), []byte("an answer")
	begin := time.Now()
	if _, err := tpm.ExchangeOn(pair[0], command, begin.Add(50*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) < 50*time.Millisecond {
		t.Fatalf("after %v: %v", time.Since(begin), err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		unix.Write(pair[1], answer)
	}()
	got, err := tpm.ExchangeOn(pair[0], command, time.Now().Add(time.Minute))
	if err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("%q, %v", got, err)
	}
}
