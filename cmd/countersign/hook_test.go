package main

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"countersign.dev/ecosystem/lockfile"
)

// clone is a repository with the hook in place.
type clone struct {
	t   *testing.T
	dir string
	env []string
}

func newClone(t *testing.T) *clone {
	t.Helper()
	c := &clone{t, project(t), nil}
	home := t.TempDir()
	c.env = []string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "TMPDIR=" + home, "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	c.git("init", "-q")
	for name, value := range map[string]string{"user.name": "A Developer", "user.email": "dev@acme.example", "commit.gpgsign": "false",
		"core.hooksPath": must(filepath.Abs("../../deploy/pre-commit")), "countersign.bundles": "bundles"} {
		c.git("config", name, value)
	}
	return c
}

func (c *clone) run(args ...string) (string, error) {
	git := exec.Command("git", args...)
	git.Dir, git.Env = c.dir, c.env
	out, err := git.CombinedOutput()
	return string(out), err
}

func (c *clone) git(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return out
}

// stopped holds a commit to have been stopped, for a reason, with nothing left behind.
func (c *clone) stopped(reason string, args ...string) {
	c.t.Helper()
	before, _ := c.run("rev-parse", "HEAD")
	out, err := c.run(append([]string{"commit", "-q", "-m", "x"}, args...)...)
	if err == nil || !strings.Contains(out, reason) {
		c.t.Errorf("commit %q: %v, want it stopped by %q\n%s", args, err, reason, out)
	}
	if after, _ := c.run("rev-parse", "HEAD"); after != before {
		c.t.Errorf("commit %q: there is one", args)
	}
	if left := must(filepath.Glob(filepath.Join(c.env[3][len("TMPDIR="):], "tmp.*"))); len(left) > 0 {
		c.t.Errorf("left behind: %q", left)
	}
}

func (c *clone) save(name string, data []byte) { save(c.t, filepath.Join(c.dir, name), data) }

// A commit with another's file under a pinned name is stopped; what is checked is what is committed.
func TestHookStopsCommits(t *testing.T) {
	c := newClone(t)
	good := must(os.ReadFile(filepath.Join(c.dir, "package-lock.json")))
	c.git("add", ".")
	c.git("commit", "-q", "-m", "good")

	c.save("package-lock.json", anothers())
	c.stopped("artifact-digest-mismatch", "-a")
	c.stopped("artifact-digest-mismatch", "package-lock.json")
	c.git("add", ".")
	c.save("package-lock.json", good) // in the folder, not in the index
	c.stopped("artifact-digest-mismatch")
	c.git("add", ".")
	c.save("package-lock.json", anothers()) // the other way round
	c.save("README", []byte("read me\n"))
	c.git("add", "README")
	c.git("commit", "-q", "-m", "the index is good")
	c.git("checkout", "-q", "package-lock.json")

	c.save("a b/\n'$(touch made)'/package-lock.json", anothers())
	c.git("add", ".")
	c.stopped("artifact-digest-mismatch")
	if _, err := os.Stat(filepath.Join(c.dir, "made")); err == nil {
		t.Error("a name was run")
	}
	c.git("rm", "-rqf", "a b")

	// A commit without lockfiles is not looked at, nor one that takes one away; and --no-verify is git's own.
	c.git("config", "countersign.program", "nowhere")
	c.save("README", []byte("read on\n"))
	c.git("commit", "-q", "-am", "no lockfile")
	c.save("package-lock.json", anothers())
	c.stopped("there is no program nowhere", "-a")
	c.git("commit", "-q", "--no-verify", "-am", "past the hook")
	c.git("rm", "-q", "package-lock.json")
	c.git("commit", "-q", "-m", "gone")
}

// The pins that count are those of the index, or those that the clone is told to use.
func TestHookPins(t *testing.T) {
	c := newClone(t)
	pins := must(os.ReadFile(filepath.Join(c.dir, ".countersign", "pins.toml")))
	c.save("package-lock.json", anothers())
	c.git("add", ".")
	c.save(".countersign/pins.toml", []byte("version = 1\ndefault = \"ignore\"\n")) // not added
	c.stopped("artifact-digest-mismatch")
	c.git("rm", "-rqf", "--cached", ".countersign")
	c.stopped("pins.toml")
	c.save("mine/pins.toml", pins)
	c.git("config", "countersign.pins", "mine/pins.toml")
	c.stopped("artifact-digest-mismatch")
	c.save("mine/pins.toml", []byte("version = 1\ndefault = \"ignore\"\n"))
	c.git("commit", "-q", "-m", "nothing is pinned")

	// A change of the pins alone is checked against the lockfiles that are there; without any there is nothing to check.
	c.git("config", "--unset", "countersign.pins")
	c.save(".countersign/pins.toml", pins)
	c.git("add", ".countersign")
	c.stopped("artifact-digest-mismatch")
	c.git("rm", "-q", "package-lock.json")
	c.git("commit", "-q", "-m", "pins, no lockfile")
}

