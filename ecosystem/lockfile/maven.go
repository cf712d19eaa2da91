package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

var mavenLock = format{
	name:      "lockfile.json",
	ecosystem: "maven",
	match:     called("lockfile.json"),
	read:      readMavenLock,
}

// readMavenLock reads the file of the maven-lockfile plugin (io.github.chains-project), version 1: the tree of
// dependencies, the plugins and extensions with theirs, and the POMs that these and the project inherit from or import.
// Members beyond those that say which file it is are not looked at; what has a tree of its own under an unknown name is
// not found.
//
// Nodes that Maven passed over for another version (included is false) are entries too: the plugin does not hold the
// member to anything, so it is no reason not to check one.
func readMavenLock(s *source) (list, error) {
	m := mavenReader{seen: make(map[string]bool)}
	err := members(s.text, 1, func(part member) error {
		switch part.name {
		case "lockFileVersion":
			m.version = "v" + string(part.value)
		case "dependencies":
			m.found = true
			return m.each(part, m.node)
		case "mavenPlugins", "mavenExtensions":
			return m.each(part, m.node)
		case "boms":
			return m.each(part, m.pom)
		case "pom": // the project's own, which is not locked; what it inherits from is
			return m.inherited(part)
		}
		return mavenCase(part, "lockFileVersion", "dependencies", "mavenPlugins", "mavenExtensions", "boms", "pom")
	})
	switch {
	case err != nil:
		return m.list, err
	case m.version != "v1":
		return m.list, errVersion(strings.TrimPrefix(m.version, "v"), "1")
	case !m.found:
		return m.list, errors.New("it has no dependencies")
	}
	return m.list, nil
}

// maxMavenWork bounds the bytes that are gone over. Each level of the tree is so again; twenty are many.
const maxMavenWork = 8 * maxFile

type mavenReader struct {
	list
	found bool // the dependencies
	depth int
	work  int             // bytes of the objects gone over
	seen  map[string]bool // coordinates with their digests
}

// once adds an entry, unless the same one was elsewhere in the tree.
func (m *mavenReader) once(e Entry) error {
	if len(e.Files) == 1 && e.Problem == "" {
		id := e.Coordinate.String() + e.Files[0]["sha256"] + e.Files[0]["sha512"]
		if m.seen[id] {
			return nil
		}
		m.seen[id] = true
	}
	return m.add(e)
}

// each reads the elements of an array; null is an empty one.
func (m *mavenReader) each(array member, read func(member) error) error {
	if array.value.Kind() == 'n' {
		return nil
	}
	if m.depth++; m.depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d", array.line, maxDepth)
	}
	defer func() { m.depth-- }()
	return elements(array.value, array.line, read)
}

// node reads a dependency, plugin or extension and what is below it.
func (m *mavenReader) node(part member) error {
	e, err := m.entry(part, "jar")
	if err != nil {
		return err
	}
	if err := m.once(e); err != nil {
		return err
	}
	return members(part.value, part.line, func(below member) error {
		switch below.name {
		case "children", "dependencies":
			return m.each(below, m.node)
		case "boms":
			return m.each(below, m.pom)
		case "parentPom":
			return m.parent(below)
		}
		return mavenCase(below, "children", "dependencies", "boms", "parentPom")
	})
}

// pom reads a POM from a repository and those it inherits from or imports. One with a relative path is a file of the
// project.
func (m *mavenReader) pom(part member) error {
	e, err := m.entry(part, "pom")
	if err != nil {
		return err
	}
	if err := m.once(e); err != nil {
		return err
	}
	return m.inherited(part)
}

// parent reads a POM or null.
func (m *mavenReader) parent(part member) error {
	if part.value.Kind() == 'n' {
		return nil
	}
	if m.depth++; m.depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d", part.line, maxDepth)
	}
	defer func() { m.depth-- }()
	return m.pom(part)
}

// inherited reads the POMs that one inherits from or imports.
func (m *mavenReader) inherited(part member) error {
	return members(part.value, part.line, func(below member) error {
		switch below.name {
		case "parent":
			return m.parent(below)
		case "boms":
			return m.each(below, m.pom)
		}
		return mavenCase(below, "parent", "boms")
	})
}

