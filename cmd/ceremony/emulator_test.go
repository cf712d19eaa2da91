package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"countersign.dev/tpm"
)

// emulator is a TPM of its own for one test.
type emulator struct {
	t       testing.TB
	dir     string
	process *exec.Cmd
	exited  chan struct{}
}

// newEmulator starts swtpm in a short directory: a socket's path has to fit into 108 bytes.
func newEmulator(t testing.TB) *emulator {
	t.Helper()
	dir, err := os.MkdirTemp("", "swtpm")
	must(t, err)
	e := &emulator{t: t, dir: dir}
	must(t, os.Mkdir(filepath.Join(dir, "state"), 0o700))
	e.start()
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
		e.t.Fatal("swtpm is not installed: run make deps")
	}
	os.Remove(e.socket())
	e.process = exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+filepath.Join(e.dir, "state"),
		"--server", "type=unixio,path="+e.socket()+",mode=0600", "--flags", "not-need-init,startup-clear")
	var output bytes.Buffer
	e.process.Stdout, e.process.Stderr = &output, &output
	must(e.t, e.process.Start())
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

func (e *emulator) kill() {
	e.process.Process.Kill()
	<-e.exited
}

// restart is a reboot: the registers are as at the start.
func (e *emulator) restart() {
	e.t.Helper()
	_, err := tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}.Execute(e.raw())
	must(e.t, err)
	e.kill()
	e.start()
}

func (e *emulator) raw() transport.TPM {
	e.t.Helper()
	bus, err := linuxudstpm.Open(e.socket())
	must(e.t, err)
	return bus
}

// extend measures something into a register: other firmware, another kernel.
func (e *emulator) extend(pcr uint) {
	e.t.Helper()
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{7}, 32)}}},
	}.Execute(e.raw())
	must(e.t, err)
}

func (e *emulator) capabilities() tpm.Capabilities {
	e.t.Helper()
	c, err := tpm.NewDevice(e.socket(), 0).Capabilities(e.t.Context())
	must(e.t, err)
	return c
}

func (e *emulator) counter() uint64 {
	e.t.Helper()
	n, err := tpm.NewDevice(e.socket(), 0).Counter(e.t.Context())
	must(e.t, err)
	return n
}

// room is a directory with a TPM, an approver, a PIN, and all paths that the verbs want.
type room struct {
	*stage
	*emulator
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{&stage{t, t.TempDir()}, newEmulator(t)}
	r.write("pin", "correct horse")
	r.done("tpm", "approver", "--out", r.path("approver"))
	return r
}

// run types input; done wants it to end well, refused wants it not to, for a reason.
func (r *room) done(args ...string) string { return r.typing("", args...) }

func (r *room) typing(input string, args ...string) string {
	r.stage.t.Helper()
	out, status := r.run(input, args...)
	if status != 0 {
		r.stage.t.Fatalf("%q: status %d\n%s", args, status, out)
	}
	r.secretless(out)
	return out
}

func (r *room) refused(why string, args ...string) string {
	r.stage.t.Helper()
	out, status := r.run("", args...)
	if status != 1 || !strings.Contains(out, why) {
		r.stage.t.Fatalf("%q: status %d, want %q\n%s", args, status, why, out)
	}
	r.secretless(out)
	return out
}

// secretless looks for the content of every secret file in what was printed.
func (s *stage) secretless(out string) {
	s.t.Helper()
	entries, err := os.ReadDir(s.dir)
	must(s.t, err)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode().Perm() == 0o600 && e.Name() != "ceremony.toml" {
			if text := strings.TrimSpace(s.read(e.Name())); text != "" && strings.Contains(out, text) {
				s.t.Errorf("what is in %s is in the transcript:\n%s", e.Name(), out)
			}
		}
	}
}

func (r *room) seat() []string {
	return []string{"--device", r.socket(), "--owner-auth", r.path("owner"), "--lockout-auth", r.path("lockout")}
}

func (r *room) seal() string {
	r.stage.t.Helper()
	return r.done(r.sealing()...)
}

func (r *room) sealing() []string {
	return append([]string{"tpm", "seal", "--appliance", "host-1", "--approver", r.path("approver.pub"), "--pin-file", r.path("pin"), "--pcr", "7", "--pcr", "11",
		"--out", r.path("sealed"), "--approvals", r.path("approvals"), "--request", r.path("request")}, r.seat()...)
}

// uri is what the key's agent has.
func (r *room) uri() string {
	r.stage.t.Helper()
	sealed, err := tpm.ParseSealed([]byte(r.read("sealed")))
	must(r.stage.t, err)
	return tpm.URI{SRK: sealed.Storage.Name(), Device: r.socket(), SealedPath: r.path("sealed"), ApprovalPath: r.path("approvals"), PINFile: r.path("pin")}.String()
}

// approve signs a request for a day.
func (r *room) approve(request, out string) {
	r.stage.t.Helper()
	r.typing("host-1\n", r.approving(request, out)...)
}

func (r *room) approving(request, out string) []string {
	return []string{"tpm", "approve", "--request", r.path(request), "--approver", r.path("approver.key"),
		"--not-after", time.Now().Add(24 * time.Hour).UTC().Format("2006-01-02T15:04:05Z"), "--out", r.path(out)}
}

// sealed is a key with one approval in place.
func sealedRoom(t *testing.T) *room {
	t.Helper()
	r := newRoom(t)
	r.seal()
	r.approve("request", "approval")
	r.done("tpm", "add-approval", "--key", r.uri(), "--approval", r.path("approval"))
	return r
}

func (r *room) open() error {
	r.stage.t.Helper()
	u, err := tpm.ParseURI(r.uri())
	must(r.stage.t, err)
	return openURI(u)
}

func openURI(u tpm.URI) error {
	sealed, err := readSealed(u)
	if err != nil {
		return err
	}
	key, err := prove(context.Background(), u, sealed.PublicKey)
	if err != nil {
		return err
	}
	return key.Close()
}

// tpmKey writes the lines of ceremony.toml for a key sealed to a TPM.
func (s *stage) tpmKey(name string, e *emulator) string {
	s.t.Helper()
	s.write(name+".tpm.pin", "pin of "+name)
	return fmt.Sprintf("pin_file = %q\n[log.key.tpm]\ndevice = %q\nappliance = %q\npcrs = [7, 11]\napprover = %q\napprover_key = %q\nsealed = %q\napprovals = %q\nowner_auth = %q\nlockout_auth = %q\n",
		s.path(name+".tpm.pin"), e.socket(), "host-"+name, s.path("approver.pub"), s.path("approver.key"), s.path(name+".sealed"), s.path(name+".approvals"), s.path(name+".owner"), s.path(name+".lockout"))
}
