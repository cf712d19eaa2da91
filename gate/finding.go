package gate

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// Verdict is what a run makes of an entry.
type Verdict string

const (
	Refused   Verdict = "refused"
	Unchecked Verdict = "unchecked" // something that is needed could not be had
	Reported  Verdict = "reported"  // would be refused or unchecked, but for a mode
	Noted     Verdict = "noted"     // verified, and a policy has something to say
)

// Codes of findings beside those of provenance.
const (
	NotCountersigned = "not-countersigned" // no place that was asked has it
	AliasOfOther     = "alias-of-other"    // a pinned name that installs another package
	Unavailable      = "unavailable"       // something that is needed could not be had
	PolicyNote       = "policy-note"       // a warning or note of a policy
	UnreadableFile   = "lockfile-unreadable"
)

// problemCodes are those of entries that cannot be checked.
var problemCodes = map[lockfile.Problem]string{
	lockfile.NoDigest: "no-digest", lockfile.WeakDigest: "weak-digest", lockfile.NotLocked: "not-locked",
	lockfile.FromGit: "from-git", lockfile.FromPath: "from-path", lockfile.FromURL: "from-url", lockfile.BadName: "name-not-canonical",
}

// Spot is a place in a lockfile.
type Spot struct {
	Lockfile string `json:"lockfile"`
	Line     int    `json:"line,omitzero"` // from 1; 0 where the format has none
}

// Finding is one thing to say about an entry.
type Finding struct {
	Verdict       Verdict         `json:"verdict"`
	Code          string          `json:"code"`
	Purl          string          `json:"purl,omitzero"`
	Name          string          `json:"name"`
	Ecosystem     string          `json:"ecosystem"`
	Spots         []Spot          `json:"spots"`
	Registry      string          `json:"registry,omitzero"` // that the pin names
	Mode          provenance.Mode `json:"mode,omitzero"`
	Rule          string          `json:"rule,omitzero"` // of a policy
	Severity      string          `json:"severity,omitzero"`
	Detail        string          `json:"detail"`
	Advice        string          `json:"advice,omitzero"`
	Confusion     bool            `json:"confusion"`              // this is what a dependency confusion attack looks like
	Source        string          `json:"source,omitzero"`        // as the lockfile has it, which proves nothing
	Expected      []string        `json:"expected,omitzero"`      // digests in the lockfile, of each file that would do
	Countersigned []string        `json:"countersigned,omitzero"` // by the registry, where known

	verdict Verdict // before modes
	again   bool    // its entries are counted by another finding
	order   at
}

func (f *Finding) pinned(p *provenance.Pin, mode provenance.Mode) {
	f.Registry, f.Mode = p.Registry, mode
}

// problem says of an entry why it cannot be checked.
func (f *Finding) problem(e *lockfile.Entry, refusePaths bool) {
	f.verdict = Refused
	f.Code, f.Detail, f.Advice = cmp.Or(problemCodes[e.Problem], string(e.Problem)), e.Detail, problemAdvice[e.Problem]
	switch e.Problem {
	case lockfile.FromGit, lockfile.FromURL:
		f.Confusion = true
	case lockfile.FromPath:
		f.Confusion = len(e.Files) > 0 || archive.MatchString(e.Source)
		if !f.Confusion && !refusePaths {
			f.verdict = Reported
		}
	case lockfile.BadName:
		f.Confusion = f.Registry != ""
	}
}

// archive is the name of a packed file: unlike a folder of the project, nobody reviews what is in it.
var archive = regexp.MustCompile(`(?i)[.](tgz|tar|tar[.][a-z0-9]+|zip|whl|crate|nupkg|jar)$`)

func (f *Finding) alias(e *lockfile.Entry) {
	f.verdict, f.Code, f.Confusion = Refused, AliasOfOther, true
	f.Detail = fmt.Sprintf("the pinned name %s installs another package, %s", e.Name, e.Coordinate)
	f.Advice = "do not install it: depend on the pinned package itself, or give the other one a name that is not pinned"
}

// settle applies the modes.
func (f *Finding) settle(whole provenance.Mode) {
	f.Verdict = f.verdict
	if (f.verdict == Refused || f.verdict == Unchecked) && (f.Mode == provenance.Report || whole == provenance.Report) {
		f.Verdict = Reported
	}
}

// rank orders findings: refused first.
func (v Verdict) rank() int {
	return slices.Index([]Verdict{Refused, Unchecked, Reported, Noted}, v)
}
