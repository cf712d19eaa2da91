package ecosystem_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"countersign.dev/ecosystem"
)

func testNameError(t *testing.T, path string, want ecosystem.NameError) {
	t.Helper()
	_, err := ecosystem.Read(path)
	var got *ecosystem.NameError
	if !errors.As(err, &got) {
		t.Fatalf("%s: want a NameError, got %v", path, err)
	}
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	for _, part := range []string{want.FileName, want.Contents, want.Want, "--purl"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not mention %q", err, part)
		}
	}
}

func TestUnknownKind(t *testing.T) {
	for _, name := range []string{"lib-1.0.war", "widget-1.0.0.TGZ", "widget", "tgz", "v1.0.0.zip.asc"} {
		_, err := ecosystem.Read(write(t, name, tgz(widget)))
		if !errors.Is(err, ecosystem.ErrUnknownKind) || !strings.Contains(err.Error(), "give --purl") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err := ecosystem.Read(write(t, "widget-1.0.0.tar", tarOf(widget)))
	if !errors.Is(err, ecosystem.ErrUnknownKind) || !strings.Contains(err.Error(), "neither metadata.config nor oci-layout") {
		t.Errorf("a tar of another kind: got %v", err)
	}
}

func TestNoFile(t *testing.T) {
	folder := t.TempDir()
	directory, pipe := filepath.Join(folder, "a.tgz"), filepath.Join(folder, "b.tgz")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, reason := range map[string]string{
		directory: "not a regular file", pipe: "not a regular file", filepath.Join(folder, "c.tgz"): "no such file",
	} {
		_, err := ecosystem.Read(path)
		if err == nil || path != directory && !strings.Contains(err.Error(), reason) {
			t.Errorf("Read(%s): got %v, want %q", path, err, reason)
		}
		if _, _, err := ecosystem.Digests(path, ""); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("Digests(%s): got %v, want %q", path, err, reason)
		}
	}
}

func TestDigestsOfAnyFile(t *testing.T) {
	random := make([]byte, 3<<20+17)
	rand.NewChaCha8([32]byte{}).Read(random)
	for name, data := range map[string][]byte{"empty": nil, "byte": {0}, "random": random} {
		path := write(t, name, data)
		for _, purlType := range []string{"", "npm", "pypi", "cargo", "oci"} {
			digests, size, err := ecosystem.Digests(path, purlType)
			if err != nil {
				t.Fatal(err)
			}
			if size != int64(len(data)) || len(digests) != 2 {
				t.Errorf("%s as %q: size %d, digests %v", name, purlType, size, digests)
			}
			comparePlainDigests(t, path, digests)
		}
	}
}

// comparePlainDigests asks the commands of the same name.
func comparePlainDigests(t *testing.T, path string, digests map[string]string) {
	t.Helper()
	for _, name := range []string{"sha256", "sha512"} {
		out, err := exec.Command(name+"sum", "-b", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(string(out), " ")
		if digests[name] != want {
			t.Errorf("%s of %s is %q, want %q", name, path, digests[name], want)
		}
	}
}

func TestReadDigests(t *testing.T) {
	for _, s := range []sample{
		{fileName: "widget-1.0.0.tgz", data: tgz(widget)},
		{fileName: wheelName, data: wheel(t, metadata)},
		{fileName: sdistName, data: sdist(metadata)},
	} {
		path := write(t, s.fileName, s.data)
		a, err := ecosystem.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		comparePlainDigests(t, path, a.Digests)
		if len(a.Digests) != 2 {
			t.Errorf("%s: digests %v", s.fileName, a.Digests)
		}
	}
}

// Reading a package of 300 MB allocates a small part of that in total, so it cannot hold much at once.
func TestMemory(t *testing.T) {
	const size, limit = 300_000_000, 4 << 20
	path := filepath.Join(t.TempDir(), "widget-1.0.0.tgz")
	writeBig(t, path, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a, err := ecosystem.Read(path)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if a.Size < size {
		t.Fatalf("the file has only %d bytes", a.Size)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > limit {
		t.Errorf("reading allocated %d bytes, want at most %d", got, limit)
	}
}

func writeBig(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	z, err := gzip.NewWriterLevel(out, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(widget)
	z.Write(tarHeader("package/big", '0', size))
	random := rand.NewChaCha8([32]byte{})
	if _, err := io.CopyN(z, random, int64(size)); err != nil {
		t.Fatal(err)
	}
	z.Write(make([]byte, -size&511+1024))
	if err := errors.Join(z.Close(), out.Flush()); err != nil {
		t.Fatal(err)
	}
}
