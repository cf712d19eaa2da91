package lockfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/ecosystem/lockfile"
)

// The corpus is made of good lockfiles by structured mutation, the same each time.
const (
	malformed = 2000             // lockfiles of each format
	patience  = 20 * time.Second // for one of them; all of them are small
)

// seeds are good lockfiles by the name that their format goes by.
func seeds(t *testing.T) map[string][]string {
	const crate = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://x.example\"\n"
	all := map[string][]string{
		"Cargo.lock": {
			"version = 4\n" + crate + "checksum = \"256:a\"\n" + strings.Replace(crate, `"a"`, `"b"`, 1) + "checksum = \"256:b\"\n",
			crate + "[metadata]\n\"checksum a 1.0.0 (registry+https://x.example)\" = \"256:a\"\n",
		},
		"mix.lock":                  {"%{\n  \"phoenix\": " + phoenix + ",\n  \"plug\": {:hex, :plug, \"1.0.0\", \"256:c\", [:mix]},\n}\n"},
		"packages.lock.json":        {`{"version":1,"dependencies":{"net8.0":{"A.B":{"type":"Direct","requested":"[1, )","resolved":"1.0.0","contentHash":"` + hash("a") + `"},"c":{"type":"Project"}},"net9.0":{"A.B":{"type":"Transitive","resolved":"1.0.0","contentHash":"` + hash("a") + `"}}}}`},
		"verification-metadata.xml": {artifact(`<sha256 value="256:a"><also-trust value="256:b"/></sha256><sha512 value="512:c"/>`)},
		"lockfile.json":             {mavenLock(mavenDependency + ",\n" + strings.NewReplacer(`"lib"`, `"dep"`, "256:a", "256:b").Replace(mavenDependency))},
		"Dockerfile":                {"# syntax=a/b@sha256:256:c\nFROM --platform=x alpine@sha256:256:a AS b\nFROM b\nCOPY --from=c@sha256:256:d a b\nRUN <<E\nx\nE\nRUN --mount=type=bind,from=e@sha256:256:e \\\n x\n"},
		"compose.yaml":              {"x: &x\n  image: alpine@sha256:256:a\nservices:\n  a:\n    <<: *x\n  b:\n    image: nginx:1@sha256:256:b\n    build:\n      context: .\n"},
		"pod.yaml":                  {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: a\n      image: alpine@sha256:256:a\n  initContainers:\n    - image: nginx@sha256:256:b\n---\napiVersion: v1\nkind: Pod\nimage: c\n"},
	}
	for name, texts := range all {
		for i := range texts {
			texts[i] = digests(texts[i])
		}
		all[name] = texts
	}
	for _, example := range examples {
		base := filepath.Base(example)
		all[base] = append(all[base], alone(t, example))
	}
	return all
}

// A mutation makes something malformed of a text.
type mutation struct {
	name  string
	apply func(r *rand.Rand, text string) string
}

var mutations = []mutation{
	{"cut off", func(r *rand.Rand, s string) string { return s[:r.IntN(len(s))] }},
	{"part removed", func(r *rand.Rand, s string) string { a, b := span(r, s); return s[:a] + s[b:] }},
	{"part twice", func(r *rand.Rand, s string) string { a, b := span(r, s); return s[:b] + s[a:] }},
	{"line removed", func(r *rand.Rand, s string) string { return lines(r, s, func(line string) string { return "" }) }},
	{"line twice", func(r *rand.Rand, s string) string {
		return lines(r, s, func(line string) string { return line + line })
	}},
	{"line twice, word changed", func(r *rand.Rand, s string) string {
		return lines(r, s, func(line string) string { return line + word.ReplaceAllString(line, "x$0") })
	}},
	{"word renamed", func(r *rand.Rand, s string) string { return one(r, word, s, func(w string) string { return w + "x" }) }},
	{"word in capitals", func(r *rand.Rand, s string) string { return one(r, word, s, strings.ToUpper) }},
	{"word removed", func(r *rand.Rand, s string) string { return one(r, word, s, func(string) string { return "" }) }},
	{"word of another place", func(r *rand.Rand, s string) string {
		all := word.FindAllString(s, -1)
		return one(r, word, s, func(string) string { return all[r.IntN(len(all))] })
	}},
	{"digest of another place", func(r *rand.Rand, s string) string {
		all := long.FindAllString(s, -1)
		if len(all) == 0 {
			return ""
		}
		return one(r, long, s, func(string) string { return all[r.IntN(len(all))] })
	}},
	{"digest too short", func(r *rand.Rand, s string) string { return one(r, long, s, func(d string) string { return d[1:] }) }},
	{"digest too long", func(r *rand.Rand, s string) string { return one(r, long, s, func(d string) string { return "00" + d }) }},
	{"digest of other letters", func(r *rand.Rand, s string) string { return one(r, long, s, strings.ToUpper) }},
	{"nested", func(r *rand.Rand, s string) string {
		i, n := r.IntN(len(s)+1), 1<<r.IntN(16)
		b := []string{"[]", "{}", "()", `{"a":}`, "<a></a>", "[a: ]", "- "}[r.IntN(7)]
		return s[:i] + strings.Repeat(b[:(len(b)+1)/2], n) + strings.Repeat(b[(len(b)+1)/2:], n) + s[i:]
	}},
	{"odd text", func(r *rand.Rand, s string) string {
		i := r.IntN(len(s) + 1)
		odd := []string{"\x00", "\ufeff", "\r", "\u2028", "\xff", `"`, "'", "\\", "\n", "\t", "#", "${A}", "&a ", "*a", "<<: ", "!!binary ", "\u0430", "__proto__"}
		return s[:i] + odd[r.IntN(len(odd))] + s[i:]
	}},
	{"byte changed", func(r *rand.Rand, s string) string {
		b := []byte(s)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return string(b)
	}},
}

var (
	word = regexp.MustCompile(`[A-Za-z0-9_.@/-]+`)
	long = regexp.MustCompile(`[0-9a-f]{40,128}|[A-Za-z0-9+/]{27,86}==?`)
)

func span(r *rand.Rand, s string) (from, to int) {
	from = r.IntN(len(s))
	return from, min(len(s), from+1+r.IntN(100))
}

// lines replaces one line.
func lines(r *rand.Rand, s string, by func(string) string) string {
	all := strings.SplitAfter(s, "\n")
	i := r.IntN(len(all))
	all[i] = by(all[i])
	return strings.Join(all, "")
}

// one replaces one match.
func one(r *rand.Rand, what *regexp.Regexp, s string, by func(string) string) string {
	all := what.FindAllStringIndex(s, -1)
	if len(all) == 0 {
		return ""
	}
	at := all[r.IntN(len(all))]
	return s[:at[0]] + by(s[at[0]:at[1]]) + s[at[1]:]
}

// TestMalformed reads thousands of malformed lockfiles of each format. None makes the reader panic or takes long, and
// what is accepted is well-formed and has no digest that is not in the file.
func TestMalformed(t *testing.T) {
	for base, texts := range seeds(t) {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			refused := 0
			for _, text := range texts {
				if _, err := lockfile.Parse(base, []byte(text)); err != nil {
					t.Fatalf("the lockfile to begin with: %v", err)
				}
			}
			for i := range malformed {
				text, history := texts[i%len(texts)], ""
				for range 1 + r.IntN(3) {
					if m := mutations[r.IntN(len(mutations))]; text != "" {
						text, history = m.apply(r, text), history+m.name+"; "
					}
				}
				if !survives(t, base, text, history) {
					refused++
				}
			}
			if refused < malformed/10 || refused == malformed {
				t.Errorf("of %d lockfiles %d are refused: the corpus does not try much", malformed, refused)
			}
		})
	}
}

