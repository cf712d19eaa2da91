package lockfile

import (
	"fmt"
	"slices"
	"strings"

	"countersign.dev/provenance"
)

// A list is what a read function makes of a lockfile.
type list struct {
	version string // of the format, "" if it has none
	entries []Entry
}

func (l *list) add(e Entry) error {
	if len(l.entries) >= maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	if len(e.Files) > maxFiles {
		return fmt.Errorf("%.100q has more than %d digests", e.Name, maxFiles)
	}
	l.entries = append(l.entries, e)
	return nil
}

// settle sees to what every format has to keep: nothing without a coordinate or digest is without a problem, and one
// coordinate has one content.
func (l *list) settle(ecosystem string) error {
	if len(l.entries) > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	for i := range l.entries {
		e := &l.entries[i]
		if e.Coordinate.IsZero() {
			e.problem(BadName, "it names no package")
		} else if t := e.Coordinate.Type(); t != ecosystem {
			return fmt.Errorf("line %d: %.100q is of %s, not of %s", e.Line, e.Name, t, ecosystem)
		}
		if len(e.Files) == 0 || slices.ContainsFunc(e.Files, func(d provenance.Digests) bool { return len(d) == 0 }) {
			e.problem(NoDigest, "the lockfile has no digest for it")
		}
	}
	return l.agree()
}

// agree refuses one coordinate with two contents: which one is installed would be up to the client. On PyPI, where
// a version has files of its own on each index, so does the coordinate per index.
func (l *list) agree() error {
	first := make(map[string]*Entry, len(l.entries))
	for i := range l.entries {
		e := &l.entries[i]
		if e.Coordinate.IsZero() || len(e.Files) == 0 {
			continue
		}
		key := e.Coordinate.String()
		if e.Coordinate.Type() == "pypi" {
			key += " " + e.Source
		}
		before, again := first[key]
		if !again {
			first[key] = e
			continue
		}
		if name := disagreement(before.Files, e.Files); name != "" {
			return fmt.Errorf("%s is there twice, in line %d and in line %d, with different %s digests: remove one, or let the client write the file again",
				e.Coordinate, before.Line, e.Line, name)
		}
	}
	return nil
}

// disagreement names a digest that both have and that does not have the same values in both, or "".
func disagreement(a, b []provenance.Digests) string {
	x, y := values(a), values(b)
	for _, name := range []string{"sha512", "sha256", "dirHash", "goModHash", "hexInner", "nugetContentHash"} {
		if len(x[name]) > 0 && len(y[name]) > 0 && !slices.Equal(x[name], y[name]) {
			return name
		}
	}
	return ""
}

// values are the values of each digest name, sorted.
func values(files []provenance.Digests) map[string][]string {
	all := make(map[string][]string)
	for _, file := range files {
		for name, value := range file {
			all[name] = append(all[name], value)
		}
	}
	for name := range all {
		slices.Sort(all[name])
		all[name] = slices.Compact(all[name])
	}
	return all
}

// problem says why e cannot be checked. The first reason stays.
func (e *Entry) problem(p Problem, detail string, args ...any) {
	if e.Problem == "" {
		e.Problem, e.Detail = p, fmt.Sprintf(detail, args...)
	}
}

// is gives e its coordinate, in the canonical form of what the lockfile says. That there is none is a problem,
// unless e has another one. On PyPI it is the version's, of whatever file.
func (e *Entry) is(ecosystem, name, version string) {
	file := ""
	if ecosystem == "pypi" {
		file = name + "-" + version + ".tar.gz"
	}
	c, err := provenance.NewCoordinate(ecosystem, name, version, file)
	if err == nil && ecosystem == "npm" && e.Name != name { // an alias, which is to be found on disk by its own name
		_, err = provenance.NewCoordinate(ecosystem, e.Name, version, "")
	}
	switch {
	case err == nil:
		e.Coordinate = c.Release()
	case version == "":
		e.problem(NotLocked, "the lockfile has no version for it")
	default:
		e.problem(BadName, "%s", strings.TrimPrefix(err.Error(), "coordinate: "))
	}
}
