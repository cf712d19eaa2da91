package signer_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// certificate is an enrolment that an officer signed; adjust changes it before.
func (w *world) certificate(officer, publisher ed25519.PrivateKey, adjust func(*provenance.Enrolment)) *provenance.Enrolment {
	w.t.Helper()
	e := provenance.Enrolment{Registry: registry, Publisher: public(w.t, publisher), Namespaces: namespaces(w.t, "pkg:npm/@acme/*"), Issued: time.Now().Add(-time.Hour)}
	if adjust != nil {
		adjust(&e)
	}
	signed, err := e.Sign(officer)
	must(w.t, err)
	return signed
}

// enrolled logs a certificate.
func (w *world) enrolled(e *provenance.Enrolment) {
	w.t.Helper()
	out, problem := w.Enrol(w.t.Context(), w.caller, []*provenance.Envelope{e.Envelope})
	if problem != nil || out[0].Problem != nil {
		w.t.Fatal(problem, out[0].Problem)
	}
}

// Publisher first: a countersignature needs every one of these, and for want of any nothing is logged.
func TestInvariant6_PublisherFirst(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	as := func(name string, adjust func(*provenance.Enrolment)) ed25519.PrivateKey {
		w.enrolled(w.certificate(w.officer, key(name), adjust))
		return key(name)
	}
	narrow := as("narrow", func(e *provenance.Enrolment) { e.Namespaces = namespaces(t, "pkg:npm/@acme/gadget*") })
	future := as("future", func(e *provenance.Enrolment) { e.Issued = time.Now().Add(time.Hour) })
	past := as("past", func(e *provenance.Enrolment) { e.NotAfter = time.Now().Add(-time.Minute) })
	left := as("left", nil)
	w.end(w.certificate(w.officer, left, nil))

	draft := func(adjust func(*provenance.Draft)) signer.Submission {
		d := w.unsigned("@acme/widget", "1.0.0", "content")
		if adjust != nil {
			adjust(&d)
		}
		return w.signed(d, w.publisher)
	}
	by := func(k ed25519.PrivateKey) signer.Submission {
		return w.signed(w.unsigned("@acme/widget", "1.0.0", "content"), k)
	}
	observed := func(o signer.Observed) signer.Submission {
		sub := draft(nil)
		sub.Observed = o
		return sub
	}
	envelope := func(change func(*provenance.Envelope)) signer.Submission {
		sub := draft(nil)
		e := *sub.Publication
		e.Signatures = []provenance.Signature{{KeyID: e.Signatures[0].KeyID, Sig: bytes.Clone(e.Signatures[0].Sig)}}
		e.Payload = bytes.Clone(e.Payload)
		change(&e)
		sub.Publication = &e
		return sub
	}
	sha512 := draft(func(d *provenance.Draft) { d.Digests["sha512"] = string(bytes.Repeat([]byte("a"), 128)) })
	sha512.Observed.Digests = digestsOf("content")

	for name, tt := range map[string]struct {
		sub  signer.Submission
		code signer.Code
	}{
		"for another registry":         {draft(func(d *provenance.Draft) { d.Registry = "other.test" }), signer.WrongRegistry},
		"by nobody known":              {by(key("nobody")), signer.PublisherNotEnrolled},
		"by an enrolment key":          {by(w.officer), signer.PublisherNotEnrolled},
		"by a log key":                 {by(w.guards[0].key), signer.PublisherNotEnrolled},
		"by one enrolled elsewhere":    {by(narrow), signer.PublisherNotEnrolled},
		"by one enrolled from later":   {by(future), signer.PublisherNotEnrolled},
		"by one enrolled until before": {by(past), signer.PublisherNotEnrolled},
		"by one whose enrolment ended": {by(left), signer.PublisherNotEnrolled},
		"signature flipped":            {envelope(func(e *provenance.Envelope) { e.Signatures[0].Sig[9] ^= 1 }), signer.PublicationSignatureInvalid},
		"signature of another payload": {envelope(func(e *provenance.Envelope) {
			e.Signatures[0].Sig = w.submission("@acme/widget", "1.0.1", "content").Publication.Signatures[0].Sig
		}), signer.PublicationSignatureInvalid},
		"signed by another than it says": {envelope(func(e *provenance.Envelope) { e.Signatures[0].Sig = by(narrow).Publication.Signatures[0].Sig }), signer.PublicationSignatureInvalid},
		"signed under another type":      {envelope(func(e *provenance.Envelope) { e.PayloadType = "application/json" }), signer.Malformed},
		"no signature":                   {envelope(func(e *provenance.Envelope) { e.Signatures = nil }), signer.Malformed},
		"two signatures":                 {envelope(func(e *provenance.Envelope) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), signer.Malformed},
		"another document":               {signer.Submission{Publication: w.identity.Envelope, Observed: draft(nil).Observed}, signer.Malformed},
		"an enrolment":                   {signer.Submission{Publication: w.enrolment.Envelope, Observed: draft(nil).Observed}, signer.Malformed},
		"of another file":                {observed(signer.Observed{Digests: digestsOf("other"), Size: 7}), signer.DigestDisagreement},
		"of a file nobody looked at":     {observed(signer.Observed{Size: 7}), signer.Malformed},
		"of an empty file":               {observed(signer.Observed{Digests: digestsOf("content")}), signer.Malformed},
		"with a digest nobody computed":  {sha512, signer.DigestDisagreement},
		"signed too long ago":            {draft(func(d *provenance.Draft) { d.SignedAt = time.Now().Add(-25 * time.Hour) }), signer.PublicationTooOld},
		"signed in the future":           {draft(func(d *provenance.Draft) { d.SignedAt = time.Now().Add(10 * time.Minute) }), signer.PublicationTooOld},
	} {
		t.Run(name, func(t *testing.T) { w.refused(tt.sub, tt.code) })
	}
	w.accepted(draft(nil))
}

// What a caller was not granted is refused like what nobody signed.
func TestInvariant6_Callers(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	granted := *w.caller
	sub := w.submission("@acme/widget", "1.0.0", "content")
	for name, grants := range map[string][]signer.Grant{
		"none":              nil,
		"another registry":  {{Registry: "other.test", Roles: []signer.Role{signer.Publish}}},
		"other roles":       {{Registry: registry, Roles: []signer.Role{signer.Enrol, signer.Backfill}}},
		"another namespace": {{Registry: registry, Roles: []signer.Role{signer.Publish}, Namespaces: namespaces(t, "pkg:npm/@acme/gadget")}},
		"the namespace for another role": {{Registry: registry, Roles: []signer.Role{signer.Publish}, Namespaces: namespaces(t, "pkg:npm/@acme/gadget")},
			{Registry: registry, Roles: []signer.Role{signer.Backfill}}},
	} {
		t.Run(name, func(t *testing.T) {
			w.caller = &signer.Caller{Name: "limited", Grants: grants}
			w.refused(sub, signer.CallerNotAuthorized)
		})
	}
	w.caller = &signer.Caller{Name: "limited", Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Publish}}}}
	w.refused(w.statement("pkg:npm/%40acme/widget@1.0.0", "content"), signer.CallerNotAuthorized)
	if _, problem := w.Enrol(t.Context(), w.caller, []*provenance.Envelope{w.enrolment.Envelope}); problem == nil || problem.Code() != signer.CallerNotAuthorized {
		t.Errorf("enrol: %v", problem)
	}
	w.caller = &granted
	w.accepted(sub)
}
