package ecosystem

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// A zip says everything twice: in its directory and in a header before each file. Readers go by either, and
// look for the directory in different ways. openZip therefore lets archive/zip read only files in which headers,
// data and directory follow one another without gaps and agree. Offsets below are those of APPNOTE.TXT.

const (
	endSize       = 22
	locatorSize   = 20
	end64Size     = 56
	localSize     = 30
	descriptor32  = 16
	descriptor64  = 24
	endMagic      = "PK\x05\x06"
	locatorMagic  = "PK\x06\x07"
	end64Magic    = "PK\x06\x06"
	localMagic    = "PK\x03\x04"
	dataMagic     = "PK\x07\x08"
	max16, max32  = 1<<16 - 1, 1<<32 - 1
	zip64Field    = 0x0001
	unicodeName   = 0x7075 // a second name for the same file
	flagDeferred  = 0x0008 // checksum and sizes follow the data
	flagsAllowed  = 0x0006 | flagDeferred | flagUTF8
	flagUTF8      = 0x0800
	flagsCompared = flagDeferred | flagUTF8
)

// openZip returns a reader of a zip that has only one reading.
func openZip(r io.ReaderAt, size int64) (*zip.Reader, error) {
	d, err := readEnd(r, size)
	if err != nil {
		return nil, err
	}
	if d.entries > maxEntries || d.size > maxDirectory {
		return nil, fmt.Errorf("zip directory has more than %d entries or %d bytes", maxEntries, maxDirectory)
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("read zip directory: %v", err)
	}
	if len(z.File) != int(d.entries) {
		return nil, fmt.Errorf("zip directory has %d entries and says %d", len(z.File), d.entries)
	}
	if err := checkEntries(z.File); err != nil {
		return nil, err
	}
	return z, checkLayout(r, z.File, int64(d.offset))
}

// A zipDirectory is where the end of a zip says the directory is.
type zipDirectory struct{ entries, size, offset uint64 }

// readEnd reads the record in the last bytes of the file, and the 64-bit one before it if there is one.
func readEnd(r io.ReaderAt, size int64) (zipDirectory, error) {
	b, ok := record(r, size-endSize, endSize, endMagic)
	if !ok || binary.LittleEndian.Uint16(b[20:]) != 0 {
		return zipDirectory{}, errors.New("not a zip, or one with a comment or data behind its end")
	}
	d := zipDirectory{
		entries: uint64(binary.LittleEndian.Uint16(b[10:])),
		size:    uint64(binary.LittleEndian.Uint32(b[12:])),
		offset:  uint64(binary.LittleEndian.Uint32(b[16:])),
	}
	if !allZero(b[4:8]) || uint64(binary.LittleEndian.Uint16(b[8:])) != d.entries {
		return zipDirectory{}, errors.New("zip is one of several volumes")
	}
	end := size - endSize
	if locator, ok := record(r, end-locatorSize, locatorSize, locatorMagic); ok {
		end -= locatorSize + end64Size
		wide, err := readEnd64(r, end, locator)
		if err != nil {
			return zipDirectory{}, err
		}
		if !d.narrows(wide) {
			return zipDirectory{}, errors.New("zip has two different ends")
		}
		d = wide
	}
	if d.offset > uint64(size) || d.size > uint64(size) || d.offset+d.size != uint64(end) {
		return zipDirectory{}, errors.New("zip has data before, behind or between its parts")
	}
	return d, nil
}

func readEnd64(r io.ReaderAt, at int64, locator []byte) (zipDirectory, error) {
	b, ok := record(r, at, end64Size, end64Magic)
	le := binary.LittleEndian
	if !ok || le.Uint64(locator[8:]) != uint64(at) || le.Uint64(b[4:]) != end64Size-12 {
		return zipDirectory{}, errors.New("zip has a 64-bit end in an unusual place or form")
	}
	d := zipDirectory{entries: le.Uint64(b[32:]), size: le.Uint64(b[40:]), offset: le.Uint64(b[48:])}
	if !allZero(locator[4:8]) || le.Uint32(locator[16:]) != 1 || !allZero(b[16:24]) || le.Uint64(b[24:]) != d.entries {
		return zipDirectory{}, errors.New("zip is one of several volumes")
	}
	return d, nil
}

// narrows reports whether each field of d is that of wide, or all ones to say that it does not fit.
func (d zipDirectory) narrows(wide zipDirectory) bool {
	return (d.entries == wide.entries || d.entries == max16) &&
		(d.size == wide.size || d.size == max32) &&
		(d.offset == wide.offset || d.offset == max32)
}

// record reads n bytes that begin with magic; ok is false if they do not.
func record(r io.ReaderAt, at int64, n int, magic string) (b []byte, ok bool) {
	if at < 0 {
		return nil, false
	}
	b = make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, at, int64(n)), b); err != nil {
		return nil, false
	}
	return b, string(b[:len(magic)]) == magic
}

