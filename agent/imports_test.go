package agent_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The agent is read and trusted by itself: of our packages it needs the strict decoder only, and no cgo.
func TestImports(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range strings.Fields(string(out)) {
		ours := strings.HasPrefix(name, "countersign.dev/") && name != "countersign.dev/agent" && name != "countersign.dev/strict"
		if ours || name == "runtime/cgo" || strings.Contains(name, "pkcs11") {
			t.Errorf("agent depends on %s", name)
		}
	}
}
