package lockfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// A project that is installed from a lockfile nobody reads here must not pass unsaid.
func TestUnreadLockfiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bun.lock", "Pipfile.lock", "package-lock.json", "Gemfile.lock"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := lockfile.Find(dir)
	if err != nil || len(found) != 3 {
		t.Fatalf("%q, %v", found, err)
	}
	for _, name := range []string{"bun.lock", "Pipfile.lock"} {
		if _, err := lockfile.Read(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), "are not read") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is left of a file that was cut at its beginning.
func TestEmptyLockfiles(t *testing.T) {
	for name, says := range map[string]string{"Cargo.lock": "it is empty", "go.mod": "it names no module"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(" \n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := lockfile.Read(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
