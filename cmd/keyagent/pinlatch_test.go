package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"countersign.dev/hsm"
	"countersign.dev/test/fault"
)

func (s *setup) latch() string { return filepath.Join(s.state, "pin-refused") }

func wantWrongLogins(t *testing.T, m *fault.Module, want int) {
	t.Helper()
	if _, wrong := m.Logins(); wrong != want {
		t.Fatalf("the token was asked %d times with a wrong PIN, want %d", wrong, want)
	}
}

// wantWrongPINs asks where the PINs were counted.
func (s *setup) wantWrongPINs(t *testing.T, want int) {
	t.Helper()
	switch {
	case s.module != nil:
		wantWrongLogins(t, s.module, want)
	case s.emulator != nil:
		if n := s.emulator.failures(t); n != want {
			t.Fatalf("the TPM counted %d wrong PINs, want %d", n, want)
		}
	}
}

// Invariant 9, across processes: however often the agent is started, a refused PIN costs one attempt.
func TestInvariant9PINRefusedOnce(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, s *setup) {
		if s.emulator == nil {
			s.device(t)
		}
		testPINRefusedOnce(t, s)
	})
}

func testPINRefusedOnce(t *testing.T, s *setup) {
	pin, err := os.ReadFile(s.pinFile)
	must(t, err)
	must(t, os.WriteFile(s.pinFile, []byte("wrong-pin\n"), 0o600))
	start(t, nil, "--config", s.config).wantExit(t, 78, s.refusal())
	for n := range 4 {
		// The same PIN is the same with and without its newline.
		must(t, os.WriteFile(s.pinFile, []byte("wrong-pin\n")[:len("wrong-pin\n")-n%2], 0o600))
		start(t, nil, "--config", s.config).wantExit(t, 78, "correct that file; or, if it is taken by now, empty or delete "+s.latch())
	}
	s.wantWrongPINs(t, 1)
	info, err := os.Stat(s.latch())
	must(t, err)
	if text, _ := os.ReadFile(s.latch()); info.Mode() != 0o600 || bytes.Contains(text, []byte("wrong-pin")) {
		t.Fatalf("mode %v: %s", info.Mode(), text)
	}

	// Another wrong one is another attempt, once.
	must(t, os.WriteFile(s.pinFile, []byte("another-pin\n"), 0o600))
	for range 2 {
		start(t, nil, "--config", s.config).wantExit(t, 78, "")
	}
	s.wantWrongPINs(t, 2)

	must(t, os.WriteFile(s.pinFile, pin, 0o600))
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	must(t, s.sign(t.Context(), c))
	p.end(t)
	if _, err := os.Lstat(s.latch()); !os.IsNotExist(err) {
		t.Fatalf("after a good login: %v", err)
	}
}

// A PIN that is refused while the agent runs, because it was changed on the token, is remembered as well; and an operator
// who gave the token that PIN deletes the file.
func TestInvariant9PINRefusedWhileRunning(t *testing.T) {
	s := newSetup(t)
	m := s.device(t)
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	must(t, s.sign(t.Context(), c))
	m.Fail("C_Login", fault.PINIncorrect, 0, fault.Always)
	m.Reboot(fault.DeviceError)
	for s.sign(t.Context(), c) == nil {
		time.Sleep(time.Millisecond)
	}
	p.wantExit(t, 78, "CKR_PIN_INCORRECT")
	tried := m.Calls("C_Login")
	start(t, nil, "--config", s.config).wantExit(t, 78, "delete "+s.latch())
	m.Clear()
	start(t, nil, "--config", s.config).wantExit(t, 78, "delete "+s.latch())
	if n := m.Calls("C_Login"); n != tried {
		t.Fatalf("%d logins after the PIN was refused", n-tried)
	}
	must(t, os.Remove(s.latch()))
	p = start(t, nil, "--config", s.config)
	c, _ = s.wait(t)
	must(t, s.sign(t.Context(), c))
	p.end(t)
}

