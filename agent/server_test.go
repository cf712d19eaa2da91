package agent_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
)

// socketPath is short: a unix socket's name has at most 107 bytes.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// serve runs a demonstration server over the guards until the test ends.
func serve(t testing.TB, guards ...*agent.Guard) (*agent.Server, string) {
	t.Helper()
	return serveConfig(t, agent.Config{Guards: guards, AllowOwnUID: true}, nil)
}

func serveConfig(t testing.TB, c agent.Config, tune func(*agent.Server)) (*agent.Server, string) {
	t.Helper()
	s, err := agent.NewServer(c)
	must(t, err)
	if tune != nil {
		tune(s)
	}
	path := socketPath(t)
	l, err := agent.Listen(path, 0o600)
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, path
}

// raw sends a body as it is and returns the status and the body of the answer.
func raw(t testing.TB, socket, method, path, body string) (int, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) },
		DisableKeepAlives: true,
	}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://agent"+path, strings.NewReader(body))
	must(t, err)
	resp, err := c.Do(r)
	must(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(data)
}

func TestProtocol(t *testing.T) {
	a := newTree(9, "a")
	_, socket := serve(t, newGuard(t, a.head(2)))
	c := agent.Dial(socket)
	defer c.Close()
	ctx := t.Context()

	mark, err := c.Watermark(ctx, origin)
	if err != nil || mark != a.head(2) {
		t.Fatalf("Watermark: %v, %v", mark, err)
	}
	sig, mark, err := c.Sign(ctx, origin, a.head(5), a.proof(2, 5))
	if err != nil || mark != a.head(5) || !ed25519.Verify(public(1), []byte(a.head(5).Text(origin)), sig[:]) {
		t.Fatalf("Sign: %v, %v", mark, err)
	}
	again, _, err := c.Sign(ctx, origin, a.head(5), nil)
	if err != nil || again != sig {
		t.Fatalf("Sign again: %v", err)
	}
	mark, err = c.Record(ctx, origin, checkpoint(a.head(9).Text(origin), origin, 2, 3), a.proof(5, 9))
	if err != nil || mark != a.head(9) {
		t.Fatalf("Record: %v, %v", mark, err)
	}
	_, _, err = c.Sign(ctx, origin, a.head(5), nil)
	wantRefused(t, "rollback", err, a.head(9))
	_, err = c.Record(ctx, origin, checkpoint(newTree(9, "b").head(9).Text(origin), origin, 2, 3), nil)
	wantRefused(t, "fork", err, a.head(9))

	logs, err := c.Logs(ctx)
	must(t, err)
	if len(logs) != 1 || logs[0].Origin != origin || logs[0].PublicKey != agent.SPKI(public(1)) || logs[0].Threshold != 2 ||
		len(logs[0].KeyIDs) != 3 || logs[0].KeyID != logs[0].KeyIDs[0] || logs[0].Watermark != a.head(9) || logs[0].Stopped != "" || logs[0].Device != "" {
		t.Fatalf("Logs: %+v", logs)
	}
	if want := fmt.Sprintf("%08x", noteSigner{origin, testKey(1)}.KeyHash()); logs[0].KeyID != want {
		t.Fatalf("key id %s, want %s", logs[0].KeyID, want)
	}
	if status, body := raw(t, socket, "GET", "/v1/health", ""); status != 200 || !strings.HasPrefix(body, `{"status":"ok","goroutines":`) || !strings.HasSuffix(body, `,"signatures":2}`) {
		t.Fatalf("health: %d %s", status, body)
	}
}

