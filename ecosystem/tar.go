package ecosystem

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// archive/tar hides extension headers and forgives much, as every tar reader does in its own way: two programs
// can see different files in one tar. This reader knows only what they all read alike and refuses the rest.

const blockSize = 512

// Entry types, from POSIX ustar and PAX, and GNU tar.
const (
	typeFile      = '0'
	typeOldFile   = 0
	typeHardLink  = '1'
	typeSymlink   = '2'
	typeDirectory = '5'
	typePAX       = 'x'
	typeGlobalPAX = 'g'
	typeLongName  = 'L'
	typeLongLink  = 'K'
)

// A tarEntry is a file, directory or link; its name has passed checkPath. Only files have a size.
type tarEntry struct {
	name string
	kind byte // typeFile, typeDirectory, typeHardLink or typeSymlink
	size int64
}

func (e tarEntry) link() bool { return e.kind == typeHardLink || e.kind == typeSymlink }

// walkTarball calls visit with each entry of a gzip-compressed tar and its content.
func walkTarball(r io.Reader, visit func(tarEntry, io.Reader) error) error {
	compressed := bufio.NewReader(r)
	z, err := gzip.NewReader(compressed)
	if err != nil {
		return fmt.Errorf("read gzip: %v", err)
	}
	z.Multistream(false)
	if err := walkTar(&meter{r: z, limit: maxUnpacked}, visit); err != nil {
		return err
	}
	if _, err := compressed.ReadByte(); err != io.EOF {
		return errors.New("there is data behind the gzip stream")
	}
	return nil
}

// walkDirectory is walkTarball for one that holds only a directory: visit also gets the path below it.
func walkDirectory(r io.Reader, visit func(e tarEntry, path string, body io.Reader) error) (directory string, err error) {
	err = walkTarball(r, func(e tarEntry, body io.Reader) error {
		top, path, below := strings.Cut(e.name, "/")
		if directory == "" {
			directory = top
		}
		if top != directory || !below && e.kind != typeDirectory {
			return fmt.Errorf("%q is not below the directory %q", e.name, directory)
		}
		return visit(e, path, body)
	})
	return directory, err
}

// walkTar calls visit with each entry of a tar and its content. From r it reads no further than that.
func walkTar(r io.Reader, visit func(tarEntry, io.Reader) error) error {
	t := tarReader{r: r, links: make(map[string]bool)}
	return t.walk(visit)
}

// findEntry returns the first of the names that a tar has an entry of; "" if it has none.
func findEntry(path string, names []string) (found string, err error) {
	in, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	stop := errors.New("found")
	err = walkTar(in.stream(), func(e tarEntry, _ io.Reader) error {
		if slices.Contains(names, e.name) {
			found = e.name
			return stop
		}
		return nil
	})
	if err != nil && err != stop {
		return "", fmt.Errorf("%s: %v", path, err)
	}
	return found, nil
}

type tarReader struct {
	r       io.Reader
	header  [blockSize]byte // the one read last
	headers int
	links   map[string]bool // skeletons of the names of links seen
}

func (t *tarReader) walk(visit func(tarEntry, io.Reader) error) error {
	for {
		e, err := t.next()
		if err == io.EOF {
			return t.end()
		}
		if err != nil {
			return err
		}
		if err := t.checkLinks(e); err != nil {
			return err
		}
		body := &io.LimitedReader{R: t.r, N: e.size}
		if err := visit(e, body); err != nil {
			return err
		}
		rest := body.N + padding(e.size)
		if _, err := io.CopyN(io.Discard, t.r, rest); err != nil {
			return fmt.Errorf("read %q: %v", e.name, cutOff(err))
		}
	}
}

// next returns the next entry, or io.EOF at the end of the archive.
func (t *tarReader) next() (tarEntry, error) {
	var x extensions
	for {
		b, err := t.block()
		if err == io.EOF && x != (extensions{}) {
			return tarEntry{}, errors.New("tar ends behind an extension header")
		}
		if err != nil {
			return tarEntry{}, err
		}
		h, err := parseHeader(b)
		if err != nil {
			return tarEntry{}, err
		}
		if !isExtension(h.kind) {
			return x.entry(h)
		}
		data, err := t.extension(h)
		if err != nil {
			return tarEntry{}, err
		}
		if err := x.add(h.kind, data); err != nil {
			return tarEntry{}, err
		}
	}
}

