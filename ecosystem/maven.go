package ecosystem

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"countersign.dev/provenance"
)

const (
	mavenFolder = "META-INF/maven"
	// maxPOMs bounds the bytes of POMs and their properties in a jar. Those of what was shaded into it count.
	maxPOMs = 64 << 20
)

// A mavenProject is what a POM is of.
type mavenProject struct{ group, artifact, version string }

func (p mavenProject) name() string   { return p.group + ":" + p.artifact }
func (p mavenProject) String() string { return p.name() + ":" + p.version }

// readJar reads the POM beside the jar and those in it, which are of the project and of all that was shaded
// into it. The one beside must be among those inside if there are any; if there is none beside, only one may be inside.
func readJar(in *input) (provenance.Coordinate, error) {
	z, err := openZip(in, in.size)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	inside, err := projectsIn(z)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	source, project, err := pomBeside(in.path)
	switch {
	case err != nil:
		return provenance.Coordinate{}, err
	case source == "" && len(inside) != 1:
		return provenance.Coordinate{}, fmt.Errorf("it holds POMs of %s: put its own beside it, as ARTIFACT-VERSION.pom", list(inside))
	case source == "":
		source = mavenFolder
		for name, version := range inside {
			group, artifact, _ := strings.Cut(name, ":")
			project = mavenProject{group, artifact, version}
		}
	case len(inside) > 0 && inside[project.name()] != project.version:
		return provenance.Coordinate{}, fmt.Errorf("%s is of %s, but the jar holds POMs of %s", source, project, list(inside))
	}
	return mavenCoordinate(in, source, project)
}

// list names some of the projects in a jar.
func list(inside map[string]string) string {
	var projects []string
	for name, version := range inside {
		projects = append(projects, name+":"+version)
	}
	slices.Sort(projects)
	if len(projects) == 0 {
		return "no project"
	}
	if len(projects) > 3 {
		projects = append(projects[:3], "others")
	}
	return strings.Join(projects, ", ")
}

// readPOM reads a POM as an artifact of its own.
func readPOM(in *input) (provenance.Coordinate, error) {
	pom := document{name: in.name}
	if err := pom.take(in.stream()); err != nil {
		return provenance.Coordinate{}, err
	}
	project, err := parsePOM(pom.data)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	return mavenCoordinate(in, "POM", project)
}

// mavenCoordinate holds the project against the file's name, which also has classifier and type.
func mavenCoordinate(in *input, source string, p mavenProject) (provenance.Coordinate, error) {
	if _, err := claimed(source, "maven", p.name(), p.version, ""); err != nil {
		return provenance.Coordinate{}, err
	}
	c, err := provenance.NewCoordinate("maven", p.name(), p.version, in.name)
	if err != nil {
		want := p.artifact + "-" + p.version + filepath.Ext(in.name)
		return provenance.Coordinate{}, &NameError{FileName: in.name, Contents: p.String(), Want: want}
	}
	return c, nil
}

// pomBeside reads the POM beside a jar: for lib-1.0-sources.jar it is lib-1.0.pom. Its name is "" if there is none.
func pomBeside(jar string) (name string, p mavenProject, err error) {
	folder, stem := filepath.Split(strings.TrimSuffix(jar, ".jar"))
	for more := true; more; {
		name := stem + ".pom"
		data, err := readBeside(filepath.Join(folder, name))
		if err != nil {
			return "", p, err
		}
		if data != nil {
			if p, err = parsePOM(data); err != nil {
				return "", p, fmt.Errorf("%s: %v", name, err)
			}
			return name, p, nil
		}
		i := strings.LastIndexByte(stem, '-')
		if more = i > 0; more {
			stem = stem[:i]
		}
	}
	return "", p, nil
}

// readBeside returns a file's content; nil if there is none.
func readBeside(path string) ([]byte, error) {
	in, err := openFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	d := document{name: in.name}
	err = d.take(in.stream())
	return d.data, err
}

