package provenance_test

import (
	"slices"
	"testing"

	"countersign.dev/provenance"
)

// threeBundles are what an attacker has at hand, all of them valid: the first is what the consumer wants; the second is
// of another package and publisher in the same log; the third is of another registry, about the same coordinate and by
// the same publisher.
func threeBundles() (*plan, []*provenance.Bundle) {
	first := fullPlan(registry)
	second := fullPlan(registry)
	second.log = first.log
	second.publisher = testKey("second publisher")
	second.cert.Publisher = publicKey(second.publisher)
	second.setCoordinate(must(provenance.NewCoordinate("npm", "@acme/gadget", "1.2.3", "")))
	third := fullPlan("other.example")
	third.publisher, third.cert.Publisher = first.publisher, first.cert.Publisher
	bundles := []*provenance.Bundle{first.bundle()}
	second.spoilBundle = func(b *provenance.Bundle) {
		first.log.fill(20)
		b.Bridge = first.log.bridge(int(checkpoint(b.Proof.Checkpoint).Size), 20, first.w.newKeys()...)
	}
	return first, append(bundles, second.bundle(), third.bundle())
}

func checkpoint(note string) *provenance.Checkpoint { return must(provenance.ParseCheckpoint(note)) }

func TestThreeBundlesVerify(t *testing.T) {
	first, b := threeBundles()
	r := first.request()
	_, err := provenance.Verify(with(r, b[0]))
	wantCode(t, "first", err, "verified")
	r.Purl = "pkg:npm/%40acme/gadget@1.2.3"
	_, err = provenance.Verify(with(r, b[1]))
	wantCode(t, "second", err, "verified")
	third := fullPlan("other.example")
	third.publisher, third.cert.Publisher = first.publisher, first.cert.Publisher
	_, err = provenance.Verify(with(third.request(), b[2]))
	wantCode(t, "third", err, "verified")
}

// Every combination of the parts of three valid bundles: only the parts of the first are the first.
func TestEveryPartSwapped(t *testing.T) {
	plan, from := threeBundles()
	r := plan.request()
	for n := range 3 * 3 * 3 * 3 * 3 {
		s, p, e, i, b := n%3, n/3%3, n/9%3, n/27%3, n/81%3
		_, err := provenance.Verify(with(r, &provenance.Bundle{Statement: from[s].Statement, Proof: from[p].Proof,
			Enrolment: from[e].Enrolment, Identity: from[i].Identity, Bridge: from[b].Bridge}))
		// The second bundle carries the same identity.
		if want := s == 0 && p == 0 && e == 0 && i <= 1 && b == 0; (err == nil) != want {
			t.Errorf("statement, proof, enrolment, identity, bridge of %d %d %d %d %d: %v", s, p, e, i, b, err)
		}
	}
}

// The same with the parts of the proof and of the bridge.
func TestEveryPartOfTheProofSwapped(t *testing.T) {
	plan, from := threeBundles()
	r := plan.request()
	for n := range 3 * 3 * 3 {
		i, h, c := n%3, n/3%3, n/9%3
		bundle := *from[0]
		bundle.Proof = &provenance.Proof{Index: from[i].Proof.Index, Hashes: from[h].Proof.Hashes, Checkpoint: from[c].Proof.Checkpoint}
		_, err := provenance.Verify(with(r, &bundle))
		// The third log is as long as the first was, so its entry has the same index.
		if want := i != 1 && h == 0 && c == 0; (err == nil) != want {
			t.Errorf("index, hashes, checkpoint of %d %d %d: %v", i, h, c, err)
		}
	}
}

