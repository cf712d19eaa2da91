package provenance_test

import (
	"fmt"
	"regexp"
	"sync"
	"testing"

	"countersign.dev/provenance"
)

// What a Verifier remembers changes no answer.

func TestVerifierVectors(t *testing.T) {
	index := readIndex(t)
	alone := make([]string, len(index.Cases))
	for i, c := range index.Cases {
		result, err := c.Request.ask(t, provenance.NewVerifier())
		alone[i] = fmt.Sprintf("%+v %v", result, err)
	}
	v := provenance.NewVerifier()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := range index.Cases {
				i := (n*(2*worker+1) + worker*17) % len(index.Cases) // in different orders
				result, err := index.Cases[i].Request.ask(t, v)
				if got := fmt.Sprintf("%+v %v", result, err); !sameAnswer(got, alone[i]) {
					t.Errorf("%s: %s\nalone: %s", index.Cases[i].Name, got, alone[i])
				}
			}
		})
	}
	wg.Wait()
}

var addresses = regexp.MustCompile(`0x[0-9a-f]+`)

// sameAnswer compares answers but for the addresses of pins.
func sameAnswer(a, b string) bool {
	return addresses.ReplaceAllString(a, "") == addresses.ReplaceAllString(b, "")
}

// Every fault is found by a Verifier that has found everything good before it.
func TestVerifierRefusals(t *testing.T) {
	for _, f := range faults {
		v := provenance.NewVerifier()
		good := newWorld(registry).plan()
		good.status = []func(*statusPlan){func(*statusPlan) {}}
		_, err := v.Verify(good.request())
		wantCode(t, "as it is", err, "verified")
		p := newWorld(registry).plan()
		f.add(p)
		for range 2 {
			_, err = v.Verify(p.request())
			wantCode(t, string(f.code), err, f.code)
		}
	}
}

// Of what was found good, nothing else is taken for it: another signature, another version of the identity, no bridge.
func TestVerifierTakesNothingForAnother(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*plan)
		want   provenance.Code
	}{
		"identity, signature": {func(p *plan) {
			also(p, func(b *provenance.Bundle) { b.Identity = []*provenance.Envelope{spoiltSignature(b.Identity[0])} })
		}, provenance.IdentityMismatch},
		"certificate, signature": {func(p *plan) {
			also(p, func(b *provenance.Bundle) { b.Enrolment = spoiltSignature(b.Enrolment) })
		}, provenance.EnrolmentInvalid},
		"certificate, key id": {func(p *plan) {
			also(p, func(b *provenance.Bundle) {
				b.Enrolment.Signatures[0].KeyID = fingerprint(testKey("stranger"))
			})
		}, provenance.EnrolmentInvalid},
		"certificate, payload type": {func(p *plan) {
			also(p, func(b *provenance.Bundle) { b.Enrolment.PayloadType = "application/vnd.in-toto+json" })
		}, provenance.EnrolmentInvalid},
		"certificate, a second signature": {func(p *plan) {
			also(p, func(b *provenance.Bundle) {
				b.Enrolment.Signatures = append(b.Enrolment.Signatures, provenance.Signature{KeyID: fingerprint(testKey("x")), Sig: make([]byte, 64)})
			})
		}, provenance.EnrolmentInvalid},
		"officer ended": {func(p *plan) { endOfficer(p.w) }, provenance.EnrolmentInvalid},
		"publisher became a key": {func(p *plan) {
			p.w.next(func(id *provenance.Identity) {
				id.Enrol = append(id.Enrol, provenance.EnrolKey{PublicKey: publicKey(p.publisher)})
			})
		}, provenance.EnrolmentInvalid},
		"keys ended":               {func(p *plan) { p.w.endTwo(1) }, provenance.KeyEnded},
		"head, signature":          {func(p *plan) { p.spoilProof = spoiltHead }, provenance.CheckpointSignatureInvalid},
		"head, one signature less": {func(p *plan) { p.signers = p.signers[:1] }, provenance.CheckpointSignatureInvalid},
		"publication, signature":   {func(p *plan) { p.spoilPublication = func(e *provenance.Envelope) { e.Signatures[0].Sig[0] ^= 1 } }, provenance.PublicationSignatureInvalid},
	} {
		v := provenance.NewVerifier()
		for range 2 {
			_, err := v.Verify(newWorld(registry).plan().request())
			wantCode(t, what+", before", err, "verified")
			p := newWorld(registry).plan()
			c.change(p)
			_, err = v.Verify(p.request())
			wantCode(t, what, err, c.want)
		}
	}
	v, p := provenance.NewVerifier(), fullPlan(registry)
	b := p.bundle()
	r := with(p.request(), b)
	_, err := v.Verify(r)
	wantCode(t, "with a bridge", err, "verified")
	b.Bridge = nil
	_, err = v.Verify(with(r, b))
	wantCode(t, "the same without", err, provenance.KeyEnded)
}

