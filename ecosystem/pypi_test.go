package ecosystem_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
)

const (
	wheelName  = "acme_http-1.0.0-py3-none-any.whl"
	sdistName  = "acme_http-1.0.0.tar.gz"
	wheelPurl  = "pkg:pypi/acme-http@1?file_name=" + wheelName
	sdistPurl  = "pkg:pypi/acme-http@1?file_name=" + sdistName
	metadata   = "Metadata-Version: 2.1\nName: Acme.HTTP\nVersion: 1.0.0\nSummary: x\n\nName: body\n"
	distInfo   = "acme_http-1.0.0.dist-info/"
	evilPython = "Metadata-Version: 2.1\nName: evil\nVersion: 1.0.0\n"
)

func wheel(t *testing.T, text string) []byte {
	return zipOf(t, zipFile{name: "acme_http/__init__.py"}, zipFile{name: distInfo + "METADATA", content: text})
}

func sdist(text string) []byte {
	return tgz(dir("acme_http-1.0.0"), file("acme_http-1.0.0/PKG-INFO", text))
}

func TestWheel(t *testing.T) {
	stored := func(h *zip.FileHeader) { h.Method = zip.Store }
	testSamples(t, []sample{
		{"plain", wheelName, wheel(t, metadata), wheelPurl},
		{"build and platform", "acme_http-1.0.0-1-cp312-cp312-manylinux_2_17_x86_64.whl", wheel(t, metadata),
			"pkg:pypi/acme-http@1?file_name=acme_http-1.0.0-1-cp312-cp312-manylinux_2_17_x86_64.whl"},
		{"stored", wheelName, zipOf(t, zipFile{distInfo + "METADATA", metadata, stored}), wheelPurl},
		{"directories", wheelName, zipOf(t, zipFile{name: distInfo, edit: stored}, zipFile{name: distInfo + "METADATA", content: metadata}), wheelPurl},
		{"other spelling of the directory", wheelName, zipOf(t, zipFile{name: "Acme.HTTP-1.0.dist-info/METADATA", content: metadata}), wheelPurl},
		{"vendored", wheelName, zipOf(t, zipFile{name: distInfo + "METADATA", content: metadata},
			zipFile{name: "acme_http/_vendor/evil-1.0.0.dist-info/METADATA", content: evilPython}), wheelPurl},
		{"data", wheelName, zipOf(t, zipFile{name: distInfo + "METADATA", content: metadata},
			zipFile{name: "acme_http-1.0.0.data/purelib/acme.py"}), wheelPurl},
		{"licences", wheelName, zipOf(t, zipFile{name: distInfo + "METADATA", content: metadata},
			zipFile{name: distInfo + "licenses/METADATA"}, zipFile{name: distInfo + "METADATA.txt"}), wheelPurl},
	})
}

func TestHostileWheel(t *testing.T) {
	good := zipFile{name: distInfo + "METADATA", content: metadata}
	evil := func(name string) zipFile { return zipFile{name: name, content: evilPython} }
	link := func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }
	wheels := []struct {
		name   string
		data   []byte
		reason string
	}{
		{"empty", nil, "not a zip"},
		{"no files", zipOf(t), "no METADATA"},
		{"no metadata", zipOf(t, zipFile{name: distInfo + "RECORD"}), "no METADATA"},
		{"metadata too deep", zipOf(t, zipFile{name: "x/" + distInfo + "METADATA", content: metadata}), "no METADATA"},
		{"two directories", zipOf(t, good, evil("evil-1.0.0.dist-info/METADATA")), "two metadata directories"},
		{"second directory without metadata", zipOf(t, good, evil("evil-1.0.0.dist-info/RECORD")), "two metadata directories"},
		{"directory in capitals", zipOf(t, good, evil("acme_http-1.0.0.DIST-INFO/METADATA")), "could be taken for a .dist-info"},
		{"directory with a dot", zipOf(t, good, evil("acme_http-1.0.0.dist-info./METADATA")), "could be taken for a .dist-info"},
		{"directory of another package", zipOf(t, zipFile{name: "evil-1.0.0.dist-info/METADATA", content: metadata}), "but is in the directory"},
		{"directory of another version", zipOf(t, zipFile{name: "acme_http-1.0.1.dist-info/METADATA", content: metadata}), "but is in the directory"},
		{"data over metadata", zipOf(t, good, evil("acme_http-1.0.0.data/purelib/"+distInfo+"METADATA")), "installed over"},
		{"data over metadata by prefix", zipOf(t, good, evil("x.DATA/data/lib/python3.12/site-packages/"+distInfo+"METADATA")), "installed over"},
		{"metadata in capitals", zipOf(t, good, evil(distInfo+"Metadata")), "could be taken for METADATA"},
		{"metadata directory", zipOf(t, zipFile{name: distInfo + "METADATA/"}), "not a regular file"},
		{"metadata symlink", zipOf(t, zipFile{name: distInfo + "METADATA", content: "x", edit: link}), "link or device"},
		{"megabytes", zipOf(t, zipFile{name: distInfo + "METADATA", content: metadata + strings.Repeat("x", 8<<20)}), "larger than"},
	}
	for _, h := range wheels {
		testRefusals(t, []refusal{{h.name, wheelName, h.data, h.reason}})
	}
}

