package test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Dependency confusion as it happens: Acme keeps a package in a registry of its own, a stranger puts a higher version under
// the same name on the public side, a build's configuration lacks one line, and the ordinary client, run for real, locks the
// stranger's. What the client wrote is then checked as a build would.

// shop is Acme's registry and the public one, both on loopback; in each, files by path as the ecosystem's client asks.
type shop struct {
	*appliance
	acme, public shelf
	acmeURL      string
	publicURL    string
	pins         string
}

type shelf map[string][]byte

func (s shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, ok := s[r.URL.EscapedPath()]
	if !ok {
		data, ok = s[r.URL.Path]
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/"):
		w.Header().Set("Content-Type", "text/html")
	case strings.HasPrefix(string(data), "{"):
		w.Header().Set("Content-Type", "application/json")
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	w.Write(data)
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{appliance: newAppliance(t, 1, "a"), acme: make(shelf), public: make(shelf)}
	s.enrol("acme", "pkg:npm/@acme/*", "pkg:pypi/acme-*", "pkg:golang/example.com/*")
	for _, side := range []struct {
		shelf shelf
		url   *string
	}{{s.acme, &s.acmeURL}, {s.public, &s.publicURL}} {
		server := httptest.NewServer(side.shelf)
		t.Cleanup(server.Close)
		*side.url = server.URL
	}
	s.pins = s.write("consumer/pins.toml", strings.Replace(s.read("out/pins.toml"), `default = "reject"`, `default = "report"`, 1))
	return s
}

// countersigned signs a file as Acme's publisher and has it countersigned; the bundle lies beside it.
func (s *shop) countersigned(path string) {
	s.t.Helper()
	s.mustRun("countersign", "sign", "--key", s.path("acme.key"), "--registry", registry, "--ai", "none", path)
	s.mustRun("countersign", "submit", "--server", s.url, "--registry", registry, "--ca", s.path("server.crt"),
		"--cert", s.path("client.crt"), "--key", s.path("client.key"), path)
}

// client runs an ecosystem's own client in a folder; what it keeps lies there too.
func (s *shop) client(folder string, env []string, name string, args ...string) {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Fatalf("%v: run make deps", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = folder
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.path("home"), "LANG=C.UTF-8"}, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// check gives what countersign check says of a project.
func (s *shop) check(folder string, args ...string) (output string, status int) {
	s.t.Helper()
	return s.run("countersign", append([]string{"check", "--pins", s.pins, "--from", s.appliance.public, "--cache", s.t.TempDir(), folder}, args...)...)
}

func (s *shop) passes(folder string, args ...string) {
	s.t.Helper()
	if out, status := s.check(folder, args...); status != 0 {
		s.t.Errorf("%s: status %d\n%s", folder, status, out)
	}
}

// refuses wants a refusal that says all that a person needs.
func (s *shop) refusesProject(folder string, words ...string) {
	s.t.Helper()
	out, status := s.check(folder)
	if status != 1 {
		s.t.Errorf("%s: status %d\n%s", folder, status, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			s.t.Errorf("%s: %q is not in\n%s", folder, w, out)
		}
	}
}

// project makes a folder with files.
func (s *shop) project(name string, files map[string]string) string {
	s.t.Helper()
	for file, text := range files {
		s.write(filepath.Join("consumer", name, file), text)
	}
	return s.path("consumer", name)
}

func (s *shop) locked(folder, file, want string) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, file))
	must(s.t, err)
	if !strings.Contains(string(data), want) {
		s.t.Fatalf("the client did not do what this test is about: %q is not in %s\n%s", want, file, data)
	}
}

func (s *shop) artifact(data []byte, name string) string {
	s.t.Helper()
	if len(data) == 0 {
		s.t.Fatalf("%s is empty", name)
	}
	must(s.t, os.WriteFile(s.path(name), data, 0o600))
	return s.path(name)
}

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
