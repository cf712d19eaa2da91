package main

import (
	"strings"
	"testing"

	"countersign.dev/policy"
)

// The policy that the help shows keeps its examples, and each of the expressions in its list loads.
func TestPolicyUsage(t *testing.T) {
	_, text, _ := strings.Cut(policyUsage, "reviewed.toml:\n\n")
	text, rest, found := strings.Cut(text, "\n\n")
	p, err := policy.Parse([]byte(text), "reviewed.toml")
	if err != nil || !found {
		t.Fatal(err)
	}
	for _, f := range p.Test() {
		t.Errorf("line %d: %s", f.Line, f.Message)
	}
	_, list, _ := strings.Cut(rest, "no answer:\n\n")
	list, _, _ = strings.Cut(list, "\n\n")
	lines := strings.Split(list, "\n")
	if len(lines) < 10 {
		t.Fatalf("%d expressions: %q", len(lines), list)
	}
	for _, line := range lines {
		expression, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		rule := "version = 1\n[[rule]]\nname = 'a'\nmessage = 'm'\nallow = '''" + expression + "'''\n"
		if _, err := policy.Parse([]byte(rule), "p"); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
