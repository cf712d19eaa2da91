package provenance_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"countersign.dev/provenance"
)

// What is in our own spelling is read without a JSON decoder. A space before it makes it another spelling, which means
// the same: the two readers must agree about everything.

type reader struct {
	name string
	read func(data []byte) (any, error)
}

var readers = []reader{
	{"bundle", func(data []byte) (any, error) { return provenance.ParseBundle(data) }},
	{"entry", func(data []byte) (any, error) { return provenance.ParseEntry(data) }},
	{"publication", func(data []byte) (any, error) {
		p, err := provenance.ParsePublication(&provenance.Envelope{PayloadType: "application/vnd.in-toto+json", Payload: data,
			Signatures: []provenance.Signature{{KeyID: "sha256:" + sha256Of("x"), Sig: make([]byte, 64)}}})
		if err != nil {
			return nil, err
		}
		p.Envelope = nil
		return p, nil
	}},
}

// disagreement says how a reader reads data with and without a space, if it matters.
func (r reader) disagreement(data []byte) string {
	if strings.HasPrefix(string(data), `{"payloadType"`) || len(data) == provenance.MaxEntry || len(data) == provenance.MaxPublication {
		return "" // a log entry that is an envelope has one spelling; the others may be one byte too long
	}
	ours, ourErr := r.read(data)
	theirs, theirErr := r.read(append([]byte(" "), data...))
	var a, b *provenance.Refusal
	switch {
	case (ourErr == nil) != (theirErr == nil):
	case ourErr == nil && !reflect.DeepEqual(ours, theirs):
	case errors.As(ourErr, &a) != errors.As(theirErr, &b), a != nil && a.Code != b.Code:
	default:
		return ""
	}
	return fmt.Sprintf("%s: %.4000q\nread as %+v (%v)\nwith a space as %+v (%v)", r.name, data, ours, ourErr, theirs, theirErr)
}

// spelled are documents in our spelling, one for each reader.
func spelled() [][]byte {
	p := newWorld(registry).plan()
	p.draft.Attributes = []byte(`{"aiGeneration":{"extent":"assisted","tools":[{"name":"scribe","version":"2"}],"reviewedBy":[]},"n":1}`)
	b := p.bundle()
	b.Identity, b.Enrolment = nil, nil
	return [][]byte{b.JSON(), b.Statement, p.publication().Envelope.Payload}
}

func TestSpellingsAgree(t *testing.T) {
	n := 0
	for i, data := range spelled() {
		try := func(data []byte) {
			if d := readers[i].disagreement(data); d != "" {
				t.Error(d)
			}
			n++
		}
		try(data)
		if _, err := readers[i].read(data); err != nil {
			t.Errorf("%s: %v", readers[i].name, err)
		}
		for _, m := range mutants(data) {
			try(m.data)
		}
		for at := range data {
			try(flip(data, at, 0x01))
			try(flip(data, at, byte(2<<(at%7))))
			try(data[:at])
			try(append(data[:at:at], data[at+1:]...))
			for _, s := range []string{" ", "\n", `\n`, `\`, `"`, `\\n`, "\x00", "\x7f", "é", "\ufffd", "\xff", "{", "}", "[", "0", ",", "null"} {
				if at%7 == 0 {
					try([]byte(string(data[:at]) + s + string(data[at:])))
				}
			}
		}
	}
	if n < 15_000 {
		t.Errorf("only %d documents", n)
	}
}

// Attributes are whatever the publisher likes: the one part that is not of one spelling.
func TestSpelledAttributes(t *testing.T) {
	payload := string(newWorld(registry).plan().publication().Envelope.Payload)
	before, _, _ := strings.Cut(payload, `"attributes":`)
	for _, attributes := range []string{`{}`, `{ }`, ` {}`, `{} `, `{"a":1,"a":1}`, `{"a":1}}},{"b":{"c":1}`, `{"a":[1,2,{"b":true}]}`, `{"a":-1}`, `{"a":1.0}`, `{"a":null}`, `null`, `[]`, `1`,
		`"x"`, `{"a":"\u0000"}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":{"b":1,"b":2}}`, `{"aigeneration":1}`, `{"a":` + strings.Repeat("[", 13) + strings.Repeat("]", 13) + `}`,
		`{"a":` + strings.Repeat("[", 14) + strings.Repeat("]", 14) + `}`, `{"a":` + strings.Repeat(`{"a":`, 6) + `{}` + strings.Repeat(`}`, 6) + `}`, `{"a":9007199254740992}`,
		`{"a":1},"b":{"c":2}`, `{"a":1}}`, `{"a":1`, `{"[[[[[[[[[[[[[[[[[[[[[[[":"{{{{{{{{{{{{{{"}`, ``} {
		if d := readers[2].disagreement([]byte(before + `"attributes":` + attributes + `}}`)); d != "" {
			t.Error(d)
		}
	}
}

// A member that is missing is not one that the other reader found.
func TestSpellingLeavesNothingBehind(t *testing.T) {
	data := spelled()[0]
	text := string(data)
	_, proof, _ := strings.Cut(text, `,"proof":`)
	for _, broken := range []string{strings.TrimSuffix(text, `,"proof":`+proof) + `}`, `{"mediaType":"` + provenance.BundleType + `","proof":` + proof,
		strings.Replace(text, `"proof":`, `"identity":[],"x":`, 1)} {
		if b, err := provenance.ParseBundle([]byte(broken)); err == nil {
			t.Errorf("%.200s: read as %+v", broken, b)
		}
	}
}

func FuzzSpellings(f *testing.F) {
	seed(f, spelled()...)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range readers {
			if d := r.disagreement(data); d != "" {
				t.Fatal(d)
			}
		}
	})
}

// What is between two quotes, or is a text between them, becomes something else: what a fuzzer of bytes takes long to find.
func FuzzSpelledParts(f *testing.F) {
	documents := spelled()
	for i := range documents {
		for at, part := range []string{`a\u0022`, `","digest":{"`, "é", "\ufeff", `sha256":"x","sha256`, "AAA\n=", "AAAA", "AA==", "AB==", "A===", "2026-03-03T12:00:00z",
			"0001-01-01T00:00:00Z", "2026-02-30T12:00:00Z", `{"a":1,"a":2}`, `:{}}}`, `}}],"predicateType":`, strings.Repeat("[", 20), "null", "1e3", "\x7f", ` : `, ``} {
			for slot := range 12 {
				f.Add(uint8(i), uint8(at+3*slot), []byte(part), uint8(2*at+7*slot), []byte(`x`))
			}
		}
	}
	f.Fuzz(func(t *testing.T, document, first uint8, one []byte, second uint8, other []byte) {
		i := int(document) % len(documents)
		parts := strings.Split(string(documents[i]), `"`)
		parts[int(first)%len(parts)] = string(one)
		for _, second := range []func(){func() {}, func() { parts[int(second)%len(parts)] = string(other) }} {
			second()
			if d := readers[i].disagreement([]byte(strings.Join(parts, `"`))); d != "" {
				t.Fatal(d)
			}
		}
	})
}