func spoiltSignature(e *provenance.Envelope) *provenance.Envelope {
	out := *e
	out.Signatures = []provenance.Signature{{KeyID: e.Signatures[0].KeyID, Sig: flip(e.Signatures[0].Sig, 40, 1)}}
	out.Signatures = append(out.Signatures, e.Signatures[1:]...)
	return &out
}

// spoiltHead changes a bit of the last signature.
func spoiltHead(p *provenance.Proof) {
	note := []byte(p.Checkpoint)
	if at := len(note) - 20; note[at] == 'A' {
		note[at] = 'B'
	} else {
		note[at] = 'A'
	}
	p.Checkpoint = string(note)
}

// Certificates at hand are found by their digest, and not believed to have it.
func TestVerifierEnrolmentsAtHand(t *testing.T) {
	w := newWorld(registry)
	p := w.plan()
	other := w.certificate()
	other.Issued = dayTwo
	wrong := must(other.Sign(w.officer)).Envelope
	also(p, func(b *provenance.Bundle) { b.Enrolment = nil })
	digest := p.enrolment().PayloadDigest()
	for what, c := range map[string]struct {
		hand []*provenance.Envelope
		want provenance.Code
	}{
		"the right one":           {[]*provenance.Envelope{p.enrolment()}, "verified"},
		"another under its name":  {[]*provenance.Envelope{wrong}, "unchecked"},
		"none under its name":     {[]*provenance.Envelope{nil}, "unchecked"},
		"both":                    {[]*provenance.Envelope{wrong, p.enrolment()}, "verified"},
		"a spoilt one":            {[]*provenance.Envelope{spoiltSignature(p.enrolment())}, provenance.EnrolmentInvalid},
		"a spoilt one and a good": {[]*provenance.Envelope{spoiltSignature(p.enrolment()), p.enrolment()}, "verified"},
	} {
		p.spoilRequest = func(r *provenance.Request) { r.Enrolments = map[string][]*provenance.Envelope{digest: c.hand} }
		wantCode(t, what, p.verify(), c.want)
	}
}

// A lockfile's bundles, through one Verifier: the same answers one after the other and all at once, and a stolen
// signature among them is found.
func TestVerifierLockfile(t *testing.T) {
	list := lockfile(newWorld(registry), 300)
	spoilt := func(r provenance.Request) provenance.Request {
		b := must(provenance.ParseBundle(r.Bundle))
		b.Proof.Hashes[0][0] ^= 1
		return with(r, b)
	}
	list[123].request = spoilt(list[123].request)
	list[222].request.Purl = list[221].request.Purl
	want := map[int]provenance.Code{123: provenance.InclusionProofInvalid, 222: provenance.PurlMismatch}
	v := provenance.NewVerifier()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range list {
				i := (i + worker*75) % len(list)
				_, err := v.Verify(list[i].request)
				expected := want[i]
				if expected == "" {
					expected = "verified"
				}
				wantCode(t, list[i].request.Purl, err, expected)
			}
		})
	}
	wg.Wait()
}
