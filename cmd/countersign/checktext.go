package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// maxShown is how many findings of one cause are written out for people.
const maxShown = 25

// sayReport writes a report for people: what is refused first, grouped by cause, and the summary last.
func sayReport(t terminal, r *gate.Report, mode provenance.Mode) {
	for _, group := range grouped(r.Findings) {
		sayGroup(t, group)
	}
	saySummary(t, r)
	sayClaims(t, &r.Summary)
	if mode == provenance.Report && r.Summary.Reported > 0 {
		t.say("%-13s  --mode report refuses nothing: without it, what is reported above may be refused", "mode")
	}
}

// grouped brings findings of one verdict and cause together, in the order of the first of each.
func grouped(all []*gate.Finding) [][]*gate.Finding {
	type cause struct {
		verdict            gate.Verdict
		code, rule, advice string
	}
	var order []cause
	groups := make(map[cause][]*gate.Finding)
	for _, f := range all {
		c := cause{f.Verdict, f.Code, f.Rule, f.Advice}
		if groups[c] == nil {
			order = append(order, c)
		}
		groups[c] = append(groups[c], f)
	}
	out := make([][]*gate.Finding, len(order))
	for i, c := range order {
		out[i] = groups[c]
	}
	return out
}

func sayGroup(t terminal, group []*gate.Finding) {
	first := group[0]
	title := first.Code
	if first.Rule != "" {
		title += ", rule " + first.Rule
	}
	what := "package"
	if first.Code == gate.UnreadableFile {
		what = "lockfile"
	}
	t.say("%s: %s (%s)", first.Verdict, title, counted(len(group), what))
	if slices.ContainsFunc(group, func(f *gate.Finding) bool { return f.Confusion }) {
		t.say("  This is what a dependency confusion attack looks like: a package under a")
		t.say("  name that you pinned, which is not what the registry countersigned.")
	}
	for _, f := range group[:min(len(group), maxShown)] {
		sayFinding(t, f)
	}
	if more := len(group) - maxShown; more > 0 {
		t.say("  … and %d more: --json has all", more)
	}
	if first.Advice != "" {
		t.say("  what to do: %s", first.Advice)
	}
	t.say("")
}

func sayFinding(t terminal, f *gate.Finding) {
	name := f.Name
	if f.Purl != "" {
		name += "  " + f.Purl
	}
	t.say("  %s", name)
	t.say("      %s", f.Detail)
	for i, s := range f.Spots {
		if i == 3 {
			t.say("      in %d more places", len(f.Spots)-i)
			break
		}
		t.say("      in %s", place(s))
	}
	if f.Verdict == gate.Noted || !f.Confusion {
		return
	}
	if f.Source != "" {
		t.say("      it is said to come from %s", f.Source)
	}
	sayDigestsOf(t, "the lockfile has", f.Expected)
	sayDigestsOf(t, f.Registry+" countersigned", f.Countersigned)
}

func sayDigestsOf(t terminal, who string, digests []string) {
	for i, d := range digests {
		if i == 3 {
			t.say("      %s %d more", who, len(digests)-i)
			return
		}
		t.say("      %s %s", who, d)
	}
}

func place(s gate.Spot) string {
	if s.Line == 0 {
		return s.Lockfile
	}
	return fmt.Sprintf("%s:%d", s.Lockfile, s.Line)
}

func saySummary(t terminal, r *gate.Report) {
	s := &r.Summary
	t.field("checked", "%s in %s", counted(s.Entries, "entry"), counted(len(r.Lockfiles), "lockfile"))
	for _, line := range []struct {
		n    int
		name string
	}{{s.Verified, "verified"}, {s.Refused, "refused"}, {s.Unchecked, "unchecked"}, {s.Reported, "reported"}} {
		if line.n > 0 || line.name == "verified" {
			t.field(line.name, "%s", counted(line.n, "entry"))
		}
	}
	if s.Ignored > 0 {
		t.field("ignored", "%s that no pin covers", counted(s.Ignored, "entry"))
	}
	if s.Ignored > 0 && s.Ignored == s.Entries {
		t.field("", "nothing was checked: are these the right pins?")
	}
	sayCounts(t, "publishers", s.Publishers)
	if s.RegistryOnly > 0 {
		t.field("registry only", "%s by the registry's word alone", counted(s.RegistryOnly, "package"))
	}
	if s.Ended > 0 {
		t.field("ended", "%s of publishers whose enrolment ended since", counted(s.Ended, "package"))
	}
}

func sayCounts(t terminal, name string, all []gate.Count) {
	for i, c := range all {
		if i == 5 {
			t.field("", "and %d more", len(all)-i)
			return
		}
		t.field(name, "%s of %s", counted(c.Packages, "package"), c.Name)
		name = ""
	}
}

// sayClaims says what the publishers declare: which packages were made with generated code, and who reviewed them.
func sayClaims(t terminal, s *gate.Summary) {
	extents := make(map[string]int)
	for _, g := range s.Generation {
		extents[g.Extent]++
	}
	if len(s.Generation) > 0 {
		t.field("AI generation", "declared: %d generated, %d assisted, %d none; %s", extents["generated"], extents["assisted"], extents["none"],
			counted(s.Silent, "package")+" without a word of it")
	}
	shown := 0
	for _, g := range s.Generation {
		if g.Extent == "none" {
			continue
		}
		if shown++; shown > maxShown {
			t.say("  … and %d more: --json has all", extents["generated"]+extents["assisted"]-maxShown)
			break
		}
		t.say("  %-9s  %s, by %s, reviewed by %s", g.Extent, g.Purl, cmp.Or(strings.Join(g.Tools, ", "), "a tool that is not named"),
			cmp.Or(strings.Join(g.ReviewedBy, ", "), "nobody"))
	}
	sayCounts(t, "other claims", s.Attributes)
}
