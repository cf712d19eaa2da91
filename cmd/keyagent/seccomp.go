package main

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The offsets of struct seccomp_data. An argument's lower half comes first on the machines that filterArch knows.
const (
	dataNumber = 0
	dataArch   = 4
	dataFirst  = 16
	dataSecond = 24
)

// forbidden are calls that nobody here needs: to look into other processes, or be looked into; to execute what landlock
// has no say about; to make system calls that a filter does not see; to be in another place; to reach the user's keys in
// the kernel; to tell other processes anything by signals. The last two lines are for an agent that may be root.
var forbidden = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP,
	unix.SYS_PIDFD_GETFD, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_EXECVEAT, unix.SYS_MEMFD_CREATE, unix.SYS_PERSONALITY,
	unix.SYS_IO_URING_SETUP, unix.SYS_BPF,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_CHROOT,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_TKILL, unix.SYS_PIDFD_SEND_SIGNAL,
	unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_REBOOT, unix.SYS_SYSLOG,
}

// filterAvailable is false where the kernel has no seccomp filters, and for machines that the filter was not written for.
func filterAvailable() bool {
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return e == 0 && filterArch != 0
}

func (c confinement) restrictCalls() error { return install(c.filter()) }

// install is about all threads at once.
func install(filter []unix.SockFilter) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
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
	// What is typed on a terminal: the agent may have been started on one.
	f = append(f, when(unix.BPF_JEQ, unix.SYS_IOCTL, 6), fetch(dataSecond), when(unix.BPF_JEQ, unix.TIOCSTI, 1), deny, when(unix.BPF_JEQ, unix.TIOCLINUX, 1), deny, allow)
	// Signals and limits, but its own. Its number stays when it is executed anew.
	own := uint32(os.Getpid())
	for _, call := range []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO} {
		f = append(f, only(call, unix.EPERM, own)...)
	}
	f = append(f, only(unix.SYS_PRLIMIT64, unix.EPERM, 0, own)...)
	families := []uint32{unix.AF_UNIX}
	if c.network {
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK) // the last for looking up names
	}
	f = append(f, only(unix.SYS_SOCKET, unix.EAFNOSUPPORT, families...)...)
	return append(f, allow)
}

// only allows a call if its first argument, of 32 bits, is one of these.
func only(call uint32, otherwise unix.Errno, arguments ...uint32) []unix.SockFilter {
	f := []unix.SockFilter{when(unix.BPF_JEQ, call, uint8(2+2*len(arguments))), fetch(dataFirst)}
	for _, argument := range arguments {
		f = append(f, when(unix.BPF_JEQ, argument, 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	return append(f, refuse(otherwise))
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