func TestEveryPartOfTheBridgeSwapped(t *testing.T) {
	plan, from := threeBundles()
	r := plan.request()
	for n := range 3 * 3 * 3 * 3 {
		f, to, h, c := n%3, n/3%3, n/9%3, n/27%3
		mixed := *from[f].Bridge
		mixed.To, mixed.Hashes, mixed.Checkpoint = from[to].Bridge.To, from[h].Bridge.Hashes, from[c].Bridge.Checkpoint
		r := with(r, &provenance.Bundle{Statement: from[0].Statement, Proof: from[0].Proof, Enrolment: from[0].Enrolment,
			Identity: from[0].Identity})
		r.Bridges = []*provenance.Bridge{&mixed}
		_, err := provenance.Verify(r)
		if want := f == 0 && to == 0 && h == 0 && c == 0; (err == nil) != want {
			t.Errorf("from, to, hashes, checkpoint of %d %d %d %d: %v", f, to, h, c, err)
		}
	}
}

// A hostile registry puts another valid publication under the statement's words.
func TestPublicationSwapped(t *testing.T) {
	for what, c := range map[string]struct {
		swap func(*plan)
		want provenance.Code
	}{
		"of another package":       {func(p *plan) { p.draft.Coordinate = mustCoordinate("pkg:npm/%40acme/gadget@1.2.3") }, provenance.PurlMismatch},
		"of another version":       {func(p *plan) { p.draft.Coordinate = mustCoordinate("pkg:npm/%40acme/widget@1.2.4") }, provenance.PurlMismatch},
		"for another registry":     {func(p *plan) { p.draft.Registry = "other.example" }, provenance.StatementMismatch},
		"by another publisher":     {func(p *plan) { p.publisher = testKey("second publisher") }, provenance.EnrolmentInvalid},
		"of another file":          {func(p *plan) { p.draft.Digests = provenance.Digests{"sha256": sha256Of("evil")} }, provenance.ArtifactDigestMismatch},
		"with another file's name": {func(p *plan) { swapSubject(p, `"name":"widget-1.2.3.tgz"`, `"name":"widget-9.9.9.tgz"`) }, provenance.StatementMismatch},
		"with another digest":      {func(p *plan) { swapSubject(p, sha256Of("widget"), sha256Of("evil")) }, provenance.StatementMismatch},
		"with one digest fewer": {func(p *plan) {
			swapSubject(p, `,"sha512":"`+sha256Of("w")+sha256Of("idget")+`"`, "")
		}, provenance.StatementMismatch},
	} {
		p := newWorld(registry).plan()
		c.swap(p)
		wantCode(t, what, p.verify(), c.want)
	}
}

// swapSubject changes the statement's subject and leaves the publication, which is base64 in it, alone.
func swapSubject(p *plan, old, new string) {
	p.spoilEntry = func(entry []byte) []byte { return replaced(entry, old, new) }
}

// The envelopes have types: one document never passes for another, however well it is signed.
func TestEnvelopeTypeSwapped(t *testing.T) {
	w := newWorld(registry)
	p := w.plan()
	documents := []*provenance.Envelope{w.last().Envelope, p.enrolment(), p.publication().Envelope, end(w, p).Envelope}
	parsers := []func(*provenance.Envelope) error{
		func(e *provenance.Envelope) error { _, err := provenance.ParseIdentity(e); return err },
		func(e *provenance.Envelope) error { _, err := provenance.ParseEnrolment(e); return err },
		func(e *provenance.Envelope) error { _, err := provenance.ParsePublication(e); return err },
		func(e *provenance.Envelope) error { _, err := provenance.ParseEnrolmentEnd(e); return err },
	}
	for i, e := range documents {
		for j, parse := range parsers {
			if err := parse(e); (err == nil) != (i == j) {
				t.Errorf("document %d read as %d: %v", i, j, err)
			}
			// The payload of one under the type of another.
			retyped := &provenance.Envelope{PayloadType: documents[j].PayloadType, Payload: e.Payload, Signatures: slices.Clone(e.Signatures)}
			if err := parse(retyped); (err == nil) != (i == j) {
				t.Errorf("payload %d under type %d: %v", i, j, err)
			}
		}
	}
}

// end is the end of the plan's certificate.
func end(w *world, p *plan) *provenance.EnrolmentEnd {
	return must(provenance.EnrolmentEnd{Registry: w.name, Enrolment: p.enrolment().PayloadDigest(), Reason: "left", Ended: dayTwo}.Sign(w.officer))
}
