package provenance

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// MaxPurl is the length in bytes that no coordinate exceeds, in its canonical spelling.
const MaxPurl = 1024

// Coordinate names one file in one package ecosystem: what a statement is about. Its only spelling is its purl (String);
// two coordinates are == exactly if their purls are equal, byte for byte. The rules of each ecosystem are in the table
// in coordinate_table.go. The zero Coordinate names nothing.
//
// A coordinate is equal to another if, and only if, the ecosystem's registry would hold them to be the same file: names
// that a registry folds together (acme_http and Acme.HTTP on PyPI) become one, names that it keeps apart (JSONStream and
// jsonstream on npm) stay apart. Otherwise one file could have two statements, or one statement hold for two files.
type Coordinate struct {
	ecosystem *ecosystem
	path      string // the name as the match key has it: com.acme/lib, @acme/widget, ghcr.io/acme/tool
	version   string
	file      string // PyPI: file_name; Maven: the file's name, which carries classifier and type
	purl      string // all of the above, spelled canonically
}

// NewCoordinate makes the coordinate of what people and package managers write: it canonicalises spellings that the
// ecosystem holds to be the same, and refuses what the ecosystem forbids.
//
//	ecosystem  name                     version         file
//	npm        @acme/widget, JSONStream 1.2.3
//	cargo      serde_json               1.2.3
//	hex        phoenix, acme/billing    1.2.3
//	pypi       Acme.HTTP                1.0.0           acme_http-1.0.0-py3-none-any.whl
//	golang     github.com/BurntSushi/toml v1.6.0
//	nuget      Newtonsoft.Json          13.0.3
//	maven      com.acme:lib             1.0             lib-1.0-sources.jar; empty for lib-1.0.jar
//	oci        ghcr.io/acme/tool        sha256:<64 hex>
//
// Only PyPI, which needs it, and Maven take a file.
func NewCoordinate(ecosystem, name, version, file string) (Coordinate, error) {
	e, err := findEcosystem(ecosystem)
	if err != nil {
		return Coordinate{}, fmt.Errorf("coordinate: %v", err)
	}
	c, err := e.coordinate(name, version, file)
	if err == nil {
		err = c.complete()
	}
	if err != nil {
		return Coordinate{}, fmt.Errorf("coordinate: %v", err)
	}
	return c, nil
}

// coordinate applies the table's rules. A PyPI coordinate without a file comes out as a partial one.
func (e *ecosystem) coordinate(name, version, file string) (Coordinate, error) {
	c := Coordinate{ecosystem: e}
	var err error
	if c.path, err = rule(e, "name", name, e.name); err != nil {
		return Coordinate{}, err
	}
	ofName := func(version string) (string, error) { return e.version(c.path, version) }
	if c.version, err = rule(e, "version", version, ofName); err != nil {
		return Coordinate{}, err
	}
	ofVersion := func(file string) (string, error) { return e.file(c.path, c.version, file) }
	if c.file, err = rule(e, "file", file, ofVersion); err != nil {
		return Coordinate{}, err
	}
	if c.purl = c.spell(); len(c.purl) > MaxPurl {
		return Coordinate{}, fmt.Errorf("%s name, version and file are together longer than %d bytes", e.kind, MaxPurl)
	}
	return c, nil
}

// rule applies one rule of an ecosystem to one part of a coordinate, after the rule for all parts: short, printable ASCII.
func rule(e *ecosystem, part, s string, canonical func(string) (string, error)) (string, error) {
	if len(s) > MaxPurl {
		return "", fmt.Errorf("%s %s is longer than %d bytes", e.kind, part, MaxPurl)
	}
	err, spelled := printable(s), ""
	if err == nil {
		spelled, err = canonical(s)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s %+q: %v", e.kind, part, s, err)
	}
	return spelled, nil
}

// complete refuses a coordinate that does not say which file it names.
func (c Coordinate) complete() error {
	if c.Partial() {
		return fmt.Errorf("%s has no file_name: a version on PyPI has many files, say which one", c.purl)
	}
	return nil
}

// Type is the purl type, the first column of the table; "" for the zero Coordinate.
func (c Coordinate) Type() string {
	if c.IsZero() {
		return ""
	}
	return c.ecosystem.kind
}

// Name is the canonical name as people write it and as NewCoordinate takes it: @acme/widget, com.acme:lib,
// ghcr.io/acme/tool.
func (c Coordinate) Name() string {
	if c.Type() == "maven" {
		return strings.Replace(c.path, "/", ":", 1)
	}
	return c.path
}

// Version is the canonical version: for OCI the image's digest.
func (c Coordinate) Version() string { return c.version }

// FileName is the name of the file where the coordinate says it (PyPI, Maven), else "".
func (c Coordinate) FileName() string { return c.file }

// String is the canonical purl.
func (c Coordinate) String() string { return c.purl }

// Hash is the SHA-256 of the canonical purl, under which static exports file a bundle.
func (c Coordinate) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(c.purl)) }

// MatchKey is what namespaces are compared with: type and name, decoded, without version and qualifiers.
func (c Coordinate) MatchKey() string {
	if c.IsZero() {
		return ""
	}
	return c.ecosystem.kind + "/" + c.path
}

// IsZero reports whether c names nothing.
func (c Coordinate) IsZero() bool { return c.ecosystem == nil }

// Partial reports whether c names a version on PyPI but not which of its files. Only ParseExpected and Release make such
// a coordinate; nothing can be signed about it.
func (c Coordinate) Partial() bool { return c.Type() == "pypi" && c.file == "" }

// Release is the coordinate under which all files of a version are found: on PyPI c without its file name, elsewhere
// c itself.
func (c Coordinate) Release() Coordinate {
	if c.Type() != "pypi" {
		return c
	}
	c.file = ""
	c.purl = c.spell()
	return c
}

// Matches reports whether full is what c, the expected coordinate, asks for: c itself or, if c is partial, any file of
// that version.
func (c Coordinate) Matches(full Coordinate) bool {
	if full.IsZero() || full.Partial() {
		return false
	}
	return c == full || c.Partial() && c == full.Release()
}
