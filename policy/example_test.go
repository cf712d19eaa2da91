package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign.dev/policy"
)

// The examples are held to what they say, and every rule to having some.
func TestExamples(t *testing.T) {
	rules := "version = 1\n[[rule]]\nname = 'small'\nmessage = 'not small'\nallow = 'attributes.size < 10'\n" +
		"[[rule]]\nname = 'ours'\nseverity = 'note'\nmessage = 'not ours'\nnamespace = ['pkg:cargo/*']\nallow = 'registry == \"ours.example\"'\n"
	for what, c := range map[string]struct {
		examples string
		want     []string
	}{
		"right": {"[[example]]\nattributes = '{\"size\":9}'\n[[example]]\nviolates = ['small', 'ours']\npurl = 'pkg:cargo/x@1.0.0'\n" +
			"[[example]]\nattributes = '{\"size\":1}'\npurl = 'pkg:cargo/x@1.0.0'\nregistry = 'ours.example'\n", nil},
		"none": {"", []string{"2: no example violates small", "2: no example that small applies to keeps it",
			"6: no example violates ours", "6: no example that ours applies to keeps it"}},
		"kept only where it does not apply": {"[[example]]\nattributes = '{\"size\":9}'\n[[example]]\nviolates = ['small', 'ours']\npurl = 'pkg:cargo/x@1.0.0'\n",
			[]string{"6: no example that ours applies to keeps it"}},
		"not named": {"[[example]]\nattributes = '{\"size\":10}'\n[[example]]\nattributes = '{\"size\":9}'\npurl = 'pkg:cargo/x@1.0.0'\n[[example]]\n" +
			"attributes = '{\"size\":9}'\nregistry = 'ours.example'\npurl = 'pkg:cargo/x@1.0.0'\n",
			[]string{"12: the example violates small, which it does not name: not small", "14: the example violates ours, which it does not name: not ours"}},
		"not violated": {"[[example]]\nattributes = '{\"size\":9}'\nviolates = ['small']\n[[example]]\npurl = 'pkg:cargo/x@1.0.0'\nviolates = ['ours', 'small']\n" +
			"[[example]]\nattributes = '{\"size\":1}'\npurl = 'pkg:cargo/x@1.0.0'\nregistry = 'ours.example'\n",
			[]string{"12: the example does not violate small, which it names"}},
		"no answer": {"[[example]]\nattributes = '{\"size\":\"x\"}'\n[[example]]\nattributes = '{\"size\":9}'\n[[example]]\nviolates = ['small', 'ours']\npurl = 'pkg:cargo/x@1.0.0'\n" +
			"[[example]]\nattributes = '{\"size\":1}'\npurl = 'pkg:cargo/x@1.0.0'\nregistry = 'ours.example'\n",
			[]string{"12: the example violates small, which it does not name: not small (the rule has no answer: no such overload)"}},
	} {
		p, err := policy.Parse([]byte(rules+c.examples), "p")
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var got []string
		for _, f := range p.Test() {
			got = append(got, fmt.Sprintf("%d: %s", f.Line, f.Message))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
		if p.Rules() != 2 || p.Examples() != strings.Count(c.examples, "[[example]]") {
			t.Errorf("%s: %d rules, %d examples", what, p.Rules(), p.Examples())
		}
	}
}

// What an example leaves out is an ordinary package, a year old; every key of it reaches its variable.
func TestExampleValues(t *testing.T) {
	for example, expression := range map[string]string{
		"": `purl == "pkg:npm/example@1.0.0" && pinNamespace == "pkg:npm/*" && registry == "registry.example" && basis == "publisher" && !publisherEnded &&
			publisher.matches("^sha256:0+$") && !ai.declared && size(attributes) == 0 && now == timestamp("2030-01-01T00:00:00Z") &&
			now - countersignedAt == duration("8760h") && countersignedAt - signedAt == duration("1m")`,
		"basis = 'registry'":                      `basis == "registry" && publisher == "" && size(attributes) == 0 && now - countersignedAt == duration("8760h")`,
		"purl = 'pkg:cargo/x@2.0.0'":              `purl == "pkg:cargo/x@2.0.0" && pinNamespace == "pkg:cargo/*"`,
		"namespace = 'pkg:npm/exam*'":             `pinNamespace == "pkg:npm/exam*"`,
		"registry = 'other.example'":              `registry == "other.example"`,
		"publisher = '" + ada + "'":               `publisher == "` + ada + `"`,
		"publisher_ended = true":                  `publisherEnded`,
		"publisher_ended = false":                 `!publisherEnded`,
		`attributes = '{"a":{"b":[7]}}'`:          `attributes.a.b == [7]`,
		"signed_at = 2029-05-05T05:05:05Z":        `signedAt == timestamp("2029-05-05T05:05:05Z") && countersignedAt == timestamp("2029-01-01T00:00:00Z")`,
		"now = 2031-01-01T00:00:00Z":              `now == timestamp("2031-01-01T00:00:00Z") && now - countersignedAt == duration("8760h")`,
		"countersigned_at = 2029-12-31T00:00:00Z": `now - countersignedAt == duration("24h") && countersignedAt - signedAt == duration("1m")`,
	} {
		p, err := policy.Parse([]byte(rule(expression)+"[[rule]]\nname = 'b'\nmessage = 'm'\nallow = 'true'\n[[example]]\n"+example+"\n"), "p")
		if err != nil {
			t.Errorf("%s: %v", example, err)
			continue
		}
		for _, f := range p.Test() {
			if strings.Contains(f.Message, "the example") {
				t.Errorf("%s: %s", example, f.Message)
			}
		}
	}
}
