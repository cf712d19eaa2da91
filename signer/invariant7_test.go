package signer_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// The daemon logs no certificate but those of its enrolment keys.
func TestInvariant7_CertificatesRefused(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	ended := w.officer
	w.stop()
	w.succeed(func(id *provenance.Identity) {
		id.Enrol = []provenance.EnrolKey{{PublicKey: public(t, ended), Ended: true}, {PublicKey: public(t, key("officer 2"))}}
	})
	w.officer = key("officer 2")
	w.start()
	until(t, "signed to the end", func() bool { return w.Status().Checkpoint == w.Status().Size })
	mallory := key("mallory")
	endBy := func(k ed25519.PrivateKey, of *provenance.Enrolment) *provenance.Envelope {
		end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: of.Digest(), Reason: "left", Ended: time.Now()}.Sign(k)
		must(t, err)
		return end.Envelope
	}
	certificate := func(officer, publisher ed25519.PrivateKey, adjust func(*provenance.Enrolment)) *provenance.Envelope {
		return w.certificate(officer, publisher, adjust).Envelope
	}
	for name, tt := range map[string]struct {
		envelope *provenance.Envelope
		code     signer.Code
	}{
		"by a stranger":           {certificate(mallory, mallory, nil), signer.EnrolmentInvalid},
		"by a publisher":          {certificate(w.publisher, mallory, nil), signer.EnrolmentInvalid},
		"by the root":             {certificate(w.root, mallory, nil), signer.EnrolmentInvalid},
		"by the log's key":        {certificate(w.guards[0].key, mallory, nil), signer.EnrolmentInvalid},
		"by an ended key":         {certificate(ended, mallory, nil), signer.EnrolmentInvalid},
		"of the log's key":        {certificate(w.officer, w.guards[0].key, nil), signer.EnrolmentInvalid},
		"of the enrolment key":    {certificate(w.officer, w.officer, nil), signer.EnrolmentInvalid},
		"wider than the identity": {certificate(w.officer, mallory, func(e *provenance.Enrolment) { e.Namespaces = namespaces(t, "pkg:npm/@acm*") }), signer.NamespaceNotBound},
		"of another registry":     {certificate(w.officer, mallory, func(e *provenance.Enrolment) { e.Registry = "other.test" }), signer.WrongRegistry},
		"an end by a stranger":    {endBy(mallory, w.enrolment), signer.EnrolmentInvalid},
		"an end by an ended key":  {endBy(ended, w.enrolment), signer.EnrolmentInvalid},
		"an end of nothing":       {endBy(w.officer, w.certificate(w.officer, mallory, nil)), signer.NotFound},
		"a publication":           {w.submission("@acme/widget", "1.0.0", "content").Publication, signer.Malformed},
	} {
		before := w.Status().Size
		out, problem := w.Enrol(t.Context(), w.caller, []*provenance.Envelope{tt.envelope})
		if problem != nil || out[0].Problem == nil || out[0].Problem.Code() != tt.code {
			t.Errorf("%s: %v %+v", name, problem, out)
		}
		if w.Status().Size != before {
			t.Errorf("%s: logged", name)
		}
	}
}

// hostile is a compromised daemon: it has the stopped world's ledger and its agents, and writes whatever it wants.
type hostile struct{ *world }

// log appends an entry and has as many agents as needed sign the head. They do: the log only grew.
func (h hostile) log(data []byte, state bool) (index uint64, note string) {
	h.t.Helper()
	log, err := h.db.Log(h.identity.Open().Origin)
	must(h.t, err)
	keys, _, err := signer.Keys(0, data)
	must(h.t, err)
	entry := ledger.Entry{Data: data, State: state}
	for _, k := range keys {
		entry.Keys = append(entry.Keys, ledger.Key{Hash: k, Ordinal: ledger.Next})
	}
	index, err = log.Append(context.Background(), log.Epoch(), []ledger.Entry{entry})
	must(h.t, err)
	head := newTree(h.entries()...)
	var signatures []provenance.KeySignature
	for _, g := range h.guards {
		sig, err := g.Guard.Sign(context.Background(), head.head().Size, head.head().Root, head.proof(g.Guard.Watermark().Size))
		must(h.t, err)
		signatures = append(signatures, provenance.KeySignature{Key: public(h.t, g.key), Signature: sig[:]})
	}
	note = provenance.SignedNote(provenance.Head{Origin: log.Origin(), Size: head.head().Size, Root: head.head().Root}, signatures)
	must(h.t, log.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: head.head().Size, Root: head.head().Root, Note: []byte(note)}))
	return index, note
}

// countersign logs a statement about what a publisher of its choice signed, under a certificate of its choice.
func (h hostile) countersign(version string, publisher ed25519.PrivateKey, enrolment *provenance.Enrolment, chain []*provenance.Envelope) *provenance.Bundle {
	h.t.Helper()
	p, err := h.unsigned("@acme/widget", version, "content").Sign(publisher)
	must(h.t, err)
	data, err := (&provenance.Countersignature{Publication: p, Enrolment: enrolment.Digest(), Claim: provenance.Claim{Registry: registry,
		Origin: h.identity.Open().Origin, Identity: chain[0].PayloadDigest(), Coordinate: p.Coordinate, At: time.Now()}}).Statement()
	must(h.t, err)
	index, note := h.log(data, false)
	log, err := h.db.Log(h.identity.Open().Origin)
	must(h.t, err)
	proof, err := log.InclusionProof(index, log.Size())
	must(h.t, err)
	return &provenance.Bundle{Statement: data, Proof: &provenance.Proof{Index: index, Hashes: proof, Checkpoint: note}, Enrolment: enrolment.Envelope, Identity: chain}
}

