package signer_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// lineOutcome is a line of a batch's answer.
type lineOutcome struct {
	Ref          string
	Line, Status int
	Bundle       jsontext.Value
	Problem      problemDocument
}

func lineOutcomes(t testing.TB, body []byte) []lineOutcome {
	t.Helper()
	var out []lineOutcome
	for line := range strings.Lines(string(body)) {
		var o lineOutcome
		decode(t, []byte(line), &o)
		out = append(out, o)
	}
	return out
}

// inShort is an outcome in short: ref, line, status, code.
func inShort(list []lineOutcome) (out []string) {
	for _, o := range list {
		out = append(out, strings.TrimSpace(fmt.Sprintln(o.Ref, o.Line, o.Status, signer.CodeOf(o.Problem.Type))))
	}
	return out
}

func joined(all ...[]byte) []byte { return bytes.Join(all, []byte("\n")) }

func (w *world) backfill(version, content string) signer.Submission {
	return signer.Submission{Statement: &signer.StatementRequest{Purl: "pkg:npm/%40acme/widget@" + version, FileName: "widget.tgz", Reason: "backfill",
		Evidence: []provenance.Evidence{}}, Observed: signer.Observed{Digests: digestsOf(content), Size: uint64(len(content))}}
}

// Each line has its own answer, in order: good, bad in every way, and two lines for one coordinate like two requests.
func TestHTTPBatch(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	before := s.size()
	one := s.submission("@acme/widget", "1.0.0", "one")
	body := joined(
		wire(t, "a", one),
		[]byte(`{"ref":"b"`),
		wire(t, "c", s.submission("@acme/widget", "1.0.0", "not one")),
		nil,
		wire(t, "e", one),
		wire(t, "f", s.submission("@acme/widget", "2.0.0", "two")),
		wire(t, "g", s.backfill("0.9.0", "old")),
		[]byte(`{"ref":"h","observed":{"size":1}}`),
		append([]byte(`{"ref":"`), bytes.Repeat([]byte("i"), signer.MaxSingle)...),
		wire(t, strings.Repeat("j", 257), one),
		wire(t, "k", s.backfill("1.0.0", "one")),
		wire(t, "l \u2028\"\\é", s.backfill("0.9.0", "old")),
	)
	got := s.post(batch, ndjsonType, body)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != ndjsonType {
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	list := lineOutcomes(t, got.body)
	want := []string{"a 1 201", " 2 400 malformed", "c 3 409 coordinate-conflict", " 4 400 malformed", "e 5 200", "f 6 201", "g 7 201", "h 8 400 malformed",
		" 9 413 too-large", " 10 400 malformed", "k 11 201", "l \u2028\"\\é 12 200"}
	for i, text := range inShort(list) {
		if i >= len(want) || text != strings.TrimSpace(want[i]) {
			t.Errorf("line %d: %q", i+1, text)
		}
	}
	if len(list) != len(want) || s.size() != before+4 {
		t.Fatalf("%d lines, the log grew by %d", len(list), s.size()-before)
	}
	must(t, s.verify(list[0].Bundle, "pkg:npm/%40acme/widget@1.0.0", "one"))
	must(t, s.verify(list[5].Bundle, "pkg:npm/%40acme/widget@2.0.0", "two"))
	if entryIn(t, list[4].Bundle) != entryIn(t, list[0].Bundle) || entryIn(t, list[11].Bundle) != entryIn(t, list[6].Bundle) {
		t.Error("the same again is another statement")
	}
	for _, o := range list {
		if o.Problem.Type != "" && o.Problem.RequestID != got.header.Get("X-Request-Id") {
			t.Errorf("line %d: request id %q", o.Line, o.Problem.RequestID)
		}
	}
}

// A newline at the end makes no line; an answer is the same with it and without, and with CRLF.
func TestHTTPBatchEndings(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	a, b := wire(t, "a", s.submission("@acme/widget", "1.0.0", "one")), wire(t, "b", s.submission("@acme/widget", "2.0.0", "two"))
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"none":      {joined(a, b), "a 1 _|b 2 _"},
		"newline":   {joined(a, b, nil), "a 1 _|b 2 _"},
		"two":       {joined(a, b, nil, nil), "a 1 _|b 2 _|3 400 malformed"},
		"CRLF":      {append(bytes.Join([][]byte{a, b}, []byte("\r\n")), "\r\n"...), "a 1 _|b 2 _"},
		"newline 1": {[]byte("\n"), "1 400 malformed"},
		"null":      {joined([]byte("null"), a), "1 400 malformed|a 2 _"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(inShort(lineOutcomes(t, s.post(batch, ndjsonType, c.body).body)), "|")
			if got = strings.NewReplacer("201", "_", "200", "_").Replace(got); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestHTTPBatchLimits(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	s.unchanged(func() {
		s.post(batch, ndjsonType, bytes.Repeat([]byte("{}\n"), signer.MaxLines+1)).refused(t, signer.TooLarge)
		s.post(batch, ndjsonType, bytes.Repeat([]byte(" "), signer.MaxBulk+1)).refused(t, signer.TooLarge)
		s.post(batch, ndjsonType, nil).refused(t, signer.Malformed)
		s.post(batch+"?priority=high", ndjsonType, []byte("{}")).refused(t, signer.Malformed)
		s.post(batch+"?priority=backfill&priority=backfill", ndjsonType, []byte("{}")).refused(t, signer.Malformed)
		s.post(batch+"?purl=x", ndjsonType, []byte("{}")).refused(t, signer.Malformed)
	})
	var all [][]byte
	for i := range signer.MaxLines {
		all = append(all, wire(t, fmt.Sprint(i), s.backfill(fmt.Sprint(i, ".0.0"), "content")))
	}
	before := s.size()
	list := lineOutcomes(t, s.post(batch+"?priority=backfill", ndjsonType, joined(all...)).body)
	if len(list) != signer.MaxLines || s.size() != before+uint64(signer.MaxLines) {
		t.Fatalf("%d lines, the log grew by %d", len(list), s.size()-before)
	}
	for i, o := range list {
		if o.Line != i+1 || o.Ref != fmt.Sprint(i) || o.Status != http.StatusCreated {
			t.Fatalf("line %d: %s %d", o.Line, o.Ref, o.Status)
		}
	}
}
