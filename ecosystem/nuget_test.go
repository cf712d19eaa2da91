package ecosystem_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
)

const (
	nupkgName = "Acme.Lib.1.2.3.nupkg"
	nugetPurl = "pkg:nuget/acme.lib@1.2.3"
	nuspecTop = "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<package xmlns=\"http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd\">\n"
	relsType  = "http://schemas.microsoft.com/packaging/2010/07/manifest"
)

func nuspec(metadata string) string {
	return nuspecTop + "  <metadata minClientVersion=\"2.12\">\n" + metadata + "\n  </metadata>\n</package>\n"
}

func idAndVersion(id, version string) string {
	return "    <id>" + id + "</id>\n    <version>" + version + "</version>\n"
}

var acmeNuspec = nuspec(idAndVersion("Acme.Lib", "1.2.3") +
	`<dependencies><dependency id="Evil" version="9.9.9"/><group><id>Evil</id></group></dependencies>`)

func rels(targets ...string) zipFile {
	var relations strings.Builder
	for _, target := range targets {
		fmt.Fprintf(&relations, `<Relationship Type="%s" Target="%s" Id="R1" />`, relsType, target)
	}
	relations.WriteString(`<Relationship Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="/package/services/x.psmdcp" Id="R2" />`)
	return zipFile{name: "_rels/.rels", content: `<?xml version="1.0" encoding="utf-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` + relations.String() + `</Relationships>`}
}

// nupkg makes a package with a .nuspec and what NuGet puts around it.
func nupkg(t testing.TB, nuspec string, more ...zipFile) []byte {
	return zipOf(t, append([]zipFile{
		rels("/Acme.Lib.nuspec"), {name: "Acme.Lib.nuspec", content: nuspec},
		{name: "lib/net8.0/Acme.Lib.dll", content: "MZ"}, {name: "[Content_Types].xml", content: "<Types/>"},
	}, more...)...)
}

func TestNuGet(t *testing.T) {
	called := func(id, version string) []byte {
		return zipOf(t, zipFile{name: id + ".nuspec", content: nuspec(idAndVersion(id, version))})
	}
	testSamples(t, []sample{
		{"plain", nupkgName, nupkg(t, acmeNuspec), nugetPurl},
		{"small letters, as registries serve it", "acme.lib.1.2.3.nupkg", nupkg(t, acmeNuspec), nugetPurl},
		{"two numbers", "A.1.0.0.nupkg", called("A", "1.0"), "pkg:nuget/a@1.0.0"},
		{"version as it is written", "A.1.02.3.0-Beta.nupkg", called("A", "1.02.3.0-Beta+build"), "pkg:nuget/a@1.2.3-beta"},
		{"four numbers", "A.1.2.3.4.nupkg", called("A", "1.2.3.4"), "pkg:nuget/a@1.2.3.4"},
		{"fourth number 0", "A.1.2.3.nupkg", called("A", "1.02.3.0"), "pkg:nuget/a@1.2.3"},
		{"prerelease and metadata", "A.1.0.0-Beta.2.nupkg", called("A", "1.0.0-Beta.2+build"), "pkg:nuget/a@1.0.0-beta.2"},
		{"id that ends in numbers", "A.1.2.0.0.nupkg", called("A.1", "2.0.0"), "pkg:nuget/a.1@2.0.0"},
		{"entities and CDATA", nupkgName, nupkg(t, nuspec("<id>Acme&#46;Lib</id><version><![CDATA[1.2.3]]></version>")), nugetPurl},
		{"no namespace or declaration", nupkgName, nupkg(t, "<package><metadata>"+idAndVersion("Acme.Lib", "1.2.3")+"</metadata></package>"), nugetPurl},
		{"files in folders", nupkgName, nupkg(t, acmeNuspec, zipFile{name: "content/evil.nuspec"}, zipFile{name: "Acme.Lib.nuspec.txt"}), nugetPurl},
		{"metadata elsewhere", nupkgName, nupkg(t, strings.Replace(acmeNuspec, "</package>", "<files><metadata><id>Evil</id></metadata></files></package>", 1)), nugetPurl},
	})
}

