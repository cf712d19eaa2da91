package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"countersign.dev/attest"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/provenance"
	"countersign.dev/strict"
	"countersign.dev/tpm"
)

// newTPMStage is a stage whose log keys are sealed to emulators.
func newTPMStage(t *testing.T, m int, emulators map[string]*emulator) *stage {
	t.Helper()
	s := newStage(t, m)
	s.replace("[log]", "[log]\n") // keys follow
	var b strings.Builder
	for _, name := range []string{"a", "b", "c"} {
		if e := emulators[name]; e != nil {
			must(t, os.Mkdir(s.path("state-"+name), 0o700))
			fmt.Fprintf(&b, "[[log.key]]\nname = %q\nstate_dir = %q\nsocket = %q\n%s", name, s.path("state-"+name), s.path(name+".sock"), s.tpmKey(name, e))
		}
	}
	s.write("ceremony.toml", s.read("ceremony.toml")+b.String())
	if out, status := s.run("", "tpm", "approver", "--out", s.path("approver")); status != 0 {
		t.Fatal(out)
	}
	return s
}

// agentKey is the key of an agent's configuration.
func (s *stage) agentKey(name string) (key, public string) {
	s.t.Helper()
	var c struct {
		Socket   string `toml:"socket"`
		StateDir string `toml:"state_dir"`
		Own      bool   `toml:"demo_own_uid"`
		Log      []struct {
			Origin    string   `toml:"origin"`
			Key       string   `toml:"key"`
			PublicKey string   `toml:"public_key"`
			Threshold int      `toml:"threshold"`
			LogKeys   []string `toml:"log_keys"`
		} `toml:"log"`
	}
	must(s.t, strict.TOML([]byte(s.read("out/keyagent-"+name+".toml")), &c))
	return c.Log[0].Key, c.Log[0].PublicKey
}

// made wants a registry whose agents' sealed keys open and are the identity's.
func (s *stage) made(out string, names ...string) {
	t := s.t
	t.Helper()
	s.secretless(out)
	envelopes, err := provenance.ParseEnvelopes([]byte(strings.TrimSpace(s.read("out/identity.json"))))
	must(t, err)
	chain, err := provenance.ParseChain(envelopes)
	must(t, err)
	for _, name := range names {
		key, public := s.agentKey(name)
		u, err := tpm.ParseURI(key)
		must(t, err)
		sealed, err := readSealed(u)
		must(t, err)
		pinned, err := provenance.NewPublicKey(sealed.PublicKey)
		must(t, err)
		if pinned.String() != public || !chain.Last().Holds(pinned) {
			t.Errorf("agent %s has another key than the registry's", name)
		}
		must(t, openURI(u))
		if !strings.Contains(out, "Key "+name+" opens and signs") {
			t.Errorf("key %s was not proved:\n%s", name, out)
		}
	}
}

