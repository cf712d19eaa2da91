package lockfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// foreign are the folders that hold other people's packages, or what was built.
var foreign = []string{
	".git", ".hg", ".svn", "node_modules", "bower_components", "vendor", "target", "_build",
	".venv", "venv", ".tox", ".nox", "site-packages", "__pycache__", ".yarn", ".pnpm-store", ".gradle",
}

// unread are lockfiles of the ecosystems here in formats that nothing here reads, by the program that writes them. They
// are found, so that whoever goes by them is told, and Read refuses them.
var unread = map[string]string{"bun.lock": "bun", "bun.lockb": "bun", "deno.lock": "deno", "Pipfile.lock": "pipenv", "pdm.lock": "pdm"}

// Find returns the lockfiles of the project in a folder, sorted, by their names. It does not look into folders of
// installed packages, nor behind links to folders.
func Find(dir string) ([]string, error) {
	var found []string
	items := 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if items++; items > maxFolderItems {
			return fmt.Errorf("%s has more than %d files: name its lockfiles", dir, maxFolderItems)
		}
		if d.IsDir() {
			return enter(dir, file, d)
		}
		if f := formatOf(d.Name()); (f == nil || f.named) && unread[d.Name()] == "" || !regular(file, d) {
			return nil
		}
		if found = append(found, file); len(found) > maxFound {
			return fmt.Errorf("%s has more than %d lockfiles: name those to read", dir, maxFound)
		}
		return nil
	})
	slices.Sort(found)
	return found, err
}

// enter decides whether to look into a folder.
func enter(top, dir string, d fs.DirEntry) error {
	if dir == top {
		return nil
	}
	if slices.Contains(foreign, d.Name()) {
		return filepath.SkipDir
	}
	if below, err := filepath.Rel(top, dir); err != nil || strings.Count(below, string(filepath.Separator)) >= maxFolderDepth {
		return fmt.Errorf("%s is more than %d folders deep: name its lockfiles", dir, maxFolderDepth)
	}
	return nil
}

// regular reports whether it is a file, or a link to one.
func regular(file string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := os.Stat(file)
	return err != nil || info.Mode().IsRegular() // a broken link: Read says so
}
