package lockfile

import (
	"fmt"
	"maps"
	"slices"
)

// pylock reads PEP 751 lock files, which any Python tool may write: each package has one kind of source, and files with
// tables of hashes.
var pylock = format{
	name:      "pylock.toml",
	ecosystem: "pypi",
	match:     called("pylock.toml", "pylock.*.toml"),
	read:      readPylock,
}

func readPylock(s *source) (list, error) {
	f, err := parseTOML(s.text)
	if err != nil {
		return list{}, err
	}
	version, err := f.text("lock-version")
	if err != nil {
		return list{}, err
	}
	if version != "1.0" {
		return list{}, errVersion(version, "1.0")
	}
	return readPackages(f, "packages", "v1.0", (*Entry).pylockFiles, (*Entry).pylockSource)
}

// pylockSource reads where a package comes from. "vcs", "directory" and "archive" exclude each other and the files of
// an index (PEP 751, packages).
func (e *Entry) pylockSource(p table) error {
	index, err := p.text("index")
	if err != nil {
		return err
	}
	e.Source = index
	for key, problem := range map[string]Problem{"vcs": FromGit, "directory": FromPath, "archive": FromURL} {
		source, err := p.under(key)
		if err != nil {
			return err
		}
		if source == nil {
			continue
		}
		for _, other := range []string{"vcs", "directory", "archive", "sdist", "wheels"} {
			if p[other] != nil && other != key {
				return fmt.Errorf("it has both %s and %s", key, other)
			}
		}
		place, err := source.text("url")
		if err != nil {
			return err
		}
		if place == "" {
			if place, err = source.text("path"); err != nil {
				return err
			}
			if key == "archive" {
				problem = FromPath
			}
		}
		e.Source = place
		e.problem(problem, "it comes from %s", place)
	}
	return nil
}

func (e *Entry) pylockFiles(p table) error {
	files, err := p.tables("wheels")
	if err != nil {
		return err
	}
	for _, key := range []string{"sdist", "archive"} {
		file, err := p.under(key)
		if err != nil {
			return err
		}
		if file != nil {
			files = append(files, file)
		}
	}
	for _, file := range files {
		if err := e.pylockFile(file); err != nil {
			return err
		}
	}
	return nil
}

// pylockFile adds one file. It may have several digests, and be beside the lockfile: then it is no package of an index.
func (e *Entry) pylockFile(file table) error {
	path, err := file.text("path")
	if err != nil {
		return err
	}
	if url, err := file.text("url"); err != nil {
		return err
	} else if path != "" && url == "" {
		e.problem(FromPath, "it comes from %s", path)
	}
	hashes, err := file.under("hashes")
	if err != nil {
		return err
	}
	var digests []digest
	for _, algorithm := range slices.Sorted(maps.Keys(hashes)) {
		value, err := hashes.text(algorithm)
		if err != nil {
			return err
		}
		d, err := fromHex(algorithm, value)
		if err != nil {
			return err
		}
		digests = append(digests, d)
	}
	if len(digests) == 0 {
		e.problem(NoDigest, "one of its files has no hash")
		return nil
	}
	e.accept(digests...)
	return nil
}
