package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What cannot be tried here: calls of other architectures, where numbers mean something else.
func TestFilterOfOtherArchitectures(t *testing.T) {
	f := confinement{}.filter()
	errno := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	const i386 = unix.AUDIT_ARCH_I386
	for _, tt := range []struct {
		arch, number, first, want uint32
	}{
		{filterArch, unix.SYS_READ, 0, unix.SECCOMP_RET_ALLOW},
		{i386, unix.SYS_READ, 0, unix.SECCOMP_RET_KILL_PROCESS},
		{0, unix.SYS_READ, 0, unix.SECCOMP_RET_KILL_PROCESS},
		{filterArch, 1<<30 | unix.SYS_READ, 0, errno(unix.ENOSYS)}, // x32
		{filterArch, 1<<30 | unix.SYS_PTRACE, 0, errno(unix.ENOSYS)},
		{filterArch, unix.SYS_PTRACE, 0, errno(unix.EPERM)},
		{filterArch, unix.SYS_CLONE3, 0, errno(unix.ENOSYS)},
		{filterArch, unix.SYS_CLONE, uint32(unix.SIGCHLD), errno(unix.EPERM)},
		{filterArch, unix.SYS_CLONE, unix.CLONE_THREAD, unix.SECCOMP_RET_ALLOW},
		{filterArch, unix.SYS_SOCKET, unix.AF_UNIX, unix.SECCOMP_RET_ALLOW},
		{filterArch, unix.SYS_SOCKET, unix.AF_INET, errno(unix.EAFNOSUPPORT)},
		{filterArch, unix.SYS_KILL, uint32(os.Getpid()), unix.SECCOMP_RET_ALLOW},
		{filterArch, unix.SYS_KILL, 1, errno(unix.EPERM)},
		{filterArch, unix.SYS_PRLIMIT64, 0, unix.SECCOMP_RET_ALLOW},
	} {
		data := map[uint32]uint32{dataNumber: tt.number, dataArch: tt.arch, dataFirst: tt.first}
		if got := evaluate(t, f, data); got != tt.want {
			t.Errorf("architecture %#x, call %#x, first argument %#x: %#x, want %#x", tt.arch, tt.number, tt.first, got, tt.want)
		}
	}
}

// evaluate runs a filter as the kernel does.
func evaluate(t *testing.T, f []unix.SockFilter, data map[uint32]uint32) uint32 {
	t.Helper()
	var a uint32
	for i := 0; i < len(f); i++ {
		var holds bool
		switch k := f[i].K; f[i].Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[k]
			continue
		case unix.BPF_RET | unix.BPF_K:
			return k
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ:
			holds = a == k
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JGE:
			holds = a >= k
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JSET:
			holds = a&k != 0
		default:
			t.Fatalf("instruction %d: %+v", i, f[i])
		}
		if holds {
			i += int(f[i].Jt)
		} else {
			i += int(f[i].Jf)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}
