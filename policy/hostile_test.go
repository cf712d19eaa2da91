package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign.dev/policy"
)

// list is a JSON list of n times the element.
func list(n int, element string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
}

// documents are attributes at the limit of their size, each hostile to something.
func documents() map[string]string {
	reviewers := make([]string, 100)
	for i := range reviewers {
		reviewers[i] = fmt.Sprintf(`"sha256:%064x"`, i)
	}
	all := map[string]string{
		"many numbers": `{"l":` + list(6000, "1") + `,"m":` + list(6000, "2") + `,"s":""}`,
		"long texts":   `{"l":` + list(2, `"`+strings.Repeat("a", 6000)+`"`) + `,"m":[],"s":"` + strings.Repeat("a", 12_000) + `"}`,
		"many texts":   `{"l":` + list(850, `"`+strings.Repeat("a", 23)+`"`) + `,"m":["b"],"s":"b"}`,
		"deep":         `{"l":[` + strings.Repeat("[", 13) + list(6000, "1") + strings.Repeat("]", 13) + `],"m":` + list(4000, "1") + `,"s":"x"}`,
		"many names":   `{"l":{` + strings.TrimSuffix(strings.Repeat("\"%d\":1,", 1900), ",") + `},"m":[],"s":"x"}`,
		"people": `{"aiGeneration":{"extent":"generated","tools":` + list(200, `{"name":"a","version":"b"}`) + `,"reviewedBy":[` + strings.Join(reviewers, ",") + `]},` +
			`"l":` + list(3000, "1") + `,"m":[],"s":"` + strings.Repeat("9", 2000) + `"}`,
		"digits": `{"l":` + list(6000, "1") + `,"m":[],"s":"` + strings.Repeat("9", 12_000) + `"}`,
	}
	numbers := make([]any, 1900)
	for i := range numbers {
		numbers[i] = i
	}
	all["many names"] = fmt.Sprintf(all["many names"], numbers...)
	return all
}

// doubled nests n loops that each hold the value before twice as often as the last.
func doubled(n int, before, step, after string) string {
	for range n {
		before = fmt.Sprintf(step, before)
	}
	return before + after
}