// projectsIn returns the projects whose POM or properties are in a jar, in META-INF/maven/GROUP/ARTIFACT/: from
// their names to their versions.
func projectsIn(z *zip.Reader) (map[string]string, error) {
	versions := make(map[string]string)
	read := 0
	for _, f := range z.File {
		parse, err := mavenParser(f)
		if err != nil {
			return nil, err
		}
		if parse == nil {
			continue
		}
		d := document{name: f.Name}
		if err := d.takeFrom(f); err != nil {
			return nil, err
		}
		if read += len(d.data); read > maxPOMs {
			return nil, fmt.Errorf("POMs in it have more than %d bytes", maxPOMs)
		}
		p, err := parse(d.data)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", f.Name, err)
		}
		if !strings.HasPrefix(f.Name, mavenFolder+"/"+p.group+"/"+p.artifact+"/") {
			return nil, fmt.Errorf("%s is of %s", f.Name, p)
		}
		if other, ok := versions[p.name()]; ok && other != p.version {
			return nil, fmt.Errorf("%s is of %s, but another file of version %s", f.Name, p, other)
		}
		versions[p.name()] = p.version
	}
	return versions, nil
}

// mavenParser returns what reads an entry of a jar that says what project it is of; nil for other entries.
func mavenParser(f *zip.File) (func([]byte) (mavenProject, error), error) {
	parsers := map[string]func([]byte) (mavenProject, error){"pom.xml": parsePOM, "pom.properties": parseProperties}
	elements := strings.Split(f.Name, "/")
	if len(elements) < 3 || skeleton(elements[0]+"/"+elements[1]) != skeleton(mavenFolder) {
		return nil, nil
	}
	last := elements[len(elements)-1]
	for name, parse := range parsers {
		if skeleton(last) != skeleton(name) {
			continue
		}
		if last != name || len(elements) != 5 || !strings.HasPrefix(f.Name, mavenFolder+"/") {
			return nil, fmt.Errorf("%q could be taken for %s/GROUP/ARTIFACT/%s", f.Name, mavenFolder, name)
		}
		return parse, nil
	}
	return nil, nil
}

// parsePOM reads group, artifact and version, the first and last of which may be those of the parent.
func parsePOM(data []byte) (mavenProject, error) {
	const own, parent = "project/", "project/parent/"
	texts, err := xmlTexts(data, own+"groupId", own+"artifactId", own+"version", parent+"groupId", parent+"version")
	if err != nil {
		return mavenProject{}, err
	}
	for path := range texts {
		if texts[path] = strings.Trim(texts[path], " \t\r\n"); texts[path] == "" {
			return mavenProject{}, fmt.Errorf("%s is empty: leave it out, or write its value", path)
		}
	}
	return mavenProject{
		group:    cmp.Or(texts[own+"groupId"], texts[parent+"groupId"]),
		artifact: texts[own+"artifactId"],
		version:  cmp.Or(texts[own+"version"], texts[parent+"version"]),
	}.checked()
}

// parseProperties reads pom.properties, as Maven writes it.
func parseProperties(data []byte) (mavenProject, error) {
	values := make(map[string]string)
	for line := range bytes.FieldsFuncSeq(data, func(r rune) bool { return r == '\n' || r == '\r' }) {
		text := strings.TrimLeft(string(line), " \t\f")
		if text == "" || text[0] == '#' || text[0] == '!' {
			continue
		}
		end := strings.IndexAny(text, "=: \t\f")
		if end < 0 || text[end] != '=' || strings.Contains(text, `\`) {
			return mavenProject{}, fmt.Errorf("line %.40q: want key=value without backslashes", text)
		}
		key := text[:end]
		if _, twice := values[key]; twice {
			return mavenProject{}, fmt.Errorf("%s is there twice", key)
		}
		values[key] = text[end+1:]
	}
	return mavenProject{values["groupId"], values["artifactId"], values["version"]}.checked()
}

func (p mavenProject) checked() (mavenProject, error) {
	for name, value := range map[string]string{"groupId": p.group, "artifactId": p.artifact, "version": p.version} {
		if value == "" {
			return p, fmt.Errorf("there is no %s", name)
		}
		if strings.Contains(value, "${") {
			return p, fmt.Errorf("%s is %.80q: write its value, because a property can be set from outside", name, value)
		}
	}
	return p, nil
}
