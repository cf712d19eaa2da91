package ecosystem

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileThatChanges(t *testing.T) {
	for name, size := range map[string]int64{"shrinks": 10, "grows": 1000} {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := openFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if _, err := in.digests(""); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
			t.Errorf("a file that %s: %v", name, err)
		}
	}
}

// No suffix in the table may be the end of another, or the first row would take the other's files; rows with the
// same suffix need markers that differ.
func TestTable(t *testing.T) {
	for i, k := range kinds {
		if k.ecosystem == "" || k.what == "" || k.suffix == "" || k.read == nil {
			t.Errorf("row %d is incomplete", i)
		}
		for j, other := range kinds {
			if i == j || !strings.HasSuffix(other.suffix, k.suffix) {
				continue
			}
			if k.suffix != other.suffix || k.marker == "" || k.marker == other.marker {
				t.Errorf("%s ends in %s", other.suffix, k.suffix)
			}
		}
	}
}
