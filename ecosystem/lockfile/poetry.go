package lockfile

import (
	"fmt"
	"slices"
	"strings"
)

// poetryLock reads what Poetry writes. Before lock-version 2.0 the files of all packages are in one table at the end;
// since, each package has its own.
var poetryLock = format{
	name:      "poetry.lock",
	ecosystem: "pypi",
	match:     called("poetry.lock"),
	read:      readPoetry,
}

func readPoetry(s *source) (list, error) {
	f, err := parseTOML(s.text)
	if err != nil {
		return list{}, err
	}
	metadata, err := f.under("metadata")
	if err != nil {
		return list{}, err
	}
	version, err := metadata.text("lock-version")
	if err != nil {
		return list{}, err
	}
	if !slices.Contains([]string{"1.0", "1.1", "2.0", "2.1"}, version) {
		return list{}, errVersion(version, "1.0, 1.1, 2.0 and 2.1")
	}
	files, err := metadata.under("files")
	if err != nil {
		return list{}, err
	}
	return readPackages(f, "package", "v"+version, func(e *Entry, p table) error {
		if version < "2" {
			p = table{"files": files[e.Name]}
		}
		return e.poetry(p)
	}, (*Entry).poetrySource)
}

// readPackages reads the packages of a TOML lockfile: their names and versions, then where they come from, then what
// is particular to the format.
func readPackages(f *tomlFile, key, version string, files, from func(*Entry, table) error) (list, error) {
	l := list{version: version}
	packages, err := f.items(key)
	if err != nil {
		return l, err
	}
	for _, p := range packages {
		name, err := p.text("name")
		if err == nil && name == "" {
			err = fmt.Errorf("a %s without a name", key)
		}
		e := Entry{Name: name, Line: p.line}
		for _, step := range []func(*Entry, table) error{from, (*Entry).pythonVersion, files} {
			if err == nil {
				err = step(&e, p.table)
			}
		}
		if err == nil && e.Name != "" {
			err = l.add(e)
		}
		if err != nil {
			return l, fmt.Errorf("line %d: %.100q: %v", p.line, name, err)
		}
	}
	return l, nil
}

func (e *Entry) pythonVersion(p table) error {
	version, err := p.text("version")
	if err == nil && e.Name != "" {
		e.is("pypi", e.Name, version)
	}
	return err
}

// poetrySource reads where a package comes from: the default index if it says nothing.
func (e *Entry) poetrySource(p table) error {
	source, err := p.under("source")
	if err != nil || source == nil {
		return err
	}
	kind, err := source.text("type")
	if err != nil {
		return err
	}
	if e.Source, err = source.text("url"); err != nil {
		return err
	}
	switch kind {
	case "legacy": // an index
	case "git":
		e.problem(FromGit, "it comes from %s", e.Source)
	case "directory", "file":
		e.problem(FromPath, "it comes from %s", e.Source)
	default:
		e.problem(FromURL, "it comes from %s", e.Source)
	}
	return nil
}

// poetry reads the files of a package, with hashes such as sha256:….
func (e *Entry) poetry(p table) error {
	files, err := p.tables("files")
	if err != nil {
		return err
	}
	for _, file := range files {
		hash, err := file.text("hash")
		if err != nil {
			return err
		}
		if err := e.acceptHash(hash); err != nil {
			return err
		}
	}
	return nil
}

// acceptHash adds a file by its algorithm:hex.
func (e *Entry) acceptHash(text string) error {
	if text == "" {
		e.problem(NoDigest, "one of its files has no hash")
		return nil
	}
	algorithm, value, ok := strings.Cut(text, ":")
	if !ok {
		return fmt.Errorf("hash %.100q is not algorithm:hex", text)
	}
	d, err := fromHex(algorithm, value)
	if err != nil {
		return err
	}
	e.accept(d)
	return nil
}
