package provenance

import (
	"fmt"
	"strings"
)

// ecosystem is one row of the table of coordinates: how one package ecosystem spells the name of a file.
//
// name, version and file take what people write and give the one canonical spelling, or say what is wrong. They see
// printable ASCII only, they are idempotent, and they must neither join what the registry keeps apart nor keep apart
// what it joins.
type ecosystem struct {
	kind    string // the purl type
	name    func(name string) (path string, err error)
	version func(path, version string) (string, error)
	file    func(path, version, file string) (string, error)

	// The purl's qualifiers. With none, the purl's path is the name and there is no file.
	qualifiers []string // keys, ascending
	encode     func(c Coordinate) (path string, values []string)
	decode     func(path, version string, values []string) (name, file string, err error)

	// Namespace patterns. A prefix is canonical if one of the endings makes a canonical name of it.
	endings []string
	partEnd func(prefix string) bool // does the prefix end where a part of a name ends?
}

// ecosystems is the table.
var ecosystems = []*ecosystem{
	{
		kind: "npm", name: npmName, version: npmVersion, file: noFile,
		endings: []string{"x", "x/x"}, partEnd: npmPartEnd,
	}, {
		kind: "cargo", name: cargoName, version: cargoVersion, file: noFile,
		endings: []string{"x"}, partEnd: endsIn("-"),
	}, {
		kind: "hex", name: hexName, version: hexVersion, file: noFile,
		endings: []string{"x"}, partEnd: endsIn("/_"),
	}, {
		kind: "pypi", name: pypiName, version: pypiVersion, file: pypiFile,
		qualifiers: []string{"file_name"}, encode: pypiEncode, decode: pypiDecode,
		endings: []string{"x"}, partEnd: endsIn("-"),
	}, {
		kind: "golang", name: goPath, version: goVersion, file: noFile,
		endings: []string{"x", "/x", "x/x", ".x/x", "x.x/x", "1", "v1", ".v1", "x.v1"}, partEnd: endsIn("/"),
	}, {
		kind: "nuget", name: nugetName, version: nugetVersion, file: noFile,
		endings: []string{"x"}, partEnd: endsIn(".-"),
	}, {
		kind: "maven", name: mavenName, version: mavenVersion, file: mavenFile,
		qualifiers: []string{"classifier", "type"}, encode: mavenEncode, decode: mavenDecode,
		endings: []string{"x", "/x", "x/x"}, partEnd: endsIn("./"),
	}, {
		kind: "oci", name: ociName, version: ociVersion, file: noFile,
		qualifiers: []string{"repository_url"}, encode: ociEncode, decode: ociDecode,
		endings: []string{"x", "/x", "x/x", "/x/x", "1/x", ".x/x", "x.x/x"}, partEnd: endsIn("/"),
	},
}

func findEcosystem(kind string) (*ecosystem, error) {
	for _, e := range ecosystems {
		if e.kind == kind {
			return e, nil
		}
	}
	return nil, fmt.Errorf("type %+.40q is none of npm, cargo, hex, pypi, golang, nuget, maven, oci", kind)
}

func noFile(_, _, file string) (string, error) {
	if file != "" {
		return "", fmt.Errorf("a version is one file here, and is named without it")
	}
	return "", nil
}

func endsIn(ends string) func(string) bool {
	return func(prefix string) bool { return prefix != "" && strings.Contains(ends, prefix[len(prefix)-1:]) }
}
