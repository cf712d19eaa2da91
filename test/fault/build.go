package fault

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

//go:embed testdata/*.c testdata/*.h
var source embed.FS

// built is the module, compiled once for the process, and the functions in
// their order.
var built = sync.OnceValues(func() (library, error) { return build("-O2") })

type library struct {
	file      []byte
	functions []string
}

func build(flags ...string) (library, error) {
	headers, err := headerDir()
	if err != nil {
		return library{}, err
	}
	names, err := functionNames(filepath.Join(headers, "pkcs11f.h"))
	if err != nil {
		return library{}, err
	}
	dir, err := os.MkdirTemp("", "fault")
	if err != nil {
		return library{}, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, source); err != nil {
		return library{}, err
	}
	args := append([]string{"-shared", "-fPIC", "-fvisibility=hidden", "-o", "module.so", "testdata/module.c", "testdata/functions.c"}, flags...)
	if err := compile(dir, headers, args...); err != nil {
		return library{}, err
	}
	file, err := os.ReadFile(filepath.Join(dir, "module.so"))
	return library{file, names}, err
}

// compile runs the C compiler in dir.
func compile(dir, headers string, args ...string) error {
	cc := exec.Command("cc", append([]string{"-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", headers}, args...)...)
	cc.Dir = dir
	out, err := cc.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: run make deps", err)
	}
	if err != nil {
		return fmt.Errorf("cc: %w\n%s", err, out)
	}
	return nil
}

// headerDir is where the PKCS#11 headers of the Go binding are.
func headerDir() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

var functionInfo = regexp.MustCompile(`(?m)^CK_PKCS11_FUNCTION_INFO\((\w+)\)`)

// functionNames lists the functions as a CK_FUNCTION_LIST has them.
func functionNames(header string) (names []string, err error) {
	text, err := os.ReadFile(header)
	if err != nil {
		return nil, err
	}
	for _, m := range functionInfo.FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	if len(names) != functions {
		return nil, fmt.Errorf("%s has %d functions, not %d", header, len(names), functions)
	}
	return names, nil
}
