package ecosystem_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
)

func manifest(json string) []byte { return tgz(file("package/package.json", json)) }

func TestNPM(t *testing.T) {
	testSamples(t, []sample{
		{"plain", "left-pad-1.3.0.tgz", manifest(`{"name":"left-pad","version":"1.3.0"}`), "pkg:npm/left-pad@1.3.0"},
		{"scoped", "acme-widget-1.0.0.tgz", manifest(`{"name":"@acme/widget","version":"1.0.0"}`), "pkg:npm/%40acme/widget@1.0.0"},
		{"capitals", "JSONStream-1.3.5.tgz", manifest(`{"name":"JSONStream","version":"1.3.5"}`), "pkg:npm/JSONStream@1.3.5"},
		{"prerelease", "widget-1.0.0-rc.1.tgz", manifest(`{"name":"widget","version":"1.0.0-rc.1"}`), "pkg:npm/widget@1.0.0-rc.1"},
		{"other fields", "widget-1.0.0.tgz", manifest(`{"dist":{"name":"x","tags":[null,1e3]},"Name":"evil","name":"widget","version":"1.0.0"}`), "pkg:npm/widget@1.0.0"},
		{"escapes", "widget-1.0.0.tgz", manifest(`{"n\u0061me":"w\u0069dget","version":"1.0.0"}`), "pkg:npm/widget@1.0.0"},
		{"byte order mark", "widget-1.0.0.tgz", manifest("\ufeff" + widgetJSON), "pkg:npm/widget@1.0.0"},
		{"other first directory", "widget-1.0.0.tgz", tgz(file("widget/package.json", widgetJSON)), "pkg:npm/widget@1.0.0"},
		{"nested packages", "widget-1.0.0.tgz", tgz(file("package/node_modules/evil/package.json", `{"name":"evil","version":"1.0.0"}`), widget), "pkg:npm/widget@1.0.0"},
		{"same manifest twice", "widget-1.0.0.tgz", tgz(widget, widget), "pkg:npm/widget@1.0.0"},
		{"similar names", "widget-1.0.0.tgz", tgz(widget, file("package/package.json5", ""), file("package/._package.json", ""), file("package/package-json", "")), "pkg:npm/widget@1.0.0"},
		{"other file at the top", "widget-1.0.0.tgz", tgz(file("README", ""), widget), "pkg:npm/widget@1.0.0"},
	})
}

