package ledger

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A DB holds logs. Its methods and those of its logs may be called concurrently, but none together with or after Close.
type DB struct {
	dir    string
	store  store
	chunks chunkCache
	failed atomic.Pointer[error] // why nothing may be written any more
	closed atomic.Bool

	mu     sync.RWMutex // held while a log is created
	logs   []*Log       // by number
	byName map[string]*Log
	scopes map[string]*scope
}

// A scope is the space of keys and state that some logs share.
type scope struct {
	number uint32
	name   string
	mu     sync.Mutex    // held by the one Append at a time
	epoch  atomic.Uint64 // written under mu
}

// Create makes an empty ledger in dir, which must not exist or be empty, and makes dir accessible to its owner only.
func Create(dir string) (*DB, error) {
	db, err := create(vfs.Default, dir)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Open opens the ledger in dir and verifies its logs (see the package comment). It creates nothing.
func Open(dir string) (*DB, error) {
	return open(vfs.Default, dir)
}

func create(fs vfs.FS, dir string) (*DB, error) {
	files, err := fs.List(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("create ledger: %v", err)
	}
	if len(files) > 0 {
		return nil, fmt.Errorf("create ledger: %s is not empty; choose another directory", dir)
	}
	db := newDB(dir)
	opts := options(fs, db.fail)
	opts.ErrorIfExists = true
	if db.store.DB, err = pebble.Open(dir, opts); err != nil {
		return nil, fmt.Errorf("create ledger: %v", err)
	}
	if err := db.store.Set([]byte{formatRow}, []byte(format), pebble.Sync); err != nil {
		return nil, errors.Join(fmt.Errorf("create ledger %s: %v", dir, err), db.Close())
	}
	return db, nil
}

func open(fs vfs.FS, dir string) (*DB, error) {
	found, err := pebble.Peek(dir, fs)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !found.Exists {
		return nil, fmt.Errorf("no ledger in %s: a ceremony creates it", dir)
	} else if err != nil {
		return nil, fmt.Errorf("open ledger: %v", err)
	}
	db := newDB(dir)
	opts := options(fs, db.fail)
	opts.ErrorIfNotExists = true
	if db.store, err = openStore(dir, opts); err != nil {
		return nil, err
	}
	if err := db.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", dir, err), db.Close())
	}
	return db, nil
}

func newDB(dir string) *DB {
	return &DB{dir: dir, byName: make(map[string]*Log), scopes: make(map[string]*scope)}
}

// Close releases the directory. Everything appended is durable already. Only the first call does anything.
func (db *DB) Close() error {
	if !db.closed.CompareAndSwap(false, true) {
		return nil
	}
	if err := db.store.Close(); err != nil {
		return fmt.Errorf("close ledger %s: %v", db.dir, err)
	}
	return nil
}

// fail makes the first error that no call returned refuse all later writes.
func (db *DB) fail(err error) {
	err = fmt.Errorf("ledger %s stopped writing: %w; see to the disk and open it again", db.dir, err)
	db.failed.CompareAndSwap(nil, &err)
}

// Origins lists the logs, sorted.
func (db *DB) Origins() []string {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return slices.Sorted(maps.Keys(db.byName))
}

// Log returns the log of that origin, or [ErrNotFound].
func (db *DB) Log(origin string) (*Log, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if l := db.byName[origin]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("log %q: %w in ledger %s", origin, ErrNotFound, db.dir)
}

// CreateLog creates a log with its entry 0, whose keys must be free as in Append, in the scope (which is made with its first log).
// It refuses if the origin exists.
func (db *DB) CreateLog(scopeName, origin string, first Entry) (*Log, error) {
	if scopeName == "" || origin == "" {
		return nil, errors.New("create log: no scope or no origin")
	}
	b, err := newBatch([]Entry{first})
	if err != nil {
		return nil, fmt.Errorf("create log: %v", err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.byName[origin] != nil {
		return nil, fmt.Errorf("create log: %s exists", origin)
	}
	l := db.newLog(scopeName, origin)
	l.scope.mu.Lock()
	defer l.scope.mu.Unlock()
	tx, err := db.begin(0)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	defer tx.close()
	tx.set(originRow{origin, l.number, l.scope.number, scopeName}.marshal())
	if err := l.append(tx, b); err != nil {
		return nil, err
	}
	db.add(l)
	return l, nil
}

// newLog makes the next log, which is not one of the ledger's until add. db.mu is held.
func (db *DB) newLog(scopeName, origin string) *Log {
	number := uint32(len(db.logs))
	s := db.scopes[scopeName]
	if s == nil {
		s = &scope{number: number, name: scopeName}
	}
	l := &Log{db: db, scope: s, origin: origin, number: number}
	l.head.Store(&head{})
	l.checkpoint.Store(&Checkpoint{})
	return l
}

func (db *DB) add(l *Log) {
	db.logs = append(db.logs, l)
	db.byName[l.origin] = l
	db.scopes[l.scope.name] = l.scope
}

// numbered returns nil if there is no such log.
func (db *DB) numbered(number uint32) *Log {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if int64(number) >= int64(len(db.logs)) {
		return nil
	}
	return db.logs[number]
}
