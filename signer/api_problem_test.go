package signer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// forged is the submission with its payload changed and signed again, as no tool of ours would.
func forged(t testing.TB, sub signer.Submission, by ed25519.PrivateKey, old, new string) signer.Submission {
	t.Helper()
	payload := strings.ReplaceAll(string(sub.Publication.Payload), old, new)
	if payload == string(sub.Publication.Payload) {
		t.Fatalf("the payload has no %q", old)
	}
	e, err := provenance.Sign(sub.Publication.PayloadType, []byte(payload), by)
	must(t, err)
	sub.Publication = e
	return sub
}

// publicationBy signs a publication of content with what adjust makes of it; the back end observed the content's sha256.
func (w *world) publicationBy(by ed25519.PrivateKey, name, version, content string, adjust func(*provenance.Draft)) signer.Submission {
	w.t.Helper()
	c, err := provenance.NewCoordinate("npm", name, version, "")
	must(w.t, err)
	d := provenance.Draft{Registry: registry, Coordinate: c, FileName: "package.tgz", Digests: digestsOf(content), SignedAt: time.Now()}
	if adjust != nil {
		adjust(&d)
	}
	p, err := d.Sign(by)
	must(w.t, err)
	return signer.Submission{Publication: p.Envelope, Observed: signer.Observed{Digests: digestsOf(content), Size: 7}}
}

// Every code in the table is produced by a request, with its status, and nothing is logged by any that is refused.
func TestHTTPEveryProblem(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	strangerCert, _ := valid(t, "stranger")
	good := s.submission("@acme/widget", "1.0.0", "content")
	if got := s.submit(good); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := s.submit(s.submission("@acme/widget", "0.1.0", "malware")); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	s.withdraw("pkg:npm/%40acme/widget@0.1.0", "malware")
	fresh := s.submission("@acme/widget", "3.0.0", "content")
	flipped := s.submission("@acme/widget", "3.0.0", "content")
	flipped.Publication.Signatures = []provenance.Signature{{KeyID: flipped.Publication.Signatures[0].KeyID, Sig: bytes.Clone(flipped.Publication.Signatures[0].Sig)}}
	flipped.Publication.Signatures[0].Sig[7] ^= 1
	disagreeing := fresh
	disagreeing.Observed.Digests = digestsOf("other")
	outside := w.backfill("1.0.0", "content")
	outside.Statement.Purl = "pkg:npm/left-pad@1.0.0"
	certificate, err := provenance.Enrolment{Registry: registry, Publisher: public(t, key("x")), Namespaces: namespaces(t, "pkg:npm/@acme/*"), Issued: time.Now()}.Sign(key("mallory"))
	must(t, err)

	submit := func(sub signer.Submission) func(*testing.T) problemDocument {
		return func(t *testing.T) problemDocument { return s.submit(sub).problem(t) }
	}
	cases := []struct {
		code signer.Code
		send func(*testing.T) problemDocument
	}{
		{signer.Malformed, func(t *testing.T) problemDocument { return s.post(single, jsonType, []byte("{")).problem(t) }},
		{signer.TooLarge, func(t *testing.T) problemDocument {
			return s.post(single, jsonType, make([]byte, signer.MaxSingle+1)).problem(t)
		}},
		{signer.WrongRegistry, func(t *testing.T) problemDocument {
			return s.post("/v1/registries/other.test/countersignatures", jsonType, wire(t, "", fresh)).problem(t)
		}},
		{signer.WrongRegistry, submit(w.publicationBy(w.publisher, "@acme/widget", "3.0.0", "content", func(d *provenance.Draft) { d.Registry = "other.test" }))},
		{signer.CoordinateNotCanonical, submit(forged(t, fresh, w.publisher, "%40acme", "@acme"))},
		{signer.DigestDisagreement, submit(disagreeing)},
		{signer.PublisherNotEnrolled, submit(w.publicationBy(key("mallory"), "@acme/widget", "3.0.0", "content", nil))},
		{signer.PublicationSignatureInvalid, submit(flipped)},
		{signer.PublicationTooOld, submit(w.publicationBy(w.publisher, "@acme/widget", "3.0.0", "content", func(d *provenance.Draft) { d.SignedAt = time.Now().Add(-25 * time.Hour) }))},
		{signer.PublicationTooOld, submit(w.publicationBy(w.publisher, "@acme/widget", "3.0.0", "content", func(d *provenance.Draft) { d.SignedAt = time.Now().Add(time.Hour) }))},
		{signer.NamespaceNotBound, func(t *testing.T) problemDocument {
			return lineOutcomes(t, s.post(batch, ndjsonType, wire(t, "", outside)).body)[0].Problem
		}},
		{signer.CoordinateConflict, submit(w.publicationBy(w.publisher, "@acme/widget", "1.0.0", "other", nil))},
		{signer.PublicationConflict, submit(w.publicationBy(w.publisher, "@acme/widget", "1.0.0", "content", func(d *provenance.Draft) { d.SignedAt = time.Now().Add(-time.Hour) }))},
		{signer.Withdrawn, submit(w.publicationBy(w.publisher, "@acme/widget", "0.1.0", "malware", nil))},
		{signer.EnrolmentInvalid, func(t *testing.T) problemDocument {
			var out []enrolmentOutcome
			decode(t, s.post(enrolments, jsonType, provenance.EncodeEnvelopes([]*provenance.Envelope{certificate.Envelope})).body, &out)
			return out[0].Problem
		}},
		{signer.CallerNotAuthorized, func(t *testing.T) problemDocument {
			return s.do(clientOf(t, strangerCert), http.MethodPost, s.signing+single, jsonType, wire(t, "", fresh)).problem(t)
		}},
		{signer.NotFound, func(t *testing.T) problemDocument {
			return s.get("/" + registry + "/bundles/" + strings.Repeat("0", 64)).problem(t)
		}},
		{signer.Frozen, func(t *testing.T) problemDocument {
			must(t, s.Freeze("an audit"))
			defer func() { must(t, s.Thaw()) }()
			return s.submit(fresh).problem(t)
		}},
		{signer.Overloaded, produceOverloaded},
		{signer.SigningUnavailable, produceUnavailable},
	}
	var produced []signer.Code
	for _, c := range cases {
		t.Run(string(c.code), func(t *testing.T) {
			var p problemDocument
			s.unchanged(func() { p = c.send(t) })
			status, retryable := signer.StatusOf(c.code)
			if got := signer.CodeOf(p.Type); got != c.code || p.Status != status || p.Retryable != retryable {
				t.Errorf("%s %d retryable %v, want %s %d retryable %v: %s", got, p.Status, p.Retryable, c.code, status, retryable, p.Detail)
			}
			produced = append(produced, signer.CodeOf(p.Type))
		})
	}
	slices.Sort(produced)
	if got := slices.Compact(produced); !slices.Equal(got, signer.Codes()) {
		t.Errorf("produced %v, the table has %v", got, signer.Codes())
	}
	if got := s.submit(fresh); got.status != http.StatusCreated {
		t.Errorf("after all that: %d %s", got.status, got.body)
	}
}