func TestCreateSealed(t *testing.T) {
	softhsm.New(t)
	e := map[string]*emulator{"a": newEmulator(t), "b": newEmulator(t), "c": newEmulator(t)}
	s := newTPMStage(t, 2, e)
	out, status := s.create("")
	if status != 0 {
		t.Fatal(out)
	}
	s.made(out, "a", "b", "c")
	s.shown(s.chain().Last(), attest.ErrUnchecked) // no auditor has tied the AKs to the TPMs yet
	for name, e := range e {
		if c := e.capabilities(); !c.OwnerAuth || !c.LockedAuth || c.Lockout.Max < 10 || c.Lockout.Failures != 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if !strings.Contains(out, "DEMO: the approver's private key is on this machine") || !strings.Contains(out, "For all who use it, this will") {
		t.Error(out)
	}
	e["a"].extend(7)
	key, _ := s.agentKey("a")
	u, err := tpm.ParseURI(key)
	must(t, err)
	if err := openURI(u); err == nil {
		t.Error("it opens in another state")
	}
	// The same again makes nothing and changes nothing.
	before := s.read("a.sealed")
	if out, status := s.create(""); status != 1 || !strings.Contains(out, "overwrites nothing") || s.read("a.sealed") != before {
		t.Fatalf("%d %s", status, out)
	}
}

// Keys in tokens and in a TPM, in one log; the approver is elsewhere.
func TestCreateSealedWithApproverElsewhere(t *testing.T) {
	softhsm.New(t)
	s := newTPMStage(t, 1, map[string]*emulator{"a": newEmulator(t)})
	s.replace(fmt.Sprintf("approver_key = %q\n", s.path("approver.key")), "")
	s.replace("[[log.key]]\nname = \"a\"", "[[log.key]]\nname = \"t\"\nstate_dir = "+fmt.Sprintf("%q", s.dir)+"\nsocket = \"/t.sock\"\n"+s.token("log-t")+"[[log.key]]\nname = \"a\"")
	s.replace("[log]\n\nthreshold = 1", "[log]\nthreshold = 2")
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	ended := make(chan int)
	go func() {
		status := run(context.Background(), []string{"create", "--config", s.path("ceremony.toml")}, terminal{in, out, out})
		out.Close()
		ended <- status
	}()
	var all strings.Builder
	enters := 0
	for lines := bufio.NewScanner(shown); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if !strings.Contains(lines.Text(), "Then press Enter.") {
			continue
		}
		if enters++; enters == 2 { // the first time it is not there yet
			s.approveA()
		}
		fmt.Fprintln(typed)
	}
	if status := <-ended; status != 0 || enters != 2 || !strings.Contains(all.String(), "Not yet: approvals: open") {
		t.Fatalf("%d after %d\n%s", status, enters, &all)
	}
	s.made(all.String(), "a")
	if key, _ := s.agentKey("t"); !strings.HasPrefix(key, "pkcs11:") {
		t.Errorf("agent t has %s", key)
	}
}

// Whatever is wrong is refused before a TPM or a token is changed.
func TestCreateSealedRefuses(t *testing.T) {
	softhsm.New(t)
	for why, arrange := range map[string]func(s *stage, e *emulator){
		"demos only":                        func(s *stage, _ *emulator) { s.replace("demo = true", "") },
		"a.sealed exists":                   func(s *stage, _ *emulator) { s.write("a.sealed", "") },
		"a.approvals exists":                func(s *stage, _ *emulator) { s.write("a.approvals", "") },
		"a.approvals.request exists":        func(s *stage, _ *emulator) { s.write("a.approvals.request", "") },
		"the PIN is empty":                  func(s *stage, _ *emulator) { s.write("a.tpm.pin", "\n") },
		"reset by any program":              func(s *stage, _ *emulator) { s.replace("[7, 11]", "[7, 16]") },
		"at least one register":             func(s *stage, _ *emulator) { s.replace("[7, 11]", "[]") },
		"printable ASCII":                   func(s *stage, _ *emulator) { s.replace("host-a", "host a") },
		"is not an absolute path":           func(s *stage, _ *emulator) { s.replace("sealed = \"/", "sealed = \"") },
		"a token and a TPM":                 func(s *stage, _ *emulator) { s.replace("[log.key.tpm]", "token = \"x\"\n[log.key.tpm]") },
		"holds no PUBLIC KEY":               func(s *stage, _ *emulator) { s.replace("approver.pub", "approver.key") },
		"is named twice":                    func(s *stage, _ *emulator) { s.replace("a.lockout", "a.owner") },
		"unknown":                           func(s *stage, _ *emulator) { s.replace("appliance =", "colour = 1\nappliance =") },
		"no such file":                      func(s *stage, e *emulator) { e.kill(); os.Remove(e.socket()) },
		"has an authorisation already":      func(s *stage, e *emulator) { must(s.t, setAuth(&room{s, e}, tpm2.TPMRHOwner, "0123456789abcdef")) },
		"token root exists":                 func(s *stage, e *emulator) { softhsm.New(s.t).Token("root") },
		"neither a TPM device nor a socket": func(s *stage, e *emulator) { s.replace(e.socket(), s.path("a.tpm.pin")+"x"); s.write("a.tpm.pinx", "") },
	} {
		t.Run(why, func(t *testing.T) {
			e := newEmulator(t)
			s := newTPMStage(t, 1, map[string]*emulator{"a": e})
			arrange(s, e)
			owned := false
			if _, err := os.Stat(e.socket()); err == nil {
				owned = e.capabilities().LockedAuth
			}
			out, status := s.create("")
			if status != 1 || !strings.Contains(out, why) {
				t.Fatalf("%d %s", status, out)
			}
			s.nothing()
			s.secretless(out)
			if strings.Contains(out, "Made") || strings.Contains(out, "Wrote") || !owned && statSocket(e) && e.capabilities().LockedAuth {
				t.Errorf("it made something first:\n%s", out)
			}
		})
	}
	// Two keys with one TPM.
	e := newEmulator(t)
	s := newTPMStage(t, 2, map[string]*emulator{"a": e, "b": e})
	if out, status := s.create(""); status != 1 || !strings.Contains(out, "a TPM and files of its own") {
		t.Errorf("%d %s", status, out)
	}
}

