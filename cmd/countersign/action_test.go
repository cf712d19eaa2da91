package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign.dev/ecosystem"
	"countersign.dev/provenance"
)

// project makes a folder with pins and bundles of the registry, and a lockfile that is as it should be.
func project(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r := anHour()
	artifact := filepath.Join(t.TempDir(), "acme-widget-1.2.3.tgz")
	save(t, artifact, npmPackage("@acme/widget", "1.2.3", ""))
	digests, _, err := ecosystem.Digests(artifact, "npm")
	if err != nil {
		t.Fatal(err)
	}
	publisher := testKey("publisher")
	certificate := must(provenance.Enrolment{Registry: r.name, Publisher: publicKey(publisher), Namespaces: namespaces("pkg:npm/@acme/*"),
		Issued: time.Now().Add(-time.Minute)}.Sign(r.officer))
	r.enrol(certificate.Envelope)
	p := must(provenance.Draft{Registry: r.name, Coordinate: must(provenance.ParseCoordinate("pkg:npm/%40acme/widget@1.2.3")), FileName: "acme-widget-1.2.3.tgz",
		Digests: digests, SignedAt: time.Now()}.Sign(publisher))
	index, _, refusal := r.countersign(p.Envelope, digests, time.Now())
	if refusal != nil {
		t.Fatal(refusal)
	}
	save(t, filepath.Join(dir, "bundles", "acme-widget-1.2.3.tgz.bundle.json"), r.bundle(index).JSON())
	save(t, filepath.Join(dir, ".countersign", "pins.toml"), fmt.Appendf(nil, "version = 1\ndefault = \"ignore\"\n[[pin]]\nnamespace = \"pkg:npm/@acme/*\"\nregistry = %q\nidentity = %q\n",
		r.name, r.fingerprint()))
	save(t, filepath.Join(dir, "package-lock.json"), lockOf("sha512-"+base64.StdEncoding.EncodeToString(must(hex.DecodeString(digests["sha512"])))))
	return dir
}

// lockOf is a lockfile that demands a digest of @acme/widget.
func lockOf(integrity string) []byte {
	return fmt.Appendf(nil, `{"name": "app", "lockfileVersion": 3, "packages": {"": {"name": "app"},
"node_modules/@acme/widget": {"version": "1.2.3", "resolved": "https://registry.example/widget.tgz", "integrity": %q}}}`+"\n", integrity)
}

// anothers is a lockfile as the attack leaves it: another file under the name.
func anothers() []byte {
	return lockOf("sha512-" + base64.StdEncoding.EncodeToString(make([]byte, 64)))
}

func save(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// compositeAction is what we use of the format of GitHub's action.yml.
type compositeAction struct {
	Inputs map[string]struct {
		Description, Default string
	}
	Outputs map[string]struct {
		Description, Value string
	}
	Runs struct {
		Using string
		Steps []struct {
			ID, Shell, Run string
			Env            map[string]string
		}
	}
}

func readAction(t *testing.T) compositeAction {
	t.Helper()
	var a compositeAction
	if err := yaml.Unmarshal(must(os.ReadFile("../../deploy/action/action.yml")), &a); err != nil || len(a.Runs.Steps) != 1 {
		t.Fatalf("action.yml: %v", err)
	}
	return a
}

// stepResult is what a runner has after a step.
type stepResult struct {
	status                  int
	log, summary, githubOut string
	outputs                 map[string]string
}

// runAction does what a runner does with the action: it puts the inputs into the environment and runs the command.
func runAction(t *testing.T, workspace string, with map[string]string) stepResult {
	t.Helper()
	a := readAction(t)
	step := a.Runs.Steps[0]
	temp := t.TempDir()
	run := exec.Command(step.Shell, "-e", "-c", step.Run)
	run.Dir = workspace
	run.Env = []string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "HOME=" + temp, "RUNNER_TEMP=" + temp, "GITHUB_WORKSPACE=" + workspace, "GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
		"GITHUB_ACTION_PATH=" + must(filepath.Abs("../../deploy/action")), "GITHUB_OUTPUT=" + filepath.Join(temp, "out"), "GITHUB_STEP_SUMMARY=" + filepath.Join(temp, "summary")}
	for name, expression := range step.Env {
		input := strings.TrimSuffix(strings.TrimPrefix(expression, "${{ inputs."), " }}")
		value, given := with[input]
		if !given {
			value = a.Inputs[input].Default
		}
		run.Env = append(run.Env, name+"="+value)
	}
	out, err := run.CombinedOutput()
	if _, ended := err.(*exec.ExitError); err != nil && !ended {
		t.Fatal(err)
	}
	read := func(name string) string { data, _ := os.ReadFile(filepath.Join(temp, name)); return string(data) }
	r := stepResult{run.ProcessState.ExitCode(), string(out), read("summary"), read("out"), make(map[string]string)}
	for line := range strings.Lines(r.githubOut) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		r.outputs[name] = value
	}
	if left := must(filepath.Glob(filepath.Join(temp, "countersign.*"))); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return r
}

