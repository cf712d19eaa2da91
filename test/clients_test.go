//go:build clients

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// Real trees: what the ordinary clients resolve today from manifests of popular packages. It takes the network and minutes
// (make clients); nothing of what they fetch is kept.

// resolve runs a client in a new folder with the files of a manifest, and gives the folder.
func resolve(t *testing.T, files map[string]string, command ...string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%.3000s", strings.Join(command, " "), err, out[max(0, len(out)-3000):])
	}
	return folder
}

// popular is a package.json of frameworks and tools with thousands of dependencies between them.
const popular = `{"name": "app", "version": "1.0.0", "private": true, "dependencies": {"express": "4", "next": "14", "webpack": "5", "eslint": "8", "jest": "29",
"typescript": "5", "@babel/preset-env": "7", "gatsby": "5", "firebase": "10", "aws-sdk": "2", "@angular/cli": "17", "nuxt": "3", "@nestjs/cli": "10",
"electron-builder": "24", "serverless": "3", "lerna": "8"}}`

// modest has hundreds: yarn 1 installs what it locks, and yarn 4 wants the newest of everything.
const modest = `{"name": "app", "version": "1.0.0", "private": true, "license": "none", "dependencies": {"express": "4", "webpack": "5", "eslint": "8", "jest": "29",
"@babel/preset-env": "7"}}`

// settled is old enough for every mirror to have it.
const settled = "--before=2026-09-01"

func TestClientNPM(t *testing.T) {
	folder := resolve(t, map[string]string{"package.json": popular}, "npm", "install", "--package-lock-only", settled, "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps")
	tr := plant(t, folder, "package-lock.json")
	tr.atLeast(2000)
	tr.enforced()
}

func TestClientPNPM(t *testing.T) {
	folder := resolve(t, map[string]string{"package.json": popular}, "npm", "exec", "--yes", settled, "pnpm@9", "--", "install", "--lockfile-only", "--ignore-scripts", "--no-strict-peer-dependencies")
	tr := plant(t, folder, "pnpm-lock.yaml")
	tr.atLeast(2000)
	tr.enforced()
}

func TestClientYarn(t *testing.T) {
	folder := resolve(t, map[string]string{"package.json": modest}, "npm", "exec", "--yes", settled, "yarn@1", "--", "install", "--ignore-scripts", "--non-interactive", "--ignore-engines")
	tr := plant(t, folder, "yarn.lock")
	tr.atLeast(500)
	tr.enforced()
}

// Berry's checksums are of archives that it makes itself: every entry says that it cannot be checked.
func TestClientBerry(t *testing.T) {
	folder := resolve(t, map[string]string{"package.json": modest, "yarn.lock": "", ".yarnrc.yml": "enableTelemetry: false\nnpmMinimalAgeGate: 90d\n"},
		"npm", "exec", "--yes", settled, "--package=@yarnpkg/cli-dist@4.12.0", "--", "yarn", "install", "--mode=update-lockfile")
	f, err := lockfile.Read(filepath.Join(folder, "yarn.lock"))
	must(t, err)
	for _, e := range f.Entries {
		if e.Problem == "" {
			t.Errorf("%s has a digest", e.Name)
		}
	}
	if len(f.Entries) < 500 {
		t.Errorf("%d entries", len(f.Entries))
	}
}

func TestClientGo(t *testing.T) {
	folder := resolve(t, map[string]string{"go.mod": popularModules, "main.go": popularImports}, "go", "mod", "tidy", "-e")
	tr := plant(t, folder, "go.mod")
	tr.atLeast(500)
	tr.enforced()
}

func (tr *tree) atLeast(n int) {
	tr.t.Helper()
	if len(tr.entries) < n {
		tr.t.Errorf("%s: %d entries with digests, %d wanted", tr.lock, len(tr.entries), n)
	}
}
