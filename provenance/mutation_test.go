package provenance_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"countersign.dev/provenance"
)

// fullPlan tells a story in which every part of the bundle is needed: the identity's second version ended two of the keys
// that signed the head, which counts only because the bridge leads to one that new keys signed. The pin's latest keeps
// the second version from being left out.
func fullPlan(name string) *plan {
	w := newWorld(name)
	w.endTwo(1)
	p := w.plan()
	p.pin.more = "latest = {version = 2, sha256 = \"" + strings.TrimPrefix(w.last().Envelope.PayloadDigest(), "sha256:") + "\"}\n"
	p.spoilBundle = func(b *provenance.Bundle) {
		p.log.fill(11)
		b.Bridge = p.log.bridge(6, 11, w.newKeys()...)
	}
	return p
}

func TestFullPlanVerifies(t *testing.T) {
	wantCode(t, "as it is", fullPlan(registry).verify(), "verified")
}

// bytewise runs a test over every byte of two bundles that together need every part: one is plain; the head of the other
// counts because of a bridge, so the names in its head's signature lines may change: a line under another name is a
// witness's. The statement, which both have in common, is gone through once.
func bytewise(t *testing.T, each func(t *testing.T, r provenance.Request, at int, harmless bool)) {
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		r := newWorld(registry).plan().request()
		for at := 0; at < len(r.Bundle); at += stride {
			each(t, r, at, false)
		}
	})
	t.Run("bridge", func(t *testing.T) {
		t.Parallel()
		p := fullPlan(registry)
		r := p.request()
		names := headNames(r.Bundle, p.w.origin(1))
		for at := bytes.Index(r.Bundle, []byte(`"proof":`)); at < len(r.Bundle); at += stride {
			each(t, r, at, names[at])
		}
	})
}

// headNames are the bytes of the log's name in the signature lines of a bundle's proof.
func headNames(bundle []byte, origin string) map[int]bool {
	names := make(map[int]bool)
	proof := bundle[:bytes.Index(bundle, []byte(`"enrolment":`))]
	for at := range proof {
		if name, ok := bytes.CutPrefix(proof[at:], []byte("— ")); ok && bytes.HasPrefix(name, []byte(origin)) {
			for i := range origin {
				names[at+len("— ")+i] = true
			}
		}
	}
	return names
}

// No byte of a bundle can be another one.
func TestEveryByteFlipped(t *testing.T) {
	t.Parallel()
	bytewise(t, func(t *testing.T, r provenance.Request, at int, harmless bool) {
		original := r.Bundle
		// The lowest bit makes another letter or digit of base64; the other differs from byte to byte.
		for _, mask := range []byte{0x01, byte(2 << (at % 7))} {
			r.Bundle = flip(original, at, mask)
			if _, err := provenance.Verify(r); err == nil && !harmless {
				t.Errorf("byte %d (%q in %q) ^ %#02x: verified", at, original[at], around(original, at), mask)
			}
		}
	})
}

func around(data []byte, at int) []byte { return data[max(at-10, 0):min(at+10, len(data))] }

// Nor can one be missing or come twice, or the rest be cut off.
func TestEveryByteRemovedAndDoubled(t *testing.T) {
	t.Parallel()
	bytewise(t, func(t *testing.T, r provenance.Request, at int, harmless bool) {
		original := r.Bundle
		for what, data := range map[string][]byte{
			"removed":  slices.Delete(slices.Clone(original), at, at+1),
			"doubled":  slices.Insert(slices.Clone(original), at, original[at]),
			"cut here": original[:at],
		} {
			r.Bundle = data
			if _, err := provenance.Verify(r); err == nil && !harmless {
				t.Errorf("byte %d (%q in %q) %s: verified", at, original[at], around(original, at), what)
			}
		}
	})
}