// No input is in the text of a command, every input reaches the script, and the script uses what it is given.
func TestActionDescribesItself(t *testing.T) {
	a := readAction(t)
	script := string(must(os.ReadFile("../../deploy/action/check.sh")))
	step := a.Runs.Steps[0]
	if a.Runs.Using != "composite" || strings.Contains(step.Run, "${{") {
		t.Errorf("runs %q", step.Run)
	}
	form := regexp.MustCompile(`^\$\{\{ inputs\.([a-z]+) \}\}$`)
	reached := make(map[string]bool)
	for name, expression := range step.Env {
		m := form.FindStringSubmatch(expression)
		if m == nil || name != "COUNTERSIGN_"+strings.ToUpper(m[1]) {
			t.Errorf("%s is %q", name, expression)
			continue
		}
		reached[m[1]] = true
		if !strings.Contains(script, "$"+name) {
			t.Errorf("the script does not use %s", name)
		}
	}
	for name, input := range a.Inputs {
		if !reached[name] || input.Description == "" {
			t.Errorf("input %s: reaches the script %v, description %q", name, reached[name], input.Description)
		}
	}
	for _, variable := range regexp.MustCompile(`COUNTERSIGN_[A-Z]+`).FindAllString(script, -1) {
		if step.Env[variable] == "" {
			t.Errorf("the script uses %s, which action.yml does not give", variable)
		}
	}
	for name, output := range a.Outputs {
		if output.Value != "${{ steps."+step.ID+".outputs."+name+" }}" || !strings.Contains(script, name+"=%s") || output.Description == "" {
			t.Errorf("output %s: %+v", name, output)
		}
	}
}