func TestHostileNuGet(t *testing.T) {
	good := idAndVersion("Acme.Lib", "1.2.3")
	one := func(name, content string) []byte { return zipOf(t, zipFile{name: name, content: content}) }
	evil := nuspec(idAndVersion("Evil", "1.2.3"))
	for _, h := range []struct {
		name   string
		data   []byte
		reason string
	}{
		{"no zip", []byte("x"), "not a zip"},
		{"no nuspec", one("lib/Acme.Lib.nuspec", acmeNuspec), "no .nuspec at the top"},
		{"two", nupkg(t, acmeNuspec, zipFile{name: "Evil.nuspec", content: evil}), "are both at the top"},
		{"two cases", nupkg(t, acmeNuspec, zipFile{name: "acme.lib.NUSPEC", content: evil}), "are both at the top"},
		{"capitals", one("Acme.Lib.NuSpec", acmeNuspec), "could be taken for a .nuspec"},
		{"trailing dot", one("Acme.Lib.nuspec.", acmeNuspec), "could be taken for a .nuspec"},
		{"of another", one("Evil.nuspec", acmeNuspec), "Evil.nuspec is of Acme.Lib"},
		{"relation to another", zipOf(t, rels("/lib/Evil.nuspec"), zipFile{name: "Acme.Lib.nuspec", content: acmeNuspec}), "the manifest is"},
		{"two relations", zipOf(t, rels("/Acme.Lib.nuspec", "/lib/Evil.nuspec"), zipFile{name: "Acme.Lib.nuspec", content: acmeNuspec}), "the manifest is"},
		{"relations in capitals", nupkg(t, acmeNuspec, zipFile{name: "_RELS/.rels"}), "could be taken for _rels/.rels"},
		{"relations that are no XML", zipOf(t, zipFile{name: "_rels/.rels", content: "x"}, zipFile{name: "Acme.Lib.nuspec", content: acmeNuspec}), "_rels/.rels: line 1"},
		{"no id", nupkg(t, nuspec("<version>1.2.3</version>")), "lacks an id or version"},
		{"no version", nupkg(t, nuspec("<id>Acme.Lib</id>")), "lacks an id or version"},
		{"id twice", nupkg(t, nuspec(good+"<id>Evil</id>")), "id is there twice"},
		{"two metadata", nupkg(t, strings.Replace(acmeNuspec, "</package>", "<metadata><id>Evil</id></metadata></package>", 1)), "id is there twice"},
		{"id in capitals", nupkg(t, nuspec(good+"<ID>Evil</ID>")), "package/metadata/ID could be taken for"},
		{"id by long s", nupkg(t, nuspec(good+"<ver\u017fion>9</ver\u017fion>")), "invalid XML name"},
		{"id with a prefix", nupkg(t, nuspec(`<n:id xmlns:n="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">Evil</n:id>`+good)), "could be taken for"},
		{"id of another namespace", nupkg(t, nuspec(`<id xmlns="urn:x">Evil</id><version>1.2.3</version>`)), "could be taken for"},
		{"metadata of another namespace", nupkg(t, strings.Replace(acmeNuspec, "<metadata ", `<metadata xmlns="urn:x" `, 1)), "could be taken for"},
		{"comment in the id", nupkg(t, nuspec("<id>Acme<!-- x -->.Lib</id><version>1.2.3</version>")), "more than text"},
		{"element in the id", nupkg(t, nuspec("<id>Acme.Lib<b/></id><version>1.2.3</version>")), "more than text"},
		{"instruction in the id", nupkg(t, nuspec("<id>Acme.<?x?>Lib</id><version>1.2.3</version>")), "more than text"},
		{"space around the id", nupkg(t, nuspec("<id> Acme.Lib </id><version>1.2.3</version>")), "coordinate"},
		{"document type", nupkg(t, `<!DOCTYPE package [<!ENTITY e "Acme.Lib">]><package><metadata><id>&e;</id><version>1.2.3</version></metadata></package>`), "document type"},
		{"entity", nupkg(t, nuspec("<id>&e;</id><version>1.2.3</version>")), "invalid character entity"},
		{"other root", nupkg(t, "<Package><metadata>"+good+"</metadata></Package>"), "could be taken for"},
		{"two roots", nupkg(t, acmeNuspec+"<package/>"), "want one XML element"},
		{"text behind", nupkg(t, acmeNuspec+"x"), "text outside"},
		{"cut off", nupkg(t, acmeNuspec[:len(acmeNuspec)-12]), "want one XML element"},
		{"no end", nupkg(t, "<package>"), "want one XML element"},
		{"wrong end", nupkg(t, "<package><metadata></package></metadata>"), "has an end of"},
		{"end alone", nupkg(t, "</package>"), "without a beginning"},
		{"empty", nupkg(t, ""), "want one XML element"},
		{"declaration later", nupkg(t, `<package><?xml version="1.0"?></package>`), "XML declaration"},
		{"declaration twice", nupkg(t, `<?xml version="1.0"?><?xml version="1.0"?><package/>`), "XML declaration"},
		{"other encoding", nupkg(t, `<?xml version="1.0" encoding="utf-7"?><package/>`), "utf-7"},
		{"UTF-16", nupkg(t, "\xff\xfe<\x00p\x00"), "not UTF-8"},
		{"deep", nupkg(t, strings.Repeat("<a>", 100_000)), "nested deeper"},
		{"long names", nupkg(t, strings.Repeat("<"+strings.Repeat("a", 100)+">", 90)), "longer than"},
		{"megabytes", nupkg(t, nuspec(good)+strings.Repeat(" ", 9<<20)), "larger than"},
		{"id no registry takes", nupkg(t, nuspec(idAndVersion("Acme..Lib", "1.2.3"))), "a dot or hyphen"},
		{"look-alike", nupkg(t, nuspec(idAndVersion("\u0410cme.Lib", "1.2.3"))), "its letters are Cyrillic and Latin"},
		{"version no registry takes", nupkg(t, nuspec(idAndVersion("Acme.Lib", "[1.2.3]"))), "coordinate"},
		{"token", nupkg(t, nuspec(idAndVersion("$id$", "$version$"))), "coordinate"},
	} {
		testRefusals(t, []refusal{{h.name, nupkgName, h.data, h.reason}})
	}
}

