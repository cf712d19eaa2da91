package lockfile_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// Digests for tests, by their first digit.
func sha256Of(digit string) string { return strings.Repeat(digit, 64) }
func sha512Of(digit string) string { return strings.Repeat(digit, 128) }

// A reading is a lockfile and what is to be read from it: see shown. In the texts, 256:D and 512:D are digests.
type reading struct {
	title string
	text  string
	want  string
}

// A refusal is a lockfile and what is to be in the error.
type refusal struct {
	title string
	text  string
	want  string
}

var placeholder = regexp.MustCompile(`\b(256|512):([0-9a-f])\b`)

// digests puts digests in a text: 256:a is 64 times a.
func digests(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		if p[:3] == "256" {
			return sha256Of(p[4:])
		}
		return sha512Of(p[4:])
	})
}

// folder writes the lockfile, and other files as name and text, and returns the lockfile's path.
func folder(t *testing.T, name, text string, others ...string) string {
	t.Helper()
	dir := t.TempDir()
	others = append(others, name, text)
	for i := 0; i < len(others); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, others[i]), []byte(others[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, name)
}

// shown is one line for each entry: line, coordinate or name, source, and its digests or problem.
func shown(f *lockfile.File) string {
	var all strings.Builder
	for _, e := range f.Entries {
		fmt.Fprintf(&all, "%d %s", e.Line, cmp.Or(e.Coordinate.String(), e.Name))
		if e.Source != "" {
			fmt.Fprintf(&all, " <%s>", e.Source)
		}
		for _, file := range e.Files {
			var some []string
			for _, name := range slices.Sorted(maps.Keys(file)) {
				some = append(some, name+":"+file[name][:1])
			}
			fmt.Fprintf(&all, " %s", strings.Join(some, "+"))
		}
		if e.Problem != "" {
			fmt.Fprintf(&all, " !%s", e.Problem)
		}
		all.WriteString("\n")
	}
	return all.String()
}

// testReadings holds the readings to what they want.
func testReadings(t *testing.T, name string, readings []reading) {
	for _, r := range readings {
		t.Run(r.title, func(t *testing.T) {
			f, err := lockfile.Parse(name, []byte(digests(r.text)))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := shown(f), strings.TrimLeft(r.want, "\n"); got != want {
				t.Errorf("read\n%swant\n%s", got, want)
			}
			wellFormed(t, f)
		})
	}
}

func testRefusals(t *testing.T, name string, refusals []refusal) {
	for _, r := range refusals {
		t.Run(r.title, func(t *testing.T) {
			f, err := lockfile.Parse(name, []byte(digests(r.text)))
			if err == nil {
				t.Fatalf("accepted, with\n%s", shown(f))
			}
			if !strings.Contains(err.Error(), r.want) {
				t.Errorf("error is %q, want %q in it", err, r.want)
			}
		})
	}
}

// testCutOff holds that no beginning of a lockfile is one.
func testCutOff(t *testing.T, name, text string) {
	text = strings.TrimRight(digests(text), "\n ")
	for n := 0; n < len(text); n++ {
		if f, err := lockfile.Parse(name, []byte(text[:n])); err == nil {
			t.Errorf("accepted when cut off at %d, at %q, with\n%s", n, text[max(0, n-30):n], shown(f))
		}
	}
}

const cratesIO = "https://github.com/rust-lang/crates.io-index"

