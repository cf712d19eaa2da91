package hsm_test

import (
	"crypto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
)

const newConfig = "../softhsm-config/new.sh"

func TestNewConfig(t *testing.T) {
	softhsm.New(t) // restores SOFTHSM2_CONF afterwards
	dir := filepath.Join(t.TempDir(), "agent a", "with blanks")
	out, err := exec.Command(newConfig, dir).Output()
	must(t, err)
	if want := "SOFTHSM2_CONF=" + dir + "/softhsm2.conf\n"; string(out) != want {
		t.Fatalf("prints %q, want %q", out, want)
	}
	name, value, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	must(t, os.Setenv(name, value))

	pin := pinFile(t, "1234")
	serial, err := hsm.InitToken(t.Context(), softhsm.Module, "registry", pin, pin)
	must(t, err)
	generated, err := hsm.GenerateKey(t.Context(), hsm.URI{Token: "registry", Serial: serial, Object: "log-1",
		ModulePath: softhsm.Module, PINFile: pin}, hsm.KeyOptions{})
	must(t, err)
	key, err := hsm.Open(t.Context(), configOf(generated))
	must(t, err)
	_, err = key.Sign(nil, []byte("m"), crypto.Hash(0))
	must(t, err)
	must(t, key.Close())

	info, err := os.Stat(filepath.Join(dir, "tokens"))
	must(t, err)
	made, err := os.ReadDir(filepath.Join(dir, "tokens"))
	must(t, err)
	if info.Mode().Perm() != 0o700 || len(made) != 1 {
		t.Errorf("token directory: mode %v, %d tokens", info.Mode(), len(made))
	}
}

func TestNewConfigRefuses(t *testing.T) {
	used := t.TempDir()
	must(t, exec.Command(newConfig, used).Run())
	fresh := t.TempDir()
	for name, arguments := range map[string][]string{
		"a used directory": {used},
		"no directory":     {},
		"an empty name":    {""},
		"two directories":  {fresh + "/a", fresh + "/b"},
		"a comment sign":   {fresh + "/a#b"},
		"an equals sign":   {fresh + "/a=b"},
		"a quote":          {fresh + "/a'b"},
		"a newline":        {fresh + "/a\nb"},
	} {
		out, err := exec.Command(newConfig, arguments...).Output()
		if err == nil || len(out) != 0 {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	if left, err := os.ReadDir(fresh); err != nil || len(left) != 0 {
		t.Errorf("refused calls left %v, %v", left, err)
	}
}
