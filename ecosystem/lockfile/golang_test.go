package lockfile_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"countersign.dev/ecosystem/lockfile"
)

// h1 is a hash as go.sum has it, of which shown shows the digit.
func h1(digit string) string {
	raw, err := hex.DecodeString(sha256Of(digit))
	if err != nil {
		panic(err)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(raw)
}

// sums replaces h1:D.
func sums(text string) string {
	for _, digit := range "0123456789abcdef" {
		text = strings.ReplaceAll(text, "h1:"+string(digit)+"\n", h1(string(digit))+"\n")
	}
	return text
}

const goSumOfAll = `a.example/a v1.2.0 h1:a
a.example/a v1.2.0/go.mod h1:b

a.example/a v1.1.0 h1:c
a.example/a v1.1.0/go.mod h1:c
a.example/a v1.3.0 h1:d
b.example/b v0.1.0/go.mod h1:e
fork.example/a v1.0.0 h1:f
fork.example/a v1.0.0/go.mod h1:f
x.example/indirect v1.0.0 h1:1
x.example/indirect v1.0.0/go.mod h1:1
old.example/bug v1.0.0/go.mod h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=
`

func TestGoMod(t *testing.T) {
	const from117 = "module m.example\n\ngo 1.26.4\n\n"
	for _, c := range []struct{ title, mod, want string }{
		{"required", from117 + `require (
	a.example/a v1.2.0
	b.example/b v0.1.0 // indirect
	c.example/c v1.0.0
	github.com/BurntSushi/toml v1.6.0+incompatible
)
`, `
6 pkg:golang/a.example/a@v1.2.0 dirHash:a+goModHash:b
8 pkg:golang/c.example/c@v1.0.0 !no-digest
9 github.com/BurntSushi/toml !name
`},
		{"hash of the zip only", from117 + "require a.example/a v1.3.0\n", "5 pkg:golang/a.example/a@v1.3.0 dirHash:d\n"},
		{"replaced by a fork", from117 + "require a.example/a v1.2.0\nreplace a.example/a => fork.example/a v1.0.0\n", `
5 pkg:golang/a.example/a@v1.2.0 <fork.example/a> !url
5 pkg:golang/fork.example/a@v1.0.0 dirHash:f+goModHash:f
`},
		{"replaced in this version", from117 + "require a.example/a v1.1.0\nreplace a.example/a => ../a\nreplace a.example/a v1.1.0 => a.example/a v1.2.0\n",
			"5 pkg:golang/a.example/a@v1.2.0 dirHash:a+goModHash:b\n"},
		{"replaced in another version", from117 + "require a.example/a v1.2.0\nreplace a.example/a v1.1.0 => ../a\n",
			"5 pkg:golang/a.example/a@v1.2.0 dirHash:a+goModHash:b\n"},
		{"replaced by a folder", from117 + "require a.example/a v1.2.0\nreplace a.example/a v1.2.0 => ../a\n",
			"5 pkg:golang/a.example/a@v1.2.0 <../a> !path\n"},
		{"excluded", from117 + "require a.example/a v1.2.0\nexclude a.example/a v1.2.0\n", "5 pkg:golang/a.example/a@v1.2.0 !not-locked\n"},
		{"excluded in another version", from117 + "require a.example/a v1.2.0\nexclude a.example/a v1.3.0\n",
			"5 pkg:golang/a.example/a@v1.2.0 dirHash:a+goModHash:b\n"},
		{"a hash that the go command ignores", from117 + "require old.example/bug v1.0.0\n", "5 pkg:golang/old.example/bug@v1.0.0 !no-digest\n"},
		{"twice the same", from117 + "require a.example/a v1.2.0\nrequire a.example/a v1.2.0\n", "5 pkg:golang/a.example/a@v1.2.0 dirHash:a+goModHash:b\n"},
		{"before go 1.17", "module m.example\ngo 1.16\nrequire a.example/a v1.2.0\n", `
3 pkg:golang/a.example/a@v1.2.0 dirHash:a+goModHash:b
0 pkg:golang/a.example/a@v1.3.0 dirHash:d
0 pkg:golang/fork.example/a@v1.0.0 dirHash:f+goModHash:f
0 pkg:golang/x.example/indirect@v1.0.0 dirHash:1+goModHash:1
`},
		{"before go 1.17, replaced", "module m.example\nrequire b.example/b v0.1.0\nreplace x.example/indirect => fork.example/a v1.0.0\nreplace a.example/a => ../a\n", `
3 x.example/indirect <fork.example/a> !url
3 pkg:golang/fork.example/a@v1.0.0 dirHash:f+goModHash:f
4 a.example/a <../a> !path
`},
		{"before go 1.17, excluded", "module m.example\ngo 1.12\nrequire a.example/a v1.2.0\nexclude a.example/a v1.3.0\nexclude x.example/indirect v1.0.0\nexclude fork.example/a v1.0.0\n",
			"3 pkg:golang/a.example/a@v1.2.0 dirHash:a+goModHash:b\n"},
		{"no dependencies", from117, ""},
	} {
		t.Run(c.title, func(t *testing.T) {
			f, err := lockfile.Read(folder(t, "go.mod", c.mod, "go.sum", sums(goSumOfAll)))
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, f)
			if got, want := shown(f), strings.TrimLeft(c.want, "\n"); got != want {
				t.Errorf("read\n%swant\n%s", got, want)
			}
		})
	}
}