// TestEveryFormatIsInTheCorpus: a new format needs a lockfile to begin with.
func TestEveryFormatIsInTheCorpus(t *testing.T) {
	missing := lockfile.Formats()
	for base, texts := range seeds(t) {
		f, err := lockfile.Parse(base, []byte(texts[0]))
		if err != nil {
			t.Fatal(err)
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return strings.HasPrefix(f.Format, name) })
	}
	// Two formats of one reader, which have tests of their own.
	if want := []string{"go.mod", "go.sum", "Dockerfile.*"}; !slices.Equal(missing, want) {
		t.Errorf("the corpus lacks %q, not only %q", missing, want)
	}
}

// survives reads one malformed lockfile and reports whether it is accepted.
func survives(t *testing.T, base, text, history string) (accepted bool) {
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("%s: panic %v reading\n%q", history, p, text)
		}
	}()
	start := time.Now()
	f, err := lockfile.Parse(base, []byte(text))
	if took := time.Since(start); took > patience {
		t.Errorf("%stook %s to read\n%.2000q", history, took, text)
	}
	if err != nil {
		if len(err.Error()) > 2000 {
			t.Errorf("%san error of %d bytes", history, len(err.Error()))
		}
		return false
	}
	wellFormed(t, f)
	for _, digest := range strangers(f, text) {
		t.Errorf("%sa digest %s that is not in\n%q", history, digest, text)
	}
	return true
}