func statSocket(e *emulator) bool {
	_, err := os.Stat(e.socket())
	return err == nil
}

// An approval that does not hold is asked for again; a wrong PIN ends the ceremony, after one attempt. So does ^C.
func TestCreateSealedWaits(t *testing.T) {
	softhsm.New(t)
	for name, c := range map[string]struct {
		answer func(s *stage, typed io.Writer, interrupt func())
		why    string
	}{
		"wrong PIN": {func(s *stage, typed io.Writer, _ func()) {
			s.approveA()
			s.write("a.tpm.pin", "changed meanwhile")
			fmt.Fprintln(typed)
		}, "30 attempts left"},
		"^C": {func(_ *stage, _ io.Writer, interrupt func()) { interrupt() }, "no approval: context canceled"},
		"^D": {func(_ *stage, typed io.Writer, _ func()) { typed.(io.Closer).Close() }, "no approval: EOF"},
		"no form": {func(s *stage, typed io.Writer, _ func()) {
			s.write("a.approvals", "{}")
			fmt.Fprintln(typed)
			typed.(io.Closer).Close()
		}, "not version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			softhsm.New(t)
			e := newEmulator(t)
			s := newTPMStage(t, 1, map[string]*emulator{"a": e})
			s.replace(fmt.Sprintf("approver_key = %q\n", s.path("approver.key")), "")
			in, typed := io.Pipe()
			var out output
			ctx, interrupt := context.WithCancel(t.Context())
			ended := make(chan int)
			go func() {
				ended <- run(ctx, []string{"create", "--config", s.path("ceremony.toml")}, terminal{in, &out, &out})
			}()
			out.wait(t, "Then press Enter.")
			c.answer(s, typed, interrupt)
			if status := <-ended; status != 1 || !strings.Contains(out.String(), c.why) || !strings.Contains(out.String(), "remove the tokens, the watermarks") ||
				!strings.Contains(out.String(), s.path("a.sealed")+", "+s.path("a.approvals.request")) || !strings.Contains(out.String(), "Keep the files that owner_auth") {
				t.Fatalf("%d %s", status, &out)
			}
			s.nothing()
			if n := e.capabilities().Lockout.Failures; n > 1 {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

func (s *stage) approveA() {
	s.t.Helper()
	out, status := s.run("host-a\n", "tpm", "approve", "--request", s.path("a.approvals.request"), "--approver", s.path("approver.key"),
		"--not-after", "2090-01-01T00:00:00Z", "--out", s.path("a.approvals"))
	if status != 0 {
		s.t.Error(out)
	}
}

// An approval of another key does not finish a ceremony; the right one then does.
func TestCreateSealedForeignApproval(t *testing.T) {
	softhsm.New(t)
	s := newTPMStage(t, 1, map[string]*emulator{"a": newEmulator(t)})
	s.replace(fmt.Sprintf("approver_key = %q\n", s.path("approver.key")), "")
	r := sealedRoom(t)
	in, typed := io.Pipe()
	var out output
	ended := make(chan int)
	go func() {
		ended <- run(context.Background(), []string{"create", "--config", s.path("ceremony.toml")}, terminal{in, &out, &out})
	}()
	out.wait(t, "Then press Enter.")
	s.write("a.approvals", r.read("approval"))
	fmt.Fprintln(typed)
	out.wait(t, "is for another key or appliance")
	must(t, os.Remove(s.path("a.approvals")))
	s.approveA()
	fmt.Fprintln(typed)
	if status := <-ended; status != 0 {
		t.Fatalf("%d %s", status, &out)
	}
	s.made(out.String(), "a")
}

// output collects what is printed while it is printed.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) wait(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(o.String(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q does not come:\n%s", want, o)
		}
	}
}

// asCommand has the test program be ceremony itself.
const asCommand = "CEREMONY_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// Killed at any line of its transcript, create leaves what the next run refuses by name; with that removed, the next run
// makes everything. The TPM stays as it is: its provisioning goes on where it was.
func TestCreateSealedKilled(t *testing.T) {
	for _, at := range []string{"Made key root", "wrong PINs lock it, one", "Wrote a.lockout", "its storage key is", "authorisation of its owner is in", "Sealed key a", "Wrote the request", "opens and signs", "Made the identity", "Made the ledger"} {
		t.Run(at, func(t *testing.T) {
			softhsm.New(t)
			e := newEmulator(t)
			s := newTPMStage(t, 1, map[string]*emulator{"a": e})
			at := strings.Replace(at, "a.lockout", s.path("a.lockout"), 1)
			killAt(t, s, at)
			out, status := s.create("")
			if status != 1 || !strings.Contains(out, "exists") {
				t.Fatalf("what is half done is taken: %d %s", status, out)
			}
			if strings.Contains(out, "Made token") || strings.Contains(out, "Sealed key") {
				t.Fatalf("it made something first:\n%s", out)
			}
			// As the ceremony says when it stops: remove these, then begin again.
			for _, name := range []string{"a.sealed", "a.approvals", "a.approvals.request", "ledger", "out", "state-a/registry.example_countersign_1.watermark"} {
				must(t, os.RemoveAll(s.path(name)))
			}
			softhsm.New(t)
			if out, status = s.create(""); status != 0 {
				t.Fatalf("%d %s", status, out)
			}
			s.made(out, "a")
		})
	}
}

// killAt runs create as a process, and kills it with SIGKILL at a line. A pipe that nobody reads holds it up there.
func killAt(t *testing.T, s *stage, line string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "create", "--config", s.path("ceremony.toml"))
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Dir = filepath.Dir(s.dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	found := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), line) {
			found = true
			break
		}
	}
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil && !found || !found {
		t.Fatalf("no line %q: %v", line, err)
	}
}

