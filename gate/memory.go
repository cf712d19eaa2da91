package gate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"countersign.dev/provenance"
)

// Beside packs the cache has files of three kinds. Like packs they are written under new names and never changed: a run
// that has more removes those that it read after it wrote one that has all of them. So nothing that a run wrote is lost
// to another that knew less, however their steps fall between each other.
const (
	identityKind   = "identity"
	enrolmentsKind = "enrolments"
	statusKind     = "status"

	maxEnrolmentsFile = 256 << 20 // bytes
	staleAfter        = 10 * time.Minute
	maxLeftovers      = 32
)

// saved is a file of one of these kinds.
type saved struct {
	name string
	data []byte
}

// usable says why a cache that is there must not be used: what others can change could be set back to yesterday's.
func (c *Cache) usable(registries []*Registry) error {
	if info, err := os.Stat(c.Folder); err == nil {
		if why := exposed(info); why != "" {
			return fmt.Errorf("%s %s", c.Folder, why)
		}
	}
	for _, reg := range registries {
		folder := c.folder(reg)
		info, err := os.Lstat(folder)
		if err != nil {
			continue // there is none yet, or keep says what is wrong
		}
		if why := exposed(info); why != "" {
			return fmt.Errorf("%s %s", folder, why)
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is no folder", folder)
		}
	}
	return nil
}

// files reads those of a kind, and looks again if another run replaced one meanwhile.
func (c *Cache) files(reg *Registry, kind string, limit int64) (all []saved) {
	for range maxLooks {
		all = nil
		names, _ := filepath.Glob(filepath.Join(escapeGlob(c.folder(reg)), kind+"-*.json"))
		slices.Sort(names)
		gone := false
		for _, name := range names {
			data, err := readBounded(name, limit)
			if err == nil {
				all = append(all, saved{name, data})
			}
			gone = gone || errors.Is(err, fs.ErrNotExist)
		}
		if !gone {
			break
		}
	}
	return all
}

// memories are what the cache has of a registry, but for bundles.
type memories struct{ identities, enrolments, statuses []saved }

// scattered reports whether several runs left what one file could have.
func (m *memories) scattered() bool {
	return max(len(m.identities), len(m.enrolments), len(m.statuses)) > 1
}

func (c *Cache) memories(reg *Registry) *memories {
	return &memories{c.files(reg, identityKind, provenance.MaxBundle), c.files(reg, enrolmentsKind, maxEnrolmentsFile),
		c.files(reg, statusKind, provenance.MaxStatusBundle)}
}

// teach has a registry learn the identities and certificates.
func (m *memories) teach(reg *Registry) {
	for _, f := range m.identities {
		if envelopes, err := provenance.ParseEnvelopes(f.data); err == nil {
			reg.Meet(envelopes)
		}
	}
	for _, f := range m.enrolments {
		if envelopes, err := provenance.ParseEnvelopes(f.data); err == nil {
			reg.enrolAll(envelopes)
		}
	}
}

// recall learns what earlier runs knew of a registry, and gives the status documents they had.
func (c *Cache) recall(reg *Registry) (statuses [][]byte) {
	m := c.memories(reg)
	m.teach(reg)
	reg.recalled(m.scattered())
	for _, f := range m.statuses {
		statuses = append(statuses, f.data)
	}
	return statuses
}

// remember writes the identity, the certificates and the status, if there is more of them than was read.
func (c *Cache) remember(reg *Registry, v *provenance.Verifier) error {
	chain := reg.Chain()
	if !reg.grew() || chain == nil {
		return nil
	}
	if err := os.MkdirAll(c.folder(reg), 0o700); err != nil {
		return err
	}
	m := c.memories(reg) // what other runs wrote meanwhile
	m.teach(reg)
	return errors.Join(
		c.supersede(reg, identityKind, provenance.EncodeEnvelopes(reg.Chain().Envelopes()), m.identities),
		c.supersede(reg, enrolmentsKind, provenance.EncodeEnvelopes(reg.certificates()), m.enrolments),
		c.rememberStatus(reg, v, m.statuses))
}

// supersede makes data, which has all that the files have, the one file of its kind.
func (c *Cache) supersede(reg *Registry, kind string, data []byte, files []saved) error {
	same := slices.IndexFunc(files, func(f saved) bool { return bytes.Equal(f.data, data) })
	if same < 0 {
		if err := c.save(reg, kind, data); err != nil {
			return err
		}
	}
	for i, f := range files {
		if i != same {
			os.Remove(f.name)
		}
	}
	return nil
}

// rememberStatus leaves the newest of the registry's status and those that are kept.
func (c *Cache) rememberStatus(reg *Registry, v *provenance.Verifier, files []saved) error {
	best, kept := reg.status, -1
	for i, f := range files {
		s, err := v.Status(f.data, reg.pin(), reg.Chain(), nil)
		if err == nil && (best == nil || !newer(best, s)) {
			best, kept = s, i
		}
	}
	if best == nil || kept < 0 && reg.statusData == nil {
		return nil
	}
	if kept < 0 {
		return c.supersede(reg, statusKind, reg.statusData, files)
	}
	return c.supersede(reg, statusKind, files[kept].data, files)
}

// save writes a file whole, under a new name.
func (c *Cache) save(reg *Registry, kind string, data []byte) error {
	f, err := os.CreateTemp(c.folder(reg), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.folder(reg), fmt.Sprintf("%s-%016x-%08x.json", kind, time.Now().UnixNano(), rand.Uint32())))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// sweep removes what runs that were killed left behind: what nobody wrote to for long, and what is too much. A run that
// is alive after all keeps less.
func sweep(folder string) {
	names, _ := filepath.Glob(filepath.Join(escapeGlob(folder), ".new-*"))
	age := make(map[string]time.Duration)
	for _, name := range names {
		if info, err := os.Lstat(name); err == nil {
			age[name] = time.Since(info.ModTime())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(age[a], age[b]), strings.Compare(a, b)) })
	for i, name := range names {
		if age[name] > staleAfter || i >= maxLeftovers {
			os.Remove(name)
		}
	}
}
