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
	"slices"
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

// Agrees reports whether c may be the artifact's coordinate: what the artifact says or, because a Hex package
// does not say of which repository it is, the same package in that of an organisation.
func (a Artifact) Agrees(c provenance.Coordinate) bool {
	if a.Coordinate == c {
		return true
	}
	_, name, private := strings.Cut(c.Name(), "/")
	return c.Type() == "hex" && a.Coordinate.Type() == "hex" && private &&
		name == a.Coordinate.Name() && c.Version() == a.Coordinate.Version()
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
	suffix    string // of the file name, which is how a kind is recognised; "/" for a directory
	marker    string // in a tar: the entry that tells it from other kinds with this suffix

	// read returns the coordinate found inside, having checked it against the file's name.
	read func(*input) (provenance.Coordinate, error)

	// digests returns those the ecosystem defines beside sha256 and sha512; nil if there are none.
	digests func(*input) (map[string]string, error)
}

// kinds is the table. No suffix is the end of another; rows with the same one have markers.
var kinds = []kind{
	{"npm", "npm package", ".tgz", "", readNPM, nil},
	{"cargo", "Rust crate", ".crate", "", readCrate, nil},
	{"hex", "Hex package", ".tar", "metadata.config", readHex, hexDigests},
	{"pypi", "Python wheel", ".whl", "", readWheel, nil},
	{"pypi", "Python source distribution", ".tar.gz", "", readSdist, nil},
	{"golang", "Go module zip", ".zip", "", readModule, moduleDigests},
	{"nuget", "NuGet package", ".nupkg", "", readNuGet, nugetDigests},
	{"maven", "Maven jar", ".jar", "", readJar, nil},
	{"maven", "Maven POM", ".pom", "", readPOM, nil},
	{"oci", "OCI image layout", ".tar", layoutFile, readImage, nil},
	{"oci", "OCI image layout", "/", "", readImage, nil},
	{"oci", "OCI manifest", ".json", "", readImage, nil},
}

// Read returns what the file at path, or the image layout in the directory there, claims to be, and every
// digest of it.
func Read(path string) (Artifact, error) {
	k, err := recognise(path)
	if err != nil {
		return Artifact{}, err
	}
	in, err := open(path, k.ecosystem)
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
// to be. The ecosystem, a purl type or "", decides which digests there are beside sha256 and sha512. For "oci",
// a directory or .tar stands for the manifest of the image that is laid out in it.
func Digests(path, ecosystem string) (map[string]string, int64, error) {
	in, err := open(path, ecosystem)
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	digests, err := in.digests(ecosystem)
	return digests, in.size, err
}

// recognise finds the row for a file by its name and, where that leaves several, by what the tar holds.
func recognise(path string) (kind, error) {
	fileName := filepath.Base(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		fileName += "/"
	}
	var rows []kind
	var known, markers []string
	for _, k := range kinds {
		known = append(known, k.suffix+" ("+k.what+")")
		if strings.HasSuffix(fileName, k.suffix) {
			rows, markers = append(rows, k), append(markers, k.marker)
		}
	}
	switch len(rows) {
	case 0:
		return kind{}, fmt.Errorf("%s: %w; known are %s", fileName, ErrUnknownKind, strings.Join(known, ", "))
	case 1:
		return rows[0], nil
	}
	marker, err := findEntry(path, markers)
	if err != nil {
		return kind{}, err
	}
	if marker == "" {
		return kind{}, fmt.Errorf("%s: %w; it holds neither %s", fileName, ErrUnknownKind, strings.Join(markers, " nor "))
	}
	return rows[slices.Index(markers, marker)], nil
}

// An input is an open artifact. Its size and name are those it had when it was opened.
type input struct {
	io.ReaderAt
	io.Closer
	path       string
	name       string // last element of path
	size       int64
	repository string // of an image, if its layout says so
}

// open opens what the digests of an artifact are of: the file, or the manifest in an image layout.
func open(path, ecosystem string) (*input, error) {
	if ecosystem == "oci" {
		return openImage(path)
	}
	return openFile(path)
}

func openFile(path string) (*input, error) {
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
	return &input{ReaderAt: f, Closer: f, path: path, name: filepath.Base(path), size: info.Size()}, nil
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
		return nil, fmt.Errorf("read %s: the file changed while it was read", in.path)
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
			return nil, fmt.Errorf("%s %s: %w", k.what, in.path, err)
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
