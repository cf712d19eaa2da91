package gate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"countersign.dev/provenance"
)

const (
	bundleEnding   = ".bundle.json"
	maxFolderFiles = 500_000
)

// Folder is a place on disk: files NAME.bundle.json anywhere in it, or a static export, with the paths of a registry's
// public listener, or both.
type Folder struct {
	Path string

	mu      sync.Mutex
	bundles map[provenance.Coordinate][]string // paths of NAME.bundle.json, by release; nil until it was walked
	exports map[string]map[provenance.Coordinate][]string
	failed  error // of the last walk
}

func (f *Folder) String() string { return f.Path }

// Introduce reads identities and statuses, and finds out which package each file is of.
func (f *Folder) Introduce(_ context.Context, reg *Registry) (statuses [][]byte, err error) {
	if err := f.walk(reg); err != nil {
		return nil, err
	}
	for _, name := range []string{"identity", "identity.json"} {
		if data, err := readBounded(filepath.Join(f.Path, reg.Name, name), provenance.MaxBundle); err == nil {
			if envelopes, err := provenance.ParseEnvelopes(data); err == nil {
				reg.Meet(envelopes)
			}
		}
	}
	if data, err := readBounded(filepath.Join(f.Path, reg.Name, "status"), provenance.MaxStatusBundle); err == nil {
		statuses = append(statuses, data)
	}
	return statuses, nil
}

// walk reads every NAME.bundle.json: for its package's name once, for what it says of the registry each time.
func (f *Folder) walk(reg *Registry) error {
	found := make(map[provenance.Coordinate][]string)
	err := walkFiles(f.Path, func(path string) {
		if !strings.HasSuffix(path, bundleEnding) {
			return
		}
		data, err := readBounded(path, provenance.MaxBundle)
		if err != nil {
			return // when it is wanted, it is missed
		}
		reg.Strip(data)
		if c, of := aboutOf(data); of == reg.Name {
			found[c.Release()] = append(found[c.Release()], path)
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bundles == nil {
		f.bundles = make(map[provenance.Coordinate][]string)
	}
	for c, paths := range found {
		f.bundles[c] = paths
	}
	f.failed = err
	return err
}

// walkFiles calls visit for the files in a folder and below, in the order of their names.
func walkFiles(folder string, visit func(path string)) error {
	n := 0
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if n++; n > maxFolderFiles {
			return fmt.Errorf("%s has more than %d files", folder, maxFolderFiles)
		}
		if !d.IsDir() {
			visit(path)
		}
		return nil
	})
}

// aboutOf is which package a bundle that nobody verified claims to be of, and which registry's.
func aboutOf(bundle []byte) (provenance.Coordinate, string) {
	switch s := entryOf(bundle).(type) {
	case *provenance.Countersignature:
		return s.Coordinate, s.Registry
	case *provenance.RegistryStatement:
		return s.Coordinate, s.Registry
	}
	return provenance.Coordinate{}, ""
}

// Find reads what is under the path of a static export, and what was found elsewhere.
func (f *Folder) Find(ctx context.Context, reg *Registry, wanted []provenance.Coordinate, give func(int, Answer)) {
	inParallel(len(wanted), func(i int) {
		if ctx.Err() != nil {
			give(i, Answer{Err: ctx.Err()})
			return
		}
		give(i, f.find(reg, wanted[i]))
	})
}

func (f *Folder) find(reg *Registry, c provenance.Coordinate) (a Answer) {
	key := c.Hash()
	paths := append([]string{filepath.Join(f.Path, reg.Name, "bundles", hex.EncodeToString(key[:]))}, f.bundles[c.Release()]...)
	if c.Partial() {
		paths = append(paths, f.export(reg)[c]...)
	}
	size := 0
	for _, path := range paths {
		data, err := readBounded(path, provenance.MaxBundle)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return Answer{Err: err}
		case size+len(data) > maxReleases:
			return Answer{Err: fmt.Errorf("%s has more than %d bytes of bundles of %s", f.Path, maxReleases, c)}
		default:
			size += len(data)
			a.Bundles = append(a.Bundles, data)
		}
	}
	if len(a.Bundles) == 0 && f.failed != nil {
		return Answer{Err: f.failed}
	}
	return a
}

// export finds out which release each bundle of a static export is of, which its name does not say.
func (f *Folder) export(reg *Registry) map[provenance.Coordinate][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.exports[reg.Name]; known != nil {
		return known
	}
	found := make(map[provenance.Coordinate][]string)
	_ = walkFiles(filepath.Join(f.Path, reg.Name, "bundles"), func(path string) { // there need not be one
		data, err := readBounded(path, provenance.MaxBundle)
		if err != nil {
			return
		}
		if c, _ := aboutOf(data); c.Type() == "pypi" {
			found[c.Release()] = append(found[c.Release()], path)
		}
	})
	if f.exports == nil {
		f.exports = make(map[string]map[provenance.Coordinate][]string)
	}
	f.exports[reg.Name] = found
	return found
}
