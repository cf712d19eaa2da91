package lockfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"countersign.dev/provenance"
)

// pnpmLock reads what pnpm writes (github.com/pnpm/spec, lockfile). Keys of "packages" changed with its versions:
// /name/1.0.0_peers in 5, /name@1.0.0(peers) in 6, name@1.0.0 in 9. What did not come from the default registry has
// another key and says its name by itself. Since version 11 of the client there may be a first YAML document about
// the client's own dependencies.
var pnpmLock = format{
	name:      "pnpm-lock.yaml",
	ecosystem: "npm",
	match:     called("pnpm-lock.yaml"),
	read:      readPnpm,
}

func readPnpm(s *source) (list, error) {
	documents, err := plainYAML(s.text)
	if err != nil {
		return list{}, err
	}
	r := pnpmReader{}
	for _, document := range documents {
		r.version = "v" + textAt(document, "lockfileVersion")
		if !slices.Contains([]string{"v5.3", "v5.4", "v6.0", "v6.1", "v9.0"}, r.version) {
			return list{}, errVersion(r.version[1:], "5.3, 5.4, 6.0, 6.1 and 9.0")
		}
		if err := r.readDocument(document); err != nil {
			return list{}, err
		}
	}
	return r.list, nil
}

type pnpmReader struct {
	list
	keys map[string]int     // index of the entry of a key of this document's "packages"
	seen map[[2]string]bool // aliases and links
}

func (r *pnpmReader) readDocument(document *yaml.Node) error {
	r.keys, r.seen = make(map[string]int), make(map[[2]string]bool)
	for key, value := range pairs(at(document, "packages")) {
		e, err := r.entry(key, value)
		if err != nil {
			return fmt.Errorf("line %d: %.200q: %v", key.Line, key.Value, err)
		}
		r.keys[key.Value] = len(r.entries)
		if err := r.add(e); err != nil {
			return err
		}
	}
	// A project alone in its folder is the document itself, before version 9.
	if err := r.references(document); err != nil {
		return err
	}
	for key, value := range pairs(at(document, "snapshots")) {
		// The client lays a package over its snapshot: what only the snapshot has would count.
		for _, field := range []string{"resolution", "name", "version"} {
			if at(value, field) != nil {
				return fmt.Errorf("line %d: the snapshot %.200q has a %s, which only packages have", key.Line, key.Value, field)
			}
		}
	}
	for _, section := range []string{"importers", "packages", "snapshots"} {
		for _, dependant := range pairs(at(document, section)) {
			if err := r.references(dependant); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *pnpmReader) entry(key, value *yaml.Node) (Entry, error) {
	name, version := r.parseKey(key.Value)
	registry := version != "" // the key is of a version in a registry
	own, ownVersion := textAt(value, "name"), textAt(value, "version")
	if registry && (own != "" && own != name || ownVersion != "" && ownVersion != version) {
		return Entry{}, fmt.Errorf("it has the name %.100q and version %.40q, not those of its key", own, ownVersion)
	}
	if !registry {
		name, version = cmp.Or(own, name), ownVersion
	}
	e := Entry{Name: name, Line: key.Line}
	resolution := at(value, "resolution")
	e.Source = textAt(resolution, "tarball")
	problem, from := pnpmProblem(resolution)
	if problem == "" && !registry {
		problem, from = FromURL, key.Value
	}
	if problem != "" {
		e.problem(problem, "it comes from %s", from)
	}
	e.is("npm", name, version)
	if problem == FromGit || problem == FromPath && e.Source == "" {
		return e, nil
	}
	return e, e.acceptIntegrity(textAt(resolution, "integrity"))
}

// parseKey takes a key apart. The version is "" if it is none that a registry could have.
func (r *pnpmReader) parseKey(key string) (name, version string) {
	key, _, _ = strings.Cut(key, "(") // peers
	separator := "@"
	if r.version != "v9.0" {
		host, path, _ := strings.Cut(key, "/") // no host: the default registry
		if strings.Contains(host, ":") || strings.HasPrefix(host, "@") {
			return key, ""
		}
		key = path
	}
	if r.version < "v6" {
		separator = "/"
		if i := strings.LastIndexByte(key, '/'); i > 0 {
			before, _, _ := strings.Cut(key[i:], "_") // peers
			key = key[:i] + before
		}
	}
	if name, _, protocol := strings.Cut(key, ":"); protocol { // name@file:… and its like
		at := strings.IndexByte(name[min(1, len(name)):], '@')
		return name[:at+1], ""
	}
	i := strings.LastIndex(key, separator)
	if i <= 0 {
		return key, ""
	}
	if _, err := provenance.NewCoordinate("npm", "x", key[i+1:], ""); err != nil {
		return key[:i], ""
	}
	return key[:i], key[i+1:]
}

// pnpmProblem says what is wrong with the place a package was resolved at, and names it.
func pnpmProblem(resolution *yaml.Node) (Problem, string) {
	tarball, kind := textAt(resolution, "tarball"), textAt(resolution, "type")
	switch {
	case kind == "directory":
		return FromPath, "the folder " + textAt(resolution, "directory")
	case kind == "git" || textAt(resolution, "repo") != "":
		return FromGit, textAt(resolution, "repo")
	case textAt(resolution, "gitHosted") == "true" || gitHosted(tarball):
		return FromGit, tarball
	case kind != "":
		return FromURL, "a place of type " + kind
	case strings.Contains(tarball, ":"): // else it is relative to the registry
		return npmSource(tarball), tarball
	}
	return "", ""
}

// gitHosted reports whether a URL is one of those under which hosts of git repositories offer the files of a commit.
func gitHosted(url string) bool {
	rest, ok := strings.CutPrefix(url, "https://")
	host, path, _ := strings.Cut(rest, "/")
	switch host {
	case "codeload.github.com":
		return ok
	case "gitlab.com":
		return ok && strings.Contains(path, "/archive")
	case "bitbucket.org":
		return ok && strings.Contains(path, "/get/")
	}
	return false
}

// references reads the dependencies of a project or package: links, which have no entry among the packages, and
// aliases, under which a package is installed by another name than its own.
func (r *pnpmReader) references(dependant *yaml.Node) error {
	for _, section := range []string{"dependencies", "devDependencies", "optionalDependencies"} {
		for key, value := range pairs(at(dependant, section)) {
			target := textAt(value, "version")
			if value.Kind == yaml.ScalarNode {
				target = value.Value
			}
			e, ok := r.reference(key, target)
			if !ok || r.seen[[2]string{key.Value, target}] {
				continue
			}
			r.seen[[2]string{key.Value, target}] = true
			if err := r.add(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *pnpmReader) reference(key *yaml.Node, target string) (Entry, bool) {
	e := Entry{Name: key.Value, Line: key.Line}
	if path, ok := strings.CutPrefix(target, "link:"); ok {
		e.problem(FromPath, "a link to %s", path)
		return e, true
	}
	if r.version == "v9.0" {
		target, _, _ = strings.Cut(target, "(")
	}
	i, ok := r.keys[target]
	if !ok || r.entries[i].Name == e.Name {
		return e, false
	}
	alias := r.entries[i]
	alias.Name, alias.Line = e.Name, e.Line
	return alias, true
}
