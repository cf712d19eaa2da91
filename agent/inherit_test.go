package agent_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"countersign.dev/agent"
)

// duplicate is a descriptor as a program finds it that was executed by its predecessor.
func duplicate(t *testing.T, fd int) int {
	t.Helper()
	fd, err := unix.Dup(fd)
	must(t, err)
	return fd
}

func closesOnExec(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	must(t, err)
	return flags&unix.FD_CLOEXEC != 0
}

// predecessor listens, and dies as exec would end it: nothing of it is removed. Somebody connected meanwhile.
func predecessor(t *testing.T, path string) (socket, lock int) {
	t.Helper()
	l, err := agent.Listen(path, 0o600)
	must(t, err)
	if socket, lock, err = l.Descriptors(); err != nil {
		t.Fatal(err)
	}
	socket, lock = duplicate(t, socket), duplicate(t, lock)
	must(t, l.Vanish())
	return socket, lock
}

func TestInherit(t *testing.T) {
	path := socketPath(t)
	socket, lock := predecessor(t, path)
	waiting, err := net.Dial("unix", path)
	must(t, err)
	defer waiting.Close()
	if _, err := agent.Listen(path, 0o600); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Fatalf("Listen while nobody serves: %v", err)
	}
	l, err := agent.Inherit(path, 0o640, socket, lock)
	must(t, err)
	if _, err := unix.FcntlInt(uintptr(socket), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("the descriptor of the socket stayed open: %v", err)
	}
	ours, lock, err := l.Descriptors()
	must(t, err)
	if !closesOnExec(t, ours) || !closesOnExec(t, lock) {
		t.Error("what was inherited goes on to programs it is not meant for")
	}
	must(t, l.SetDeadline(time.Now().Add(10*time.Second)))
	if c, err := l.Accept(); err != nil {
		t.Fatalf("who connected in between: %v", err)
	} else {
		must(t, c.Close())
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o640 {
		t.Fatalf("socket: %v, %v", info.Mode(), err)
	}
	if _, err := agent.Listen(path, 0o600); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Fatalf("Listen beside the successor: %v", err)
	}
	must(t, l.Close())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("socket after Close: %v", err)
	}
	l, err = agent.Listen(path, 0o600)
	must(t, err)
	must(t, l.Close())
}

func TestInheritRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string, socket, lock *int)
		want  string
	}{
		"closed descriptor": {func(t *testing.T, _ string, socket, _ *int) { must(t, unix.Close(*socket)) }, "not a listening socket"},
		"a file": {func(t *testing.T, _ string, socket, lock *int) {
			must(t, unix.Close(*socket))
			*socket = duplicate(t, *lock)
		}, "not a listening socket"},
		"a connection": {func(t *testing.T, path string, socket, _ *int) {
			c, err := net.Dial("unix", path)
			must(t, err)
			defer c.Close()
			raw, err := c.(*net.UnixConn).SyscallConn()
			must(t, err)
			must(t, unix.Close(*socket))
			must(t, raw.Control(func(fd uintptr) { *socket = duplicate(t, int(fd)) }))
		}, "not a listening socket"},
		"another socket": {func(t *testing.T, path string, socket, _ *int) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".other", Net: "unix"})
			must(t, err)
			defer l.Close()
			raw, err := l.SyscallConn()
			must(t, err)
			must(t, unix.Close(*socket))
			must(t, raw.Control(func(fd uintptr) { *socket = duplicate(t, int(fd)) }))
		}, "the inherited socket is"},
		"name removed": {func(t *testing.T, path string, _, _ *int) { must(t, os.Remove(path)) }, "no such file"},
		"name replaced": {func(t *testing.T, path string, _, _ *int) {
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, nil, 0o600))
		}, "replaced"},
		"lock closed": {func(t *testing.T, _ string, _, lock *int) { must(t, unix.Close(*lock)) }, "bad file descriptor"},
		"lock replaced": {func(t *testing.T, path string, _, _ *int) {
			must(t, os.Remove(path+".lock"))
			must(t, os.WriteFile(path+".lock", nil, 0o600))
		}, "replaced"},
		"lock not held": {func(t *testing.T, path string, _, lock *int) {
			must(t, unix.Close(*lock))
			other, err := os.Open(path + ".lock")
			must(t, err)
			must(t, unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB))
			t.Cleanup(func() { other.Close() })
			mine, err := os.Open(path + ".lock")
			must(t, err)
			defer mine.Close()
			*lock = duplicate(t, int(mine.Fd()))
		}, "temporarily unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			socket, lock := predecessor(t, path)
			tt.spoil(t, path, &socket, &lock)
			if _, err := agent.Inherit(path, 0o600, socket, lock); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Inherit: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestInheritState(t *testing.T) {
	a := newTree(5, "a")
	dir := stateDir(t, a.head(2))
	before := openState(t, dir)
	_, err := guardOf(t, testKey(1), before).Sign(t.Context(), 5, a.head(5).Root, a.proof(2, 5))
	must(t, err)
	fd := duplicate(t, before.Descriptor())
	must(t, before.Close())
	if _, err := agent.OpenState(dir, origin); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Fatalf("OpenState while nobody guards: %v", err)
	}
	state, err := agent.InheritState(dir, origin, fd)
	must(t, err)
	if !closesOnExec(t, state.Descriptor()) {
		t.Error("what was inherited goes on to programs it is not meant for")
	}
	g := guardOf(t, testKey(1), state)
	if g.Watermark() != a.head(5) {
		t.Fatalf("inherited watermark %d", g.Watermark().Size)
	}
	if _, err := agent.OpenState(dir, origin); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Fatalf("OpenState beside the successor: %v", err)
	}
	must(t, state.Close())
	must(t, openState(t, dir).Close())
}

func TestInheritStateRefuses(t *testing.T) {
	head := newTree(3, "a").head(3)
	open := func(t *testing.T, path string, flags int) int {
		fd, err := unix.Open(path, flags, 0)
		must(t, err)
		return fd
	}
	for name, tt := range map[string]struct {
		descriptor func(t *testing.T, path string) int
		want       string
	}{
		"nothing":     {func(*testing.T, string) int { return 1 << 20 }, "bad file descriptor"},
		"read only":   {func(t *testing.T, path string) int { return open(t, path, unix.O_RDONLY|unix.O_DSYNC) }, "wait for the disk"},
		"not durable": {func(t *testing.T, path string) int { return open(t, path, unix.O_RDWR) }, "wait for the disk"},
		"another file": {func(t *testing.T, path string) int {
			must(t, os.WriteFile(path+".copy", agent.EncodeRecord(origin, head), 0o600))
			return open(t, path+".copy", unix.O_RDWR|unix.O_DSYNC)
		}, "was replaced"},
		"locked by another": {func(t *testing.T, path string) int {
			openState(t, filepath.Dir(path))
			return open(t, path, unix.O_RDWR|unix.O_DSYNC)
		}, "is in use"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t, head)
			if _, err := agent.InheritState(dir, origin, tt.descriptor(t, statePath(dir))); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("InheritState: %v, want %q", err, tt.want)
			}
		})
	}
}

// A connection that a client keeps for later, and never used, does not hold up Shutdown.
func TestShutdownBesideASilentConnection(t *testing.T) {
	s, socket := serve(t, newGuard(t, newTree(1, "a").head(1)))
	c, err := net.Dial("unix", socket)
	must(t, err)
	defer c.Close()
	if status, _ := raw(t, socket, http.MethodGet, "/v1/health", ""); status != 200 { // so it was accepted as well
		t.Fatalf("status %d", status)
	}
	start := time.Now()
	must(t, s.Shutdown(t.Context()))
	if d := time.Since(start); d > 4*time.Second { // net/http would wait for five
		t.Fatalf("Shutdown took %s", d)
	}
}
