package ledger

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	CreateIn = create
	OpenIn   = open
)

// Rewrite changes a closed ledger's database.
func Rewrite(fs vfs.FS, dir string, change func(*pebble.Batch) error) error {
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: logger{func(error) {}}})
	if err != nil {
		return err
	}
	defer db.Close()
	batch := db.NewIndexedBatch()
	if err := change(batch); err != nil {
		return err
	}
	return batch.Commit(pebble.Sync)
}

// Flush writes what is in memory to tables and blob files.
func (db *DB) Flush() error { return db.store.Flush() }

func EntryRow(log uint32, index uint64) []byte { return appendIndexed(nil, entryRows, log, index) }
func HashRow(log uint32, chunk uint64) []byte  { return appendIndexed(nil, hashRows, log, chunk) }
func StateRow(log uint32, index uint64) []byte { return appendIndexed(nil, stateRows, log, index) }
func CheckpointRow(log uint32) []byte          { return appendRow(nil, checkpointRows, log) }
func SizeRow(log uint32) []byte                { return appendRow(nil, sizeRows, log) }
func OriginRow(origin string) []byte           { return append([]byte{originRows}, origin...) }
func FormatRow() []byte                        { return []byte{formatRow} }

func KeyRow(scope uint32, hash [32]byte, ordinal uint32) []byte {
	return appendKeyRow(nil, scope, &hash, ordinal)
}

func KeyRowValue(log uint32, index uint64) []byte { return place{log, index}.append(nil) }

func SizeRowValue(size, states uint64) []byte { return sizeRow{size, states}.marshal() }

func CheckpointRowValue(c Checkpoint) []byte { return c.marshal() }

func OriginRowValue(log, scope uint32, name string) []byte {
	return append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, log), scope), name...)
}