// mavenTypes are the dependency types whose files do not end in them.
var mavenTypes = map[string]string{
	"": "jar", "maven-plugin": "jar", "ejb": "jar", "ejb-client": "jar", "javadoc": "jar", "java-source": "jar",
	"test-jar": "jar", "bundle": "jar",
}

// mavenClassifiers are the classifiers that go without saying for a type.
var mavenClassifiers = map[string]string{
	"ejb-client": "client", "javadoc": "javadoc", "java-source": "sources", "test-jar": "tests",
}

// entry reads what one object says about one file.
func (m *mavenReader) entry(part member, kind string) (Entry, error) {
	if m.work += len(part.value); m.work > maxMavenWork {
		return Entry{}, fmt.Errorf("line %d: nested too deep for a file of this size", part.line)
	}
	v, err := texts(part, "groupId", "artifactId", "version", "classifier", "type", "resolved", "relativePath", "path",
		"checksumAlgorithm", "checksum")
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: v["groupId"] + ":" + v["artifactId"], Line: part.line, Source: v["resolved"]}
	if kind == "pom" && v["relativePath"]+v["path"] != "" {
		e.Source = v["relativePath"] + v["path"]
		if e.Name == ":" {
			e.Name = e.Source
		}
		e.problem(FromPath, "it is a POM in a folder")
		return e, nil
	}
	if v["version"] == "" {
		e.problem(NotLocked, "the lockfile has no version for it")
	} else {
		e.isFile(e.Name, v["version"], mavenFileName(v, kind))
	}
	return e, e.acceptMaven(v["checksumAlgorithm"], v["checksum"], part.line)
}

// mavenFileName is the name of the file that a node is. That of a plain jar is not in it; what it was resolved to has
// it in the end, in case the type is missing, as it is in files of old versions of the plugin.
func mavenFileName(v map[string]string, kind string) string {
	stem := v["artifactId"] + "-" + v["version"]
	if kind == "pom" {
		return stem + ".pom"
	}
	classifier, extension := v["classifier"], v["type"]
	if classifier == "" {
		classifier = mavenClassifiers[extension]
	}
	if classifier != "" {
		stem += "-" + classifier
	}
	if resolved := path.Base(v["resolved"]); extension == "" && strings.HasPrefix(resolved, stem+".") {
		return resolved
	}
	if as, ok := mavenTypes[extension]; ok {
		extension = as
	}
	return stem + "." + extension
}

// acceptMaven takes a checksum, under the name that Java has for the algorithm.
func (e *Entry) acceptMaven(algorithm, checksum string, line int) error {
	if checksum == "" {
		e.problem(NoDigest, "the lockfile has no checksum for it: the plugin could not read the file")
		return nil
	}
	name := strings.ToLower(strings.Replace(algorithm, "-", "", 1))
	if strength(name) < 0 {
		e.problem(NoDigest, "its checksum is by %.40q, which countersignatures do not have", algorithm)
		return nil
	}
	sum, err := fromHex(name, checksum)
	if err != nil {
		return fmt.Errorf("line %d: %.200q: %v", line, e.Name, err)
	}
	e.accept(sum)
	return nil
}

// mavenCase refuses a member that could be taken for a known one.
func mavenCase(part member, known ...string) error {
	similar := func(name string) bool { return name != part.name && strings.EqualFold(name, part.name) }
	if i := slices.IndexFunc(known, similar); i >= 0 {
		return fmt.Errorf("line %d: member %.40q differs from %q by case", part.line, part.name, known[i])
	}
	return nil
}

// elements calls visit with each element of the array that text is, whose first line is the given one.
func elements(text jsontext.Value, line int, visit func(member) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	count := lineCounter{text: text, lines: line - 1}
	if open, err := d.ReadToken(); err != nil || open.Kind() != '[' {
		return fmt.Errorf("line %d: want an array", line)
	}
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return fmt.Errorf("line %d: %v", line, err)
		}
		if err := visit(member{value: value, line: count.at(int(d.InputOffset()) - len(value))}); err != nil {
			return err
		}
	}
	return nil
}
