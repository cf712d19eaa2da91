package test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gomodule "golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// go asks the proxies in their order, and the first that has the module decides what is the latest.
func TestConfusionGo(t *testing.T) {
	s := openShop(t)
	const path = "example.com/widget"
	s.golang(s.acme, path, map[string]string{"v1.0.0": "ours", "v1.1.0": "ours"})
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		must(t, os.MkdirAll(s.path("zips", version), 0o700))
		s.countersigned(s.artifact(s.acme["/"+path+"/@v/"+version+".zip"], filepath.Join("zips", version, version+".zip")))
	}
	s.golang(s.public, path, map[string]string{"v1.99.0": "theirs"})
	get := func(name string, proxies ...string) string {
		folder := s.project(name, map[string]string{"go.mod": "module app\n\ngo 1.24\n", "main.go": "package main\n\nimport _ \"" + path + "\"\n\nfunc main() {}\n"})
		s.client(folder, []string{"GOPROXY=" + strings.Join(proxies, ","), "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOPATH=" + t.TempDir(),
			"GOCACHE=" + t.TempDir()}, "go", "get", path+"@latest")
		return folder
	}
	honest := get("go-honest", s.acmeURL)
	s.locked(honest, "go.sum", path+" v1.1.0 h1:")
	s.passes(honest)
	attacked := get("go-attacked", s.publicURL, s.acmeURL)
	s.locked(attacked, "go.sum", path+" v1.99.0 h1:")
	s.refusesProject(attacked, "not-countersigned", "confusion", path, "v1.99.0")
}

func (s *shop) golang(on shelf, path string, versions map[string]string) {
	list := strings.Join(slices.Sorted(maps.Keys(versions)), "\n") + "\n"
	on["/"+path+"/@v/list"] = []byte(list)
	for version, content := range versions {
		source := s.t.TempDir()
		mod := "module " + path + "\n\ngo 1.24\n"
		must(s.t, os.WriteFile(filepath.Join(source, "go.mod"), []byte(mod), 0o600))
		must(s.t, os.WriteFile(filepath.Join(source, "widget.go"), []byte("// Package widget is "+content+".\npackage widget\n"), 0o600))
		var b bytes.Buffer
		must(s.t, modzip.CreateFromDir(&b, gomodule.Version{Path: path, Version: version}, source))
		on["/"+path+"/@v/"+version+".zip"] = b.Bytes()
		on["/"+path+"/@v/"+version+".mod"] = []byte(mod)
		on["/"+path+"/@v/"+version+".info"] = []byte(fmt.Sprintf(`{"Version": %q, "Time": "2026-01-01T00:00:00Z"}`, version))
	}
}
