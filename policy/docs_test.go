package policy_test

import (
	"os"
	"strings"
	"testing"

	"countersign.dev/policy"
)

// The policies of the manual keep their examples, and each expression of its summary loads.
func TestManual(t *testing.T) {
	page := string(must(os.ReadFile("../docs/attributes.md")))
	policies, expressions := 0, 0
	for i, block := range strings.Split(page, "```") {
		tag, text, _ := strings.Cut(block, "\n")
		if i%2 == 0 {
			continue
		}
		switch {
		case tag == "toml":
			policies++
			p, err := policy.Parse([]byte(text), "docs/attributes.md")
			if err != nil {
				t.Error(err)
				continue
			}
			for _, f := range p.Test() {
				t.Errorf("line %d: %s", f.Line, f.Message)
			}
		case tag == "text" && strings.HasPrefix(text, "basis"):
			for line := range strings.Lines(text) {
				expressions++
				if _, err := policy.Parse([]byte(rule(strings.TrimSpace(line))), "p"); err != nil {
					t.Errorf("%s%v", line, err)
				}
			}
		case tag == "text":
			r := published(text)
			p := must(policy.Parse([]byte(rule(`ai.extent == "assisted" && attributes["com.example.build"].level == 3`)), "p"))
			if findings := p.Judge(r, now); findings != nil {
				t.Error(findings)
			}
		}
	}
	if policies == 0 || expressions < 10 {
		t.Errorf("found %d policies and %d expressions", policies, expressions)
	}
}

// The variables and limits that the manual lists are those that there are.
func TestManualIsComplete(t *testing.T) {
	page := string(must(os.ReadFile("../docs/attributes.md")))
	for _, name := range policy.Variables() {
		if !strings.Contains(page, "| `"+name) {
			t.Errorf("no row for %s", name)
		}
	}
}