func TestGoModRefusals(t *testing.T) {
	const mod = "module m.example\ngo 1.26.4\nrequire a.example/a v1.2.0\n"
	for _, c := range []struct{ title, mod, sum, want string }{
		{"no go.mod", "require (", "", "go.mod:1"},
		{"unknown directive", mod + "requires b.example/b v1.0.0\n", "", "go.mod:4"},
		{"two versions", mod + "require a.example/a v1.3.0\n", "", "line 4: a.example/a is required twice"},
		{"two replacements", mod + "replace a.example/a => ../a\nreplace a.example/a => ../b\n", "", "line 5: a.example/a is replaced twice"},
		{"two hashes", mod, "a.example/a v1.2.0 h1:a\na.example/a v1.2.0 h1:b\n", "go.sum: line 2: a.example/a v1.2.0 is there twice"},
		{"two hashes of go.mod", mod, "a.example/a v1.2.0/go.mod h1:a\na.example/a v1.2.0/go.mod h1:b\n", "go.sum: line 2"},
		{"short hash", mod, "a.example/a v1.2.0 h1:YWJj\n", "go.sum: line 1: sha256 digest has 3 bytes, not 32"},
		{"hash that is no base64", mod, "\na.example/a v1.2.0 h1:!\n", "go.sum: line 2: sha256 digest \"!\" is not base64"},
		{"unknown hash", mod, "a.example/a v1.2.0 h2:YWJj\n", "does not begin with h1:"},
		{"two fields", mod, "a.example/a v1.2.0\n", "want module, version and hash"},
		{"four fields", mod, "a.example/a v1.2.0 h1:YWJj more\n", "want module, version and hash"},
		{"no text", mod, "\x00", "go.sum: go.sum: has a NUL byte"},
	} {
		t.Run(c.title, func(t *testing.T) {
			f, err := lockfile.Read(folder(t, "go.mod", c.mod, "go.sum", sums(c.sum)))
			if err == nil {
				t.Fatalf("accepted, with\n%s", shown(f))
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %q, want %q in it", err, c.want)
			}
		})
	}
	if _, err := lockfile.Read(folder(t, "go.sum", "")); err == nil || !strings.Contains(err.Error(), "in go.mod") {
		t.Errorf("go.sum without go.mod: %v", err)
	}
	f, err := lockfile.Read(folder(t, "go.mod", mod))
	if err != nil || shown(f) != "3 pkg:golang/a.example/a@v1.2.0 !no-digest\n" {
		t.Errorf("go.mod without go.sum: %v, %v", f, err)
	}
	f, err = lockfile.Read(folder(t, "go.sum", sums("a.example/a v1.2.0 h1:a\n"), "go.mod", mod))
	if err != nil || shown(f) != "0 pkg:golang/a.example/a@v1.2.0 dirHash:a\n" {
		t.Errorf("go.sum with go.mod: %v, %v", f, err)
	}
}

// The entries of this module are what it requires, and their hashes are those of the files that the go command has
// downloaded.
func TestGoModOfThisModule(t *testing.T) {
	f, err := lockfile.Read("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	required := make(map[string]string)
	for _, r := range mod.Require {
		required[r.Mod.Path] = r.Mod.Version
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, e := range f.Entries {
		path, version := e.Coordinate.Name(), e.Coordinate.Version()
		if required[path] != version || e.Problem != "" {
			t.Errorf("%s: required is %q; %s %s", e.Coordinate, required[path], e.Problem, e.Detail)
		}
		delete(required, path)
		if zip := moduleZip(t, strings.TrimSpace(string(cache)), path, version); zip != "" {
			compared++
			if sum, err := dirhash.HashZip(zip, dirhash.Hash1); err != nil || sum != h1Of(t, e.Files[0]["dirHash"]) {
				t.Errorf("%s: %s, %v; downloaded is %s", e.Coordinate, h1Of(t, e.Files[0]["dirHash"]), err, sum)
			}
		}
	}
	if len(required) > 0 || compared < 5 {
		t.Errorf("not read: %v; %d of the modules compared with the download", required, compared)
	}
}

// moduleZip is the path of a module's zip, "" if the go command has not downloaded it or it is a large one.
func moduleZip(t *testing.T, cache, path, version string) string {
	t.Helper()
	dir, err1 := module.EscapePath(path)
	file, err2 := module.EscapeVersion(version)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	zip := filepath.Join(cache, "cache", "download", filepath.FromSlash(dir), "@v", file+".zip")
	if info, err := os.Stat(zip); err != nil || info.Size() > 1<<18 {
		return ""
	}
	return zip
}

func h1Of(t *testing.T, digits string) string {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(raw)
}
