package signer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

func TestHTTPCountersign(t *testing.T) {
	s := newSite(t, newWorld(t, 2, 3, nil), signer.Limits{}, nil)
	sub := s.submission("@acme/widget", "1.0.0", "content")
	first := s.submit(sub)
	if first.status != http.StatusCreated || first.header.Get("Content-Type") != provenance.BundleType {
		t.Fatalf("%d %v %s", first.status, first.header, first.body)
	}
	must(t, s.verify(first.body, "pkg:npm/%40acme/widget@1.0.0", "content"))
	again := s.post(single, jsonType+"; charset=utf-8", wire(t, "with a ref", sub))
	if again.status != http.StatusOK || entryIn(t, again.body) != entryIn(t, first.body) {
		t.Fatalf("the same publication again: %d", again.status)
	}
	found := s.do(s.client, http.MethodGet, s.signing+single+"?purl="+url.QueryEscape("pkg:npm/%40acme/widget@1.0.0"), "", nil)
	if string(found.body) != "["+string(again.body)+"]" {
		t.Errorf("the list of bundles is %s", found.body)
	}
	if first.header.Get("X-Request-Id") == again.header.Get("X-Request-Id") {
		t.Error("two requests have one id")
	}
}

// Invariant 4, through HTTP: one publication sent a hundred times at once is one entry, and everybody has it.
func TestHTTPSamePublicationAtOnce(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	for round := range 5 {
		sub, before := s.submission("@acme/widget", fmt.Sprint(round, ".0.0"), "content"), s.size()
		created, statements := 0, make(map[string]bool)
		for _, r := range s.atOnce(100, wire(t, "", sub)) {
			if r.status >= 300 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if r.status == http.StatusCreated {
				created++
			}
			must(t, s.verify(r.body, fmt.Sprintf("pkg:npm/%%40acme/widget@%d.0.0", round), "content"))
			statements[entryIn(t, r.body)] = true
		}
		if created != 1 || len(statements) != 1 || s.size() != before+1 {
			t.Errorf("%d created, %d statements, the log grew by %d", created, len(statements), s.size()-before)
		}
	}
}

// atOnce sends one body n times at once.
func (s *site) atOnce(n int, body []byte) []*reply {
	s.t.Helper()
	replies := make([]*reply, n)
	var group sync.WaitGroup
	for i := range replies {
		group.Go(func() {
			r, err := s.try(s.client, http.MethodPost, s.signing+single, jsonType, body)
			if err != nil {
				s.t.Error(err)
			}
			replies[i] = r
		})
	}
	group.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	return replies
}

// A publication whose head was not signed in time is told so; the same bytes sent again get its bundle.
func TestHTTPRetryAfterOutage(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.SignTimeout = 200 * time.Millisecond })
	o.set(func(_ context.Context, op string) error { return errors.New("secret: the device said 0x30") })
	sub := s.submission("@acme/widget", "1.0.0", "content")
	lost := s.submit(sub)
	if p := lost.refused(t, signer.SigningUnavailable); !p.Logged || !p.Retryable || p.RetryAfter == 0 || lost.header.Get("Retry-After") == "" {
		t.Fatalf("%+v", p)
	}
	if p := s.submit(sub).refused(t, signer.SigningUnavailable); !p.Logged {
		t.Fatalf("%+v", p)
	}
	s.unchanged(func() {
		if p := s.submit(s.submission("@acme/widget", "2.0.0", "more")).refused(t, signer.SigningUnavailable); p.Logged {
			t.Fatalf("%+v", p)
		}
	})
	o.set(nil)
	var got *reply
	waitUntil(t, "the retry gets its bundle", func() bool { got = s.submit(sub); return got.status == http.StatusOK })
	must(t, s.verify(got.body, "pkg:npm/%40acme/widget@1.0.0", "content"))
	if strings.Contains(string(lost.body), "secret") || strings.Contains(string(lost.body), "signatures needed") {
		t.Errorf("internal text went out: %s", lost.body)
	}
	if !strings.Contains(s.log.String(), "signatures needed") || !strings.Contains(s.log.String(), lost.header.Get("X-Request-Id")) {
		t.Errorf("the log does not have the cause of a 503:\n%s", s.log)
	}
}

