package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"

	"countersign.dev/strict"
	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// inheritance is what an agent that starts again in place leaves to itself. The process stays, and with it everything
// named here; the locks on the socket and the watermarks are never released.
type inheritance struct {
	PID    int            `json:"pid"`    // of the process whose descriptors these are
	Socket int            `json:"socket"` // descriptors, as package agent's Inherit and InheritState take them
	Lock   int            `json:"lock"`
	States map[string]int `json:"states"` // by origin
	Stuck  int            `json:"stuck"`  // how many times in a row a stuck module was the reason

	Users    map[string]int `json:"users"`    // that were looked up, before the agent was confined
	Confined string         `json:"confined"` // the digest of the confinement; "" for none
}

// inheritanceVariable carries it through execve(2). It is of no use to anyone else: what it names is in the process.
const inheritanceVariable = "KEYAGENT_INHERITANCE"

// takeInheritance returns nil for an agent that was started by somebody else.
func takeInheritance() (*inheritance, error) {
	text, ok := os.LookupEnv(inheritanceVariable)
	if !ok {
		return nil, nil
	}
	i, err := decodeInheritance(text)
	if err == nil && i.PID != os.Getpid() {
		err = fmt.Errorf("it is of process %d", i.PID)
	}
	if err := errors.Join(err, os.Unsetenv(inheritanceVariable)); err != nil {
		return nil, fmt.Errorf("%s: %w", inheritanceVariable, err)
	}
	return i, nil
}

func decodeInheritance(text string) (*inheritance, error) {
	i := new(inheritance)
	if err := strict.JSON([]byte(text), i); err != nil {
		return nil, err
	}
	if i.PID < 1 || i.Stuck < 0 || len(i.States) == 0 {
		return nil, errors.New("something is missing")
	}
	seen := map[int]bool{}
	for _, fd := range i.descriptors() {
		if fd <= 2 || seen[fd] {
			return nil, fmt.Errorf("descriptor %d cannot be meant", fd)
		}
		seen[fd] = true
	}
	return i, nil
}

func (i *inheritance) descriptors() []int {
	fds := []int{i.Socket, i.Lock}
	for _, fd := range i.States {
		fds = append(fds, fd)
	}
	return fds
}

// pause is how long the device is left alone. A successor serves meanwhile, and a signature waits.
func (i *inheritance) pause() time.Duration {
	pauses := []time.Duration{0, 0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}
	return pauses[min(i.Stuck, len(pauses)-1)]
}

// execute makes the program at path what this process runs. It returns only if that failed.
//
// The path is preferred to /proc/self/exe: after an upgrade the new program is there, and a start in place is like any
// other start. If there is none for the moment, or the agent is confined to the program that it was, this one goes on
// rather than no one.
func (i *inheritance) execute(path string, log *slog.Logger) error {
	if err := passOn(i.descriptors()); err != nil {
		return err
	}
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	env := append(os.Environ(), inheritanceVariable+"="+string(text))
	first := syscall.Exec(path, os.Args, env)
	log.Warn("going on with the program that was started: for the one at its path, restart the agent", "path", path, "error", first)
	second := syscall.Exec("/proc/self/exe", os.Args, env)
	return fmt.Errorf("start again in place: %w\nrestart the agent: if it is confined, it may execute only the program and the C library's loader that it was started with, and an upgrade replaced them", errors.Join(
		&os.PathError{Op: "execve", Path: path, Err: first}, &os.PathError{Op: "execve", Path: "/proc/self/exe", Err: second}))
}

// passOn has the next program get these descriptors and the standard ones, and no other. Modules open files and
// connections without a thought for it.
func passOn(descriptors []int) error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err == nil {
		return keep(descriptors)
	}
	const list = "/proc/self/fd" // kernels before 5.11; they do not confine anyone
	entries, err := os.ReadDir(list)
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return fmt.Errorf("%s: %w", list, err)
		}
		if fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return keep(descriptors)
}

func keep(descriptors []int) (err error) {
	for _, fd := range descriptors {
		_, e := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		err = cmp.Or(err, e)
	}
	return err
}
