package provenance_test

import (
	"bytes"
	"strings"
	"testing"

	tlogproof "github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/provenance"
)

// A fuzz target for each decoder. None may panic; where the formats promise one spelling, what is accepted is written
// again as the same bytes.

// seed adds a document and some of its mutants.
func seed(f *testing.F, documents ...[]byte) {
	for _, d := range documents {
		f.Add(d)
		for i, m := range mutants(d) {
			if i%17 == 0 {
				f.Add(m.data)
			}
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	p := newWorld(registry).plan()
	seed(f, p.publication().Envelope.JSON(), p.enrolment().JSON(), p.w.last().Envelope.JSON())
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := provenance.ParseEnvelope(data)
		if err != nil {
			return
		}
		again, err := provenance.ParseEnvelope(e.JSON())
		if err != nil || !bytes.Equal(again.JSON(), e.JSON()) || again.PayloadDigest() != e.PayloadDigest() {
			t.Fatalf("written as %s, read back: %v", e.JSON(), err)
		}
		e.SignedBy(publicKey(p.publisher))
	})
}

// fuzzPayload tries payloads in an envelope of the right type, signed by nobody.
func fuzzPayload(f *testing.F, good *provenance.Envelope, try func(t *testing.T, e *provenance.Envelope)) {
	seed(f, good.Payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		try(t, &provenance.Envelope{PayloadType: good.PayloadType, Payload: payload, Signatures: good.Signatures})
	})
}

func FuzzParsePublication(f *testing.F) {
	fuzzPayload(f, newWorld(registry).plan().publication().Envelope, func(t *testing.T, e *provenance.Envelope) {
		p, err := provenance.ParsePublication(e)
		if err != nil {
			return
		}
		d := provenance.Draft{Registry: p.Registry, Coordinate: p.Coordinate, FileName: p.Subject.Name, Digests: p.Subject.Digest,
			SignedAt: p.SignedAt, Attributes: p.Attributes}
		if _, err := d.Sign(testKey("fuzz")); err != nil && !strings.Contains(err.Error(), "bytes") { // escapes may take more room
			t.Fatalf("what was read cannot be signed: %v", err)
		}
	})
}

func FuzzParseEnrolment(f *testing.F) {
	fuzzPayload(f, newWorld(registry).memberPlan().enrolment(), func(t *testing.T, e *provenance.Envelope) {
		n, err := provenance.ParseEnrolment(e)
		if err != nil {
			return
		}
		again, err := n.Sign(testKey("fuzz"))
		if err != nil || again.Publisher != n.Publisher || !again.Issued.Equal(n.Issued) || !again.NotAfter.Equal(n.NotAfter) {
			t.Fatalf("what was read cannot be signed: %v", err)
		}
	})
}