// What a caller may not do is refused before its body is read.
func TestHTTPCallersAndGrants(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	narrowCert, narrowKey := valid(t, "narrow")
	readerCert, readerKey := valid(t, "reader")
	elsewhereCert, elsewhereKey := valid(t, "elsewhere")
	strangerCert, _ := valid(t, "stranger")
	pypi := namespaces(t, "pkg:pypi/acme-*")
	s := newSite(t, w, signer.Limits{}, nil,
		&signer.Caller{Name: "narrow", Keys: []string{narrowKey}, Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Publish}, Namespaces: pypi}}},
		&signer.Caller{Name: "reader", Keys: []string{readerKey}, Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Enrol}}}},
		&signer.Caller{Name: "elsewhere", Keys: []string{elsewhereKey}, Grants: []signer.Grant{{Registry: "other.test", Roles: []signer.Role{signer.Publish}}}})
	body := wire(t, "", s.submission("@acme/widget", "1.0.0", "content"))
	line := append(bytes.Clone(body), '\n')
	purl := single + "?purl=" + url.QueryEscape("pkg:npm/%40acme/widget@1.0.0")
	for _, c := range []struct {
		name, method, path, contentType string
		client                          *http.Client
		body                            []byte
	}{
		{"another namespace", http.MethodPost, single, jsonType, clientOf(t, narrowCert), body},
		{"reading another namespace", http.MethodGet, purl, "", clientOf(t, narrowCert), nil},
		{"another role", http.MethodPost, single, jsonType, clientOf(t, readerCert), body},
		{"another role in a batch", http.MethodPost, batch, ndjsonType, clientOf(t, readerCert), line},
		{"enrolling without the role", http.MethodPost, enrolments, jsonType, clientOf(t, narrowCert), []byte("[]")},
		{"another registry", http.MethodPost, single, jsonType, clientOf(t, elsewhereCert), body},
		{"reading at another registry", http.MethodGet, purl, "", clientOf(t, elsewhereCert), nil},
		{"unknown certificate", http.MethodPost, single, jsonType, clientOf(t, strangerCert), body},
		{"unknown certificate, unknown path", http.MethodGet, "/", "", clientOf(t, strangerCert), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.unchanged(func() {
				s.do(c.client, c.method, s.signing+c.path, c.contentType, c.body).refused(t, signer.CallerNotAuthorized)
			})
		})
	}
	s.unchanged(func() {
		got := s.do(clientOf(t, narrowCert), http.MethodPost, s.signing+batch, ndjsonType, line)
		if l := lineOutcomes(t, got.body); len(l) != 1 || signer.CodeOf(l[0].Problem.Type) != signer.CallerNotAuthorized {
			t.Errorf("a line for another namespace: %s", got.body)
		}
	})
	partial := single + "?purl=" + url.QueryEscape("pkg:pypi/acme-kit@1")
	if got := s.do(clientOf(t, narrowCert), http.MethodGet, s.signing+partial, "", nil); got.status != http.StatusOK || string(got.body) != "[]" {
		t.Errorf("what is granted may be read: %d %s", got.status, got.body)
	}
	if got := s.do(clientOf(t, readerCert), http.MethodGet, s.signing+purl, "", nil); got.status != http.StatusOK || string(got.body) != "[]" {
		t.Errorf("any role may read: %d %s", got.status, got.body)
	}
}

func TestHTTPUnknownRoutes(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	for _, path := range []string{"/", "/v1", "/v1/registries", base, single + "/", single + "/x", "//v1/registries/" + registry + "/countersignatures",
		"/v1/registries/a%2Fb/countersignatures", "/v1/registries/../registries/" + registry + "/enrolments"} {
		s.post(path, jsonType, []byte("{}")).refused(t, signer.NotFound)
	}
	for method, path := range map[string]string{http.MethodPut: single, http.MethodDelete: batch, http.MethodGet: enrolments, "BREW": single} {
		got := s.do(s.client, method, s.signing+path, jsonType, nil)
		if p := got.refused(t, signer.Malformed); p.Status != http.StatusMethodNotAllowed || !strings.Contains(got.header.Get("Allow"), "POST") {
			t.Errorf("%s: %d, Allow %q", method, p.Status, got.header.Get("Allow"))
		}
	}
}

