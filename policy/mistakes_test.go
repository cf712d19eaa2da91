package policy_test

import (
	"strings"
	"testing"

	"countersign.dev/policy"
)

// What looks as if it forbade something, and holds for everything, does not load.
func TestRulesThatForbidNothing(t *testing.T) {
	for expression, words := range map[string]string{
		`!("aiGeneration" in attributes)`:                             "write ai",
		`!("aigeneration" in attributes)`:                             "write ai",
		`attributes.all(k, k != "aiGeneration")`:                      "write ai",
		`!attributes.exists(k, k in ["x", "aiGeneration"])`:           "write ai",
		`attributes["AIGeneration"] == 1`:                             "write ai",
		`!has(attributes.aiGeneration)`:                               "write ai",
		`!has(attributes.aigeneration)`:                               "write ai",
		`!purl.startsWith("pkg:npm/@acme/") || ai.declared`:           "write %40",
		`!purl.contains("/@acme/") || ai.declared`:                    "write %40",
		`purl != "pkg:npm/@acme/widget@1.2.3"`:                        "write %40",
		`"pkg:npm/@acme/widget@1.2.3" != purl`:                        "write %40",
		`!(purl in ["pkg:npm/left-pad@1.3.0", "pkg:npm/@a/b@1.0.0"])`: "write %40",
		`pinNamespace != "pkg:npm/%40acme/*" || ai.declared`:          "not percent-encoded",
		`!pinNamespace.startsWith("pkg:npm/%40acme")`:                 "not percent-encoded",
		`!purl.startsWith("pkg:npm/%40acme/") || ai.declared`:         "",
		`purl != "pkg:npm/%40acme/widget@1.2.3"`:                      "",
		`!purl.contains("@1.2.") || ai.declared`:                      "",
		`pinNamespace != "pkg:npm/@acme/*" || ai.declared`:            "",
		`!("build" in attributes) && !has(attributes.generation)`:     "",
	} {
		_, err := policy.Parse([]byte(rule(expression)), "p.toml")
		if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Errorf("%s: %v, want %q", expression, err, words)
		}
	}
}
