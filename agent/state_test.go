package agent_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"countersign.dev/agent"
)

func TestStateSurvives(t *testing.T) {
	a := newTree(8, "a")
	dir := stateDir(t, a.head(1))
	for size := int64(2); size <= 8; size++ {
		state := openState(t, dir)
		g := guardOf(t, testKey(1), state)
		if g.Watermark() != a.head(size-1) {
			t.Fatalf("opened at size %d, want %d", g.Watermark().Size, size-1)
		}
		_, err := g.Sign(t.Context(), uint64(size), a.head(size).Root, a.proof(size-1, size))
		must(t, err)
		must(t, state.Close())
	}
	info, err := os.Stat(statePath(dir))
	must(t, err)
	if info.Mode() != 0o600 || info.Size() != 512 {
		t.Fatalf("state file has mode %v and %d bytes", info.Mode(), info.Size())
	}
}

func TestRecordFormat(t *testing.T) {
	head := agent.Head{Size: 42, Root: [32]byte{1}}
	want := "countersign-watermark v1\n" + origin + "\n42\nAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" +
		"b9b0b3088aa485ae0ebd02bcf12302962453488a3e882106aa2be5b6855eb4b6\n"
	got := agent.EncodeRecord(origin, head)
	if !bytes.Equal(got, []byte(fmt.Sprintf("%-511s\n", want))) {
		t.Fatalf("record:\n%s\nwant:\n%s", got, want)
	}
	longest := strings.Repeat(strings.Repeat("a", 49)+".", 3) + strings.Repeat("a", 50) + "/countersign/" + strings.Repeat("9", 10)
	record := agent.EncodeRecord(longest, agent.Head{Size: agent.MaxSize, Root: head.Root})
	if decoded, err := agent.DecodeRecord(record, longest); err != nil || decoded.Size != agent.MaxSize {
		t.Fatalf("longest record: %v", err)
	}
}

// Invariant 10: a first watermark is made by a ceremony, once.
func TestInvariant10States(t *testing.T) {
	head := newTree(1, "a").head(1)
	dir := stateDir(t, head)
	if err := agent.CreateState(dir, origin, head); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Fatalf("CreateState over a state: %v", err)
	}
	if _, err := agent.OpenState(t.TempDir(), origin); err == nil || !strings.Contains(err.Error(), "ceremony") {
		t.Fatalf("OpenState of nothing: %v", err)
	}
	empty := t.TempDir()
	for name, err := range map[string]error{
		"empty log":    agent.CreateState(empty, origin, agent.Head{}),
		"no root":      agent.CreateState(empty, origin, agent.Head{Size: 1}),
		"huge log":     agent.CreateState(empty, origin, agent.Head{Size: 1 << 53, Root: head.Root}),
		"bad origin":   agent.CreateState(empty, "../countersign/1", head),
		"no directory": agent.CreateState(filepath.Join(empty, "none"), origin, head),
		"dangling link": func() error {
			must(t, os.Symlink("nowhere", statePath(empty)))
			return agent.CreateState(empty, origin, head)
		}(),
	} {
		if err == nil {
			t.Errorf("%s: CreateState succeeded", name)
		}
	}
	if _, err := os.Stat(filepath.Join(empty, "nowhere")); err == nil {
		t.Error("CreateState followed a link")
	}
}

