package gate

import (
	"bytes"
	"os"
	"path/filepath"
)

// Repack changes the records of a pack and makes its checksums agree.
func Repack(data []byte, change func([]byte) []byte) ([]byte, error) {
	folder, err := os.MkdirTemp("", "repack")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "x"+packEnding)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return nil, err
	}
	p, err := openPack(path)
	if err != nil {
		return nil, err
	}
	defer p.close()
	w, err := newPack(folder)
	if err != nil {
		return nil, err
	}
	for i := range p.len() {
		e := p.entry(i)
		if err := w.add([32]byte(e[:32]), change(p.record(e))); err != nil {
			return nil, err
		}
	}
	if err := w.publish(1); err != nil {
		return nil, err
	}
	return os.ReadFile(packNames(folder)[0])
}

// ReadPack reads every record of a pack, and one by its key.
func ReadPack(data []byte, key [32]byte) {
	file := bytes.NewReader(data)
	index, err := readIndex(file, file.Size())
	if err != nil {
		return
	}
	p := &pack{file: file, index: index}
	p.get(key)
	for i := range min(p.len(), 1000) {
		p.record(p.entry(i))
	}
}