func TestSigningHandlerRefusesAmbiguousCallers(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	_, k := valid(t, "backend")
	for name, try := range map[string]func() error{
		"one key for two": func() error {
			_, err := signer.NewSigningHandler(nil, []*signer.Caller{{Name: "a", Keys: []string{k}}, {Name: "b", Keys: []string{k}}}, signer.Limits{}, w.config.Logger)
			return err
		},
		"no fingerprint": func() error {
			_, err := signer.NewSigningHandler(nil, []*signer.Caller{{Name: "a", Keys: []string{strings.ToUpper(k)}}}, signer.Limits{}, w.config.Logger)
			return err
		},
		"one registry twice": func() error {
			_, err := signer.NewSigningHandler([]*signer.Service{w.Service, w.Service}, nil, signer.Limits{}, w.config.Logger)
			return err
		},
		"one registry twice, public": func() error {
			_, err := signer.NewPublicHandler([]*signer.Service{w.Service, w.Service}, w.config.Logger)
			return err
		},
	} {
		if try() == nil {
			t.Error(name, "was accepted")
		}
	}
}

func TestHTTPEnrolments(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	certificate := func(name string, by string) *provenance.Envelope {
		e, err := provenance.Enrolment{Registry: registry, Publisher: public(t, key(name)), Namespaces: namespaces(t, "pkg:npm/@acme/*"),
			Issued: time.Now()}.Sign(key(by))
		must(t, err)
		return e.Envelope
	}
	good, stranger := certificate("ann", "officer"), certificate("bob", "mallory")
	end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: good.PayloadDigest(), Reason: "left", Ended: time.Now()}.Sign(s.officer)
	must(t, err)
	send := func(list ...*provenance.Envelope) []enrolmentOutcome {
		var out []enrolmentOutcome
		got := s.post(enrolments, jsonType, provenance.EncodeEnvelopes(list))
		decode(t, got.body, &out)
		return out
	}
	before := s.size()
	out := send(good, stranger, s.submission("@acme/widget", "1.0.0", "content").Publication)
	want := []string{fmt.Sprint(good.PayloadDigest(), 201, ""), fmt.Sprint(stranger.PayloadDigest(), 422, "enrolment-invalid"), fmt.Sprint("", 400, "malformed")}
	for i, o := range out {
		if got := fmt.Sprint(o.Enrolment, o.Status, signer.CodeOf(o.Problem.Type)); got != want[i] {
			t.Errorf("element %d: %s, want %s", i, got, want[i])
		}
	}
	if out := send(good, end.Envelope); out[0].Status != 200 || out[1].Status != 201 || out[1].Enrolment != good.PayloadDigest() {
		t.Errorf("again, and its end: %+v", out)
	}
	if s.size() != before+2 {
		t.Errorf("the log grew by %d, want 2", s.size()-before)
	}
	s.unchanged(func() {
		s.post(enrolments, jsonType, []byte("[]")).refused(t, signer.Malformed)
		s.post(enrolments, jsonType, []byte("[null]")).refused(t, signer.Malformed)
		s.post(enrolments, jsonType, good.JSON()).refused(t, signer.Malformed)
		s.post(enrolments, jsonType, []byte("["+strings.Repeat("{},", 1000)+"{}]")).refused(t, signer.TooLarge)
		s.post(enrolments, jsonType, bytes.Repeat([]byte(" "), signer.MaxBulk+1)).refused(t, signer.TooLarge)
	})
}

type enrolmentOutcome struct {
	Enrolment string
	Status    int
	Problem   problemDocument
}

