package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/interpreter"

	"countersign.dev/provenance"
)

// Policy is a consumer's rules, ready to judge. It is safe for concurrent use.
type Policy struct {
	rules    []rule
	examples []example
}

// Severity is what a violation leads to.
type Severity string

const (
	Error   Severity = "error" // refuse
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Finding is a rule that a package violates.
type Finding struct {
	Rule     string
	Severity Severity
	Message  string // the rule's, and why it has no answer if it has none
}

type rule struct {
	name       string
	severity   Severity
	message    string
	namespaces []provenance.Namespace // empty: it applies to every name
	program    cel.Program
	line       int
}

// Judge gives the rules that a verified result violates, in the order of the file.
func (p *Policy) Judge(r *provenance.Result, now time.Time) []Finding {
	f := &facts{result: r, now: now}
	var findings []Finding
	for _, rule := range p.rules {
		if found := rule.judge(f); found != nil {
			findings = append(findings, *found)
		}
	}
	return findings
}

func (r *rule) judge(f *facts) *Finding {
	applies, err := r.applies(f)
	if err == nil && !applies {
		return nil
	}
	allowed := false
	if err == nil {
		allowed, err = r.allows(f)
	}
	if err == nil && allowed {
		return nil
	}
	found := &Finding{r.name, r.severity, r.message}
	if err != nil {
		found.Message += fmt.Sprintf(" (the rule has no answer: %s)", clip(err.Error()))
	}
	return found
}

func (r *rule) applies(f *facts) (bool, error) {
	if len(r.namespaces) == 0 {
		return true, nil
	}
	c, err := provenance.ParseCoordinate(f.result.Purl)
	if err != nil {
		return false, err
	}
	_, covered := provenance.Longest(r.namespaces, c)
	return covered, nil
}

func (r *rule) allows(f *facts) (bool, error) {
	v, _, err := r.program.Eval(f)
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded:
		return false, fmt.Errorf("it takes more than %d steps", MaxCost)
	case err != nil:
		return false, err
	}
	allowed, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("it gives a %s, not a bool", v.Type())
	}
	return allowed, nil
}

// maxDetail is how much of an error, which can quote an attribute, is said.
const maxDetail = 200

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxDetail {
		return string(runes[:maxDetail]) + "…"
	}
	return s
}
