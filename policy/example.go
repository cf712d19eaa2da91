package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

// example is a result as it could be, and the rules that it violates.
type example struct {
	line     int
	result   *provenance.Result
	now      time.Time
	violates []string
}

// Failure is an example that is not as it says, or a rule without examples.
type Failure struct {
	Line    int // of the example or the rule
	Message string
}

// Test judges the examples.
func (p *Policy) Test() []Failure {
	var failures []Failure
	violated, held := make(map[string]bool), make(map[string]bool)
	for _, e := range p.examples {
		findings := p.Judge(e.result, e.now)
		for _, f := range findings {
			violated[f.Rule] = true
			if !slices.Contains(e.violates, f.Rule) {
				failures = append(failures, Failure{e.line, fmt.Sprintf("the example violates %s, which it does not name: %s", f.Rule, f.Message)})
			}
		}
		for _, r := range p.rules {
			broken := slices.ContainsFunc(findings, func(f Finding) bool { return f.Rule == r.name })
			if slices.Contains(e.violates, r.name) && !broken {
				failures = append(failures, Failure{e.line, fmt.Sprintf("the example does not violate %s, which it names", r.name)})
			}
			if applies, err := r.applies(&facts{result: e.result}); err == nil && applies && !broken {
				held[r.name] = true
			}
		}
	}
	for _, r := range p.rules {
		if !violated[r.name] {
			failures = append(failures, Failure{r.line, fmt.Sprintf("no example violates %s", r.name)})
		}
		if !held[r.name] {
			failures = append(failures, Failure{r.line, fmt.Sprintf("no example that %s applies to keeps it", r.name)})
		}
	}
	return failures
}

// Examples is how many there are.
func (p *Policy) Examples() int { return len(p.examples) }

// Rules is how many there are.
func (p *Policy) Rules() int { return len(p.rules) }

func (p *Policy) readExamples(list []wireExample, s *source) error {
	for i, w := range list {
		at := place{s, s.examples[i]}
		e, err := w.read(at)
		if err != nil {
			return err
		}
		for _, name := range e.violates {
			if !slices.ContainsFunc(p.rules, func(r rule) bool { return r.name == name }) {
				return at.errorf("violates", "there is no rule %q", name)
			}
		}
		p.examples = append(p.examples, e)
	}
	return nil
}

// What examples leave out.
const (
	examplePurl      = "pkg:npm/example@1.0.0"
	exampleRegistry  = "registry.example"
	exampleAge       = 365 * 24 * time.Hour
	exampleSignature = time.Minute // from the publisher's to the registry's
)

var (
	exampleNow       = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	examplePublisher = "sha256:" + strings.Repeat("0", 64)
)

func or[T any](written *T, otherwise T) T {
	if written == nil {
		return otherwise
	}
	return *written
}

// read makes the result that Verify would give.
func (w *wireExample) read(at place) (example, error) {
	e := example{line: at.line(), violates: w.Violates, now: or(w.Now, exampleNow)}
	r := &provenance.Result{Basis: provenance.Basis(or(w.Basis, string(provenance.ByPublisher))), Registry: or(w.Registry, exampleRegistry)}
	e.result = r
	c, err := provenance.ParseCoordinate(or(w.Purl, examplePurl))
	if err != nil {
		return e, at.errorf("purl", "%v", err)
	}
	r.Purl = c.String()
	if err := provenance.CheckRegistry(r.Registry); err != nil {
		return e, at.errorf("registry", "%v", err)
	}
	r.Pin = &provenance.Pin{Registry: r.Registry}
	if r.Pin.Namespace, err = provenance.ParsePinNamespace(or(w.Namespace, "pkg:"+c.Type()+"/*")); err != nil {
		return e, at.errorf("namespace", "%v", err)
	}
	if !r.Pin.Namespace.Covers(c) {
		return e, at.errorf("namespace", "it does not cover %s", c)
	}
	r.CountersignedAt = or(w.CountersignedAt, e.now.Add(-exampleAge))
	if err := w.readBasis(r, at); err != nil {
		return e, err
	}
	return e, checkTimes(at)
}

// readBasis reads what a publisher says, if there is one.
func (w *wireExample) readBasis(r *provenance.Result, at place) error {
	switch r.Basis {
	case provenance.ByRegistry:
		for _, key := range []string{"publisher", "publisher_ended", "attributes", "signed_at"} {
			if _, there := at.values[key]; there {
				return at.errorf(key, `%s has no meaning with basis = "registry": no publisher signed`, key)
			}
		}
		return nil
	case provenance.ByPublisher:
	default:
		return at.errorf("basis", `basis is %q: write "publisher" or "registry"`, r.Basis)
	}
	r.Publisher = or(w.Publisher, examplePublisher)
	if hex, ok := strings.CutPrefix(r.Publisher, "sha256:"); !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return at.errorf("publisher", "not a key's fingerprint: sha256: and 64 lower-case hex digits")
	}
	if w.PublisherEnded {
		r.PublisherEnded = r.CountersignedAt
	}
	r.SignedAt = or(w.SignedAt, r.CountersignedAt.Add(-exampleSignature))
	r.Attributes = jsontext.Value(or(w.Attributes, "{}"))
	f := facts{result: r}
	if _, err := f.claims(); err != nil {
		return at.errorf("attributes", "%v", err)
	}
	if _, err := f.generation(); err != nil {
		return at.errorf("attributes", "%v", err)
	}
	return nil
}

// instant is a time in UTC: what a time without a zone means depends on the machine.
var instant = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func checkTimes(at place) error {
	for _, key := range []string{"signed_at", "countersigned_at", "now"} {
		if offset, there := at.values[key]; there && !instant.MatchString(at.text[offset:]) {
			return at.errorf(key, "write the time in UTC and whole seconds, for example 2030-01-01T00:00:00Z")
		}
	}
	return nil
}
