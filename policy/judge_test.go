package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/policy"
	"countersign.dev/provenance"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	ada    = "sha256:" + strings.Repeat("a", 64)
	signed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now    = signed.Add(72 * time.Hour)
)

// published is a result on a publisher's word, registered one without.
func published(attributes string) *provenance.Result {
	return &provenance.Result{Purl: "pkg:npm/%40acme/widget@1.2.3", Registry: "registry.example", Basis: provenance.ByPublisher, Publisher: ada,
		Pin:        &provenance.Pin{Namespace: must(provenance.ParsePinNamespace("pkg:npm/@acme/*"))},
		Attributes: jsontext.Value(attributes), SignedAt: signed, CountersignedAt: signed.Add(time.Minute)}
}

func registered() *provenance.Result {
	return &provenance.Result{Purl: "pkg:npm/%40acme/widget@1.2.3", Registry: "registry.example", Basis: provenance.ByRegistry,
		CountersignedAt: signed}
}

const full = `{"aiGeneration":{"extent":"generated","tools":[{"name":"scribe","version":"2.1"}],
	"reviewedBy":["sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]},
	"com.example.build":{"level":3,"green":true,"host":"ci-7","steps":["lint","test"],"big":9007199254740991},"namespace":"x"}`

// Each variable is what the result says. The expression holds or not; no error passes for either.
func TestVariables(t *testing.T) {
	withdrawn := published(full)
	withdrawn.PublisherEnded = signed
	for _, c := range []struct {
		result     *provenance.Result
		expression string
		want       bool
	}{
		{published("{}"), `purl == "pkg:npm/%40acme/widget@1.2.3" && pinNamespace == "pkg:npm/@acme/*" && registry == "registry.example"`, true},
		{published("{}"), `basis == "publisher" && publisher == "` + ada + `"`, true},
		{published("{}"), `signedAt == timestamp("2026-03-01T12:00:00Z") && countersignedAt - signedAt == duration("1m")`, true},
		{published("{}"), `now - countersignedAt >= duration("71h") && now.getHours() == 12`, true},
		{published("{}"), `publisherEnded`, false},
		{withdrawn, `publisherEnded`, true},
		{registered(), `basis == "registry" && publisher == "" && size(attributes) == 0 && !ai.declared`, true},
		{registered(), `basis == "registry" || signedAt > countersignedAt`, true},

		{published("{}"), `ai.declared`, false},
		{published("{}"), `ai.extent == "none" || ai.extent == "assisted" || ai.extent == "generated"`, false},
		{published("{}"), `size(ai.tools) == 0 && ai.reviewedBy.size() == 0 && !has(attributes.x)`, true},
		{published(full), `ai.declared && ai.extent == "generated" && ai.tools[0].name == "scribe" && ai.tools[0].version == "2.1"`, true},
		{published(full), `ai.tools.exists(t, t.name == "scribe" && t.version.matches("^2[.]"))`, true},
		{published(full), `ai.reviewedBy == ["sha256:` + strings.Repeat("b", 64) + `"]`, true},
		{published(full), `ai.reviewedBy.exists(r, r == publisher)`, false},

		{published(full), `attributes["com.example.build"].level == 3 && attributes["com.example.build"].level + 1 > 3`, true},
		{published(full), `attributes["com.example.build"].level / 2 == 1`, true}, // an int
		{published(full), `attributes["com.example.build"].big == 9007199254740991`, true},
		{published(full), `attributes["com.example.build"].green == true`, true},
		{published(full), `"test" in attributes["com.example.build"].steps && attributes["com.example.build"].steps.size() == 2`, true},
		{published(full), `"com.example.build" in attributes && !("com.example.other" in attributes) && attributes.namespace == "x"`, true},
		{published(full), `has(attributes.other)`, false},
		{published(full), `"ai" + "Generation" in attributes`, false},
		{published(" {\n\"a\": 1 } \n"), `attributes.a == 1 && !ai.declared`, true},
		{published(full), `attributes["com.example.build"].host.startsWith("ci-")`, true},
		{published(full), `attributes == {"namespace": "x"}`, false},
	} {
		p := must(policy.Parse([]byte(rule(c.expression)), "p"))
		findings := p.Judge(c.result, now.In(time.FixedZone("elsewhere", 3600)))
		if (len(findings) == 0) != c.want || len(findings) > 0 && findings[0].Message != "m" {
			t.Errorf("%s: %v", c.expression, findings)
		}
	}
}