// A PIN that is refused in a successor ends the agent for good, and a start in place does not lift the latch.
func TestInvariant9PINRefusedInASuccessor(t *testing.T) {
	s := newSetup(t)
	m := s.device(t, "recycle_after = 2")
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	m.Fail("C_Login", fault.PINIncorrect, 0, fault.Always)
	for range 2 {
		must(t, s.sign(t.Context(), c))
	}
	p.wantExit(t, 78, "CKR_PIN_INCORRECT")
	if p.again() != 1 {
		t.Fatalf("it started again %d times", p.again())
	}
	wantWrongLogins(t, m, 1)
	start(t, nil, "--config", s.config).wantExit(t, 78, "delete "+s.latch())
	wantWrongLogins(t, m, 1)
	s.wantNoSocket(t)
}

// Invariant 9: a PIN that is refused after the agent was told to end is remembered too.
func TestInvariant9PINRefusedAtTheEnd(t *testing.T) {
	inBothWorlds(t, func(t *testing.T, s *setup) {
		var asked func() bool
		var answer func()
		if s.emulator == nil {
			m := s.device(t)
			m.Hang("C_Login")
			asked, answer = func() bool { return m.Hanging() > 0 }, m.Release
		} else {
			r := s.relay(t)
			asked, answer = r.holding, r.release
		}
		must(t, os.WriteFile(s.pinFile, []byte("wrong-pin\n"), 0o600))
		p := start(t, nil, "--config", s.config)
		p.waitFor(t, "the PIN's way to the device", asked)
		must(t, p.Process.Signal(syscall.SIGTERM))
		time.Sleep(200 * time.Millisecond) // for the signal to be there first
		answer()
		p.wantExit(t, 78, s.refusal())
		start(t, nil, "--config", s.config).wantExit(t, 78, "delete "+s.latch())
		s.wantWrongPINs(t, 1)
	})
}

// relay holds the emulator's answers to TPM2_Unseal back.
type relay struct {
	hold     bool // the next answer
	held     atomic.Bool
	released chan struct{}
}

func (r *relay) holding() bool { return r.held.Load() }

func (r *relay) release() { close(r.released) }

// relay puts one before the emulator.
func (s *setup) relay(t *testing.T) *relay {
	t.Helper()
	r := &relay{released: make(chan struct{})}
	path := s.emulator.path("relay.sock")
	l, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.serve(c, s.emulator.path("tpm.sock"))
		}
	}()
	s.config = s.write(t, strings.Replace(s.uri, s.emulator.path("tpm.sock"), path, 1), s.public())
	return r
}

// serve passes on one connection. A command or an answer has its length at 2 and its code at 6.
func (r *relay) serve(c net.Conn, path string) {
	defer c.Close()
	d, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer d.Close()
	pass := func(to, from net.Conn) (code uint32, err error) {
		data := make([]byte, 10)
		if _, err := io.ReadFull(from, data); err != nil {
			return 0, err
		}
		rest := make([]byte, binary.BigEndian.Uint32(data[2:])-10)
		if _, err := io.ReadFull(from, rest); err != nil {
			return 0, err
		}
		if code = binary.BigEndian.Uint32(data[6:]); r.hold {
			r.hold = false
			r.held.Store(true)
			<-r.released
		}
		_, err = to.Write(append(data, rest...))
		return code, err
	}
	for {
		code, err := pass(d, c)
		r.hold = code == uint32(tpm2.TPMCCUnseal)
		if err == nil {
			_, err = pass(c, d)
		}
		if err != nil {
			return
		}
	}
}

// A file that cannot be understood refuses every PIN, and an empty one none.
func TestInvariant9DamagedPINLatch(t *testing.T) {
	s := newSetup(t)
	m := s.device(t)
	must(t, os.WriteFile(s.latch(), []byte(`{"refused":[{"tok`), 0o600))
	start(t, nil, "--config", s.config).wantExit(t, 78, "is damaged")
	if n := m.Calls("C_Login"); n != 0 {
		t.Fatalf("%d logins", n)
	}
	must(t, os.Truncate(s.latch(), 0))
	p := start(t, nil, "--config", s.config)
	s.wait(t)
	p.end(t)
}

