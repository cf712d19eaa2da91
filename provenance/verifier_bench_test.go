package provenance_test

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// lockfileSize is how many dependencies the lockfile of the benchmarks has.
const lockfileSize = 10_000

// dependency is one line of a lockfile: the question about it, and its publisher's signature by itself.
type dependency struct {
	request provenance.Request
	key     ed25519.PublicKey
	pae     []byte
	sig     []byte
}

func (d *dependency) bare() bool { return ed25519.Verify(d.key, d.pae, d.sig) }

// lockfile is n packages of 200 publishers in a log of 2^17 entries, their bundles without identity and enrolment, fetched in batches of 500:
// a head for each.
func lockfile(w *world, n int) []dependency {
	enrolments := make(map[string][]*provenance.Envelope)
	chain, pins := must(provenance.ParseChain(w.envelopes())), w.plan().pin.parse()
	list := make([]dependency, n)
	entries := make([][]byte, n)
	l := w.log.copy()
	for i := range list {
		p := w.plan()
		p.setPublisher(testKey(fmt.Sprint("publisher ", i%200)))
		name := fmt.Sprintf("@acme/widget-%d", i)
		p.setCoordinate(must(provenance.NewCoordinate("npm", name, fmt.Sprintf("1.%d.0", i%70), "")))
		p.draft.Digests = provenance.Digests{"sha256": sha256Of(name), "sha512": sha256Of(name+"a") + sha256Of(name+"b")}
		pub, cert := p.publication(), p.enrolment()
		if len(enrolments[cert.PayloadDigest()]) == 0 {
			enrolments[cert.PayloadDigest()] = append(enrolments[cert.PayloadDigest()], cert)
		}
		s := provenance.Countersignature{Claim: p.claim, Publication: pub, Enrolment: cert.PayloadDigest()}
		entries[i] = must(s.Statement())
		l.add(entries[i])
		list[i] = dependency{provenance.Request{Purl: p.purl, Digests: provenance.Digests{"sha512": p.draft.Digests["sha512"]}, Pins: pins,
			Chain: chain, Enrolments: enrolments, Now: dayTwo}, p.publisher.Public().(ed25519.PublicKey), pub.Envelope.PAE(), pub.Envelope.Signatures[0].Sig}
	}
	l.fill(1 << 17)
	note := ""
	for i := range list {
		size := len(l.entries) - i/500
		if i%500 == 0 {
			note = l.note(size, w.logKeys[:2]...)
		}
		b := provenance.Bundle{Statement: entries[i], Proof: l.proofUnder(note, 1+i, size)}
		list[i].request.Bundle = b.JSON()
	}
	return list
}

// A lockfile's bundles through one Verifier, as a multiple of the bare verification of their publishers' signatures.
func BenchmarkVerifierLockfile(b *testing.B) {
	list := lockfile(newWorld(registry), lockfileSize)
	v := provenance.NewVerifier()
	var bare, all time.Duration
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		d := &list[i%len(list)]
		i++
		begin := time.Now()
		if !d.bare() {
			b.Fatal("does not verify")
		}
		middle := time.Now()
		if _, err := v.Verify(d.request); err != nil {
			b.Fatal(err)
		}
		bare, all = bare+middle.Sub(begin), all+time.Since(middle)
	}
	b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N), "bare-ns/op")
	b.ReportMetric(float64(all)/float64(bare), "x-bare")
}