// A rule that has no answer is violated, and says why.
func TestFailClosed(t *testing.T) {
	for _, c := range []struct {
		result           *provenance.Result
		expression, want string
	}{
		{published("{}"), `attributes.x == 1`, "no such key: x"},
		{published("{}"), `attributes["com.example.x"] != 1`, "no such key: com.example.x"},
		{published(full), `attributes["com.example.build"].host > 3`, "no such overload"},
		{published(full), `attributes["com.example.build"].steps[2] == "x"`, "index"},
		{published(full), `ai.tools[1].name != "x"`, "index"},
		{published(full), `1 / (attributes["com.example.build"].level - 3) == 1`, "division by zero"},
		{published(full), `attributes["com.example.build"].big * 1000000 > 0`, "overflow"},
		{published(full), `int(attributes["com.example.build"].host) == 3`, "type conversion error from 'string' to 'int'"},
		{published(full), `duration(string(attributes["com.example.build"].host)) > duration("1s")`, "type conversion error"},
		{registered(), `signedAt < now`, "signedAt has no value: no publisher signed"},
		{registered(), `signedAt > now`, "signedAt has no value: no publisher signed"},
		{registered(), `pinNamespace != ""`, "pinNamespace has no value"},
		{published("{"), `attributes.x == 1`, "the attributes cannot be read"},
		{published("{}x"), `size(attributes) == 0`, "the attributes cannot be read: not one JSON object"},
		{published("[]"), `size(attributes) == 0`, "the attributes cannot be read: not one JSON object"},
		{published(`{"a":null}`), `size(attributes) > 0`, "the attributes cannot be read: null"},
		{published(`{"a":-1}`), `size(attributes) > 0`, "the attributes cannot be read: a number"},
		{published(`{"a":9007199254740992}`), `size(attributes) > 0`, "the attributes cannot be read: a number"},
		{published(`{"a":1,"a":2}`), `size(attributes) > 0`, "the attributes cannot be read: "},
		{published(`{"a":"` + strings.Repeat("x", 24<<10) + `"}`), `size(attributes) > 0`, "the attributes cannot be read: 24584 bytes"},
		{published(`{"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`), `size(attributes) > 0`, "nested deeper than 16"},
		{published(`{"aiGeneration":{"extent":"much","tools":[],"reviewedBy":[]}}`), `!ai.declared`, "the attributes cannot be read: aiGeneration"},
		{published(`{"aigeneration":1}`), `!ai.declared`, "write aiGeneration"},
	} {
		findings := must(policy.Parse([]byte(rule(c.expression)), "p")).Judge(c.result, now)
		if len(findings) != 1 || findings[0].Severity != policy.Error || !strings.HasPrefix(findings[0].Message, "m (the rule has no answer: ") ||
			!strings.Contains(findings[0].Message, c.want) {
			t.Errorf("%s: %v, want %s", c.expression, findings, c.want)
		}
	}
}

// What an attribute brings into a message neither commands a terminal nor fills it.
func TestMessagesAreShort(t *testing.T) {
	p := must(policy.Parse([]byte(rule(`attributes[attributes.x] == 1`)), "p"))
	findings := p.Judge(published(`{"x":"\u001b[2J\n`+strings.Repeat("x", 20_000)+`"}`), now)
	if len(findings) != 1 || strings.ContainsAny(findings[0].Message, "\x1b\n") || len(findings[0].Message) > 300 {
		t.Errorf("%q", findings)
	}
}

// An attribute that no rule asks for changes nothing, whatever it is; neither does a document that cannot be read.
func TestUnknownAttributes(t *testing.T) {
	p := must(policy.Parse([]byte(rule(`basis == "publisher" && purl.startsWith("pkg:npm/")`)), "p"))
	for _, attributes := range []string{"{}", full, "", "{", `{"x":` + strings.Repeat("[", 1000)} {
		if findings := p.Judge(published(attributes), now); findings != nil {
			t.Errorf("%.40s: %v", attributes, findings)
		}
	}
	p = must(policy.Parse([]byte(rule(`attributes.all(name, name in ["com.example.build", "namespace"])`)), "p"))
	if findings := p.Judge(published(full), now); findings != nil {
		t.Error(findings)
	}
	if findings := p.Judge(published(`{"org.example.new":1}`), now); len(findings) != 1 || findings[0].Message != "m" {
		t.Errorf("a new attribute is not visible: %v", findings)
	}
}

const several = `version = 1
[[rule]]
name = "b-error"
message = "first"
allow = 'attributes.x == 1'
[[rule]]
name = "a-warning"
severity = "warning"
message = "second"
namespace = ["pkg:npm/@acme/*", "pkg:cargo/*"]
allow = 'false'
[[rule]]
name = "c-note"
severity = "note"
message = "third"
namespace = ["pkg:npm/@acme/widgets"]
allow = 'false'
`

// Findings come in the order of the file, with their severities, from the rules that apply.
func TestFindings(t *testing.T) {
	p := must(policy.Parse([]byte(several), "p"))
	for purl, want := range map[string][]policy.Finding{
		"pkg:npm/%40acme/widget@1.0.0":  {{"a-warning", policy.Warning, "second"}},
		"pkg:npm/%40acme/widgets@1.0.0": {{"a-warning", policy.Warning, "second"}, {"c-note", policy.Note, "third"}},
		"pkg:cargo/x@1.0.0":             {{"a-warning", policy.Warning, "second"}},
		"pkg:npm/left-pad@1.0.0":        nil,
	} {
		r := published(`{"x":1}`)
		r.Purl = purl
		if got := p.Judge(r, now); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", purl, got, want)
		}
		r.Attributes = jsontext.Value(`{"x":2}`)
		want = append([]policy.Finding{{"b-error", policy.Error, "first"}}, want...)
		if got := p.Judge(r, now); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", purl, got, want)
		}
	}
	r := published(`{"x":1}`)
	r.Purl = "pkg:npm/@acme/widget"
	if got := p.Judge(r, now); len(got) != 2 || !strings.Contains(got[0].Message, "has no answer") {
		t.Errorf("a purl that is none: %v", got)
	}
}

// Many goroutines judge by one policy.
func TestConcurrentUse(t *testing.T) {
	p := must(policy.Parse([]byte(rule(`ai.tools.all(t, t.name != attributes.name) && purl.matches("widget")`)), "p"))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 100 {
				name := fmt.Sprintf("t%d%d", i, n%2)
				r := published(fmt.Sprintf(`{"aiGeneration":{"extent":"generated","tools":[{"name":"t%d1","version":"1"}],"reviewedBy":[]},"name":%q}`, i, name))
				if got := p.Judge(r, now); len(got) != n%2 {
					t.Errorf("%s: %v", name, got)
				}
			}
		})
	}
	all.Wait()
}
