// Package remote gives tests an HSM in another process, which can be killed:
// SoftHSM served by p11-kit on a unix socket. It is for tests only; nothing
// that ships imports it.
//
//	caller -> Module -> p11-kit-client.so -> socket -> p11-kit-remote -> Remote -> SoftHSM
//
// p11-kit refuses mechanisms it does not know, and those of EdDSA are among
// them. So the copies of the fault module at its two ends call them by their
// ECDSA names on the way. Key types and key parameters pass as they are, and
// the key in SoftHSM is like any other.
//
// p11-kit-client.so reads the address when it is loaded, from the environment.
// New loads Module, so that the process of the test may have several HSMs;
// child processes are told by Env.
//
// When the remote process is killed, every call answers CKR_DEVICE_ERROR, also
// after Start, until the caller finalises the module and initialises it anew.
// Then it has a new connection, and a process of its own at the other end,
// which knows nothing of earlier sessions and logins. A program in C dies of
// SIGPIPE at its first call; the Go runtime takes that signal.
package remote

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// HSM is a remote HSM with a token directory of its own.
type HSM struct {
	Module *fault.Module // the near end: its Path is for module-path
	Remote *fault.Module // the far end, in front of SoftHSM
	Config string        // what SOFTHSM2_CONF is at the far end, and only there

	t      testing.TB
	dir    string
	server *exec.Cmd // nil while killed
	output bytes.Buffer
}

// New starts an HSM without tokens. It is killed when the test ends.
func New(t testing.TB) *HSM {
	t.Helper()
	r := &HSM{Module: fault.New(t, clientModule(t)), Remote: fault.New(t, softhsm.Module), t: t, dir: shortDir(t)}
	for _, end := range []*fault.Module{r.Module, r.Remote} {
		for eddsa, ecdsa := range renamed {
			end.Rename(eddsa, ecdsa)
		}
	}
	if err := os.Mkdir(filepath.Join(r.dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.Config = r.write("softhsm2.conf", fmt.Sprintf("directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", r.dir))
	r.Start()
	t.Cleanup(r.Kill)
	t.Setenv(addressVariable, r.address())
	if pkcs11.New(r.Module.Path) == nil {
		t.Fatalf("%s cannot be loaded", r.Module.Path)
	}
	return r
}

var renamed = map[uint]uint{
	0x1055: pkcs11.CKM_EC_KEY_PAIR_GEN, // CKM_EC_EDWARDS_KEY_PAIR_GEN
	0x1057: pkcs11.CKM_ECDSA,           // CKM_EDDSA
}

const addressVariable = "P11_KIT_SERVER_ADDRESS"

// Env is the line of the environment that a child process which loads Module needs.
func (r *HSM) Env() string { return addressVariable + "=" + r.address() }

func (r *HSM) address() string { return "unix:path=" + r.socket() }

func (r *HSM) socket() string { return filepath.Join(r.dir, "hsm") }

// Start starts a killed HSM with the tokens it had.
func (r *HSM) Start() {
	r.t.Helper()
	if r.server != nil {
		r.t.Fatal("the HSM runs already")
	}
	cmd := exec.Command("p11-kit", "server", "--foreground", "--timeout", "600", "--name", r.socket(), "--provider", r.Remote.Path, "pkcs11:")
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+r.Config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // for Kill
	cmd.Stderr = &r.output
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatalf("%v: run make deps", err)
	}
	r.server = cmd
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it prints its address when it listens
		r.Kill()
		r.t.Fatalf("p11-kit server: %v\n%s", err, &r.output)
	}
}

// Kill kills the HSM as kill -9 does, in the middle of whatever it is doing:
// the server and its process for each connection. Killing a killed one is
// nothing.
func (r *HSM) Kill() {
	r.t.Helper()
	if r.server == nil {
		return
	}
	group := r.server.Process.Pid
	if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
		r.t.Errorf("kill the HSM: %v", err)
	}
	r.server.Wait()
	r.server = nil
	if r.t.Failed() {
		r.t.Logf("the HSM said: %s", &r.output)
	}
	for range 1000 {
		if len(running(group)) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Errorf("processes %v of the HSM outlived kill -9", running(group))
}

// Key makes a token and, with the same label, a key in it. Both go through the
// server. The key's URI opens it through Module.
func (r *HSM) Key(label string) hsm.GeneratedKey {
	r.t.Helper()
	officer, user := r.write(label+".so-pin", rand.Text()), r.write(label+".pin", rand.Text())
	serial, err := hsm.InitToken(r.t.Context(), r.Module.Path, label, officer, user)
	if err != nil {
		r.t.Fatal(err)
	}
	u := hsm.URI{Token: label, Serial: serial, Object: label, ModulePath: r.Module.Path, PINFile: user}
	key, err := hsm.GenerateKey(r.t.Context(), u, hsm.KeyOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return key
}

func (r *HSM) write(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// shortDir is a directory whose name leaves room in a socket's address, which
// has 107 bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "remote")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
