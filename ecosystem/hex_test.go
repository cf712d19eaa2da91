package ecosystem_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
	"countersign.dev/provenance"
)

const (
	hexName = "acme_billing-1.2.3.tar"
	hexPurl = "pkg:hex/acme_billing@1.2.3"
	// As Hex writes it, requirements inside having names and versions of their own.
	hexMetadata = `{<<"app">>,<<"acme_billing">>}.
{<<"description">>,
 <<"A \"long\" one, äöü\\, in several lines"
   " as Erlang prints it"/utf8>>}.
{<<"files">>,[<<"lib">>,<<"mix.exs">>]}.
{<<"links">>,[]}.
{<<"name">>,<<"acme_billing">>}.
{<<"requirements">>,
 [{<<"plug">>,
   [{<<"name">>,<<"plug">>},{<<"optional">>,false},{<<"version">>,<<"~> 1.0">>}]}]}.
{<<"bytes">>,<<0,1,255>>}.
{<<"number">>,-5}.
{<<"version">>,<<"1.2.3">>}.
`
)

var hexContents = tgz(file("mix.exs", "x"), file("lib/a.ex", ""))

func innerChecksum(version, metadata string, contents []byte) string {
	return fmt.Sprintf("%X", sha256.Sum256(bytes.Join([][]byte{[]byte(version), []byte(metadata), contents}, nil)))
}

// tarOf is a tar of the given parts and its end.
func tarOf(parts ...[]byte) []byte { return append(bytes.Join(parts, nil), make([]byte, 1024)...) }

func hexPackage(metadata string) []byte { return hexOf("3", metadata, hexContents) }

func hexOf(version, metadata string, contents []byte) []byte {
	return tarOf(file("VERSION", version), file("CHECKSUM", innerChecksum(version, metadata, contents)),
		file("metadata.config", metadata), file("contents.tar.gz", string(contents)))
}

func hexNamed(name, version string) string {
	return fmt.Sprintf("{<<\"name\">>,%s}.\n{<<\"version\">>,%s}.\n", name, version)
}

func TestHex(t *testing.T) {
	reordered := tarOf(file("metadata.config", hexMetadata), file("CHECKSUM", innerChecksum("3", hexMetadata, hexContents)),
		file("VERSION", "3"), file("contents.tar.gz", string(hexContents)))
	testSamples(t, []sample{
		{"plain", hexName, hexPackage(hexMetadata), hexPurl},
		{"in another order", hexName, reordered, hexPurl},
		{"prerelease", "acme-1.0.0-rc.1.tar", hexPackage(hexNamed(`<<"acme">>`, `<<"1.0.0-rc.1">>`)), "pkg:hex/acme@1.0.0-rc.1"},
		{"on one line", "acme-1.0.0.tar", hexPackage(`{ <<"name">> , <<"acme">> }. {<<"version">>,<<"1.0" ".0"/utf8>>}.`), "pkg:hex/acme@1.0.0"},
		{"bytes", "acme-1.0.0.tar", hexPackage(hexNamed(`<<97,99,109,101>>`, `<<"1.0.0">>`)), "pkg:hex/acme@1.0.0"},
		{"old values", "acme-1.0.0.tar", hexPackage(hexNamed(`<<"acme">>`, `<<"1.0.0">>`) + "{<<\"x\">>,[\"text\",atom_1,{},[],<<>>,[{a,1}]]}."), "pkg:hex/acme@1.0.0"},
	})
}

func TestHexDigests(t *testing.T) {
	data := hexPackage(hexMetadata)
	path := write(t, hexName, data)
	a, err := ecosystem.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	comparePlainDigests(t, path, a.Digests)
	if want := strings.ToLower(innerChecksum("3", hexMetadata, hexContents)); a.Digests["hexInner"] != want || len(a.Digests) != 3 {
		t.Errorf("digests are %v, want inner %s", a.Digests, want)
	}
	// What is inside the contents, or a name that says nothing, is no reason to have no digests.
	odd := hexOf("3", "?", []byte("no gzip"))
	digests, size, err := ecosystem.Digests(write(t, "any.name", odd), "hex")
	if err != nil || size != int64(len(odd)) || digests["hexInner"] != strings.ToLower(innerChecksum("3", "?", []byte("no gzip"))) {
		t.Errorf("got %v, %d, %v", digests, size, err)
	}
}

