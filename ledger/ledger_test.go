package ledger_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"countersign.dev/ledger"
	"golang.org/x/mod/sumdb/tlog"
)

// Entries in these tests say what they are: "state" or "plain", their keys, and some text. A key is written a@0 for ordinal 0, and a
// for any.

func hash(key string) [32]byte { return sha256.Sum256([]byte(key)) }

func entry(kind, keys, text string) ledger.Entry {
	e := ledger.Entry{State: kind == "state"}
	var names []string
	for _, key := range strings.Fields(keys) {
		name, number, found := strings.Cut(key, "@")
		k := ledger.Key{Hash: hash(name), Ordinal: ledger.Next}
		if found {
			k.Ordinal, _ = strconv.Atoi(number)
		}
		e.Keys = append(e.Keys, k)
		names = append(names, name)
	}
	e.Data = []byte(kind + "|" + strings.Join(names, " ") + "|" + text)
	return e
}

func describe(_ uint64, data []byte) (keys [][32]byte, state bool, err error) {
	f := strings.SplitN(string(data), "|", 3)
	if len(f) != 3 {
		return nil, false, fmt.Errorf("no entry of these tests: %q", data)
	}
	for _, name := range strings.Fields(f[1]) {
		keys = append(keys, hash(name))
	}
	return keys, f[0] == "state", nil
}

func plain(n int) []ledger.Entry {
	var entries []ledger.Entry
	for i := range n {
		entries = append(entries, entry("plain", "", "entry "+strconv.Itoa(i)))
	}
	return entries
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newLog creates a ledger in a new directory, with one log.
func newLog(t testing.TB) (dir string, db *ledger.DB, log *ledger.Log) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ledger")
	db = must(ledger.Create(dir))(t)
	t.Cleanup(func() { db.Close() })
	return dir, db, must(db.CreateLog("r.example", "r.example/1", entry("state", "identity", "")))(t)
}

func reopen(t testing.TB, dir string, db *ledger.DB) *ledger.DB {
	t.Helper()
	noError(t, db.Close())
	db = must(ledger.Open(dir))(t)
	t.Cleanup(func() { db.Close() })
	return db
}

func appendAll(t testing.TB, log *ledger.Log, entries ...ledger.Entry) uint64 {
	t.Helper()
	return must(log.Append(context.Background(), log.Epoch(), entries))(t)
}

func check(t testing.TB, log *ledger.Log) {
	t.Helper()
	if err := log.Check(context.Background(), describe, nil); err != nil {
		t.Fatal(err)
	}
}

func contains(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v; want one with %q", err, text)
	}
}

func TestAppendIsThereAfterReopening(t *testing.T) {
	dir, db, log := newLog(t)
	var want [][]byte
	want = append(want, entry("state", "identity", "").Data)
	random := rand.New(rand.NewPCG(1, 2))
	for size := uint64(1); size < 3000; {
		var batch []ledger.Entry
		for i := range 1 + random.IntN(300) {
			kind := "plain"
			if random.IntN(40) == 0 {
				kind = "state"
			}
			e := entry(kind, fmt.Sprintf("key%d@0 shared%d", size+uint64(i), random.IntN(500)), strings.Repeat("x", random.IntN(2000)))
			batch = append(batch, e)
			want = append(want, e.Data)
		}
		if first := appendAll(t, log, batch...); first != size {
			t.Fatalf("first = %d, want %d", first, size)
		}
		size += uint64(len(batch))
	}
	epoch := log.Epoch()
	for range 2 {
		if log.Size() != uint64(len(want)) || log.Epoch() != epoch || log.Origin() != "r.example/1" || log.Scope() != "r.example" {
			t.Fatalf("size %d, epoch %d, origin %s, scope %s", log.Size(), log.Epoch(), log.Origin(), log.Scope())
		}
		states := uint64(0)
		noError(t, log.StateEntries(func(index uint64, data []byte) error {
			states++
			if !bytes.HasPrefix(data, []byte("state|")) || !bytes.Equal(data, want[index]) {
				t.Fatalf("state entry %d: %q", index, data)
			}
			return nil
		}))
		if states != epoch || epoch < 10 {
			t.Fatalf("%d state entries, epoch %d", states, epoch)
		}
		next := uint64(100)
		noError(t, log.Entries(context.Background(), 100, log.Size(), func(index uint64, data []byte) error {
			if index != next || !bytes.Equal(data, want[index]) {
				t.Fatalf("entry %d (want %d): %q", index, next, data)
			}
			next++
			return nil
		}))
		if next != log.Size() {
			t.Fatalf("entries end at %d", next)
		}
		if data := must(log.Entry(17))(t); !bytes.Equal(data, want[17]) {
			t.Fatalf("entry 17: %q", data)
		}
		check(t, log)
		db = reopen(t, dir, db)
		log = must(db.Log("r.example/1"))(t)
	}
}

