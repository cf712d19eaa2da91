package main

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The offsets of struct seccomp_data. An argument's lower half comes first on the machines that filterArch knows.
const (
	dataNumber = 0
	dataArch   = 4
	dataFirst  = 16
)

// forbidden are calls that nobody here needs: to look into other processes, or be looked into; to execute what landlock
// has no say about; to make system calls that a filter does not see; to be in another place.
var forbidden = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_EXECVEAT, unix.SYS_MEMFD_CREATE,
	unix.SYS_IO_URING_SETUP, unix.SYS_BPF,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_CHROOT,
}

// filterAvailable is false where the kernel has no seccomp filters, and for machines that the filter was not written for.
func filterAvailable() bool {
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return e == 0 && filterArch != 0
}

// restrictCalls is about all threads at once.
func (c confinement) restrictCalls() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := c.filter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if e != 0 {
		return e
	}
	if thread != 0 {
		return errors.New("a thread has other filters")
	}
	return nil
}

// filter is the program that the kernel runs at each system call. Each test either answers or goes on to the next one.
func (c confinement) filter() []unix.SockFilter {
	var (
		deny  = refuse(unix.EPERM)
		allow = answer(unix.SECCOMP_RET_ALLOW)
	)
	f := []unix.SockFilter{fetch(dataArch), unless(unix.BPF_JEQ, filterArch, 1), answer(unix.SECCOMP_RET_KILL_PROCESS), fetch(dataNumber)}
	f = append(f, when(unix.BPF_JGE, 1<<30, 1), refuse(unix.ENOSYS)) // x32, where amd64 has other numbers
	for _, call := range append(forbidden, forbiddenHere...) {
		f = append(f, when(unix.BPF_JEQ, call, 1), deny)
	}
	// Its flags are in memory, where a filter cannot look; C libraries go on to clone.
	f = append(f, when(unix.BPF_JEQ, unix.SYS_CLONE3, 1), refuse(unix.ENOSYS))
	// Threads, but no processes.
	f = append(f, when(unix.BPF_JEQ, unix.SYS_CLONE, 4), fetch(dataFirst), when(unix.BPF_JSET, unix.CLONE_THREAD, 1), allow, deny)
	// Families of sockets.
	families := []uint32{unix.AF_UNIX}
	if c.network {
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK) // the last for looking up names
	}
	f = append(f, when(unix.BPF_JEQ, unix.SYS_SOCKET, uint8(2+2*len(families))), fetch(dataFirst))
	for _, family := range families {
		f = append(f, when(unix.BPF_JEQ, family, 1), allow)
	}
	return append(f, refuse(unix.EAFNOSUPPORT), allow)
}

func fetch(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// when goes on with the next instruction if the comparison holds, and else leaves out so many.
func when(comparison uint16, k uint32, out uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | comparison, Jf: out, K: k}
}

// unless leaves out so many instructions if the comparison holds.
func unless(comparison uint16, k uint32, out uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | comparison, Jt: out, K: k}
}

func answer(a uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: a}
}

func refuse(e unix.Errno) unix.SockFilter { return answer(unix.SECCOMP_RET_ERRNO | uint32(e)) }
