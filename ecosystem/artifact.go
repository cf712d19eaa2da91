package ecosystem

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"countersign.dev/provenance"
)

// An Artifact is one package file: the coordinate it claims and what its bytes hash to.
type Artifact struct {
	Coordinate provenance.Coordinate
	Digests    map[string]string // by the format's digest names, lower-case hex
	Size       int64             // bytes
	FileName   string            // without directories
}

// ErrUnknownKind is returned for a file that is of no kind in the table: its coordinate has to be given.
var ErrUnknownKind = errors.New("unknown kind of artifact: give --purl")

// A NameError says that a file is not called what its contents call for.
type NameError struct {
	FileName string // what the file is called
	Contents string // the name and version inside
	Want     string // the file name that goes with them
}

func (e *NameError) Error() string {
	return fmt.Sprintf("file is called %q but holds %s, which belongs in %q: rename it, or give --purl",
		e.FileName, e.Contents, e.Want)
}

// A kind is one row of the table of artifacts that name themselves.
type kind struct {
	ecosystem string // purl type
	what      string // for people
	suffix    string // of the file name, which is how a kind is recognised

	// read returns the coordinate found inside, having checked it against the file's name.
	read func(*input) (provenance.Coordinate, error)

	// digests returns those the ecosystem defines beside sha256 and sha512; nil if there are none.
	digests func(*input) (map[string]string, error)
}

// kinds is the table. No suffix is the end of another.
var kinds = []kind{
	{"npm", "npm package", ".tgz", readNPM, nil},
	{"pypi", "Python wheel", ".whl", readWheel, nil},
	{"pypi", "Python source distribution", ".tar.gz", readSdist, nil},
	{"golang", "Go module zip", ".zip", readModule, moduleDigests},
}

// Read returns what the file at path claims to be and every digest of it.
func Read(path string) (Artifact, error) {
	k, err := recognise(filepath.Base(path))
	if err != nil {
		return Artifact{}, err
	}
	in, err := open(path)
	if err != nil {
		return Artifact{}, err
	}
	defer in.Close()
	coordinate, err := k.read(in)
	if err != nil {
		return Artifact{}, fmt.Errorf("%s %s: %w", k.what, path, err)
	}
	digests, err := in.digests(k.ecosystem)
	if err != nil {
		return Artifact{}, err
	}
	return Artifact{Coordinate: coordinate, Digests: digests, Size: in.size, FileName: in.name}, nil
}

// Digests returns the digests of the file at path and its size in bytes, without asking what the file claims
// to be. The ecosystem, a purl type or "", decides which digests there are beside sha256 and sha512.
func Digests(path, ecosystem string) (map[string]string, int64, error) {
	in, err := open(path)
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	digests, err := in.digests(ecosystem)
	return digests, in.size, err
}

func recognise(fileName string) (kind, error) {
	var known []string
	for _, k := range kinds {
		if strings.HasSuffix(fileName, k.suffix) {
			return k, nil
		}
		known = append(known, k.suffix+" ("+k.what+")")
	}
	return kind{}, fmt.Errorf("%s: %w; known are %s", fileName, ErrUnknownKind, strings.Join(known, ", "))
}

// An input is an open artifact. Its size and name are those it had when it was opened.
type input struct {
	*os.File
	name string
	size int64
}

func open(path string) (*input, error) {
	// Before opening, because opening a pipe waits for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, err
	}
	return &input{f, filepath.Base(path), info.Size()}, nil
}

// stream reads the file from its beginning.
func (in *input) stream() io.Reader {
	return io.NewSectionReader(in, 0, in.size)
}

// digests returns the plain digests, computed in one pass, and those of the ecosystem.
func (in *input) digests(ecosystem string) (map[string]string, error) {
	short, long := sha256.New(), sha512.New()
	// One byte more than the size, to notice a file that grows.
	n, err := io.Copy(io.MultiWriter(short, long), io.NewSectionReader(in, 0, in.size+1))
	if err != nil {
		return nil, err
	}
	if n != in.size {
		return nil, fmt.Errorf("read %s: the file changed while it was read", in.Name())
	}
	digests := map[string]string{
		"sha256": hex.EncodeToString(short.Sum(nil)),
		"sha512": hex.EncodeToString(long.Sum(nil)),
	}
	for _, k := range kinds {
		if k.ecosystem != ecosystem || k.digests == nil {
			continue
		}
		more, err := k.digests(in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", k.what, in.Name(), err)
		}
		maps.Copy(digests, more)
	}
	return digests, nil
}

// mustBeCalled returns a [NameError] unless the file is called want.
func (in *input) mustBeCalled(want, contents string) error {
	if in.name != want {
		return &NameError{FileName: in.name, Contents: contents, Want: want}
	}
	return nil
}
