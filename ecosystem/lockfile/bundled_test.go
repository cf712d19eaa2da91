package lockfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// npm fetches nothing for a package that is inBundle below one that lists it (the test of that, with npm, is in test).
func TestWithin(t *testing.T) {
	const sri = `"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="`
	for what, c := range map[string]struct {
		outer, place, inner string
		want                int
	}{
		"listed":              {`"bundleDependencies": ["b"],`, "node_modules/a/node_modules/b", `"inBundle": true`, 1},
		"with a source":       {`"bundleDependencies": ["x", "b"],`, "node_modules/a/node_modules/b", `"inBundle": true, "resolved": "https://x.example/b.tgz", ` + sri, 1},
		"not listed":          {`"bundleDependencies": ["c"],`, "node_modules/a/node_modules/b", `"inBundle": true`, 0},
		"no list":             {``, "node_modules/a/node_modules/b", `"inBundle": true`, 0},
		"a list of all":       {`"bundleDependencies": true,`, "node_modules/a/node_modules/b", `"inBundle": true`, 0},
		"below nothing":       {`"bundleDependencies": ["b"],`, "node_modules/b", `"inBundle": true`, 0},
		"not in the bundle":   {`"bundleDependencies": ["b"],`, "node_modules/a/node_modules/b", sri, 0},
		"a link":              {`"bundleDependencies": ["b"],`, "node_modules/a/node_modules/b", `"inBundle": true, "link": true, "resolved": "x"`, 0},
		"below one in bundle": {`"inBundle": true, "bundleDependencies": ["b"],`, "node_modules/a/node_modules/b", `"inBundle": true`, 0},
		"a scope":             {`"bundleDependencies": ["@s/b"],`, "node_modules/a/node_modules/@s/b", `"inBundle": true`, 1},
	} {
		path := filepath.Join(t.TempDir(), "package-lock.json")
		text := fmt.Sprintf(`{"lockfileVersion": 3, "packages": {"": {}, "node_modules/a": {"version": "1.0.0", %s %s}, %q: {"version": "2.0.0", %s}}}`, c.outer, sri, c.place, c.inner)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := lockfile.Read(path)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := f.Entries[1]; got.Within != c.want || c.want > 0 && got.Problem != lockfile.NoDigest {
			t.Errorf("%s: within %d, problem %q, want within %d", what, got.Within, got.Problem, c.want)
		}
	}
}

// Old clients read "dependencies": what they would fetch is in no bundle.
func TestWithinForOldClients(t *testing.T) {
	path := filepath.Join(t.TempDir(), "package-lock.json")
	const sri = `"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="`
	text := `{"lockfileVersion": 2, "packages": {"": {}, "node_modules/a": {"version": "1.0.0", "bundleDependencies": ["b"], ` + sri + `},
"node_modules/a/node_modules/b": {"version": "2.0.0", "inBundle": true}},
"dependencies": {"a": {"version": "1.0.0", ` + sri + `, "dependencies": {"b": {"version": "2.0.0", "resolved": "https://x.example/b.tgz"}}}}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := lockfile.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.Entries {
		if e.Within != 0 {
			t.Errorf("%s is within entry %d", e.Name, e.Within)
		}
	}
}
