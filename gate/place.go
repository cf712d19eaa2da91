package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"countersign.dev/provenance"
)

// ErrNotServed is what a place says that has nothing to do with a registry.
var ErrNotServed = errors.New("the registry is not served here")

// Place is where bundles come from. Nothing that it gives is believed.
type Place interface {
	// Introduce gives what it has of a registry itself: its identity, its certificates, by calling the registry's
	// methods, and status documents, which it returns. The error is ErrNotServed where it has nothing to do with it.
	Introduce(ctx context.Context, reg *Registry) (statuses [][]byte, err error)

	// Find calls give with what it has of each of the packages, by its index, in any order and from several
	// goroutines, once for each. The bundles are the receiver's.
	Find(ctx context.Context, reg *Registry, wanted []provenance.Coordinate, give func(i int, a Answer))

	// String names it for people.
	String() string
}

// Answer is what a place has of one package.
type Answer struct {
	Bundles   [][]byte // of a release on PyPI those of all its files; none: it does not have it
	Withdrawn string   // what the registry says of a package that it withdrew
	Skipped   bool     // it has nothing to do with the registry
	Err       error    // it could not be asked
}

// meet learns what the cache and all places know of a registry itself.
func (r *run) meet(ctx context.Context, reg *Registry) {
	var statuses [][]byte
	if r.cache != nil {
		statuses = r.cache.recall(reg)
	}
	kept, strangers, served := len(statuses), []string(nil), false
	for _, p := range r.Places {
		more, err := p.Introduce(ctx, reg)
		switch {
		case errors.Is(err, ErrNotServed):
			strangers = append(strangers, p.String())
		case err == nil:
			served = served || len(more) > 0
		default:
			r.note("%s has nothing of registry %s itself: %v", p, reg.Name, err)
		}
		for _, s := range more {
			reg.learnFromStatus(s)
		}
		statuses = append(statuses, more...)
	}
	if len(strangers) > 0 && !served {
		r.note("registry %s is not served by %s: no new status of it was fetched, so what it withdrew lately is not known", reg.Name, strings.Join(strangers, ", "))
	}
	r.settleStatus(reg, kept, append(statuses, r.Statuses...))
}

// ask finds the bundles of a registry's packages. If the identity grew on the way, what was judged by a shorter one is
// judged again; if certificates did, what lacked one.
func (r *run) ask(ctx context.Context, reg *Registry) {
	var all []*question
	for _, q := range r.ordered() {
		if q.registry == reg {
			all = append(all, q)
		}
	}
	for range 3 {
		before, certificates := reg.Chain(), len(reg.Enrolments(true))
		r.askPlaces(ctx, reg, all)
		longer, more := reg.Chain() != before, len(reg.Enrolments(true)) > certificates
		var again []*question
		for _, q := range all {
			if longer || more && q.outcome.missing != "" {
				q.outcome = outcome{}
				again = append(again, q)
			}
		}
		if all = again; len(all) == 0 {
			return
		}
	}
}

func (r *run) askPlaces(ctx context.Context, reg *Registry, all []*question) {
	if r.cache != nil {
		r.askPlace(ctx, reg, r.cache, all)
	}
	for _, p := range r.Places {
		r.askPlace(ctx, reg, p, all)
	}
}

// askPlace asks one place for the packages that have not passed yet. Several questions may be about one package.
func (r *run) askPlace(ctx context.Context, reg *Registry, p Place, all []*question) {
	byCoordinate := make(map[provenance.Coordinate][]*question)
	var wanted []provenance.Coordinate
	for _, q := range all {
		if q.outcome.passed || q.outcome.final {
			continue
		}
		if byCoordinate[q.coordinate] == nil {
			wanted = append(wanted, q.coordinate)
		}
		byCoordinate[q.coordinate] = append(byCoordinate[q.coordinate], q)
	}
	if len(wanted) == 0 {
		return
	}
	given := make([]sync.Once, len(wanted))
	give := func(i int, a Answer) {
		given[i].Do(func() { r.take(p, byCoordinate[wanted[i]], a) })
	}
	reg.Enrolments(true)
	p.Find(ctx, reg, wanted, give)
	for i := range wanted {
		give(i, Answer{Err: fmt.Errorf("%s did not answer", p)})
	}
}

// take judges what a place gave about one package.
func (r *run) take(p Place, questions []*question, a Answer) {
	r.slots <- struct{}{}
	defer func() { <-r.slots }()
	_, cached := p.(*Cache)
	reg, bare := questions[0].registry, slices.Clone(a.Bundles)
	if !cached {
		a.Bundles = slices.Clone(a.Bundles)
		for i, b := range a.Bundles {
			a.Bundles[i], bare[i] = reg.Strip(b)
		}
	}
	good := false
	for _, q := range questions {
		r.judge(q, a, cached)
		good = good || q.outcome.passed
		r.step(q)
	}
	if good && !cached && r.cache != nil {
		if err := r.cache.keep(reg, questions[0].coordinate, r.genuine(questions[0], a.Bundles, bare)); err != nil {
			r.note("the cache was not written: %v", err)
		}
	}
}

// genuine are the bundles of a release, without what they have in common, that are worth keeping: there may be more than
// were wanted, and whoever gave them could have added others.
func (r *run) genuine(q *question, whole, bare [][]byte) (kept [][]byte) {
	if len(whole) == 1 {
		return bare
	}
	for i, b := range whole {
		subject := subjectOf(b)
		if _, err := r.verify(q, b, subject); subject != nil && err == nil {
			kept = append(kept, bare[i])
		}
	}
	return kept
}

// step counts a question that is answered for good.
func (r *run) step(q *question) {
	if r.Progress == nil || !q.outcome.passed {
		return
	}
	r.Progress(Counts{int(r.done.Add(1)), len(r.questions)})
}
