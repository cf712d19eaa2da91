package lockfile_test

import (
	"path/filepath"
	"reflect"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// fuzz reads whatever the fuzzer makes of the examples of one format. What is read must be well-formed, and the same
// when it is read again.
func fuzz(f *testing.F, base string) {
	for _, example := range examples {
		if filepath.Base(example) == base {
			f.Add([]byte(exampleText(f, example)))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := lockfile.Parse(base, text)
		if err != nil {
			return
		}
		wellFormed(t, file)
		if again, err := lockfile.Parse(base, text); err != nil || !reflect.DeepEqual(file, again) {
			t.Fatalf("read again: %v, %v", again, err)
		}
	})
}

func FuzzPackageLock(f *testing.F)  { fuzz(f, "package-lock.json") }
func FuzzShrinkwrap(f *testing.F)   { fuzz(f, "npm-shrinkwrap.json") }
func FuzzPnpm(f *testing.F)         { fuzz(f, "pnpm-lock.yaml") }
func FuzzYarn(f *testing.F)         { fuzz(f, "yarn.lock") }
func FuzzRequirements(f *testing.F) { fuzz(f, "requirements.txt") }
func FuzzPoetry(f *testing.F)       { fuzz(f, "poetry.lock") }
func FuzzUV(f *testing.F)           { fuzz(f, "uv.lock") }
func FuzzPylock(f *testing.F)       { fuzz(f, "pylock.toml") }
