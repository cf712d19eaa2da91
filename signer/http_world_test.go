package signer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

const (
	jsonType    = "application/json"
	ndjsonType  = "application/x-ndjson"
	base        = "/v1/registries/" + registry
	single      = base + "/countersignatures"
	batch       = base + "/countersignatures:batch"
	enrolments  = base + "/enrolments"
	withdrawals = base + "/withdrawals"
)

// site is a world behind its real listeners, with the client of its caller.
type site struct {
	*world
	signing, public string // base URLs
	server          *http.Server
	client          *http.Client
	log             *logBook
	described       *description
}

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// credentials is a client's self-signed certificate for the time between, and the fingerprint of its key.
func credentials(t testing.TB, name string, from, to time.Time) (tls.Certificate, string) {
	t.Helper()
	k := key("tls " + name)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k, Leaf: leaf}, "sha256:" + hex.EncodeToString(sum[:])
}

func valid(t testing.TB, name string) (tls.Certificate, string) {
	return credentials(t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// newSite serves a world on loopback. adjust may change the signing server before it starts.
func newSite(t testing.TB, w *world, limits signer.Limits, adjust func(*http.Server), callers ...*signer.Caller) *site {
	t.Helper()
	d, err := describe()
	must(t, err)
	s := &site{world: w, log: new(logBook), described: d}
	certificate, fingerprint := valid(t, "backend")
	w.caller.Keys = []string{fingerprint}
	logger := bookLogger(s.log)
	signing, err := signer.NewSigningHandler([]*signer.Service{w.Service}, append(callers, w.caller), limits, logger)
	must(t, err)
	public, err := signer.NewPublicHandler([]*signer.Service{w.Service}, logger)
	must(t, err)
	own, _ := valid(t, "server")
	s.server = signer.NewServer(signing, signer.TLSConfig(own), logger)
	if adjust != nil {
		adjust(s.server)
	}
	s.signing = "https://" + listen(t, s.server)
	s.public = "http://" + listen(t, signer.NewServer(public, nil, logger))
	s.client = clientOf(t, certificate)
	return s
}

// listen serves until the test ends.
func listen(t testing.TB, server *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			done <- server.ServeTLS(l, "", "")
		} else {
			done <- server.Serve(l)
		}
	}()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error("serve:", err)
		}
	})
	return l.Addr().String()
}

// clientOf is an HTTP/2 client that shows these certificates.
func clientOf(t testing.TB, certificates ...tls.Certificate) *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 200, TLSClientConfig: clientTLS(t, certificates...)}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// bookLogger writes to a log book.
func bookLogger(l *logBook) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func clientTLS(t testing.TB, certificates ...tls.Certificate) *tls.Config {
	own, _ := valid(t, "server")
	return &tls.Config{Certificates: certificates, InsecureSkipVerify: true, // the server is known by its key
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].RawSubjectPublicKeyInfo, own.Leaf.RawSubjectPublicKeyInfo) {
				return errors.New("another server")
			}
			return nil
		}}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// problemDocument is a problem as a client reads it.
type problemDocument struct {
	Type, Title, Detail, Existing, Canonical, RequestID string
	Reason, WithdrawnAt                                 string
	Coordinates                                         []string
	Status, RetryAfter                                  int
	Retryable, Logged                                   bool
}

func (r *reply) problem(t testing.TB) problemDocument {
	t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("status %d, Content-Type %q: %.200s", r.status, got, r.body)
	}
	var p problemDocument
	decode(t, r.body, &p)
	if p.Status != r.status || p.RequestID != r.header.Get("X-Request-Id") || p.RequestID == "" || p.Detail == "" || p.Title == "" {
		t.Errorf("the problem document does not agree with its answer: %d %v %s", r.status, r.header, r.body)
	}
	return p
}

// refused checks that the answer is a problem of the code, and gives it.
func (r *reply) refused(t testing.TB, code signer.Code) problemDocument {
	t.Helper()
	p := r.problem(t)
	if signer.CodeOf(p.Type) != code {
		t.Fatalf("problem %s, want %s: %s", signer.CodeOf(p.Type), code, r.body)
	}
	return p
}

// do sends a request and holds the exchange to the description.
func (s *site) do(client *http.Client, method, url, contentType string, body []byte) *reply {
	s.t.Helper()
	r, err := s.try(client, method, url, contentType, body)
	must(s.t, err)
	return r
}

func (s *site) try(client *http.Client, method, url, contentType string, body []byte) (*reply, error) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	s.described.hold(s.t, req, body, resp.StatusCode, resp.Header, got)
	return &reply{resp.StatusCode, resp.Header, got}, nil
}

// post sends a body as the world's caller.
func (s *site) post(path, contentType string, body []byte) *reply {
	s.t.Helper()
	return s.do(s.client, http.MethodPost, s.signing+path, contentType, body)
}

// get asks the public listener.
func (s *site) get(path string) *reply {
	s.t.Helper()
	return s.do(http.DefaultClient, http.MethodGet, s.public+path, "", nil)
}

// wire is a submission as JSON.
func wire(t testing.TB, ref string, sub signer.Submission) []byte {
	t.Helper()
	observed := map[string]any{"size": sub.Observed.Size}
	for name, value := range sub.Observed.Digests {
		observed[name] = value
	}
	all := map[string]any{"observed": observed}
	if ref != "" {
		all["ref"] = ref
	}
	if sub.Publication != nil {
		all["publication"] = sub.Publication
	}
	if s := sub.Statement; s != nil {
		all["statement"] = map[string]any{"purl": s.Purl, "fileName": s.FileName, "reason": s.Reason, "evidence": s.Evidence}
	}
	data, err := json.Marshal(all, json.Deterministic(true))
	must(t, err)
	return data
}

// submit sends one publication.
func (s *site) submit(sub signer.Submission) *reply {
	s.t.Helper()
	return s.post(single, jsonType, wire(s.t, "", sub))
}

// size is how many entries are durable.
func (s *site) size() uint64 { return s.Status().Size }

// unchanged runs f and checks that it logged nothing.
func (s *site) unchanged(f func()) {
	s.t.Helper()
	before := s.size()
	f()
	if after := s.size(); after != before {
		s.t.Errorf("the log grew from %d to %d entries", before, after)
	}
}

// entryIn is the log entry in a bundle.
func entryIn(t testing.TB, bundle []byte) string {
	t.Helper()
	b, err := provenance.ParseBundle(bundle)
	must(t, err)
	return string(b.Statement)
}

// outage is a fault of an agent that can be turned on and off.
type outage struct {
	mu    sync.Mutex
	fault func(context.Context, string) error
}

func (o *outage) set(f func(context.Context, string) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = f
}

func (o *outage) trip(ctx context.Context, op string) error {
	o.mu.Lock()
	f := o.fault
	o.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, op)
}

// newOutageSite is a site of one agent that can be made to fail.
func newOutageSite(t testing.TB, limits signer.Limits, adjust func(*signer.Config)) (*site, *outage) {
	o := new(outage)
	w := newWorld(t, 1, 1, func(c *signer.Config) {
		c.Agents[0].Agent.(*guardAgent).fault = o.trip
		if adjust != nil {
			adjust(c)
		}
	})
	return newSite(t, w, limits, nil), o
}

// waitUntil waits for what other goroutines do.
func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// decode reads what a client would.
func decode(t testing.TB, data []byte, v any) {
	t.Helper()
	must(t, json.Unmarshal(data, v, json.MatchCaseInsensitiveNames(true), json.RejectUnknownMembers(true)))
}