// A compromised daemon can have anything logged and signed, but no consumer takes a publisher that no enrolment key
// certified; and the honest daemon that comes after it does not either.
func TestInvariant7_InventedPublisher(t *testing.T) {
	w := newWorld(t, 2, 3, nil)
	first := w.identity.Envelope
	pin := w.identity
	w.stop()
	h, mallory, ended := hostile{w}, key("mallory"), w.officer
	own := w.certificate(mallory, mallory, nil)
	h.log(own.Envelope.JSON(), true)
	chain := []*provenance.Envelope{first}
	bundle := h.countersign("1.0.0", mallory, own, chain)
	swapped := *bundle
	swapped.Enrolment = w.enrolment.Envelope
	missing := *bundle
	missing.Enrolment = nil
	asPublisher := h.countersign("1.0.1", mallory, w.enrolment, chain) // under the certificate of another
	resigned := *own
	resigned.Envelope = withSignatureOf(own.Envelope, w.enrolment.Envelope)
	stolen := *bundle
	stolen.Enrolment = resigned.Envelope

	w.succeed(func(id *provenance.Identity) {
		id.Enrol = []provenance.EnrolKey{{PublicKey: public(t, ended), Ended: true}, {PublicKey: public(t, key("officer 2"))}}
	})
	w.officer = key("officer 2")
	longer := []*provenance.Envelope{first, w.identity.Envelope}
	h.log(w.certificate(w.officer, w.publisher, nil).Envelope.JSON(), true) // signs the identity above it, too
	late := w.certificate(ended, mallory, nil)                              // the key was stolen, and ended for that
	h.log(late.Envelope.JSON(), true)
	byEnded := h.countersign("1.0.2", mallory, late, longer)

	current := w.identity
	w.identity = pin // verify pins version 1
	for name, tt := range map[string]struct {
		bundle  *provenance.Bundle
		version string
		code    provenance.Code
	}{
		"own enrolment":              {bundle, "1.0.0", provenance.EnrolmentInvalid},
		"another's signature on it":  {&stolen, "1.0.0", provenance.EnrolmentInvalid},
		"another's enrolment":        {asPublisher, "1.0.1", provenance.EnrolmentInvalid},
		"enrolment by an ended key":  {byEnded, "1.0.2", provenance.EnrolmentInvalid},
		"no enrolment: cannot check": {&missing, "1.0.0", ""},
		"enrolment swapped: as none": {&swapped, "1.0.0", ""},
	} {
		err := w.verify(tt.bundle.JSON(), "pkg:npm/%40acme/widget@"+tt.version, "content")
		var refusal *provenance.Refusal
		var unchecked *provenance.Unchecked
		if tt.code == "" && !errors.As(err, &unchecked) || tt.code != "" && (!errors.As(err, &refusal) || refusal.Code != tt.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.identity = current

	w.reopen(nil)
	w.start()
	w.publisher = mallory
	w.refused(w.submission("@acme/widget", "2.0.0", "content"), signer.PublisherNotEnrolled)
	w.publisher = key("publisher")
	w.accepted(w.submission("@acme/widget", "2.0.1", "content"))
}

// withSignatureOf is the envelope with another one's signature.
func withSignatureOf(e, other *provenance.Envelope) *provenance.Envelope {
	swapped := *e
	swapped.Signatures = other.Signatures
	return &swapped
}

// A compromised daemon cannot make itself an enrolment key either: an identity that the root did not sign, in the log,
// keeps the daemon from starting and does not change what consumers pinned.
func TestInvariant7_InventedIdentity(t *testing.T) {
	mallory := key("mallory")
	for name, change := range map[string]func(*provenance.Identity){
		"signed by a stranger":    func(*provenance.Identity) {},
		"signed by a root of its": func(id *provenance.Identity) { id.Root.Keys = []provenance.PublicKey{public(t, mallory)} },
		"signed by one root of two": func(id *provenance.Identity) {
			id.Root.Keys = append([]provenance.PublicKey{public(t, mallory)}, id.Root.Keys...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			w.stop()
			next := *w.identity
			next.Version, next.Previous, next.Issued = 2, w.identity.Envelope.PayloadDigest(), time.Now()
			next.Enrol = append([]provenance.EnrolKey{{PublicKey: public(t, key("mallory's officer"))}}, next.Enrol...)
			change(&next)
			forged, err := next.Sign(mallory)
			must(t, err)
			h, own := hostile{w}, w.certificate(key("mallory's officer"), key("mallory's publisher"), nil)
			h.log(forged.Envelope.JSON(), true)
			bundle := h.countersign("1.0.0", key("mallory's publisher"), own, []*provenance.Envelope{w.identity.Envelope, forged.Envelope})
			if err := w.verify(bundle.JSON(), "pkg:npm/%40acme/widget@1.0.0", "content"); err == nil {
				t.Error("verified")
			}
			w.reopen(nil)
			w.config.DB = w.db
			if _, err := signer.New(w.config); err == nil {
				t.Error("the daemon started with an identity that the root did not sign")
			}
		})
	}
}

// What is in the log and of no known kind keeps the daemon from having a head over it signed.
func TestInvariant7_UnknownEntry(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.stop()
	log, err := w.db.Log(w.identity.Open().Origin)
	must(t, err)
	_, err = log.Append(t.Context(), log.Epoch(), []ledger.Entry{{Data: []byte(`{"hello":"world"}`), Keys: []ledger.Key{{Hash: sha256.Sum256(nil)}}}})
	must(t, err)
	w.config.DB = w.db
	if _, err := signer.New(w.config); err == nil {
		t.Fatal("the daemon started")
	}
}
