package test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// A whole dependency tree, countersigned by a registry that has every package of it, and checked as a build would.

// tree is a registry for the packages of one lockfile.
type tree struct {
	*appliance
	project, lock string
	entries       []lockfile.Entry // those with digests
	pins          string
}

// plant makes the registry, and has every file that the lockfile names countersigned. The files themselves are not at
// hand: of digests that the lockfile does not have, sha256 is made up.
func plant(t testing.TB, project, lock string) *tree {
	t.Helper()
	f, err := lockfile.Read(filepath.Join(project, lock))
	must(t, err)
	tr := &tree{project: project, lock: lock}
	for _, e := range f.Entries {
		if e.Problem == "" {
			tr.entries = append(tr.entries, e)
		}
	}
	namespaces := prefixes(tr.entries)
	tr.appliance = newApplianceFor(t, namespaces, 1, "a")
	tr.enrol("everybody", namespaces...)
	tr.countersignAll()
	tr.pins = tr.write("consumer-pins.toml", strings.Replace(tr.read("out/pins.toml"), `default = "reject"`, `default = "report"`, 1))
	return tr
}

// prefixes are few namespaces that cover all entries: identities do not speak for whole ecosystems.
func prefixes(entries []lockfile.Entry) []string {
	set := make(map[string]bool)
	for _, e := range entries {
		c := e.Coordinate
		n := 1
		if strings.HasPrefix(c.Name(), "@") {
			n = 2
		}
		set["pkg:"+c.Type()+"/"+c.Name()[:n]+"*"] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func (tr *tree) countersignAll() {
	tr.t.Helper()
	var lines [][]byte
	seen := make(map[string]bool)
	for _, e := range tr.entries {
		for i, digests := range e.Files {
			if c := fileOf(tr.t, e.Coordinate, i); !seen[c.String()] {
				seen[c.String()] = true
				lines = append(lines, tr.publication(c, digests))
			}
		}
	}
	for batch := range slices.Chunk(lines, 1000) {
		status, answer := tr.post(context.Background(), "/countersignatures:batch", "application/x-ndjson", bytes.Join(batch, nil))
		if n := bytes.Count(answer, []byte(`"status":201`)); status != http.StatusOK || n != len(batch) {
			refused := slices.DeleteFunc(strings.Split(string(answer), "\n"), func(line string) bool { return strings.Contains(line, `"status":201`) })
			tr.t.Fatalf("%d of %d countersigned: %d %.900s", n, len(batch), status, strings.Join(refused, "\n"))
		}
	}
}

// fileOf is the coordinate of the i-th file that a lockfile accepts for an entry.
func fileOf(t testing.TB, c provenance.Coordinate, i int) provenance.Coordinate {
	t.Helper()
	if !c.Partial() {
		return c
	}
	name := fmt.Sprintf("%s-%s-%d-py3-none-any.whl", strings.ReplaceAll(c.Name(), "-", "_"), c.Version(), i)
	full, err := provenance.NewCoordinate("pypi", c.Name(), c.Version(), name)
	must(t, err)
	return full
}

func (tr *tree) publication(c provenance.Coordinate, digests provenance.Digests) []byte {
	tr.t.Helper()
	digests = maps.Clone(digests)
	if digests["sha256"] == "" {
		digests["sha256"] = digestsOf(c.String())["sha256"]
	}
	d := provenance.Draft{Registry: registry, Coordinate: c, FileName: "file", Digests: digests, SignedAt: time.Now()}
	if c.FileName() != "" && c.Type() == "pypi" {
		d.FileName = c.FileName()
	}
	p, err := d.Sign(tr.publisher)
	must(tr.t, err)
	observed, err := json.Marshal(digests, json.Deterministic(true))
	must(tr.t, err)
	return fmt.Appendf(nil, "{\"ref\":\"r\",\"publication\":%s,\"observed\":%s,\"size\":1}}\n", p.Envelope.JSON(), observed[:len(observed)-1])
}

// check runs the command in a project, with a cache.
func (tr *tree) check(cache string, env []string, args ...string) (string, int) {
	tr.t.Helper()
	cmd := tr.command("countersign", append([]string{"check", "--pins", tr.pins, "--cache", cache}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		tr.t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() != 0 {
		return out.String() + diagnostics.String(), cmd.ProcessState.ExitCode()
	}
	return out.String(), 0
}

// enforced checks the tree cold from the registry, warm without a network, on one core and on all; then with one digest
// changed, which must be found among all the others.
func (tr *tree) enforced() {
	tr.t.Helper()
	cache := tr.t.TempDir()
	path := filepath.Join(tr.project, tr.lock)
	start := time.Now()
	if out, status := tr.check(cache, nil, "--from", tr.public, path); status != 0 {
		tr.t.Fatalf("cold: status %d\n%.4000s", status, out)
	}
	cold := time.Since(start)
	start = time.Now()
	all, status := tr.check(cache, nil, "--offline", "--json", path)
	warm := time.Since(start)
	one, _ := tr.check(cache, []string{"GOMAXPROCS=1"}, "--offline", "--json", path)
	if status != 0 || all != one {
		tr.t.Errorf("warm: status %d; %d bytes on all cores, %d on one\n%.2000s", status, len(all), len(one), all)
	}
	tr.t.Logf("%s: %d entries, cold %s, warm %s", tr.lock, len(tr.entries), cold.Round(time.Millisecond), warm.Round(time.Millisecond))

	victim := tr.entries[len(tr.entries)/2]
	out, status := tr.check(cache, nil, "--offline", "--json", filepath.Join(tr.withOtherDigest(victim), tr.lock))
	if n := strings.Count(out, "artifact-digest-mismatch"); status != 1 || n == 0 || !strings.Contains(out, victim.Coordinate.String()) {
		tr.t.Errorf("one digest changed: status %d, %d mismatches\n%.3000s", status, n, out)
	}
}

// withOtherDigest copies the project, with another digest for one entry.
func (tr *tree) withOtherDigest(e lockfile.Entry) (folder string) {
	tr.t.Helper()
	folder = tr.t.TempDir()
	files, err := os.ReadDir(tr.project)
	must(tr.t, err)
	changed := 0
	for _, f := range files {
		if !f.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(tr.project, f.Name()))
		must(tr.t, err)
		for _, digest := range e.Files[0] {
			raw, err := hex.DecodeString(digest)
			must(tr.t, err)
			for _, text := range []string{digest, base64.StdEncoding.EncodeToString(raw)} {
				changed += bytes.Count(data, []byte(text))
				data = bytes.ReplaceAll(data, []byte(text), []byte(otherFirst(text)))
			}
		}
		must(tr.t, os.WriteFile(filepath.Join(folder, f.Name()), data, 0o600))
	}
	if changed == 0 {
		tr.t.Fatalf("no digest of %s is in %s", e.Name, tr.project)
	}
	return folder
}

// otherFirst changes the first digit, to one that hexadecimal and base64 have.
func otherFirst(digest string) string {
	if digest[0] == 'a' {
		return "b" + digest[1:]
	}
	return "a" + digest[1:]
}

// A lockfile as npm writes it, of packages that do not exist.
func TestTree(t *testing.T) {
	project := t.TempDir()
	var b strings.Builder
	b.WriteString("{\n  \"name\": \"app\",\n  \"version\": \"1.0.0\",\n  \"lockfileVersion\": 3,\n  \"requires\": true,\n  \"packages\": {\n    \"\": {\"name\": \"app\", \"version\": \"1.0.0\"}")
	for i := range 3000 {
		name := fmt.Sprintf("%c-package-%d", 'a'+i%26, i)
		if i%3 == 0 {
			name = fmt.Sprintf("@%c-scope/package-%d", 'a'+i%7, i)
		}
		fmt.Fprintf(&b, ",\n    \"node_modules/%s\": {\n      \"version\": \"%d.%d.0\",\n      \"resolved\": \"https://npm.example/%s/-/file.tgz\",\n      \"integrity\": %q\n    }",
			name, i%5, i, name, integrity([]byte(name)))
	}
	b.WriteString("\n  }\n}\n")
	must(t, os.WriteFile(filepath.Join(project, "package-lock.json"), []byte(b.String()), 0o600))
	plant(t, project, "package-lock.json").enforced()
}
