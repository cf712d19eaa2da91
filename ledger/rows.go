package ledger

import (
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/tlog"
)

// The rows. Integers are big-endian; log and scope numbers, and ordinals, have 4 bytes, sizes and indexes 8. A scope's number is
// that of its first log.
//
//	'e' log index           an entry's data
//	'h' log chunk           the stored hashes (tlog.StoredHashIndex order) from chunk*256 on, 32 bytes each; 256 but in the last
//	'k' scope hash ordinal  log, index of the entry
//	'o' origin              log, scope, the scope's name
//	'p' log                 the stored checkpoint: size, root, note
//	's' log                 size, number of state entries
//	't' log index           nothing; marks a state entry
//	'v'                     the format of this database
const (
	entryRows      = 'e'
	hashRows       = 'h'
	keyRows        = 'k'
	originRows     = 'o'
	checkpointRows = 'p'
	sizeRows       = 's'
	stateRows      = 't'
	formatRow      = 'v'
)

const format = "countersign ledger 1"

const chunkLen = 256 // hashes

// appendRow appends the key of a row of one log.
func appendRow(key []byte, kind byte, log uint32) []byte {
	return binary.BigEndian.AppendUint32(append(key, kind), log)
}

// appendIndexed appends the key of a numbered row of one log.
func appendIndexed(key []byte, kind byte, log uint32, n uint64) []byte {
	return binary.BigEndian.AppendUint64(appendRow(key, kind, log), n)
}

// indexOf is the number in a key made by appendIndexed. One that was not has a number beyond all.
func indexOf(key []byte) uint64 {
	if len(key) != 5+8 {
		return math.MaxUint64
	}
	return binary.BigEndian.Uint64(key[5:])
}

func appendKeyRow(key []byte, scope uint32, hash *[32]byte, ordinal uint32) []byte {
	key = append(appendRow(key, keyRows, scope), hash[:]...)
	return binary.BigEndian.AppendUint32(key, ordinal)
}

// splitKeyRow takes hash and ordinal from a key made by appendKeyRow.
func splitKeyRow(key []byte) (hash [32]byte, ordinal uint32, err error) {
	if len(key) != 5+32+4 {
		return hash, 0, fmt.Errorf("key row of %d bytes", len(key))
	}
	copy(hash[:], key[5:])
	return hash, binary.BigEndian.Uint32(key[5+32:]), nil
}

// A place is where an entry is.
type place struct {
	log   uint32
	index uint64
}

func (p place) append(value []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(value, p.log), p.index)
}

func parsePlace(value []byte) (place, error) {
	if len(value) != 4+8 {
		return place{}, fmt.Errorf("key row value of %d bytes", len(value))
	}
	return place{binary.BigEndian.Uint32(value), binary.BigEndian.Uint64(value[4:])}, nil
}

// An originRow is what is stored about a log when it is created.
type originRow struct {
	origin     string
	log, scope uint32
	scopeName  string
}

func (r originRow) marshal() (key, value []byte) {
	value = binary.BigEndian.AppendUint32(nil, r.log)
	value = binary.BigEndian.AppendUint32(value, r.scope)
	return append([]byte{originRows}, r.origin...), append(value, r.scopeName...)
}

func parseOriginRow(key, value []byte) (originRow, error) {
	if len(key) < 2 || len(value) < 4+4+1 {
		return originRow{}, fmt.Errorf("origin row of %d and %d bytes", len(key), len(value))
	}
	return originRow{
		origin:    string(key[1:]),
		log:       binary.BigEndian.Uint32(value),
		scope:     binary.BigEndian.Uint32(value[4:]),
		scopeName: string(value[8:]),
	}, nil
}

// A sizeRow counts a log's entries, and those of them that are state entries.
type sizeRow struct {
	size, states uint64
}

func (r sizeRow) marshal() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.size), r.states)
}

func parseSizeRow(value []byte) (sizeRow, error) {
	if len(value) != 8+8 {
		return sizeRow{}, fmt.Errorf("size row of %d bytes", len(value))
	}
	r := sizeRow{binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])}
	if r.size == 0 || r.size > maxSize || r.states > r.size {
		return sizeRow{}, fmt.Errorf("size row counts %d entries and %d state entries", r.size, r.states)
	}
	return r, nil
}

func (c Checkpoint) marshal() []byte {
	value := binary.BigEndian.AppendUint64(nil, c.Size)
	value = append(value, c.Root[:]...)
	return append(value, c.Note...)
}

func parseCheckpoint(value []byte) (Checkpoint, error) {
	if len(value) < 8+tlog.HashSize+1 {
		return Checkpoint{}, fmt.Errorf("checkpoint row of %d bytes", len(value))
	}
	c := Checkpoint{Size: binary.BigEndian.Uint64(value), Root: tlog.Hash(value[8 : 8+tlog.HashSize])}
	if c.Size == 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint row of size 0")
	}
	c.Note = append(c.Note, value[8+tlog.HashSize:]...)
	return c, nil
}
