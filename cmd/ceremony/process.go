package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// private keeps seeds and PINs, which are in this process for moments, out of core dumps and from debuggers.
func private() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid debuggers: %w", err)
	}
	return nil
}
