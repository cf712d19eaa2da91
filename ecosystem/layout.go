package ecosystem

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of an OCI image layout.
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	blobFolder = "blobs/sha256/"
)

// A layout is an OCI image layout: a directory, or a tar of one.
type layout struct {
	io.Closer
	path, name string

	// open returns a file of the layout and its size in bytes.
	open func(name string) (io.ReadCloser, int64, error)

	checked     map[string]bool // blobs whose digest is right
	manifests   int             // bytes read of them
	descriptors int             // seen
}

// openLayout returns the layout at path; nil if it is neither a directory nor a tar.
func openLayout(path string) (*layout, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	l := &layout{path: path, name: filepath.Base(path), checked: make(map[string]bool)}
	switch {
	case info.IsDir():
		err = l.openDirectory()
	case strings.HasSuffix(path, ".tar"):
		err = l.openTar()
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("OCI image layout %s: %v", path, err)
	}
	return l, nil
}

func (l *layout) openDirectory() error {
	root, err := os.OpenRoot(l.path)
	if err != nil {
		return err
	}
	l.Closer = root
	if err := checkTop(root); err != nil {
		root.Close()
		return err
	}
	l.open = func(name string) (io.ReadCloser, int64, error) {
		info, err := root.Lstat(name) // before opening: see openFile
		if err != nil {
			return nil, 0, err
		}
		if !info.Mode().IsRegular() {
			return nil, 0, fmt.Errorf("%s is not a regular file", name)
		}
		f, err := root.Open(name)
		return f, info.Size(), err
	}
	return nil
}

// checkTop refuses a directory with other files beside those of a layout, such as manifest.json, which Docker
// would read instead.
func checkTop(root *os.Root) error {
	top, err := root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	entries, err := top.ReadDir(16)
	if err != nil && err != io.EOF {
		return err
	}
	for _, e := range entries {
		if !slices.Contains([]string{"blobs", "ingest", layoutFile, indexFile}, e.Name()) {
			return fmt.Errorf("%q does not belong in an OCI image layout", e.Name())
		}
	}
	return nil
}

// openTar finds the files of the layout in a tar, in which there may be nothing else.
func (l *layout) openTar() error {
	in, err := openFile(l.path)
	if err != nil {
		return err
	}
	files := make(map[string]*io.SectionReader)
	counted := &meter{r: in.stream(), limit: in.size}
	err = walkTar(counted, func(e tarEntry, _ io.Reader) error {
		if e.kind == typeDirectory && strings.HasPrefix(blobFolder, e.name+"/") {
			return nil
		}
		if e.kind != typeFile || !layoutPath(e.name) {
			return fmt.Errorf("%q does not belong in an OCI image layout", e.name)
		}
		if files[e.name] != nil {
			return fmt.Errorf("%q is there twice", e.name)
		}
		files[e.name] = io.NewSectionReader(in, counted.read, e.size)
		return nil
	})
	if err != nil {
		in.Close()
		return err
	}
	l.Closer = in
	l.open = func(name string) (io.ReadCloser, int64, error) {
		f := files[name]
		if f == nil {
			return nil, 0, fmt.Errorf("there is no %s", name)
		}
		return io.NopCloser(io.NewSectionReader(f, 0, f.Size())), f.Size(), nil
	}
	return nil
}

func layoutPath(name string) bool {
	digits, isBlob := strings.CutPrefix(name, blobFolder)
	_, err := descriptor{Digest: "sha256:" + digits}.hex()
	return isBlob && err == nil || name == layoutFile || name == indexFile
}

// read returns the content of a file that has at most limit bytes.
func (l *layout) read(name string, limit int) ([]byte, error) {
	f, size, err := l.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > int64(limit) {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %s: %v", name, cutOff(err))
	}
	return data, nil
}

// blob checks that a blob is there and is what its descriptor says.
func (l *layout) blob(d descriptor) error {
	digits, err := d.hex()
	if err != nil {
		return err
	}
	f, size, err := l.open(blobFolder + digits)
	if err != nil {
		return err
	}
	defer f.Close()
	if size != d.Size {
		return fmt.Errorf("%s has %d bytes, not %d", d.Digest, size, d.Size)
	}
	if l.checked[digits] {
		return nil
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, size+1))
	if err != nil {
		return fmt.Errorf("read %s: %v", d.Digest, err)
	}
	if want, err := hex.DecodeString(digits); err != nil || n != size || !bytes.Equal(sum.Sum(nil), want) {
		return errors.New(d.Digest + " is not the digest of that blob")
	}
	l.checked[digits] = true
	return nil
}
