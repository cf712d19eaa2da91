package main

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"slices"
	"testing"
)

// TestCommitted holds ../testdata to what this program makes, which two runs make alike.
func TestCommitted(t *testing.T) {
	made, committed := generate(), make(map[string]bool)
	if !maps.EqualFunc(made, generate(), bytes.Equal) {
		t.Error("two runs of the generator differ")
	}
	testdata := os.DirFS("../testdata")
	for _, name := range slices.Sorted(maps.Keys(made)) {
		data, err := fs.ReadFile(testdata, name)
		if err != nil || !bytes.Equal(data, made[name]) {
			t.Errorf("testdata/%s is not what the generator makes (%v): run go generate in provenance, and say in the change why", name, err)
		}
	}
	for _, dir := range directories {
		entries, err := fs.ReadDir(testdata, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			committed[dir+"/"+e.Name()] = true
		}
	}
	for name := range committed {
		if made[name] == nil {
			t.Errorf("testdata/%s is not made by the generator any more: run go generate in provenance", name)
		}
	}
}

// TestWrite: what is written is what was made, and what is no longer made goes away.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir, map[string][]byte{"bundles/old.json": []byte("old")}); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, map[string][]byte{"bundles/new.json": []byte("new"), "index.json": []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if want := []string{"bundles/new.json", "index.json"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v, want %v", names, err, want)
	}
}
