package gate

import (
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
	finding := &Finding{Name: e.Name, Ecosystem: f.Ecosystem, Source: e.Source, Spots: []Spot{{f.Path, e.Line}}, order: order,
		Expected: expected(e.Files)}
	if !e.Coordinate.IsZero() {
		finding.Purl = e.Coordinate.String()
	}
	switch {
	case pin == nil:
		r.unpinned(e, finding)
	case e.Problem != "":
		finding.pinned(pin, mode)
		finding.problem(e, r.RefusePaths)
		r.found(finding)
	case installed != pin:
		finding.pinned(pin, mode)
		finding.alias(e)
		r.found(finding)
	default:
		r.question(pin, mode, e, finding)
	}
}

// question adds the spot of an entry to the question that it asks.
func (r *run) question(pin *provenance.Pin, mode provenance.Mode, e *lockfile.Entry, f *Finding) {
	key := questionKey(e, mode)
	q := r.questions[key]
	if q == nil {
		q = &question{coordinate: e.Coordinate, pin: pin, mode: mode, registry: r.registry(pin), files: e.Files, source: e.Source, order: f.order}
		r.questions[key] = q
	}
	q.spots = append(q.spots, f.Spots...)
}

// questionKey is the same for entries that ask the same: one package, with one set of digests.
func questionKey(e *lockfile.Entry, mode provenance.Mode) string {
	return e.Coordinate.String() + "\n" + string(mode) + "\n" + strings.Join(expected(e.Files), "\n")
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
	if r.pins.pins.Default == provenance.Ignore {
		r.counts.Ignored++
		return
	}
	f.Mode = r.pins.pins.Default
	f.Code, f.Detail = string(provenance.NotPinned), "no pin covers it"
	f.Advice = "add a [[pin]] for the name to the pins file, or write default = \"ignore\" to check pinned names only"
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