func FuzzParseEnrolmentEnd(f *testing.F) {
	w := newWorld(registry)
	fuzzPayload(f, end(w, w.plan()).Envelope, func(t *testing.T, e *provenance.Envelope) {
		n, err := provenance.ParseEnrolmentEnd(e)
		if err != nil {
			return
		}
		if again, err := n.Sign(testKey("fuzz")); err != nil || again.Enrolment != n.Enrolment || again.Reason != n.Reason {
			t.Fatalf("what was read cannot be signed: %v", err)
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	w := memberWorld()
	fuzzPayload(f, w.last().Envelope, func(t *testing.T, e *provenance.Envelope) {
		id, err := provenance.ParseIdentity(e)
		if err != nil {
			return
		}
		again, err := id.Sign(testKey("fuzz"))
		if err != nil || again.Open().Origin != id.Open().Origin || len(again.Excluded) != len(id.Excluded) {
			t.Fatalf("what was read cannot be signed: %v", err)
		}
		if _, err := must(provenance.ParseChain(w.envelopes())).Extend(e); err == nil && string(e.Payload) != string(w.last().Envelope.Payload) {
			t.Fatalf("accepted into the chain: %s", e.Payload)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	for _, data := range entries() {
		seed(f, data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entry, err := provenance.ParseEntry(data)
		if err != nil {
			return
		}
		again := encodeEntry(entry)
		if data[0] == '{' && bytes.HasPrefix(data, []byte(`{"payloadType"`)) && !bytes.Equal(again, data) {
			t.Fatalf("envelope written as\n%s", again)
		}
		if third, err := provenance.ParseEntry(again); err != nil || !bytes.Equal(encodeEntry(third), again) {
			t.Fatalf("written as\n%s\nread back: %v", again, err)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	w := newWorld(registry)
	w.log.fill(9)
	good := w.log.note(9, w.logKeys...)
	for _, s := range []string{good, good + witness, w.log.head(3).Text() + "\n" + witness, strings.ReplaceAll(good, "\n", "\r\n"), good + w.badLine(), ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cp, err := provenance.ParseCheckpoint(s)
		if err != nil {
			return
		}
		if !strings.HasPrefix(s, cp.Text()+"\n— ") {
			t.Fatalf("head is spelled %q in %q", cp.Text(), s)
		}
		// Independent eyes on the form: without known keys, note.Open calls it unverified, never malformed.
		if _, err := note.Open([]byte(s), nil); err == nil || !strings.Contains(err.Error(), "no verifiable signatures") {
			t.Fatalf("note.Open: %v in %q", err, s)
		}
		if ours(w, s) && !theirs(w, s) {
			t.Fatalf("accepted, and refused by note.Open: %q", s)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	w := newWorld(registry)
	w.log.fill(9)
	for _, p := range []*provenance.Proof{w.log.proof(3, 9, w.logKeys...), w.log.proof(0, 1, w.logKeys[0])} {
		f.Add(p.String())
		f.Add(strings.Replace(p.String(), "index", "extra QUJD\nindex", 1))
		f.Add(strings.ReplaceAll(p.String(), "\n", "\r\n"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := provenance.ParseProof(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Fatalf("%q is written as %q", s, p)
		}
		if _, err := provenance.ParseCheckpoint(p.Checkpoint); err != nil {
			return
		}
		var theirs tlogproof.TLogProof
		if err := theirs.Unmarshal([]byte(s)); err != nil || string(theirs.Marshal()) != s {
			t.Fatalf("transparency-dev/formats: %v\n%q\nis written\n%q", err, s, theirs.Marshal())
		}
	})
}

func FuzzParseBridge(f *testing.F) {
	w := newWorld(registry)
	w.log.fill(9)
	seed(f, w.log.bridge(3, 9, w.logKeys...).JSON(), w.log.bridge(3, 9).JSON(), w.log.bridge(9, 9).JSON())
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := provenance.ParseBridge(data)
		if err != nil {
			return
		}
		again, err := provenance.ParseBridge(b.JSON())
		if err != nil || !bytes.Equal(again.JSON(), b.JSON()) || again.From != b.From || again.To != b.To {
			t.Fatalf("written as %s, read back: %v", b.JSON(), err)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	seed(f, fullPlan(registry).bundle().JSON())
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := provenance.ParseBundle(data)
		if err != nil {
			return
		}
		again, err := provenance.ParseBundle(b.JSON())
		if err != nil || !bytes.Equal(again.JSON(), b.JSON()) {
			t.Fatalf("written as %s, read back: %v", b.JSON(), err)
		}
	})
}

func FuzzParsePins(f *testing.F) {
	for _, s := range []string{minimalPins, minimalPins + "status_max_age = \"72h\"\n", minimalPins + "latest = {version = 1, sha256 = \"" + sha256Of("") + "\"}\n", "version = 1\ndefault = \"ignore\"\n",
		minimalPins + "publishers = [\"" + pinnedIdentity + "\"]\nmode = \"report\"\n", minimalPins + "latest = {version = -1}", "\"regi\u017ftry\" = 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := provenance.ParsePins(data)
		if err != nil {
			return
		}
		for _, pin := range p.Pins {
			if pin.Registry == "" || pin.Identity == "" || pin.Require == "" || pin.Mode == "" || pin.StatusMaxAge < 0 || pin.Publishers != nil && len(pin.Publishers) == 0 {
				t.Fatalf("pin accepts too much: %+v", pin)
			}
			if again, err := provenance.ParsePinNamespace(pin.Namespace.String()); err != nil || again != pin.Namespace {
				t.Fatalf("namespace %s: %v", pin.Namespace, err)
			}
		}
		p.For(mustCoordinate("pkg:npm/%40acme/widget@1.2.3"))
	})
}

// Whatever the bundle, Verify does not panic, says one of its codes, and accepts only what holds this statement.
func FuzzVerify(f *testing.F) {
	r := fullPlan(registry).request()
	good := must(provenance.ParseBundle(r.Bundle))
	seed(f, r.Bundle, newWorld(registry).plan().request().Bundle)
	f.Fuzz(func(t *testing.T, data []byte) {
		r.Bundle = data
		_, err := provenance.Verify(r)
		if c := code(err); c == "bad request" {
			t.Fatalf("not an answer: %v", err)
		}
		if err == nil && !bytes.Equal(must(provenance.ParseBundle(data)).Statement, good.Statement) {
			t.Fatalf("verified another statement: %s", data)
		}
	})
}
