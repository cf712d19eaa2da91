package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/ledger"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A writer appends batches and stores checkpoints, and keeps count for the crashes that come in between.
type writer struct {
	log     *ledger.Log
	random  *rand.Rand
	started atomic.Uint64 // size after the last batch begun
	durable atomic.Uint64 // size after the last batch that Append returned from
	signed  atomic.Uint64 // the last checkpoint that StoreCheckpoint returned from
}

// step appends one batch. Entry i has the key i@0; the first of a batch says where the batch ends.
func (w *writer) step() error {
	size := w.log.Size()
	n := 1 + w.random.Uint64N(60)
	var batch []ledger.Entry
	for i := range n {
		kind := "plain"
		if w.random.IntN(20) == 0 {
			kind = "state"
		}
		text := fmt.Sprintf("batch %d to %d ", size, size+n) + strings.Repeat("x", w.random.IntN(3000))
		batch = append(batch, entry(kind, fmt.Sprintf("key%d@0", size+i), text))
	}
	w.started.Store(size + n)
	if _, err := w.log.Append(context.Background(), w.log.Epoch(), batch); err != nil {
		return err
	}
	w.durable.Store(size + n)
	if w.random.IntN(2) == 0 {
		return nil
	}
	root, err := w.log.Root(size + n)
	if err != nil {
		return err
	}
	if err := w.log.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: size + n, Root: root, Note: []byte("note")}); err != nil {
		return err
	}
	w.signed.Store(size + n)
	return nil
}

// A bound is what a crash may leave.
type bound struct {
	durable, signed uint64 // at least
	started         uint64 // at most
}

// survives opens what a crash left.
func survives(fs vfs.FS, b bound) error {
	db, err := ledger.OpenIn(fs, "ledger")
	if err != nil {
		return err
	}
	defer db.Close()
	log, err := db.Log("r.example/1")
	if err != nil {
		return err
	}
	if log.Size() < b.durable || log.Size() > b.started || log.Checkpoint().Size < b.signed {
		return fmt.Errorf("size %d, checkpoint %d, want %+v", log.Size(), log.Checkpoint().Size, b)
	}
	end := uint64(1)
	err = log.Entries(context.Background(), 1, log.Size(), func(index uint64, data []byte) error {
		if index == end {
			if _, err := fmt.Sscanf(strings.SplitN(string(data), "|", 3)[2], "batch %d to %d", &index, &end); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if end != log.Size() {
		return fmt.Errorf("size %d, but the last batch ends at %d", log.Size(), end)
	}
	if err := log.Check(context.Background(), describe, nil); err != nil {
		return err
	}
	_, err = log.Append(context.Background(), log.Epoch(), []ledger.Entry{entry("plain", fmt.Sprintf("key%d@0", end), "")})
	return err
}

func newWriter(t *testing.T, fs vfs.FS, seed uint64) *writer {
	t.Helper()
	db := must(ledger.CreateIn(fs, "ledger"))(t)
	t.Cleanup(func() { db.Close() })
	log := must(db.CreateLog("r.example", "r.example/1", entry("state", "identity", "")))(t)
	w := &writer{log: log, random: rand.New(rand.NewPCG(seed, seed))}
	w.durable.Store(1)
	w.started.Store(1)
	return w
}

// TestCrash crashes at random moments of appends, flushes and compactions. What was not synced is lost, kept, or kept in part.
func TestCrash(t *testing.T) {
	for seed := range uint64(2) {
		fs := vfs.NewCrashableMem()
		w := newWriter(t, fs, seed)
		random := rand.New(rand.NewPCG(seed, 99))
		for crash := range 12 {
			written := make(chan error, 1)
			go func() {
				for range 15 {
					if err := w.step(); err != nil {
						written <- err
						return
					}
				}
				written <- nil
			}()
			time.Sleep(time.Duration(random.IntN(8000)) * time.Microsecond)
			b := bound{durable: w.durable.Load(), signed: w.signed.Load()}
			left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(5) * 25, RNG: random})
			b.started = w.started.Load()
			noError(t, <-written)
			if err := survives(left, b); err != nil {
				t.Fatalf("seed %d, crash %d: %v", seed, crash, err)
			}
		}
	}
}

// TestCrashOfCeremony crashes after each step that makes a ledger.
func TestCrashOfCeremony(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := must(ledger.CreateIn(fs, "parent/ledger"))(t)
	defer db.Close()
	noError(t, must(ledger.OpenIn(fs.CrashClone(vfs.CrashCloneCfg{}), "parent/ledger"))(t).Close())
	for i := range 3 {
		origin := fmt.Sprintf("r.example/%d", i)
		must(db.CreateLog("r.example", origin, entry("state", "identity", "")))(t)
		left := must(ledger.OpenIn(fs.CrashClone(vfs.CrashCloneCfg{}), "parent/ledger"))(t)
		log := must(left.Log(origin))(t)
		if log.Size() != 1 || log.Epoch() != uint64(i+1) || len(left.Origins()) != i+1 {
			t.Errorf("size %d, epoch %d, origins %v", log.Size(), log.Epoch(), left.Origins())
		}
		check(t, log)
		noError(t, left.Close())
	}
}

// TestFailingDisk fails a write or sync of the write-ahead log. Append must not return as if nothing were, nor anything be written
// after it; what was durable stays.
func TestFailingDisk(t *testing.T) {
	sync := []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
	for _, ops := range [][]errorfs.OpKind{{errorfs.OpFileWrite}, sync} {
		var failing atomic.Bool
		mem := vfs.NewCrashableMem()
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(o errorfs.Op) error {
			if failing.Load() && slices.Contains(ops, o.Kind) && strings.HasSuffix(o.Path, ".log") {
				return errorfs.ErrInjected
			}
			return nil
		}))
		w := newWriter(t, fs, 5)
		for range 20 {
			noError(t, w.step())
		}
		failing.Store(true)
		if outcome := attempt(w.step); !strings.Contains(outcome, "injected error") {
			t.Fatalf("operations %v: %s", ops, outcome)
		}
		failing.Store(false)
		if outcome := attempt(w.step); !strings.Contains(outcome, "stopped writing") {
			t.Errorf("append after a failure: %s", outcome)
		}
		if w.log.Size() != w.durable.Load() {
			t.Errorf("it shows %d entries, %d are durable", w.log.Size(), w.durable.Load())
		}
		noError(t, survives(mem.CrashClone(vfs.CrashCloneCfg{}), bound{w.durable.Load(), w.signed.Load(), w.started.Load()}))
	}
}

