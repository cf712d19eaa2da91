package gate

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// question is one package with the digests that one or more lockfiles have of it.
type question struct {
	coordinate provenance.Coordinate
	pin        *provenance.Pin // of the coordinate
	mode       provenance.Mode // that of the pin, or stricter
	registry   *Registry
	files      []provenance.Digests
	source     string
	spots      []Spot
	order      at // of the first of them

	outcome outcome // of one goroutine at a time: a place answers a question once
}

// sort finds out which pin decides about an entry, and what there is to ask.
func (r *run) sort(f *lockfile.File, order at) {
	e := &f.Entries[order.entry]
	r.counts.Entries++
	pin, mode, installed := r.pins.decide(f.Ecosystem, e)
	switch {
	case pin == nil && r.pins.pins.Default == provenance.Ignore:
		r.counts.Ignored++
	case pin == nil:
		r.unpinned(e, newFinding(f, e, order))
	case e.Within > 0 && installed == pin && r.inside(f, e, pin, mode, order):
	case e.Problem != "":
		finding := newFinding(f, e, order)
		finding.pinned(pin, mode)
		finding.problem(e, r.RefusePaths)
		r.found(finding)
	case installed != pin:
		finding := newFinding(f, e, order)
		finding.pinned(pin, mode)
		finding.alias(e)
		r.found(finding)
	default:
		q := r.question(pin, mode, e, order)
		q.spots = append(q.spots, Spot{f.Path, e.Line})
	}
}

// inside lets an entry share the answer about the package in whose file it is, if the same registry speaks for both, as
// strictly. Whether it does is returned.
func (r *run) inside(f *lockfile.File, e *lockfile.Entry, pin *provenance.Pin, mode provenance.Mode, order at) bool {
	outer := at{order.file, e.Within - 1}
	around := &f.Entries[outer.entry]
	its, itsMode, installed := r.pins.decide(f.Ecosystem, around)
	if its == nil || around.Problem != "" || installed != its || its.Identity != pin.Identity || itsMode != mode {
		return false
	}
	q := r.question(its, itsMode, around, outer)
	q.spots = append(q.spots, Spot{f.Path, e.Line})
	return true
}

func newFinding(f *lockfile.File, e *lockfile.Entry, order at) *Finding {
	finding := &Finding{Name: e.Name, Ecosystem: f.Ecosystem, Source: e.Source, Spots: []Spot{{f.Path, e.Line}}, order: order,
		Expected: expected(e.Files)}
	if !e.Coordinate.IsZero() {
		finding.Purl = e.Coordinate.String()
	}
	return finding
}

// question is the one that an entry asks.
func (r *run) question(pin *provenance.Pin, mode provenance.Mode, e *lockfile.Entry, order at) *question {
	key := questionKey(e, mode)
	q := r.questions[key]
	if q == nil {
		q = &question{coordinate: e.Coordinate, pin: pin, mode: mode, registry: r.registry(pin), files: e.Files, source: e.Source, order: order}
		r.questions[key] = q
	}
	return q
}

// questionKey is the same for entries that ask the same: one package, with one set of digests.
func questionKey(e *lockfile.Entry, mode provenance.Mode) [32]byte {
	return sha256.Sum256([]byte(e.Coordinate.String() + "\n" + string(mode) + "\n" + strings.Join(expected(e.Files), "\n")))
}

// expected spells the digests of each file, sorted.
func expected(files []provenance.Digests) []string {
	out := make([]string, 0, len(files))
	for _, d := range files {
		out = append(out, spell(d))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func spell(d provenance.Digests) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(d)) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(name + ":" + d[name])
	}
	return b.String()
}

// unpinned treats what no pin covers by the default of the pins file.
func (r *run) unpinned(e *lockfile.Entry, f *Finding) {
	f.Mode = r.pins.pins.Default
	f.Code, f.Detail = string(provenance.NotPinned), "no pin covers it"
	f.Advice = "pin the registry that speaks for the name, with countersign pins add, or write default = \"ignore\" to check pinned names only"
	f.verdict = Refused
	if e.Problem != "" {
		f.problem(e, false)
		f.Confusion, f.Detail = false, f.Detail+"; no pin covers it"
	}
	r.found(f)
}

// found counts a finding that needs no bundle.
func (r *run) found(f *Finding) { r.findings = append(r.findings, f) }

// ordered are the questions in the order of the lockfiles.
func (r *run) ordered() []*question {
	return slices.SortedFunc(maps.Values(r.questions), func(a, b *question) int { return a.order.compare(b.order) })
}