// The answers as bytes: what another implementation of the client would see.
func TestProtocolBytes(t *testing.T) {
	a := newTree(3, "a")
	_, socket := serve(t, newGuard(t, a.head(2)))
	root := func(h agent.Head) string { return tlog.Hash(h.Root).String() }
	sig := base64.StdEncoding.EncodeToString(ed25519.Sign(testKey(1), []byte(a.head(3).Text(origin))))
	proof := a.proof(2, 3)[0].String()
	tests := []struct {
		path, body string
		status     int
		want       string
	}{
		{"/v1/watermark", `{"origin":"` + origin + `"}`, 200, `{"size":2,"root":"` + root(a.head(2)) + `"}`},
		{"/v1/sign", `{"origin":"` + origin + `","size":3,"root":"` + root(a.head(3)) + `","proof":["` + proof + `"]}`, 200,
			`{"signature":"` + sig + `","watermark":{"size":3,"root":"` + root(a.head(3)) + `"}}`},
		{"/v1/sign", `{"origin":"` + origin + `","size":2,"root":"` + root(a.head(2)) + `","proof":[]}`, 409,
			`{"code":"refused","message":"the size is below the watermark","watermark":{"size":3,"root":"` + root(a.head(3)) + `"}}`},
		{"/v1/watermark", `{"origin":"registry.example/countersign/2"}`, 404,
			`{"code":"unknown-origin","message":"this agent has no key of that log"}`},
		{"/v1/elsewhere", `{}`, 404, `{"code":"malformed","message":"no such operation"}`},
	}
	for _, tt := range tests {
		if status, body := raw(t, socket, "POST", tt.path, tt.body); status != tt.status || body != tt.want {
			t.Errorf("%s %s:\n%d %s\nwant\n%d %s", tt.path, tt.body, status, body, tt.status, tt.want)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	a := newTree(9, "a")
	g := newGuard(t, a.head(2))
	_, socket := serve(t, g)
	root := tlog.Hash(a.head(9).Root).String()
	o := `"origin":"` + origin + `"`
	good := o + `,"size":9,"root":"` + root + `"`
	bodies := map[string][]string{
		"/v1/watermark": {
			``, `{}`, `null`, `[]`, `{` + o + `}{}`, `{` + o + `,` + o + `}`, `{` + o + `,"more":1}`, `{"Origin":"` + origin + `"}`,
			`{"origin":null}`, `{"origin":1}`, `{"origin":"x"}`, "{\"origin\":\"" + origin + "\xff\"}", strings.Repeat("[", 100), `{` + o,
		},
		"/v1/sign": {
			`{` + good + `}`, `{` + good + `,"proof":null}`, `{` + good + `,"proof":[null]}`, `{` + good + `,"proof":[""]}`, `{` + good + `,"proof":["AAAA"]}`,
			`{` + good + `,"proof":{}}`, `{` + good + `,"proof":[],"text":"` + origin + `"}`, `{` + good + `,"proof":[],"size":9}`,
			`{` + o + `,"size":"9","root":"` + root + `","proof":[]}`, `{` + o + `,"size":9.0,"root":"` + root + `","proof":[]}`,
			`{` + o + `,"size":1e1,"root":"` + root + `","proof":[]}`, `{` + o + `,"size":-1,"root":"` + root + `","proof":[]}`,
			`{` + o + `,"size":09,"root":"` + root + `","proof":[]}`, `{` + o + `,"size":0,"root":"` + root + `","proof":[]}`,
			`{` + o + `,"size":9007199254740992,"root":"` + root + `","proof":[]}`, `{` + o + `,"size":18446744073709551616,"root":"` + root + `","proof":[]}`,
			`{` + o + `,"size":9,"proof":[]}`, `{` + o + `,"size":9,"root":"` + root[:43] + `","proof":[]}`,
			`{` + o + `,"size":9,"root":"` + strings.Repeat("A", 43) + `=","proof":[]}`, `{` + o + `,"size":9,"root":"` + strings.Repeat("A", 42) + `B=","proof":[]}`,
			`{` + o + `,"size":9,"root":"` + strings.Repeat("_", 43) + `=","proof":[]}`,
			`{` + good + `,"proof":[` + strings.Repeat(`"`+root+`",`, 128) + `"` + root + `"]}`,
		},
		"/v1/record": {
			`{` + o + `,"proof":[]}`, `{` + o + `,"checkpoint":"","proof":[]}`, `{` + o + `,"checkpoint":"x"}`,
			`{"checkpoint":"x","proof":[]}`, `{` + o + `,"checkpoint":["x"],"proof":[]}`,
		},
	}
	for path, list := range bodies {
		for _, body := range list {
			if status, answer := raw(t, socket, "POST", path, body); status != 400 || !strings.Contains(answer, `"code":"malformed"`) {
				t.Errorf("%s %.200s: %d %s", path, body, status, answer)
			}
		}
		large := `{` + o + `,"pad":"` + strings.Repeat("x", 64<<10) + `"}`
		if status, answer := raw(t, socket, "POST", path, large); status != 413 || !strings.Contains(answer, `"code":"malformed"`) {
			t.Errorf("%s with a large body: %d %.200s", path, status, answer)
		}
		if status, _ := raw(t, socket, "PUT", path, `{}`); status != 404 {
			t.Errorf("PUT %s: %d", path, status)
		}
	}
	if g.Watermark() != a.head(2) {
		t.Fatal("a malformed request moved the watermark")
	}
}

// Every byte of a valid record request, flipped on its way: never recorded, unless the text still means the same.
func TestRecordRequestMutations(t *testing.T) {
	a := newTree(9, "a")
	g := newGuard(t, a.head(2))
	note := checkpoint(a.head(9).Text(origin), origin, 2, 3)
	text := strings.ReplaceAll(string(note), "\n", `\n`)
	var hashes []string
	for _, h := range a.proof(2, 9) {
		hashes = append(hashes, `"`+h.String()+`"`)
	}
	body := `{"origin":"` + origin + `","checkpoint":"` + text + `","proof":[` + strings.Join(hashes, ",") + `]}`
	if _, got, err := agent.DecodeRecordRequest([]byte(body)); err != nil || got != string(note) {
		t.Fatalf("control: %v", err)
	}
	_, socket := serve(t, g)
	for i := range body {
		for _, flip := range []byte{0x01, 0x20} {
			bad := body[:i] + string([]byte{body[i] ^ flip}) + body[i+1:]
			if status, answer := raw(t, socket, "POST", "/v1/record", bad); status == 200 {
				t.Fatalf("byte %d of the request flipped: recorded: %s\n%s", i, answer, bad)
			}
		}
	}
	if g.Watermark() != a.head(2) {
		t.Fatal("the watermark moved")
	}
	if status, answer := raw(t, socket, "POST", "/v1/record", body); status != 200 {
		t.Fatalf("the request itself: %d %s", status, answer)
	}
}

func TestStoppedBusyFailed(t *testing.T) {
	a := newTree(5, "a")
	fail, hang := errors.New("CKR_DEVICE_ERROR"), make(chan struct{})
	var mode atomic.Value
	mode.Store("fail")
	d := device{testKey(1), func(m []byte) ([]byte, error) {
		switch mode.Load() {
		case "fail":
			return nil, fail
		case "hang":
			<-hang
		}
		return ed25519.Sign(testKey(2), m), nil
	}}
	_, socket := serve(t, guardOf(t, d, openState(t, stateDir(t, a.head(2)))))
	c := agent.Dial(socket)
	defer c.Close()

	_, _, err := c.Sign(t.Context(), origin, a.head(3), a.proof(2, 3))
	if err == nil || !strings.Contains(err.Error(), `"failed"`) || strings.Contains(err.Error(), "CKR") {
		t.Fatalf("device error: %v", err)
	}
	mode.Store("hang")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := c.Sign(ctx, origin, a.head(4), a.proof(3, 4)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("hung device: %v", err)
	}
	mode.Store("wrong key")
	close(hang)
	_, _, err = c.Sign(t.Context(), origin, a.head(4), a.proof(3, 4))
	wantStopped(t, err)
	_, err = c.Watermark(t.Context(), origin)
	wantStopped(t, err)
	logs, err := c.Logs(t.Context())
	if err != nil || logs[0].Stopped == "" {
		t.Fatalf("Logs of a stopped agent: %+v, %v", logs, err)
	}
	if status, body := raw(t, socket, "GET", "/v1/health", ""); status != 503 || !strings.Contains(body, `"code":"stopped"`) {
		t.Fatalf("health of a stopped agent: %d %s", status, body)
	}
}

func TestNewServerRefuses(t *testing.T) {
	head := newTree(1, "a").head(1)
	g := newGuard(t, head)
	other := "registry.example/countersign/2"
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	must(t, agent.CreateState(dir, other, head))
	state, err := agent.OpenState(dir, other)
	must(t, err)
	defer state.Close()
	sameKey, err := agent.NewGuard(agent.Log{Origin: other, Keys: []ed25519.PublicKey{public(1)}, Threshold: 1}, testKey(1), state)
	must(t, err)
	self := os.Geteuid()
	tests := map[string]agent.Config{
		"has no log":         {AllowUIDs: []int{self + 1}},
		"two guards":         {Guards: []*agent.Guard{g, newGuard(t, head)}, AllowUIDs: []int{self + 1}},
		"one key, one log":   {Guards: []*agent.Guard{g, sameKey}, AllowUIDs: []int{self + 1}},
		"no uid is allowed":  {Guards: []*agent.Guard{g}},
		"is the agent's own": {Guards: []*agent.Guard{g}, AllowUIDs: []int{self}},
		"uid -1":             {Guards: []*agent.Guard{g}, AllowUIDs: []int{-1}},
		"uid 65534":          {Guards: []*agent.Guard{g}, AllowUIDs: []int{65534}},
	}
	for want, config := range tests {
		if _, err := agent.NewServer(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewServer: %v, want %q", err, want)
		}
	}
}

// Invariant 8: the daemon runs under another uid than the agent, and the agent sees to it. Root is not special.
func TestInvariant8OwnUIDRefused(t *testing.T) {
	g := newGuard(t, newTree(1, "a").head(1))
	_, socket := serveConfig(t, agent.Config{Guards: []*agent.Guard{g}, AllowUIDs: []int{os.Geteuid() + 1}}, nil)
	for _, path := range []string{"/v1/watermark", "/v1/logs", "/v1/health", "/"} {
		if status, body := raw(t, socket, "GET", path, ""); status != 403 || !strings.Contains(body, `"code":"forbidden"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, err := agent.Dial(socket).Watermark(t.Context(), origin); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Fatalf("Watermark under the agent's uid: %v", err)
	}
}

// Another process under another uid: answered if listed, else not, whatever the socket's mode lets through.
func TestPeerUIDs(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this test as root: only root can start a process under another uid")
		}
		t.Skip("only root can start a process under another uid")
	}
	const listed, stranger = 54321, 54322
	g := newGuard(t, newTree(1, "a").head(1))
	_, socket := serveConfig(t, agent.Config{Guards: []*agent.Guard{g}, AllowUIDs: []int{listed}}, nil)
	must(t, os.Chmod(socket, 0o666))
	must(t, os.Chmod(filepath.Dir(socket), 0o755))
	binary := filepath.Join(filepath.Dir(socket), "ask")
	data, err := os.ReadFile(os.Args[0])
	must(t, err)
	must(t, os.WriteFile(binary, data, 0o755))
	for uid, want := range map[uint32]string{listed: "1 <nil>", stranger: "forbidden", 0: "forbidden"} {
		cmd := child(t, "ask", socket)
		cmd.Path, cmd.Dir = binary, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("uid %d: %v: %s, want %q", uid, err, out, want)
		}
	}
}

func TestSlowPeers(t *testing.T) {
	g := newGuard(t, newTree(1, "a").head(1))
	_, socket := serveConfig(t, agent.Config{Guards: []*agent.Guard{g}, AllowOwnUID: true},
		func(s *agent.Server) { s.ShortTimeouts(100 * time.Millisecond) })
	for _, start := range []string{"", "POST /v1/sign HTTP/1.1\r\nHost: agent\r\n", "POST /v1/sign HTTP/1.1\r\nHost: agent\r\nContent-Length: 100\r\n\r\n{"} {
		c, err := net.Dial("unix", socket)
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte(start))
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		if data, err := io.ReadAll(c); err != nil || strings.Contains(string(data), "200 OK") {
			t.Errorf("after %q the server held the connection: %v, %q", start, err, data)
		}
	}
}

func TestListen(t *testing.T) {
	path := socketPath(t)
	l, err := agent.Listen(path, 0o640)
	must(t, err)
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o640 {
		t.Fatalf("socket: %v, %v", info.Mode(), err)
	}
	if _, err := agent.Listen(path, 0o640); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Fatalf("second Listen: %v", err)
	}
	must(t, l.Close())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("socket after Close: %v", err)
	}

	foreign, err := net.Listen("unix", path)
	must(t, err)
	if _, err := agent.Listen(path, 0o600); err == nil || !strings.Contains(err.Error(), "another server answers") {
		t.Fatalf("Listen beside a server: %v", err)
	}
	foreign.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, foreign.Close())
	l, err = agent.Listen(path, 0o600)
	if err != nil {
		t.Fatalf("Listen over a dead socket: %v", err)
	}
	must(t, l.Close())

	must(t, os.WriteFile(path, []byte("precious"), 0o600))
	if _, err := agent.Listen(path, 0o600); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Fatalf("Listen over a file: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Fatalf("the file in the way: %q, %v", data, err)
	}
}

// Shutdown answers the request in flight, then waits for the hardware call that nobody waits for any more.
func TestShutdownFinishes(t *testing.T) {
	a := newTree(5, "a")
	entered, release := make(chan struct{}, 2), make(chan struct{})
	d := device{testKey(1), func(m []byte) ([]byte, error) {
		entered <- struct{}{}
		<-release
		return ed25519.Sign(testKey(1), m), nil
	}}
	s, socket := serve(t, guardOf(t, d, openState(t, stateDir(t, a.head(2)))))
	c := agent.Dial(socket)
	defer c.Close()
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.Sign(t.Context(), origin, a.head(5), a.proof(2, 5))
		answered <- err
	}()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	select {
	case err := <-ended:
		t.Fatalf("Shutdown left an operation behind: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	must(t, <-answered)
	must(t, <-ended)
	if _, err := c.Watermark(t.Context(), origin); err == nil {
		t.Fatal("the socket answers after Shutdown")
	}
}

// A request that waits for a hung device is answered when the time of Shutdown is over, not cut off.
func TestShutdownAnswersWhoWaits(t *testing.T) {
	a := newTree(5, "a")
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	d := device{testKey(1), func([]byte) ([]byte, error) { close(entered); <-release; return nil, errors.New("too late") }}
	s, socket := serve(t, guardOf(t, d, openState(t, stateDir(t, a.head(2)))))
	c := agent.Dial(socket)
	defer c.Close()
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.Sign(t.Context(), origin, a.head(5), a.proof(2, 5))
		answered <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, agent.ErrBusy) {
		t.Fatalf("Shutdown: %v", err)
	}
	if err := <-answered; !errors.Is(err, agent.ErrBusy) {
		t.Fatalf("who waited: %v", err)
	}
}

// An abandoned hardware call bounds Shutdown by its context only; afterwards the guard does nothing.
func TestShutdownOfHungDevice(t *testing.T) {
	a := newTree(5, "a")
	release := make(chan struct{})
	defer close(release)
	d := device{testKey(1), func([]byte) ([]byte, error) { <-release; return nil, errors.New("too late") }}
	g := guardOf(t, d, openState(t, stateDir(t, a.head(2))))
	s, _ := serve(t, g)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Sign(ctx, 5, a.head(5).Root, a.proof(2, 5))
	if err := s.Shutdown(ctx); !errors.Is(err, agent.ErrBusy) {
		t.Fatalf("Shutdown: %v", err)
	}
}

// kill -9 in the middle of anything: no signature that left is ahead of the watermark that the next agent reads.
func TestKilledAgentRemembers(t *testing.T) {
	const rounds, entries = 8, 2000
	a := newTree(entries, "a")
	dir, last := stateDir(t, a.head(1)), int64(1)
	for round := range rounds {
		socket := socketPath(t)
		cmd := child(t, "serve", dir, socket)
		cmd.Stderr = os.Stderr
		must(t, cmd.Start())
		c := agent.Dial(socket)
		mark := waitFor(t, c)
		if mark.Size < uint64(last) || mark != a.head(int64(mark.Size)) {
			t.Fatalf("round %d: agent came back at size %d, but signed %d before", round, mark.Size, last)
		}
		last = int64(mark.Size)
		time.AfterFunc(time.Duration(20+7*round)*time.Millisecond, func() { cmd.Process.Kill() })
		for last+1 < entries {
			if _, _, err := c.Sign(t.Context(), origin, a.head(last+1), a.proof(last, last+1)); err != nil {
				break
			}
			last++
		}
		cmd.Wait()
		c.Close()
	}
	if last < rounds {
		t.Fatalf("only %d heads were signed", last)
	}
}

func waitFor(t *testing.T, c *agent.Client) agent.Head {
	t.Helper()
	for range 500 {
		if mark, err := c.Watermark(t.Context(), origin); err == nil {
			return mark
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the agent did not start")
	return agent.Head{}
}