// strangers are the digests of entries that the text has in no spelling.
func strangers(f *lockfile.File, text string) (all []string) {
	lower := strings.ToLower(text)
	for _, e := range f.Entries {
		for _, file := range e.Files {
			for name, value := range file {
				raw, err := hex.DecodeString(value)
				if err != nil || !strings.Contains(lower, value) && !strings.Contains(text, base64.StdEncoding.EncodeToString(raw)) {
					all = append(all, name+":"+value)
				}
			}
		}
	}
	return all
}

// TestMalformedGo is TestMalformed for the one format of two files.
func TestMalformedGo(t *testing.T) {
	mod := "module m\n\ngo 1.16\n\nrequire (\n\ta.example/a v1.2.0\n\tb.example/b v0.1.0 // indirect\n)\nexclude a.example/a v1.4.0\nreplace b.example/b => fork.example/a v1.0.0\n"
	sum := sums(goSumOfAll)
	r := rand.New(rand.NewPCG(3, 4))
	for range malformed {
		m := mutations[r.IntN(len(mutations))]
		newMod, newSum := mod, sum
		if r.IntN(2) == 0 {
			newMod = m.apply(r, mod)
		} else {
			newSum = m.apply(r, sum)
		}
		f, err := lockfile.ParseGo([]byte(newMod), []byte(newSum))
		if err != nil {
			continue
		}
		wellFormed(t, f)
		for _, digest := range strangers(f, newSum) {
			t.Errorf("%s: a digest %s that is not in\n%s", m.name, digest, newSum)
		}
	}
}

// TestLockfilesOfManyEntries: twice the entries take about twice the time, not four times.
func TestLockfilesOfManyEntries(t *testing.T) {
	for base, entry := range map[string]func(i int) string{
		"Cargo.lock":       func(i int) string { return fmt.Sprintf("[[package]]\nname = \"p%d\"\nversion = \"1.0.0\"\n", i) },
		"requirements.txt": func(i int) string { return fmt.Sprintf("p%d==1.0\n", i) },
		"mix.lock":         func(i int) string { return fmt.Sprintf("\"p%d\": {:hex, :p%d, \"1.0.0\"},\n", i, i) },
		"Dockerfile":       func(i int) string { return fmt.Sprintf("FROM a%d AS b%d\nCOPY --from=b%d a b\n", i, i, i) },
		"yarn.lock":        func(i int) string { return fmt.Sprintf("p%d@^1:\n  version \"1.0.0\"\n", i) },
		"compose.yaml":     func(i int) string { return fmt.Sprintf("  s%d: {image: a%d}\n", i, i) },
	} {
		var text bytes.Buffer
		text.WriteString(map[string]string{"mix.lock": "%{\n", "yarn.lock": "# yarn lockfile v1\n", "compose.yaml": "services:\n"}[base])
		for i := range 40_000 {
			text.WriteString(entry(i))
		}
		if base == "mix.lock" {
			text.WriteString("}\n")
		}
		start := time.Now()
		f, err := lockfile.Parse(base, text.Bytes())
		if took := time.Since(start); took > 3*patience {
			t.Errorf("%s: 40,000 entries take %s", base, took)
		}
		if err != nil || len(f.Entries) < 40_000 {
			t.Errorf("%s: %v", base, err)
		}
	}
}