// checkEntries looks at what the directory says of each file.
func checkEntries(files []*zip.File) error {
	names := make(map[string]bool, len(files))
	for _, f := range files {
		name, isDir := strings.CutSuffix(f.Name, "/")
		if err := checkPath(name); err != nil {
			return err
		}
		if names[name] {
			return fmt.Errorf("zip has %q twice", name)
		}
		names[name] = true
		want := fs.FileMode(0)
		if isDir {
			want = fs.ModeDir
		}
		switch {
		case f.Mode().Type() != want:
			return fmt.Errorf("zip entry %q is a link or device", f.Name)
		case isDir && f.UncompressedSize64 != 0:
			return fmt.Errorf("zip entry %q is a directory with content", f.Name)
		case f.Flags&^flagsAllowed != 0:
			return fmt.Errorf("zip entry %q is encrypted or has unusual flags %#x", f.Name, f.Flags)
		case f.Method != zip.Store && f.Method != zip.Deflate:
			return fmt.Errorf("zip entry %q has compression method %d, want stored or deflated", f.Name, f.Method)
		case f.Method == zip.Store && f.CompressedSize64 != f.UncompressedSize64:
			return fmt.Errorf("zip entry %q is stored with two sizes", f.Name)
		}
		if _, ok := extraField(f.Extra, unicodeName); ok {
			return fmt.Errorf("zip entry %q has a second name", f.Name)
		}
	}
	return nil
}

// checkLayout walks the headers before the data from the beginning of the file to the directory.
func checkLayout(r io.ReaderAt, files []*zip.File, directory int64) error {
	byOffset := make(map[int64]*zip.File, len(files))
	for _, f := range files {
		at, err := f.DataOffset()
		if err != nil {
			return fmt.Errorf("zip entry %q: %v", f.Name, err)
		}
		byOffset[at] = f
	}
	seen := 0
	for at := int64(0); at != directory; seen++ {
		next, err := checkLocal(r, at, byOffset)
		if err != nil {
			return err
		}
		if next > directory {
			return errors.New("zip has data that runs into its directory")
		}
		at = next
	}
	if seen != len(files) {
		return errors.New("zip has files that its directory has twice")
	}
	return nil
}

// checkLocal compares the header at an offset with the directory and returns the offset behind its data.
func checkLocal(r io.ReaderAt, at int64, byOffset map[int64]*zip.File) (int64, error) {
	le := binary.LittleEndian
	h, ok := record(r, at, localSize, localMagic)
	if !ok {
		return 0, fmt.Errorf("zip has no file header at offset %d, where one is due", at)
	}
	nameLen, extraLen := int(le.Uint16(h[26:])), int(le.Uint16(h[28:]))
	tail, ok := record(r, at+localSize, nameLen+extraLen, "")
	f := byOffset[at+localSize+int64(len(tail))]
	if !ok || f == nil {
		return 0, fmt.Errorf("zip has a file at offset %d that is not in its directory", at)
	}
	name, extra := string(tail[:nameLen]), tail[nameLen:]
	if name != f.Name {
		return 0, fmt.Errorf("zip entry %q is called %q in its directory", name, f.Name)
	}
	if _, ok := extraField(extra, unicodeName); ok {
		return 0, fmt.Errorf("zip entry %q has a second name", f.Name)
	}
	l := localHeader{
		flags: le.Uint16(h[6:]), method: le.Uint16(h[8:]), crc: le.Uint32(h[14:]),
		packed: uint64(le.Uint32(h[18:])), size: uint64(le.Uint32(h[22:])),
	}
	if !l.widen(extra) || !l.agrees(f) {
		return 0, fmt.Errorf("zip entry %q is described otherwise in its directory", f.Name)
	}
	return behindData(r, at+localSize+int64(len(tail)), f)
}

type localHeader struct {
	flags, method uint16
	crc           uint32
	packed, size  uint64
}

// widen takes sizes that do not fit from the zip64 field, which then holds both.
func (l *localHeader) widen(extra []byte) bool {
	if l.packed != max32 && l.size != max32 {
		return true
	}
	field, ok := extraField(extra, zip64Field)
	if !ok || len(field) != 16 {
		return false
	}
	l.size, l.packed = binary.LittleEndian.Uint64(field), binary.LittleEndian.Uint64(field[8:])
	return true
}

func (l *localHeader) agrees(f *zip.File) bool {
	if l.flags&flagsCompared != f.Flags&flagsCompared || l.method != f.Method {
		return false
	}
	if l.flags&flagDeferred != 0 && l.crc == 0 && l.packed == 0 && l.size == 0 {
		return true
	}
	return l.crc == f.CRC32 && l.packed == f.CompressedSize64 && l.size == f.UncompressedSize64
}

// behindData returns the offset behind a file's data and the descriptor that may follow it.
func behindData(r io.ReaderAt, at int64, f *zip.File) (int64, error) {
	if f.CompressedSize64 > 1<<62 {
		return 0, fmt.Errorf("zip entry %q has an impossible size", f.Name)
	}
	at += int64(f.CompressedSize64)
	if f.Flags&flagDeferred == 0 {
		return at, nil
	}
	le := binary.LittleEndian
	b, ok := record(r, at, descriptor32, dataMagic)
	if !ok || le.Uint32(b[4:]) != f.CRC32 {
		return 0, fmt.Errorf("zip entry %q lacks the descriptor behind its data", f.Name)
	}
	if uint64(le.Uint32(b[8:])) == f.CompressedSize64 && uint64(le.Uint32(b[12:])) == f.UncompressedSize64 {
		return at + descriptor32, nil
	}
	b, ok = record(r, at, descriptor64, dataMagic)
	if ok && le.Uint64(b[8:]) == f.CompressedSize64 && le.Uint64(b[16:]) == f.UncompressedSize64 {
		return at + descriptor64, nil
	}
	return 0, fmt.Errorf("zip entry %q has other sizes behind its data", f.Name)
}

// extraField returns the first extra field of a type.
func extraField(extra []byte, id uint16) ([]byte, bool) {
	for len(extra) >= 4 {
		found, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			return nil, false
		}
		if found == id {
			return extra[:n], true
		}
		extra = extra[n:]
	}
	return nil, false
}
