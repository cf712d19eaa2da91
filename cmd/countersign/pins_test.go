package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// pinning is a run of pins add with a person at the keyboard: typed gives the answer to what was shown and asked.
func pinning(t *testing.T, r *registry, file string, typed func(shown, asked string) string, args ...string) (status int, shown, complaint string) {
	t.Helper()
	identity := filepath.Join(t.TempDir(), "identity.json")
	if err := os.WriteFile(identity, provenance.EncodeEnvelopes(r.chain()), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, err bytes.Buffer
	in := readerFunc(func(p []byte) (int, error) {
		return copy(p, typed(out.String(), err.String())+"\n"), nil
	})
	status = run(append([]string{"pins", "add", "registry.example", "--identity", identity, "--file", file}, args...), in, &out, &err)
	return status, out.String(), err.String()
}

func anHour() *registry {
	return newRegistry("registry.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

var question3 = regexp.MustCompile(`^Groups (\d+), (\d+) and (\d+) of`)

// groupsAsked are the groups of the fingerprint that a question is about.
func groupsAsked(t *testing.T, question string) []int {
	m := question3.FindStringSubmatch(question)
	if m == nil {
		t.Fatalf("question %q", question)
	}
	var out []int
	for _, s := range m[1:] {
		out = append(out, must(strconv.Atoi(s))-1)
	}
	return out
}

// What is asked for is left out on the screen, and it is other groups each time.
func TestPinsAsksForWhatItDoesNotShow(t *testing.T) {
	fingerprint := anHour().fingerprint()
	all := groups(fingerprint)
	if len(all) != 16 || strings.Join(all, "") != strings.TrimPrefix(fingerprint, "sha256:") {
		t.Fatalf("groups %q of %s", all, fingerprint)
	}
	choices := make(map[string]bool)
	for range 20 {
		hidden := hide(fingerprint)
		if len(hidden) != askedFor || !slices.IsSorted(hidden) || hidden[0] < 0 || hidden[2] > 15 || len(slices.Compact(slices.Clone(hidden))) != askedFor {
			t.Fatalf("hides %v", hidden)
		}
		choices[fmt.Sprint(hidden)] = true
		var out bytes.Buffer
		sayFingerprint(terminal{nil, &out, nil}, fingerprint, hidden)
		shown := strings.Fields(strings.Replace(out.String(), "fingerprint", "", 1))
		for i, group := range all {
			want := group
			if slices.Contains(hidden, i) {
				want = "····"
			}
			if shown[i] != want {
				t.Fatalf("shows %q for %q with %v hidden", shown, all, hidden)
			}
		}
	}
	if len(choices) < 10 {
		t.Errorf("of 20 times only %d were different", len(choices))
	}
}

func TestPinsComparesWhatWasTyped(t *testing.T) {
	fingerprint := anHour().fingerprint()
	all := groups(fingerprint)
	for name, tt := range map[string]struct {
		typed func(want []string) string
		ok    bool
	}{
		"the groups":          {func(w []string) string { return strings.Join(w, " ") }, true},
		"without blanks":      {func(w []string) string { return strings.ToUpper(strings.Join(w, "")) }, true},
		"two of them":         {func(w []string) string { return strings.Join(w[:2], " ") }, false},
		"another order":       {func(w []string) string { return w[1] + w[0] + w[2] }, false},
		"one digit off":       {func(w []string) string { return strings.Join(w, " ")[1:] + "0" }, false},
		"what is shown":       {func([]string) string { return "···· ···· ····" }, false},
		"nothing but a blank": {func([]string) string { return " " }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var question bytes.Buffer
			hidden := hide(fingerprint)
			var want []string
			for _, i := range hidden {
				want = append(want, all[i])
			}
			err := compare(fingerprint, hidden, terminal{strings.NewReader(tt.typed(want) + "\n"), nil, &question})
			if (err == nil) != tt.ok {
				t.Errorf("typed %q: %v", tt.typed(want), err)
			}
			if got := groupsAsked(t, question.String()); !slices.Equal(got, hidden) {
				t.Errorf("asks for %v, hides %v", got, hidden)
			}
		})
	}
}

// The whole command, with nobody's help: the groups that are shown are not enough.
func TestPinsAddIsNotFooledByTheScreen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pins.toml")
	r := anHour()
	status, shown, complaint := pinning(t, r, file, func(shown, _ string) string {
		return strings.Join(regexp.MustCompile(`\b[0-9a-f]{4}\b`).FindAllString(shown, -1), "")
	})
	if status != 1 || !strings.Contains(complaint, "nothing was pinned") {
		t.Errorf("status %d: %s", status, complaint)
	}
	if strings.Contains(shown+complaint, r.fingerprint()) || !strings.Contains(shown, "····") {
		t.Errorf("shows the whole of it:\n%s%s", shown, complaint)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("wrote a file")
	}
}

// Somebody edits the file while the question stands.
func TestPinsAddLosesNoEdit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pins.toml")
	if err := os.WriteFile(file, []byte("version = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	edited := "version = 1\ndefault = \"ignore\"\n"
	edit := func(string, string) string {
		if err := os.WriteFile(file, []byte(edited), 0o644); err != nil {
			t.Error(err)
		}
		return "yes"
	}
	r := anHour()
	status, _, complaint := pinning(t, r, file, edit, "--fingerprint", r.fingerprint())
	if data := must(os.ReadFile(file)); status != 1 || string(data) != edited || !strings.Contains(complaint, "changed meanwhile: nothing was pinned") {
		t.Errorf("status %d, %q: %s", status, data, complaint)
	}
}

func TestPublicURL(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://registry.example":            true,
		"https://registry.example:8443/a/b/":  true,
		"http://127.0.0.1:1":                  true,
		"http://127.9.9.9/x":                  true,
		"http://[::1]:80":                     true,
		"http://localhost:8080":               true,
		"http://registry.example":             false,
		"http://127.0.0.1.evil.example":       false,
		"http://localhost.evil.example":       false,
		"http://10.0.0.1":                     false,
		"http://[::2]":                        false,
		"http://0.0.0.0":                      false,
		"ftp://registry.example":              false,
		"file:///etc/passwd":                  false,
		"registry.example":                    false,
		"":                                    false,
		"https://":                            false,
		"https:registry.example":              false,
		"https://a@registry.example":          false,
		"https://registry.example?x":          false,
		"https://registry.example?":           false,
		"https://registry.example#x":          false,
		"https://registry.example\n":          false,
		"http://127.0.0.1:1@registry.example": false,
	} {
		if _, err := publicURL(base); (err == nil) != ok {
			t.Errorf("publicURL(%q): %v", base, err)
		}
	}
}

// An identity that expired is pinned, for what it once said stays true, but not in silence; what it excludes is shown.
func TestPinsShowsAnExpiredIdentity(t *testing.T) {
	day := time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRegistry("registry.example", day, day.AddDate(1, 0, 0))
	id, from := r.next(), uint64(1)
	id.Excluded = []provenance.Exclusion{{Origin: r.origin(), From: &from, Reason: "stolen\x1b[2J"}}
	r.version(id)
	dir := t.TempDir()
	identity, file := filepath.Join(dir, "identity.json"), filepath.Join(dir, "pins.toml")
	if err := os.WriteFile(identity, provenance.EncodeEnvelopes(r.chain()), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, complaint bytes.Buffer
	status := run([]string{"pins", "add", "registry.example", "--identity", identity, "--file", file, "--yes", "--fingerprint", r.fingerprint()}, nil, &out, &complaint)
	if status != 0 || !strings.Contains(complaint.String(), "warning: this identity has expired") || !strings.Contains(out.String(), `stolen\u001b[2J`) {
		t.Errorf("status %d: %s%s", status, &out, &complaint)
	}
	for _, pin := range must(readPinned(file)).Pins.Pins {
		digest := strings.TrimPrefix(r.versions[1].Envelope.PayloadDigest(), "sha256:")
		if pin.Latest == nil || *pin.Latest != (provenance.Latest{Version: 2, SHA256: digest}) || pin.Identity != r.fingerprint() {
			t.Errorf("pinned %+v", pin)
		}
	}
}

// A file that is too long to be read whole would come back cut.
func TestPinsAddRefusesLongFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pins.toml")
	long := "version = 1\n" + strings.Repeat("#\n", provenance.MaxBundle/2)
	if err := os.WriteFile(file, []byte(long), 0o644); err != nil {
		t.Fatal(err)
	}
	status, _, complaint := pinning(t, anHour(), file, func(string, string) string { return "" })
	if status != 1 || !strings.Contains(complaint, "pins.toml is longer than 4194304 bytes") {
		t.Errorf("status %d: %s", status, complaint)
	}
}

// FuzzPinsAppend: whatever a pins file looks like, adding to it keeps every byte and every pin, or is refused.
func FuzzPinsAppend(f *testing.F) {
	f.Add("version = 1\n")
	f.Add("version = 1 # no newline")
	f.Add("version = 1\r\n[[pin]]\r\nnamespace = \"pkg:npm/*\"\r\nregistry = \"a.example\"\r\nidentity = \"sha256:" + zeros(64) + "\"\r\n")
	f.Add("version = 1\npin = []\n")
	f.Add("version = 1\n[[pin]]\nnamespace = '''pkg:hex/*'''\nregistry = \"a.example\"\nidentity = \"sha256:" + zeros(64) + "\"\nlatest.version = 1\nlatest.sha256 = \"" + zeros(64) + "\"")
	f.Add("version = 1\n[[pin]]\nnamespace = \"pkg:hex/*\"\nregistry = \"a.example\"\nidentity = \"sha256:" + zeros(64) + "\"\n[pin.latest]\nversion = 1\nsha256 = \"" + zeros(64) + "\"")
	chain := must(provenance.ParseChain(anHour().chain()))
	flags := pinFlags{require: "publisher", mode: "report"}
	pins := must(flags.pins(chain))
	path := filepath.Join(f.TempDir(), "pins.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := readPinned(path)
		if err != nil {
			return
		}
		err = p.append(pins, chain)
		after := must(os.ReadFile(path))
		var refused hinted
		switch {
		case errors.As(err, &refused) && string(after) == text:
		case err != nil:
			t.Fatalf("%v, and the file is %q", err, after)
		case !strings.HasPrefix(string(after), text):
			t.Fatalf("%q became %q", text, after)
		default:
			now := must(provenance.ParsePins(after))
			if len(now.Pins) != len(p.Pins.Pins)+len(pins) || now.Default != p.Default {
				t.Fatalf("%d pins became %d", len(p.Pins.Pins), len(now.Pins))
			}
			for i := range now.Pins {
				must(readPinned(path)).place(i)
			}
		}
	})
}

