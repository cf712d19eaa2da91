package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// harden keeps the PIN out of core dumps, and the memory out of reach of other processes of this uid.
func harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	return nil
}

// checkPrivileges refuses what the agent has no use for and cannot give back by itself.
func (c *config) checkPrivileges() error {
	if c.root {
		return nil
	}
	if os.Geteuid() == 0 {
		return errors.New("keyagent does not run as root: start it as a user of its own (or set allow_root)")
	}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &caps[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if held := uint64(caps[1].Permitted)<<32 | uint64(caps[0].Permitted); held != 0 {
		return fmt.Errorf("keyagent needs no capabilities and was started with %#x: start it without (AmbientCapabilities= in a unit, or set allow_root)", held)
	}
	return nil
}

// manager is the connection to systemd, if that wants to be told. It is made before the agent is confined.
type manager struct{ net.Conn }

func dialManager() (manager, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return manager{}, nil
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return manager{}, fmt.Errorf("notify the service manager: %w", err)
	}
	return manager{c}, nil
}

// ready says that the socket is there (sd_notify(3)).
func (m manager) ready() error {
	if m.Conn == nil {
		return nil
	}
	defer m.Close()
	if _, err := m.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}

// signals ends a context at SIGTERM or SIGINT.
type signals struct {
	c       chan os.Signal
	drained chan struct{}
}

func catchSignals() (context.Context, *signals) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &signals{make(chan os.Signal, 1), make(chan struct{})}
	signal.Notify(s.c, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		defer close(s.drained)
		for range s.c {
			cancel()
		}
	}()
	return ctx, s
}

// stop returns when every signal that came has ended the context. The next one ends the process, there and then: the
// kernel sees to that, not a handler. A thread that was about to run one would be gone with execve(2), and its signal too.
func (s *signals) stop() error {
	signal.Stop(s.c)
	close(s.c)
	<-s.drained
	return errors.Join(byDefault(unix.SIGTERM), byDefault(unix.SIGINT))
}

// byDefault gives a signal its default action, behind the back of package os/signal, which keeps a handler always.
func byDefault(s syscall.Signal) error {
	var zero [8]uint64 // the kernel's struct sigaction with SIG_DFL (rt_sigaction(2)), on any machine
	const maskSize = 8
	if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&zero)), 0, maskSize, 0, 0); e != 0 {
		return fmt.Errorf("default action of %s: %w", s, e)
	}
	return nil
}
