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
	place := strings.NewReplacer("https://countersign.internal:8443", ts.Getenv("URL"), "/run/countersign/admin.sock", ts.Getenv("SOCKET"),
		"https://registry.example", ts.Getenv("PUBLIC"))
	for _, block := range blocks {
		// What a person types is in the file typed.
		if err := ts.Exec("sh", "-eu", "-c", "test ! -f typed || exec <typed\n"+place.Replace(block)); err != nil {
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

// TestUsageFlags holds the flags that a help text names to those that the verb takes, and the other way round: what is
// not in the text is in no completion and on no page either.
func TestUsageFlags(t *testing.T) {
	for _, v := range verbs() {
		taken := make(map[string]bool)
		for _, c := range commands() {
			if name, _, _ := strings.Cut(c.path, " "); name == v.name {
				for _, flag := range c.flagList() {
					taken[flag] = true
				}
			}
		}
		delete(taken, "--help")
		named := make(map[string]bool)
		for _, flag := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(v.usage, -1) {
			named[flag] = flag != "--help"
			if named[flag] && !taken[flag] {
				t.Errorf("the help of %s names %s, which it does not take", v.name, flag)
			}
		}
		for flag := range taken {
			if !named[flag] {
				t.Errorf("%s takes %s, which its help does not name", v.name, flag)
			}
		}
	}
}