func TestOpenStateRefuses(t *testing.T) {
	head := newTree(3, "a").head(3)
	record := agent.EncodeRecord(origin, head)
	write := func(data []byte) func(path string) error {
		return func(path string) error { return os.WriteFile(path, data, 0o600) }
	}
	type spoiled struct {
		name, want string
		spoil      func(path string) error
	}
	tests := []spoiled{
		{"empty", "not 512 bytes", write(nil)},
		{"short", "not 512 bytes", write(record[:511])},
		{"long", "not 512 bytes", write(append(bytes.Clone(record), 0))},
		{"two records", "not 512 bytes", write(append(bytes.Clone(record), record...))},
		{"zeros", "version", write(make([]byte, 512))},
		{"half old, half new", "checksum", write(append(bytes.Clone(record[:80]), agent.EncodeRecord(origin, newTree(3, "b").head(3))[80:]...))},
		{"another origin", "three lines", write(agent.EncodeRecord("registry.example/countersign/2", head))},
		{"size 0", "tree size 0", write(agent.EncodeRecord(origin, agent.Head{Root: head.Root}))},
		{"readable by others", "mode 0600", func(p string) error { return os.Chmod(p, 0o640) }},
		{"directory writable by others", "only its owner", func(p string) error { return os.Chmod(filepath.Dir(p), 0o770) }},
		{"a link", "too many levels", func(p string) error {
			return cmp.Or(os.Rename(p, p+".real"), os.Symlink(p+".real", p))
		}},
		{"a directory", "is a directory", func(p string) error { return cmp.Or(os.Remove(p), os.Mkdir(p, 0o700)) }},
		{"a pipe", "regular file", func(p string) error { return cmp.Or(os.Remove(p), syscall.Mkfifo(p, 0o600)) }},
	}
	if os.Geteuid() == 0 {
		tests = append(tests,
			spoiled{"another user's file", "belongs to uid 54321", func(p string) error { return os.Chown(p, 54321, -1) }},
			spoiled{"another user's directory", "belongs to uid 54321", func(p string) error { return os.Chown(filepath.Dir(p), 54321, -1) }})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := stateDir(t, head)
			must(t, tt.spoil(statePath(dir)))
			state, err := agent.OpenState(dir, origin)
			if err == nil {
				state.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("OpenState: %v, want %q", err, tt.want)
			}
		})
	}
}

// Every byte of a record matters, the padding too.
func TestRecordBytes(t *testing.T) {
	head := newTree(3, "a").head(3)
	good := agent.EncodeRecord(origin, head)
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := agent.DecodeRecord(bad, origin); err == nil {
				t.Fatalf("byte %d bit %d flipped: accepted", i, bit)
			}
		}
	}
}

// A state that is replaced under a running agent stops it: the next start would read the other file.
func TestStateReplacedWhileRunning(t *testing.T) {
	a := newTree(5, "a")
	for name, replace := range map[string]func(path string) error{
		"removed": os.Remove,
		"restored": func(p string) error {
			return cmp.Or(os.Rename(p, p+".old"), os.WriteFile(p, agent.EncodeRecord(origin, a.head(1)), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t, a.head(2))
			g := guardOf(t, testKey(1), openState(t, dir))
			must(t, replace(statePath(dir)))
			_, err := g.Sign(t.Context(), 5, a.head(5).Root, a.proof(2, 5))
			wantStopped(t, err)
		})
	}
}

func TestStateLocked(t *testing.T) {
	dir := stateDir(t, newTree(1, "a").head(1))
	state := openState(t, dir)
	if _, err := agent.OpenState(dir, origin); err == nil || !strings.Contains(err.Error(), statePath(dir)+" is in use") {
		t.Fatalf("second open in this process: %v", err)
	}
	out, err := child(t, "open-state", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), statePath(dir)+" is in use") {
		t.Fatalf("second open in another process: %v: %s", err, out)
	}
	must(t, state.Close())
	if out, err := child(t, "open-state", dir).CombinedOutput(); err != nil {
		t.Fatalf("open after close: %v: %s", err, out)
	}
}

// A disk that takes a part of the record only: the agent stops, nothing leaves, and the next start says why it refuses.
func TestStateTornWrite(t *testing.T) {
	a := newTree(5, "a")
	dir := stateDir(t, a.head(2))
	state := openState(t, dir)
	g := guardOf(t, testKey(1), state)
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: limit.Max}))
	_, err := g.Sign(t.Context(), 5, a.head(5).Root, a.proof(2, 5))
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	wantStopped(t, err)
	must(t, state.Close())
	if _, err := agent.OpenState(dir, origin); err == nil || !strings.Contains(err.Error(), "replace this agent by a ceremony") {
		t.Fatalf("OpenState of a torn record: %v", err)
	}
}

// Every write waits for the disk, and opening writes what it read: a process killed between the page cache and the disk
// leaves a record that can be read, and that a power cut would take back.
func TestStateReachesTheDisk(t *testing.T) {
	dir := stateDir(t, newTree(3, "a").head(3))
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(statePath(dir), long, long))
	state := openState(t, dir)
	if flags, err := state.Flags(); err != nil || flags&unix.O_DSYNC == 0 {
		t.Errorf("state opened with flags %#x, %v", flags, err)
	}
	if info, err := os.Stat(statePath(dir)); err != nil || !info.ModTime().After(long) {
		t.Errorf("opening did not write the record: %v, %v", info.ModTime(), err)
	}
}

// child runs this test binary as another agent; see TestMain.
func child(t testing.TB, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "AGENT_TEST_ROLE="+role)
	return cmd
}
