package gate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// Report is what a run found out.
type Report struct {
	Lockfiles []Lockfile `json:"lockfiles"`
	Findings  []*Finding `json:"findings"` // refused first, then unchecked, reported, noted; each in the order of the lockfiles
	Summary   Summary    `json:"summary"`
	Notes     []string   `json:"notes"` // about the places that were asked
}

// Lockfile is one that was read.
type Lockfile struct {
	Path    string `json:"path"`
	Format  string `json:"format,omitzero"`
	Entries int    `json:"entries"`
}

// Summary accounts for every entry: Entries is the sum of Verified, Refused, Unchecked, Reported and Ignored.
type Summary struct {
	Entries   int `json:"entries"`
	Packages  int `json:"packages"` // different ones that were verified
	Verified  int `json:"verified"`
	Refused   int `json:"refused"`
	Unchecked int `json:"unchecked"`
	Reported  int `json:"reported"`
	Ignored   int `json:"ignored"` // no pin covers them, and the pins file says to ignore that

	Publishers   []Count      `json:"publishers"`   // fingerprints, of verified packages
	RegistryOnly int          `json:"registryOnly"` // verified packages by the registry's word alone
	Ended        int          `json:"ended"`        // verified packages of publishers whose enrolment ended since
	Generation   []Generation `json:"generation"`   // verified packages that declare anything about AI generation
	Silent       int          `json:"silent"`       // verified packages that declare nothing about it
	Attributes   []Count      `json:"attributes"`   // names without a defined meaning, on verified packages
}

// Count is a name and how many packages have it.
type Count struct {
	Name     string `json:"name"`
	Packages int    `json:"packages"`
}

// Generation is what a publisher declares about generated code: a claim, not a fact.
type Generation struct {
	Purl       string   `json:"purl"`
	Extent     string   `json:"extent"`
	Tools      []string `json:"tools"`
	ReviewedBy []string `json:"reviewedBy"`
}

// Status is the exit status: 0 if nothing is refused or unchecked, 1 if anything is refused, else 2. A refusal is certain
// whatever else could not be checked, so it comes first.
func (r *Report) Status() int {
	switch {
	case r.Summary.Refused > 0 || r.has(Refused):
		return 1
	case r.Summary.Unchecked > 0 || r.has(Unchecked):
		return 2
	}
	return 0
}

func (r *Report) has(v Verdict) bool {
	return slices.ContainsFunc(r.Findings, func(f *Finding) bool { return f.Verdict == v })
}

// Unreadable adds a lockfile that could not be read: nothing in it was checked.
func (r *Report) Unreadable(path string, err error, mode provenance.Mode) {
	f := &Finding{verdict: Unchecked, Code: UnreadableFile, Name: path, Spots: []Spot{{path, 0}}, Detail: err.Error(),
		Advice: "if it is a lockfile, let the package manager write it again, or name its format with --as; if it is another file, leave it out"}
	f.settle(mode)
	r.Lockfiles = append(r.Lockfiles, Lockfile{Path: path})
	slices.SortStableFunc(r.Lockfiles, func(a, b Lockfile) int { return cmp.Compare(a.Path, b.Path) })
	at := slices.IndexFunc(r.Findings, func(g *Finding) bool { return g.Verdict.rank() > f.Verdict.rank() })
	if at < 0 {
		at = len(r.Findings)
	}
	r.Findings = slices.Insert(r.Findings, at, f)
}

// report puts together what a run found out.
func (r *run) report(files []*lockfile.File) *Report {
	out := &Report{Lockfiles: []Lockfile{}, Findings: []*Finding{}, Notes: append([]string{}, r.notes...)}
	slices.Sort(out.Notes)
	for _, f := range files {
		out.Lockfiles = append(out.Lockfiles, Lockfile{f.Path, f.Format, len(f.Entries)})
	}
	t := tally{Summary: r.counts, publishers: make(map[string]int), attributes: make(map[string]int)}
	out.Findings = append(out.Findings, r.findings...)
	for _, q := range r.ordered() {
		out.Findings = append(out.Findings, r.conclude(q, &t)...)
	}
	for _, f := range out.Findings {
		f.settle(r.Mode)
		t.count(f)
	}
	slices.SortStableFunc(out.Findings, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(a.Verdict.rank(), b.Verdict.rank()), a.order.compare(b.order))
	})
	out.Summary = t.finish()
	return out
}