func attempt(step func() error) (outcome string) {
	defer func() {
		if r := recover(); r != nil {
			outcome = fmt.Sprint("panic: ", r)
		}
	}()
	return fmt.Sprint("error: ", step())
}

// TestFailingBackground fails what is written behind Append's back: it must not go unnoticed.
func TestFailingBackground(t *testing.T) {
	var failing atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(o errorfs.Op) error {
		if failing.Load() && o.Kind == errorfs.OpCreate && (strings.HasSuffix(o.Path, ".sst") || strings.HasSuffix(o.Path, ".blob")) {
			return errorfs.ErrInjected
		}
		return nil
	}))
	w := newWriter(t, fs, 6)
	failing.Store(true)
	for range 2000 {
		if err := w.step(); err != nil {
			contains(t, err, "stopped writing")
			contains(t, err, "injected error")
			if !errors.Is(err, errorfs.ErrInjected) {
				t.Errorf("cause lost: %v", err)
			}
			failing.Store(false)
			return
		}
	}
	t.Error("nobody noticed")
}

// TestNothingShowsBeforeItIsDurable holds a sync back while others read.
func TestNothingShowsBeforeItIsDurable(t *testing.T) {
	var hold atomic.Bool
	syncing, release := make(chan struct{}), make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(o errorfs.Op) error {
		sync := o.Kind == errorfs.OpFileSync || o.Kind == errorfs.OpFileSyncData || o.Kind == errorfs.OpFileSyncTo
		if sync && strings.HasSuffix(o.Path, ".log") && hold.CompareAndSwap(true, false) {
			close(syncing)
			<-release
		}
		return nil
	}))
	w := newWriter(t, fs, 7)
	appendAll(t, w.log, entry("plain", "a@0", ""))
	before := state(t, w.log)
	hold.Store(true)
	appended := make(chan error, 1)
	go func() {
		_, err := w.log.Append(context.Background(), 1, []ledger.Entry{entry("state", "a@1 b@0", "")})
		appended <- err
	}()
	<-syncing
	if got := state(t, w.log); got != before {
		t.Errorf("it shows %s, was %s", got, before)
	}
	a, b := must(w.log.Lookup(hash("a")))(t), must(w.log.Lookup(hash("b")))(t)
	if len(a) != 1 || len(b) != 0 {
		t.Errorf("keys show %v and %v", a, b)
	}
	if _, err := w.log.Entry(2); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("entry: %v", err)
	}
	noError(t, w.log.StateEntries(func(index uint64, _ []byte) error {
		if index > 0 {
			t.Errorf("state entry %d", index)
		}
		return nil
	}))
	close(release)
	noError(t, <-appended)
	if b := must(w.log.Lookup(hash("b")))(t); len(b) != 1 || w.log.Size() != 3 || w.log.Epoch() != 2 {
		t.Errorf("then it shows %v, size %d, epoch %d", b, w.log.Size(), w.log.Epoch())
	}
}
