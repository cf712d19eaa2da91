package gate

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// A pack is a file of the cache with many records: their bytes one after the other, an index sorted by key, and a tail
// that says where the index begins. It is written once and never changed. The checksums find accidents; who can write
// to the cache on purpose is found out by Verify.
//
//	record: bytes
//	index:  key [32], offset uint64, length uint32, CRC-32C of the record uint32
//	tail:   offset of the index uint64, entries uint32, CRC-32C of the index uint32, "CSPACK1\n"
const (
	packMagic  = "CSPACK1\n"
	packEntry  = 32 + 8 + 4 + 4
	packTail   = 8 + 4 + 4 + len(packMagic)
	maxPacked  = 1 << 22  // records of a pack
	maxRecord  = 32 << 20 // bytes
	packEnding = ".pack"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pack is one that is open for reading.
type pack struct {
	file  io.ReaderAt
	end   io.Closer
	index []byte
}

func openPack(path string) (*pack, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	index, err := readIndex(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %v", path, err)
	}
	return &pack{f, f, index}, nil
}

func readIndex(f io.ReaderAt, length int64) ([]byte, error) {
	var tail [packTail]byte
	if _, err := f.ReadAt(tail[:], max(0, length-int64(packTail))); err != nil {
		return nil, errors.New("too short")
	}
	offset, n := binary.BigEndian.Uint64(tail[:]), binary.BigEndian.Uint32(tail[8:])
	size := uint64(length)
	if string(tail[16:]) != packMagic || n > maxPacked || offset > size || size-offset != uint64(n)*packEntry+uint64(packTail) {
		return nil, errors.New("no pack")
	}
	index := make([]byte, int(n)*packEntry)
	if _, err := f.ReadAt(index, int64(offset)); err != nil {
		return nil, err
	}
	if crc32.Checksum(index, castagnoli) != binary.BigEndian.Uint32(tail[12:]) {
		return nil, errors.New("the index is damaged")
	}
	return index, nil
}

func (p *pack) close() { p.end.Close() }

func (p *pack) len() int { return len(p.index) / packEntry }

func (p *pack) entry(i int) []byte { return p.index[i*packEntry:][:packEntry] }

// get gives a record, or nil where there is none that is whole.
func (p *pack) get(key [32]byte) []byte {
	low, high := 0, p.len()
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch e := p.entry(middle); bytes.Compare(e[:32], key[:]) {
		case 0:
			return p.record(e)
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return nil
}

func (p *pack) record(e []byte) []byte {
	offset, length := binary.BigEndian.Uint64(e[32:]), binary.BigEndian.Uint32(e[40:])
	if length > maxRecord || offset > 1<<60 {
		return nil
	}
	data := make([]byte, length)
	if _, err := p.file.ReadAt(data, int64(offset)); err != nil || crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(e[44:]) {
		return nil
	}
	return data
}

// packWriter makes a pack. It has its name only when it is whole.
type packWriter struct {
	folder  string
	file    *os.File
	buffer  *bufio.Writer
	offset  uint64
	entries [][packEntry]byte
}

func newPack(folder string) (*packWriter, error) {
	f, err := os.CreateTemp(folder, ".new-*"+packEnding)
	if err != nil {
		return nil, err
	}
	return &packWriter{folder: folder, file: f, buffer: bufio.NewWriterSize(f, 1<<18)}, nil
}

func (w *packWriter) add(key [32]byte, data []byte) error {
	if len(data) > maxRecord || len(w.entries) >= maxPacked {
		return nil // it is not kept
	}
	var e [packEntry]byte
	copy(e[:], key[:])
	binary.BigEndian.PutUint64(e[32:], w.offset)
	binary.BigEndian.PutUint32(e[40:], uint32(len(data)))
	binary.BigEndian.PutUint32(e[44:], crc32.Checksum(data, castagnoli))
	w.entries = append(w.entries, e)
	w.offset += uint64(len(data))
	_, err := w.buffer.Write(data)
	return err
}

// publish writes the index and gives the pack its name. Names sort by time, in nanoseconds.
func (w *packWriter) publish(at int64) error {
	slices.SortStableFunc(w.entries, func(a, b [packEntry]byte) int {
		return cmp.Or(bytes.Compare(a[:32], b[:32]))
	})
	sum := uint32(0)
	for i := range w.entries {
		sum = crc32.Update(sum, castagnoli, w.entries[i][:])
		w.buffer.Write(w.entries[i][:])
	}
	tail := binary.BigEndian.AppendUint64(nil, w.offset)
	tail = binary.BigEndian.AppendUint32(tail, uint32(len(w.entries)))
	tail = append(binary.BigEndian.AppendUint32(tail, sum), packMagic...)
	w.buffer.Write(tail)
	err := errors.Join(w.buffer.Flush(), w.file.Sync(), w.file.Close())
	if err == nil {
		name := fmt.Sprintf("%016x-%08x%s", at, rand.Uint32(), packEnding)
		err = os.Rename(w.file.Name(), filepath.Join(w.folder, name))
	}
	if err != nil {
		os.Remove(w.file.Name())
	}
	return err
}

// discard gives up what was written.
func (w *packWriter) discard() {
	w.file.Close()
	os.Remove(w.file.Name())
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return data, err
}

// regular refuses what would block who opens it, or never end.
func regular(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	return err
}
