package ecosystem_test

import (
	"fmt"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
)

const (
	crateName = "acme_core-1.2.3.crate"
	cratePurl = "pkg:cargo/acme-core@1.2.3"
	crateTop  = "acme_core-1.2.3/"
	cargoToml = "[package]\nedition = \"2021\"\nname = \"acme_core\"\nversion = \"1.2.3\"\n\n[dependencies.name]\nversion = \"9.9.9\"\n"
)

// crate makes what cargo package does: files in one directory, without entries for directories.
func crate(toml string) []byte {
	return tgz(file(crateTop+".cargo_vcs_info.json", "{}"), file(crateTop+"Cargo.toml", toml), file(crateTop+"Cargo.toml.orig", ""), file(crateTop+"src/lib.rs", ""))
}

func TestCrate(t *testing.T) {
	testSamples(t, []sample{
		{"plain", crateName, crate(cargoToml), cratePurl},
		{"build metadata", "acme-1.0.0+2.3.crate", tgz(file("acme-1.0.0+2.3/Cargo.toml", "[package]\nname = \"acme\"\nversion = \"1.0.0+2.3\"")), "pkg:cargo/acme@1.0.0"},
		{"capitals", "Acme_X-1.0.0.crate", tgz(file("Acme_X-1.0.0/Cargo.toml", "package.name = 'Acme_X'\npackage.version = '1.0.0'")), "pkg:cargo/acme-x@1.0.0"},
		{"directories", crateName, tgz(dir("acme_core-1.2.3/"), file(crateTop+"Cargo.toml", cargoToml)), cratePurl},
		{"manifests of others", crateName, tgz(file(crateTop+"examples/Cargo.toml", "[package]\nname = \"evil\""), file(crateTop+"Cargo.toml", cargoToml)), cratePurl},
		{"keys in capitals", crateName, crate("[Package]\nname = \"evil\"\n" + cargoToml), cratePurl},
		{"brackets and dots in strings", crateName, crate(cargoToml + "[package.metadata]\n" +
			"a = \"" + strings.Repeat("[.", 100) + "\\\"" + strings.Repeat("[", 100) + "\"\n" +
			"b = '''\n" + strings.Repeat("[{.'", 100) + "''''\n" + "c = \"\"\"" + strings.Repeat("[\"", 100) + "\\\"\"\"\"\"\n" +
			"# " + strings.Repeat("[.", 100)), cratePurl},
	})
}

func TestHostileCrate(t *testing.T) {
	good := file(crateTop+"Cargo.toml", cargoToml)
	evil := "[package]\nname = \"evil\"\nversion = \"1.2.3\"\n"
	for _, h := range []struct {
		name   string
		data   []byte
		reason string
	}{
		{"no gzip", good, "gzip"},
		{"no manifest", tgz(file(crateTop+"src/lib.rs", "")), "no Cargo.toml"},
		{"second directory", tgz(good, file("evil-1.2.3/Cargo.toml", evil)), "not below the directory"},
		{"file at the top", tgz(good, file("Cargo.toml", evil)), "not below the directory"},
		{"parent", tgz(good, file(crateTop+"../evil-1.2.3/Cargo.toml", evil)), `".."`},
		{"two manifests", tgz(good, file(crateTop+"Cargo.toml", evil)), "two different Cargo.toml"},
		{"manifest in small letters", tgz(good, file(crateTop+"cargo.toml", evil)), "could be taken for"},
		{"link", tgz(good, symlink(crateTop+"src", "/etc")), "is a link"},
		{"manifest link", tgz(symlink(crateTop+"Cargo.toml", "evil.toml")), "is a link"},
		{"hard link", tgz(good, hardlink(crateTop+".cargo-ok", "x")), "is a link"},
		{"directory of another crate", tgz(file("evil-1.2.3/Cargo.toml", cargoToml)), "but is in the directory"},
		{"directory of another spelling", tgz(file("acme-core-1.2.3/Cargo.toml", cargoToml)), "but is in the directory"},
		{"megabytes", crate(cargoToml + strings.Repeat("#", 1<<20)), "larger than"},
		{"invalid UTF-8", crate(cargoToml + "# \xff"), "not UTF-8"},
		{"no TOML", crate("{}"), "Cargo.toml: toml"},
		{"name twice", crate("[package]\nname = \"acme_core\"\nname = \"evil\"\nversion = \"1.2.3\""), "already been defined"},
		{"package twice", crate(cargoToml + evil), "already been defined"},
		{"old table", crate("[project]\nname = \"acme_core\"\nversion = \"1.2.3\""), "[project]"},
		{"both tables", crate(cargoToml + "[project]\nname = \"evil\"\nversion = \"1.2.3\""), "[project]"},
		{"no name", crate("[package]\nversion = \"1.2.3\""), "lacks a name or version"},
		{"no version", crate("[package]\nname = \"acme_core\""), "lacks a name or version"},
		{"version of the workspace", crate("[package]\nname = \"acme_core\"\nversion.workspace = true"), "lacks a name or version"},
		{"number", crate("[package]\nname = \"acme_core\"\nversion = 1.2"), "lacks a name or version"},
		{"package is no table", crate("package = \"acme_core\""), "lacks a name or version"},
		{"nothing", crate(""), "lacks a name or version"},
		{"name no registry takes", crate("[package]\nname = \"1acme\"\nversion = \"1.2.3\""), "does not begin with a letter"},
		{"look-alike", crate("[package]\nname = \"acme_c\u043ere\"\nversion = \"1.2.3\""), "its letters are Cyrillic and Latin"},
		{"version no registry takes", crate("[package]\nname = \"acme_core\"\nversion = \"1.2\""), "coordinate"},
		{"deep arrays", crate(cargoToml + "x = " + strings.Repeat("[", 100_000)), "nested deeper"},
		{"deep tables", crate(cargoToml + "x = " + strings.Repeat("{a=", 100_000)), "nested deeper"},
		{"deep tables behind strings", crate(cargoToml + "x = [\"]]]]\", ']]]]', " + strings.Repeat("[\"\"\"]\"]\"\"\"\",", 40)), "nested deeper"},
		{"a long header above many keys", crate(cargoToml + "[" + strings.Repeat("a", 100_000) + "]\n" + manyKeys(2000)), "too long names"},
		{"deep keys", crate(cargoToml + strings.Repeat("a.", 100_000) + "a = 1"), "nested deeper"},
	} {
		testRefusals(t, []refusal{{h.name, crateName, h.data, h.reason}})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	return b.String()
}

func TestCrateFileName(t *testing.T) {
	for _, name := range []string{"acme-core-1.2.3.crate", "acme_core-1.2.4.crate", "Acme_core-1.2.3.crate", "evil-1.2.3.crate", ".crate"} {
		testNameError(t, write(t, name, crate(cargoToml)), ecosystem.NameError{
			FileName: name, Contents: "acme_core 1.2.3", Want: crateName,
		})
	}
}

func FuzzCrate(f *testing.F) {
	f.Add(cargoToml)
	f.Add("package.name = 'acme_core'\npackage.version = \"\\u0031.2.3\"\n")
	f.Add("package = {name = \"acme_core\", version = \"1.2.3\"}\nx = [[{a.b = '''x''''}]]\ny = \"\"\"z\\\"\"\"\"\"\n")
	f.Fuzz(func(t *testing.T, toml string) {
		if a, ok := tryRead(t, crateName, crate(toml)); ok && a.Coordinate.String() != cratePurl {
			t.Errorf("read %q as %s under another name", toml, a.Coordinate)
		}
	})
}
