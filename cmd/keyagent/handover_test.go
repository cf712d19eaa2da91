package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"

	"countersign.dev/agent"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// again is how often the process has started again in place.
func (p *process) again() int { return strings.Count(p.output.String(), "again=true") }

func (p *process) waitAgain(t *testing.T, times int) {
	t.Helper()
	p.waitFor(t, fmt.Sprintf("%d starts in place", times), func() bool { return p.again() >= times })
}

func (p *process) waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 6000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited too long for %s:\n%s", what, p.output.String())
}

func (p *process) end(t *testing.T) {
	t.Helper()
	must(t, p.Process.Signal(syscall.SIGTERM))
	p.wantExit(t, 0, "")
}

func (s *setup) wantNoSocket(t *testing.T) {
	t.Helper()
	if _, err := os.Lstat(s.socket); !os.IsNotExist(err) {
		t.Fatalf("the socket stayed behind: %v", err)
	}
}

// device puts a fault module before the token.
func (s *setup) device(t *testing.T, settings ...string) *fault.Module {
	t.Helper()
	m := fault.New(t, softhsm.Module)
	uri := s.key.URI
	uri.ModulePath = m.Path
	settings = append(settings, fmt.Sprintf("allow_write = [%q]", filepath.Dir(m.Path))) // where it is told what to do
	s.module, s.config = m, s.write(t, uri.String(), s.public(), settings...)
	return m
}

// sign asks for a signature over the watermark, whatever it is, and checks it.
func (s *setup) sign(ctx context.Context, c *agent.Client) error {
	mark, err := c.Watermark(ctx, origin)
	if err != nil {
		return err
	}
	sig, _, err := c.Sign(ctx, origin, mark, nil)
	if err == nil && !ed25519.Verify(s.public(), []byte(mark.Text(origin)), sig[:]) {
		err = fmt.Errorf("a wrong signature at size %d", mark.Size)
	}
	return err
}

// load asks without a pause, from many connections, until stop is called, which returns how many answers there were.
// Any error is one too many.
func (s *setup) load(t *testing.T, clients int) (stop func() uint64) {
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var answers atomic.Uint64
	for n := range clients {
		group.Go(func() {
			c := agent.Dial(s.socket)
			defer c.Close()
			for ctx.Err() == nil {
				if err := s.sign(t.Context(), c); err != nil {
					t.Errorf("client %d: %v", n, err)
					return
				}
				if answers.Add(1)%7 == 0 {
					c.Close() // the next request connects anew
				}
				time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
			}
		})
	}
	return func() uint64 {
		cancel()
		group.Wait()
		return answers.Load()
	}
}

// Recycling over and over, under load, drops nothing, and leaves no descriptor behind. Nobody else gets the locks.
func TestRecyclesWithoutDroppingARequest(t *testing.T) {
	const generations = 20
	s := newSetup(t)
	s.config = s.write(t, s.uri, s.public(), "recycle_after = 50")
	leaked := s.leak(t)
	p := start(t, nil, "--config", s.config)
	before := s.quiet(t, p)
	if len(before) > 0 && !slices.Contains(before, leaked) {
		t.Fatalf("%s is not among %q", leaked, before)
	}
	stop := s.load(t, 12)
	intruders := s.intruders(t)
	p.waitAgain(t, 1+generations)
	if n := intruders(); n < generations {
		t.Errorf("only %d attempts to take the locks", n)
	}
	if answers := stop(); answers < 50*generations {
		t.Errorf("only %d answers in %d generations", answers, generations)
	}
	if after := s.quiet(t, p); len(after) >= len(before) && len(before) > 0 || slices.Contains(after, leaked) {
		t.Errorf("descriptors before and after %d generations:\n%q\n%q", p.again(), before, after)
	}
	start(t, nil, "--config", s.config).wantExit(t, 1, "is in use by another agent")
	p.end(t)
	s.wantNoSocket(t)
	if out := p.output.String(); strings.Contains(out, "ERROR") || strings.Contains(out, "not closed") {
		t.Errorf("the log has errors:\n%s", out)
	}
}

