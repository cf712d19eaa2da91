package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/provenance"
)

// examples runs the commands that a help text shows, as they stand but for the place of the daemon:
// examples COMMAND, or examples for countersign --help.
func examples(_ *scene, ts *testscript.TestScript, args []string) {
	ts.Check(ts.Exec("countersign", append(slices.Clone(args), "--help")...))
	text := ts.ReadFile("stdout")
	blocks := exampleBlocks(text)
	if len(blocks) == 0 {
		ts.Fatalf("countersign %q --help has no example", args)
	}
	if len(args) > 0 && args[0] == "verify" {
		examplePins(ts, text)
	}
	place := strings.NewReplacer("https://countersign.internal:8443", ts.Getenv("URL"), "/run/countersign/admin.sock", ts.Getenv("SOCKET"))
	for _, block := range blocks {
		if err := ts.Exec("sh", "-eu", "-c", place.Replace(block)); err != nil {
			ts.Fatalf("example:\n%s%v", block, err)
		}
	}
}

var blockStart = regexp.MustCompile(`^  (countersign |[A-Z]+=)`)

// exampleBlocks finds the indented blocks that begin with a command.
func exampleBlocks(text string) []string {
	var blocks []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if blockStart.MatchString(paragraph) {
			blocks = append(blocks, paragraph+"\n")
		}
	}
	return blocks
}

// examplePins holds the pins file of verify's help to what verify accepts.
func examplePins(ts *testscript.TestScript, text string) {
	_, pins, found := strings.Cut(text, "pins.toml:\n\n")
	pins, _, _ = strings.Cut(pins, "\n\n")
	pins = strings.Replace(pins, `"sha256:…"`, `"`+ts.Getenv("IDENTITY")+`"`, 1)
	if _, err := provenance.ParsePins([]byte(pins)); err != nil || !found {
		ts.Fatalf("pins of the example: %v\n%s", err, pins)
	}
	write(ts, "pins.toml", []byte(pins))
}

// TestEveryVerbIsExercised finds verbs without a script of their own, or whose examples are not run.
func TestEveryVerbIsExercised(t *testing.T) {
	run := must(os.ReadFile("testdata/script/examples.txtar"))
	for _, v := range verbs() {
		if !strings.Contains(string(run), "\nexamples "+v.name+"\n") {
			t.Errorf("the examples of %s are not run", v.name)
		}
		if len(exampleBlocks(v.usage)) == 0 {
			t.Errorf("%s has no example", v.name)
		}
		scripts := must(filepath.Glob("testdata/script/" + v.name + "*.txtar"))
		if len(scripts) == 0 {
			t.Errorf("%s has no script", v.name)
		}
		if !strings.Contains(usage, "\n  "+v.name+" ") {
			t.Errorf("countersign --help does not list %s", v.name)
		}
		for line := range strings.SplitSeq(v.usage, "\n") {
			if len([]rune(line)) > 80 && !strings.Contains(line, "pkcs11:") && !strings.Contains(line, `{"verified"`) {
				t.Errorf("%s: line is too wide: %s", v.name, line)
			}
		}
	}
}

// TestUsageFlags holds the flags that a help text describes to those that there are.
func TestUsageFlags(t *testing.T) {
	named := regexp.MustCompile(`--[a-z-]+`)
	for _, v := range verbs() {
		for _, name := range slices.Compact(slices.Sorted(slices.Values(named.FindAllString(v.usage, -1)))) {
			if name == "--bundle" && v.name == "submit" {
				continue
			}
			err := v.run([]string{name}, terminal{nil, t.Output(), t.Output()})
			if err == nil || strings.Contains(err.Error(), "unknown flag") {
				t.Errorf("%s %s: %v", v.name, name, err)
			}
		}
	}
}
