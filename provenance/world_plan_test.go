package provenance_test

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"countersign.dev/provenance"
)

// plan is one story, from the publisher's signature to the consumer's question, in which a test changes what it wants
// before request tells it. Left alone, it verifies.
type plan struct {
	w         *world
	publisher ed25519.PrivateKey
	draft     provenance.Draft // what the publisher signs
	officer   ed25519.PrivateKey
	cert      provenance.Enrolment // what the officer signs
	claim     provenance.Claim     // what the registry states
	backfill  bool                 // the registry's word alone, no publication
	log       *testLog
	signers   []ed25519.PrivateKey // of the head
	pin       pinPlan
	purl      string
	digests   provenance.Digests
	artifact  bool
	policy    func(*provenance.Result) error
	status    []func(*statusPlan) // what the registry's status says; empty: none is at hand
	noStatus  bool                // whatever status says

	// Each spoils one product, nil to leave it.
	spoilPublication func(*provenance.Envelope)
	spoilCert        func(*provenance.Envelope) // the statement refers to what comes out
	spoilEntry       func([]byte) []byte
	spoilProof       func(*provenance.Proof)
	spoilBundle      func(*provenance.Bundle)
	spoilRequest     func(*provenance.Request)
}

// pinPlan is a pins file with one pin.
type pinPlan struct{ namespace, registry, identity, more string }

func (p pinPlan) parse() *provenance.Pins {
	return must(provenance.ParsePins(fmt.Appendf(nil, "version = 1\n[[pin]]\nnamespace = %q\nregistry = %q\nidentity = %q\n%s\n",
		p.namespace, p.registry, p.identity, p.more)))
}

func (w *world) plan() *plan {
	c := must(provenance.NewCoordinate("npm", "@acme/widget", "1.2.3", ""))
	digests := provenance.Digests{"sha256": sha256Of("widget"), "sha512": sha256Of("w") + sha256Of("idget")}
	return &plan{
		w:         w,
		publisher: w.publisher,
		draft: provenance.Draft{Registry: w.name, Coordinate: c, FileName: "widget-1.2.3.tgz", Digests: digests, SignedAt: dayTwo,
			Attributes: []byte(`{"aiGeneration":{"extent":"assisted","tools":[{"name":"scribe","version":"2"}],"reviewedBy":[]}}`)},
		officer: w.officer,
		cert:    w.certificate(),
		claim: provenance.Claim{Registry: w.name, Origin: w.origin(1), Identity: w.fingerprint(), Coordinate: c,
			At: dayTwo},
		log:     w.log.copy(),
		signers: w.logKeys[:2],
		pin:     pinPlan{"pkg:npm/*", w.name, w.fingerprint(), ""},
		purl:    c.String(),
		digests: digests,
	}
}

// certificate is the publisher's, not yet signed.
func (w *world) certificate() provenance.Enrolment {
	return provenance.Enrolment{Registry: w.name, Publisher: publicKey(w.publisher), Namespaces: namespaces("pkg:npm/@acme/*"), Issued: dayOne}
}

// setCoordinate tells the same story about another coordinate.
func (p *plan) setCoordinate(c provenance.Coordinate) {
	p.draft.Coordinate, p.claim.Coordinate, p.purl = c, c, c.String()
}

func (p *plan) publication() *provenance.Publication {
	pub := must(p.draft.Sign(p.publisher))
	if p.spoilPublication != nil {
		p.spoilPublication(pub.Envelope)
	}
	return pub
}

func (p *plan) enrolment() *provenance.Envelope {
	e := must(p.cert.Sign(p.officer)).Envelope
	if p.spoilCert != nil {
		p.spoilCert(e)
	}
	return e
}

// entry is the statement's bytes.
func (p *plan) entry() []byte {
	var data []byte
	if p.backfill {
		s := provenance.RegistryStatement{Claim: p.claim, Subject: provenance.Subject{Name: p.draft.FileName, Digest: p.draft.Digests},
			Reason: "backfill", Evidence: []provenance.Evidence{}}
		data = must(s.Statement())
	} else {
		s := provenance.Countersignature{Claim: p.claim, Publication: p.publication(), Enrolment: p.enrolment().PayloadDigest()}
		data = must(s.Statement())
	}
	if p.spoilEntry != nil {
		return p.spoilEntry(data)
	}
	return data
}

// bundle logs the entry between others and collects what proves it.
func (p *plan) bundle() *provenance.Bundle {
	p.log.fill(3)
	entry := p.entry()
	index := p.log.add(entry)
	p.log.fill(index + 3)
	proof := p.log.proof(index, len(p.log.entries), p.signers...)
	if p.spoilProof != nil {
		p.spoilProof(proof)
	}
	b := &provenance.Bundle{Statement: entry, Proof: proof, Enrolment: p.enrolment(), Identity: p.w.envelopes()}
	if p.spoilBundle != nil {
		p.spoilBundle(b)
	}
	return b
}

func (p *plan) request() provenance.Request {
	r := provenance.Request{Purl: p.purl, Digests: p.digests, Artifact: p.artifact, Bundle: p.bundle().JSON(), Pins: p.pin.parse(),
		Now: dayTwo, Policy: p.policy}
	if len(p.status) > 0 && !p.noStatus {
		r.Status = p.verifiedStatus()
	}
	if p.spoilRequest != nil {
		p.spoilRequest(&r)
	}
	return r
}

// verifiedStatus is the status under the first version of the identity, whatever came since.
func (p *plan) verifiedStatus() *provenance.Status {
	s := p.w.statusPlan()
	for _, change := range p.status {
		change(s)
	}
	alsoStatus(s, func(b *provenance.StatusBundle) { b.Identity = b.Identity[:1] })
	return must(s.verify())
}

func (p *plan) verify() error {
	_, err := provenance.Verify(p.request())
	return err
}

// with gives r another bundle.
func with(r provenance.Request, b *provenance.Bundle) provenance.Request {
	r.Bundle = b.JSON()
	return r
}

// flip gives data with one byte changed.
func flip(data []byte, at int, mask byte) []byte {
	out := slices.Clone(data)
	out[at] ^= mask
	return out
}

// replaced is for exactly one occurrence.
func replaced(data []byte, old, new string) []byte {
	if n := strings.Count(string(data), old); n != 1 {
		panic(fmt.Sprintf("%q occurs %d times", old, n))
	}
	return []byte(strings.Replace(string(data), old, new, 1))
}
