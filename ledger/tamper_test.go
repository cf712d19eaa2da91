package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/ledger"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/tlog"
)

// value reads a row while it is rewritten.
func value(b *pebble.Batch, row []byte) []byte {
	v, closer, err := b.Get(row)
	if err != nil {
		return nil
	}
	defer closer.Close()
	return bytes.Clone(v)
}

func set(row, v []byte) func(*pebble.Batch) error {
	return func(b *pebble.Batch) error { return b.Set(row, v, nil) }
}

func remove(row []byte) func(*pebble.Batch) error {
	return func(b *pebble.Batch) error { return b.Delete(row, nil) }
}

// flip changes one bit of a row's value.
func flip(row []byte, at int) func(*pebble.Batch) error {
	return func(b *pebble.Batch) error {
		v := value(b, row)
		if len(v) <= at {
			return errors.New("no such row")
		}
		v[at] ^= 1
		return b.Set(row, v, nil)
	}
}

func both(changes ...func(*pebble.Batch) error) func(*pebble.Batch) error {
	return func(b *pebble.Batch) error {
		for _, change := range changes {
			if err := change(b); err != nil {
				return err
			}
		}
		return nil
	}
}

// inTree changes a stored hash.
func inTree(level int, n int64) func(*pebble.Batch) error {
	i := tlog.StoredHashIndex(level, n)
	return flip(ledger.HashRow(0, uint64(i/256)), int(i%256)*32)
}

