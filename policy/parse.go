package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// The limits of a file.
const (
	MaxFile  = 256 << 10
	maxRules = 100
)

type wire struct {
	Version int           `toml:"version"`
	Rule    []wireRule    `toml:"rule"`
	Example []wireExample `toml:"example"`
}

type wireRule struct {
	Name      string   `toml:"name"`
	Severity  *string  `toml:"severity"`
	Message   string   `toml:"message"`
	Namespace []string `toml:"namespace"`
	Allow     string   `toml:"allow"`
}

type wireExample struct {
	Purl            *string    `toml:"purl"`
	Namespace       *string    `toml:"namespace"`
	Registry        *string    `toml:"registry"`
	Basis           *string    `toml:"basis"`
	Publisher       *string    `toml:"publisher"`
	PublisherEnded  bool       `toml:"publisher_ended"`
	Attributes      *string    `toml:"attributes"`
	SignedAt        *time.Time `toml:"signed_at"`
	CountersignedAt *time.Time `toml:"countersigned_at"`
	Now             *time.Time `toml:"now"`
	Violates        []string   `toml:"violates"`
}

// Parse reads a policy file; name is what errors call it. They say the line, and the column where it helps.
func Parse(data []byte, name string) (*Policy, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", name, MaxFile)
	}
	var w wire
	if err := strict.TOML(data, &w); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := locate(name, data)
	switch {
	case w.Version != 1:
		return nil, fmt.Errorf("%s: write version = 1", name)
	case len(w.Rule) == 0:
		return nil, fmt.Errorf("%s: no rule: write one as [[rule]]", name)
	case len(w.Rule) > maxRules:
		return nil, fmt.Errorf("%s: more than %d rules", name, maxRules)
	case len(w.Rule) != len(s.rules) || len(w.Example) != len(s.examples):
		return nil, fmt.Errorf("%s: write each rule as [[rule]] and each example as [[example]]", name)
	}
	p := new(Policy)
	if err := p.readRules(w.Rule, s); err != nil {
		return nil, err
	}
	return p, p.readExamples(w.Example, s)
}

func (p *Policy) readRules(list []wireRule, s *source) error {
	language, err := newLanguage()
	if err != nil {
		return fmt.Errorf("policy language: %w", err)
	}
	for i, w := range list {
		at := place{s, s.rules[i]}
		r := rule{name: w.Name, severity: Error, message: w.Message, line: at.line()}
		if w.Severity != nil {
			r.severity = Severity(*w.Severity)
		}
		if err := r.check(at, p.rules); err != nil {
			return err
		}
		for _, pattern := range w.Namespace {
			n, err := provenance.ParsePinNamespace(pattern)
			if err != nil {
				return at.errorf("namespace", "%v", err)
			}
			r.namespaces = append(r.namespaces, n)
		}
		if w.Namespace != nil && len(w.Namespace) == 0 {
			return at.errorf("namespace", "empty: leave it out for a rule about every name")
		}
		if r.program, err = compile(language, w.Allow, at); err != nil {
			return err
		}
		p.rules = append(p.rules, r)
	}
	return nil
}

func (r *rule) check(at place, before []rule) error {
	switch {
	case !word(r.name):
		return at.errorf("name", "a rule needs a name of lower-case letters, digits and hyphens, at most 64")
	case slices.ContainsFunc(before, func(b rule) bool { return b.name == r.name }):
		return at.errorf("name", "rule %q is there twice", r.name)
	case r.severity != Error && r.severity != Warning && r.severity != Note:
		return at.errorf("severity", `severity is %q: write "error", "warning" or "note"`, r.severity)
	case strings.TrimSpace(r.message) == "":
		return at.errorf("message", "a rule needs a message: what is wrong with what violates it, for people")
	case len(r.message) > 1000:
		return at.errorf("message", "the message is longer than 1000 bytes")
	}
	return nil
}

func word(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// compile checks an expression and everything about it that can be known before it runs.
func compile(language *cel.Env, text string, at place) (cel.Program, error) {
	if strings.TrimSpace(text) == "" {
		return nil, at.errorf("allow", "a rule needs an expression: what must hold")
	}
	checked, issues := language.Compile(text)
	if err := issues.Err(); err != nil {
		first := issues.Errors()[0]
		return nil, at.within("allow", first.Location.Line(), first.Location.Column(), first.Message)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, at.errorf("allow", "the expression gives a %s, not a bool: compare it with something", checked.OutputType())
	}
	estimate, err := language.EstimateCost(checked, bounds{})
	switch {
	case err != nil:
		return nil, at.errorf("allow", "%v", err)
	case estimate.Max == math.MaxUint64:
		return nil, at.errorf("allow", "there is no bound on the steps that the expression may take")
	case estimate.Max > maxEstimate:
		return nil, at.errorf("allow", "the expression may take too many steps (%d by an estimate, at most %d): do not loop over attributes within a loop over attributes",
			estimate.Max, maxEstimate)
	}
	program, err := language.Program(checked, limits()...)
	if err != nil {
		return nil, at.errorf("allow", "%v", err)
	}
	return program, nil
}

// place is a table in the file.
type place struct {
	*source
	table
}

func (p place) line() int { return 1 + strings.Count(p.text[:p.header], "\n") }

// errorf says what is wrong with the value of a key, or with the table if the key is missing.
func (p place) errorf(key, format string, args ...any) error {
	offset, ok := p.values[key]
	if !ok {
		offset = p.header
	}
	return errors.New(p.at(offset) + ": " + fmt.Sprintf(format, args...))
}

// within says what is wrong with a part of a text.
func (p place) within(key string, line, column int, message string) error {
	offset, ok := p.values[key]
	if ok && line > 0 {
		offset = p.source.within(offset, line, column)
	}
	message = strings.ReplaceAll(strings.TrimSpace(message), " (in container '')", "")
	return errors.New(p.at(offset) + ": " + clip(message))
}