// What a problem says beside its code.
func TestHTTPProblemMembers(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	good := s.submission("@acme/widget", "1.0.0", "content")
	s.submit(good)
	other := s.publicationBy(s.publisher, "@acme/widget", "1.0.0", "content", func(d *provenance.Draft) { d.SignedAt = time.Now().Add(-time.Hour) })
	for name, c := range map[string]struct{ got, want string }{
		"canonical":    {s.submit(forged(t, good, s.publisher, "%40acme", "@acme")).problem(t).Canonical, "pkg:npm/%40acme/widget@1.0.0"},
		"content":      {s.submit(s.submission("@acme/widget", "1.0.0", "other")).problem(t).Existing, "sha256:" + digestsOf("content")["sha256"]},
		"publication":  {s.submit(other).problem(t).Existing, good.Publication.PayloadDigest()},
		"freeze":       {frozenDetail(t, s, "an audit"), "an audit"},
		"content type": {fmt.Sprint(s.post(single, "text/plain", []byte("{}")).refused(t, signer.Malformed).Status), "415"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

func frozenDetail(t *testing.T, s *site, reason string) string {
	must(t, s.Freeze(reason))
	defer func() { must(t, s.Thaw()) }()
	return s.submit(s.submission("@acme/widget", "7.0.0", "content")).refused(t, signer.Frozen).Detail
}

// produceOverloaded fills a caller's share of the queue behind an agent that does not answer. What was accepted is not lost.
func produceOverloaded(t *testing.T) problemDocument {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.QueueShare, c.AgentTimeout, c.SignTimeout = 1, time.Minute, time.Minute })
	hold := make(chan struct{})
	o.set(func(context.Context, string) error { <-hold; return nil })
	before := s.size()
	var group sync.WaitGroup
	send := func(version string) {
		body := wire(t, "", s.submission("@acme/widget", version, version))
		group.Go(func() {
			if r, err := s.try(s.client, http.MethodPost, s.signing+single, jsonType, body); err != nil || r.status != http.StatusCreated {
				t.Error(version, err, r)
			}
		})
	}
	send("1.0.0")
	waitUntil(t, "the first is being signed", func() bool { return s.size() == before+1 })
	send("2.0.0")
	waitUntil(t, "the second waits", func() bool { return s.Status().Queue == 1 })
	got := s.submit(s.submission("@acme/widget", "3.0.0", "content"))
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	two := joined(wire(t, "", s.submission("@acme/widget", "4.0.0", "content")), wire(t, "", s.submission("@acme/widget", "5.0.0", "content")))
	s.post(batch, ndjsonType, two).refused(t, signer.Overloaded)
	if s.size() != before+1 {
		t.Error("what was refused is logged")
	}
	close(hold)
	group.Wait()
	return got.problem(t)
}

// produceUnavailable has the head of another publication not signed, so that nothing new is logged.
func produceUnavailable(t *testing.T) problemDocument {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.SignTimeout = 100 * time.Millisecond })
	o.set(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
	s.submit(s.submission("@acme/widget", "1.0.0", "content")).refused(t, signer.SigningUnavailable)
	return s.submit(s.submission("@acme/widget", "2.0.0", "content")).problem(t)
}