// intruders try to become a second agent all the time; the function returned ends that and says how often they tried.
func (s *setup) intruders(t *testing.T) func() uint64 {
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var tries atomic.Uint64
	group.Go(func() {
		for ctx.Err() == nil {
			if l, err := agent.Listen(s.socket, 0o600); err == nil {
				t.Error("a second agent got the socket")
				l.Close()
			}
			if state, err := agent.OpenState(s.state, origin); err == nil {
				t.Error("a second agent got the watermark")
				state.Close()
			}
			tries.Add(1)
			time.Sleep(200 * time.Microsecond)
		}
	})
	return func() uint64 {
		cancel()
		group.Wait()
		return tries.Load()
	}
}

// descriptors are what the process has open; the kernel lets only root look into a process that hardened itself.
func descriptors(t *testing.T, p *process) (open []string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not root: descriptors are not compared")
		return nil
	}
	dir := fmt.Sprintf("/proc/%d/fd", p.Process.Pid)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil {
			open = append(open, target)
		}
	}
	return open
}

// leak opens a file that every program started from now on inherits, as modules do.
func (s *setup) leak(t *testing.T) string {
	t.Helper()
	fd, err := unix.Open(s.config, unix.O_RDONLY, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return s.config
}

// quiet waits until the device signs, no start in place is under way and no client is connected. It returns what is open
// then.
func (s *setup) quiet(t *testing.T, p *process) []string {
	t.Helper()
	c, _ := s.wait(t)
	p.waitFor(t, "a quiet moment", func() bool {
		before := p.again()
		must(t, s.sign(t.Context(), c))
		c.Close()
		time.Sleep(200 * time.Millisecond) // for the agent to see that nobody is connected
		return strings.Count(p.output.String(), `msg="starting again in place"`) == before
	})
	return descriptors(t, p)
}

// A successor serves without its device: watermark and record work, signatures come when it is back.
func TestSuccessorServesWithoutItsDevice(t *testing.T) {
	s := newSetup(t)
	m := s.device(t, "recycle_after = 2", `call_timeout = "1s"`)
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	m.Fail("C_Initialize", fault.DeviceError, 0, fault.Always)
	for range 2 {
		must(t, s.sign(t.Context(), c))
	}
	p.waitAgain(t, 1)
	if mark, err := c.Watermark(t.Context(), origin); err != nil || mark != s.log.head(t, 1) {
		t.Fatalf("Watermark without a device: %v", err)
	}
	note := checkpoint(t, s, 7)
	if mark, err := c.Record(t.Context(), origin, note, s.log.proof(t, 1, 7)); err != nil || mark != s.log.head(t, 7) {
		t.Fatalf("Record without a device: %v", err)
	}
	if err := s.sign(t.Context(), c); err == nil || !strings.Contains(err.Error(), `"failed"`) {
		t.Fatalf("Sign without a device: %v", err)
	}
	logs, err := c.Logs(t.Context())
	if err != nil || !strings.HasPrefix(logs[0].Device, "recovering since ") || !strings.Contains(logs[0].Device, "CKR_DEVICE_ERROR") {
		t.Fatalf("Logs without a device: %+v, %v", logs, err)
	}
	if status := s.health(t); status != http.StatusServiceUnavailable {
		t.Fatalf("health without a device: %d", status)
	}
	m.Clear()
	p.waitFor(t, "the device", func() bool { return s.health(t) == http.StatusOK })
	must(t, s.sign(t.Context(), c))
	if _, wrong := m.Logins(); wrong != 0 {
		t.Errorf("%d wrong PINs", wrong)
	}
	p.end(t)
}

// checkpoint is a signed note over a head, by the key itself.
func checkpoint(t *testing.T, s *setup, size int64) []byte {
	t.Helper()
	text := s.log.head(t, size).Text(origin)
	signature, err := s.tokens.Open(s.key).Sign(nil, []byte(text), crypto.Hash(0))
	must(t, err)
	vkey, err := note.NewEd25519VerifierKey(origin, s.public())
	must(t, err)
	v, err := note.NewVerifier(vkey)
	must(t, err)
	line := append(binary.BigEndian.AppendUint32(nil, v.KeyHash()), signature...)
	return []byte(text + "\n— " + origin + " " + base64.StdEncoding.EncodeToString(line) + "\n")
}

func (s *setup) health(t *testing.T) int {
	t.Helper()
	h := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", s.socket) },
		DisableKeepAlives: true,
	}}
	resp, err := h.Get("http://agent/v1/health")
	must(t, err)
	resp.Body.Close()
	return resp.StatusCode
}

