package signer_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// Each kind of bad input gets a clear problem document; nothing is logged, and the next good request is served.
func TestHTTPBadInput(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	good := w.submission("@acme/widget", "1.0.0", "content")
	body := string(wire(t, "", good))
	mixed := w.publicationBy(w.publisher, "@acme/widget", "1.0.0", "content", func(d *provenance.Draft) {
		d.Digests = provenance.Digests{"sha256": digestsOf("content")["sha256"], "sha512": strings.Repeat("a", 128)}
	})
	mixed.Observed.Digests = provenance.Digests{"sha256": digestsOf("content")["sha256"], "sha512": strings.Repeat("b", 128)}
	unseen := mixed
	unseen.Observed.Digests = digestsOf("content")
	purl := func(q string) string { return single + "?" + q }
	for _, c := range []struct {
		name, method, path, contentType, body string
		code                                  signer.Code
		status                                int
	}{
		{"0 bytes", "POST", single, jsonType, "", signer.Malformed, 400},
		{"64 MiB", "POST", single, jsonType, strings.Repeat(" ", 64<<20), signer.TooLarge, 413},
		{"64 MiB batch", "POST", batch, ndjsonType, strings.Repeat("\n", 64<<20), signer.TooLarge, 413},
		{"nested arrays", "POST", single, jsonType, strings.Repeat("[", 100<<10), signer.Malformed, 400},
		{"nested objects", "POST", single, jsonType, strings.Repeat(`{"observed":`, 9<<10), signer.Malformed, 400},
		{"nested enrolments", "POST", enrolments, jsonType, strings.Repeat("[", 16<<20), signer.Malformed, 400},
		{"no content type", "POST", single, "", body, signer.Malformed, 415},
		{"wrong content type", "POST", single, "text/plain", body, signer.Malformed, 415},
		{"batch as JSON", "POST", batch, jsonType, body, signer.Malformed, 415},
		{"unknown registry", "POST", "/v1/registries/unknown.test/countersignatures", jsonType, body, signer.WrongRegistry, 404},
		{"unknown registry, batch", "POST", "/v1/registries/unknown.test/countersignatures:batch", ndjsonType, body, signer.WrongRegistry, 404},
		{"unknown registry, reading", "GET", "/v1/registries/unknown.test/countersignatures?purl=x", "", "", signer.WrongRegistry, 404},
		{"sha512 of another file", "POST", single, jsonType, string(wire(t, "", mixed)), signer.DigestDisagreement, 422},
		{"sha512 of no file", "POST", single, jsonType, string(wire(t, "", unseen)), signer.DigestDisagreement, 422},
		{"unknown member", "POST", single, jsonType, strings.Replace(body, `{"observed"`, `{"extra":1,"observed"`, 1), signer.Malformed, 400},
		{"unknown digest", "POST", single, jsonType, strings.Replace(body, `"sha256"`, `"md5":"00","sha256"`, 1), signer.Malformed, 400},
		{"no sha256", "POST", single, jsonType, strings.Replace(body, `"sha256"`, `"sha512"`, 1), signer.Malformed, 400},
		{"doubled member", "POST", single, jsonType, strings.Replace(body, `{"observed"`, `{"ref":"a","ref":"a","observed"`, 1), signer.Malformed, 400},
		{"re-cased member", "POST", single, jsonType, strings.Replace(body, `"observed"`, `"Observed"`, 1), signer.Malformed, 400},
		{"null", "POST", single, jsonType, strings.Replace(body, `{"observed"`, `{"statement":null,"observed"`, 1), signer.Malformed, 400},
		{"trailing data", "POST", single, jsonType, body + "{}", signer.Malformed, 400},
		{"not UTF-8", "POST", single, jsonType, strings.Replace(body, `{"observed"`, "{\"ref\":\"\xff\",\"observed\"", 1), signer.Malformed, 400},
		{"size as a string", "POST", single, jsonType, strings.Replace(body, `"size":7`, `"size":"7"`, 1), signer.Malformed, 400},
		{"size 0", "POST", single, jsonType, strings.Replace(body, `"size":7`, `"size":0`, 1), signer.Malformed, 400},
		{"no publication", "POST", single, jsonType, `{"observed":{"size":1}}`, signer.Malformed, 400},
		{"a statement", "POST", single, jsonType, string(wire(t, "", w.backfill("1.0.0", "content"))), signer.Malformed, 400},
		{"empty envelope", "POST", single, jsonType, `{"publication":{},"observed":{"size":1}}`, signer.Malformed, 400},
		{"query where none is", "POST", purl("purl=x"), jsonType, body, signer.Malformed, 400},
		{"no purl", "GET", single, "", "", signer.Malformed, 400},
		{"empty purl", "GET", purl("purl="), "", "", signer.Malformed, 400},
		{"bad purl", "GET", purl("purl=npm"), "", "", signer.Malformed, 400},
		{"two purls", "GET", purl("purl=pkg:npm/a@1.0.0&purl=pkg:npm/a@1.0.0"), "", "", signer.Malformed, 400},
		{"bad escape", "GET", purl("purl=%zz"), "", "", signer.Malformed, 400},
		{"purl not canonical", "GET", purl("purl=pkg:npm/@acme/widget@1.0.0"), "", "", signer.CoordinateNotCanonical, 422},
		{"bad digest", "GET", purl("purl=pkg:npm/%2540acme/widget@1.0.0&digest=abc"), "", "", signer.Malformed, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.unchanged(func() {
				got := s.do(s.client, c.method, s.signing+c.path, c.contentType, []byte(c.body))
				if p := got.refused(t, c.code); p.Status != c.status {
					t.Errorf("status %d, want %d: %s", p.Status, c.status, p.Detail)
				}
			})
		})
	}
	t.Run("compressed", func(t *testing.T) {
		req, err := http.NewRequest(http.MethodPost, s.signing+single, strings.NewReader(body))
		must(t, err)
		req.Header.Set("Content-Type", jsonType)
		req.Header.Set("Content-Encoding", "gzip")
		if got := answer(t, s.client, req); got.refused(t, signer.Malformed).Status != http.StatusUnsupportedMediaType {
			t.Errorf("%d", got.status)
		}
	})
	t.Run("64 MiB without a length", func(t *testing.T) {
		req, err := http.NewRequest(http.MethodPost, s.signing+single, io.LimitReader(endless{}, 64<<20))
		must(t, err)
		req.Header.Set("Content-Type", jsonType)
		answer(t, s.client, req).refused(t, signer.TooLarge)
	})
	if got := s.submit(good); got.status != http.StatusCreated {
		t.Errorf("the good one, afterwards: %d %s", got.status, got.body)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func answer(t testing.TB, client *http.Client, req *http.Request) *reply {
	t.Helper()
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return &reply{resp.StatusCode, resp.Header, body}
}

func TestHTTPBadCertificates(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	body := wire(t, "", s.submission("@acme/widget", "1.0.0", "content"))
	hour := time.Hour
	expired, _ := credentials(t, "backend", time.Now().Add(-2*hour), time.Now().Add(-hour))
	early, _ := credentials(t, "backend", time.Now().Add(hour), time.Now().Add(2*hour))
	unknown, _ := valid(t, "unknown")
	stolen, _ := valid(t, "backend")
	stolen.PrivateKey = key("not the certificate's")
	for name, c := range map[string]tls.Certificate{"expired": expired, "not yet valid": early, "unknown": unknown} {
		t.Run(name, func(t *testing.T) {
			s.unchanged(func() {
				s.do(clientOf(t, c), http.MethodPost, s.signing+single, jsonType, body).refused(t, signer.CallerNotAuthorized)
			})
		})
	}
	// Without a certificate, without its key, or with older TLS there is no connection to answer on.
	right, _ := valid(t, "backend")
	old := clientTLS(t, right)
	old.MaxVersion = tls.VersionTLS12
	for name, client := range map[string]*http.Client{
		"none":               clientOf(t),
		"without its key":    clientOf(t, stolen),
		"TLS 1.2":            {Transport: &http.Transport{TLSClientConfig: old}},
		"plain HTTP, no TLS": {Transport: http.DefaultTransport},
	} {
		t.Run(name, func(t *testing.T) {
			address := s.signing
			if strings.HasPrefix(name, "plain") {
				address = strings.Replace(address, "https", "http", 1)
			}
			s.unchanged(func() {
				resp, err := client.Post(address+single, jsonType, bytes.NewReader(body))
				if err == nil {
					resp.Body.Close()
					if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("X-Request-Id") != "" {
						t.Errorf("was answered: %d", resp.StatusCode)
					}
				}
			})
		})
	}
	if got := s.post(single, jsonType, body); got.status != http.StatusCreated {
		t.Errorf("the right one, afterwards: %d %s", got.status, got.body)
	}
}

// The handler by itself trusts no request that came without TLS.
func TestSigningHandlerWithoutTLS(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	handler, err := signer.NewSigningHandler([]*signer.Service{w.Service}, []*signer.Caller{w.caller}, signer.Limits{}, w.config.Logger)
	must(t, err)
	address := "http://" + listen(t, signer.NewServer(handler, nil, w.config.Logger))
	req, err := http.NewRequest(http.MethodPost, address+single, bytes.NewReader(wire(t, "", w.submission("@acme/widget", "1.0.0", "content"))))
	must(t, err)
	req.Header.Set("Content-Type", jsonType)
	answer(t, http.DefaultClient, req).refused(t, signer.CallerNotAuthorized)
}

// slowSite drops slow peers after a quarter of a second.
func slowSite(t *testing.T) *site {
	return newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, func(server *http.Server) {
		if server.ReadHeaderTimeout == 0 || server.ReadTimeout == 0 || server.WriteTimeout == 0 || server.IdleTimeout == 0 || server.MaxHeaderBytes == 0 {
			t.Error("the server has a limit missing")
		}
		server.ReadHeaderTimeout, server.ReadTimeout = 250*time.Millisecond, 500*time.Millisecond
	})
}