// While it waits, the process cannot be dumped, and what it was told does not show its secrets.
func TestCreateSealedIsPrivate(t *testing.T) {
	softhsm.New(t)
	s := newTPMStage(t, 1, map[string]*emulator{"a": newEmulator(t)})
	s.replace(fmt.Sprintf("approver_key = %q\n", s.path("approver.key")), "")
	cmd := exec.Command(os.Args[0], "create", "--config", s.path("ceremony.toml"))
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer in.Close()
	out.wait(t, "Then press Enter.")
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	must(t, err)
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%s", limits)
	}
	for _, name := range []string{"cmdline", "environ"} {
		told, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, name))
		must(t, err)
		s.secretless(string(told))
	}
	s.secretless(out.String())
}

// A file is replaced at once, with the mode it had; a new one is never one that exists.
func TestFiles(t *testing.T) {
	s := &stage{t, t.TempDir()}
	must(t, writeFile(s.path("a"), []byte("one"), 0o640))
	if err := writeFile(s.path("a"), []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) || s.read("a") != "one" {
		t.Fatal(err)
	}
	must(t, replaceFile(s.path("a"), []byte("two")))
	info, err := os.Stat(s.path("a"))
	must(t, err)
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	if info.Mode().Perm() != 0o640 || s.read("a") != "two" || len(entries) != 1 {
		t.Errorf("%v %q %v", info.Mode(), s.read("a"), entries)
	}
	if err := replaceFile(s.path("b"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
