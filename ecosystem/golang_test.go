package ecosystem_test

import (
	"archive/zip"
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	"countersign.dev/ecosystem"
)

// moduleZip makes the zip of a module from names and contents.
func moduleZip(t testing.TB, prefix string, pairs ...string) []byte {
	t.Helper()
	var files []zipFile
	for i := 0; i < len(pairs); i += 2 {
		files = append(files, zipFile{name: prefix + "/" + pairs[i], content: pairs[i+1]})
	}
	return zipOf(t, files...)
}

func TestModule(t *testing.T) {
	goMod := func(path string) string { return "// a module\nmodule " + path + " // its path\n\ngo 1.24\n" }
	testSamples(t, []sample{
		{"plain", "v1.2.3.zip", moduleZip(t, "example.com/m@v1.2.3", "go.mod", goMod("example.com/m"), "m.go", "package m"), "pkg:golang/example.com/m@v1.2.3"},
		{"capitals", "v1.6.0.zip", moduleZip(t, "github.com/BurntSushi/toml@v1.6.0", "go.mod", goMod("github.com/BurntSushi/toml")), "pkg:golang/github.com/BurntSushi/toml@v1.6.0"},
		{"capitals in the version", "v1.0.0-!r!c1.zip", moduleZip(t, "example.com/m@v1.0.0-RC1", "go.mod", goMod("example.com/m")), "pkg:golang/example.com/m@v1.0.0-RC1"},
		{"major version", "v2.0.0.zip", moduleZip(t, "example.com/m/v2@v2.0.0", "go.mod", goMod("example.com/m/v2")), "pkg:golang/example.com/m/v2@v2.0.0"},
		{"incompatible", "v2.0.0+incompatible.zip", moduleZip(t, "example.com/m@v2.0.0+incompatible", "m.go", "package m"), "pkg:golang/example.com/m@v2.0.0%2Bincompatible"},
		{"pseudo-version", "v0.0.0-20141003034818-6a90f24967eb.zip", moduleZip(t, "example.com/m@v0.0.0-20141003034818-6a90f24967eb", "m.go", ""), "pkg:golang/example.com/m@v0.0.0-20141003034818-6a90f24967eb"},
		{"quoted", "v1.2.3.zip", moduleZip(t, "example.com/m@v1.2.3", "go.mod", "module \"example.com/m\"\n"), "pkg:golang/example.com/m@v1.2.3"},
		{"unknown directives", "v1.2.3.zip", moduleZip(t, "example.com/m@v1.2.3", "go.mod", "module example.com/m\nfuture x\n"), "pkg:golang/example.com/m@v1.2.3"},
	})
}

func TestHostileModule(t *testing.T) {
	const prefix = "example.com/m@v1.2.3"
	goMod := []string{"go.mod", "module example.com/m\n"}
	with := func(pairs ...string) []byte { return moduleZip(t, prefix, append(goMod, pairs...)...) }
	modules := []struct {
		name   string
		data   []byte
		reason string
	}{
		{"empty", zipOf(t), "zip is empty"},
		{"a wheel", wheel(t, metadata), "no Go module; give --purl"},
		{"no version", moduleZip(t, "example.com/m", "go.mod", "module example.com/m\n"), "no Go module; give --purl"},
		{"no directory", zipOf(t, zipFile{name: prefix}), "no Go module; give --purl"},
		{"another prefix", zipOf(t, zipFile{name: prefix + "/m.go"}, zipFile{name: "example.com/evil@v1.2.3/m.go"}), "does not have prefix"},
		{"another version", zipOf(t, zipFile{name: prefix + "/m.go"}, zipFile{name: "example.com/m@v1.2.4/m.go"}), "does not have prefix"},
		{"escaped path", moduleZip(t, "github.com/!burnt!sushi/toml@v1.2.3", "m.go", ""), "malformed"},
		{"malformed path", moduleZip(t, "exa mple.com/m@v1.2.3", "m.go", ""), "malformed"},
		{"short version", moduleZip(t, "example.com/m@v1.2", "m.go", ""), "not canonical"},
		{"branch", moduleZip(t, "example.com/m@main", "m.go", ""), "not canonical"},
		{"major version without its path", moduleZip(t, "example.com/m@v2.2.3", "m.go", ""), "should be v0 or v1"},
		{"go.mod of another module", moduleZip(t, prefix, "go.mod", "module example.com/evil\n"), "go.mod is not of module example.com/m"},
		{"go.mod in other case", moduleZip(t, prefix, "go.mod", "module example.com/M\n"), "go.mod is not of module"},
		{"go.mod without module", moduleZip(t, prefix, "go.mod", "go 1.24\n"), "go.mod is not of module"},
		{"empty go.mod", moduleZip(t, prefix, "go.mod", ""), "go.mod is not of module"},
		{"two modules", moduleZip(t, prefix, "go.mod", "module example.com/m\nmodule example.com/evil\n"), "repeated module"},
		{"malformed go.mod", moduleZip(t, prefix, "go.mod", "module (\n"), "parse go.mod"},
		{"second go.mod", with("sub/go.mod", "module example.com/evil\n"), "not in module root"},
		{"Go.mod", moduleZip(t, prefix, "Go.mod", "module example.com/m\n"), "lowercase"},
		{"names that differ by case", with("a.go", "", "A.go", ""), "case-insensitive"},
		{"name for Windows", with("con", ""), "disallowed"},
		{"same name twice", with("a.go", "", "a.go", ""), "twice"},
		{"parent", with("../../evil@v1.2.3/a.go", ""), `".."`},
		{"go.mod of megabytes", moduleZip(t, prefix, "go.mod", "module example.com/m\n"+strings.Repeat("\n", 16<<20)), "go.mod file too large"},
		{"another go.mod behind its size", rawZip(nil, rawEntry{name: prefix + "/go.mod", content: "module example.com/m\n", local: put32(22, 1), central: put32(24, 1)}), "two sizes"},
	}
	for _, h := range modules {
		testRefusals(t, []refusal{{h.name, "v1.2.3.zip", h.data, h.reason}})
	}
}

