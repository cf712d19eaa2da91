package lockfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// project makes files, and the folders they are in.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	want := []string{
		"a/npm-shrinkwrap.json", "a/package-lock.json", "linked.d/uv.lock", "more/dev-requirements.txt", "more/pylock.dev.toml",
		"more/requirements-dev.txt", "package-lock.json", "pnpm-lock.yaml", "poetry.lock", "pylock.toml", "requirements.txt", "yarn.lock",
	}
	files := map[string]string{}
	for _, name := range want {
		files[name] = ""
	}
	for _, name := range []string{
		"node_modules/x/package-lock.json", "a/node_modules/yarn.lock", ".git/yarn.lock", "vendor/poetry.lock", "target/uv.lock",
		".venv/lib/requirements.txt", "package.json", "requirements.in", "pylock.a.b", "package-lock.json.bak", "real/uv.lock.d/x",
	} {
		files[name] = ""
	}
	dir := project(t, files)
	link(t, filepath.Join(dir, "linked.d"), filepath.Join(dir, "folder-link"))
	link(t, filepath.Join(dir, "linked.d", "uv.lock"), filepath.Join(dir, "uv.lock"))
	link(t, filepath.Join(dir, "nowhere"), filepath.Join(dir, "a", "yarn.lock"))
	if err := os.Mkdir(filepath.Join(dir, "real", "yarn.lock"), 0o755); err != nil {
		t.Fatal(err)
	}
	want = append(want, "uv.lock", "a/yarn.lock") // links to files; the broken one is for Read to refuse
	slices.Sort(want)
	found, err := lockfile.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i], _ = filepath.Rel(dir, found[i])
		found[i] = filepath.ToSlash(found[i])
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %q\nwant  %q", found, want)
	}
	if _, err := lockfile.Read(filepath.Join(dir, "a", "yarn.lock")); err == nil {
		t.Error("a broken link is read")
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestFindIsBounded(t *testing.T) {
	deep := project(t, map[string]string{strings.Repeat("d/", 14) + "uv.lock": ""})
	if _, err := lockfile.Find(deep); err == nil || !strings.Contains(err.Error(), "folders deep") {
		t.Errorf("too deep: %v", err)
	}
	many := t.TempDir()
	for i := range 1001 {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("pylock.%d.toml", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lockfile.Find(many); err == nil || !strings.Contains(err.Error(), "1000 lockfiles") {
		t.Errorf("too many: %v", err)
	}
	if _, err := lockfile.Find(filepath.Join(many, "missing")); err == nil {
		t.Error("a missing folder is searched")
	}
}

func TestReadRefusesFiles(t *testing.T) {
	big := strings.Repeat(" ", 64<<20+1)
	dir := project(t, map[string]string{
		"package.json": "{}", "package-lock.json": big, "sub/requirements.txt": "-r ../outside.txt\n", "outside.txt": "evil==1.0\n",
		"abs/requirements.txt": "-r /etc/hostname\n", "linked/requirements.txt": "-r link.txt\n", "folder/requirements.txt": "-r x\n",
		"folder/x/y": "", "many/requirements.txt": strings.Repeat("-r a/../a/0.txt\n", 2) + includes(60),
	})
	link(t, filepath.Join(dir, "outside.txt"), filepath.Join(dir, "linked", "link.txt"))
	for i := range 60 {
		if err := os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("%d.txt", i)), []byte("a\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "many", "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "many", "a", "0.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "uv.lock"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "yarn.lock"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"package.json":            "not a lockfile by its name, want package-lock.json",
		"package-lock.json":       "larger than 64 MiB",
		"poetry.lock":             "no such file",
		"uv.lock":                 "not a regular file",
		"yarn.lock":               "not a regular file",
		"sub/requirements.txt":    "escapes",
		"abs/requirements.txt":    "only files are followed",
		"linked/requirements.txt": "escapes",
		"folder/requirements.txt": "not a regular file",
		"many/requirements.txt":   "more than 50 files",
	} {
		_, err := lockfile.Read(filepath.Join(dir, filepath.FromSlash(name)))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v\nwant an error with %q", name, err, says)
		}
	}
}

func includes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "-r %d.txt\n", i)
	}
	return b.String()
}