func TestCargoLock(t *testing.T) {
	testReadings(t, "Cargo.lock", []reading{
		{"version 4", `version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["serde_json"]

[[package]]
name = "serde_json"
version = "1.0.1+build.5"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "256:a"

[[package]]
name = "acme-core"
version = "2.0.0"
source = "sparse+https://cargo.acme.example/index/"
checksum = "256:b"

[[package]]
name = "forked"
version = "0.3.0"
source = "git+https://git.acme.example/forked?branch=main#0123456789abcdef0123456789abcdef01234567"

[[package]]
name = "no-sum"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "sneaky"
version = "1.0.0"
source = "https://evil.example/sneaky.crate"
checksum = "256:c"

[[patch.unused]]
name = "unused"
version = "9.0.0"
`, `
3 pkg:cargo/app@0.1.0 !path
8 pkg:cargo/serde-json@1.0.1 <` + cratesIO + `> sha256:a
14 pkg:cargo/acme-core@2.0.0 <https://cargo.acme.example/index/> sha256:b
20 pkg:cargo/forked@0.3.0 <git+https://git.acme.example/forked?branch=main#0123456789abcdef0123456789abcdef01234567> !git
25 pkg:cargo/no-sum@1.0.0 <` + cratesIO + `> !no-digest
30 pkg:cargo/sneaky@1.0.0 <https://evil.example/sneaky.crate> !url
`},
		{"version 3", "version = 3\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\nchecksum = \"256:a\"\n",
			"2 pkg:cargo/a@1.0.0 <x> sha256:a\n"},
		{"version 2", "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\nchecksum = \"256:a\"\n",
			"1 pkg:cargo/a@1.0.0 <x> sha256:a\n"},
		{"version 1", `[root]
name = "app"
version = "0.1.0"

[[package]]
name = "a"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "b"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"

[metadata]
"checksum a 1.0.0 (registry+https://github.com/rust-lang/crates.io-index)" = "256:a"
"checksum b 1.0.0 (registry+https://github.com/rust-lang/crates.io-index)" = "<none>"
`, `
5 pkg:cargo/a@1.0.0 <` + cratesIO + `> sha256:a
10 pkg:cargo/b@1.0.0 <` + cratesIO + `> !no-digest
0 pkg:cargo/app@0.1.0 !path
`},
		{"no name of the ecosystem", "version = 4\n[[package]]\nname = \"аcme\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\nchecksum = \"256:a\"\n",
			"2 аcme <x> !name\n"},
		{"nothing", "version = 4\n", ""},
	})
}

func TestCargoLockRefusals(t *testing.T) {
	const a = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\nchecksum = \"256:a\"\n"
	testRefusals(t, "Cargo.lock", []refusal{
		{"later version", "version = 5\n" + a, `version "5" is not known`},
		{"version that was never written", "version = 2\n" + a, `version "2" is not known`},
		{"version as text", "version = \"4\"\n" + a, "is not known"},
		{"twice", "version = 4\n" + a + a, "line 7: package \"a\": it is there already, in line 2"},
		{"twice in the ecosystem", "version = 4\n" + a + strings.Replace(strings.Replace(a, "registry+x", "registry+y", 1), "256:a", "256:b", 1),
			"twice, in line 2 and in line 7, with different sha256"},
		{"duplicate key", "version = 4\n" + a + "name = \"b\"\n", "line 7"},
		{"short digest", "version = 4\n" + strings.Replace(a, "256:a", "abcd", 1), "line 2: package \"a\": sha256 digest has 2 bytes, not 32"},
		{"digest that is no hex", "version = 4\n" + strings.Replace(a, "256:a", "xyz", 1), "not hex"},
		{"digest that is no text", "version = 4\n" + strings.Replace(a, "\"256:a\"", "5", 1), "want text"},
		{"checksums of two versions", a + "[metadata]\n\"checksum a 1.0.0 (registry+x)\" = \"256:a\"\n", "only version 1 has"},
		{"checksums of version 1 in version 4", "version = 4\n[metadata]\n\"checksum a 1.0.0 (registry+x)\" = \"256:a\"\n", "only version 1 has"},
		{"no version", "version = 4\n[[package]]\nname = \"a\"\n", "lacks a name or version"},
		{"package that is no table", "version = 4\npackage = 5\n", "want an array of tables"},
		{"no TOML", "{}", "line 1"},
	})
}

// What cargo 1.95 wrote for a crate of ours and its dependency, served by a local registry.
func TestCargoLockByCargo(t *testing.T) {
	text, err := os.ReadFile("testdata/local-registry.Cargo.lock")
	if err != nil {
		t.Fatal(err)
	}
	testReadings(t, "Cargo.lock", []reading{{"local registry", string(text), `
5 pkg:cargo/c@0.1.0 !path
12 pkg:cargo/mylib-one@0.1.0 <` + cratesIO + `> sha256:b
`}})
}
