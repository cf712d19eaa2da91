package ecosystem_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
)

// A refusal is a file that must not be read, and a part of the reason.
type refusal struct {
	name, fileName string
	data           []byte
	reason         string
}

func testRefusals(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			a, err := ecosystem.Read(write(t, r.fileName, r.data))
			if err == nil {
				t.Fatalf("read as %s", a.Coordinate)
			}
			if !strings.Contains(err.Error(), r.reason) {
				t.Errorf("refused for another reason than %q: %v", r.reason, err)
			}
		})
	}
}

// A sample is a file that is read as the given coordinate.
type sample struct {
	name, fileName string
	data           []byte
	want           string
}

func testSamples(t *testing.T, samples []sample) {
	t.Helper()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			a, err := ecosystem.Read(write(t, s.fileName, s.data))
			if err != nil {
				t.Fatal(err)
			}
			if a.Coordinate.String() != s.want {
				t.Errorf("read as %s, want %s", a.Coordinate, s.want)
			}
			if a.FileName != s.fileName || a.Size != int64(len(s.data)) {
				t.Errorf("file %s of %d bytes, want %s of %d", a.FileName, a.Size, s.fileName, len(s.data))
			}
		})
	}
}

func write(t testing.TB, fileName string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tarHeader makes a ustar header; edits are made before its checksum.
func tarHeader(name string, kind byte, size int, edits ...func(h []byte)) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o", size))
	copy(h[136:], "00000000000")
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	for _, edit := range edits {
		edit(h)
	}
	setChecksum(h)
	return h
}

func setChecksum(h []byte) {
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// at returns an edit that writes text at an offset.
func at(offset int, text string) func([]byte) {
	return func(h []byte) { copy(h[offset:], text) }
}

// tarEntry makes an entry with content.
func tarEntry(name string, kind byte, content string, edits ...func([]byte)) []byte {
	return append(tarHeader(name, kind, len(content), edits...), padded(content)...)
}

func padded(content string) []byte {
	return append([]byte(content), make([]byte, -len(content)&511)...)
}

func file(name, content string) []byte { return tarEntry(name, '0', content) }
func dir(name string) []byte           { return tarEntry(name, '5', "") }

func symlink(name, target string) []byte  { return tarEntry(name, '2', "", at(157, target)) }
func hardlink(name, target string) []byte { return tarEntry(name, '1', "", at(157, target)) }

// pax makes a PAX header of key and value pairs.
func pax(kind byte, pairs ...string) []byte {
	var records strings.Builder
	for pair := range slices.Chunk(pairs, 2) {
		records.WriteString(paxRecord(pair[0], pair[1]))
	}
	return tarEntry("pax", kind, records.String())
}

func paxRecord(key, value string) string {
	for n := 1; ; n++ {
		if record := fmt.Sprintf("%d %s=%s\n", n, key, value); len(record) == n {
			return record
		}
	}
}

// tgz compresses a tar of the given parts and its end.
func tgz(parts ...[]byte) []byte {
	return gz(append(bytes.Join(parts, nil), make([]byte, 1024)...))
}

func gz(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		panic(err)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// A zipFile is an entry for zipOf; its header is what archive/zip makes unless edited.
type zipFile struct {
	name, content string
	edit          func(*zip.FileHeader)
}

func zipOf(t testing.TB, files ...zipFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if f.edit != nil {
			f.edit(h)
		}
		content, err := w.CreateHeader(h)
		if err == nil {
			_, err = content.Write([]byte(f.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
