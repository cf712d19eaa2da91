package gate

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/provenance"
)

// Cache is a folder in which what was verified once is kept, for the next run and for runs without a network. Each
// registry identity has a folder of its own in it: identity.json, enrolments.json and status.json once, and packs of
// bundles without what those have. Reading ten thousand bundles is so many reads of one file, after one look into its
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
	mergeAt    = 8 // packs of one identity
	staleAfter = 24 * time.Hour
)

func (c *Cache) String() string { return "the cache" }

// folder is that of one identity.
func (c *Cache) folder(reg *Registry) string {
	return filepath.Join(c.Folder, strings.TrimPrefix(reg.Identity, "sha256:"))
}

// recall learns what earlier runs knew of a registry, and gives the status document they had.
func (c *Cache) recall(reg *Registry) (status []byte) {
	folder := c.folder(reg)
	if data, err := readBounded(filepath.Join(folder, "identity.json"), provenance.MaxBundle); err == nil {
		if envelopes, err := provenance.ParseEnvelopes(data); err == nil {
			reg.Meet(envelopes)
		}
	}
	if data, err := readBounded(filepath.Join(folder, "enrolments.json"), 1<<30); err == nil {
		if envelopes, err := provenance.ParseEnvelopes(data); err == nil {
			reg.enrolAll(envelopes)
		}
	}
	reg.forgetGrowth()
	status, _ = readBounded(filepath.Join(folder, "status.json"), provenance.MaxStatusBundle)
	return status
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

func kept(packs []*pack, key [32]byte) [][]byte {
	for _, p := range packs {
		if data := p.get(key); len(data) > 0 {
			return bytes.Split(data, []byte("\n"))
		}
	}
	return nil
}

// packs opens those of an identity, the newest first. What is no pack is passed over.
func (c *Cache) packs(reg *Registry) []*pack {
	c.mu.Lock()
	defer c.mu.Unlock()
	if packs, known := c.open[reg.Identity]; known {
		return packs
	}
	var packs []*pack
	for _, name := range slices.Backward(packNames(c.folder(reg))) {
		if p, err := openPack(name); err == nil {
			packs = append(packs, p)
		}
	}
	if c.open == nil {
		c.open = make(map[string][]*pack)
	}
	c.open[reg.Identity] = packs
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
		err = errors.Join(err, w.publish())
		if err == nil {
			err = c.merge(c.folder(reg))
		}
		sweep(c.folder(reg))
	}
	for _, p := range c.open[reg.Identity] {
		p.close()
	}
	delete(c.open, reg.Identity)
	return err
}

// remember writes the identity, the certificates and the status, if there is more of them than was read.
func (c *Cache) remember(reg *Registry, v *provenance.Verifier) error {
	grown, status := reg.growth()
	if !grown && status == nil {
		return nil
	}
	folder := c.folder(reg)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	again := newRegistry(reg.pin()) // what another run may have written meanwhile
	kept := c.recall(again)
	if chain := again.Chain(); chain != nil {
		reg.Meet(chain.Envelopes())
	}
	for _, envelopes := range again.Enrolments() {
		reg.enrolAll(envelopes)
	}
	var failed []error
	if chain := reg.Chain(); grown && chain != nil {
		failed = append(failed, replace(filepath.Join(folder, "identity.json"), provenance.EncodeEnvelopes(chain.Envelopes())))
		failed = append(failed, replace(filepath.Join(folder, "enrolments.json"), provenance.EncodeEnvelopes(reg.certificates())))
	}
	if s, err := v.Status(kept, reg.pin(), reg.Chain(), nil); status != nil && (err != nil || reg.status.Supersedes(s)) {
		failed = append(failed, replace(filepath.Join(folder, "status.json"), status))
	}
	return errors.Join(failed...)
}

// merge makes one pack of many.
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
	if err := w.publish(); err != nil {
		return err
	}
	for _, name := range names {
		os.Remove(name) // a run that reads it has it open
	}
	return nil
}

// copy adds the records of a pack that are whole and not there yet.
func (w *packWriter) copy(name string, seen map[[32]byte]bool) error {
	p, err := openPack(name)
	if err != nil {
		return nil // no pack, or merged by another run
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

// sweep removes what runs that were killed left behind.
func sweep(folder string) {
	left, _ := filepath.Glob(filepath.Join(escapeGlob(folder), ".new-*"))
	for _, name := range left {
		if info, err := os.Lstat(name); err == nil && time.Since(info.ModTime()) > staleAfter {
			os.Remove(name)
		}
	}
}

// replace writes a file whole.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
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