// TestTampering changes a ledger of 1000 entries, a checkpoint at 900 and two more logs. Open must refuse, or else Check.
func TestTampering(t *testing.T) {
	master := vfs.NewMem()
	db := must(ledger.CreateIn(master, "ledger"))(t)
	log := must(db.CreateLog("r.example", "r.example/1", entry("state", "identity", "")))(t)
	appendAll(t, log, plain(500)...)
	appendAll(t, log, entry("plain", "a@0", "501"), entry("plain", "a@1 b@0", "502"), entry("state", "c@0", "503"))
	second := must(db.CreateLog("r.example", "r.example/2", entry("plain", "a@2", "")))(t)
	appendAll(t, log, plain(400)...)
	sign(t, log, 900)
	appendAll(t, log, plain(96)...)
	appendAll(t, second, plain(10)...)
	sign(t, second, 11)
	third := must(db.CreateLog("r.example", "r.example/3", entry("plain", "", "")))(t)
	appendAll(t, third, plain(10)...)
	good := log.Checkpoint()
	noError(t, db.Close())

	wrong := good
	wrong.Root[0] ^= 1
	ahead := good
	ahead.Size = 1001
	for _, c := range []struct {
		name   string
		change func(*pebble.Batch) error
		want   string
		check  bool // Open does not see it
	}{
		{"checkpoint's root", set(ledger.CheckpointRow(0), ledger.CheckpointRowValue(wrong)), "the root at size 900", false},
		{"checkpoint's size", set(ledger.CheckpointRow(0), ledger.CheckpointRowValue(ahead)), "of size 1001, but the log has 1000", false},
		{"checkpoint cut off", set(ledger.CheckpointRow(0), make([]byte, 40)), "checkpoint row of 40 bytes", false},
		{"checkpoint of nothing", set(ledger.CheckpointRow(0), make([]byte, 60)), "checkpoint row of size 0", false},
		{"last entry", flip(ledger.EntryRow(0, 999), 8), "entry 999 and those before it give", false},
		{"entry after the checkpoint", flip(ledger.EntryRow(0, 950), 8), "entry 950 and those before it give", false},
		{"entry after the checkpoint removed", remove(ledger.EntryRow(0, 950)), "entry 950 is missing", false},
		{"last entry of a log without checkpoint", flip(ledger.EntryRow(2, 10), 8), "entry 10 and those before it give", false},
		{"first entry of a log without checkpoint", flip(ledger.EntryRow(2, 0), 5), "entry 0 and those before it give", false},
		{"last entry of a log signed to its end", flip(ledger.EntryRow(1, 10), 8), "the last entry, 10, hashes to", false},
		{"last entry of a log signed to its end removed", remove(ledger.EntryRow(1, 10)), "entry 10 is missing", false},
		{"last entry removed", remove(ledger.EntryRow(0, 999)), "entry 999 is missing", false},
		{"last entry cut off", both(remove(ledger.EntryRow(0, 999)), set(ledger.SizeRow(0), ledger.SizeRowValue(999, 2))), "hash chunk 7 is", false},
		{"entry too many", set(ledger.EntryRow(0, 1000), []byte("plain||")), "a row of kind 'e' has number 1000", false},
		{"entry row of no entry", set(append(ledger.EntryRow(0, 1000), 0), []byte("x")), "a row of kind 'e'", false},
		{"size", set(ledger.SizeRow(0), ledger.SizeRowValue(1001, 2)), "hash chunk 7 is", false},
		{"size lost", remove(ledger.SizeRow(0)), "size row of 0 bytes", false},
		{"size of nothing", set(ledger.SizeRow(0), ledger.SizeRowValue(0, 0)), "size row counts 0 entries", false},
		{"state count", set(ledger.SizeRow(0), ledger.SizeRowValue(1000, 3)), "2 entries are marked as state entries, the log counts 3", false},
		{"state mark removed", remove(ledger.StateRow(0, 503)), "1 entries are marked", false},
		{"state mark too many", set(ledger.StateRow(0, 7), nil), "3 entries are marked", false},
		{"state mark beyond", set(ledger.StateRow(0, 1000), nil), "a row of kind 't' has number 1000", false},
		{"hash of the frontier", inTree(9, 0), "the root at size 900", false},
		{"last leaf hash", inTree(0, 999), "entry 999 and those before it give", false},
		{"hash after the checkpoint", inTree(3, 120), "entry 967 and those before it give", false},
		{"last hash chunk cut off", both(remove(ledger.HashRow(0, 7)), set(ledger.HashRow(0, 7), make([]byte, 32))), "hash chunk 7 is 32 bytes long", false},
		{"last hash chunk removed", remove(ledger.HashRow(0, 7)), "hash chunk 7 is 0 bytes long", false},
		{"hash chunk removed", remove(ledger.HashRow(0, 3)), "hash chunk 3 is", false},
		{"hash chunk too many", set(ledger.HashRow(0, 8), make([]byte, 32)), "a row of kind 'h' has number 8", false},
		{"log number", set(ledger.OriginRow("r.example/2"), ledger.OriginRowValue(3, 0, "r.example")), "log r.example/3", false},
		{"log number twice", set(ledger.OriginRow("r.example/2"), ledger.OriginRowValue(0, 0, "r.example")), "gives it number 0", false},
		{"scope", set(ledger.OriginRow("r.example/2"), ledger.OriginRowValue(1, 0, "other.example")), "scope 0", false},
		{"scope number", set(ledger.OriginRow("r.example/2"), ledger.OriginRowValue(1, 1, "r.example")), "scope 1", false},
		{"origin cut off", set(ledger.OriginRow("r.example/2"), []byte{1}), "origin row", false},
		{"first log removed", remove(ledger.OriginRow("r.example/1")), "log r.example/2", false},
		{"format", set(ledger.FormatRow(), []byte("countersign ledger 2")), `its format is "countersign ledger 2"`, false},
		{"no format", remove(ledger.FormatRow()), `its format is ""`, false},

		{"entry", flip(ledger.EntryRow(0, 100), 8), "entry 100 and those before it give", true},
		{"entries exchanged", both(set(ledger.EntryRow(0, 20), []byte("plain||entry 20")), set(ledger.EntryRow(0, 21), []byte("plain||entry 19"))),
			"entry 20 and those before it give", true},
		{"entry removed", remove(ledger.EntryRow(0, 100)), "entry 100 is missing", true},
		{"leaf hash", inTree(0, 5), "entry 5 and those before it give", true},
		{"inner hash", inTree(2, 5), "at level 2 of the tree", true},
		{"hash chunk longer", func(b *pebble.Batch) error {
			return b.Set(ledger.HashRow(0, 4), append(value(b, ledger.HashRow(0, 4)), make([]byte, 32)...), nil)
		}, "hash chunk 4 is 8224 bytes long", true},
		{"state mark moved", both(remove(ledger.StateRow(0, 503)), set(ledger.StateRow(0, 502), nil)), "entry 502: marked", true},
		{"key removed", remove(ledger.KeyRow(0, hash("b"), 0)), "entry 502 is not under its key", true},
		{"key removed from the end", remove(ledger.KeyRow(0, hash("a"), 1)), "entry 502 is not under its key", true},
		{"key names another entry", set(ledger.KeyRow(0, hash("b"), 0), ledger.KeyRowValue(0, 400)), "entry 502 is not under its key", true},
		{"key names another log", set(ledger.KeyRow(0, hash("b"), 0), ledger.KeyRowValue(1, 502)), "entry 502 is not under its key", true},
		{"keys out of order", both(set(ledger.KeyRow(0, hash("a"), 0), ledger.KeyRowValue(0, 502)), set(ledger.KeyRow(0, hash("a"), 1), ledger.KeyRowValue(0, 501))),
			"is 501, out of order", true},
		{"key too many", set(ledger.KeyRow(0, hash("z"), 0), ledger.KeyRowValue(0, 400)), "is 400, which does not have that key", true},
		{"key too many of a list", set(ledger.KeyRow(0, hash("a"), 3), ledger.KeyRowValue(0, 600)), "is 600, which does not have that key", true},
		{"key twice", set(ledger.KeyRow(0, hash("b"), 1), ledger.KeyRowValue(0, 502)), "is 502, out of order", true},
		{"key of an entry to come", set(ledger.KeyRow(0, hash("z"), 0), ledger.KeyRowValue(0, 1000)), "is 1000, out of order", true},
		{"key in no log", set(ledger.KeyRow(0, hash("z"), 0), ledger.KeyRowValue(3, 1)), "log number 3, not of this scope", true},
		{"key with a gap", set(ledger.KeyRow(0, hash("z"), 1), ledger.KeyRowValue(1, 1)), "number 0 under key", true},
		{"key cut off", set(ledger.KeyRow(0, hash("z"), 0), []byte{1}), "key row value of 1 bytes", true},
		{"key row of no key", set(ledger.KeyRow(0, hash("z"), 0)[:20], ledger.KeyRowValue(0, 1)), "key row of 20 bytes", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			if ok := must(vfs.Clone(master, fs, "ledger", "ledger"))(t); !ok {
				t.Fatal("not copied")
			}
			noError(t, ledger.Rewrite(fs, "ledger", c.change))
			db, err := ledger.OpenIn(fs, "ledger")
			if err == nil {
				defer db.Close()
				if !c.check {
					t.Fatal("it opens")
				}
				err = must(db.Log("r.example/1"))(t).Check(context.Background(), describe, nil)
			}
			contains(t, err, c.want)
			var corrupt *ledger.CorruptError
			if !errors.As(err, &corrupt) && !strings.Contains(c.name, "format") {
				t.Errorf("not a CorruptError: %v", err)
			} else if corrupt != nil {
				contains(t, err, "do not repair it: restore the ledger")
			}
		})
	}

	db = must(ledger.OpenIn(master, "ledger"))(t)
	defer db.Close()
	for _, origin := range db.Origins() {
		check(t, must(db.Log(origin))(t))
	}
}

