package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultSocketMode lets the owner and the group connect; the uid is checked as well.
const DefaultSocketMode fs.FileMode = 0o660

// Listen makes the socket with exactly this mode. Only one agent can hold a path: it locks path + ".lock", which stays
// behind. A socket that a dead agent left is replaced; anything that answers, or is not a socket, is not touched.
func Listen(path string, mode fs.FileMode) (*Listener, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := bind(path, mode)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, errors.Join(err, lock.Close()))
	}
	return &Listener{UnixListener: l, path: path, lock: lock}, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("another agent listens there")
	}
	return f, nil
}

// draftOf is the name that a socket is made under. The kernel goes on calling it so.
func draftOf(path string) string { return path + ".new" }

// bind makes the socket beside its final name and moves it there: under that name it has its mode from the beginning,
// and a dead socket gives way in one step.
func bind(path string, mode fs.FileMode) (*net.UnixListener, error) {
	if err := vacant(path); err != nil {
		return nil, err
	}
	draft := draftOf(path)
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: draft, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(draft, mode.Perm()), os.Rename(draft, path)); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(draft))
	}
	return l, nil
}

// vacant reports whether path is free, or a socket that nobody answers on.
func vacant(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("a file that is not a socket is in the way")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return errors.New("another server answers there")
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return nil
}

// Listener is an agent's socket, with the lock that makes it the only one under its name.
type Listener struct {
	*net.UnixListener
	path string
	lock *os.File
	once sync.Once
	err  error
}

// Addr is where clients find the socket, not the draft's name.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close removes the socket and gives up the lock.
func (l *Listener) Close() error {
	l.once.Do(func() { l.err = errors.Join(l.UnixListener.Close(), os.Remove(l.path), l.lock.Close()) })
	return l.err
}

// Descriptors are what Inherit takes. They are closed with the listener.
func (l *Listener) Descriptors() (socket, lock int, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	err = raw.Control(func(fd uintptr) { socket = int(fd) })
	return socket, int(l.lock.Fd()), err
}

// Inherit is Listen for an agent that started again in its process, and has the descriptors that its predecessor's
// listener told. The lock was never given up, and who connected in between is still in the queue.
func Inherit(path string, mode fs.FileMode, socket, lock int) (*Listener, error) {
	locked := os.NewFile(uintptr(lock), path+".lock")
	l, err := inheritSocket(path, mode, socket)
	if err == nil {
		err = inheritLock(locked)
	}
	if err != nil {
		if l != nil {
			l.Close()
		}
		return nil, fmt.Errorf("go on listening on %s: %w", path, errors.Join(err, locked.Close()))
	}
	return &Listener{UnixListener: l, path: path, lock: locked}, nil
}

// inheritSocket closes the descriptor; the listener has one of its own.
func inheritSocket(path string, mode fs.FileMode, socket int) (*net.UnixListener, error) {
	f := os.NewFile(uintptr(socket), path)
	listening, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return nil, errors.Join(errors.New("the inherited descriptor is not a listening socket"), err, f.Close())
	}
	inherited, err := net.FileListener(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	l, ok := inherited.(*net.UnixListener)
	if !ok || l.Addr().String() != draftOf(path) {
		return nil, errors.Join(fmt.Errorf("the inherited socket is %s", inherited.Addr()), inherited.Close())
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		err = errors.New("the socket was replaced while the agent ran")
	}
	if err == nil {
		err = os.Chmod(path, mode.Perm())
	}
	return l, err
}

// inheritLock wants the lock on the file that has the lock's name.
func inheritLock(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	unix.CloseOnExec(int(f.Fd()))
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(f.Name())
	if err == nil && !os.SameFile(ours, named) {
		err = fmt.Errorf("%s was replaced while the agent ran", f.Name())
	}
	return err
}

type peerKey struct{}

// withPeer notes the uid that the kernel recorded when the peer connected; -1 if it recorded none.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	uid, err := PeerUID(c)
	if err != nil {
		uid = -1
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func peer(ctx context.Context) int {
	if uid, ok := ctx.Value(peerKey{}).(int); ok {
		return uid
	}
	return -1
}

// PeerUID is the user who connected to a unix socket, as the kernel recorded it.
func PeerUID(c net.Conn) (int, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return -1, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return -1, err
	}
	if credErr != nil {
		return -1, credErr
	}
	return int(cred.Uid), nil
}