// A checksum that does not fit, or that two programs would compute differently, is none at all.
func TestHostileHex(t *testing.T) {
	version, contents := file("VERSION", "3"), file("contents.tar.gz", string(hexContents))
	config, sum := file("metadata.config", hexMetadata), file("CHECKSUM", innerChecksum("3", hexMetadata, hexContents))
	for _, h := range []struct {
		name   string
		data   []byte
		reason string
	}{
		{"wrong checksum", tarOf(version, file("CHECKSUM", innerChecksum("3", hexMetadata, nil)), config, contents), "CHECKSUM is"},
		{"small letters", tarOf(version, file("CHECKSUM", strings.ToLower(innerChecksum("3", hexMetadata, hexContents))), config, contents), "CHECKSUM is"},
		{"line end", tarOf(version, file("CHECKSUM", innerChecksum("3", hexMetadata, hexContents)+"\n"), config, contents), "CHECKSUM is"},
		{"empty checksum", tarOf(version, file("CHECKSUM", ""), config, contents), "CHECKSUM is"},
		{"other metadata", tarOf(version, sum, file("metadata.config", hexMetadata+" "), contents), "CHECKSUM is"},
		{"no checksum", tarOf(version, config, contents), "no CHECKSUM"},
		{"no version", tarOf(sum, config, contents), "no VERSION"},
		{"no metadata", tarOf(file("metadata.config.x", ""), sum, version, contents), "neither metadata.config nor oci-layout"},
		{"no contents", tarOf(version, sum, config), "no contents.tar.gz"},
		{"version 2", hexOf("2", hexMetadata, hexContents), `VERSION is "2", want 3`},
		{"version with a line end", hexOf("3\n", hexMetadata, hexContents), `want 3`},
		{"contents first", tarOf(config, contents, version, sum), "no VERSION in front"},
		{"contents twice", tarOf(version, sum, config, contents, contents), "comes after contents.tar.gz"},
		{"metadata twice", tarOf(version, sum, config, config, contents), "metadata.config is there twice"},
		{"metadata behind", tarOf(version, sum, config, contents, config), "comes after"},
		{"other files", tarOf(version, sum, config, file("Metadata.config", ""), contents), "does not belong"},
		{"image inside", tarOf(version, sum, config, file("oci-layout", ""), contents), "does not belong"},
		{"directory", tarOf(dir("x"), version, sum, config, contents), "not a regular file"},
		{"link", tarOf(version, sum, config, symlink("contents.tar.gz", "x")), "not a regular file"},
		{"compressed", gz(tarOf(version, sum, config, contents)), "tar header"},
		{"megabytes of metadata", hexPackage(hexMetadata + strings.Repeat(" ", 1<<20)), "metadata.config is larger"},
		{"megabytes of version", tarOf(file("VERSION", strings.Repeat("3", 100)), sum, config, contents), "VERSION is larger"},
		{"contents that are no tar", hexOf("3", hexMetadata, []byte("x")), "contents.tar.gz: read gzip"},
		{"contents through a link", hexOf("3", hexMetadata, tgz(symlink("lib", "/"), file("lib/x", ""))), "at or below a link"},
		{"contents above", hexOf("3", hexMetadata, tgz(file("../x", ""))), `".."`},
		{"contents with more behind", hexOf("3", hexMetadata, append(tgz(), 0)), "data behind the gzip"},
	} {
		testRefusals(t, []refusal{{h.name, hexName, h.data, h.reason}})
	}
}

