package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"countersign.dev/agent"
	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

const origin = "registry.example/countersign/1"

// TestMain lets the test binary be keyagent.
func TestMain(m *testing.M) {
	if list := os.Getenv("KEYAGENT_TEST_HOLD"); list != "" {
		hold(list)
		return
	}
	if list := os.Getenv("KEYAGENT_TEST_UNIT"); list != "" {
		unit(list)
	}
	if os.Getenv("KEYAGENT_TEST_MAIN") != "" {
		main()
	}
	if path := os.Getenv("KEYAGENT_TEST_CONFINED"); path != "" {
		confined(path)
		return
	}
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logOf has a root for each of the first sizes of a log of small entries, and the proofs between them.
type logOf struct{ hashes []tlog.Hash }

func newLog(t testing.TB, size int) *logOf {
	l := &logOf{}
	for i := range int64(size) {
		h, err := tlog.StoredHashes(i, fmt.Append(nil, i), l)
		must(t, err)
		l.hashes = append(l.hashes, h...)
	}
	return l
}

func (l *logOf) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, l.hashes[i])
	}
	return hashes, nil
}

func (l *logOf) head(t testing.TB, size int64) agent.Head {
	root, err := tlog.TreeHash(size, l)
	must(t, err)
	return agent.Head{Size: uint64(size), Root: root}
}

func (l *logOf) proof(t testing.TB, from, to int64) []tlog.Hash {
	p, err := tlog.ProveTree(to, from, l)
	must(t, err)
	return p
}

// setup is a key, a first watermark, and a configuration.
type setup struct {
	tokens   *softhsm.Tokens  // where the key is in a token
	key      hsm.GeneratedKey // likewise
	module   *fault.Module    // before the token, if device was called
	emulator *emulator        // where the key is sealed

	uri, pinFile  string
	publicKey     ed25519.PublicKey
	log           *logOf
	state, socket string
	config        string
}

// inBothWorlds runs a test with a key in a token and with a sealed one.
func inBothWorlds(t *testing.T, test func(t *testing.T, s *setup)) {
	t.Run("token", func(t *testing.T) { test(t, newSetup(t)) })
	t.Run("sealed", func(t *testing.T) { test(t, newSealedSetup(t)) })
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	tokens := softhsm.New(t)
	s := &setup{tokens: tokens}
	s.key = tokens.Key(tokens.Token("registry-a"), "log-1")
	s.uri, s.pinFile, s.publicKey = s.key.URI.String(), s.key.URI.PINFile, ed25519.PublicKey(s.key.PublicKey)
	s.begin(t)
	return s
}

func (s *setup) begin(t *testing.T) {
	t.Helper()
	s.log = newLog(t, 20)
	dir, err := os.MkdirTemp("", "keyagent") // short: the name of a unix socket has at most 107 bytes
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.state, s.socket = filepath.Join(dir, "state"), filepath.Join(dir, "a.sock")
	must(t, os.Mkdir(s.state, 0o700))
	must(t, agent.CreateState(s.state, origin, s.log.head(t, 1)))
	s.config = s.write(t, s.uri, s.public())
}

func (s *setup) public() ed25519.PublicKey { return s.publicKey }

func (s *setup) write(t *testing.T, uri string, public ed25519.PublicKey, more ...string) string {
	t.Helper()
	return writeFile(t, fmt.Sprintf("socket = %q\nsocket_mode = \"0600\"\nstate_dir = %q\ndemo_own_uid = true\n"+strings.Join(more, "\n")+"\n"+
		"[[log]]\norigin = %q\nkey = %q\npublic_key = %q\nlog_keys = [%q]\nthreshold = 1\n",
		s.socket, s.state, origin, uri, spki(t, public), spki(t, public)))
}

// process is a running keyagent.
type process struct {
	*exec.Cmd
	output output
}

// output is a file that a process writes to.
type output struct{ path string }