// dial opens a connection as the world's caller.
func (s *site) dial(protocol string) *tls.Conn {
	certificate, _ := valid(s.t, "backend")
	config := clientTLS(s.t, certificate)
	config.NextProtos = []string{protocol}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.signing, "https://"), config)
	must(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	must(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

// Slow-loris, in every part of a connection: others are served meanwhile, and each is dropped in time.
func TestHTTPSlowLoris(t *testing.T) {
	s := slowSite(t)
	var slow []net.Conn
	for range 20 {
		silent, err := net.Dial("tcp", strings.TrimPrefix(s.signing, "https://"))
		must(t, err)
		defer silent.Close()
		must(t, silent.SetDeadline(time.Now().Add(10*time.Second)))
		dripping := s.dial("http/1.1")
		_, err = io.WriteString(dripping, "POST "+single+" HTTP/1.1\r\nHost: x\r\nX-")
		must(t, err)
		slow = append(slow, silent, dripping)
	}
	if got := s.submit(s.submission("@acme/widget", "1.0.0", "content")); got.status != http.StatusCreated {
		t.Errorf("meanwhile: %d", got.status)
	}
	s.unchanged(func() {
		for _, c := range slow {
			if text, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") || bytes.Contains(text, []byte("200 OK")) {
				t.Errorf("%q, %v", text, err)
			}
		}
	})
}

func TestHTTPSlowBody(t *testing.T) {
	s := slowSite(t)
	s.unchanged(func() {
		conn := s.dial("http/1.1")
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", single)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		p := (&reply{resp.StatusCode, resp.Header, body}).refused(t, signer.Malformed)
		if p.Status != http.StatusRequestTimeout || !p.Retryable || !resp.Close {
			t.Errorf("HTTP/1.1: %+v, close %v", p, resp.Close)
		}
		reader, writer := io.Pipe()
		defer writer.Close()
		go io.WriteString(writer, "{")
		req, err := http.NewRequest(http.MethodPost, s.signing+batch, reader)
		must(t, err)
		req.Header.Set("Content-Type", ndjsonType)
		if p := answer(t, s.client, req).refused(t, signer.Malformed); p.Status != http.StatusRequestTimeout {
			t.Errorf("HTTP/2: %+v", p)
		}
	})
}

// A body that says it is too large is refused without being read, and the connection is closed rather than drained.
func TestHTTPTooLargeIsNotRead(t *testing.T) {
	s := slowSite(t)
	conn := s.dial("http/1.1")
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 67108864\r\n\r\n", single)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	(&reply{resp.StatusCode, resp.Header, body}).refused(t, signer.TooLarge)
	if !resp.Close {
		t.Error("the connection goes on")
	}
}

// A caller that goes away while its item waits is dropped from the queue, and nothing of it is logged.
func TestHTTPCallerGoesAway(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.AgentTimeout, c.SignTimeout = time.Minute, time.Minute })
	hold := make(chan struct{})
	o.set(func(context.Context, string) error { <-hold; return nil })
	before := s.size()
	done := make(chan *reply, 1)
	first := wire(t, "", s.submission("@acme/widget", "1.0.0", "content"))
	go func() {
		r, err := s.try(s.client, http.MethodPost, s.signing+single, jsonType, first)
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	waitUntil(t, "the first is being signed", func() bool { return s.size() == before+1 })
	ctx, leave := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.signing+single, bytes.NewReader(wire(t, "", s.submission("@acme/widget", "2.0.0", "content"))))
	must(t, err)
	req.Header.Set("Content-Type", jsonType)
	gone := make(chan error, 1)
	go func() { _, err := s.client.Do(req); gone <- err }()
	waitUntil(t, "the second waits", func() bool { return s.Status().Queue == 1 })
	leave()
	if err := <-gone; err == nil {
		t.Error("the second was answered")
	}
	time.Sleep(50 * time.Millisecond) // for the server to see the stream's end
	close(hold)
	if r := <-done; r == nil || r.status != http.StatusCreated {
		t.Fatalf("the first: %+v", r)
	}
	waitUntil(t, "the queue is empty", func() bool { return s.Status().Queue == 0 })
	if s.submit(s.submission("@acme/widget", "3.0.0", "content")); s.size() != before+2 {
		t.Errorf("the log grew by %d, want 2", s.size()-before)
	}
}

