package gate

import (
	"errors"
	"fmt"
	"slices"

	"countersign.dev/provenance"
)

// outcome is what is known of a question so far.
type outcome struct {
	passed bool
	final  bool // no other place can change it

	refusal       *provenance.Refusal // of the last place that had a bundle
	missing       string              // why that place's bundle could not be judged
	unreachable   []string            // places that could not be asked
	absent        int                 // places, the cache aside, that do not have it
	countersigned []string            // digests that the registry countersigned under this name
	facts         facts
	rulings       []Ruling
}

// judge adds one place's answer to what is known.
func (r *run) judge(q *question, a Answer, cached bool) {
	o := &q.outcome
	switch {
	case a.Skipped:
		return
	case a.Err != nil:
		o.unreachable = append(o.unreachable, a.Err.Error())
		return
	case a.Withdrawn != "":
		o.refusal, o.missing, o.final = &provenance.Refusal{Code: provenance.Withdrawn, Detail: a.Withdrawn}, "", true
		return
	case len(a.Bundles) == 0:
		if !cached {
			o.absent++
		}
		return
	}
	results, err := r.verifyAll(q, a.Bundles)
	var refusal *provenance.Refusal
	var unchecked *provenance.Unchecked
	switch {
	case err == nil:
		r.rule(q, results)
	case errors.As(err, &refusal) && cached && q.coordinate.Partial() && refusal.Code == provenance.ArtifactDigestMismatch:
		// The cache may have some files of the release only.
	case errors.As(err, &refusal):
		o.refusal, o.missing = refusal, ""
		if refusal.Code == provenance.ArtifactDigestMismatch {
			o.countersigned = subjects(a.Bundles)
		}
	case errors.As(err, &unchecked):
		o.refusal, o.missing = nil, unchecked.Missing
	default:
		o.refusal, o.missing = nil, err.Error()
	}
}

// verifyAll verifies that each of the files that the client accepts is countersigned.
func (r *run) verifyAll(q *question, bundles [][]byte) ([]*provenance.Result, error) {
	var results []*provenance.Result
	for _, digests := range q.files {
		candidates := bundles
		if len(bundles) > 1 {
			candidates = choose(bundles, digests)
		}
		if len(candidates) == 0 {
			return nil, &provenance.Refusal{Code: provenance.ArtifactDigestMismatch,
				Detail: fmt.Sprintf("none of the %d files of it that are countersigned has %s", len(bundles), spell(digests))}
		}
		result, err := r.verifyAny(q, candidates, digests)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	if len(results) == 0 {
		return nil, &provenance.Unchecked{Missing: "a digest in the lockfile"}
	}
	return results, nil
}

// verifyAny verifies bundles of one file until one is good: some may be older than others.
func (r *run) verifyAny(q *question, bundles [][]byte, digests provenance.Digests) (result *provenance.Result, err error) {
	for _, b := range bundles[:min(len(bundles), maxTries)] {
		if result, err = r.verify(q, b, digests); err == nil {
			return result, nil
		}
	}
	return nil, err
}

const maxTries = 16

func (r *run) verify(q *question, bundle []byte, digests provenance.Digests) (*provenance.Result, error) {
	reg := q.registry
	return r.verifier.Verify(provenance.Request{Purl: q.coordinate.String(), Digests: digests, Bundle: bundle, Pins: r.pins.pins,
		Chain: reg.Chain(), Enrolments: reg.Enrolments(false), Status: reg.status, Now: r.Now})
}

// rule lets the policies speak about what was verified.
func (r *run) rule(q *question, results []*provenance.Result) {
	o := &q.outcome
	o.passed, o.refusal, o.missing, o.facts, o.rulings = true, nil, "", factsOf(results), nil
	for _, result := range results {
		for _, p := range r.Policies {
			for _, ruling := range p(result, r.Now) {
				if !slices.Contains(o.rulings, ruling) {
					o.rulings = append(o.rulings, ruling)
				}
			}
		}
	}
}

// choose finds the bundles of the file with these digests.
func choose(bundles [][]byte, digests provenance.Digests) (chosen [][]byte) {
	for _, b := range bundles {
		if subject := subjectOf(b); subject != nil && agree(subject, digests) {
			chosen = append(chosen, b)
		}
	}
	return chosen
}

func agree(subject, digests provenance.Digests) bool {
	common := 0
	for name, value := range digests {
		if subject[name] != "" && subject[name] != value {
			return false
		}
		if subject[name] == value {
			common++
		}
	}
	return common > 0
}

// subjectOf is what a bundle that nobody verified says of the file; nil if it says nothing.
func subjectOf(bundle []byte) provenance.Digests {
	entry := entryOf(bundle)
	switch s := entry.(type) {
	case *provenance.Countersignature:
		return s.Publication.Subject.Digest
	case *provenance.RegistryStatement:
		return s.Subject.Digest
	}
	return nil
}

func entryOf(bundle []byte) any {
	b, err := provenance.ParseBundle(bundle)
	if err != nil {
		return nil
	}
	entry, err := provenance.ParseEntry(b.Statement)
	if err != nil {
		return nil
	}
	return entry
}

// subjects are the digests of bundles, for people to compare.
func subjects(bundles [][]byte) []string {
	var all []provenance.Digests
	for _, b := range bundles[:min(len(bundles), 20)] {
		if s := subjectOf(b); s != nil {
			all = append(all, s)
		}
	}
	return expected(all)
}
