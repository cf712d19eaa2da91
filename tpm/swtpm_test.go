package tpm_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// emulator is a TPM of its own for one test.
type emulator struct {
	t       testing.TB
	dir     string
	process *exec.Cmd
	exited  chan struct{}
}

// newEmulator starts swtpm in a short directory: a socket's path has to fit into
// 108 bytes.
func newEmulator(t testing.TB) *emulator {
	t.Helper()
	e := newMachine(t)
	if err := os.Mkdir(filepath.Join(e.dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	e.start()
	return e
}

// newMachine has a TPM that was neither made nor started yet.
func newMachine(t testing.TB) *emulator {
	t.Helper()
	dir, err := os.MkdirTemp("", "swtpm")
	if err != nil {
		t.Fatal(err)
	}
	e := &emulator{t: t, dir: dir}
	t.Cleanup(func() {
		e.kill()
		os.RemoveAll(dir)
	})
	return e
}

func (e *emulator) socket() string { return filepath.Join(e.dir, "tpm.sock") }

func (e *emulator) start() {
	e.t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		e.t.Fatal("swtpm is not installed: run `make deps`")
	}
	os.Remove(e.socket())
	e.process = exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+filepath.Join(e.dir, "state"),
		"--server", "type=unixio,path="+e.socket()+",mode=0600",
		"--ctrl", "type=unixio,path="+e.socket()+".ctrl,mode=0600",
		"--flags", "not-need-init,startup-clear")
	var output bytes.Buffer
	e.process.Stdout, e.process.Stderr = &output, &output
	if err := e.process.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.exited = make(chan struct{})
	go func() {
		e.process.Wait()
		close(e.exited)
	}()
	for {
		if conn, err := net.Dial("unix", e.socket()); err == nil {
			conn.Close()
			return
		}
		select {
		case <-e.exited:
			e.t.Fatalf("swtpm ended: %s", output.Bytes())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// kill is a power cut: SIGKILL.
func (e *emulator) kill() {
	if e.process == nil {
		return
	}
	e.process.Process.Kill()
	<-e.exited
}

// restart is a reboot of the machine: the kernel tells the TPM before.
func (e *emulator) restart() {
	e.t.Helper()
	if _, err := (tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}).Execute(e.raw()); err != nil {
		e.t.Fatal(err)
	}
	e.kill()
	e.start()
}

// control runs swtpm_ioctl.
func (e *emulator) control(arguments ...string) {
	e.t.Helper()
	program, err := exec.LookPath("swtpm_ioctl")
	if err != nil {
		e.t.Fatal("swtpm_ioctl is not installed: run `make deps`")
	}
	if out, err := exec.Command(program, append([]string{"--unix", e.socket() + ".ctrl"}, arguments...)...).CombinedOutput(); err != nil {
		e.t.Fatalf("swtpm_ioctl: %v: %s", err, out)
	}
}

// raw is the TPM without this package.
func (e *emulator) raw() transport.TPMCloser {
	e.t.Helper()
	t, err := linuxudstpm.Open(e.socket())
	if err != nil {
		e.t.Fatal(err)
	}
	return t
}

// loaded counts what occupies the TPM's slots.
func (e *emulator) loaded() int {
	e.t.Helper()
	count := 0
	for _, first := range []uint32{0x80000000, 0x02000000, 0x03000000} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(e.raw())
		if err != nil {
			e.t.Fatal(err)
		}
		list, err := r.CapabilityData.Data.Handles()
		if err != nil {
			e.t.Fatal(err)
		}
		count += len(list.Handle)
	}
	return count
}

func (e *emulator) extend(pcr uint) {
	e.t.Helper()
	extend(e.t, e.raw(), pcr)
}

func extend(t testing.TB, bus transport.TPM, pcr uint) {
	t.Helper()
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{
			HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{7}, 32),
		}}},
	}.Execute(bus)
	if err != nil {
		t.Error(err)
	}
}

// advance counts the counter up behind the package's back.
func advance(t testing.TB, bus transport.TPM) {
	t.Helper()
	r, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(tpm.CounterIndex)}.Execute(bus)
	if err != nil {
		t.Error(err)
		return
	}
	_, err = tpm2.NVIncrement{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		NVIndex:    tpm2.NamedHandle{Handle: tpm.CounterIndex, Name: r.NVName},
	}.Execute(bus)
	if err != nil {
		t.Error(err)
	}
}

