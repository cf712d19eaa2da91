package lockfile

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// packageLock reads what npm writes (docs.npmjs.com, package-lock.json). Version 1 has a tree of names under
// "dependencies", version 3 has "packages" by their place on disk; version 2 has both, for old and new clients, which
// have to find the same in it.
//
// Where a package was resolved is what the client wrote down when it did. It is not where the next client takes it
// from: that one puts the registry it is configured with in the place of npm's public one.
var packageLock = format{
	name:      "package-lock.json",
	ecosystem: "npm",
	match:     called("package-lock.json", "npm-shrinkwrap.json"),
	read:      readPackageLock,
}

func readPackageLock(s *source) (list, error) {
	var version, packages, dependencies member
	err := members(s.text, 1, func(m member) error {
		switch m.name {
		case "lockfileVersion":
			version = m
		case "packages":
			packages = m
		case "dependencies":
			dependencies = m
		}
		return nil
	})
	if err != nil {
		return list{}, err
	}
	r := npmReader{list: list{version: "v" + string(version.value)}}
	switch string(version.value) {
	case "1", "3":
		if packages.name != "" && dependencies.name != "" {
			return list{}, errors.New(`it has both "packages" and "dependencies", as only version 2 has`)
		}
	}
	switch string(version.value) {
	case "1":
		err = r.readTree(dependencies, "", 0)
	case "2":
		if err = r.readPackages(packages); err == nil {
			err = r.readTree(dependencies, "", 0)
		}
	case "3":
		if err = r.readPackages(packages); err == nil {
			r.bundled()
		}
	default:
		err = errVersion(string(version.value), "1, 2 and 3")
	}
	return r.list, err
}

type npmReader struct {
	list
	places map[string]int // in version 2: index of the entry of "packages" at a place on disk
	bundle map[string]npmPackage
	urls   map[string]bool
}

// An npmPackage is what the values of "packages" and "dependencies" have in common.
type npmPackage struct {
	Name      string         `json:"name"`
	Version   string         `json:"version"`
	Resolved  jsontext.Value `json:"resolved"` // some clients wrote false
	Integrity string         `json:"integrity"`
	Link      bool           `json:"link"`
	InBundle  bool           `json:"inBundle"`
	Bundled   bool           `json:"bundled"` // the same in "dependencies"
	Bundle    jsontext.Value `json:"bundleDependencies"`
}

// source is where the package was resolved, "" if the lockfile does not say.
func (p *npmPackage) source() (string, error) {
	if len(p.Resolved) == 0 || p.Resolved.Kind() == 'f' {
		return "", nil
	}
	var s string
	err := json.Unmarshal(p.Resolved, &s)
	return s, err
}