// C_Sign hangs for ever: the agent leaves the process and comes back, again and again, answering all the while, until
// the device is well.
func TestStuckModuleIsLeft(t *testing.T) {
	s := newSetup(t)
	m := s.device(t, `call_timeout = "1s"`)
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	must(t, s.sign(t.Context(), c))
	m.Hang("C_Sign")
	began := time.Now()
	if err := s.sign(t.Context(), c); err == nil {
		t.Fatal("a signature by a device that hangs")
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("the caller waited %s", d)
	}
	for p.again() < 3 {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d starts in place in a minute:\n%s", p.again(), p.output.String())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := c.Watermark(ctx, origin); err != nil {
			t.Fatalf("Watermark while the module is stuck: %v", err)
		}
		cancel()
		time.Sleep(20 * time.Millisecond)
	}
	m.Release()
	p.waitFor(t, "the device", func() bool { return s.sign(t.Context(), c) == nil })
	good, wrong := m.Logins()
	if lives := p.again() + 1; wrong != 0 || good > lives {
		t.Errorf("%d good and %d wrong logins in %d lives", good, wrong, lives)
	}
	for n := range 3 {
		if out := p.output.String(); !strings.Contains(out, fmt.Sprintf("stuck=%d\n", n+1)) || !strings.Contains(out, "the PKCS#11 module is stuck") {
			t.Errorf("the reason is not told, or not how often it was that:\n%s", out)
		}
	}
	p.end(t)
	s.wantNoSocket(t)
}

// SIGTERM at any moment of a start in place ends the agent. Between two programs, where nobody handles it, the socket's
// file stays behind; the next start replaces it.
func TestSignalDuringAStartInPlace(t *testing.T) {
	cleanly := 0
	s := newSetup(t)
	recycling, plain := s.write(t, s.uri, s.public(), "recycle_after = 1"), s.config
	for range 20 {
		s.config = recycling
		p := start(t, nil, "--config", s.config)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the agent said:\n%s", p.output.String())
			}
		})
		c, _ := s.wait(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for s.sign(ctx, c) == nil { // each one makes it start again
			}
		}()
		p.waitAgain(t, 1+rand.IntN(3))
		time.Sleep(time.Duration(rand.IntN(40_000)) * time.Microsecond)
		must(t, p.Process.Signal(syscall.SIGTERM))
		p.Wait()
		cancel()
		<-ended
		if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() && status.Signal() == syscall.SIGTERM {
			s.config = plain
			p = start(t, nil, "--config", s.config)
			s.wait(t)
			p.end(t)
		} else {
			p.wantExit(t, 0, "")
			cleanly++
		}
		s.wantNoSocket(t)
	}
	if cleanly == 0 {
		t.Error("it never ended cleanly")
	}
}

// Invariant 9: a key that stops while its agent is about to start again in place does not get another chance by that.
func TestInvariant9StopDuringAStartInPlace(t *testing.T) {
	s := newSetup(t)
	m := s.device(t, "recycle_after = 1")
	p := start(t, nil, "--config", s.config)
	s.wait(t)
	m.Latency(500 * time.Millisecond)
	m.Corrupt(2)
	errs := make(chan error, 2)
	for range 2 { // the first signature is good and the reason to start again; the second is under way then
		go func() {
			c := agent.Dial(s.socket)
			defer c.Close()
			errs <- s.sign(t.Context(), c)
		}()
	}
	first, second := <-errs, <-errs
	if first != nil || second == nil || !strings.Contains(second.Error(), "agent stopped: C_Sign") {
		t.Fatalf("%v; %v", first, second)
	}
	p.wantExit(t, 78, "starting again in place")
	if p.again() != 0 {
		t.Fatal("it started again")
	}
	s.wantNoSocket(t)
}
