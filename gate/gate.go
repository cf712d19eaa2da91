// Package gate decides whether what a project's lockfiles name may be installed: every entry, by the consumer's pins, from
// the lockfile's digests alone, with no file of a package at hand.
//
// # What happens to an entry
//
//  1. Its pin. An entry belongs to a pin by the package that it installs, and by the name under which it does: with npm's
//     aliases the two differ, and a pinned name that installs somebody else's package is what an attacker wants. A rule
//     for many names (Gradle's trusted-artifacts) belongs to every pin that it overlaps. Where several pins have a say,
//     the enforced one decides.
//  2. What no pin covers is treated by the default of the pins file. What a pin covers and cannot be checked, because
//     the lockfile has no digest for it or has it from a git repository or URL, is refused. A folder of the project is
//     its own source, which no registry countersigns: it is reported.
//  3. Its bundle, from each [Place] in turn until one has a bundle that passes: the cache, folders, registries and mirrors.
//     None of them is trusted, the cache neither: provenance.Verify judges what they give. A refusal is asked about again
//     at the next place, so that a stale or corrupted cache heals itself, and one mirror that lies hides no good bundle of
//     another. Only that a version was withdrawn is believed whoever says it: it refuses, and never passes, anything.
//  4. The digests. A client that accepts any of several files must find each of them countersigned: one digest added in
//     a pull request would let another file in.
//  5. The policies, on what was verified.
//
// # What comes out
//
// A [Report] accounts for every entry, and has a [Finding] for each that is not simply verified or ignored. It is the
// same, byte for byte, on one core and on many. Not found at every place that was asked is a refusal; a place that
// could not be asked leaves the entry unchecked. Nothing is ever passed because of where a lockfile says it came from.
//
// Memory does not grow with the number of dependencies but for some hundred bytes each: bundles are judged as they
// arrive and forgotten.
package gate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// Gate is how a consumer decides.
type Gate struct {
	Pins         *provenance.Pins
	Cache        *Cache  // asked first; nil for none
	Places       []Place // asked after it, in this order
	Policies     []Policy
	Statuses     [][]byte      // status documents that were handed over
	StatusMaxAge time.Duration // stricter than the pins' own, 0 for none
	RefusePaths  bool          // also refuse folders of the project under pinned names
	Mode         provenance.Mode
	Now          time.Time
	Workers      int          // 0: as many as the process has cores
	Progress     func(Counts) // called now and then, from several goroutines; may be nil
}

// Policy is a consumer's own rules about what was verified.
type Policy func(r *provenance.Result, now time.Time) []Ruling

// Ruling is what a rule has against a package.
type Ruling struct {
	Rule     string
	Severity string // "error" refuses, "warning" and "note" are only said
	Message  string
}

// Counts is how far a run is.
type Counts struct{ Done, All int }

// Check decides about every entry of the files.
func (g *Gate) Check(ctx context.Context, files []*lockfile.File) *Report {
	r := g.newRun()
	for i, f := range files {
		for j := range f.Entries {
			r.sort(f, at{i, j})
		}
	}
	if r.cache != nil {
		if err := r.cache.usable(r.sorted()); err != nil {
			r.note("the cache is not used: %v", err)
			r.cache = nil
		}
	}
	for _, reg := range r.sorted() {
		r.meet(ctx, reg)
		r.ask(ctx, reg)
		if r.cache != nil {
			if err := r.cache.flush(reg, r.verifier); err != nil {
				r.note("the cache was not written: %v", err)
			}
		}
	}
	return r.report(files)
}

// at is an entry's place in the order of a run.
type at struct{ file, entry int }

func (a at) compare(b at) int {
	return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.entry, b.entry))
}

// run is one Check.
type run struct {
	*Gate
	cache      *Cache // nil for none that is usable
	pins       pinTable
	questions  map[[32]byte]*question
	findings   []*Finding // of entries about which there is nothing to ask
	counts     Summary
	registries map[string]*Registry // by name and identity
	verifier   *provenance.Verifier
	slots      chan struct{} // as many as may verify at once
	done       atomic.Int64  // questions that were judged
	mu         sync.Mutex
	notes      []string // under mu
}

func (g *Gate) newRun() *run {
	workers := g.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return &run{Gate: g, cache: g.Cache, pins: newPinTable(stricter(g.Pins, g.StatusMaxAge)), questions: make(map[[32]byte]*question),
		registries: make(map[string]*Registry), verifier: provenance.NewVerifier(), slots: make(chan struct{}, workers)}
}

// registry is what is known of the registry that a pin names.
func (r *run) registry(p *provenance.Pin) *Registry {
	key := p.Registry + " " + p.Identity
	known := r.registries[key]
	if known == nil {
		known = newRegistry(p)
		r.registries[key] = known
	}
	return known
}

// sorted are the registries in an order that is always the same.
func (r *run) sorted() []*Registry {
	return slices.SortedFunc(maps.Values(r.registries), func(a, b *Registry) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Name, b.Name))
	})
}

// note is said beside the findings.
func (r *run) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if line := fmt.Sprintf(format, args...); !slices.Contains(r.notes, line) {
		r.notes = append(r.notes, line)
	}
}

// stricter gives the pins with no more than this age of a status allowed.
func stricter(pins *provenance.Pins, age time.Duration) *provenance.Pins {
	if age <= 0 {
		return pins
	}
	out := &provenance.Pins{Default: pins.Default, Pins: slices.Clone(pins.Pins)}
	for i := range out.Pins {
		if p := &out.Pins[i]; p.StatusMaxAge == 0 || p.StatusMaxAge > age {
			p.StatusMaxAge = age
		}
	}
	return out
}
