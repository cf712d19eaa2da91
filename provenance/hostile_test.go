package provenance_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"countersign.dev/provenance"
)

// A mirror may send a status as large as any. What is not its document must not become larger once it is read.
func TestHostileStatusStaysSmall(t *testing.T) {
	whole := string(newWorld(registry).statusPlan().bundle().JSON())
	before, _, _ := strings.Cut(whole, `,"identity":`)
	const n = 8 << 20
	for what, rest := range map[string]string{
		"envelopes":  `,"identity":[` + strings.Repeat(`{},`, n) + `{}]}`,
		"signatures": `,"identity":[{"signatures":[` + strings.Repeat(`{},`, n) + `{}]}]}`,
		"hashes":     `,"bridge":{"hashes":[` + strings.Repeat(`"",`, n) + `""]}}`,
		"lists":      `,"bridge":[` + strings.Repeat(`[],`, n) + `[]]}`,
		"numbers":    `,"bridge":[` + strings.Repeat(`0,`, n) + `0]}`,
		"members":    `,"bridge":{` + strings.Repeat(`"a":0,`, n/2) + `"a":0}}`,
		"spaces":     strings.Repeat(" ", 3*n) + `}`,
	} {
		data := []byte(before + rest)
		var from, to runtime.MemStats
		runtime.ReadMemStats(&from)
		_, err := provenance.ParseStatusBundle(data)
		runtime.ReadMemStats(&to)
		wantError(t, what, err, "beside the document")
		if got := to.TotalAlloc - from.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: %d bytes allocated for %d", what, got, len(data))
		}
	}
}

// What is beside the document is measured where the document is large, and counts only then.
func TestStatusBesideDocument(t *testing.T) {
	s := newWorld(registry).statusPlan()
	b := s.bundle()
	b.Document = make([]byte, 6<<20)
	data := string(b.JSON())
	pad := provenance.MaxBundle - (len(data) - 8<<20)
	for spaces, words := range map[int]string{0: "", pad: "", pad + 1: "4194305 bytes beside the document, at most 4194304"} {
		_, err := provenance.ParseStatusBundle([]byte("{" + strings.Repeat(" ", spaces) + data[1:]))
		wantError(t, fmt.Sprint(spaces), err, words)
	}
}

// The root's signatures can be written in many orders, which are one identity.
func TestVerifierHoldsOneIdentity(t *testing.T) {
	w := newWorld(registry)
	envelope := *w.last().Envelope
	envelope.Signatures = must(provenance.Sign(envelope.PayloadType, envelope.Payload, signers(w.root...)...)).Signatures
	v := provenance.NewVerifier()
	for range 2 {
		for i := range 3 {
			for j := range 3 {
				p := w.plan()
				also(p, func(b *provenance.Bundle) {
					first := envelope
					first.Signatures = slices.Clone(envelope.Signatures)
					first.Signatures[0], first.Signatures[i] = first.Signatures[i], first.Signatures[0]
					first.Signatures[1], first.Signatures[j] = first.Signatures[j], first.Signatures[1]
					b.Identity = []*provenance.Envelope{&first}
				})
				_, err := v.Verify(p.request())
				wantCode(t, fmt.Sprint(i, j), err, "verified")
			}
		}
	}
	if n := v.Identities(); n != 1 {
		t.Errorf("holds on to %d versions, want 1", n)
	}
}