func TestEmptyLedgerReopens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "ledger")
	db := must(ledger.Create(dir))(t)
	if info := must(os.Stat(dir))(t); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	db = reopen(t, dir, db)
	if o := db.Origins(); len(o) != 0 {
		t.Errorf("origins %v", o)
	}
}

func TestCreateRefuses(t *testing.T) {
	dir, db, _ := newLog(t)
	_, err := ledger.Create(dir)
	contains(t, err, "is not empty")
	noError(t, db.Close())
	_, err = ledger.Create(dir)
	contains(t, err, "is not empty")

	other := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(other, "file"), nil, 0o600))
	_, err = ledger.Create(other)
	contains(t, err, "is not empty")
	_, err = ledger.Create(filepath.Join(other, "file"))
	contains(t, err, "create ledger")

	empty := t.TempDir()
	noError(t, must(ledger.Create(empty))(t).Close())
}

func TestOpenRefuses(t *testing.T) {
	parent := t.TempDir()
	missing := filepath.Join(parent, "missing")
	_, err := ledger.Open(missing)
	contains(t, err, "no ledger in "+missing+": a ceremony creates it")
	_, err = ledger.Open(parent)
	contains(t, err, "no ledger in "+parent)
	if files := must(os.ReadDir(parent))(t); len(files) != 0 {
		t.Errorf("Open made %v", files)
	}

	dir, db, _ := newLog(t)
	_, err = ledger.Open(dir)
	contains(t, err, "another countersignd has it open")
	cmd := exec.Command(os.Args[0], "-test.run=^TestOpenInAnotherProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "LEDGER_TEST_OPEN="+dir)
	output := must(cmd.CombinedOutput())(t)
	if !bytes.Contains(output, []byte("is locked: another countersignd has it open")) {
		t.Errorf("another process: %s", output)
	}
	noError(t, db.Close())
	noError(t, must(ledger.Open(dir))(t).Close())
}

// TestOpenInAnotherProcess is the other process of TestOpenRefuses.
func TestOpenInAnotherProcess(t *testing.T) {
	if dir := os.Getenv("LEDGER_TEST_OPEN"); dir != "" {
		_, err := ledger.Open(dir)
		t.Log(err)
	}
}

func TestCreateLogRefuses(t *testing.T) {
	dir, db, _ := newLog(t)
	for _, c := range []struct {
		scope, origin string
		entry         ledger.Entry
		want          string
	}{
		{"r.example", "r.example/1", entry("state", "", ""), "r.example/1 exists"},
		{"other.example", "r.example/1", entry("state", "", ""), "r.example/1 exists"},
		{"", "r.example/2", entry("state", "", ""), "no scope"},
		{"r.example", "", entry("state", "", ""), "no origin"},
		{"r.example", "r.example/2", ledger.Entry{}, "0 bytes"},
		{"r.example", "r.example/2", entry("state", "identity@0", ""), "1 key conflicts"},
	} {
		_, err := db.CreateLog(c.scope, c.origin, c.entry)
		contains(t, err, c.want)
	}
	db = reopen(t, dir, db)
	if o := db.Origins(); !slices.Equal(o, []string{"r.example/1"}) {
		t.Errorf("origins %v", o)
	}
	_, err := db.Log("r.example/2")
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("Log: %v", err)
	}
}

// state is all that can be seen of a log.
func state(t testing.TB, log *ledger.Log) string {
	t.Helper()
	return must(describeState(log))(t)
}

func describeState(log *ledger.Log) (string, error) {
	root, err := log.Root(log.Size())
	return fmt.Sprintf("size %d epoch %d root %v checkpoint %v", log.Size(), log.Epoch(), root, log.Checkpoint()), err
}