// readPackages reads "packages", whose keys are places on disk: node_modules/a/node_modules/@b/c.
func (r *npmReader) readPackages(m member) error {
	if m.name == "" {
		return errors.New(`it has no "packages"`)
	}
	if err := r.readURLs(m); err != nil {
		return err
	}
	r.places, r.bundle = make(map[string]int), make(map[string]npmPackage)
	err := members(m.value, m.line, func(m member) error {
		var p npmPackage
		if err := json.Unmarshal(m.value, &p); err != nil {
			return fmt.Errorf("line %d: %.100q: %v", m.line, m.name, err)
		}
		if m.name != "" && path.Clean(m.name) != m.name || strings.Contains(m.name, `\`) {
			return fmt.Errorf("line %d: %.100q is not the plain name of a folder", m.line, m.name)
		}
		i := strings.LastIndex("/"+m.name, "/node_modules/")
		if i < 0 && !p.Link && len(p.Resolved) == 0 && p.Integrity == "" {
			return nil // the project itself or a folder of it
		}
		name := p.Name
		if i >= 0 {
			name = m.name[i+len("node_modules/"):]
		}
		e := Entry{Name: name, Line: m.line}
		if err := r.describe(&e, p); err != nil {
			return fmt.Errorf("line %d: %.100q: %v", m.line, m.name, err)
		}
		r.places[m.name] = len(r.entries)
		if p.InBundle || len(p.Bundle) > 0 {
			r.bundle[m.name] = p
		}
		return r.add(e)
	})
	return err
}

// bundled finds the packages in whose files others are. The client fetches nothing for a package that is inBundle and
// that the package above it lists among its bundleDependencies; what is inBundle but not listed, it may fetch. In
// version 2 old clients go by "dependencies", and may fetch either.
func (r *npmReader) bundled() {
	for place, p := range r.bundle {
		i := strings.LastIndex(place, "/node_modules/")
		if !p.InBundle || p.Link || i < 0 {
			continue
		}
		above, name := place[:i], place[i+len("/node_modules/"):]
		var listed []string
		if json.Unmarshal(r.bundle[above].Bundle, &listed) == nil && slices.Contains(listed, name) && !r.bundle[above].InBundle {
			r.entries[r.places[place]].Within = r.places[above] + 1
		}
	}
}

// readURLs collects the URLs that dependencies are given by: a package that was resolved there did not come from a
// registry.
func (r *npmReader) readURLs(m member) error {
	r.urls = make(map[string]bool)
	return members(m.value, m.line, func(m member) error {
		var p map[string]jsontext.Value
		if err := json.Unmarshal(m.value, &p); err != nil {
			return fmt.Errorf("line %d: %.100q: %v", m.line, m.name, err)
		}
		for _, kind := range []string{"dependencies", "devDependencies", "optionalDependencies", "peerDependencies"} {
			var wanted map[string]string
			if json.Unmarshal(p[kind], &wanted) != nil {
				continue // old packages have lists and other things there, which npm ignores
			}
			for _, url := range wanted {
				if strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://") {
					r.urls[url] = true
				}
			}
		}
		return nil
	})
}

// describe fills in an entry whose Name is the one the package is installed under. For an alias, the package's own
// name is another one.
func (r *npmReader) describe(e *Entry, p npmPackage) error {
	source, err := p.source()
	if err != nil {
		return err
	}
	e.Source = source
	name := p.Name
	if name == "" {
		name = e.Name
	}
	if name == "" {
		return errors.New("it has no name")
	}
	switch kind := npmSource(source); {
	case p.Link:
		e.problem(FromPath, "a link to %s", source)
	case p.InBundle || p.Bundled:
		e.problem(NoDigest, "it is inside the file of the package that it is installed below")
	case kind != "":
		e.problem(kind, "it comes from %s", source)
	case r.urls[source]:
		e.problem(FromURL, "it comes from %s", source)
	}
	e.is("npm", name, p.Version)
	if e.Problem == "" || e.Problem == FromURL || e.Problem == FromPath && !p.Link {
		return e.acceptIntegrity(p.Integrity)
	}
	return nil
}

func (e *Entry) acceptIntegrity(text string) error {
	if text == "" {
		e.problem(NoDigest, "the lockfile has no integrity for it")
		return nil
	}
	return e.acceptSRI(text)
}

var npmFile = regexp.MustCompile(`^([.]|~/|/)|^[^/]+[.](tgz|tar|tar[.]gz)$`)

// npmSource says what is wrong with a place that a package was resolved at, "" for a tarball on the web or nothing.
// The client puts it behind the package's name and an @ and reads that as it reads the command line: user/project is
// a repository on GitHub, and a version, range or tag is one in the registry, whatever the entry's own version.
func npmSource(source string) Problem {
	scheme, _, ok := strings.Cut(source, ":")
	switch {
	case source == "" || scheme == "https" || scheme == "http":
		return ""
	case strings.HasPrefix(scheme, "git") || slices.Contains([]string{"github", "gitlab", "bitbucket", "gist", "ssh"}, scheme):
		return FromGit
	case scheme == "file", !ok && npmFile.MatchString(source):
		return FromPath
	case !ok && strings.Contains(source, "/"):
		return FromGit
	case !ok:
		return NotLocked
	}
	return FromURL
}

// readTree reads "dependencies", which is a tree of names.
func (r *npmReader) readTree(m member, above string, depth int) error {
	if m.name == "" {
		return nil // a project without any
	}
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d", m.line, maxDepth)
	}
	return members(m.value, m.line, func(m member) error {
		var p npmPackage
		if err := json.Unmarshal(m.value, &p); err != nil {
			return fmt.Errorf("line %d: %.100q: %v", m.line, m.name, err)
		}
		e := Entry{Name: m.name, Line: m.line}
		place := above + "node_modules/" + m.name
		if err := r.describeOld(&e, p); err != nil {
			return fmt.Errorf("line %d: %.100q: %v", m.line, m.name, err)
		}
		if err := r.join(e, place); err != nil {
			return err
		}
		return members(m.value, m.line, func(inner member) error {
			if inner.name != "dependencies" {
				return nil
			}
			return r.readTree(inner, place+"/", depth+1)
		})
	})
}

// describeOld is describe for version 1, where "version" is also what the package came by, if not by its version:
// a URL, or npm:name@version for an alias.
func (r *npmReader) describeOld(e *Entry, p npmPackage) error {
	if alias, ok := strings.CutPrefix(p.Version, "npm:"); ok {
		at := strings.LastIndexByte(alias, '@')
		if at <= 0 {
			return fmt.Errorf("version %.100q is not npm:name@version", p.Version)
		}
		p.Name, p.Version = alias[:at], alias[at+1:]
	} else {
		p.Name = ""
	}
	if !strings.Contains(p.Version, ":") {
		return r.describe(e, p)
	}
	e.Source = p.Version
	if p.Bundled {
		e.problem(NoDigest, "it is inside the file of the package that it is installed below")
		return nil
	}
	problem := npmSource(p.Version)
	if problem == "" {
		problem = FromURL
	}
	e.problem(problem, "it comes from %s", p.Version)
	if problem == FromGit || p.Integrity == "" {
		return nil
	}
	return e.acceptSRI(p.Integrity)
}

// join adds an entry of "dependencies", unless "packages" has the same. New clients read the one and old ones the
// other, so they must not say different things.
func (r *npmReader) join(e Entry, place string) error {
	i, both := r.places[place]
	if !both {
		return r.add(e)
	}
	other := &r.entries[i]
	named := !e.Coordinate.IsZero() && !other.Coordinate.IsZero()
	if named && e.Coordinate != other.Coordinate || e.Problem != other.Problem ||
		!maps.EqualFunc(values(e.Files), values(other.Files), slices.Equal) {
		return fmt.Errorf("%.100q is one thing in line %d, which new clients read, and another in line %d, which old ones read: let npm write the file again",
			place, other.Line, e.Line)
	}
	return nil
}