func TestAction(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil   func(dir string)
		with    map[string]string
		status  int
		verdict string
		log     string // a part of it
	}{
		"good":             {nil, nil, 0, "passed", "verified"},
		"another's file":   {func(dir string) { save(t, dir+"/package-lock.json", anothers()) }, nil, 1, "refused", "artifact-digest-mismatch"},
		"only reported":    {func(dir string) { save(t, dir+"/package-lock.json", anothers()) }, map[string]string{"mode": "report"}, 0, "passed", "artifact-digest-mismatch"},
		"no pins":          {func(dir string) { os.RemoveAll(dir + "/.countersign") }, nil, 2, "unchecked", "pins.toml"},
		"no bundle":        {nil, map[string]string{"bundles": "nothing\n\n"}, 2, "unchecked", ""},
		"no lockfile":      {func(dir string) { os.Remove(dir + "/package-lock.json") }, nil, 2, "unchecked", "lockfile"},
		"several":          {func(dir string) { save(t, dir+"/b/package-lock.json", anothers()) }, map[string]string{"lockfiles": "package-lock.json\n\nb"}, 1, "refused", "b/package-lock.json"},
		"named":            {func(dir string) { save(t, dir+"/b/package-lock.json", anothers()) }, map[string]string{"lockfiles": "package-lock.json"}, 0, "passed", "verified"},
		"wrong mode":       {nil, map[string]string{"mode": "lax"}, 2, "unchecked", `--mode "lax"`},
		"its version":      {nil, map[string]string{"version": programVersion(t)}, 0, "passed", "verified"},
		"another version":  {nil, map[string]string{"version": "v99.0.0"}, 2, "", "countersign is not version v99.0.0"},
		"part of version":  {nil, map[string]string{"version": "*"}, 2, "", "countersign is not version *"},
		"no program":       {nil, map[string]string{"binary": "countersing"}, 2, "", "there is no program countersing"},
		"program by path":  {nil, map[string]string{"binary": filepath.Join(binaries, "countersign")}, 0, "passed", "verified"},
		"other pins":       {func(dir string) { os.Rename(dir+"/.countersign/pins.toml", dir+"/p q.toml") }, map[string]string{"pins": "p q.toml"}, 0, "passed", "verified"},
		"pins are no flag": {nil, map[string]string{"pins": "--mode=report"}, 2, "unchecked", "--mode=report"},
		"nor is lockfile":  {func(dir string) { save(t, dir+"/package-lock.json", anothers()) }, map[string]string{"lockfiles": "--mode=report\npackage-lock.json"}, 2, "unchecked", "--mode=report"},
		"no policy there":  {nil, map[string]string{"policy": "gone.toml"}, 2, "unchecked", "gone.toml"},
		"not to be asked":  {nil, map[string]string{"from": "ftp://registry.example"}, 2, "unchecked", "ftp://registry.example"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := project(t)
			if tt.spoil != nil {
				tt.spoil(dir)
			}
			with := map[string]string{"bundles": "bundles"}
			for k, v := range tt.with {
				with[k] = v
			}
			r := runAction(t, dir, with)
			if r.status != tt.status || r.outputs["verdict"] != tt.verdict || !strings.Contains(r.log, tt.log) {
				t.Errorf("status %d, outputs %v\n%s", r.status, r.outputs, r.log)
			}
			if tt.verdict != "" && (r.outputs["status"] != fmt.Sprint(tt.status) || !strings.HasPrefix(r.summary, "### countersign check: "+tt.verdict+"\n\n    ")) {
				t.Errorf("outputs %v, summary %q", r.outputs, r.summary)
			}
		})
	}
}

func programVersion(t *testing.T) string {
	t.Helper()
	out := must(exec.Command(filepath.Join(binaries, "countersign"), "version").Output())
	version, _, _ := strings.Cut(strings.TrimPrefix(string(out), "countersign "), ",")
	return version
}

func TestActionMakesSARIF(t *testing.T) {
	dir := project(t)
	save(t, dir+"/package-lock.json", anothers())
	path := filepath.Join(t.TempDir(), "a b.sarif")
	r := runAction(t, dir, map[string]string{"bundles": "bundles", "sarif": path})
	if data, err := os.ReadFile(path); r.status != 1 || r.outputs["sarif"] != path || err != nil || !bytes.Contains(data, []byte(`"2.1.0"`)) {
		t.Errorf("status %d, outputs %v, %v\n%s", r.status, r.outputs, err, r.log)
	}
	// What a checkout brought is not taken for the result.
	for name, make := range map[string]func(path string) error{
		"file": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o644) },
		"link": func(path string) error { return os.Symlink("/nowhere", path) },
	} {
		if err := make(filepath.Join(dir, name+".sarif")); err != nil {
			t.Fatal(err)
		}
		r := runAction(t, dir, map[string]string{"bundles": "bundles", "sarif": name + ".sarif"})
		if r.status != 2 || r.githubOut != "" || !strings.Contains(r.log, name+".sarif exists") {
			t.Errorf("%s: status %d, outputs %v\n%s", name, r.status, r.outputs, r.log)
		}
	}
	if r := runAction(t, dir, map[string]string{"pins": "gone.toml", "sarif": "x.sarif"}); r.status != 2 || r.githubOut != "status=2\nverdict=unchecked\n" {
		t.Errorf("status %d, outputs %q", r.status, r.githubOut)
	}
}