// Whatever expression loads, and whatever the attributes are, the judgement ends: soon, and at the same step everywhere.
func TestHostile(t *testing.T) {
	sum := strings.Repeat("a + ", 30) + "a"
	for _, expression := range []string{
		`attributes.l.all(x, attributes.m.all(y, x == y))`,
		`attributes.l.all(x, attributes.m.all(y, true))`,
		`ai.reviewedBy.all(r, attributes.l.all(x, x != r))`,
		`ai.tools.all(t, ai.tools.all(u, t.name == u.name))`,
		`ai.tools.all(t, ai.reviewedBy.all(r, r != t.name))`,
		`attributes.l.all(x, x == 1)`,
		`attributes.l.all(x, x + 1 + 1 + 1 + 1 + 1 > 1)`,
		`attributes.l.exists(x, attributes.s == attributes.s + "b")`,
		`attributes.l.exists(x, attributes.l == attributes.m)`,
		`attributes.l.exists(x, attributes.l != attributes.l)`,
		`attributes.l.exists(x, attributes == attributes && false)`,
		`attributes.m.exists(x, x in attributes.l)`,
		`attributes.l.exists(x, x in attributes)`,
		`attributes.l.exists(x, purl.matches("((a*)*)*b"))`,
		`attributes.l.exists(x, attributes.s.matches("(a|aa)*b"))`,
		`attributes.l.exists(x, attributes.s.matches("((a{1,10}){1,6})*b"))`,
		`attributes.s.matches("^(([a-z])+.)+[A-Z]([a-z])+$")`,
		`attributes.l.exists(x, int(attributes.s) == 3)`,
		`attributes.l.exists(x, timestamp(attributes.s) > now)`,
		`attributes.l.exists(x, attributes[attributes.s] == 3)`,
		`attributes.l.exists(x, attributes.s.contains(attributes.s + "b"))`,
		`attributes.l.exists(x, attributes.s.endsWith(attributes.s + "b"))`,
		`attributes.l.map(x, attributes.s).filter(y, y.contains("b")).size() > 0`,
		`attributes.l.map(x, string(attributes.s) + string(attributes.s)).filter(y, y.contains("b")).size() > 0`,
		`size(bytes(attributes.s) + bytes(attributes.s)) > 3`,
		doubled(10, `["ab"]`, `%s.map(a, `+sum+`)`, `.exists(a, a == "")`),
		doubled(6, `attributes.l`, `%s.map(a, string(a) + string(a) + string(a))`, `.exists(a, a == "")`),
		doubled(7, `attributes.l`, `(%[1]s + %[1]s)`, `.size() == 3`),
		doubled(3, `attributes.l`, `(%[1]s + %[1]s + %[1]s + %[1]s)`, ` == attributes.m`),
		`["ab"].exists(a, [` + sum + `].exists(a, [` + sum + `].exists(a, (` + sum + `) == "")))`,
		`[attributes.l, attributes.l, attributes.l, attributes.l] == [attributes.l, attributes.l, attributes.l, attributes.m]`,
		`attributes.l.exists(x, [attributes.l, attributes.l].exists(y, [attributes.l, attributes.l] == [y, y] && false))`,
		doubled(40, `attributes.l`, `(true ? %s : attributes.m)`, ` == 1`),
		`purl in [` + strings.Repeat(`"a", `, 500) + `"b"]`,
	} {
		p, err := policy.Parse([]byte(rule(expression)), "p")
		if err != nil {
			t.Logf("%.60s: refused: %v", expression, err)
			if !strings.Contains(err.Error(), "steps") && !strings.Contains(err.Error(), "limit") && !strings.Contains(err.Error(), "a list holds") {
				t.Errorf("%.60s: refused for another reason: %v", expression, err)
			}
			continue
		}
		for what, attributes := range documents() {
			if len(attributes) > 24<<10 {
				t.Fatalf("%s: %d bytes", what, len(attributes))
			}
			start := time.Now()
			first := p.Judge(published(attributes), now)
			elapsed := time.Since(start)
			t.Logf("%.60s: %s: %v %.80v", expression, what, elapsed, first)
			if elapsed > 10*time.Second {
				t.Errorf("%.60s: %s: %v", expression, what, elapsed)
			}
			for _, f := range first {
				if strings.Contains(f.Message, "cannot be read") {
					t.Errorf("%s: %v", what, f)
				}
			}
		}
	}
}

// The limit stops an evaluation, and that is a violation.
func TestCostLimit(t *testing.T) {
	attributes := `{"l":` + list(6000, "1") + `,"s":"` + strings.Repeat("9", 400) + `"}`
	for expression, stopped := range map[string]bool{
		`attributes.l.all(x, x == 1)`:                                                            false,
		`attributes.l.all(x, ` + strings.Repeat("x == 1 && ", 10) + `true)`:                      true,
		`attributes.l.all(x, attributes.l == attributes.l)`:                                      true,
		`attributes.l.all(x, matches(purl, "a"))`:                                                true,
		`attributes.l.all(x, purl.matches("a+"))`:                                                true,
		`attributes.l.all(x, string(attributes.s) != "")`:                                        true,
		`attributes.l.all(x, attributes.s + attributes.s != "")`:                                 true,
		`attributes.l.exists(x, int(attributes.s) == 1)`:                                         true,
		`attributes.l.exists(x, timestamp(attributes.s) == now)`:                                 true,
		`attributes.l.all(x, x in attributes.l)`:                                                 true,
		`attributes.l.all(x, "l" in attributes)`:                                                 false,
		`attributes.l.all(x, attributes.l != [1])`:                                               false,
		`attributes.l.all(x, (attributes.l + attributes.l).size() > 2)`:                          true,
		`attributes.l.map(x, "` + strings.Repeat("a", 400) + `" + purl).all(y, y.contains("b"))`: true,
	} {
		findings := must(policy.Parse([]byte(rule(expression)), "p")).Judge(published(attributes), now)
		if got := len(findings) == 1 && strings.HasSuffix(findings[0].Message, "it takes more than 100000 steps)"); got != stopped || len(findings) == 1 != stopped {
			t.Errorf("%.80s: %v, want a stop: %v", expression, findings, stopped)
		}
	}
}
