package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// What the schema of SARIF 2.1.0 requires of the objects that are written, and which members they may have (OASIS
// Standard, 27 March 2020, sections 3.13 to 3.52).
var sarifObjects = map[string]struct{ required, allowed []string }{
	"log":              {[]string{"version", "runs"}, []string{"$schema"}},
	"run":              {[]string{"tool"}, []string{"invocations", "results", "columnKind"}},
	"tool":             {[]string{"driver"}, nil},
	"driver":           {[]string{"name"}, []string{"informationUri", "rules"}},
	"rule":             {[]string{"id"}, []string{"shortDescription", "help"}},
	"text":             {[]string{"text"}, nil},
	"invocation":       {[]string{"executionSuccessful"}, []string{"exitCode"}},
	"result":           {[]string{"message"}, []string{"ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "properties"}},
	"location":         {nil, []string{"physicalLocation"}},
	"physicalLocation": {nil, []string{"artifactLocation", "region"}},
	"artifactLocation": {nil, []string{"uri", "uriBaseId"}},
	"region":           {nil, []string{"startLine"}},
}

type object = map[string]any

// holds checks the members of an object, and gives it.
func holds(t *testing.T, kind string, v any) object {
	t.Helper()
	o, ok := v.(object)
	if !ok {
		t.Fatalf("%s is %T", kind, v)
	}
	want := sarifObjects[kind]
	for _, name := range want.required {
		if o[name] == nil {
			t.Errorf("%s without %s", kind, name)
		}
	}
	for name := range o {
		if !slices.Contains(want.required, name) && !slices.Contains(want.allowed, name) {
			t.Errorf("%s with %s", kind, name)
		}
	}
	return o
}

func TestSARIFSchema(t *testing.T) {
	spots := []gate.Spot{{Lockfile: "a/package-lock.json", Line: 4}, {Lockfile: "../b.lock"}, {Lockfile: "c:d/e\n\xff.lock", Line: 1 << 30}}
	report := &gate.Report{Findings: []*gate.Finding{
		{Verdict: gate.Refused, Code: "not-countersigned", Name: "x", Spots: spots, Detail: "why", Advice: "what", Confusion: true, Source: "\x1b[2J"},
		{Verdict: gate.Unchecked, Code: gate.Unavailable, Name: "x", Spots: spots[:1]},
		{Verdict: gate.Reported, Code: "not-pinned", Name: "x", Spots: spots[:1]},
		{Verdict: gate.Noted, Code: gate.PolicyNote, Rule: "r", Severity: "note", Name: "x", Spots: spots[:1]},
		{Verdict: gate.Refused, Code: string(provenance.PolicyDenied), Rule: "r", Severity: "error", Name: "x", Spots: spots[:1]},
	}}
	for name, r := range map[string]*gate.Report{"findings": report, "nothing": {}} {
		var log any
		if err := json.Unmarshal(must(encodeJSON(sarif(r))), &log); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		top := holds(t, "log", log)
		if top["version"] != "2.1.0" {
			t.Errorf("version %v", top["version"])
		}
		for _, run := range top["runs"].([]any) {
			checkSARIFRun(t, holds(t, "run", run))
		}
	}
	results := sarif(report).Runs[0].Results
	var levels []string
	for _, r := range results {
		levels = append(levels, r.Level)
	}
	if got := fmt.Sprint(levels); got != "[error error error error warning note error]" {
		t.Errorf("levels %s", got)
	}
	if strings := results[0].Message.Text; regexp.MustCompile(`[\x00-\x1f]`).MatchString(strings) {
		t.Errorf("message %q", strings)
	}
}

func checkSARIFRun(t *testing.T, run object) {
	t.Helper()
	if kind := run["columnKind"]; kind != "utf16CodeUnits" && kind != "unicodeCodePoints" {
		t.Errorf("columnKind %v", kind)
	}
	for _, i := range run["invocations"].([]any) {
		if _, ok := holds(t, "invocation", i)["executionSuccessful"].(bool); !ok {
			t.Error("executionSuccessful is no boolean")
		}
	}
	driver := holds(t, "driver", holds(t, "tool", run["tool"])["driver"])
	ids := []string{}
	for _, rule := range driver["rules"].([]any) {
		o := holds(t, "rule", rule)
		holds(t, "text", o["shortDescription"])
		holds(t, "text", o["help"])
		ids = append(ids, o["id"].(string))
	}
	if slices.Sort(ids); len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("rules %q", ids)
	}
	for _, result := range run["results"].([]any) {
		checkSARIFResult(t, holds(t, "result", result), driver["rules"].([]any))
	}
}

func checkSARIFResult(t *testing.T, r object, rules []any) {
	t.Helper()
	if text := holds(t, "text", r["message"])["text"]; text == "" {
		t.Error("no message")
	}
	if index := int(r["ruleIndex"].(float64)); index >= len(rules) || rules[index].(object)["id"] != r["ruleId"] {
		t.Errorf("rule %d is not %s", index, r["ruleId"])
	}
	if !slices.Contains([]any{"none", "note", "warning", "error"}, r["level"]) {
		t.Errorf("level %v", r["level"])
	}
	for name, value := range r["partialFingerprints"].(object) {
		if _, ok := value.(string); !ok {
			t.Errorf("fingerprint %s is %T", name, value)
		}
	}
	for _, l := range r["locations"].([]any) {
		place := holds(t, "physicalLocation", holds(t, "location", l)["physicalLocation"])
		if line := holds(t, "region", place["region"])["startLine"].(float64); line < 1 {
			t.Errorf("startLine %v", line)
		}
		file := holds(t, "artifactLocation", place["artifactLocation"])
		uri := file["uri"].(string)
		parsed, err := url.Parse(uri)
		if err != nil || parsed.IsAbs() == (file["uriBaseId"] != nil) || parsed.IsAbs() && parsed.Scheme != "file" ||
			!regexp.MustCompile(`^[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+$`).MatchString(uri) {
			t.Errorf("uri %q: %v", uri, err)
		}
	}
}
