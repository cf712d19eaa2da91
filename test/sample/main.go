// Command sample makes three small packages for the demo where none can be downloaded: sample DIR.
package main

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sample DIR")
		os.Exit(2)
	}
	dir := os.Args[1]
	for _, make := range []func() error{
		func() error { return npm(dir, "left", "1.3.0") },
		func() error { return npm(dir, "right", "2.1.0") },
		func() error { return golang(dir, "demo.example/hello", "v1.6.0") },
	} {
		if err := make(); err != nil {
			fmt.Fprintln(os.Stderr, "sample:", err)
			os.Exit(1)
		}
	}
}

// npm writes what npm pack would for @demo/name.
func npm(dir, name, version string) error {
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("demo-%s-%s.tgz", name, version)))
	if err != nil {
		return err
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	t := tar.NewWriter(z)
	for path, text := range map[string]string{
		"package/package.json": fmt.Sprintf("{\"name\": \"@demo/%s\", \"version\": %q, \"main\": \"index.js\"}\n", name, version),
		"package/index.js":     fmt.Sprintf("module.exports = %q\n", name),
	} {
		if err := t.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := t.Write([]byte(text)); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

// golang writes the module zip that a Go proxy would serve.
func golang(dir, path, version string) error {
	source, err := os.MkdirTemp("", "sample")
	if err != nil {
		return err
	}
	defer os.RemoveAll(source)
	for name, text := range map[string]string{"go.mod": "module " + path + "\n", "hello.go": "// Package hello greets.\npackage hello\n"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, version+".zip"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := zip.CreateFromDir(f, module.Version{Path: path, Version: version}, source); err != nil {
		return err
	}
	return f.Close()
}
