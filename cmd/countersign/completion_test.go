package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completed are command lines, the last word incomplete, and what has to come of it.
var completed = []struct {
	line string
	want []string // some of what is offered
	not  []string
}{
	{"countersign ", []string{"keygen", "verify", "pins", "man", "help"}, []string{"--help", "add"}},
	{"countersign ver", []string{"verify", "version"}, []string{"keygen"}},
	{"countersign --", []string{"--help", "--version"}, []string{"--pins"}},
	{"countersign help si", []string{"sign"}, nil},
	{"countersign sign --", []string{"--key", "--ai", "--reviewed-by", "--help"}, []string{"--pins", "--version"}},
	{"countersign sign --ai ", []string{"none", "assisted", "generated"}, []string{"--key", "keygen"}},
	{"countersign sign --ai a", []string{"assisted"}, []string{"none"}},
	{"countersign sign --key verify --reg", []string{"--registry"}, nil},
	{"countersign pins ", []string{"add", "show", "init"}, []string{"keygen"}},
	{"countersign pins add --f", []string{"--from", "--file", "--fingerprint"}, []string{"--from-lock", "--yes"}},
	{"countersign pins add registry.example --mode ", []string{"enforce", "report"}, nil},
	{"countersign pins add --namespace show --req", []string{"--require"}, nil},
	{"countersign pins init --f", []string{"--from-lock"}, []string{"--from "}},
	{"countersign admin --socket /run/x th", []string{"thaw"}, []string{"state"}},
	{"countersign completion ", []string{"bash", "zsh", "fish"}, nil},
}

// offers holds what a shell offers to what was wanted.
func offers(t *testing.T, line string, got, want, not []string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%q: %q is not offered, but %q", line, w, got)
		}
	}
	for _, n := range not {
		if slices.Contains(got, strings.TrimSpace(n)) {
			t.Errorf("%q: %q is offered", line, n)
		}
	}
	if len(got) != len(slices.Compact(slices.Sorted(slices.Values(got)))) {
		t.Errorf("%q: offered twice: %q", line, got)
	}
}

// shell runs a script in a shell with the completion for it loaded, in a folder with one file.
func shell(t *testing.T, name, script string, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	completion := must(exec.Command(filepath.Join(binaries, "countersign"), "completion", name).Output())
	if err := os.WriteFile(filepath.Join(dir, "completion"), completion, 0o644); err != nil {
		t.Fatal(err)
	}
	flags := map[string][]string{"bash": {"--norc", "-u", "-c"}, "zsh": {"-f", "-u", "-c"}, "fish": {"--no-config", "-c"}}[name]
	run := exec.Command(name, append(append(flags, script, name), args...)...)
	run.Dir = dir
	run.Env = append(os.Environ(), "HOME="+dir)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return strings.Fields(string(out))
}

// Bash takes a line apart at = too.
func TestBashCompletes(t *testing.T) {
	const script = `source ./completion; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _countersign; printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"}`
	for _, tt := range completed {
		offers(t, tt.line, shell(t, "bash", script, strings.Split(tt.line, " ")...), tt.want, tt.not)
	}
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"countersign", "sign", "--ai", "=", "a"}, "assisted"},
		{[]string{"countersign", "sign", "--ai", "="}, "none assisted generated"},
		{[]string{"countersign", "sign", "--ai", "=", "none", "--ke"}, "--key"},
		{[]string{"countersign", "sign", "--key", ""}, ""}, // the shell completes files
		{[]string{"countersign", "verify", ""}, ""},
		{[]string{"countersign", "verify", "--", "--pi"}, ""},
		{[]string{"countersign", "nonsense", "--pi"}, ""},
		{[]string{"countersign", "sign", "$(touch made)", "`touch made`", "--ke"}, "--key"},
	} {
		if got := strings.Join(shell(t, "bash", script, tt.words...), " "); got != tt.want {
			t.Errorf("%q: offered %q, want %q", tt.words, got, tt.want)
		}
	}
}

// Every flag that there is can be completed, by what each verb says itself.
func TestBashCompletesEveryFlag(t *testing.T) {
	const script = `source ./completion; _countersign_at "$1"; echo $words $flags`
	all := commands()
	if len(all) < 2*len(verbs())-3 {
		t.Fatalf("%d commands for %d verbs", len(all), len(verbs()))
	}
	for _, c := range all {
		if got, want := shell(t, "bash", script, c.path), append(slices.Clone(c.words), c.flagList()...); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", c.path, got, want)
		}
	}
	if !strings.Contains(strings.Join(shell(t, "bash", script, "verify"), " "), "--any-purl") {
		t.Error("verify has no --any-purl: are flags collected?")
	}
}

// The other shells are tested where they are.
func TestZshCompletes(t *testing.T) {
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Log("zsh is not here; only that the script has every command was looked at")
		holdsCommands(t, zshScript(commands()))
		return
	}
	const script = `compdef() { :; }; _files() { :; }; compset() { :; }
_describe() { local w; for w in "${(@P)2}"; do [[ $w == ${word}* ]] && print -r -- "${w%%:*}"; done; return 0; }
source ./completion; words=("$@"); CURRENT=$#; _countersign`
	for _, tt := range completed {
		offers(t, tt.line, shell(t, "zsh", script, strings.Split(tt.line, " ")...), tt.want, tt.not)
	}
}

func TestFishCompletes(t *testing.T) {
	if _, err := exec.LookPath("fish"); err != nil {
		t.Log("fish is not here; only that the script has every command was looked at")
		holdsCommands(t, fishScript(commands()))
		return
	}
	const script = `source ./completion; complete -C $argv[2] | string replace -r '\t.*' ''; true`
	for _, tt := range completed {
		offers(t, tt.line, shell(t, "fish", script, tt.line), tt.want, tt.not)
	}
}

func holdsCommands(t *testing.T, script string) {
	t.Helper()
	for _, c := range commands() {
		if !strings.Contains(script, quoted(c.path)) && !strings.Contains(script, fishQuoted(fishQuoted(c.path))[1:]) {
			t.Errorf("%q is missing", c.path)
		}
	}
}

func TestQuoting(t *testing.T) {
	for given, want := range map[string]string{`it's`: `'it'\''s'`, "": "''", "$(x)": "'$(x)'"} {
		if got := quoted(given); got != want {
			t.Errorf("quoted(%q) = %s, want %s", given, got, want)
		}
	}
	if got := fishQuoted(`it's a \`); got != `'it\'s a \\'` {
		t.Errorf("fishQuoted gives %s", got)
	}
}
