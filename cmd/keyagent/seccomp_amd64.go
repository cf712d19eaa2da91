package main

import "golang.org/x/sys/unix"

const filterArch = unix.AUDIT_ARCH_X86_64

// forbiddenHere are forms of clone, and ways to the hardware for root, that other machines do not have.
var forbiddenHere = []uint32{unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_IOPL, unix.SYS_IOPERM}
