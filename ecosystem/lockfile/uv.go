package lockfile

import (
	"errors"
	"fmt"
	"strings"
)

// uvLock reads what uv writes (docs.astral.sh/uv, lockfile). Each package says its source, and has at most one sdist
// and a list of wheels.
var uvLock = format{
	name:      "uv.lock",
	ecosystem: "pypi",
	match:     called("uv.lock"),
	read:      readUV,
}

func readUV(s *source) (list, error) {
	f, err := parseTOML(s.text)
	if err != nil {
		return list{}, err
	}
	switch version := f.table["version"].(type) {
	case nil:
		return list{}, errVersion("", "1")
	case int64:
		if version == 1 {
			break
		}
		return list{}, errVersion(fmt.Sprint(version), "1")
	default:
		return list{}, errors.New("version is not a number")
	}
	if f.table["distribution"] != nil {
		return list{}, errors.New("it has [[distribution]], which is an old name of [[package]]: let uv write it again")
	}
	return readPackages(f, "package", "v1", (*Entry).uvFiles, (*Entry).uvSource)
}

// uvSource reads where a package comes from. The project itself, which does not come from anywhere, loses its name.
func (e *Entry) uvSource(p table) error {
	source, err := p.under("source")
	if err != nil {
		return err
	}
	for key, problem := range map[string]Problem{
		"registry": "", "git": FromGit, "url": FromURL, "path": FromPath, "directory": FromPath, "editable": FromPath, "virtual": FromPath,
	} {
		place, err := source.text(key)
		switch {
		case err != nil:
			return err
		case place == "":
			continue
		case len(source) > 1 && (key != "url" && key != "git" || source["subdirectory"] == nil || len(source) > 2):
			return fmt.Errorf("source %q is not alone", key)
		case place == "." && (key == "editable" || key == "virtual"):
			e.Name = ""
			return nil
		}
		e.Source = place
		if key == "registry" && (strings.HasPrefix(place, "file:") || !strings.Contains(place, ":")) {
			problem = FromPath
		}
		if problem != "" {
			e.problem(problem, "it comes from %s", place)
		}
	}
	if e.Source == "" {
		e.problem(NotLocked, "the lockfile does not say where it comes from")
	}
	return nil
}

func (e *Entry) uvFiles(p table) error {
	sdist, err := p.under("sdist")
	if err != nil {
		return err
	}
	files, err := p.tables("wheels")
	if err != nil {
		return err
	}
	if sdist != nil {
		files = append(files, sdist)
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