// FuzzProposal: whatever a lockfile says of where a package came from, the proposal is a pins file without a pin.
func FuzzProposal(f *testing.F) {
	f.Add("npm", "@acme/widget", "https://npm.acme.internal/x.tgz", "package-lock.json")
	f.Add("npm", "left-pad", "x\n[[pin]]", "a\nversion = 2")
	f.Add("golang", "github.com/acme/x", "", "go.sum")
	f.Add("oci", "ghcr.io/acme/x", "\u2028\x7f", "Dockerfile")
	f.Add("maven", "com.acme:lib", "https://[::1]:99/\"", "lockfile.json")
	f.Add("hex", "acme/billing", "acme", "mix.lock")
	f.Fuzz(func(t *testing.T, kind, name, source, file string) {
		version := map[string]string{"golang": "v1.0.0", "oci": "sha256:" + zeros(64)}[kind]
		if version == "" {
			version = "1.0.0"
		}
		c, err := provenance.NewCoordinate(kind, name, version, "")
		if err != nil {
			return
		}
		s := newSurvey()
		s.add(&lockfile.File{Entries: []lockfile.Entry{{Coordinate: c, Name: name, Source: source}}})
		text := s.proposal([]string{file})
		p, err := provenance.ParsePins([]byte(text))
		if err != nil || len(p.Pins) != 0 {
			t.Fatalf("%v\n%s", err, text)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" && line[0] != '#' && line != "version = 1" && line != `default = "ignore"` {
				t.Fatalf("line %q", line)
			}
		}
		ns, err := provenance.ParsePinNamespace(namespaceOf(c))
		if err != nil || !ns.Covers(c) {
			t.Fatalf("%s for %s: %v", namespaceOf(c), c, err)
		}
	})
}