// Whatever is in an input, it is one argument: nothing is run, and no other output is made.
func TestActionInputsAreNoCommands(t *testing.T) {
	a := readAction(t)
	for input := range a.Inputs {
		for _, hostile := range []string{`$(touch made)`, "`touch made`", `"; touch made; "`, `'; touch made; '`, "x\nEOF\ntouch made\n", "${PATH}", "a\nverdict=passed", "%0A::set-output name=verdict::passed", "-n", "(", "*"} {
			dir := project(t)
			before := names(t, dir)
			with := map[string]string{"bundles": "bundles"}
			with[input] = hostile
			r := runAction(t, dir, with)
			if after := names(t, dir); !slices.Equal(after, before) && !(input == "cache" || input == "sarif") || slices.Contains(after, "made") {
				t.Errorf("%s %q: the folder has %q, before %q", input, hostile, after, before)
			}
			if n := strings.Count(r.githubOut, "verdict="); n > 1 || r.outputs["verdict"] == "passed" && r.status != 0 {
				t.Errorf("%s %q: outputs %q", input, hostile, r.githubOut)
			}
			if r.status == 0 && !slices.Contains([]string{"bundles", "cache", "sarif"}, input) {
				t.Errorf("%s %q: passed\n%s", input, hostile, r.log)
			}
		}
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	for _, e := range must(os.ReadDir(dir)) {
		all = append(all, e.Name())
	}
	return all
}

// What is checked cannot speak to the runner, nor leave the code block of the summary.
func TestActionOutputIsNoCommand(t *testing.T) {
	dir := project(t)
	program := filepath.Join(t.TempDir(), "countersign")
	save(t, program, []byte("#!/bin/sh\nprintf '%s\\n' '::set-output name=verdict::passed' '```' '<script>' '# heading'\nprintf 'no newline'\nexit 1\n"))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	r := runAction(t, dir, map[string]string{"binary": program})
	m := regexp.MustCompile(`(?s)^::stop-commands::([0-9a-f]{32})\n(.*)\n::([0-9a-f]{32})::\n$`).FindStringSubmatch(r.log)
	if r.status != 1 || m == nil || m[1] != m[3] || !strings.Contains(m[2], "::set-output") {
		t.Errorf("status %d, log %q", r.status, r.log)
	}
	if again := runAction(t, dir, map[string]string{"binary": program}); again.log == r.log {
		t.Error("the word that ends the silence is the same again")
	}
	for i, line := range strings.Split(strings.TrimRight(r.summary, "\n"), "\n") {
		if i > 1 && !strings.HasPrefix(line, "    ") {
			t.Errorf("the summary has the line %q", line)
		}
	}
	for status, want := range map[string]string{"3": "unchecked", "127": "unchecked", "2": "unchecked"} {
		save(t, program, []byte("#!/bin/sh\nexit "+status+"\n"))
		if r := runAction(t, dir, map[string]string{"binary": program}); r.status != 2 || r.outputs["verdict"] != want {
			t.Errorf("the program ends with %s: status %d, outputs %v", status, r.status, r.outputs)
		}
	}
}

// The scripts are plain sh, and shellcheck has nothing to say of them where it is there.
func TestDeployedScripts(t *testing.T) {
	for _, script := range []string{"../../deploy/action/check.sh", "../../deploy/pre-commit/pre-commit"} {
		if info := must(os.Stat(script)); info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be executed", script)
		}
		checks := [][]string{{"sh", "-n"}}
		if _, err := exec.LookPath("shellcheck"); err == nil {
			checks = append(checks, []string{"shellcheck", "--shell=sh"})
		}
		for _, check := range checks {
			if out, err := exec.Command(check[0], append(check[1:], script)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", check[0], err, out)
			}
		}
	}
}
