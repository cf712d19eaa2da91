package test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inventory is every file below the appliance's directory, with its mode and content.
func (a *appliance) inventory() map[string]string {
	a.t.Helper()
	all := map[string]string{}
	must(a.t, filepath.WalkDir(a.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		all[strings.TrimPrefix(path, a.dir)] = what
		return nil
	}))
	return all
}

// difference names the files that are not the same.
func difference(before, after map[string]string) (changed []string) {
	for path := range after {
		if before[path] != after[path] {
			changed = append(changed, path)
		}
	}
	for path := range before {
		if after[path] == "" {
			changed = append(changed, path)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(changed)))
}

// unused gives an appliance before its ceremony: configurations, PIN files and credentials.
func unused(t testing.TB, m int, agents ...string) *appliance {
	t.Helper()
	a := &appliance{t: t, dir: t.TempDir(), agents: agents, processes: make(map[string]*process)}
	a.make(m)
	return a
}

func (a *appliance) make(m int) {
	a.ceremony(m)
	a.credentials()
	a.configure()
}

// clone is a copy of a stopped appliance elsewhere.
func (a *appliance) clone(t testing.TB) *appliance {
	t.Helper()
	b := &appliance{t: t, dir: t.TempDir(), agents: a.agents, processes: make(map[string]*process), url: a.url, public: a.public, client: a.client, identity: a.identity}
	if out, err := exec.Command("cp", "-a", a.dir+"/.", b.dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	for _, pattern := range []string{"*.toml", "softhsm2.conf", "out/*.toml"} {
		files, err := filepath.Glob(b.path(pattern))
		must(t, err)
		for _, f := range files {
			name := strings.TrimPrefix(f, b.dir)
			b.write(name, strings.ReplaceAll(b.read(name), a.dir, b.dir))
		}
	}
	return b
}

// The daemon and the agents create nothing: whatever is missing is an error that names the ceremony, and leaves no file.
func TestInvariant10_DaemonsCreateNothing(t *testing.T) {
	made := unused(t, 1, "a")
	for name, tt := range map[string]struct {
		gone    []string // renamed away
		program []string
		says    string
	}{
		"no ledger":            {[]string{"ledger"}, []string{"countersignd", "--config", "countersignd.toml"}, "a ceremony"},
		"ledger without files": {[]string{"ledger/*"}, []string{"countersignd", "--config", "countersignd.toml"}, "a ceremony"},
		"no TLS key":           {[]string{"server.key"}, []string{"countersignd", "--config", "countersignd.toml"}, "server.key"},
		"no configuration":     {[]string{"countersignd.toml"}, []string{"countersignd", "--config", "countersignd.toml"}, "countersignd.toml"},
		"no ledger to audit":   {[]string{"ledger"}, []string{"countersignd", "audit", "--config", "countersignd.toml"}, "a ceremony"},
		"no watermark":         {[]string{"state-a/*"}, []string{"keyagent", "--config", "out/keyagent-a.toml"}, "a ceremony"},
		"no state directory":   {[]string{"state-a"}, []string{"keyagent", "--config", "out/keyagent-a.toml"}, "a ceremony"},
		"no token":             {[]string{"tokens/*"}, []string{"keyagent", "--config", "out/keyagent-a.toml"}, "log-a"},
		"no PIN file":          {[]string{"pins/log-a.pin"}, []string{"keyagent", "--config", "out/keyagent-a.toml"}, "PIN file"},
		"nothing at all": {[]string{"ledger", "tokens/*", "state-a", "pins", "server.key", "server.crt"},
			[]string{"countersignd", "--config", "countersignd.toml"}, "a ceremony"},
	} {
		t.Run(name, func(t *testing.T) {
			a := made.clone(t)
			for _, pattern := range tt.gone {
				paths, err := filepath.Glob(a.path(pattern))
				must(t, err)
				if len(paths) == 0 {
					t.Fatalf("there is no %s to take away", pattern)
				}
				for _, p := range paths {
					must(t, os.RemoveAll(p))
				}
			}
			before := a.inventory()
			last := len(tt.program) - 1
			a.refuses(tt.says, tt.program[0], append(slices.Clone(tt.program[1:last]), a.path(tt.program[last]))...)
			for _, path := range difference(before, a.inventory()) {
				if slices.Contains(tt.gone, "ledger") || !strings.HasPrefix(path, "/ledger/") { // an open ledger has files of its own
					t.Errorf("created or changed %s", path)
				}
			}
		})
	}
}

// A ceremony makes everything, once: it refuses whatever exists, before it touches anything.
func TestInvariant10_CeremonyOverwritesNothing(t *testing.T) {
	made := unused(t, 1, "a")
	for name, kept := range map[string]string{
		"the ledger":    "ledger",
		"the output":    "out",
		"the watermark": "state-a/registry.example_countersign_1.watermark",
		"the tokens":    "tokens",
		"all of it":     "",
	} {
		t.Run(name, func(t *testing.T) {
			a := made.clone(t)
			for _, path := range []string{"ledger", "out", "state-a/registry.example_countersign_1.watermark"} {
				if kept != "" && path != kept {
					must(t, os.RemoveAll(a.path(path)))
				}
			}
			if kept != "" && kept != "tokens" {
				must(t, os.RemoveAll(a.path("tokens")))
				must(t, os.Mkdir(a.path("tokens"), 0o700))
			}
			before := a.inventory()
			out, status := a.run("ceremony", "create", "--config", a.path("ceremony.toml"))
			if status == 0 || !strings.Contains(out, "exists") {
				t.Errorf("status %d:\n%s", status, out)
			}
			if changed := difference(before, a.inventory()); len(changed) > 0 {
				t.Errorf("created or changed %v", changed)
			}
			if strings.Contains(out, strings.TrimSpace(a.read("pins/root.pin"))) {
				t.Error("a PIN was printed")
			}
		})
	}
	if len(made.inventory()) < 20 {
		t.Fatal("the ceremony made next to nothing")
	}
}
