package test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// prefix is that of our packages.
const prefix = "countersign.dev/"

// mayImport says which of our packages each package may import; every one may import strict. A package that is not here
// may not exist: whoever adds one decides about it.
var mayImport = map[string]string{
	"strict":             "",
	"provenance":         "",
	"ecosystem":          "provenance",
	"ecosystem/lockfile": "provenance",
	"policy":             "provenance",
	"gate":               "provenance ecosystem ecosystem/lockfile policy",
	"attest":             "",
	"hsm":                "attest",
	"hsm/softhsm":        "hsm", // for tests
	"tpm":                "attest",
	"agent":              "attest",
	"ledger":             "",
	"signer":             "provenance ledger agent",
	"cmd/countersign":    "provenance ecosystem ecosystem/lockfile policy gate attest",
	"cmd/countersignd":   "provenance ledger agent signer",
	"cmd/keyagent":       "agent attest hsm tpm",
	"cmd/ceremony":       "provenance ledger agent attest hsm tpm",
	// programs for tests and the demo
	"provenance/vectors": "provenance",
	"test":               "",
	"test/fault":         "",
	"test/remote":        "hsm hsm/softhsm test/fault",
	"test/hostile":       "provenance ledger agent",
	"test/sample":        "",
}

// golist gives a line for each package, with cgo off.
func golist(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		t.Fatalf("go list: %s", exit.Stderr)
	}
	must(t, err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// Which package knows which is as the table has it.
func TestInvariant8_Imports(t *testing.T) {
	for _, line := range golist(t, "-e", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...") {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], prefix)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s is not in the table", name)
		}
		for _, imported := range fields[1:] {
			if other, ours := strings.CutPrefix(imported, prefix); ours && other != "strict" && !slices.Contains(strings.Fields(allowed), other) {
				t.Errorf("%s imports %s", name, other)
			}
		}
	}
}

// The process that faces the network, and all that consumers and registries import, is built without cgo, and nothing in
// it can load a PKCS#11 module or ask a TPM. Evidence has structures of the TPM's in it, so who verifies it has go-tpm.
func TestInvariant8_NoDevices(t *testing.T) {
	const devices = `C|plugin|runtime/cgo|countersign\.dev/(hsm|tpm)(/.*)?|.*/(pkcs11|crypto11)(/.*)?`
	packages := []string{"./strict", "./provenance", "./ecosystem", "./policy", "./gate", "./agent", "./ledger", "./signer", "./cmd/countersignd"}
	none := regexp.MustCompile(`^(` + devices + `|.*/go-tpm(/.*)?)$`)
	noDevice(t, none, packages...)
	verifiers := []string{"./attest", "./cmd/countersign"}
	noDevice(t, regexp.MustCompile(`^(`+devices+`|.*/go-tpm/tpm2/transport/.*)$`), verifiers...)
	if !slices.ContainsFunc(golist(t, "-deps", "./cmd/keyagent"), none.MatchString) {
		t.Fatal("the search finds nothing where there is something")
	}
	packages = slices.Concat(packages, verifiers)
	build := exec.Command("go", slices.Concat([]string{"build", "-trimpath"}, packages)...)
	build.Dir = ".."
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build without cgo: %v\n%s", err, out)
	}
}

func noDevice(t *testing.T, forbidden *regexp.Regexp, packages ...string) {
	t.Helper()
	deps := golist(t, slices.Concat([]string{"-deps", "-f", `{{.ImportPath}}{{if and (not .Standard) (or .CgoFiles .CFiles .CXXFiles)}} C{{end}}`}, packages)...)
	for _, d := range deps {
		if name, c, _ := strings.Cut(d, " "); forbidden.MatchString(name) || c != "" {
			t.Errorf("%s is among the dependencies (%s): go mod why %s", name, c, name)
		}
	}
	if len(deps) < 100 {
		t.Errorf("%v have only %d dependencies: does the search work?", packages, len(deps))
	}
}

// importers lists the files, tests aside, that import a package.
func importers(t *testing.T, path string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), "_") || d.Name() == ".git") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "../test/") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if p, _ := strconv.Unquote(i.Path.Value); p == path {
				files = append(files, name)
			}
		}
		return nil
	}))
	return files
}

// Dependencies that we want to be able to leave stay where they are: the router in one file, PKCS#11 in one package whose
// interface does not show it.
func TestInvariant8_DependenciesKept(t *testing.T) {
	if files := importers(t, "github.com/gorilla/mux"); len(files) != 1 || filepath.Dir(files[0]) != "../signer" {
		t.Errorf("gorilla/mux is imported by %v", files)
	}
	files := importers(t, "github.com/miekg/pkcs11")
	for _, f := range files {
		if filepath.Dir(f) != "../hsm" {
			t.Errorf("miekg/pkcs11 is imported by %s", f)
		}
	}
	if len(files) == 0 {
		t.Error("nobody imports miekg/pkcs11")
	}
	for _, f := range importers(t, prefix+"hsm/softhsm") {
		t.Errorf("hsm/softhsm, which is for tests, is imported by %s", f)
	}
	for _, p := range []string{"signer", "hsm"} {
		doc := exec.Command("go", "doc", "-all", "./"+p)
		doc.Dir = ".."
		out, err := doc.CombinedOutput()
		if err != nil {
			t.Fatalf("go doc: %v\n%s", err, out)
		}
		if leak := regexp.MustCompile(`(?m)^.*\b(pkcs11|mux)\.[A-Z].*$`).Find(out); leak != nil {
			t.Errorf("%s shows a type of a dependency: %s", p, leak)
		}
	}
}
