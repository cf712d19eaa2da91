package provenance_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// The consumer's side of the design's invariants 6 and 7: whoever holds the appliance, and with it every key that signs
// heads, can log what it likes and prove that it did. Nobody takes it for a countersignature.

func TestInvariant6_PublisherFirst(t *testing.T) {
	for what, c := range map[string]struct {
		attack func(*plan)
		want   provenance.Code
	}{
		"no publication":                     {func(p *plan) { p.backfill = true }, provenance.BasisTooWeak},
		"a publication for another registry": {func(p *plan) { p.draft.Registry = "other.example" }, provenance.StatementMismatch},
		"a publication of another version":   {func(p *plan) { p.draft.Coordinate = mustCoordinate("pkg:npm/%40acme/widget@1.2.2") }, provenance.PurlMismatch},
		"a publication of another package":   {func(p *plan) { p.draft.Coordinate = mustCoordinate("pkg:npm/%40acme/gadget@1.2.3") }, provenance.PurlMismatch},
		"a publication nobody signed": {func(p *plan) {
			p.spoilPublication = func(e *provenance.Envelope) { e.Signatures[0].Sig = make([]byte, 64) }
		}, provenance.PublicationSignatureInvalid},
		"another's signature moved here": {movedSignature, provenance.PublicationSignatureInvalid},
		"the appliance's own signature":  {func(p *plan) { p.publisher = p.w.logKeys[0] }, provenance.EnrolmentInvalid},
		"an appliance's key enrolled":    {func(p *plan) { p.setPublisher(p.w.logKeys[0]) }, provenance.EnrolmentInvalid},
		"a certificate for other names":  {func(p *plan) { p.cert.Namespaces = namespaces("pkg:npm/@acme/other*") }, provenance.EnrolmentInvalid},
		"a certificate not yet valid":    {func(p *plan) { p.cert.Issued = dayTwo.Add(time.Second) }, provenance.EnrolmentInvalid},
		"a certificate no longer valid":  {func(p *plan) { p.cert.NotAfter = dayTwo }, provenance.EnrolmentInvalid},
		"a certificate for elsewhere":    {func(p *plan) { p.cert.Registry = "other.example" }, provenance.EnrolmentInvalid},
		"a file with another sha256": {func(p *plan) {
			p.artifact, p.digests = true, provenance.Digests{"sha256": sha256Of("evil"), "sha512": p.digests["sha512"]}
		}, provenance.ArtifactDigestMismatch},
		"a file with another sha512": {func(p *plan) {
			p.artifact, p.digests = true, provenance.Digests{"sha256": p.digests["sha256"], "sha512": sha256Of("ev") + sha256Of("il")}
		}, provenance.ArtifactDigestMismatch},
		"the statement's digests changed": {func(p *plan) {
			swapSubject(p, sha256Of("widget"), sha256Of("evil"))
			p.digests = provenance.Digests{"sha256": sha256Of("evil")}
		}, provenance.StatementMismatch},
	} {
		p := newWorld(registry).plan()
		c.attack(p)
		wantCode(t, what, p.verify(), c.want)
	}
}

// movedSignature puts a genuine signature of the publisher under another publication.
func movedSignature(p *plan) {
	older := p.publication().Envelope.Signatures
	p.draft.Digests = provenance.Digests{"sha256": sha256Of("evil")}
	p.digests = p.draft.Digests
	p.spoilPublication = func(e *provenance.Envelope) { e.Signatures = older }
}

func TestInvariant7_NoInventedPublishers(t *testing.T) {
	invented := testKey("invented publisher")
	for what, c := range map[string]struct {
		attack func(*plan)
		want   provenance.Code
	}{
		"enrolled by a log key":        {func(p *plan) { p.officer = p.w.logKeys[0] }, provenance.EnrolmentInvalid},
		"enrolled by itself":           {func(p *plan) { p.officer = invented }, provenance.EnrolmentInvalid},
		"enrolled by an invented key":  {func(p *plan) { p.officer = testKey("invented officer") }, provenance.EnrolmentInvalid},
		"enrolled by a root key":       {func(p *plan) { p.officer = p.w.root[0] }, provenance.EnrolmentInvalid},
		"enrolled by an ended officer": {func(p *plan) { endOfficer(p.w) }, provenance.EnrolmentInvalid},
		"under the officer's key id":   {func(p *plan) { p.spoilCert = func(e *provenance.Envelope) { forge(e, p.w.officer, invented) } }, provenance.EnrolmentInvalid},
		"with a signature of zeros":    {func(p *plan) { p.spoilCert = func(e *provenance.Envelope) { e.Signatures[0].Sig = make([]byte, 64) } }, provenance.EnrolmentInvalid},
		"with another certificate's":   {func(p *plan) { borrowSignature(p) }, provenance.EnrolmentInvalid},
		"with another publisher's":     {func(p *plan) { p.cert.Publisher = publicKey(p.w.publisher) }, provenance.EnrolmentInvalid},
		"under another publisher's id": {func(p *plan) {
			p.cert.Publisher = publicKey(p.w.publisher)
			p.spoilPublication = underKeyOf(p.w.publisher)
		}, provenance.PublicationSignatureInvalid},
		"with the end of a certificate": {func(p *plan) { p.spoilCert = func(e *provenance.Envelope) { *e = *end(p.w, p.w.plan()).Envelope } }, provenance.EnrolmentInvalid},
		"with an identity":              {func(p *plan) { p.spoilCert = func(e *provenance.Envelope) { *e = *p.w.last().Envelope } }, provenance.EnrolmentInvalid},
		"with no certificate":           {func(p *plan) { also(p, func(b *provenance.Bundle) { b.Enrolment = nil }) }, "unchecked"},
		"by an identity of its own":     {func(p *plan) { ownVersion(p, p.w.logKeys...) }, provenance.IdentityMismatch},
		"by an identity of one root":    {func(p *plan) { ownVersion(p, p.w.root[0]) }, provenance.IdentityMismatch},
		"by another registry's officer": {func(p *plan) { p.officer = testKey("other.example officer") }, provenance.EnrolmentInvalid},
	} {
		p := newWorld(registry).plan()
		p.setPublisher(invented)
		c.attack(p)
		wantCode(t, what, p.verify(), c.want)
	}
	// The same publisher, enrolled by the officer, passes: what is refused above is refused for want of that alone.
	p := newWorld(registry).plan()
	p.setPublisher(invented)
	wantCode(t, "enrolled by the officer", p.verify(), "verified")
}

// forge signs with one key under another's id.
func forge(e *provenance.Envelope, named, key ed25519.PrivateKey) {
	resign(e, []ed25519.PrivateKey{named}, []ed25519.PrivateKey{key})
}

// borrowSignature takes the officer's signature from the certificate of an honest publisher.
func borrowSignature(p *plan) {
	honest := p.w.plan().enrolment().Signatures
	p.spoilCert = func(e *provenance.Envelope) { e.Signatures = honest }
}

func underKeyOf(k ed25519.PrivateKey) func(*provenance.Envelope) {
	return func(e *provenance.Envelope) { e.Signatures[0].KeyID = fingerprint(k) }
}

// ownVersion adds an identity version with an officer of the appliance's, signed by keys.
func ownVersion(p *plan, keys ...ed25519.PrivateKey) {
	officer := testKey("invented officer")
	p.officer = officer
	id := must(p.w.draft(func(id *provenance.Identity) {
		id.Enrol = append(id.Enrol, provenance.EnrolKey{PublicKey: publicKey(officer)})
	}).Sign(signers(keys...)...))
	p.w.versions = append(p.w.versions, id)
}
