package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The program verifies on machines where nothing else of ours is: it needs no device, no cgo and no daemon's code.
func TestImports(t *testing.T) {
	list := exec.Command("go", "list", "-deps", ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, forbidden := range []string{"runtime/cgo", "github.com/miekg/pkcs11"} {
		if slices.Contains(deps, forbidden) {
			t.Errorf("imports %s", forbidden)
		}
	}
	ours := []string{"countersign.dev/attest", "countersign.dev/cmd/countersign", "countersign.dev/ecosystem", "countersign.dev/ecosystem/lockfile", "countersign.dev/gate", "countersign.dev/policy", "countersign.dev/provenance", "countersign.dev/strict"}
	for _, dep := range deps {
		if strings.HasPrefix(dep, "countersign.dev/") && !slices.Contains(ours, dep) {
			t.Errorf("imports %s", dep)
		}
	}
}

func TestStaticBinary(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(must(os.ReadFile(filepath.Join(binaries, "countersign")))))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program wants the dynamic linker: %v", p.Type)
		}
	}
}