func (o output) String() string {
	text, err := os.ReadFile(o.path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startProgram(t, env, os.Args[0], args...)
}

func startProgram(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	f, err := os.Create(filepath.Join(t.TempDir(), "output"))
	must(t, err)
	defer f.Close()
	p := &process{exec.CommandContext(ctx, program, args...), output{f.Name()}}
	p.Env = append(append(os.Environ(), "KEYAGENT_TEST_MAIN=1"), env...)
	p.Stdout, p.Stderr = f, f
	must(t, p.Start())
	return p
}

// wantExit waits for the process and checks its status and what it said.
func (p *process) wantExit(t *testing.T, status int, says string) {
	t.Helper()
	p.Wait()
	if p.ProcessState.ExitCode() != status || !strings.Contains(p.output.String(), says) {
		t.Fatalf("exit status %d, want %d saying %q:\n%s", p.ProcessState.ExitCode(), status, says, p.output.String())
	}
}

func (s *setup) wait(t *testing.T) (*agent.Client, agent.Head) {
	t.Helper()
	c := agent.Dial(s.socket)
	t.Cleanup(c.Close)
	for range 3000 {
		if mark, err := c.Watermark(t.Context(), origin); err == nil {
			return c, mark
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("keyagent did not answer")
	return nil, agent.Head{}
}

func TestSigns(t *testing.T) { inBothWorlds(t, testSigns) }

func testSigns(t *testing.T, s *setup) {
	p := start(t, nil, "--config", s.config)
	c, mark := s.wait(t)
	if mark != s.log.head(t, 1) {
		t.Fatalf("first watermark %d", mark.Size)
	}
	sig, _, err := c.Sign(t.Context(), origin, s.log.head(t, 9), s.log.proof(t, 1, 9))
	if err != nil || !ed25519.Verify(s.public(), []byte(s.log.head(t, 9).Text(origin)), sig[:]) {
		t.Fatalf("Sign: %v", err)
	}
	if _, _, err := c.Sign(t.Context(), origin, s.log.head(t, 5), s.log.proof(t, 1, 5)); err == nil {
		t.Fatal("a rollback was signed")
	}
	start(t, nil, "--config", s.config).wantExit(t, 1, "is in use by another agent")
	must(t, p.Process.Signal(syscall.SIGTERM))
	p.wantExit(t, 0, "serving")

	p = start(t, nil, "--config", s.config)
	if _, mark = s.wait(t); mark != s.log.head(t, 9) {
		t.Fatalf("watermark after a restart: %d, want 9", mark.Size)
	}
	must(t, p.Process.Signal(syscall.SIGINT))
	p.wantExit(t, 0, "")
	if _, err := os.Lstat(s.socket); !os.IsNotExist(err) {
		t.Fatalf("the socket stayed behind: %v", err)
	}
}

// Invariant 9: a PIN that the token refused is not tried again, by this process or by the service manager.
func TestInvariant9WrongPIN(t *testing.T) { inBothWorlds(t, testWrongPIN) }

func testWrongPIN(t *testing.T, s *setup) {
	pin, err := os.ReadFile(s.pinFile)
	must(t, err)
	must(t, os.WriteFile(s.pinFile, []byte("wrong-pin\n"), 0o600))
	p := start(t, nil, "--config", s.config)
	p.wantExit(t, 78, s.refusal())
	if strings.Contains(p.output.String(), "wrong-pin") {
		t.Fatal("the PIN was printed")
	}
	must(t, os.WriteFile(s.pinFile, pin, 0o600))
	p = start(t, nil, "--config", s.config)
	s.wait(t)
	must(t, p.Process.Signal(syscall.SIGTERM))
	p.wantExit(t, 0, s.either("a wrong user PIN was tried", "unsealed"))
}

// either chooses by where the key is.
func (s *setup) either(token, sealed string) string {
	if s.emulator != nil {
		return sealed
	}
	return token
}

// refusal is what is said of a wrong PIN.
func (s *setup) refusal() string { return s.either("CKR_PIN_INCORRECT", "the TPM refused the PIN") }

func TestAnotherKeyThanPinned(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, s *setup) {
		start(t, nil, "--config", s.write(t, s.uri, testKey(7))).wantExit(t, 78, s.either("is pinned", "is not the pinned one"))
	})
}

// Invariant 10: without a watermark it does not start, and does not try the PIN.
func TestInvariant10NoState(t *testing.T) { inBothWorlds(t, testNoState) }

func testNoState(t *testing.T, s *setup) {
	must(t, os.RemoveAll(s.state))
	must(t, os.Mkdir(s.state, 0o700))
	must(t, os.WriteFile(s.pinFile, []byte("wrong-pin\n"), 0o600))
	start(t, nil, "--config", s.config).wantExit(t, 1, "a ceremony makes it")
	if entries, err := os.ReadDir(s.state); err != nil || len(entries) != 0 {
		t.Fatalf("the state directory has %d entries, %v", len(entries), err)
	}
	s.wantWrongPINs(t, 0)
}

func TestCredentialAndNotify(t *testing.T) { inBothWorlds(t, testCredentialAndNotify) }

func testCredentialAndNotify(t *testing.T, s *setup) {
	dir := filepath.Dir(s.pinFile)
	uri := strings.Replace(s.uri, "file:"+s.pinFile, "file:${CREDENTIALS_DIRECTORY}/"+filepath.Base(s.pinFile), 1)
	if !strings.Contains(uri, "CREDENTIALS") {
		t.Fatalf("URI %s", uri)
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.socket + ".notify", Net: "unixgram"})
	must(t, err)
	defer notify.Close()
	p := start(t, []string{"CREDENTIALS_DIRECTORY=" + dir, "NOTIFY_SOCKET=" + s.socket + ".notify"}, "--config", s.write(t, uri, s.public()))
	must(t, notify.SetReadDeadline(time.Now().Add(20*time.Second)))
	buf := make([]byte, 100)
	n, err := notify.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Fatalf("notification %q, %v", buf[:n], err)
	}
	if _, err := agent.Dial(s.socket).Watermark(t.Context(), origin); err != nil {
		t.Fatalf("ready, but: %v", err)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Fatalf("core dumps are possible: %v\n%s", err, limits)
	}
	must(t, p.Process.Signal(syscall.SIGTERM))
	p.wantExit(t, 0, "")
}

