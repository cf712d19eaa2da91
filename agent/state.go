package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// State is the durable watermark of one log, locked for as long as it is open. The package comment says how the file
// is written and why.
type State struct {
	origin  string
	path    string
	file    *os.File
	head    Head // as read by OpenState
	claimed atomic.Bool
	put     func(record []byte) error // the durable write; tests make it fail
}

// StatePath is where the watermark of the origin lives in dir. An origin has no '_', so the name has one reading.
func StatePath(dir, origin string) string {
	return filepath.Join(dir, strings.ReplaceAll(origin, "/", "_")+".watermark")
}

// CreateState makes the first watermark of a log. It is for ceremonies, and refuses if the file exists.
func CreateState(dir, origin string, head Head) error {
	if err := cmp.Or(checkOrigin(origin), head.check()); err != nil {
		return fmt.Errorf("create watermark: %w", err)
	}
	path := StatePath(dir, origin)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create watermark: %s exists: this agent already has a history of %s", path, origin)
	}
	if err != nil {
		return fmt.Errorf("create watermark: %w", err)
	}
	_, err = f.Write(encodeRecord(origin, head))
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(dir)); err != nil {
		return fmt.Errorf("create watermark: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// OpenState locks and reads the watermark of a log. It never creates one, and never repairs one.
func OpenState(dir, origin string) (*State, error) {
	if err := checkOrigin(origin); err != nil {
		return nil, err
	}
	path := StatePath(dir, origin)
	file, err := os.OpenFile(path, stateFlags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("watermark %s does not exist: a ceremony makes it, an agent never does; "+
			"if this log had one, do not restore a copy: replace this agent by a ceremony", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open watermark: %w", err)
	}
	return openState(origin, file)
}

const stateFlags = os.O_RDWR | unix.O_DSYNC

// InheritState is OpenState for an agent that started again in its process, and has the descriptor that its predecessor's
// state told. The lock was never given up.
func InheritState(dir, origin string, descriptor int) (*State, error) {
	path := StatePath(dir, origin)
	flags, err := unix.FcntlInt(uintptr(descriptor), unix.F_GETFL, 0)
	if err == nil && flags&(os.O_WRONLY|stateFlags) != stateFlags {
		err = errors.New("it does not wait for the disk")
	}
	if err != nil {
		return nil, fmt.Errorf("go on with watermark %s: inherited descriptor: %w", path, err)
	}
	unix.CloseOnExec(descriptor)
	return openState(origin, os.NewFile(uintptr(descriptor), path))
}

func openState(origin string, file *os.File) (*State, error) {
	s := &State{origin: origin, path: file.Name(), file: file}
	s.put = func(record []byte) error {
		_, err := s.file.WriteAt(record, 0)
		return err
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// load leaves the state locked, read, and on disk.
func (s *State) load() error {
	if err := unix.Flock(int(s.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("watermark %s is in use by another agent", s.path)
		}
		return fmt.Errorf("lock watermark %s: %w", s.path, err)
	}
	if err := s.private(); err != nil {
		return err
	}
	record, err := io.ReadAll(io.NewSectionReader(s.file, 0, recordSize+1))
	if err != nil {
		return fmt.Errorf("read watermark %s: %w", s.path, err)
	}
	if s.head, err = decodeRecord(record, s.origin); err != nil {
		return fmt.Errorf("watermark %s: %w: do not edit it or restore a copy; replace this agent by a ceremony", s.path, err)
	}
	return s.write(s.head)
}

// private refuses a file or directory that another user could exchange for an older one.
func (s *State) private() error {
	file, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("watermark %s: %w", s.path, err)
	}
	if !file.Mode().IsRegular() || file.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("watermark %s has mode %v, want a regular file of mode 0600", s.path, file.Mode())
	}
	path := filepath.Dir(s.path)
	dir, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("watermark directory: %w", err)
	}
	if dir.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("watermark directory %s has mode %v: only its owner may write there", path, dir.Mode())
	}
	return cmp.Or(owned(s.path, file), owned(path, dir))
}

// owned wants this process's user, or root, to own the file.
func owned(path string, info fs.FileInfo) error {
	if uid := int(info.Sys().(*syscall.Stat_t).Uid); uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("%s belongs to uid %d, this agent runs as uid %d", path, uid, os.Geteuid())
	}
	return nil
}

// claim hands the head to the one guard that may move it.
func (s *State) claim(origin string) (Head, error) {
	if s.origin != origin {
		return Head{}, fmt.Errorf("watermark %s is of %s, not of %s", s.path, s.origin, origin)
	}
	if !s.claimed.CompareAndSwap(false, true) {
		return Head{}, fmt.Errorf("watermark %s already has a guard", s.path)
	}
	return s.head, nil
}

// write puts the head on disk. A file that was moved away or replaced under us is an error: the next start would read
// the other one.
func (s *State) write(head Head) error {
	ours, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("watermark %s: %w", s.path, err)
	}
	named, err := os.Lstat(s.path)
	if err != nil {
		return fmt.Errorf("watermark %s: %w", s.path, err)
	}
	if !os.SameFile(ours, named) {
		return fmt.Errorf("watermark %s was replaced while the agent ran", s.path)
	}
	if err := s.put(encodeRecord(s.origin, head)); err != nil {
		return fmt.Errorf("write watermark: %w", err)
	}
	return nil
}

// Descriptor is what InheritState takes. It is closed with the state.
func (s *State) Descriptor() int { return int(s.file.Fd()) }

// Close releases the lock. The guard must be idle.
func (s *State) Close() error { return s.file.Close() }