func TestModuleFileName(t *testing.T) {
	data := moduleZip(t, "example.com/m@v1.2.3", "m.go", "")
	for _, name := range []string{"v1.2.4.zip", "m.zip", "m@v1.2.3.zip", "V1.2.3.zip", "v1.2.3+incompatible.zip"} {
		testNameError(t, write(t, name, data), ecosystem.NameError{
			FileName: name, Contents: "example.com/m v1.2.3", Want: "v1.2.3.zip",
		})
	}
}

func TestDigestsOfModule(t *testing.T) {
	path := write(t, "any.name", moduleZip(t, "example.com/m@v1.2.3", "m.go", "package m"))
	digests, _, err := ecosystem.Digests(path, "golang")
	if err != nil {
		t.Fatal(err)
	}
	comparePlainDigests(t, path, digests)
	want, err := dirhash.HashZip(path, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	if digests["dirHash"] != fromH1(t, want) {
		t.Errorf("dirHash is %s, want that of %s", digests["dirHash"], want)
	}
	for _, purlType := range []string{"", "npm"} {
		if digests, _, err := ecosystem.Digests(path, purlType); err != nil || len(digests) != 2 {
			t.Errorf("digests as %q: %v, %v", purlType, digests, err)
		}
	}
}

func TestDigestsOfNoModule(t *testing.T) {
	for name, data := range map[string][]byte{"empty": nil, "wheel": wheel(t, metadata), "tarball": tgz(widget)} {
		if digests, _, err := ecosystem.Digests(write(t, "v1.2.3.zip", data), "golang"); err == nil {
			t.Errorf("%s: digests %v", name, digests)
		}
	}
}

func TestModuleWithWrongChecksum(t *testing.T) {
	entry := rawEntry{name: "example.com/m@v1.2.3/m.go", content: "package m", local: put32(14, 1), central: put32(16, 1)}
	testRefusals(t, []refusal{{"checksum", "v1.2.3.zip", rawZip(nil, entry), zip.ErrChecksum.Error()}})
}

// A real module, as the go command has it, against what that command and go.sum say.
func TestRealModule(t *testing.T) {
	cmd := exec.Command("go", "mod", "download", "-json", "golang.org/x/mod")
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod download: %v: %s", err, out)
	}
	var downloaded struct{ Version, Zip, Sum, GoModSum string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		t.Fatal(err)
	}
	a, err := ecosystem.Read(downloaded.Zip)
	if err != nil {
		t.Fatal(err)
	}
	if want := "pkg:golang/golang.org/x/mod@" + downloaded.Version; a.Coordinate.String() != want {
		t.Errorf("read as %s, want %s", a.Coordinate, want)
	}
	comparePlainDigests(t, downloaded.Zip, a.Digests)
	ziphash, err := os.ReadFile(strings.TrimSuffix(downloaded.Zip, ".zip") + ".ziphash")
	if err != nil {
		t.Fatal(err)
	}
	for source, sums := range map[string][2]string{
		"go mod download": {downloaded.Sum, downloaded.GoModSum},
		"go.sum":          {goSum(t, "golang.org/x/mod", downloaded.Version), goSum(t, "golang.org/x/mod", downloaded.Version+"/go.mod")},
		"ziphash":         {string(ziphash), downloaded.GoModSum},
	} {
		if a.Digests["dirHash"] != fromH1(t, sums[0]) || a.Digests["goModHash"] != fromH1(t, sums[1]) {
			t.Errorf("%s has %v, digests are %v", source, sums, a.Digests)
		}
	}
}

// Modules from before go.mod have a made-up one, whose hash depends on nothing but the path. go.sum knows some.
func TestModuleWithoutGoMod(t *testing.T) {
	const path, version = "github.com/pkg/errors", "v0.9.1"
	digests, _, err := ecosystem.Digests(write(t, version+".zip", moduleZip(t, path+"@"+version, "errors.go", "")), "golang")
	if err != nil {
		t.Fatal(err)
	}
	if want := fromH1(t, goSum(t, path, version+"/go.mod")); digests["goModHash"] != want {
		t.Errorf("goModHash is %s, want %s", digests["goModHash"], want)
	}
}

// goSum looks a hash up in this repository's go.sum.
func goSum(t *testing.T, path, version string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if hash, ok := strings.CutPrefix(lines.Text(), path+" "+version+" "); ok {
			return hash
		}
	}
	t.Fatalf("go.sum has no %s %s", path, version)
	return ""
}

// fromH1 turns the go command's spelling of a hash into ours.
func fromH1(t *testing.T, h1 string) string {
	t.Helper()
	encoded, ok := strings.CutPrefix(h1, "h1:")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		t.Fatalf("%q is no h1 hash", h1)
	}
	return hex.EncodeToString(raw)
}