// A key that stops while the agent serves ends the process, with the status that keeps it down. The wrong signature
// does not leave.
func TestInvariant9StoppedKeyEndsTheProcess(t *testing.T) {
	s := newSetup(t)
	module := s.device(t)
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	if _, _, err := c.Sign(t.Context(), origin, s.log.head(t, 2), s.log.proof(t, 1, 2)); err != nil {
		t.Fatalf("before the fault: %v", err)
	}
	module.Corrupt(1)
	if _, _, err := c.Sign(t.Context(), origin, s.log.head(t, 3), s.log.proof(t, 2, 3)); err == nil || !strings.Contains(err.Error(), "agent stopped: C_Sign") {
		t.Fatalf("with the fault: %v", err)
	}
	p.wantExit(t, 78, "not to be restarted before a person has looked")
}

func TestCommandLine(t *testing.T) {
	config := writeFile(t, fill(t, goodConfig))
	bad := writeFile(t, fill(t, goodConfig)+"colour = 1\n")
	sum := sha256.Sum256([]byte(usage))
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--help"}, 0, usage},
		{[]string{"check", "--help"}, 0, usage},
		{nil, 2, "--config is missing"},
		{[]string{"check"}, 2, "--config is missing"},
		{[]string{"serve", "--config", config}, 2, `unknown argument "serve"`},
		{[]string{"--config", config, "more"}, 2, `unknown argument "more"`},
		{[]string{"--verbose"}, 2, "verbose"},
		{[]string{"check", "--config", config}, 0, "registry.example/countersign/1: 2 of 3 keys, pkcs11:token=a"},
		{[]string{"check", "--config", bad}, 1, "line 12: unknown key"},
		{[]string{"check", "--config", fmt.Sprintf("/nowhere/%x", sum[:4])}, 1, "no such file"},
	} {
		var out bytes.Buffer
		if got := run(tt.args, &out, &out); got != tt.status || !strings.Contains(out.String(), tt.says) {
			t.Errorf("keyagent %q: status %d, want %d saying %q:\n%s", tt.args, got, tt.status, tt.says, out.String())
		}
	}
}

func TestHarden(t *testing.T) {
	must(t, harden())
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		t.Fatalf("dumpable %d, %v", dumpable, err)
	}
}