// A deadline that passes before the entry is appended is a definite answer.
func TestHTTPDeadline(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{Deadline: 100 * time.Millisecond}, func(c *signer.Config) { c.AgentTimeout, c.SignTimeout = time.Minute, time.Minute })
	hold := make(chan struct{})
	o.set(func(context.Context, string) error { <-hold; return nil })
	before := s.size()
	first := make(chan *reply, 1)
	body := wire(t, "", s.submission("@acme/widget", "1.0.0", "content"))
	go func() {
		r, err := s.try(s.client, http.MethodPost, s.signing+single, jsonType, body)
		if err != nil {
			t.Error(err)
		}
		first <- r
	}()
	waitUntil(t, "the first is being signed", func() bool { return s.size() == before+1 })
	time.AfterFunc(300*time.Millisecond, func() { close(hold) })
	if p := s.submit(s.submission("@acme/widget", "2.0.0", "content")).refused(t, signer.SigningUnavailable); p.Logged {
		t.Errorf("%+v", p)
	}
	if r := <-first; r == nil || r.status != http.StatusCreated {
		t.Errorf("what is appended is answered, late or not: %+v", r)
	}
	if s.size() != before+1 {
		t.Errorf("the log grew by %d, want 1", s.size()-before)
	}
}

// A clock that jumps, either way, freezes what is new and nothing else, until an operator has looked.
func TestHTTPClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 400 * 24 * time.Hour, -20 * time.Second} {
		t.Run(jump.String(), func(t *testing.T) {
			var offset atomic.Int64
			start := time.Now()
			s := newSite(t, newWorld(t, 1, 1, func(c *signer.Config) {
				c.Now = func() (time.Time, time.Duration) {
					return time.Now().Round(0).Add(time.Duration(offset.Load())), time.Since(start)
				}
			}), signer.Limits{}, nil)
			known := s.submission("@acme/widget", "1.0.0", "content")
			s.submit(known)
			offset.Store(int64(jump))
			fresh := s.submission("@acme/widget", "2.0.0", "content")
			s.unchanged(func() {
				if p := s.submit(fresh).refused(t, signer.Frozen); !strings.Contains(p.Detail, "clock") {
					t.Errorf("%+v", p)
				}
				if got := s.submit(known); got.status != http.StatusOK {
					t.Errorf("what is logged is found: %d", got.status)
				}
				if got := s.get("/readyz"); got.status != http.StatusServiceUnavailable || !strings.Contains(string(got.body), `"clock"`) {
					t.Errorf("readiness: %d %s", got.status, got.body)
				}
			})
			offset.Store(0)
			s.submit(fresh).refused(t, signer.Frozen) // back again is no proof that it is right
			must(t, s.Thaw())
			if got := s.submit(fresh); got.status != http.StatusCreated {
				t.Errorf("after the thaw: %d %s", got.status, got.body)
			}
		})
	}
}
