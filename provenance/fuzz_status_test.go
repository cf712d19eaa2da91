package provenance_test

import (
	"bytes"
	"testing"

	"countersign.dev/provenance"
)

func FuzzParseStatusDocument(f *testing.F) {
	_, s := moved(f)
	seed(f, newWorld(registry).statusPlan().bundle().Document, s.bundle().Document)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := provenance.ParseStatusDocument(data)
		if err != nil {
			return
		}
		if again, err := d.JSON(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s\nis written as\n%s, %v", data, again, err)
		}
		if len(d.Logs) == 0 || d.Registry == "" {
			t.Fatalf("accepts too much: %+v", d)
		}
	})
}

func FuzzParseStatusBundle(f *testing.F) {
	s := newWorld(registry).statusPlan()
	b := s.bundle()
	s.log.fill(20)
	b.Bridge = s.log.bridge(13, 20, s.signers...)
	seed(f, b.JSON())
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := provenance.ParseStatusBundle(data)
		if err != nil {
			return
		}
		again, err := provenance.ParseStatusBundle(b.JSON())
		if err != nil || !bytes.Equal(again.JSON(), b.JSON()) {
			t.Fatalf("written as %s, read back: %v", b.JSON(), err)
		}
	})
}

// Whatever a mirror sends, Status does not panic, says one of its codes, and accepts only what the registry committed to.
func FuzzStatus(f *testing.F) {
	s := newWorld(registry).statusPlan()
	good, pin := s.bundle(), &s.pin.parse().Pins[0]
	seed(f, good.JSON())
	v := provenance.NewVerifier()
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := v.Status(data, pin, nil, nil)
		if c := code(err); c == "bad request" {
			t.Fatalf("not an answer: %v", err)
		}
		if err == nil && !bytes.Equal(must(provenance.ParseStatusBundle(data)).Document, good.Document) {
			t.Fatalf("verified another document: %s", data)
		}
	})
}
