package lockfile_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// examples are lockfiles under testdata; the file "want" beside each is what describe makes of it.
var examples = []string{
	"npm1/npm-shrinkwrap.json", "npm2/package-lock.json", "npm3/package-lock.json",
	"pnpm5/pnpm-lock.yaml", "pnpm6/pnpm-lock.yaml", "pnpm9/pnpm-lock.yaml",
	"classic/yarn.lock", "berry/yarn.lock",
	"pip/requirements.txt", "poetry1/poetry.lock", "poetry2/poetry.lock", "uv/uv.lock", "pylock/pylock.toml",
}

func TestRead(t *testing.T) {
	for _, name := range examples {
		file := filepath.Join("testdata", filepath.FromSlash(name))
		f, err := lockfile.Read(file)
		if err != nil {
			t.Error(err)
			continue
		}
		want, err := os.ReadFile(filepath.Join(filepath.Dir(file), "want"))
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(f); got != string(want) {
			t.Errorf("%s\n got\n%s\nwant\n%s", file, got, want)
		}
		if f.Path != file {
			t.Errorf("%s is reported as %s", file, f.Path)
		}
		wellFormed(t, f)
	}
}

// TestNoLine: an array of tables in brackets has no headers to find the lines of.
func TestNoLine(t *testing.T) {
	const text = "lock-version = \"1.0\"\npackages = [ { name = \"a\", version = \"1\" } ]\n"
	f, err := lockfile.Parse("pylock.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Entries) != 1 || f.Entries[0].Line != 0 || f.Entries[0].Problem != lockfile.NoDigest {
		t.Error(describe(f))
	}
}

// describe puts each entry into one line: line, name, coordinate, source, problem, the beginnings of its digests.
func describe(f *lockfile.File) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n", f.Format, f.Ecosystem)
	for _, e := range f.Entries {
		fmt.Fprintf(&b, "%d %s | %s | %s | %s %s |", e.Line, e.Name, e.Coordinate, e.Source, e.Problem, e.Detail)
		for _, file := range e.Files {
			b.WriteString(" ")
			for i, name := range slices.Sorted(maps.Keys(file)) {
				if i > 0 {
					b.WriteString("+")
				}
				fmt.Fprintf(&b, "%s:%.8s", name, file[name])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// wellFormed is what every lockfile that is read has to keep, whatever its text.
func wellFormed(t *testing.T, f *lockfile.File) {
	t.Helper()
	lengths := map[string]int{"sha256": 32, "sha512": 64, "dirHash": 32, "goModHash": 32, "hexInner": 32, "nugetContentHash": 64}
	for _, e := range f.Entries {
		if e.Problem == "" && (len(e.Files) == 0 || e.Coordinate.IsZero()) {
			t.Errorf("%q in line %d is passed without a coordinate or digest", e.Name, e.Line)
		}
		if e.Problem == "" && e.Detail != "" || e.Problem != "" && e.Detail == "" {
			t.Errorf("%q in line %d: problem %q with detail %q", e.Name, e.Line, e.Problem, e.Detail)
		}
		if e.Line < 0 || !e.Coordinate.IsZero() && e.Coordinate.Type() != f.Ecosystem {
			t.Errorf("%q in line %d is of %s", e.Name, e.Line, e.Coordinate.Type())
		}
		for _, file := range e.Files {
			if len(file) == 0 {
				t.Errorf("%q in line %d has a file without digests", e.Name, e.Line)
			}
			for name, value := range file {
				if b, err := hex.DecodeString(value); err != nil || len(b) != lengths[name] || strings.ToLower(value) != value {
					t.Errorf("%q in line %d has %s %q", e.Name, e.Line, name, value)
				}
			}
		}
	}
}
