package provenance_test

import (
	"slices"
	"testing"

	"countersign.dev/provenance"
)

// No byte of a status can be another one, missing, doubled, or the last.
func TestEveryByteOfAStatus(t *testing.T) {
	t.Parallel()
	s := newWorld(registry).statusPlan()
	data, pin := s.bundle().JSON(), &s.pin.parse().Pins[0]
	v := provenance.NewVerifier()
	for at := 0; at < len(data); at += stride {
		for what, spoilt := range map[string][]byte{
			"lowest bit": flip(data, at, 0x01),
			"other bit":  flip(data, at, byte(2<<(at%7))),
			"removed":    slices.Delete(slices.Clone(data), at, at+1),
			"doubled":    slices.Insert(slices.Clone(data), at, data[at]),
			"cut here":   data[:at],
		} {
			if _, err := v.Status(spoilt, pin, nil, nil); err == nil {
				t.Errorf("byte %d (%q in %q), %s: verified", at, data[at], around(data, at), what)
			}
		}
	}
}

func TestEveryStatusMember(t *testing.T) {
	s := newWorld(registry).statusPlan()
	b := s.bundle()
	s.log.fill(20)
	b.Bridge = s.log.bridge(13, 20, s.signers...)
	pin := &s.pin.parse().Pins[0]
	list := mutants(b.JSON())
	for _, m := range list {
		if m.String() == "removed /bridge" || m.String() == "removed /bridge/checkpoint" { // it is not needed
			continue
		}
		if _, err := provenance.NewVerifier().Status(m.data, pin, nil, nil); err == nil {
			t.Errorf("%s: verified", m)
		}
	}
	if len(list) < 200 {
		t.Errorf("only %d mutants", len(list))
	}
}

// Even if the registry logs it and its own keys sign the head over it, a status has one form.
func TestEveryStatusStatementMember(t *testing.T) {
	s := newWorld(registry).statusPlan()
	list := mutants(s.bundle().Statement)
	for _, m := range list {
		p := newWorld(registry).statusPlan()
		p.spoilEntry = func([]byte) []byte { return m.data }
		if _, err := p.verify(); err == nil {
			t.Errorf("%s: verified", m)
		}
	}
	if len(list) < 80 {
		t.Errorf("only %d mutants", len(list))
	}
}

// And a document that it committed to. What it leaves out is for those to see who read the log.
func TestEveryStatusDocumentMember(t *testing.T) {
	s := newWorld(registry).statusPlan()
	var verified []string
	for _, m := range mutants(s.bundle().Document) {
		p := newWorld(registry).statusPlan()
		p.spoilDocument = func([]byte) []byte { return m.data }
		if _, err := p.verify(); err == nil {
			verified = append(verified, m.String())
		}
	}
	if want := []string{"removed /withdrawals/0", "removed /endedEnrolments/0"}; !slices.Equal(verified, want) {
		t.Errorf("verified with\n%q\nwant\n%q", verified, want)
	}
}
