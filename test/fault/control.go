package fault

import (
	"fmt"
	"os"
	"regexp"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	controlMagic   = 0x4641554c54503131
	controlVersion = 1

	functions   = 68
	engines     = 64
	renames     = 8
	processes   = 64
	messages    = 64
	messageSize = 256

	forever = ^uint64(0)
)

type word = atomic.Uint64

// control is struct control of control.h, which says what the fields mean.
// The module refuses to be loaded with one of another size.
type control struct {
	magic, version, size word
	over                 [1024]byte

	latency, jitter    word
	engines            word
	busyUntil          [engines]word
	sessionCap         word
	sessionCapReported word
	renames            [renames]struct{ caller, below word }

	dead                     word
	reboots, rebootRV        word
	stales, staleRV          word
	released                 word
	corruptEvery, corrupting word
	shortSignatures          word
	quirks                   word
	random                   word
	functions                [functions]function

	logins, wrongLogins   word
	mostSessions          word
	signatures, corrupted word
	sharedSessions        word
	earlyFinalises        word
	messagesGiven         word
	messages              [messages]struct {
		length word
		start  [messageSize]byte
	}
	processes [processes]process
}

type function struct {
	calls           word
	rv, skip, count word
	oftenRV, often  word
	hang, hangCalls word
}

type process struct{ pid, epoch, sessions, hanging word }

// newControl makes the control file and maps it. It stays mapped for the life
// of the process: a goroutine a test left behind may still look.
func newControl(path, over string) (*control, error) {
	c := new(control)
	if len(over) >= len(c.over) {
		return nil, fmt.Errorf("module path of %d bytes", len(over))
	}
	size := int(unsafe.Sizeof(*c))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	shared, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap %s: %w", path, err)
	}
	c = (*control)(unsafe.Pointer(&shared[0]))
	copy(c.over[:], over)
	c.version.Store(controlVersion)
	c.size.Store(uint64(size))
	c.magic.Store(controlMagic)
	return c, nil
}

// sum adds up a number over the processes that still run.
func (c *control) sum(number func(*process) uint64) (n int) {
	for i := range c.processes {
		if p := &c.processes[i]; p.pid.Load() != 0 && running(p.pid.Load()) {
			n += int(number(p))
		}
	}
	return n
}

// running says whether a process has not ended. One that was killed and not
// yet waited for has.
func running(pid uint64) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !ended.Match(status)
}

var ended = regexp.MustCompile(`(?m)^State:\s+[ZX]`)