func TestNuGetFileName(t *testing.T) {
	for _, name := range []string{"Acme.Lib.1.2.4.nupkg", "Acme.Lib.1.2.3.0.nupkg", "Acme.Lib.nupkg", "Evil.1.2.3.nupkg", "Acme.Lib.1.2.3.symbols.nupkg"} {
		testNameError(t, write(t, name, nupkg(t, acmeNuspec)), ecosystem.NameError{
			FileName: name, Contents: "Acme.Lib 1.2.3", Want: "acme.lib.1.2.3.nupkg",
		})
	}
}

// signNuGet adds a signature as NuGet does: stored, as the last file, in ASCII.
func signNuGet(unsigned []byte, edits ...func(local, central []byte)) []byte {
	const name, signature = ".signature.p7s", "a CMS signature"
	end := bytes.Clone(unsigned[len(unsigned)-22:])
	at, size := le.Uint32(end[16:]), le.Uint32(end[12:])
	local, central := make([]byte, 30), make([]byte, 46)
	copy(local, "PK\x03\x04\x14\x00")
	copy(central, "PK\x01\x02\x14\x00\x14\x00")
	for _, h := range [][]byte{local[14:], central[16:]} {
		le.PutUint32(h, crc32.ChecksumIEEE([]byte(signature)))
		le.PutUint32(h[4:], uint32(len(signature)))
		le.PutUint32(h[8:], uint32(len(signature)))
		le.PutUint16(h[12:], uint16(len(name)))
	}
	le.PutUint32(central[42:], at)
	for _, edit := range edits {
		edit(local, central)
	}
	local, central = append(append(local, name...), signature...), append(central, name...)
	le.PutUint16(end[8:], le.Uint16(end[8:])+1)
	le.PutUint16(end[10:], le.Uint16(end[10:])+1)
	le.PutUint32(end[12:], size+uint32(len(central)))
	le.PutUint32(end[16:], at+uint32(len(local)))
	return bytes.Join([][]byte{unsigned[:at], local, unsigned[at : at+size], central, end}, nil)
}

func sha512Of(data []byte) string {
	sum := sha512.Sum512(data)
	return hex.EncodeToString(sum[:])
}

// The content hash is that of the package before it was signed, whoever signed it.
func TestNuGetContentHash(t *testing.T) {
	unsigned := nupkg(t, acmeNuspec)
	for name, data := range map[string][]byte{"unsigned": unsigned, "signed": signNuGet(unsigned)} {
		path := write(t, nupkgName, data)
		a, err := ecosystem.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		comparePlainDigests(t, path, a.Digests)
		if a.Digests["nugetContentHash"] != sha512Of(unsigned) || len(a.Digests) != 3 {
			t.Errorf("%s: digests are %v", name, a.Digests)
		}
		if digests, _, err := ecosystem.Digests(path, "nuget"); err != nil || digests["nugetContentHash"] != sha512Of(unsigned) {
			t.Errorf("%s: digests are %v, %v", name, digests, err)
		}
	}
}