func (e *emulator) failures() tpm.LockoutState {
	e.t.Helper()
	c, err := e.device().Capabilities(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return c.Lockout
}

func (e *emulator) resetLockout() {
	e.t.Helper()
	if err := e.device().ResetLockout(e.t.Context(), nil); err != nil {
		e.t.Fatal(err)
	}
}

func (e *emulator) device() *tpm.Device { return tpm.NewDevice(e.socket(), 0) }

const (
	rightPIN = "correct horse battery"
	wrongPIN = "incorrect horse"
)

var boundPCRs = []uint{7, 11}

// fixture is a key sealed in an emulator, with its files.
type fixture struct {
	*emulator
	config   tpm.Config
	seed     []byte
	approver *ecdsa.PrivateKey
	storage  tpm.Storage
	sealed   *tpm.Sealed
	sealedAt tpm.Policy
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return sealedIn(newEmulator(t))
}

func sealedIn(e *emulator) *fixture {
	t := e.t
	t.Helper()
	f := &fixture{emulator: e, approver: newApproverKey(t), seed: make([]byte, ed25519.SeedSize)}
	rand.Read(f.seed)
	var err error
	if f.storage, err = f.device().Provision(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f.config = tpm.Config{
		URI: tpm.URI{
			SRK: f.storage.Name(), Device: f.socket(), SealedPath: filepath.Join(f.dir, "sealed"),
			ApprovalPath: filepath.Join(f.dir, "approvals"), PINFile: filepath.Join(f.dir, "pin"),
		},
		PublicKey: ed25519.NewKeyFromSeed(f.seed).Public().(ed25519.PublicKey),
	}
	f.sealed = f.seal("appliance-1")
	f.writeSealed(f.sealed)
	f.writePIN(rightPIN)
	f.sealedAt = f.policy()
	f.approve(f.sealedAt, time.Hour)
	return f
}

func newApproverKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (f *fixture) seal(appliance string) *tpm.Sealed {
	f.t.Helper()
	s, err := f.device().Seal(f.t.Context(), tpm.Sealing{
		Storage: f.storage, Appliance: appliance, Approver: &f.approver.PublicKey, PIN: []byte(rightPIN), PCRs: boundPCRs,
	}, f.seed)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// policy is the machine's present state.
func (f *fixture) policy() tpm.Policy {
	f.t.Helper()
	pcrs, err := f.device().ReadPCRs(f.t.Context(), boundPCRs...)
	if err != nil {
		f.t.Fatal(err)
	}
	counter, err := f.device().Counter(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return tpm.Policy{PCRs: pcrs, Limit: counter}
}

func (f *fixture) signed(p tpm.Policy, validity time.Duration) tpm.Approval {
	f.t.Helper()
	a, err := tpm.Approve(f.approver, f.sealed.Ref(), p, time.Now().Add(validity))
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) approve(p tpm.Policy, validity time.Duration) {
	f.t.Helper()
	f.writeApprovals(f.signed(p, validity))
}

func (f *fixture) writeApprovals(list ...tpm.Approval) {
	f.t.Helper()
	f.write(f.config.URI.ApprovalPath, tpm.FormatApprovals(list))
}

func (f *fixture) writeSealed(s *tpm.Sealed) {
	f.t.Helper()
	b, err := s.Format()
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(f.config.URI.SealedPath, b)
}

func (f *fixture) writePIN(pin string) { f.write(f.config.URI.PINFile, []byte(pin+"\n")) }

func (f *fixture) write(path string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) unseal() ([]byte, error) {
	seed, _, err := tpm.Unseal(f.t.Context(), f.config)
	return seed, err
}

// unlocks insists on a good unlock.
func (f *fixture) unlocks() {
	f.t.Helper()
	seed, err := f.unseal()
	if err != nil {
		f.t.Fatal(err)
	}
	if !bytes.Equal(seed, f.seed) {
		f.t.Fatal("another seed")
	}
}

// refuses insists on an error that matches as, and returns it.
func refuses[E error](f *fixture) (found E) {
	f.t.Helper()
	seed, err := f.unseal()
	if !errors.As(err, &found) || seed != nil {
		f.t.Fatalf("%v, want %T", err, found)
	}
	return found
}

func (f *fixture) refusesWith(want error) {
	f.t.Helper()
	if seed, err := f.unseal(); !errors.Is(err, want) || seed != nil {
		f.t.Fatalf("%v, want %v", err, want)
	}
}

// within fails the test if what is called does not return: nothing may hang.
func within(t *testing.T, what string, call func(ctx context.Context)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call(t.Context())
	}()
	select {
	case <-done:
	case <-time.After(90 * time.Second):
		t.Fatalf("%s: hangs", what)
	}
}
