package remote

import (
	_ "embed"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed testdata/client.c
var clientSource string

// clientModule builds testdata/client.c over p11-kit-client.so.
func clientModule(t testing.TB) string {
	t.Helper()
	// Where Debian's package p11-kit-modules has it depends on the architecture.
	found, err := filepath.Glob("/usr/lib/*/pkcs11/p11-kit-client.so")
	if err != nil || len(found) == 0 {
		t.Fatal("p11-kit-client.so is not installed: run make deps")
	}
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	path := filepath.Join(t.TempDir(), "client.so")
	cc := exec.Command("cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I", strings.TrimSpace(string(headers)),
		"-DCLIENT=\""+found[0]+"\"", "-o", path, "-x", "c", "-")
	cc.Stdin = strings.NewReader(clientSource)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: run make deps\n%s", err, out)
	}
	return path
}
