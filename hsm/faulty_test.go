package hsm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
)

// faultyModule is SoftHSM behind testdata/faulty.c. It is built once for a
// process, because a loaded module stays loaded.
type faultyModule struct {
	t     *testing.T
	path  string
	calls string // file
}

func newFaultyModule(t *testing.T) faultyModule {
	t.Helper()
	m := faultyModule{t, filepath.Join(t.TempDir(), "faulty.so"), filepath.Join(t.TempDir(), "calls")}
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatal(err)
	}
	cc := exec.Command("cc", "-shared", "-fPIC", "-Wall", "-Werror", "-I", strings.TrimSpace(string(headers)),
		"-DSOFTHSM=\""+softhsm.Module+"\"", "-o", m.path, "testdata/faulty.c", "-ldl")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	t.Setenv("HSM_CALLS", m.calls)
	t.Setenv("HSM_FAULT", "")
	return m
}

func (m faultyModule) fault(name string) {
	if err := os.Setenv("HSM_FAULT", name); err != nil {
		m.t.Fatal(err)
	}
}

// over gives the key by way of the faulty module.
func (m faultyModule) over(key hsm.GeneratedKey) hsm.Config {
	key.URI.ModulePath = m.path
	return hsm.Config{URI: key.URI, PublicKey: key.PublicKey}
}

// count says how often the module was called for something.
func (m faultyModule) count(call string) int {
	return len(m.list(call))
}

// list gives what follows the name on each of a call's lines.
func (m faultyModule) list(call string) []string {
	m.t.Helper()
	b, err := os.ReadFile(m.calls)
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == call {
			found = append(found, rest)
		}
	}
	return found
}
