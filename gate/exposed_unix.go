//go:build unix

package gate

import (
	"io/fs"
	"os"
	"syscall"
)

// exposed says how others can change what is in a folder, "" if they cannot. A group is taken for colleagues.
func exposed(info fs.FileInfo) string {
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return "is a link"
	case known && owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return "belongs to another user"
	case info.Mode().Perm()&0o002 != 0:
		return "can be written by everybody"
	}
	return ""
}
