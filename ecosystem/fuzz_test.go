package ecosystem_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/mail"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
)

// Each target holds what is read against what a more forgiving reader from the standard library sees in the
// same bytes: whatever is accepted, both must have read alike.

// tryRead reads data under a file name; ok is false if it is refused.
func tryRead(t *testing.T, fileName string, data []byte) (a ecosystem.Artifact, ok bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := ecosystem.Read(file)
	return a, err == nil
}

func FuzzTar(f *testing.F) {
	for _, seed := range [][]byte{
		widget,
		bytes.Join([][]byte{dir("package/"), widget, file("package/x", "x"), make([]byte, 1024)}, nil),
		bytes.Join([][]byte{pax('x', "path", "package/package.json", "size", strconv.Itoa(len(widgetJSON))), file("x", widgetJSON)}, nil),
		bytes.Join([][]byte{tarEntry("L", 'L', "package/package.json\x00"), file("x", widgetJSON)}, nil),
		bytes.Join([][]byte{pax('g', "comment", "x"), symlink("package/x", "y"), widget, make([]byte, 512)}, nil),
		tarEntry("package.json", '0', widgetJSON, at(345, "package")),
		tarEntry("package/package.json", 0, widgetJSON, func(h []byte) { clear(h[257:]) }),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		fixChecksums(data)
		a, ok := tryRead(t, "widget-1.0.0.tgz", gz(data))
		if !ok {
			return
		}
		installed, err := lastManifest(data)
		if err != nil {
			t.Fatalf("archive/tar does not read what was read as %s: %v", a.Coordinate, err)
		}
		checkManifest(t, a, installed)
	})
}

// fixChecksums makes headers valid, which mutation alone hardly ever does.
func fixChecksums(data []byte) {
	for len(data) >= 512 {
		size, err := strconv.ParseUint(strings.Trim(string(data[124:136]), " \x00"), 8, 31)
		if len(bytes.Trim(data[:512], "\x00")) > 0 {
			setChecksum(data[:512])
		}
		next := (512 + int(size) + 511) &^ 511
		if err != nil {
			next = 512
		}
		data = data[min(next, len(data)):]
	}
}

// lastManifest is the package.json left after unpacking all entries without their first elements.
func lastManifest(data []byte) (manifest []byte, err error) {
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return manifest, nil
		}
		if err != nil {
			return nil, err
		}
		if _, rest, _ := strings.Cut(path.Clean(h.Name), "/"); h.Typeflag == tar.TypeReg && rest == "package.json" {
			if manifest, err = io.ReadAll(r); err != nil {
				return nil, err
			}
		}
	}
}

func checkManifest(t *testing.T, a ecosystem.Artifact, manifest []byte) {
	t.Helper()
	var seen struct{ Name, Version string }
	if err := json.Unmarshal(bytes.TrimPrefix(manifest, []byte("\ufeff")), &seen); err != nil {
		t.Fatalf("read %q as %s: %v", manifest, a.Coordinate, err)
	}
	if seen.Name != a.Coordinate.Name() || seen.Version != a.Coordinate.Version() {
		t.Errorf("read %q as %s", manifest, a.Coordinate)
	}
}

func FuzzGzip(f *testing.F) {
	f.Add(tgz(widget))
	f.Add(append(tgz(widget), tgz(widget)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, ok := tryRead(t, "widget-1.0.0.tgz", data)
		if !ok {
			return
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		installed, err := lastManifest(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		checkManifest(t, a, installed)
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(widgetJSON))
	f.Add([]byte("\ufeff" + widgetJSON))
	f.Add([]byte(`{"Name":"evil","name":"widget","version":"1.0.0","dist":{"name":[null,1e3,"\u00e9"]}}`))
	f.Add([]byte(`{"name":"evil","n\u0061me":"widget","version":"1.0.0"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, ok := tryRead(t, "widget-1.0.0.tgz", manifest(string(data)))
		if !ok {
			return
		}
		// encoding/json matches names without regard to case, so a map.
		var seen map[string]any
		if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &seen); err != nil {
			t.Fatalf("read %q as %s: %v", data, a.Coordinate, err)
		}
		if seen["name"] != a.Coordinate.Name() || seen["version"] != a.Coordinate.Version() {
			t.Errorf("read %q as %s", data, a.Coordinate)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add(metadata)
	f.Add("Name: acme-http\r\nVersion: 1.0\r\nDescription: a\r\n b\r\n\r\nbody")
	f.Add("Summary: x\rName: evil\nName: acme-http\nVersion: 1.0.0\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := tryRead(t, sdistName, sdist(text))
		if !ok {
			return
		}
		message, err := mail.ReadMessage(strings.NewReader(text + "\n\n"))
		if err != nil {
			return // net/mail is stricter about the names of fields we do not read
		}
		names, versions := message.Header["Name"], message.Header["Version"]
		if len(names) != 1 || len(versions) != 1 || !strings.HasPrefix(versions[0], "1") {
			t.Errorf("read %q as %s; net/mail sees %q and %q", text, a.Coordinate, names, versions)
		}
	})
}

func FuzzWheel(f *testing.F) {
	f.Add(rawZip(nil, rawMetadata, rawOther))
	f.Add(rawZip(end64(func(_, _, end []byte) { allOnes(end) }), rawMetadata))
	f.Add(rawZip(nil, deferred("PK\x07\x08"+numbers(4, sum, length, length)), rawOther))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, ok := tryRead(t, wheelName, data)
		if !ok {
			return
		}
		inDirectory, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		inStream := streamedNames(data)
		for _, file := range inDirectory.File {
			if !inStream[file.Name] {
				t.Errorf("read as %s with %q only in the directory", a.Coordinate, file.Name)
			}
		}
	})
}

// streamedNames finds files as a reader does that never looks at the directory: by their headers, wherever.
func streamedNames(data []byte) map[string]bool {
	names := make(map[string]bool)
	for {
		_, header, found := bytes.Cut(data, []byte("PK\x03\x04"))
		if !found || len(header) < 26 {
			return names
		}
		n := int(le.Uint16(header[22:]))
		data = header[26:]
		names[string(data[:min(n, len(data))])] = true
	}
}

func FuzzModule(f *testing.F) {
	goMod := rawEntry{name: "example.com/m@v1.2.3/go.mod", content: "module example.com/m\n"}
	f.Add(rawZip(nil, goMod, rawEntry{name: "example.com/m@v1.2.3/m.go"}))
	f.Add(rawZip(nil, rawEntry{name: "example.com/m@v1.2.3/m.go", content: "package m"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, ok := tryRead(t, "v1.2.3.zip", data)
		if !ok {
			return
		}
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range z.File {
			if !strings.HasPrefix(file.Name, a.Coordinate.Name()+"@v1.2.3/") {
				t.Errorf("read %q as %s", file.Name, a.Coordinate)
			}
		}
		if len(a.Digests) != 4 {
			t.Errorf("digests of %s are %v", a.Coordinate, a.Digests)
		}
	})
}

// The forgiving reader of FuzzTar is not the one under test: it sees what a hostile tar hides.
func TestLastManifest(t *testing.T) {
	evil := file("other/package.json", `{"name":"evil","version":"1.0.0"}`)
	installed, err := lastManifest(append(bytes.Clone(widget), evil...))
	if err != nil || !strings.Contains(string(installed), "evil") {
		t.Errorf("got %q, %v", installed, err)
	}
}
