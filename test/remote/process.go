package remote

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// running lists the processes of a process group that have not ended. One that
// was killed and not yet waited for has.
func running(group int) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone by now
		}
		// pid (name) state parent group: proc(5); the name may contain anything.
		var state string
		var parent, of int
		rest := text[bytes.LastIndexByte(text, ')')+1:]
		if _, err := fmt.Sscan(string(rest), &state, &parent, &of); err != nil || of != group {
			continue
		}
		if state != "Z" && state != "X" {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}
