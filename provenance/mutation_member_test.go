package provenance_test

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"countersign.dev/provenance"
)

// No member of the wrapper, and of the envelopes, proof and bridge in it, can be missing, doubled, in another case, null
// or of another kind.
func TestEveryWrapperMember(t *testing.T) {
	r := fullPlan(registry).request()
	list := mutants(r.Bundle)
	for _, m := range list {
		r.Bundle = m.data
		if _, err := provenance.Verify(r); err == nil {
			t.Errorf("%s: verified", m)
		}
	}
	if len(list) < 500 {
		t.Errorf("only %d mutants", len(list))
	}
}

// signatures are what an attacker, or a rightful signer who makes a mistake, can put on a changed payload.
var signatures = []struct {
	by   string
	sign func(e *provenance.Envelope, rightful []ed25519.PrivateKey)
}{
	{"nobody", func(*provenance.Envelope, []ed25519.PrivateKey) {}},
	{"a stranger", func(e *provenance.Envelope, keys []ed25519.PrivateKey) { resign(e, strangers(keys), strangers(keys)) }},
	{"a stranger under the rightful key id", func(e *provenance.Envelope, keys []ed25519.PrivateKey) { resign(e, keys, strangers(keys)) }},
}

func strangers(instead []ed25519.PrivateKey) []ed25519.PrivateKey {
	return testKeys("stranger")[:len(instead)]
}

// resign replaces the signatures: the key ids of named, the signatures of keys.
func resign(e *provenance.Envelope, named, keys []ed25519.PrivateKey) {
	e.Signatures = nil
	for i := range keys {
		e.Signatures = append(e.Signatures, provenance.Signature{KeyID: fingerprint(named[i]), Sig: ed25519.Sign(keys[i], e.PAE())})
	}
}

// signedPart is a signed document of a bundle: what is in it, who signs it, and how a plan gets another one.
type signedPart struct {
	name    string
	payload func(*plan) []byte
	signers func(*plan) []ed25519.PrivateKey
	replace func(p *plan, change func(*provenance.Envelope))
}

var signedParts = []signedPart{
	{"publication", func(p *plan) []byte { return p.publication().Envelope.Payload },
		func(p *plan) []ed25519.PrivateKey { return []ed25519.PrivateKey{p.publisher} },
		func(p *plan, change func(*provenance.Envelope)) { p.spoilPublication = change }},
	{"enrolment", func(p *plan) []byte { return p.enrolment().Payload },
		func(p *plan) []ed25519.PrivateKey { return []ed25519.PrivateKey{p.officer} },
		func(p *plan, change func(*provenance.Envelope)) { p.spoilCert = change }},
	{"identity", func(p *plan) []byte { return p.w.last().Envelope.Payload },
		func(p *plan) []ed25519.PrivateKey { return p.w.root[:2] },
		func(p *plan, change func(*provenance.Envelope)) {
			also(p, func(b *provenance.Bundle) {
				last := *b.Identity[len(b.Identity)-1]
				change(&last)
				b.Identity[len(b.Identity)-1] = &last
			})
		}},
}

// The registry itself, hostile, logs and proves a document that it changed, and statements that refer to it. Without the
// rightful key it gets nothing through.
func TestEveryPayloadMemberWithoutTheKey(t *testing.T) {
	t.Parallel()
	w := memberWorld()
	for _, part := range signedParts {
		for i, m := range mutants(part.payload(w.memberPlan())) {
			if i%stride != 0 {
				continue
			}
			for _, s := range signatures {
				p := w.memberPlan()
				part.replace(p, func(e *provenance.Envelope) {
					*e = provenance.Envelope{PayloadType: e.PayloadType, Payload: m.data, Signatures: e.Signatures}
					s.sign(e, part.signers(p))
				})
				if p.verify() == nil {
					t.Errorf("%s: %s, signed by %s: verified", part.name, m, s.by)
				}
			}
		}
	}
}

// With the rightful key all that gets through are documents that are well-formed and say less, or the same twice.
func TestEveryPayloadMemberWithTheKey(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"publication": {
			"removed /predicate/attributes/aiGeneration",
			"removed /predicate/attributes/aiGeneration/tools/0",
			"doubled /predicate/attributes/aiGeneration/tools/0",
			"unknown member in /predicate/attributes",
		},
		"enrolment": {
			"removed /notAfter",
		},
		"identity": {
			"removed /root/keys/2",
			"removed /logs/0/keys/0/ended", // it was not ended in the version before
			"removed /logs/0/keys/1/ended",
			"removed /namespaces/1",
			"removed /excluded/0",
			"doubled /excluded/0",
			"removed /excluded/0/to",
			"removed /excluded/0/publisher",
			"removed /evidence",
			"removed /evidence/0",
			"doubled /evidence/0",
		},
	}
	w := memberWorld()
	for _, part := range signedParts {
		var verified []string
		for _, m := range mutants(part.payload(w.memberPlan())) {
			p := w.memberPlan()
			part.replace(p, func(e *provenance.Envelope) {
				*e = provenance.Envelope{PayloadType: e.PayloadType, Payload: m.data}
				resign(e, part.signers(p), part.signers(p))
			})
			if p.verify() == nil {
				verified = append(verified, m.String())
			}
		}
		if !slices.Equal(verified, allowed[part.name]) {
			t.Errorf("%s: verified with\n%q\nwant\n%q", part.name, verified, allowed[part.name])
		}
	}
}

// Nor does a statement have another form, even if the registry logs it and its own keys sign the head over it.
func TestEveryStatementMember(t *testing.T) {
	w := memberWorld()
	list := mutants(w.memberPlan().entry())
	for _, m := range list {
		p := w.memberPlan()
		p.spoilEntry = func([]byte) []byte { return m.data }
		if p.verify() == nil {
			t.Errorf("%s: verified", m)
		}
	}
	if len(list) < 200 {
		t.Errorf("only %d mutants", len(list))
	}
}

// memberWorld and memberPlan make a story with every optional member in it.
func memberWorld() *world {
	w := newWorld(registry)
	w.endTwo(1, func(id *provenance.Identity) {
		id.Excluded = []provenance.Exclusion{w.exclusion(90, 99, fingerprint(testKey("thief")))}
		id.Evidence = []provenance.KeyEvidence{{Key: fingerprint(w.logKeys[2]), Digest: "sha256:" + sha256Of("evidence")}}
	})
	return w
}

func (w *world) memberPlan() *plan {
	p := w.plan()
	p.signers = w.newKeys()
	p.cert.NotAfter = yearEnd
	return p
}