func TestAppendRefuses(t *testing.T) {
	dir, db, log := newLog(t)
	appendAll(t, log, entry("plain", "a@0", ""))
	big := entry("plain", "", "")
	big.Data = make([]byte, ledger.MaxData+1)
	bad := entry("plain", "a", "")
	bad.Keys[0].Ordinal = -2
	ok := entry("plain", "b@0", "")
	before := state(t, log)
	for _, c := range []struct {
		name    string
		epoch   uint64
		entries []ledger.Entry
		want    string
	}{
		{"nothing", 1, nil, "batch of 0 entries"},
		{"too many", 1, make([]ledger.Entry, ledger.MaxBatch+1), "batch of 16385 entries"},
		{"empty entry", 1, []ledger.Entry{ok, {}}, "entry 1 of the batch: 0 bytes"},
		{"oversize entry", 1, []ledger.Entry{ok, big}, "entry 1 of the batch: 65536 bytes"},
		{"bad ordinal", 1, []ledger.Entry{ok, bad}, "key ordinal -2"},
		{"double key", 1, []ledger.Entry{ok, entry("plain", "c d c", "")}, "the same key twice"},
		{"epoch of the past", 0, []ledger.Entry{ok}, "admitted in epoch 0, it is 1"},
		{"epoch to come", 2, []ledger.Entry{ok}, "admitted in epoch 2, it is 1"},
		{"taken", 1, []ledger.Entry{ok, entry("plain", "a@0", "")}, "entry 1 of the batch: 1 entries are under"},
		{"not the next", 1, []ledger.Entry{ok, entry("plain", "a@2", "")}, "entry 1 of the batch: 1 entries are under"},
		{"taken in the batch", 1, []ledger.Entry{ok, ok}, "entry 1 of the batch: 1 entries are under"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := log.Append(context.Background(), c.epoch, c.entries)
			contains(t, err, c.want)
			if errors.Is(err, ledger.ErrEpoch) != strings.HasPrefix(c.name, "epoch") {
				t.Errorf("ErrEpoch: %v", err)
			}
			if after := state(t, log); after != before {
				t.Errorf("it is %s, was %s", after, before)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := log.Append(ctx, 1, []ledger.Entry{ok}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	db = reopen(t, dir, db)
	log = must(db.Log("r.example/1"))(t)
	if after := state(t, log); after != before {
		t.Errorf("it is %s, was %s", after, before)
	}
	appendAll(t, log, ok)
	check(t, log)
}

func TestLargestEntry(t *testing.T) {
	_, _, log := newLog(t)
	e := entry("plain", "", "")
	e.Data = append(e.Data, make([]byte, ledger.MaxData-len(e.Data))...)
	appendAll(t, log, e, ledger.Entry{Data: []byte("||")})
	if data := must(log.Entry(1))(t); !bytes.Equal(data, e.Data) {
		t.Error("it is another")
	}
	check(t, log)
}

func TestConflictsNameTheEntriesToLeaveOut(t *testing.T) {
	_, _, log := newLog(t)
	appendAll(t, log, entry("plain", "a@0", ""), entry("plain", "a@1 b@0", ""))
	batch := []ledger.Entry{
		entry("plain", "c@0", ""),
		entry("plain", "d@0 a@1 b@2", ""), // a and b conflict; so d is not taken
		entry("plain", "d@0", ""),
		entry("plain", "c@0", ""),
		entry("plain", "c@1 a@2", ""),
		entry("plain", "a", ""),
		entry("plain", "a@4", ""),
		entry("plain", "a@4", ""),
	}
	_, err := log.Append(context.Background(), 1, batch)
	var conflict *ledger.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatal(err)
	}
	want := []ledger.Conflict{
		{Entry: 1, Key: 1, Hash: hash("a"), Taken: 2},
		{Entry: 1, Key: 2, Hash: hash("b"), Taken: 1},
		{Entry: 3, Key: 0, Hash: hash("c"), Taken: 1},
		{Entry: 7, Key: 0, Hash: hash("a"), Taken: 5},
	}
	if !reflect.DeepEqual(conflict.Conflicts, want) {
		t.Fatalf("conflicts %v", conflict.Conflicts)
	}
	appendAll(t, log, batch[0], batch[2], batch[4], batch[5], batch[6])
	refs := must(log.Lookup(hash("a")))(t)
	origin := log.Origin()
	if want := []ledger.Ref{{origin, 1}, {origin, 2}, {origin, 5}, {origin, 6}, {origin, 7}}; !slices.Equal(refs, want) {
		t.Errorf("refs %v", refs)
	}
	check(t, log)
}

func TestStateEntriesMakeEpochs(t *testing.T) {
	_, db, log := newLog(t)
	second := must(db.CreateLog("r.example", "r.example/2", entry("state", "", "")))(t)
	other := must(db.CreateLog("other.example", "other.example/1", entry("plain", "", "")))(t)
	if log.Epoch() != 2 || second.Epoch() != 2 || other.Epoch() != 0 {
		t.Fatalf("epochs %d %d %d", log.Epoch(), second.Epoch(), other.Epoch())
	}
	appendAll(t, log, entry("plain", "", ""), entry("state", "", ""), entry("state", "", ""))
	if second.Epoch() != 4 || other.Epoch() != 0 {
		t.Fatalf("epochs %d %d", second.Epoch(), other.Epoch())
	}
	if _, err := second.Append(context.Background(), 2, plain(1)); !errors.Is(err, ledger.ErrEpoch) {
		t.Fatalf("append in an old epoch: %v", err)
	}
	appendAll(t, second, plain(1)...)
}

func TestLogsAndScopesDoNotSeeEachOther(t *testing.T) {
	dir, db, one := newLog(t)
	two := must(db.CreateLog("r.example", "r.example/2", entry("state", "identity", "two")))(t)
	other := must(db.CreateLog("other.example", "other.example/1", entry("state", "identity@0", "other")))(t)
	appendAll(t, two, entry("plain", "a@0", "in two"))
	appendAll(t, one, entry("plain", "a@1", "in one"), entry("plain", "b@0", ""))
	appendAll(t, other, entry("plain", "a@0 b@0", "in other"))
	root := must(one.Root(3))(t)
	noError(t, one.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: 3, Root: root, Note: []byte("one")}))
	for range 2 {
		if o := db.Origins(); !slices.Equal(o, []string{"other.example/1", "r.example/1", "r.example/2"}) {
			t.Fatalf("origins %v", o)
		}
		for _, c := range []struct {
			log  *ledger.Log
			key  string
			want []ledger.Ref
		}{
			{one, "a", []ledger.Ref{{"r.example/2", 1}, {"r.example/1", 1}}},
			{two, "a", []ledger.Ref{{"r.example/2", 1}, {"r.example/1", 1}}},
			{two, "b", []ledger.Ref{{"r.example/1", 2}}},
			{one, "identity", []ledger.Ref{{"r.example/1", 0}, {"r.example/2", 0}}},
			{other, "a", []ledger.Ref{{"other.example/1", 1}}},
			{other, "identity", []ledger.Ref{{"other.example/1", 0}}},
			{other, "c", nil},
		} {
			if refs := must(c.log.Lookup(hash(c.key)))(t); !slices.Equal(refs, c.want) {
				t.Errorf("%s in %s: %v", c.key, c.log.Origin(), refs)
			}
		}
		if one.Size() != 3 || two.Size() != 2 || other.Size() != 2 {
			t.Errorf("sizes %d %d %d", one.Size(), two.Size(), other.Size())
		}
		if data := must(two.Entry(1))(t); !bytes.HasSuffix(data, []byte("|in two")) {
			t.Errorf("entry 1 of two: %q", data)
		}
		if two.Checkpoint().Size != 0 || other.Checkpoint().Size != 0 || one.Checkpoint().Size != 3 {
			t.Error("checkpoints are mixed up")
		}
		for _, log := range []*ledger.Log{one, two, other} {
			check(t, log)
		}
		db = reopen(t, dir, db)
		one, two, other = must(db.Log("r.example/1"))(t), must(db.Log("r.example/2"))(t), must(db.Log("other.example/1"))(t)
	}
}

func TestNotFound(t *testing.T) {
	_, _, log := newLog(t)
	appendAll(t, log, plain(9)...)
	nothing := func(uint64, []byte) error { return nil }
	ctx := context.Background()
	for name, err := range map[string]error{
		"entry":                 second(log.Entry(10)),
		"entries":               log.Entries(ctx, 5, 11, nothing),
		"entries backwards":     log.Entries(ctx, 5, 4, nothing),
		"root":                  second(log.Root(11)),
		"root of nothing":       second(log.Root(0)),
		"proof, size":           second(log.InclusionProof(3, 11)),
		"proof, index":          second(log.InclusionProof(3, 3)),
		"consistency proof":     second(log.ConsistencyProof(3, 11)),
		"tile, no checkpoint":   second(log.Tile(tlog.Tile{H: 8, L: 0, N: 0, W: 1})),
		"bundle, no checkpoint": second(log.EntryBundle(0, 1)),
	} {
		if !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range [][2]uint64{{0, 5}, {6, 5}} {
		_, err := log.ConsistencyProof(c[0], c[1])
		contains(t, err, "no extension")
	}
	noError(t, log.Entries(ctx, 10, 10, func(uint64, []byte) error { return errors.New("called") }))
	stop := errors.New("stop")
	if err := log.Entries(ctx, 0, 10, func(index uint64, _ []byte) error {
		if index == 3 {
			return stop
		}
		return nil
	}); err != stop {
		t.Errorf("entries: %v", err)
	}
	if err := log.StateEntries(func(uint64, []byte) error { return stop }); err != stop {
		t.Errorf("state entries: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := log.Entries(cancelled, 0, 10, nothing); !errors.Is(err, context.Canceled) {
		t.Errorf("entries, cancelled: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