func TestCheckReportsProgressAndStops(t *testing.T) {
	log, _ := grown(t, 10_000)
	var last, calls uint64
	noError(t, log.Check(context.Background(), describe, func(done, total uint64) {
		if done <= last || total != 10_000 {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
		calls++
	}))
	if last != 10_000 || calls < 3 {
		t.Errorf("%d calls, the last at %d", calls, last)
	}
	stop := errors.New("stop")
	refuse := func(uint64, []byte) ([][32]byte, bool, error) { return nil, false, stop }
	if err := log.Check(context.Background(), refuse, nil); !errors.Is(err, stop) {
		t.Errorf("error of describe: %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := log.Check(cancelled, describe, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestRottenFiles flips one bit in many places of each file of a ledger that is half in tables and half in the write-ahead log.
// Whatever that hits, a ledger that opens and passes Check is as it was; or, of the write-ahead log, as it was before.
func TestRottenFiles(t *testing.T) {
	dir, db, log := newLog(t)
	past := map[string]bool{}
	for i := range 20 {
		var batch []ledger.Entry
		for j := range 25 {
			batch = append(batch, entry("plain", fmt.Sprintf("key%d@0", i*25+j), strings.Repeat("entry ", 100+i)))
		}
		appendAll(t, log, batch...)
		past[state(t, log)] = true
		sign(t, log, log.Size())
		past[state(t, log)] = true
		if i == 10 {
			noError(t, db.Flush())
		}
	}
	want := state(t, log)
	noError(t, db.Close())
	refused := map[string]int{}
	for _, file := range must(filepath.Glob(filepath.Join(dir, "*")))(t) {
		content := must(os.ReadFile(file))(t)
		for i := range min(len(content), 5) {
			rotten := bytes.Clone(content)
			rotten[i*len(content)/5+i] ^= 0x10
			noError(t, os.WriteFile(file, rotten, 0o600))
			got, err := audit(dir)
			if err != nil {
				refused[filepath.Ext(file)]++
			} else if got != want && (filepath.Ext(file) != ".log" || !past[got]) {
				t.Errorf("%s: it is %s", file, got)
			}
		}
		noError(t, os.WriteFile(file, content, 0o600))
	}
	if refused[".sst"] == 0 || refused[".blob"] < 5 || refused[".log"] == 0 {
		t.Errorf("files refused: %v", refused)
	}
	if got := must(audit(dir))(t); got != want {
		t.Errorf("restored, it is %s", got)
	}
}

// audit opens a ledger and checks it.
func audit(dir string) (state string, err error) {
	fs := vfs.NewMem() // opening it changes files
	if _, err := vfs.Clone(vfs.Default, fs, dir, "ledger"); err != nil {
		return "", err
	}
	db, err := ledger.OpenIn(fs, "ledger")
	if err != nil {
		return "", err
	}
	defer db.Close()
	log, err := db.Log("r.example/1")
	if err != nil {
		return "", err
	}
	for index := range log.Size() {
		data, err := log.Entry(index)
		if err == nil && !bytes.Contains(data, []byte("|")) {
			return fmt.Sprintf("entry %d: %q", index, data), nil
		}
	}
	if err := log.Check(context.Background(), describe, nil); err != nil {
		return "", err
	}
	return describeState(log)
}
