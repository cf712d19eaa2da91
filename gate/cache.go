package gate

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/provenance"
)

// Cache is a folder in which what was verified once is kept, for the next run and for runs without a network. Each
// registry identity has a folder of its own in it: its identity, the certificates and the newest status once, and packs of bundles
// without what those have. Reading ten thousand bundles is so many reads of one file, after one look into its
// index.
//
// Files appear whole, under new names, and are never changed, so any number of runs may use it at once and be killed at
// any time. What two runs add at the same time stays apart until a later one merges it. Nothing in it is trusted: it is
// verified as if it came from anywhere, and asked for again if it is refused. It may be deleted whenever nothing runs.
type Cache struct {
	Folder string

	mu      sync.Mutex
	open    map[string][]*pack     // by identity, the newest first
	writing map[string]*packWriter // by identity
}

const (
	mergeAt  = 8  // packs of one identity
	maxLooks = 20 // at files that another run replaces meanwhile
)

func (c *Cache) String() string { return "the cache" }

// folder is that of one identity.
func (c *Cache) folder(reg *Registry) string {
	return filepath.Join(c.Folder, strings.TrimPrefix(reg.Identity, "sha256:"))
}

// Introduce does nothing: see recall.
func (c *Cache) Introduce(context.Context, *Registry) ([][]byte, error) { return nil, nil }

// Find gives the bundles that are kept.
func (c *Cache) Find(ctx context.Context, reg *Registry, wanted []provenance.Coordinate, give func(int, Answer)) {
	packs := c.packs(reg)
	inParallel(len(wanted), func(i int) {
		if ctx.Err() != nil {
			give(i, Answer{Err: ctx.Err()})
			return
		}
		give(i, Answer{Bundles: kept(packs, wanted[i].Hash())})
	})
}

// kept are the bundles in all packs, the newest first: those of some files of a release may be in one, and others' in
// another.
func kept(packs []*pack, key [32]byte) (bundles [][]byte) {
	for _, p := range packs {
		data := p.get(key)
		if len(data) == 0 {
			continue
		}
		for b := range bytes.SplitSeq(data, []byte("\n")) {
			if !slices.ContainsFunc(bundles, func(k []byte) bool { return bytes.Equal(k, b) }) {
				bundles = append(bundles, b)
			}
		}
	}
	return bundles
}

// packs opens those of an identity, the newest first. What is no pack is passed over.
func (c *Cache) packs(reg *Registry) []*pack {
	c.mu.Lock()
	defer c.mu.Unlock()
	if packs, known := c.open[reg.Identity]; known {
		return packs
	}
	packs := openPacks(c.folder(reg))
	if c.open == nil {
		c.open = make(map[string][]*pack)
	}
	c.open[reg.Identity] = packs
	return packs
}

// openPacks looks again if another run merged them away between the look and the opening.
func openPacks(folder string) (packs []*pack) {
	for range maxLooks {
		gone := false
		for _, name := range slices.Backward(packNames(folder)) {
			p, err := openPack(name)
			if err == nil {
				packs = append(packs, p)
			}
			gone = gone || errors.Is(err, fs.ErrNotExist)
		}
		if !gone {
			break
		}
		for _, p := range packs {
			p.close()
		}
		packs = nil
	}
	return packs
}

func packNames(folder string) []string {
	names, _ := filepath.Glob(filepath.Join(escapeGlob(folder), "[0-9a-f]*"+packEnding))
	slices.Sort(names)
	return names
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// keep adds the bundles of a package, none of which has a line break.
func (c *Cache) keep(reg *Registry, of provenance.Coordinate, bundles [][]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.writing[reg.Identity]
	if w == nil {
		if err := os.MkdirAll(c.folder(reg), 0o700); err != nil {
			return err
		}
		var err error
		if w, err = newPack(c.folder(reg)); err != nil {
			return err
		}
		if c.writing == nil {
			c.writing = make(map[string]*packWriter)
		}
		c.writing[reg.Identity] = w
	}
	return w.add(of.Hash(), bytes.Join(bundles, []byte("\n")))
}

// flush writes what was learnt of a registry, and lets go of its packs.
func (c *Cache) flush(reg *Registry, v *provenance.Verifier) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.remember(reg, v)
	if w := c.writing[reg.Identity]; w != nil {
		delete(c.writing, reg.Identity)
		err = errors.Join(err, w.publish(time.Now().UnixNano()))
		if err == nil {
			err = c.merge(c.folder(reg))
		}
	}
	sweep(c.folder(reg))
	for _, p := range c.open[reg.Identity] {
		p.close()
	}
	delete(c.open, reg.Identity)
	return err
}

// merge makes one pack of many. It takes the place of the newest of them: what another run adds meanwhile is newer.
func (c *Cache) merge(folder string) error {
	names := packNames(folder)
	if len(names) < mergeAt {
		return nil
	}
	w, err := newPack(folder)
	if err != nil {
		return err
	}
	seen := make(map[[32]byte]bool)
	for _, name := range slices.Backward(names) {
		if err := w.copy(name, seen); err != nil {
			w.discard()
			return err
		}
	}
	if err := w.publish(timeOf(names[len(names)-1])); err != nil {
		return err
	}
	for _, name := range names {
		os.Remove(name) // a run that reads it has it open
	}
	return nil
}

// timeOf is when a pack was made, by its name.
func timeOf(name string) int64 {
	digits, _, _ := strings.Cut(filepath.Base(name), "-")
	at, _ := strconv.ParseInt(digits, 16, 64)
	return at
}

// copy adds the records of a pack that are whole and not there yet. What is no pack, or was merged by another run, is
// passed over.
func (w *packWriter) copy(name string, seen map[[32]byte]bool) error {
	p, err := openPack(name)
	var disk *fs.PathError
	if errors.As(err, &disk) && !errors.Is(err, fs.ErrNotExist) {
		return err // it may be good, and would be removed
	}
	if err != nil {
		return nil
	}
	defer p.close()
	for i := range p.len() {
		key := [32]byte(p.entry(i)[:32])
		data := p.record(p.entry(i))
		if seen[key] || len(data) == 0 {
			continue
		}
		seen[key] = true
		if err := w.add(key, data); err != nil {
			return err
		}
	}
	return nil
}

// inParallel calls do for 0 to n-1, on as many goroutines as may run at once and some that wait for the disk.
func inParallel(n int, do func(int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, readers) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	group.Wait()
}

const readers = 16