func TestHostileHexMetadata(t *testing.T) {
	name, version := `<<"acme_billing">>`, `<<"1.2.3">>`
	good := hexNamed(name, version)
	const lacks = "lacks a name or version"
	for _, h := range []struct{ name, text, reason string }{
		{"empty", "", lacks},
		{"no name", `{<<"version">>,<<"1.2.3">>}.`, lacks},
		{"no version", `{<<"name">>,<<"acme_billing">>}.`, lacks},
		{"name twice", good + `{<<"name">>,<<"evil">>}.`, "there twice"},
		{"name twice in pieces", good + `{<<"na" "me">>,<<"evil">>}.`, "there twice"},
		{"name twice in bytes", good + `{<<110,97,109,101>>,<<"evil">>}.`, "there twice"},
		{"key with an escape", good + `{<<"n\141me">>,<<"evil">>}.`, "without escapes"},
		{"name with an escape", hexNamed(`<<"acm\145_billing">>`, version), lacks},
		{"name as text", hexNamed(`"acme_billing"`, version), lacks},
		{"name as atom", hexNamed(`acme_billing`, version), lacks},
		{"name as list", hexNamed(`[<<"acme_billing">>]`, version), lacks},
		{"key as atom", good + `{name,<<"evil">>}.`, "want a key"},
		{"no pair", good + `{<<"x">>}.`, "want {Key, Value}"},
		{"three", good + `{<<"x">>,1,2}.`, "want {Key, Value}"},
		{"a map", good + `#{<<"name">> => <<"evil">>}.`, "want a term"},
		{"list of pairs", `[{<<"name">>,<<"evil">>}].`, "want {Key, Value}"},
		{"no dot", strings.TrimSuffix(good, ".\n"), "want a dot"},
		{"no space behind the dot", strings.ReplaceAll(good, ".\n", "."), "want a dot"},
		{"comment", "% {\n" + good, "want a term"},
		{"character", good + `{<<"x">>,$"}.`, "want a term"},
		{"float", good + `{<<"x">>,1.5}.`, "want a comma or }"},
		{"based number", good + `{<<"x">>,16#ff}.`, "want a comma or }"},
		{"quoted atom", good + `{<<"x">>,'a'}.`, "want a term"},
		{"variable", good + `{<<"x">>,X}.`, "want a term"},
		{"sized segment", hexNamed(`<<"acme_billing":8>>`, version), "want a comma or >>"},
		{"utf16", hexNamed(`<<"acme_billing"/utf16>>`, version), "want utf8"},
		{"large byte", hexNamed(`<<256>>`, version), "want a string or byte"},
		{"control escape", good + `{<<"x">>,<<"\^" , "a\^"">>}.`, "read differently"},
		{"line end escaped", good + "{<<\"x\">>,<<\"\\\n\">>}.", "read differently"},
		{"no end of text", good + `{<<"x">>,<<"a\">>}.`, "no end"},
		{"no end of text at all", good + `{<<"x">>,"`, "no end"},
		{"backslash at the end", good + `{<<"x">>,"\`, "read differently"},
		{"no end of tuple", good + `{<<"x">>,`, "want a term"},
		{"no end of binary", good + `{<<`, "want a string or byte"},
		{"deep", good + `{<<"x">>,` + strings.Repeat("[", 100_000), "nested deeper"},
		{"zero byte", good + "\x00", "want a term"},
		{"latin1", good + "{<<\"x\">>,<<\"\xe4\">>}.", "not UTF-8"},
		{"repository in the name", hexNamed(`<<"acme/acme_billing">>`, version), "has a repository in it"},
		{"name no registry takes", hexNamed(`<<"Acme">>`, version), "lower-case letter"},
		{"look-alike", hexNamed(`<<"`+"\u0430cme"+`"/utf8>>`, version), "its letters are Cyrillic and Latin"},
		{"build metadata", hexNamed(name, `<<"1.2.3+4">>`), "coordinate"},
	} {
		testRefusals(t, []refusal{{h.name, hexName, hexPackage(h.text), h.reason}})
	}
}

func TestHexFileName(t *testing.T) {
	for _, name := range []string{"acme-billing-1.2.3.tar", "acme_billing-1.2.4.tar", "acme-acme_billing-1.2.3.tar", ".tar"} {
		testNameError(t, write(t, name, hexPackage(hexMetadata)), ecosystem.NameError{
			FileName: name, Contents: "acme_billing 1.2.3", Want: hexName,
		})
	}
}

// Only the publisher knows of which repository a package is.
func TestAgrees(t *testing.T) {
	read := func(fileName string, data []byte) ecosystem.Artifact {
		a, err := ecosystem.Read(write(t, fileName, data))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	billing := read(hexName, hexPackage(hexMetadata))
	crate := read(crateName, crate(cargoToml))
	for _, c := range []struct {
		a    ecosystem.Artifact
		purl string
		want bool
	}{
		{billing, hexPurl, true},
		{billing, "pkg:hex/acme/acme_billing@1.2.3", true},
		{billing, "pkg:hex/acme/acme_billing@1.2.4", false},
		{billing, "pkg:hex/acme/billing@1.2.3", false},
		{billing, "pkg:npm/%40acme/acme_billing@1.2.3", false},
		{crate, cratePurl, true},
		{crate, "pkg:hex/acme/acme_core@1.2.3", false},
		{crate, "pkg:cargo/acme-core@1.2.4", false},
	} {
		given, err := provenance.ParseCoordinate(c.purl)
		if err != nil {
			t.Fatal(err)
		}
		if c.a.Agrees(given) != c.want {
			t.Errorf("%s agrees with %s: %v", c.a.Coordinate, given, !c.want)
		}
	}
}

func FuzzHex(f *testing.F) {
	f.Add(hexMetadata)
	f.Add(hexNamed(`<<"acme_" "billing"/utf8>>`, `<<49,"." "2.3">>`))
	f.Add(hexNamed(`<<"acme_billing">>`, `<<"1.2.3">>`) + `{<<"x">>,[{a,"\"\\",-1,<<>>},{},[]]}.`)
	f.Fuzz(func(t *testing.T, metadata string) {
		a, ok := tryRead(t, hexName, hexPackage(metadata))
		if !ok {
			return
		}
		if a.Coordinate.String() != hexPurl || a.Digests["hexInner"] != strings.ToLower(innerChecksum("3", metadata, hexContents)) {
			t.Errorf("read %q as %s", metadata, a.Coordinate)
		}
	})
}