// conclude makes the findings of a question.
func (r *run) conclude(q *question, t *tally) []*Finding {
	o := &q.outcome
	base := Finding{Purl: q.coordinate.String(), Name: q.coordinate.Name(), Ecosystem: q.coordinate.Type(), Source: q.source, Spots: q.spots,
		order: q.order}
	base.pinned(q.pin, q.mode)
	if !o.passed {
		f := base
		f.Expected = expected(q.files)
		f.fail(q)
		return []*Finding{&f}
	}
	findings, denied := rulings(base, o.rulings)
	if !denied {
		t.verified(q)
	}
	return findings
}

// rulings are the findings of policies. Only the first that denies counts the entry as refused.
func rulings(base Finding, all []Ruling) (findings []*Finding, denied bool) {
	for _, ruling := range all {
		f := base
		f.Rule, f.Severity, f.Detail = ruling.Rule, ruling.Severity, ruling.Message
		f.Code, f.verdict = PolicyNote, Noted
		if f.Severity == "error" {
			f.Code, f.verdict, f.Advice = string(provenance.PolicyDenied), Refused, codeAdvice[string(provenance.PolicyDenied)]
			f.again = denied
			denied = true
		}
		findings = append(findings, &f)
	}
	return findings, denied
}

// fail says why a question has no good answer.
func (f *Finding) fail(q *question) {
	o := &q.outcome
	switch {
	case o.refusal != nil:
		f.verdict, f.Code, f.Detail, f.Countersigned = Refused, string(o.refusal.Code), o.refusal.Detail, o.countersigned
		f.Confusion = o.refusal.Code == provenance.ArtifactDigestMismatch
	case o.missing != "":
		f.verdict, f.Code, f.Detail = Unchecked, Unavailable, o.missing
	case len(o.unreachable) > 0:
		f.verdict, f.Code, f.Detail = Unchecked, Unavailable, strings.Join(slices.Compact(o.unreachable), "; ")
		f.Advice = "try again when it can be reached, or give another place with --from or --bundles"
	case o.absent > 0:
		f.verdict, f.Code, f.Confusion = Refused, NotCountersigned, true
		f.Detail = "registry " + q.registry.Name + " has not countersigned it"
	default:
		f.verdict, f.Code, f.Detail = Unchecked, Unavailable, "there is no bundle of it in the cache, and no place that was asked serves registry "+q.registry.Name
		f.Advice = "name the registry's public listener or a mirror with --from, by its URL without the registry's name, or a folder of bundles with --bundles"
	}
	f.Advice = cmp.Or(f.Advice, codeAdvice[f.Code])
}

// tally counts.
type tally struct {
	Summary
	publishers, attributes map[string]int
}

// verified counts a question with a good answer.
func (t *tally) verified(q *question) {
	t.Packages++
	t.Verified += len(q.spots)
	facts := &q.outcome.facts
	for _, p := range facts.publishers {
		t.publishers[p]++
	}
	for _, name := range facts.unknown {
		t.attributes[name]++
	}
	if facts.basis == provenance.ByRegistry {
		t.RegistryOnly++
	}
	if facts.ended {
		t.Ended++
	}
	if len(facts.claims) == 0 {
		t.Silent++
	}
	for _, ai := range facts.claims {
		g := Generation{q.coordinate.String(), ai.Extent, []string{}, append([]string{}, ai.ReviewedBy...)}
		for _, tool := range ai.Tools {
			g.Tools = append(g.Tools, tool.Name+" "+tool.Version)
		}
		t.Generation = append(t.Generation, g)
	}
}

// count counts the entries of a finding, each once.
func (t *tally) count(f *Finding) {
	switch {
	case f.again:
	case f.Verdict == Refused:
		t.Refused += len(f.Spots)
	case f.Verdict == Unchecked:
		t.Unchecked += len(f.Spots)
	case f.Verdict == Reported:
		t.Reported += len(f.Spots)
	}
}

func (t *tally) finish() Summary {
	t.Publishers, t.Attributes = counts(t.publishers), counts(t.attributes)
	if t.Generation == nil {
		t.Generation = []Generation{}
	}
	return t.Summary
}

// counts are sorted, the largest first.
func counts(m map[string]int) []Count {
	out := make([]Count, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, Count{name, m[name]})
	}
	slices.SortStableFunc(out, func(a, b Count) int { return cmp.Compare(b.Packages, a.Packages) })
	return out
}
