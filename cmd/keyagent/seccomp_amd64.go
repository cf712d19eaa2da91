package main

import "golang.org/x/sys/unix"

const filterArch = unix.AUDIT_ARCH_X86_64

// forbiddenHere are forms of clone that other machines do not have.
var forbiddenHere = []uint32{unix.SYS_FORK, unix.SYS_VFORK}
