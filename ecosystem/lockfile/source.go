package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// A source is the text of a lockfile, and the way to the files beside it.
type source struct {
	path   string // as the caller wrote it
	base   string // relative to folder
	text   []byte // UTF-8 without a byte order mark
	folder *os.Root
}

func open(file string) (*source, error) {
	// A pipe or device would block: look before opening.
	if info, err := os.Stat(file); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := readText(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %v", file, err)
	}
	folder, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	return &source{path: file, base: filepath.Base(file), text: text, folder: folder}, nil
}

func (s *source) close() { s.folder.Close() }

// beside reads another file in the lockfile's folder or below it, by its name relative to this file. The folder stays
// open until the lockfile itself is closed. A missing file is an fs.ErrNotExist.
func (s *source) beside(name string) (*source, error) {
	if s.folder == nil {
		return nil, errors.New("the lockfile has no folder")
	}
	base := filepath.Join(filepath.Dir(s.base), filepath.FromSlash(name))
	info, err := s.folder.Stat(base)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", base)
	}
	f, err := s.folder.Open(base)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := readText(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %v", base, err)
	}
	return &source{path: filepath.Join(s.folder.Name(), base), base: base, text: text, folder: s.folder}, nil
}

func readText(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	return clean(text)
}

// clean refuses what is no text, and drops a byte order mark, as every client does.
func clean(text []byte) ([]byte, error) {
	switch {
	case len(text) > maxFile:
		return nil, fmt.Errorf("larger than %d MiB", maxFile>>20)
	case bytes.IndexByte(text, 0) >= 0:
		return nil, errors.New("has a NUL byte")
	case !utf8.Valid(text):
		return nil, errors.New("is not UTF-8")
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// A lineCounter turns ascending offsets into line numbers.
type lineCounter struct {
	text   []byte
	offset int
	lines  int
}

// at is the line, from 1, that the offset is in.
func (c *lineCounter) at(offset int) int {
	c.lines += bytes.Count(c.text[c.offset:offset], []byte("\n"))
	c.offset = offset
	return c.lines + 1
}