// Two tokens: what one refused does not speak for the other, and neither forgets the other's.
func TestPINLatchOfSeveralTokens(t *testing.T) {
	dir := t.TempDir()
	latch := newPINLatch(dir)
	uri := func(token, serial, pin string) pinned {
		path := filepath.Join(dir, token+".pin")
		must(t, os.WriteFile(path, []byte(pin+"\n"), 0o600))
		return pinned{token, serial, path}
	}
	a, b := uri("a", "1", "one"), uri("b", "2", "two")
	must(t, latch.check(a))
	must(t, latch.record(a))
	must(t, latch.check(b))
	must(t, latch.record(b))
	must(t, latch.record(b)) // in place of the first
	anyA, otherA := a, a
	anyA.serial, otherA.serial = "", "3"
	for name, tt := range map[string]struct {
		uri     pinned
		refused bool
	}{"a": {a, true}, "b": {b, true}, "a by label alone": {anyA, true}, "another a": {otherA, false}} {
		if err := latch.check(tt.uri); errors.Is(err, hsm.ErrStopped) != tt.refused || (err != nil) != tt.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, latch.check(uri("a", "1", "corrected")))
	must(t, latch.forget(a))
	must(t, latch.forget(a))
	must(t, latch.check(uri("a", "1", "one")))
	if err := latch.check(b); !errors.Is(err, hsm.ErrStopped) {
		t.Fatalf("b was forgotten with a: %v", err)
	}
	must(t, latch.forget(b))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
}

// A file that was there is overwritten, since the directory may belong to another user; a link is not followed.
func TestPINLatchFile(t *testing.T) {
	dir := t.TempDir()
	latch := newPINLatch(dir)
	pin := filepath.Join(dir, "pin")
	must(t, os.WriteFile(pin, []byte("one\n"), 0o600))
	uri := pinned{token: "a", file: pin}
	must(t, os.WriteFile(latch.path, nil, 0o640))
	before, err := os.Stat(latch.path)
	must(t, err)
	must(t, latch.record(uri))
	after, err := os.Stat(latch.path)
	if err != nil || !os.SameFile(before, after) {
		t.Fatalf("another file: %v", err)
	}
	must(t, os.Remove(latch.path))
	must(t, os.Symlink(pin, latch.path))
	if err := latch.record(uri); err == nil {
		t.Fatal("a link was followed")
	}
	if text, err := os.ReadFile(pin); err != nil || string(text) != "one\n" {
		t.Fatalf("%q, %v", text, err)
	}
	if err := latch.check(uri); err == nil {
		t.Fatal("a link was read")
	}
}

func TestRefusalsDecoding(t *testing.T) {
	good := `{"refused":[{"token":"a","serial":"1","time":"2026-11-22T13:00:00Z","salt":"AAAAAAAAAAAAAAAAAAAAAA==","hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`
	if r, err := decodeRefusals([]byte(good)); err != nil || len(r.Refused) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := decodeRefusals(nil); err != nil || len(r.Refused) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for n := 1; n < len(good); n++ {
		if _, err := decodeRefusals([]byte(good[:n])); err == nil {
			t.Errorf("accepted %s", good[:n])
		}
	}
	for old, new := range map[string]string{
		`"token":"a"`: `"token":""`, `"time":"2026-11-22T13:00:00Z",`: ``, `"salt":"AAAA`: `"salt":"`, `"hash":"AAAA`: `"hash":"`,
		`"serial":"1"`: `"serial":"1","more":1`, `}]}`: `}]} {}`,
	} {
		if _, err := decodeRefusals([]byte(strings.Replace(good, old, new, 1))); err == nil {
			t.Errorf("accepted with %s", new)
		}
	}
	for _, bad := range []string{"{}", " ", `{"refused":[]}`, `{"refused":null}`, good + strings.Repeat(" ", maxRefusals)} {
		if _, err := decodeRefusals([]byte(bad)); err == nil {
			t.Errorf("accepted %.60s", bad)
		}
	}
}

func FuzzRefusals(f *testing.F) {
	f.Add([]byte(`{"refused":[{"token":"a","serial":"1","time":"2026-11-22T13:00:00Z","salt":"AAAAAAAAAAAAAAAAAAAAAA==","hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRefusals(data)
		if err == nil && (len(r.Refused) > 0) != (len(data) > 0) {
			t.Fatalf("accepted %q as %d refusals", data, len(r.Refused))
		}
		if err == nil && len(data) > 0 && !json.Valid(data) {
			t.Fatalf("accepted %q", data)
		}
	})
}
