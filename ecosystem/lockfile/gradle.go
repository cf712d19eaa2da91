package lockfile

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"countersign.dev/provenance"
)

var gradleVerification = format{
	name:      "verification-metadata.xml",
	ecosystem: "maven",
	match:     called("verification-metadata.xml"),
	read:      readGradle,
}

// readGradle reads Gradle's dependency verification metadata. Each artifact of a component is a file of its own, known
// by its name, and a coordinate of its own: the jar, the POM and the .module that describe it, what has a classifier.
// Each is an entry. Gradle demands all the checksums that an artifact has, and takes any of the alternatives of each
// (also-trust); a signature only adds to them.
//
// What <configuration> exempts from checksums is not listed among the components: artifacts that are trusted as they
// are, and with verify-signatures whatever a trusted key has signed. Each such rule is an entry with a problem. Whether
// POMs and .module files are verified (verify-metadata) is Gradle's concern alone: they are entries if they are listed.
func readGradle(s *source) (list, error) {
	g := gradleReader{lines: make(map[string]int)}
	err := walkXML(s.text, g.visit)
	if err == nil && g.signatures {
		for _, e := range g.keys {
			if err = g.add(e); err != nil {
				break
			}
		}
	}
	return g.list, err
}

// A gradleReader collects the checksums of an artifact until its end.
type gradleReader struct {
	list
	lines      map[string]int // of artifacts
	checksums  []gradleChecksum
	signatures bool    // does Gradle verify them?
	keys       []Entry // for the rules about trusted keys
}

// A gradleChecksum is what Gradle accepts for one kind of checksum.
type gradleChecksum struct {
	kind  string
	value []digest // the alternatives, then the checksum itself
	done  bool     // the element is at its end
}

const (
	gradleRoot      = "verification-metadata"
	gradleSettings  = gradleRoot + "/configuration"
	gradleKey       = gradleSettings + "/trusted-keys/trusted-key"
	gradleComponent = gradleRoot + "/components/component"
	gradleArtifact  = gradleComponent + "/artifact"
)

// visit handles an element at its end.
func (g *gradleReader) visit(x *xmlElement) error {
	switch x.path {
	case gradleRoot, gradleSettings, gradleRoot + "/components", gradleComponent,
		gradleArtifact + "/pgp", gradleArtifact + "/ignored-keys", gradleArtifact + "/ignored-keys/ignored-key":
		return nil
	case gradleArtifact:
		return g.artifact(x)
	case gradleSettings + "/verify-signatures":
		g.signatures = !strings.EqualFold(x.text, "false") // of long texts there is only the beginning
		return nil
	case gradleSettings + "/trusted-artifacts/trust":
		return g.add(gradleRule(x, "it is trusted whatever its checksum"))
	case gradleKey, gradleKey + "/trusting":
		// A key with children may have a rule of its own beside theirs.
		if (x.children == 0 || len(x.attributes) > 1) && len(g.keys) < maxEntries {
			g.keys = append(g.keys, gradleRule(x, "it is trusted whatever its checksum, for the key that signed it"))
		}
		return nil
	}
	if strings.HasPrefix(x.path, gradleSettings+"/") {
		return nil
	}
	if checksum, ok := strings.CutPrefix(x.path, gradleArtifact+"/"); ok {
		return g.checksum(checksum, x.attributes["value"])
	}
	return fmt.Errorf("element %.200q is not known here", x.path)
}

// gradleRule is the entry for a rule that exempts artifacts from checksums. It names a package if the rule does.
func gradleRule(x *xmlElement, problem string) Entry {
	group, name := x.attributes["group"], x.attributes["name"]
	regex := x.attributes["regex"] != "" && !strings.EqualFold(x.attributes["regex"], "false")
	if regex {
		group, name = regexBeginning(group), regexBeginning(name)
	}
	e := Entry{Line: x.line, Name: cmp.Or(group, "*") + ":" + cmp.Or(name, "*")}
	if file := x.attributes["file"]; file != "" {
		e.Name += " " + file
	}
	e.problem(NoDigest, "%s", problem)
	if !regex && group != "" && name != "" && x.attributes["version"] != "" {
		e.is("maven", group+":"+name, x.attributes["version"])
	}
	return e
}

