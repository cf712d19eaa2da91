package ledger

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store is the Pebble database with the lock on its directory.
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
	return errors.Join(s.DB.Close(), s.lock.Close())
}

// get returns a copy of a row's value, nil if there is none.
func get(r pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, readError(err)
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

// readError tells rotten disk blocks from other errors.
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

// options suit a daemon: about 100 MiB of memory whatever the ledger's size. fail is told of errors that no call returns.
func options(fs vfs.FS, fail func(error)) *pebble.Options {
	opts := &pebble.Options{
		FS:                 fs,
		FormatMajorVersion: pebble.FormatNewest,
		CacheSize:          64 << 20,
		MemTableSize:       16 << 20,
		MaxOpenFiles:       500,
		Logger:             silent{},
		EventListener: &pebble.EventListener{
			BackgroundError: fail,
			DataCorruption:  func(info pebble.DataCorruptionInfo) { fail(info.Details) },
		},
	}
	opts.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	opts.Experimental.SpanPolicyFunc = spans
	if os.Getenv("VS") != "" {
		opts.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
			return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 512, MaxBlobReferenceDepth: 1000, RewriteMinimumAge: time.Hour, TargetGarbageRatio: 1}
		}
	}
	if n, _ := strconv.Atoi(os.Getenv("MT")); n > 0 {
		opts.MemTableSize = uint64(n) << 20
	}
	if os.Getenv("NC") != "" {
		opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	}
	if os.Getenv("FC") != "" {
		opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	}
	if n, _ := strconv.Atoi(os.Getenv("CS")); n > 0 {
		opts.CacheSize = int64(n) << 20
	}
	if n, _ := strconv.Atoi(os.Getenv("CC")); n > 0 {
		opts.CompactionConcurrencyRange = func() (int, int) { return 1, n }
	}
	if n, _ := strconv.Atoi(os.Getenv("L0")); n > 0 {
		opts.L0CompactionThreshold = n
		opts.L0StopWritesThreshold = 4 * n
	}
	if n, _ := strconv.Atoi(os.Getenv("LB")); n > 0 {
		opts.LBaseMaxBytes = int64(n) << 20
	}
	if os.Getenv("NOSPAN") != "" {
		opts.Experimental.SpanPolicyFunc = nil
	}
	return opts
}

// spans ends every table where the kind of row changes, as far as the kinds in bulk go.
func spans(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	if start[0] <= keyRows {
		end = []byte{start[0] + 1}
	}
	return policy, end, nil
}

// silent drops what Pebble logs: errors that matter are returned by a call or told to the event listener.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// Fatalf is called where Pebble cannot go on, as when the disk fails under a commit, and must not return.
func (silent) Fatalf(format string, args ...any) {
	panic("ledger: " + fmt.Sprintf(format, args...))
}

// A tx collects the rows of one transaction.
type tx struct {
	db    *DB
	batch *pebble.Batch
	err   error // the first of set
}

func (db *DB) begin(size int) *tx {
	return &tx{db: db, batch: db.store.NewBatchWithSize(size)}
}

func (t *tx) set(key, value []byte) {
	if err := t.batch.Set(key, value, nil); err != nil && t.err == nil {
		t.err = err
	}
}

// commit makes the rows durable, or returns an error and leaves no trace of them.
func (t *tx) commit() error {
	if err := errors.Join(t.err, t.db.writable()); err != nil {
		return err
	}
	return t.batch.Commit(pebble.Sync)
}

func (t *tx) close() {
	t.batch.Close()
}
