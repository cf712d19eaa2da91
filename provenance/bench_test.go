package provenance_test

import (
	"crypto/ed25519"
	"testing"

	"countersign.dev/provenance"
)

// The physical limit: one signature verified. The others are to be read as multiples of it.
func BenchmarkEd25519Verify(b *testing.B) {
	key, message := testKey("bench"), make([]byte, 1500)
	public, sig := key.Public().(ed25519.PublicKey), ed25519.Sign(key, message)
	for b.Loop() {
		if !ed25519.Verify(public, message, sig) {
			b.Fatal("does not verify")
		}
	}
}

// A consumer: identity (two root signatures), enrolment, publication, proof and head (two signatures): six in all.
func BenchmarkVerify(b *testing.B) {
	r := newWorld(registry).plan().request()
	b.SetBytes(int64(len(r.Bundle)))
	for b.Loop() {
		if _, err := provenance.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

// Admission reads a publication from the wire.
func BenchmarkParsePublication(b *testing.B) {
	data := newWorld(registry).plan().publication().Envelope.JSON()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		e, err := provenance.ParseEnvelope(data)
		if err == nil {
			_, err = provenance.ParsePublication(e)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A ledger that opens reads every entry.
func BenchmarkParseEntry(b *testing.B) {
	data := newWorld(registry).plan().entry()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := provenance.ParseEntry(data); err != nil {
			b.Fatal(err)
		}
	}
}

// A registry answers with bundles whose enrolment and identity it encoded once.
func BenchmarkBundleAppendJSON(b *testing.B) {
	bundle := newWorld(registry).plan().bundle()
	enrolment, identity := bundle.Enrolment.JSON(), provenance.EncodeEnvelopes(bundle.Identity)
	out := bundle.AppendJSON(nil, enrolment, identity)
	b.SetBytes(int64(len(out)))
	for b.Loop() {
		out = bundle.AppendJSON(out[:0], enrolment, identity)
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	text := publicKey(testKey("bench")).String()
	for b.Loop() {
		if _, err := provenance.ParsePublicKey(text); err != nil {
			b.Fatal(err)
		}
	}
}