func TestNamespaceOf(t *testing.T) {
	for _, tt := range []struct{ kind, name, version, want string }{
		{"npm", "@acme/widget", "1.0.0", "pkg:npm/@acme/*"},
		{"npm", "left-pad", "1.0.0", "pkg:npm/left-pad"},
		{"maven", "com.acme:lib", "1.0", "pkg:maven/com.acme/*"},
		{"golang", "github.com/acme/one", "v1.0.0", "pkg:golang/github.com/acme/*"},
		{"golang", "github.com/acme/one/v2", "v2.0.0", "pkg:golang/github.com/acme/*"},
		{"golang", "go.acme.internal/team/x", "v1.0.0", "pkg:golang/go.acme.internal/*"},
		{"golang", "acme.example", "v1.0.0", "pkg:golang/acme.example"},
		{"oci", "ghcr.io/acme/tool", "sha256:" + zeros(64), "pkg:oci/ghcr.io/acme/*"},
		{"oci", "registry.acme.internal/tool", "sha256:" + zeros(64), "pkg:oci/registry.acme.internal/*"},
		{"hex", "acme/billing", "1.0.0", "pkg:hex/acme/*"},
		{"cargo", "serde", "1.0.0", "pkg:cargo/serde"},
		{"nuget", "Acme.Core", "1.0.0", "pkg:nuget/acme.core"},
	} {
		if got := namespaceOf(must(provenance.NewCoordinate(tt.kind, tt.name, tt.version, ""))); got != tt.want {
			t.Errorf("namespaceOf(%s %s) = %s, want %s", tt.kind, tt.name, got, tt.want)
		}
	}
}

// Where everything came from a mirror, the proposal stays readable and says how much it leaves out.
func TestProposalIsLimited(t *testing.T) {
	s := newSurvey()
	for i := range 3 * maxProposed {
		for _, source := range []string{"https://mirror.internal/x.tgz", ""} {
			c := must(provenance.NewCoordinate("npm", fmt.Sprintf("name-%d", i), "1.0.0", ""))
			s.add(&lockfile.File{Entries: []lockfile.Entry{{Coordinate: c, Source: source}}})
		}
	}
	c := must(provenance.NewCoordinate("npm", "@acme/widget", "1.0.0", ""))
	s.add(&lockfile.File{Entries: []lockfile.Entry{{Coordinate: c, Source: "https://mirror.internal/x.tgz"}}})
	text := s.proposal([]string{"package-lock.json"})
	for _, want := range []string{"\n# 81 more namespaces from mirror.internal: ", "\n#   and 80 more in npm\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n# [[pin]]\n"); n != maxProposed {
		t.Errorf("proposes %d pins", n)
	}
	if first := strings.Index(text, "# namespace = "); !strings.HasPrefix(text[first:], `# namespace = "pkg:npm/@acme/*"`) {
		t.Errorf("begins with %.80s", text[first:])
	}
}
