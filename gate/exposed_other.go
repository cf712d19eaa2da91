//go:build !unix

package gate

import "io/fs"

// exposed says how others can change what is in a folder, as far as its mode tells: here it does not.
func exposed(info fs.FileInfo) string {
	if info.Mode()&fs.ModeSymlink != 0 {
		return "is a link"
	}
	return ""
}