// A witness's line says nothing to us: it may change as long as the note stays one for golang.org/x/mod.
func TestWitnessLinesAreHarmless(t *testing.T) {
	p := newWorld(registry).plan()
	p.spoilProof = func(pr *provenance.Proof) { pr.Checkpoint += witness }
	r := p.request()
	line := bytes.TrimSuffix(must(json.Marshal(witness)), []byte(`\n"`))[1:]
	begin := bytes.Index(r.Bundle, line)
	harmless := 0
	for at := begin; at < begin+len(line); at++ {
		for _, mask := range []byte{0x01, 0x02, 0x20, 0x80} {
			spoiled := r
			spoiled.Bundle = flip(r.Bundle, at, mask)
			_, err := provenance.Verify(spoiled)
			if want := stillANote(p.w, spoiled.Bundle); (err == nil) != want {
				t.Errorf("byte %d ^ %#02x, %q: %v; is it a note: %t", at, mask, around(spoiled.Bundle, at), err, want)
			} else if want {
				harmless++
			}
		}
	}
	if harmless < len(line) {
		t.Errorf("only %d of %d changes to a witness's line were harmless", harmless, 4*len(line))
	}
}

// stillANote asks independent decoders whether the bundle's checkpoint is one that the log's keys signed, in its one
// spelling of base64.
func stillANote(w *world, bundle []byte) bool {
	var b struct{ Proof string }
	if json.Unmarshal(bundle, &b) != nil || strings.ContainsRune(b.Proof, '\uFFFD') {
		return false
	}
	_, signed, _ := strings.Cut(b.Proof, "\n\n")
	n, err := note.Open([]byte(signed), verifiers(w))
	if err != nil {
		return false
	}
	return len(n.Sigs) == 2 && canonicalBase64(n)
}

// canonicalBase64 reports whether every signature line is the one spelling of its bytes, which note.Open does not ask.
func canonicalBase64(n *note.Note) bool {
	for _, s := range append(n.Sigs, n.UnverifiedSigs...) {
		if raw, err := base64.StdEncoding.DecodeString(s.Base64); err != nil || base64.StdEncoding.EncodeToString(raw) != s.Base64 {
			return false
		}
	}
	return true
}

func verifiers(w *world) note.Verifiers {
	var list []note.Verifier
	for _, k := range w.logKeys {
		list = append(list, must(note.NewVerifier(publicKey(k).VKey(w.origin(1)))))
	}
	return note.VerifierList(list...)
}

// Everything else that may change without harm, complete: the writer's choice of order and space, what is there beyond
// need, and an older truth where the pin does not ask for the newer one.
func TestHarmlessChanges(t *testing.T) {
	for what, change := range map[string]func(*plan){
		"members in another order": func(p *plan) {
			p.spoilRequest = func(r *provenance.Request) {
				n := parseNode(r.Bundle)
				slices.Reverse(n.members)
				r.Bundle = n.json()
			}
		},
		"white space": func(p *plan) {
			p.spoilRequest = func(r *provenance.Request) {
				var out bytes.Buffer
				json.Indent(&out, r.Bundle, "", "\t")
				r.Bundle = out.Bytes()
			}
		},
		"escapes in strings": func(p *plan) {
			p.spoilRequest = func(r *provenance.Request) { r.Bundle = replaced(r.Bundle, `"mediaType"`, `"\u006dediaType"`) }
		},
		"a third signature on the head": func(p *plan) { p.signers = p.w.logKeys },
		"signatures in another order":   func(p *plan) { p.signers = []ed25519.PrivateKey{p.w.logKeys[2], p.w.logKeys[0]} },
		"a bridge that is not needed": func(p *plan) {
			also(p, func(b *provenance.Bundle) { b.Bridge = p.log.bridge(2, 5, p.w.logKeys[:2]...) })
		},
		"a bridge of another head": func(p *plan) { also(p, func(b *provenance.Bundle) { b.Bridge = p.log.bridge(1, 6, p.w.logKeys[0]) }) },
		"an older identity, nothing pinned": func(p *plan) {
			envelopes := p.w.envelopes()
			p.w.endTwo(1)
			also(p, func(b *provenance.Bundle) { b.Identity = envelopes })
		},
		"a third root signature": func(p *plan) {
			id := *p.w.last()
			also(p, func(b *provenance.Bundle) { b.Identity[0] = must(id.Sign(signers(p.w.root...)...)).Envelope })
		},
		"no publisher's signature, the pin asks for none": func(p *plan) { p.backfill, p.pin.more = true, `require = "registry"` },
		"a publisher's signature, the pin asks for none":  func(p *plan) { p.pin.more = `require = "registry"` },
	} {
		p := newWorld(registry).plan()
		change(p)
		wantCode(t, what, p.verify(), "verified")
	}
}