func TestSdist(t *testing.T) {
	testSamples(t, []sample{
		{"plain", sdistName, sdist(metadata), sdistPurl},
		{"before PEP 625", "Acme.HTTP-1.0.tar.gz", tgz(file("Acme.HTTP-1.0/PKG-INFO", metadata)), "pkg:pypi/acme-http@1?file_name=Acme.HTTP-1.0.tar.gz"},
		{"hyphens", "acme-http-1.0.0.tar.gz", tgz(file("acme-http-1.0.0/PKG-INFO", metadata)), "pkg:pypi/acme-http@1?file_name=acme-http-1.0.0.tar.gz"},
		{"egg-info", sdistName, tgz(file("acme_http-1.0.0/PKG-INFO", metadata), file("acme_http-1.0.0/acme_http.egg-info/PKG-INFO", evilPython)), sdistPurl},
		{"links", sdistName, tgz(file("acme_http-1.0.0/PKG-INFO", metadata), symlink("acme_http-1.0.0/README", "README.md")), sdistPurl},
		{"git archive", sdistName, tgz(pax('g', "comment", "0123"), file("acme_http-1.0.0/PKG-INFO", metadata)), sdistPurl},
	})
}

func TestHostileSdist(t *testing.T) {
	good := file("acme_http-1.0.0/PKG-INFO", metadata)
	sdists := []struct {
		name   string
		data   []byte
		reason string
	}{
		{"no metadata", tgz(file("acme_http-1.0.0/setup.py", "")), "no PKG-INFO"},
		{"an npm package", tgz(widget), "no PKG-INFO"},
		{"no entries", tgz(), "no PKG-INFO"},
		{"two directories", tgz(good, file("other/PKG-INFO", evilPython)), "not below the directory"},
		{"other case of the directory", tgz(good, file("Acme_http-1.0.0/PKG-INFO", evilPython)), "not below the directory"},
		{"file at the top", tgz(good, file("PKG-INFO", evilPython)), "not below the directory"},
		{"directory is a link", tgz(symlink("acme_http-1.0.0", "."), good), "not below the directory"},
		{"directory of another package", tgz(file("evil-1.0.0/PKG-INFO", metadata)), "but is in the directory"},
		{"directory without a version", tgz(file("acme_http/PKG-INFO", metadata)), "but is in the directory"},
		{"two different metadata", tgz(good, file("acme_http-1.0.0/PKG-INFO", evilPython)), "two different PKG-INFO"},
		{"metadata in small letters", tgz(good, file("acme_http-1.0.0/pkg-info", evilPython)), "could be taken for"},
		{"metadata link", tgz(symlink("acme_http-1.0.0/PKG-INFO", "x")), "not a regular file"},
		{"through a link", tgz(good, symlink("acme_http-1.0.0/sub", "."), file("acme_http-1.0.0/sub/PKG-INFO", evilPython)), "at or below a link"},
	}
	for _, h := range sdists {
		testRefusals(t, []refusal{{h.name, sdistName, h.data, h.reason}})
	}
}

func TestMetadata(t *testing.T) {
	for name, text := range map[string]string{
		"no body":             "Name: acme-http\nVersion: 1.0.0",
		"one line end":        "Name: acme-http\nVersion: 1.0.0\n",
		"carriage returns":    "Name: acme-http\r\nVersion: 1.0.0\r\n\r\nName: body\r\n",
		"capitals and spaces": "NAME:acme-http \nversion:\t1.0.0\n",
		"folded description":  "Name: acme-http\nVersion: 1.0.0\nDescription: a\n        Name: x\n\t\n        Version: y\n",
		"similar fields":      "Metadata-Version: 2.4\nName: acme-http\nNames: x\nVersion: 1.0.0\nRequires-Dist: Name\n",
	} {
		testSamples(t, []sample{
			{name, wheelName, wheel(t, text), wheelPurl},
			{name, sdistName, sdist(text), sdistPurl},
		})
	}
}

