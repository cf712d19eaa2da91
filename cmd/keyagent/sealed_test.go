package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign.dev/agent"
	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// emulator is a TPM of its own for one test, behind a unix socket.
type emulator struct {
	dir     string
	process *exec.Cmd
	exited  chan struct{}

	seed     []byte // of the key that is sealed in it
	approver *ecdsa.PrivateKey
	sealed   *tpm.Sealed
}

func newEmulator(t testing.TB) *emulator {
	t.Helper()
	dir, err := os.MkdirTemp("", "swtpm") // short: the name of a unix socket has at most 107 bytes
	must(t, err)
	e := &emulator{dir: dir}
	must(t, os.Mkdir(e.path("state"), 0o700))
	e.start(t)
	t.Cleanup(func() {
		e.kill()
		os.RemoveAll(dir)
	})
	return e
}

func (e *emulator) path(name string) string { return filepath.Join(e.dir, name) }

func (e *emulator) start(t testing.TB) {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Fatal("swtpm is not installed: run `make deps`")
	}
	os.Remove(e.path("tpm.sock"))
	e.process = exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+e.path("state"),
		"--server", "type=unixio,path="+e.path("tpm.sock")+",mode=0600", "--flags", "not-need-init,startup-clear")
	var output bytes.Buffer
	e.process.Stdout, e.process.Stderr = &output, &output
	must(t, e.process.Start())
	exited := make(chan struct{})
	e.exited = exited
	go func() {
		e.process.Wait()
		close(exited)
	}()
	for {
		if c, err := net.Dial("unix", e.path("tpm.sock")); err == nil {
			c.Close()
			return
		}
		select {
		case <-exited:
			t.Fatalf("swtpm ended: %s", output.Bytes())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// kill is a power cut.
func (e *emulator) kill() {
	e.process.Process.Kill()
	<-e.exited
}

// shutdown tells the TPM before.
func (e *emulator) shutdown(t testing.TB) {
	t.Helper()
	raw, err := linuxudstpm.Open(e.path("tpm.sock"))
	must(t, err)
	_, err = tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}.Execute(raw)
	must(t, err)
	e.kill()
}

func (e *emulator) device() *tpm.Device { return tpm.NewDevice(e.path("tpm.sock"), 0) }

// failures is how many wrong PINs the TPM counts.
func (e *emulator) failures(t testing.TB) int {
	t.Helper()
	c, err := e.device().Capabilities(t.Context())
	must(t, err)
	return int(c.Lockout.Failures)
}

// approve signs the state the machine is in.
func (e *emulator) approve(t testing.TB, validity time.Duration) {
	t.Helper()
	pcrs, err := e.device().ReadPCRs(t.Context(), 7, 11)
	must(t, err)
	counter, err := e.device().Counter(t.Context())
	must(t, err)
	a, err := tpm.Approve(e.approver, e.sealed.Ref(), tpm.Policy{PCRs: pcrs, Limit: counter}, time.Now().Add(validity))
	must(t, err)
	must(t, os.WriteFile(e.path("approvals"), tpm.FormatApprovals([]tpm.Approval{a}), 0o600))
}

// newSealedSetup is newSetup with a key that a TPM has sealed.
func newSealedSetup(t *testing.T) *setup {
	t.Helper()
	const pin = "correct horse battery"
	e := newEmulator(t)
	e.seed = make([]byte, ed25519.SeedSize)
	rand.Read(e.seed)
	var err error
	e.approver, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	must(t, e.device().SetLockout(t.Context(), nil, tpm.LockoutState{Max: 10, Forget: time.Hour, Recovery: time.Hour}))
	storage, err := e.device().Provision(t.Context(), nil)
	must(t, err)
	e.sealed, err = e.device().Seal(t.Context(), tpm.Sealing{
		Storage: storage, Appliance: "appliance-1", Approver: &e.approver.PublicKey, PIN: []byte(pin), PCRs: []uint{7, 11},
	}, bytes.Clone(e.seed))
	must(t, err)
	text, err := e.sealed.Format()
	must(t, err)
	must(t, os.WriteFile(e.path("sealed"), text, 0o600))
	must(t, os.WriteFile(e.path("pin"), []byte(pin+"\n"), 0o600))
	e.approve(t, time.Hour)
	u := tpm.URI{SRK: storage.Name(), Device: e.path("tpm.sock"), SealedPath: e.path("sealed"), ApprovalPath: e.path("approvals"), PINFile: e.path("pin")}
	s := &setup{emulator: e, uri: u.String(), pinFile: u.PINFile, publicKey: ed25519.NewKeyFromSeed(e.seed).Public().(ed25519.PublicKey)}
	s.begin(t)
	return s
}

// The seed is in the agent: the TPM may go, until the next start.
func TestSealedKeySignsWithoutItsTPM(t *testing.T) {
	s := newSealedSetup(t)
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	s.emulator.shutdown(t)
	must(t, s.sign(t.Context(), c))
	p.end(t)
	start(t, nil, "--config", s.config).wantExit(t, 1, "tpm.sock")
	s.emulator.start(t)
	p = start(t, nil, "--config", s.config)
	c, _ = s.wait(t)
	must(t, s.sign(t.Context(), c))
	p.end(t)
}

// What can pass is told and exits with 1; what a person has to look at, with 78. No PIN is tried for either.
func TestSealedKeyRefusals(t *testing.T) {
	s := newSealedSetup(t)
	e := s.emulator
	good, err := os.ReadFile(e.path("approvals"))
	must(t, err)
	e.approve(t, -time.Minute)
	start(t, nil, "--config", s.config).wantExit(t, 1, "expired")
	must(t, os.WriteFile(e.path("approvals"), good, 0o600))
	_, err = e.device().Advance(t.Context(), nil)
	must(t, err)
	start(t, nil, "--config", s.config).wantExit(t, 1, "have the approver sign a newer one")
	e.approve(t, time.Hour)
	i := strings.Index(s.uri, "srk=000b") + len("srk=000b")
	other := s.uri[:i] + strings.Repeat("0", 64) + s.uri[i+64:]
	start(t, nil, "--config", s.write(t, other, s.public())).wantExit(t, 78, "find out who replaced it")
	s.wantWrongPINs(t, 0)
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	must(t, s.sign(t.Context(), c))
	p.end(t)
}

// Invariant 9: a TPM that counts too many wrong PINs is not asked, and the last attempt stays the operator's.
func TestInvariant9LockoutKeepsTheAgentDown(t *testing.T) {
	s := newSealedSetup(t)
	must(t, s.emulator.device().SetLockout(t.Context(), nil, tpm.LockoutState{Max: 3, Forget: time.Hour, Recovery: time.Hour}))
	pin, err := os.ReadFile(s.pinFile)
	must(t, err)
	for n := range 2 {
		must(t, os.WriteFile(s.pinFile, fmt.Appendf(nil, "wrong-%d\n", n), 0o600))
		start(t, nil, "--config", s.config).wantExit(t, 78, "the TPM refused the PIN")
	}
	must(t, os.WriteFile(s.pinFile, pin, 0o600))
	for range 3 {
		start(t, nil, "--config", s.config).wantExit(t, 78, "the last attempt is not made by itself")
	}
	s.wantWrongPINs(t, 2)
	must(t, s.emulator.device().ResetLockout(t.Context(), nil))
	p := start(t, nil, "--config", s.config)
	s.wait(t)
	p.end(t)
}

const sealedOrigin = "registry.example/countersign/2"

// both is a token's log and a sealed key's in one agent, and the setup of the latter.
func both(t *testing.T, settings ...string) (token, sealed *setup) {
	t.Helper()
	token, sealed = newSetup(t), newSealedSetup(t)
	sealed.socket, sealed.state = token.socket, token.state
	must(t, agent.CreateState(token.state, sealedOrigin, sealed.log.head(t, 1)))
	text, err := os.ReadFile(token.write(t, token.uri, token.public(), settings...))
	must(t, err)
	second := fmt.Sprintf("[[log]]\norigin = %q\nkey = %q\npublic_key = %q\nlog_keys = [%q]\nthreshold = 1\n",
		sealedOrigin, sealed.uri, spki(t, sealed.public()), spki(t, sealed.public()))
	token.config = writeFile(t, string(text)+second)
	return token, sealed
}

// signSealed is sign for the second log.
func (s *setup) signSealed(t *testing.T, c *agent.Client) error {
	mark, err := c.Watermark(t.Context(), sealedOrigin)
	if err != nil {
		return err
	}
	sig, _, err := c.Sign(t.Context(), sealedOrigin, mark, nil)
	if err == nil && !ed25519.Verify(s.public(), []byte(mark.Text(sealedOrigin)), sig[:]) {
		err = fmt.Errorf("a wrong signature")
	}
	return err
}

// A start in place for the token's sake unseals the other key again. Signatures by a sealed key are no reason for one. A
// successor whose TPM is away serves, and goes on trying.
func TestStartsInPlaceWithASealedKey(t *testing.T) {
	token, sealed := both(t, "recycle_after = 3")
	p := start(t, nil, "--config", token.config)
	c, _ := token.wait(t)
	for range 10 {
		must(t, sealed.signSealed(t, c))
	}
	if p.again() != 0 {
		t.Fatal("signatures by a sealed key made it start again")
	}
	for range 3 {
		must(t, token.sign(t.Context(), c))
	}
	p.waitAgain(t, 1)
	p.waitFor(t, "the sealed key", func() bool { return sealed.signSealed(t, c) == nil })

	sealed.emulator.shutdown(t)
	for range 3 {
		must(t, token.sign(t.Context(), c))
	}
	p.waitAgain(t, 2)
	must(t, token.sign(t.Context(), c))
	p.waitFor(t, "the reason", func() bool {
		logs, err := c.Logs(t.Context())
		must(t, err)
		return strings.HasPrefix(logs[1].Device, "recovering since ") && strings.Contains(logs[1].Device, "tpm.sock")
	})
	if status := token.health(t); status != http.StatusServiceUnavailable {
		t.Fatalf("health without the TPM: %d", status)
	}
	sealed.emulator.start(t)
	p.waitFor(t, "the sealed key again", func() bool { return sealed.signSealed(t, c) == nil })
	if n := strings.Count(p.output.String(), "msg=unsealed"); n != 3 {
		t.Errorf("unsealed %d times, want 3", n)
	}
	p.end(t)
}

// A PIN that the TPM refuses in a successor is remembered and ends the agent.
func TestInvariant9SealedPINRefusedInASuccessor(t *testing.T) {
	token, sealed := both(t, "recycle_after = 1")
	p := start(t, nil, "--config", token.config)
	c, _ := token.wait(t)
	must(t, os.WriteFile(sealed.pinFile, []byte("wrong-pin\n"), 0o600))
	must(t, token.sign(t.Context(), c))
	p.wantExit(t, 78, "the TPM refused the PIN")
	start(t, nil, "--config", token.config).wantExit(t, 78, "delete "+token.latch())
	sealed.wantWrongPINs(t, 1)
}