// One caller's batches are bounded, those of others are not touched by that.
func TestHTTPBatchesInMemoryAreBounded(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{Bulk: 2}, nil)
	hold := make(chan struct{})
	o.set(func(context.Context, string) error { <-hold; return nil })
	var group sync.WaitGroup
	for i := range 2 {
		line := wire(t, "", s.submission("@acme/widget", fmt.Sprint(i, ".0.0"), "content"))
		group.Go(func() {
			if r, err := s.try(s.client, http.MethodPost, s.signing+batch, ndjsonType, line); err != nil || lineOutcomes(t, r.body)[0].Status != 201 {
				t.Error(err, r)
			}
		})
	}
	before := s.size()
	waitUntil(t, "one batch is logged and one waits", func() bool { st := s.Status(); return st.Size == before+1 && st.Queue == 1 || st.Size == before+2 })
	line := wire(t, "", s.submission("@acme/widget", "9.0.0", "content"))
	got := s.post(batch, ndjsonType, line)
	if got.refused(t, signer.Overloaded); got.header.Get("Retry-After") != "1" {
		t.Error("no Retry-After")
	}
	s.post(enrolments, jsonType, []byte("[]")).refused(t, signer.Overloaded)
	close(hold)
	group.Wait()
	if got := s.post(batch, ndjsonType, line); lineOutcomes(t, got.body)[0].Status != 201 {
		t.Errorf("after the others: %s", got.body)
	}
}

// Nobody knows: 500 without a body for a single request or a list of enrolments, a missing line in a batch.
func TestHTTPIndeterminate(t *testing.T) {
	for name, rec := range map[string]*httptest.ResponseRecorder{
		"single":     signer.AnswerSingle(signer.Outcome{}),
		"enrolments": signer.AnswerEnrolled([]signer.Enrolled{{Enrolment: "sha256:…", Created: true}, {Unknown: true}}),
	} {
		if rec.Code != http.StatusInternalServerError || rec.Body.Len() != 0 || rec.Header().Get("Content-Type") != "" {
			t.Errorf("%s: %d %q", name, rec.Code, rec.Body)
		}
	}
	line := `{"ref":"a","statement":{"purl":"pkg:npm/x@1.0.0","fileName":"x","reason":"backfill","evidence":[]},"observed":{"size":1}}`
	body := strings.Join([]string{line, "bad", line, line}, "\n")
	rec := signer.AnswerBatch(body, []signer.Outcome{{Bundle: []byte("{}"), Created: true}, {}, {Bundle: []byte("{}")}})
	want := []int{1, 2, 4}
	got := lineOutcomes(t, rec.Body.Bytes())
	if len(got) != len(want) {
		t.Fatalf("%s", rec.Body)
	}
	for i, o := range got {
		if o.Line != want[i] {
			t.Errorf("line %d, want %d", o.Line, want[i])
		}
	}
}

// A panic says nothing about how far the work went, and must not look like a whole answer.
func TestHTTPPanic(t *testing.T) {
	var book logBook
	address := "http://" + listen(t, signer.NewServer(signer.ServeWith(bookLogger(&book), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			w.Write(bytes.Repeat([]byte("x"), 100<<10))
		}
		panic("of some kind")
	}), nil, bookLogger(&book)))
	resp, err := http.Post(address, jsonType, nil)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusInternalServerError || resp.ContentLength != 0 || resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if text := book.String(); !strings.Contains(text, "of some kind") || !strings.Contains(text, resp.Header.Get("X-Request-Id")) || !strings.Contains(text, "level=ERROR") {
		t.Errorf("the log has %s", text)
	}
	if resp, err := http.Post(address+"/?late", jsonType, nil); err == nil {
		defer resp.Body.Close()
		if _, err := new(bytes.Buffer).ReadFrom(resp.Body); err == nil {
			t.Error("a broken answer looks whole")
		}
	}
}

// The log names no package: those of a private registry are private.
func TestHTTPLogIsDiscreet(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	s.submit(s.submission("@acme/widget", "1.0.0", "other")).refused(t, signer.CoordinateConflict)
	s.do(s.client, http.MethodGet, s.signing+single+"?purl="+url.QueryEscape("pkg:npm/%40acme/widget@1.0.0"), "", nil)
	s.get("/" + registry + "/bundles?purl=" + url.QueryEscape("pkg:npm/%40acme/widget@1.0.0"))
	text := s.log.String()
	if strings.Contains(text, "widget") {
		t.Errorf("the log names a package:\n%s", text)
	}
	for _, want := range []string{"caller=backend", "route=/v1/registries/{registry}/countersignatures", "status=201", "code=coordinate-conflict",
		"route=/{registry}/bundles", "took=", "request="} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not have %s:\n%s", want, text)
		}
	}
}