func TestNuGetSignatureInUnusualForm(t *testing.T) {
	unsigned := nupkg(t, acmeNuspec)
	manifest, raw := rawEntry{name: "Acme.Lib.nuspec", content: acmeNuspec}, rawEntry{name: ".signature.p7s", content: "x"}
	swapped := rawZip(func(end []byte, directory int) []byte { return end }, raw, manifest)
	records := swapped[len(swapped)-22-2*46-len(raw.name)-len(manifest.name) : len(swapped)-22]
	copy(records, append(bytes.Clone(records[46+len(raw.name):]), records[:46+len(raw.name)]...))
	signature := zipFile{name: ".signature.p7s", content: "x", edit: func(h *zip.FileHeader) { h.Method = zip.Store }}
	const unusual = "not where or as NuGet puts it"
	for _, h := range []struct {
		name   string
		data   []byte
		reason string
	}{
		{"not last", nupkg(t, acmeNuspec, signature, zipFile{name: "x"}), unusual},
		{"signed twice", signNuGet(signNuGet(unsigned)), "twice"},
		{"deflated", nupkg(t, acmeNuspec, zipFile{name: ".signature.p7s"}), unusual},
		{"deferred sizes", nupkg(t, acmeNuspec, signature), unusual},
		{"UTF-8", signNuGet(unsigned, func(local, central []byte) { local[7], central[9] = 8, 8 }), unusual},
		{"capitals", nupkg(t, acmeNuspec, zipFile{name: ".Signature.p7s"}), "could be taken for .signature.p7s"},
		{"last in the directory only", swapped, "not the last file"},
		{"with an extra field", rawZip(nil, manifest, rawEntry{name: raw.name, localExtra: "\x00\x00\x00\x00"}), "unusual header"},
		{"64-bit end", rawZip(end64(func(_, _, _ []byte) {}), manifest, raw), "64-bit end"},
	} {
		testRefusals(t, []refusal{{h.name, nupkgName, h.data, h.reason}})
	}
}

func FuzzNuspec(f *testing.F) {
	f.Add(acmeNuspec)
	f.Add("<package><metadata>" + idAndVersion("Acme.Lib", "1.2.3") + "<a:b xmlns:a='x'><![CDATA[]]></a:b><!-- --></metadata></package>")
	f.Add(nuspec("<id>Acme&#x2e;Lib</id><version>1.2.3</version><?x y?>"))
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := tryRead(t, nupkgName, nupkg(t, text))
		if !ok {
			return
		}
		var seen struct {
			Metadata []struct {
				ID      []string `xml:"id"`
				Version []string `xml:"version"`
			} `xml:"metadata"`
		}
		if err := xml.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &seen); err != nil {
			t.Fatalf("read %q as %s: %v", text, a.Coordinate, err)
		}
		var ids, versions []string
		for _, m := range seen.Metadata {
			ids, versions = append(ids, m.ID...), append(versions, m.Version...)
		}
		if len(ids) != 1 || len(versions) != 1 || !strings.EqualFold(ids[0], "Acme.Lib") {
			t.Errorf("read %q as %s; encoding/xml sees %q and %q", text, a.Coordinate, ids, versions)
		}
	})
}

func FuzzNuGetSignature(f *testing.F) {
	f.Add(rawZip(nil, rawEntry{name: "Acme.Lib.nuspec", content: acmeNuspec}), 0, byte(0))
	f.Add(nupkg(f, acmeNuspec), 10, byte(1))
	f.Fuzz(func(t *testing.T, unsigned []byte, at int, flip byte) {
		before, ok := tryRead(t, nupkgName, unsigned)
		if !ok || before.Digests["nugetContentHash"] != before.Digests["sha512"] {
			return
		}
		data := signNuGet(unsigned)
		data[uint(at)%uint(len(data))] ^= flip
		after, ok := tryRead(t, nupkgName, data)
		if ok && flip == 0 && after.Digests["nugetContentHash"] != sha512Of(unsigned) {
			t.Errorf("content hash of %x changes when it is signed", unsigned)
		}
		if ok && flip != 0 && after.Digests["sha512"] != sha512Of(data) {
			t.Errorf("wrong digests of %x", data)
		}
	})
}
