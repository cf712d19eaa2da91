package ecosystem

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on what an archive may cost its reader. Each is well above what registries accept and low enough to
// read on a laptop.
const (
	// maxUnpacked bounds the bytes a compressed tar unpacks to, all of which must be read to know that no
	// second package.json follows: some seconds of work.
	maxUnpacked = 2 << 30
	// maxEntries bounds the entries of an archive. The largest published packages have tens of thousands.
	maxEntries = 200_000
	// maxLinks bounds the links whose names are kept while a tar is read.
	maxLinks = 10_000
	// maxPath is the length in bytes of the longest path, PATH_MAX on Linux.
	maxPath = 4096
	// maxDocument bounds the file that carries the name, held in memory. Readmes live in some of them.
	maxDocument = 8 << 20
	// maxExtension bounds a tar extension header, held in memory; tar readers commonly stop here too.
	maxExtension = 1 << 20
	// maxDirectory bounds the bytes of a zip's directory, held in memory at several times that size: 160 for
	// each of maxEntries.
	maxDirectory = 32 << 20
)

// A meter fails once more than limit bytes were read through it.
type meter struct {
	r           io.Reader
	limit, read int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.read += int64(n); m.read > m.limit {
		return 0, fmt.Errorf("archive unpacks to more than %d bytes", m.limit)
	}
	return n, err
}

// checkPath refuses names of archive entries that some unpacker puts elsewhere than another does. The npm
// client, for one, drops a drive letter from any path, so that x/c:package.json is unpacked as package.json.
func checkPath(name string) error {
	if len(name) > maxPath {
		return fmt.Errorf("entry name %.40q… is longer than %d bytes", name, maxPath)
	}
	if strings.ContainsAny(name, "\\\x00") {
		return fmt.Errorf("entry name %q contains a backslash or NUL", name)
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "":
			return fmt.Errorf("entry name %q is absolute or has an empty element", name)
		case element == "." || element == "..":
			return fmt.Errorf("entry name %q has a %q in it", name, element)
		case len(element) > 1 && element[1] == ':' && isLetter(element[0]):
			return fmt.Errorf("entry name %q has a drive letter in it", name)
		}
	}
	return nil
}

func isLetter(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z'
}

// skeleton is a path as the most forgiving of file systems tells it from others: letters without case,
// without invisible characters (HFS+), stream names or trailing dots and spaces (NTFS).
func skeleton(path string) string {
	elements := strings.Split(path, "/")
	for i, element := range elements {
		element, _, _ = strings.Cut(element, ":")
		element = strings.Map(foldRune, element)
		elements[i] = strings.TrimRight(element, " .")
	}
	return strings.Join(elements, "/")
}

// foldRune returns the smallest rune that differs from r only by case, or -1 for an invisible one.
func foldRune(r rune) rune {
	if unicode.In(r, unicode.Cc, unicode.Cf) {
		return -1
	}
	smallest := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		smallest = min(smallest, f)
	}
	return smallest
}

// A document is the file in an archive that says what the package is called. Everything that could be taken
// for it has to be offered to it.
type document struct {
	name  string // as it must be spelled, without directories
	limit int64  // bytes; maxDocument if 0
	data  []byte // nil until found
}

// claims reports whether path, relative to the directory the document belongs in, is the document. It fails
// if path only resembles it.
func (d *document) claims(path string, regular bool) (bool, error) {
	first, _, below := strings.Cut(path, "/")
	if skeleton(first) != skeleton(d.name) {
		return false, nil
	}
	if first != d.name {
		return false, fmt.Errorf("%q could be taken for %s", path, d.name)
	}
	if below || !regular {
		return false, fmt.Errorf("%q is not a regular file in its directory", path)
	}
	return true, nil
}

// take reads the document. A further copy must say the same.
func (d *document) take(r io.Reader) error {
	limit := cmp.Or(d.limit, maxDocument)
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("read %s: %v", d.name, err)
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("%s is larger than %d bytes", d.name, limit)
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("%s is not UTF-8", d.name)
	}
	if d.data != nil && !bytes.Equal(d.data, data) {
		return fmt.Errorf("there are two different %s", d.name)
	}
	d.data = data
	return nil
}

// takeFrom reads the document from an entry of a zip.
func (d *document) takeFrom(f *zip.File) error {
	content, err := f.Open()
	if err != nil {
		return fmt.Errorf("open %q: %v", f.Name, err)
	}
	defer content.Close()
	return d.take(content)
}

// found fails if the document was not in the archive.
func (d *document) found(where string) error {
	if d.data == nil {
		return fmt.Errorf("no %s in %s", d.name, where)
	}
	return nil
}
