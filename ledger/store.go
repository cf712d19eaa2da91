package ledger

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store is the Pebble database, with the lock on its directory if that is not its own.
type store struct {
	*pebble.DB
	lock *pebble.Lock
}

func openStore(dir string, opts *pebble.Options) (store, error) {
	lock, err := pebble.LockDirectory(dir, opts.FS)
	if path := (*iofs.PathError)(nil); errors.As(err, &path) {
		return store{}, fmt.Errorf("ledger %s: %v", dir, err)
	} else if err != nil {
		return store{}, fmt.Errorf("ledger %s is locked: another countersignd has it open (%v)", dir, err)
	}
	opts.Lock = lock
	db, err := pebble.Open(dir, opts)
	if err != nil {
		lock.Close()
	}
	if pebble.IsCorruptionError(err) {
		return store{}, corrupt("%s does not open: %v", dir, err)
	} else if err != nil {
		return store{}, fmt.Errorf("open ledger %s: %v", dir, err)
	}
	return store{db, lock}, nil
}

func (s store) Close() error {
	err := s.DB.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// get returns a copy of a row's value, nil if there is no row.
func get(r pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, readError(err)
	}
	value = append([]byte{}, value...)
	if err := closer.Close(); err != nil { // a value in a blob file that does not read is only told here
		return nil, readError(err)
	}
	return value, nil
}

// readError tells rotten files from other errors.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case pebble.IsCorruptionError(err):
		return corrupt("%v", err)
	default:
		return fmt.Errorf("read ledger: %w", err)
	}
}

// options suit a daemon: 128 MiB, memtables included, whatever the ledger's size. fail is told of errors that no call returns.
//
// Key rows come in random order, so merging them is what the database's own work consists of. Entries and hashes are kept out of it:
// values of that size go to blob files, are written once and stay. L0 may be deep, because nearly all key lookups there end at a
// Bloom filter.
func options(fs vfs.FS, fail func(error)) *pebble.Options {
	opts := &pebble.Options{
		FS:                         fs,
		FormatMajorVersion:         pebble.FormatNewest,
		CacheSize:                  128 << 20,
		MemTableSize:               32 << 20,
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      24,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		MaxOpenFiles:               500,
		Logger:                     logger{fail},
		EventListener: &pebble.EventListener{
			BackgroundError: fail,
			DataCorruption:  func(info pebble.DataCorruptionInfo) { fail(info.Details) },
		},
	}
	opts.TargetFileSizes[0] = 8 << 20
	opts.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	opts.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled:               true,
			MinimumSize:           512,
			MaxBlobReferenceDepth: 1000, // rows are read one by one: where their values are does not matter
			RewriteMinimumAge:     time.Hour,
			TargetGarbageRatio:    1, // nothing is deleted: garbage is but some half full hash chunks
		}
	}
	return opts
}

// A logger drops what Pebble logs: errors that matter are returned by a call or told to the event listener.
type logger struct {
	fail func(error)
}

func (logger) Infof(string, ...any)  {}
func (logger) Errorf(string, ...any) {}

// Fatalf is called where Pebble cannot go on, as when the disk fails under a commit, and must not return.
func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.fail(err)
	panic(fmt.Sprintf("ledger: %v", err))
}

// A tx collects the rows of one transaction.
type tx struct {
	batch *pebble.Batch
	err   error // the first of set
}

// begin makes room for size bytes. It returns an error if nothing may be written any more.
func (db *DB) begin(size int) (*tx, error) {
	if err := db.failed.Load(); err != nil {
		return nil, *err
	}
	return &tx{batch: db.store.NewBatchWithSize(size)}, nil
}

func (t *tx) set(key, value []byte) {
	if err := t.batch.Set(key, value, nil); err != nil && t.err == nil {
		t.err = err
	}
}

// commit makes the rows durable, or returns an error and leaves no trace of them.
func (t *tx) commit() error {
	if t.err != nil {
		return t.err
	}
	return t.batch.Commit(pebble.Sync)
}

func (t *tx) close() {
	t.batch.Close()
}