func TestHostileMetadata(t *testing.T) {
	const want = "want exactly one Name and one Version"
	for _, h := range []struct{ name, text, reason string }{
		{"empty", "", "no field name"},
		{"no name", "Version: 1.0.0\n", want},
		{"no version", "Name: acme-http\n", want},
		{"version in the body", "Name: acme-http\n\nVersion: 1.0.0\n", want},
		{"two names", "Name: acme-http\nName: evil\nVersion: 1.0.0\n", want},
		{"two equal names", "Name: acme-http\nName: acme-http\nVersion: 1.0.0\n", want},
		{"two cases of a name", "Name: acme-http\nname: evil\nVersion: 1.0.0\n", want},
		{"two versions", "Name: acme-http\nVersion: 1.0.0\nVersion: 2.0.0\n", want},
		{"two names and no version", "Name: acme-http\nName: evil\n", want},
		{"carriage return", "Summary: x\rName: evil\nName: acme-http\nVersion: 1.0.0\n", want},
		{"form feed", "Summary: x\fName: evil\nName: acme-http\nVersion: 1.0.0\n", want},
		{"line separator", "Summary: x\u2028Name: evil\nName: acme-http\nVersion: 1.0.0\n", want},
		{"next line", "Summary: x\u0085Version: 2.0.0\nName: acme-http\nVersion: 1.0.0\n", want},
		{"line end in a folded line", "Summary: x\n y\rName: evil\nName: acme-http\nVersion: 1.0.0\n", want},
		{"folded name", "Name: acme-http\n -evil\nVersion: 1.0.0\n", "folded"},
		{"folded version", "Name: acme-http\nVersion: 1.0\n\t.0\n", "folded"},
		{"space before colon", "Name : acme-http\nVersion: 1.0.0\n", "no field name"},
		{"byte order mark", "\ufeffName: acme-http\nVersion: 1.0.0\n", "no field name"},
		{"no header", "hello\nName: acme-http\nVersion: 1.0.0\n", "no field name"},
		{"begins with a body", "\nName: acme-http\nVersion: 1.0.0\n", "no field name"},
		{"invalid UTF-8", "Name: acme-http\nVersion: 1.0.0\nSummary: \xff\n", "not UTF-8"},
		{"empty name", "Name:\nVersion: 1.0.0\n", "coordinate"},
		{"encoded name", "Name: =?utf-8?q?acme-http?=\nVersion: 1.0.0\n", "coordinate"},
		{"name with a line end", "Name: acme-http\rSummary: x\nVersion: 1.0.0\n", "coordinate"},
		{"unknown version", "Name: acme-http\nVersion: UNKNOWN\n", "coordinate"},
	} {
		testRefusals(t, []refusal{
			{h.name, wheelName, wheel(t, h.text), h.reason},
			{h.name, sdistName, sdist(h.text), h.reason},
		})
	}
}

func TestPyPIFileName(t *testing.T) {
	for _, name := range []string{
		"evil-1.0.0-py3-none-any.whl", "acme_http-1.0.1-py3-none-any.whl", "acme_http-1.0.0.whl", "acme_http.whl",
	} {
		testNameError(t, write(t, name, wheel(t, metadata)), ecosystem.NameError{
			FileName: name, Contents: "Acme.HTTP 1.0.0", Want: "acme_http-1.0.0-….whl",
		})
	}
	for _, name := range []string{"evil-1.0.0.tar.gz", "acme_http-1.0.1.tar.gz", "acme_http.tar.gz", "acme_http-1.0.0 (1).tar.gz"} {
		testNameError(t, write(t, name, sdist(metadata)), ecosystem.NameError{
			FileName: name, Contents: "Acme.HTTP 1.0.0", Want: "acme_http-1.0.0.tar.gz",
		})
	}
}

// A wheel so full that its directory needs the 64-bit end.
func TestWheelWithManyFiles(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 70_000 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("acme_http/%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	content, err := w.Create(distInfo + "METADATA")
	if err != nil {
		t.Fatal(err)
	}
	content.Write([]byte(metadata))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	testSamples(t, []sample{{"zip64", wheelName, b.Bytes(), wheelPurl}})
}
