package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"countersign.dev/provenance"
)

// testPublication is a signed one of an npm package.
func testPublication(t testing.TB, name string, digests provenance.Digests) *provenance.Publication {
	t.Helper()
	c, err := provenance.NewCoordinate("npm", name, "1.0.0", "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := provenance.Draft{Registry: "registry.example", Coordinate: c, FileName: "file", Digests: digests, SignedAt: time.Now()}.Sign(testKey("publisher"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func zeros(n int) string { return strings.Repeat("0", n) }

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"sign", "sing", 2}, {"verify", "verfy", 1}, {"kitten", "sitting", 3}, {"show", "show", 0}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestPlain(t *testing.T) {
	for given, want := range map[string]string{
		"naïve — 包":         "naïve — 包",
		"a\nb":              "a; b",
		"\x1b[31mred\a":     `\u001b[31mred\u0007`,
		"a\u202eb\u200bc":   `a\u202eb\u200bc`,
		"a\u2028b\u0085\tc": `a\u2028b\u0085\u0009c`,
		"\xff":              `\ufffd`,
	} {
		if got := plain(given); got != want {
			t.Errorf("plain(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999999": 0,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 0} {
		if got := retryAfter(header); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", header, got, want)
		}
	}
	if got := retryAfter(time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)); got < 50*time.Second || got > time.Minute {
		t.Errorf("a date in a minute: %s", got)
	}
}

// The limits of a batch are the service's.
func TestBatchLimits(t *testing.T) {
	item := &submission{publication: testPublication(t, "tiny", provenance.Digests{"sha256": zeros(64)}), observed: map[string]any{"size": 1}}
	b := newBatch(terminal{})
	for i := range maxLines {
		if ok, err := b.add(item); !ok || err != nil {
			t.Fatalf("line %d: %v, %v", i, ok, err)
		}
	}
	if ok, err := b.add(item); ok || err != nil {
		t.Errorf("line %d: %v, %v", maxLines+1, ok, err)
	}
	if n := bytes.Count(b.body(), []byte("\n")); n != maxLines || len(b.body()) != b.size {
		t.Errorf("%d lines, %d bytes, want %d", n, len(b.body()), b.size)
	}
	line := len(b.lines[0])
	for room, want := range map[int]bool{line: true, line - 1: false} {
		b = newBatch(terminal{})
		b.size = maxBatch - room
		if ok, err := b.add(item); ok != want || err != nil {
			t.Errorf("with room for %d bytes of %d: %v, %v", room, line, ok, err)
		}
	}
}

// A digest that the publisher signed and nobody recomputes could be of another file.
func TestUnknownDigestIsNotObserved(t *testing.T) {
	s := &submission{artifact: "file", publication: testPublication(t, "tiny", provenance.Digests{"sha256": zeros(64), "hexInner": zeros(64)})}
	err := s.observe(provenance.Digests{"sha256": zeros(64), "sha512": zeros(128)}, 1)
	if err == nil || !strings.Contains(err.Error(), "a hexInner, which this program cannot compute") {
		t.Error(err)
	}
}

func TestWriteNewLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := writeNew(path, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	var h hinted
	if err := writeNew(path, []byte("b"), 0o600); err == nil || !errors.As(err, &h) {
		t.Errorf("a second time: %v", err)
	}
	if data := must(os.ReadFile(path)); string(data) != "a" {
		t.Errorf("overwritten: %q", data)
	}
	if err := writeNew(filepath.Join(dir, "no", "out"), nil, 0o600); err == nil {
		t.Error("wrote into a directory that is not there")
	}
	if entries := must(os.ReadDir(dir)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestAdviceIsAboutCodes holds the advice to the codes that the API's description lists.
func TestAdviceIsAboutCodes(t *testing.T) {
	description, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for code := range advice {
		if !strings.Contains(string(description), "| `"+code+"` |") {
			t.Errorf("docs/openapi.yaml has no problem code %s", code)
		}
	}
	for code := range remedy {
		found := false
		for _, known := range provenance.Codes {
			found = found || known == code
		}
		if !found {
			t.Errorf("verification has no refusal code %s", code)
		}
	}
}

// FuzzShow: no document makes show panic, or print what commands a terminal.
func FuzzShow(f *testing.F) {
	r := newRegistry("registry.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	c := must(provenance.ParseCoordinate("pkg:npm/tiny@1.0.0"))
	index := r.vouch(c, provenance.Digests{"sha256": zeros(64)}, time.Now())
	f.Add(r.bundle(index).JSON())
	f.Add(provenance.EncodeEnvelopes(r.chain()))
	f.Add(r.bridge(1).JSON())
	f.Add(r.entries[index])
	f.Add(testPublication(f, "tiny", provenance.Digests{"sha256": zeros(64)}).Envelope.JSON())
	f.Add([]byte(`{"mediaType":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		print, err := recognise(data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		print(terminal{nil, &out, &out})
		for _, r := range out.String() {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Fatalf("prints %q", r)
			}
		}
	})
}

// FuzzAnswers: no answer of a service makes a file appear that is not the bundle that was asked for.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"ref":"0","line":1,"status":201,"bundle":{}}`))
	f.Add([]byte(`{"ref":"0","line":1,"status":503,"problem":{"type":"urn:countersign:error:frozen","retryable":true}}`))
	f.Add([]byte(`[{"enrolment":"","status":201}]`))
	f.Add([]byte(`{"type":"urn:countersign:error:malformed","detail":"x"}`))
	out := filepath.Join(f.TempDir(), "out")
	item := &submission{publication: testPublication(f, "tiny", provenance.Digests{"sha256": zeros(64)}), observed: map[string]any{"size": 1}, out: out}
	f.Fuzz(func(t *testing.T, data []byte) {
		var said bytes.Buffer
		b := newBatch(terminal{nil, &said, &said})
		must(b.add(item))
		if err := b.read(200, bytes.NewReader(data)); err == nil && b.refused == 0 {
			t.Errorf("accepted %q", data)
		}
		if err := item.accept(201, data, terminal{nil, &said, &said}); err == nil {
			t.Errorf("accepted %q", data)
		}
		r := &registration{files: []string{"a"}, digests: []string{"sha256:" + zeros(64)}}
		if err := r.read(200, bytes.NewReader(data)); err == nil {
			r.tell(terminal{nil, &said, &said})
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("wrote a file for %q", data)
		}
	})
}