// Without a registry to ask there is no network; with one, it is asked.
func TestHookAsks(t *testing.T) {
	c := newClone(t)
	c.git("config", "--unset", "countersign.bundles")
	c.git("add", ".")
	c.stopped("unchecked")
	program := filepath.Join(t.TempDir(), "countersign")
	save(t, program, []byte("#!/bin/sh\nprintf '[%s]' \"$@\"; exit 1\n"))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	c.git("config", "countersign.program", program)
	c.stopped("[check][--offline][.]")
	c.git("config", "countersign.bundles", "/b c")
	c.git("config", "--add", "countersign.from", "https://a.example")
	c.git("config", "--add", "countersign.from", "https://b.example/$(touch made)")
	c.stopped("[check][--bundles=/b c][--from=https://a.example][--from=https://b.example/$(touch made)][.]")
}

// Requirements may include others, which go with them.
func TestHookTakesWhatLockfilesInclude(t *testing.T) {
	c := newClone(t)
	c.save("requirements.txt", []byte("-r more/base.txt\n"))
	c.save("more/base.txt", []byte("acme==1.0 --hash=sha256:"+zeros(64)+"\n"))
	c.git("add", ".")
	c.git("commit", "-q", "-m", "both")
	c.git("rm", "-q", "--cached", "more/base.txt")
	c.save("requirements.txt", []byte("# again\n-r more/base.txt\n"))
	c.git("add", "requirements.txt")
	c.stopped("base.txt")
}

// The hook's list of names is that of the program: every name in it is found, and every format has a name in it.
func TestHookKnowsLockfiles(t *testing.T) {
	script := string(must(os.ReadFile("../../deploy/pre-commit/pre-commit")))
	_, list, _ := strings.Cut(script, "\nlockfiles() {")
	list, _, _ = strings.Cut(list, "\n}\n")
	sample := strings.NewReplacer("[-_.]", "-", "[Dd]", "D", "[Cc]", "C", "*", "x")
	var patterns []string
	for _, m := range regexp.MustCompile(`':\(glob\)\*\*/([^']+)'`).FindAllStringSubmatch(list, -1) {
		patterns = append(patterns, strings.ReplaceAll(m[1], "[-", `[\-`)) // as Go writes it
		dir := t.TempDir()
		save(t, filepath.Join(dir, sample.Replace(m[1])), []byte("x"))
		if found := must(lockfile.Find(dir)); len(found) != 1 {
			t.Errorf("%s is none of the program's lockfiles", m[1])
		}
	}
	if len(patterns) < 20 {
		t.Fatalf("patterns %q", patterns)
	}
	// Names that somebody has to give are no project's lockfiles of themselves; go.sum is read with go.mod.
	byName := map[string]bool{"Dockerfile.*": true, "go.sum": true, "Kubernetes manifest": true}
	for _, format := range lockfile.Formats() {
		covered := byName[format]
		for _, p := range patterns {
			ok, err := path.Match(p, format)
			covered = covered || ok && err == nil
		}
		if !covered {
			t.Errorf("the hook does not look at %s", format)
		}
	}
	for _, name := range []string{"requirements-dev.txt", "dev_requirements.txt", "pylock.dev.toml", "packages.app.lock.json", "app.Dockerfile", "docker-compose.dev.yml"} {
		covered := false
		for _, p := range patterns {
			ok, _ := path.Match(p, name)
			covered = covered || ok
		}
		if !covered {
			t.Errorf("the hook does not look at %s", name)
		}
	}
}

// The file for the program pre-commit has what that requires, and names the hook.
func TestPreCommitHooks(t *testing.T) {
	var hooks []map[string]any
	if err := yaml.Unmarshal(must(os.ReadFile("../../deploy/pre-commit/.pre-commit-hooks.yaml")), &hooks); err != nil || len(hooks) != 1 {
		t.Fatalf("%d hooks, %v", len(hooks), err)
	}
	for name, want := range map[string]any{"id": "countersign-check", "language": "script", "pass_filenames": false, "always_run": true} {
		if hooks[0][name] != want {
			t.Errorf("%s is %v, want %v", name, hooks[0][name], want)
		}
	}
	if info, err := os.Stat(filepath.Join("../../deploy/pre-commit", fmt.Sprint(hooks[0]["entry"]))); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("entry %v: %v", hooks[0]["entry"], err)
	}
}
