package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// Whatever loads has its expressions where they are in the file, and can judge; whatever does not is said on one line.
func FuzzParse(f *testing.F) {
	paths, _ := filepath.Glob("../deploy/policies/*.toml")
	if len(paths) == 0 {
		f.Fatal("no policies to begin with")
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, allow := range []string{`'true'`, `"\u0074rue"`, "'''\ntrue'''", "\"\"\"\\\n  tr\\u0075e\"\"\"", `"""true // """""`, `'wrong'`, "'''\r\ntrue\r\n'''", `"\x74rue"`} {
		f.Add([]byte("version = 1\n[[rule]]\nname = 'a'\nmessage = 'm'\nallow = " + allow + "\n[[example]]\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var w wire
		if strict.TOML(data, &w) == nil {
			s := locate("p", data)
			for i := range s.rules {
				if len(s.rules) != len(w.Rule) {
					break
				}
				value, ok := s.rules[i].values["allow"]
				if got := w.Rule[i].Allow; ok && s.quotation(value).text != got {
					t.Fatalf("rule %d: found %q, it is %q", i, s.quotation(value).text, got)
				} else if !ok && got != "" {
					t.Fatalf("rule %d: %q is not found", i, got)
				}
			}
		}
		p, err := Parse(data, "p")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "p: ") || len(err.Error()) > 4000 {
				t.Fatalf("%q", err)
			}
			return
		}
		p.Test()
	})
}

// Attributes that provenance accepts can be read, as the same things; no attributes make a judgement panic or long.
func FuzzJudge(f *testing.F) {
	p, err := Parse([]byte(`version = 1
[[rule]]
name = "everything"
message = "m"
allow = '''attributes.all(k, k != "x" && attributes[k] != attributes) && ai.tools.all(t, t.name != t.version) && !(publisher in ai.reviewedBy)'''
[[rule]]
name = "types"
message = "m"
allow = 'attributes.a + attributes.b > attributes.c || string(attributes.a).matches("^(a+)+$") || attributes.l.map(x, string(x)).exists(y, y.contains("q"))'
`), "p")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{`{}`, `{"a":1,"b":2,"c":3}`, `{"a":"x","b":"y","c":"z","l":["q"]}`, `{"a":[1],"b":[2],"l":{"q":1}}`, `{"a":{"b":true}}`, `[]`, ``, `{"a":null}`,
		`{"aiGeneration":{"extent":"none","tools":[{"name":"a","version":"a"}],"reviewedBy":[]}}`, `{"a":9007199254740992}`, `{"a":-0}`, " {\n} \n", `{} 1`, `{"a":"\ud83d\ude00"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, attributes []byte) {
		r := &provenance.Result{Purl: "pkg:npm/x@1.0.0", Basis: provenance.ByPublisher, Attributes: jsontext.Value(attributes)}
		start := time.Now()
		first := p.Judge(r, start)
		if elapsed := time.Since(start); elapsed > 10*time.Second {
			t.Fatal(elapsed)
		}
		for i, again := range p.Judge(r, start) {
			if again != first[i] {
				t.Fatalf("%v, then %v", first[i], again)
			}
		}
		facts := &facts{result: r}
		got, err := facts.claims()
		var object map[string]jsontext.Value
		accepted := strict.JSON(attributes, &object) == nil && len(attributes) <= provenance.MaxPublication
		if accepted && err != nil {
			t.Fatalf("%q is JSON, and cannot be read: %v", attributes, err)
		}
		delete(object, "aiGeneration")
		if accepted && len(got.(map[string]any)) != len(object) {
			t.Fatalf("%q is read as %v", attributes, got)
		}
	})
}