// regexBeginning is how every text begins that a regular expression matches, and a "*": rather too little than too much.
func regexBeginning(regex string) string {
	var b strings.Builder
	rest := strings.TrimPrefix(regex, "^")
	if alternatives(rest) {
		return "*"
	}
	for rest != "" {
		n, letter := 1, rest[:1]
		if strings.HasPrefix(rest, "[.]") {
			n, letter = 3, "."
		} else if strings.HasPrefix(rest, `\.`) {
			n, letter = 2, "."
		} else if !plainLetter.MatchString(letter) {
			break
		}
		if rest = rest[n:]; rest != "" && strings.Contains("*?{", rest[:1]) {
			break // it may be missing
		}
		b.WriteString(letter)
	}
	return b.String() + "*"
}

// alternatives reports whether a regular expression is several, outside its groups.
func alternatives(regex string) bool {
	depth := 0
	for i := 0; i < len(regex); i++ {
		switch regex[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth <= 0 {
				return true
			}
		}
	}
	return false
}

var plainLetter = regexp.MustCompile(`[A-Za-z0-9_-]`)

// checksum takes one checksum of an artifact, or an alternative, which comes to its end first.
func (g *gradleReader) checksum(name, value string) error {
	kind, alternative := strings.CutSuffix(name, "/also-trust")
	if !slices.Contains([]string{"md5", "sha1", "sha256", "sha512"}, kind) {
		return fmt.Errorf("checksum %.100q is not known here", name)
	}
	sum, err := fromHex(kind, value)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(g.checksums, func(c gradleChecksum) bool { return c.kind == kind })
	if i < 0 {
		i = len(g.checksums)
		g.checksums = append(g.checksums, gradleChecksum{kind: kind})
	}
	c := &g.checksums[i]
	if c.done {
		return fmt.Errorf("the artifact has a second %s", kind)
	}
	if c.value, c.done = append(c.value, sum), !alternative; len(c.value) > maxFiles {
		return fmt.Errorf("more than %d alternatives", maxFiles)
	}
	return nil
}

// artifact adds an artifact at its end.
func (g *gradleReader) artifact(x *xmlElement) error {
	component, file := x.parent.attributes, x.attributes["name"]
	name, version := component["group"]+":"+component["name"], component["version"]
	id := name + ":" + version + ":" + file
	if before, twice := g.lines[id]; twice {
		return fmt.Errorf("%.200q is there already, in line %d", id, before)
	}
	g.lines[id] = x.line
	e := Entry{Name: name, Line: x.line}
	if file == "" || version == "" {
		e.problem(NotLocked, "it has no version or file name")
	} else {
		e.isFile(name, version, file)
	}
	err := e.acceptGradle(g.checksums)
	g.checksums = nil
	if err != nil {
		return err
	}
	return g.add(e)
}

// acceptGradle adds every combination of alternatives of the strong checksums. Weak ones only add to them.
func (e *Entry) acceptGradle(checksums []gradleChecksum) error {
	if len(checksums) == 0 {
		e.problem(NoDigest, "it has no checksum, at most a signature: run gradle --write-verification-metadata sha256")
		return nil
	}
	files := [][]digest{nil}
	for _, c := range checksums {
		if algorithms[strength(c.kind)].problem != "" {
			continue
		}
		if len(files)*len(c.value) > maxFiles {
			return fmt.Errorf("more than %d combinations of checksums", maxFiles)
		}
		var more [][]digest
		for _, file := range files {
			for _, sum := range c.value {
				more = append(more, append(slices.Clone(file), sum))
			}
		}
		files = more
	}
	if files[0] == nil {
		e.accept(checksums[0].value[0])
		return nil
	}
	for _, file := range files {
		e.accept(file...)
	}
	return nil
}

// isFile gives e the coordinate of one file of a Maven artifact.
func (e *Entry) isFile(name, version, file string) {
	c, err := provenance.NewCoordinate("maven", name, version, file)
	if err != nil {
		e.problem(BadName, "%s", strings.TrimPrefix(err.Error(), "coordinate: "))
	}
	e.Coordinate = c
}