func TestHostileNPM(t *testing.T) {
	evil := `{"name":"evil","version":"1.0.0"}`
	packages := []struct {
		name   string
		data   []byte
		reason string
	}{
		{"no manifest", tgz(file("package/index.js", "")), "no package.json"},
		{"no entries", tgz(), "no package.json"},
		{"manifest too deep", tgz(file("a/package/package.json", widgetJSON)), "no package.json"},
		{"two directories", tgz(widget, file("other/package.json", evil)), "two different package.json"},
		{"two manifests", tgz(widget, file("package/package.json", evil)), "two different package.json"},
		{"two manifests by long name", tgz(widget, pax('x', "path", "package/package.json"), file("package/x", evil)), "two different package.json"},
		{"manifest at the top", tgz(widget, file("package.json", evil)), "not a regular file in its directory"},
		{"only at the top", tgz(file("package.json", widgetJSON)), "not a regular file in its directory"},
		{"capitals", tgz(widget, file("package/Package.json", evil)), "could be taken for"},
		{"capitals alone", tgz(file("package/PACKAGE.JSON", widgetJSON)), "could be taken for"},
		{"kelvin sign", tgz(widget, file("package/pac\u212aage.json", evil)), "could be taken for"},
		{"invisible character", tgz(widget, file("package/package\u200c.json", evil)), "could be taken for"},
		{"control character", tgz(widget, file("package/package.json\r", evil)), "could be taken for"},
		{"trailing dot", tgz(widget, file("package/package.json.", evil)), "could be taken for"},
		{"trailing space", tgz(widget, file("package/package.json ", evil)), "could be taken for"},
		{"stream", tgz(widget, file("package/package.json::$DATA", evil)), "could be taken for"},
		{"symlink", tgz(symlink("package/package.json", "evil.json"), file("package/evil.json", evil)), "not a regular file"},
		{"hardlink", tgz(hardlink("package/package.json", "package/evil.json")), "not a regular file"},
		{"directory", tgz(dir("package/package.json")), "not a regular file"},
		{"below", tgz(file("package/package.json/x", "")), "not a regular file"},
		{"megabytes", manifest(`{"name":"widget","version":"1.0.0","readme":"` + strings.Repeat("x", 8<<20) + `"}`), "larger than"},
		{"empty", manifest(""), "EOF"},
		{"no object", manifest(`["widget"]`), "package.json"},
		{"cut off", manifest(widgetJSON[:20]), "EOF"},
		{"trailing data", manifest(widgetJSON + "{}"), "after top-level value"},
		{"duplicate name", manifest(`{"name":"evil","name":"widget","version":"1.0.0"}`), "duplicate"},
		{"duplicate name escaped", manifest(`{"name":"widget","version":"1.0.0","n\u0061me":"evil"}`), "duplicate"},
		{"duplicate version", manifest(`{"name":"widget","version":"1.0.0","version":"2.0.0"}`), "duplicate"},
		{"duplicate elsewhere", manifest(`{"name":"widget","version":"1.0.0","scripts":{"a":1,"a":2}}`), "duplicate"},
		{"invalid UTF-8", manifest(`{"name":"widget","version":"1.0.0","x":"` + "\xff" + `"}`), "not UTF-8"},
		{"UTF-16", manifest("\xff\xfe{\x00}\x00"), "not UTF-8"},
		{"no name", manifest(`{"version":"1.0.0"}`), "lacks a name or version"},
		{"no version", manifest(`{"name":"widget"}`), "lacks a name or version"},
		{"name in capitals", manifest(`{"Name":"widget","version":"1.0.0"}`), "lacks a name or version"},
		{"null name", manifest(`{"name":null,"version":"1.0.0"}`), "lacks a name or version"},
		{"number", manifest(`{"name":"widget","version":1}`), "version"},
		{"name no registry takes", manifest(`{"name":"../widget","version":"1.0.0"}`), "coordinate"},
		{"version no registry takes", manifest(`{"name":"widget","version":"latest"}`), "coordinate"},
	}
	for _, h := range packages {
		testRefusals(t, []refusal{{h.name, "widget-1.0.0.tgz", h.data, h.reason}})
	}
}

func TestNPMFileName(t *testing.T) {
	widget := manifest(`{"name":"@acme/widget","version":"1.0.0"}`)
	for _, name := range []string{
		"widget-1.0.0.tgz", "acme-widget-1.0.1.tgz", "acme-widget.tgz", "acme-widget-1.0.0 (1).tgz",
		"Acme-widget-1.0.0.tgz", "@acme-widget-1.0.0.tgz", "other-1.0.0.tgz", ".tgz",
	} {
		testNameError(t, write(t, name, widget), ecosystem.NameError{
			FileName: name, Contents: "@acme/widget 1.0.0", Want: "acme-widget-1.0.0.tgz",
		})
	}
}

// What the real npm packs is what we read.
func TestNPMPack(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatal("npm is not installed: run make deps")
	}
	source := t.TempDir()
	deep := filepath.Join(source, strings.Repeat("directory/", 25))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		filepath.Join(source, "package.json"): `{"name":"@acme/widget","version":"1.0.0"}`,
		filepath.Join(deep, "index.js"):       "",
		filepath.Join(deep, "naïve.js"):       "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pack := exec.Command(npm, "pack", "--offline", "--silent")
	pack.Dir = source
	pack.Env = append(os.Environ(), "npm_config_cache="+t.TempDir(), "npm_config_update_notifier=false")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("npm pack: %v: %s", err, out)
	}
	a, err := ecosystem.Read(filepath.Join(source, "acme-widget-1.0.0.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "pkg:npm/%40acme/widget@1.0.0"; a.Coordinate.String() != want {
		t.Errorf("read as %s, want %s", a.Coordinate, want)
	}
}
