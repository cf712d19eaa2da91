package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// signingListener imitates countersignd's over a registry, with faults when it is told to.
type signingListener struct {
	*httptest.Server
	mu       sync.Mutex
	registry *registry
	faults   []string // one for each of the next requests
	requests []sent
}

// sent is a request as it arrived.
type sent struct {
	path, contentType string
	body              []byte
}

func newListener(r *registry) *signingListener { return newListenerWith(r, func(*tls.Config) {}) }

func newListenerWith(r *registry, adjust func(*tls.Config)) *signingListener {
	l := &signingListener{registry: r}
	l.Server = httptest.NewUnstartedServer(l)
	l.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert}
	adjust(l.TLS)
	l.StartTLS()
	return l
}

// certificate is one for clients, and its key, in PEM.
func certificate() (cert, key []byte) {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "back end"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))})
}

func (l *signingListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := must(io.ReadAll(r.Body))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, sent{r.URL.Path, r.Header.Get("Content-Type"), body})
	if len(l.faults) > 0 {
		fault := l.faults[0]
		l.faults = l.faults[1:]
		if fault == "silent" { // until the client goes away
			l.mu.Unlock()
			<-r.Context().Done()
			l.mu.Lock()
			return
		}
		if l.fail(w, fault, body) {
			return
		}
	}
	const registry = "/v1/registries/registry.example"
	switch r.Method + " " + r.URL.Path {
	case "POST " + registry + "/countersignatures":
		l.single(w, body)
	case "POST " + registry + "/countersignatures:batch":
		l.batch(w, body)
	case "POST " + registry + "/enrolments":
		l.enrolments(w, body)
	case "POST " + registry + "/withdrawals":
		l.withdrawals(w, body)
	default:
		answerProblem(w, refuse("wrong-registry", 404, "no such registry"))
	}
}

type observedFile struct {
	Size    uint64             `json:"size"`
	Digests provenance.Digests `json:",embed"`
}

type submissionBody struct {
	Ref         string               `json:"ref"`
	Publication *provenance.Envelope `json:"publication"`
	Observed    *observedFile        `json:"observed"`
}

func decodeSubmission(body []byte) submissionBody {
	var s submissionBody
	if err := strict.JSON(body, &s); err != nil || s.Observed == nil || s.Observed.Size == 0 || s.Publication == nil {
		panic(fmt.Sprintf("submission %s: %v", body, err))
	}
	return s
}

func (l *signingListener) single(w http.ResponseWriter, body []byte) {
	s := decodeSubmission(body)
	index, created, refusal := l.registry.countersign(s.Publication, s.Observed.Digests, time.Now())
	if refusal != nil {
		answerProblem(w, refusal)
		return
	}
	answer(w, created, provenance.BundleType, l.registry.bundle(index).JSON())
}

func answer(w http.ResponseWriter, created bool, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	w.WriteHeader(status)
	w.Write(body)
}

func answerProblem(w http.ResponseWriter, p *problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(must(json.Marshal(p)))
}

func (l *signingListener) batch(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	n := 0
	for line := range strings.Lines(string(body)) {
		n++
		w.Write(l.line(n, decodeSubmission([]byte(line))))
	}
}

// line answers a line of a batch.
func (l *signingListener) line(n int, s submissionBody) []byte {
	index, created, refusal := l.registry.countersign(s.Publication, s.Observed.Digests, time.Now())
	switch {
	case refusal != nil:
		return fmt.Appendf(nil, `{"ref":%q,"line":%d,"status":%d,"problem":%s}`+"\n", s.Ref, n, refusal.Status, must(json.Marshal(refusal)))
	case created:
		return fmt.Appendf(nil, `{"ref":%q,"line":%d,"status":201,"bundle":%s}`+"\n", s.Ref, n, l.registry.bundle(index).JSON())
	}
	return fmt.Appendf(nil, `{"ref":%q,"line":%d,"status":200,"bundle":%s}`+"\n", s.Ref, n, l.registry.bundle(index).JSON())
}

func (l *signingListener) enrolments(w http.ResponseWriter, body []byte) {
	var parts []string
	for _, e := range must(provenance.ParseEnvelopes(body)) {
		digest, created, refusal := l.registry.enrol(e)
		switch {
		case refusal != nil:
			parts = append(parts, fmt.Sprintf(`{"enrolment":%q,"status":%d,"problem":%s}`, digest, refusal.Status, must(json.Marshal(refusal))))
		case created:
			parts = append(parts, fmt.Sprintf(`{"enrolment":%q,"status":201}`, digest))
		default:
			parts = append(parts, fmt.Sprintf(`{"enrolment":%q,"status":200}`, digest))
		}
	}
	answer(w, false, "application/json", []byte("["+strings.Join(parts, ",")+"]"))
}

// fail acts out one fault and reports whether that was the answer.
func (l *signingListener) fail(w http.ResponseWriter, fault string, body []byte) bool {
	name, argument, _ := strings.Cut(fault, "=")
	switch name {
	case "none":
		return false
	case "status": // without a reason
		var status int
		must(fmt.Sscan(argument, &status))
		w.WriteHeader(status)
		io.WriteString(w, "<html>proxy \x1b[31m")
	case "retry-after": // seconds
		w.Header().Set("Retry-After", argument)
		p := refuse("overloaded", 429, "the queue is full")
		p.Retryable = true
		answerProblem(w, p)
	case "unavailable":
		p := refuse("signing-unavailable", 503, "no agent answers")
		p.Retryable, p.Logged, p.RetryAfter = true, true, 1
		answerProblem(w, p)
	case "frozen":
		p := refuse("frozen", 503, "HSM maintenance")
		p.Retryable = true
		answerProblem(w, p)
	case "problem":
		code, canonical, _ := strings.Cut(argument, ":")
		p := refuse(code, 422, "because of \x1b[2J this")
		p.Canonical = canonical
		answerProblem(w, p)
	case "redirect":
		w.Header().Set("Location", argument)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "text":
		answer(w, true, "text/plain", []byte(argument))
	case "huge":
		w.WriteHeader(http.StatusCreated)
		w.Write(bytes.Repeat([]byte(" "), provenance.MaxBundle+maxProblem+2))
	case "cut": // in the middle of the answer
		w.Header().Set("Content-Length", "100000")
		w.Write([]byte(`{"mediaType":`))
	case "hang-up":
		panic(http.ErrAbortHandler)
	case "bundle-of": // another coordinate
		answer(w, true, provenance.BundleType, l.registry.bundle(l.registry.statements[argument]).JSON())
	case "vouched": // a registry statement
		s := decodeSubmission(body)
		p := must(provenance.ParsePublication(s.Publication))
		answer(w, true, provenance.BundleType, l.registry.bundle(l.registry.vouch(p.Coordinate, p.Subject.Digest, time.Now())).JSON())
	case "first-lines": // of a batch; the others get no answer
		var n int
		must(fmt.Sscan(argument, &n))
		l.batch(w, []byte(strings.Join(strings.SplitAfter(string(body), "\n")[:n], "")))
	case "busy-line": // the last line of a batch is to be sent again
		lines := strings.SplitAfter(string(body), "\n")
		l.batch(w, []byte(strings.Join(lines[:len(lines)-2], "")))
		s := decodeSubmission([]byte(lines[len(lines)-2]))
		fmt.Fprintf(w, `{"ref":%q,"line":9,"status":503,"problem":{"type":"urn:countersign:error:signing-unavailable","detail":"busy","retryable":true}}`+"\n", s.Ref)
	default:
		panic("unknown fault " + fault)
	}
	return true
}