// block returns the next header block, or io.EOF at the end of the file or the zero block that ends the archive.
func (t *tarReader) block() ([]byte, error) {
	if t.headers++; t.headers > maxEntries {
		return nil, fmt.Errorf("archive has more than %d entries", maxEntries)
	}
	b := t.header[:]
	if _, err := io.ReadFull(t.r, b); err != nil {
		if err == io.EOF {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read tar header: %v", err)
	}
	if allZero(b) {
		return nil, io.EOF
	}
	return b, nil
}

func (t *tarReader) extension(h tarEntry) (string, error) {
	if h.size > maxExtension {
		return "", fmt.Errorf("tar extension header is larger than %d bytes", maxExtension)
	}
	data := make([]byte, h.size+padding(h.size))
	if _, err := io.ReadFull(t.r, data); err != nil {
		return "", fmt.Errorf("read tar extension header: %v", cutOff(err))
	}
	return string(data[:h.size]), nil
}

// end reads what follows the last entry: only blocks of zeros may.
func (t *tarReader) end() error {
	for {
		_, err := io.ReadFull(t.r, t.header[:])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read end of tar: %v", err)
		}
		if !allZero(t.header[:]) {
			return errors.New("there is data behind the end of the tar")
		}
	}
}

// checkLinks refuses an entry that would be unpacked through a link and so land somewhere else than its name
// says. A link's name is ASCII, so that a file system has no second spelling for it that is not in its skeleton.
func (t *tarReader) checkLinks(e tarEntry) error {
	if len(t.links) == 0 && !e.link() {
		return nil
	}
	name := skeleton(e.name)
	for i := range len(name) + 1 {
		if (i == len(name) || name[i] == '/') && t.links[name[:i]] {
			return fmt.Errorf("entry %q is at or below a link", e.name)
		}
	}
	if !e.link() {
		return nil
	}
	if strings.ContainsFunc(e.name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("link %q has a name outside ASCII", e.name)
	}
	if len(t.links) == maxLinks {
		return fmt.Errorf("archive has more than %d links", maxLinks)
	}
	t.links[name] = true
	return nil
}

// parseHeader decodes a header block. Where fields have lengths, nothing may hide behind the text in them.
func parseHeader(b []byte) (tarEntry, error) {
	if err := checkSum(b); err != nil {
		return tarEntry{}, err
	}
	name, err := text(b[0:100])
	if err != nil {
		return tarEntry{}, err
	}
	prefix, err := namePrefix(b)
	if err != nil {
		return tarEntry{}, err
	}
	if prefix != "" {
		name = prefix + "/" + name
	}
	size, err := octal(b[124:136])
	if err == nil {
		err = checkNumbers(b)
	}
	if err != nil {
		return tarEntry{}, fmt.Errorf("tar entry %q: %v", name, err)
	}
	return tarEntry{name: name, kind: b[156], size: size}, nil
}

// checkNumbers refuses number fields that make some readers take the header for the end of the archive.
func checkNumbers(b []byte) error {
	for _, id := range [][]byte{b[108:116], b[116:124]} {
		if _, err := octal(id); err != nil && id[0] != 0x80 { // GNU's binary form, for large user numbers
			return err
		}
	}
	for _, field := range [][]byte{b[100:108], b[136:148], b[329:337], b[337:345]} {
		if _, err := octal(field); err != nil {
			return err
		}
	}
	return nil
}

// namePrefix returns the front part of the name, which exists only in ustar headers although some readers
// look for it in all.
func namePrefix(b []byte) (string, error) {
	switch magic, rest := string(b[257:265]), b[345:512]; {
	case magic == "ustar\x0000" && allZero(b[500:]):
		if b[475] == 0 {
			return text(b[345:475]) // the JavaScript tar writer keeps times in the other 24 bytes
		}
		return text(b[345:500])
	case (magic == "ustar  \x00" || allZero(b[257:265])) && allZero(rest):
		return "", nil
	}
	return "", errors.New("tar header is neither plain ustar, GNU nor Unix V7")
}

func checkSum(b []byte) error {
	want, err := octal(b[148:156])
	if err != nil {
		return fmt.Errorf("tar header checksum: %v", err)
	}
	sum := int64(8 * ' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	if sum != want {
		return errors.New("tar header checksum is wrong")
	}
	return nil
}

// text returns a field up to its padding, which must be NULs.
func text(field []byte) (string, error) {
	s, rest, _ := bytes.Cut(field, []byte{0})
	if !allZero(rest) {
		return "", fmt.Errorf("tar header hides data behind %q", s)
	}
	return string(s), nil
}

// octal returns a number field: spaces, octal digits, then only spaces and NULs. GNU's binary form of sizes is
// for files beyond 8 GiB, more than is read here.
func octal(field []byte) (int64, error) {
	digits := strings.TrimRight(strings.TrimLeft(string(field), " "), " \x00")
	if digits == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(digits, 8, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not an octal number", field)
	}
	return int64(n), nil
}

func padding(size int64) int64 { return -size & (blockSize - 1) }

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
