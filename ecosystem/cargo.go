package ecosystem

import (
	"errors"
	"fmt"
	"io"

	"github.com/BurntSushi/toml"

	"countersign.dev/provenance"
)

// maxCargoManifest is well above the largest Cargo.toml on crates.io and keeps what its parser builds small.
const maxCargoManifest = 1 << 20

// readCrate reads what cargo package makes. All of it is below one directory, name-version, which cargo demands
// when it unpacks; links are what crates.io refuses.
func readCrate(in *input) (provenance.Coordinate, error) {
	manifest := document{name: "Cargo.toml", limit: maxCargoManifest}
	directory, err := walkDirectory(in.stream(), func(e tarEntry, path string, body io.Reader) error {
		if e.link() {
			return fmt.Errorf("%q is a link, which no crate may have", e.name)
		}
		ok, err := manifest.claims(path, e.kind == typeFile)
		if !ok || err != nil {
			return err
		}
		return manifest.take(body)
	})
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if err := manifest.found(fmt.Sprintf("the directory %q", directory)); err != nil {
		return provenance.Coordinate{}, err
	}
	name, version, err := parseCargo(manifest.data)
	if err != nil {
		return provenance.Coordinate{}, fmt.Errorf("Cargo.toml: %v", err)
	}
	coordinate, err := claimed("Cargo.toml", "cargo", name, version, "")
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if stem := name + "-" + version; directory != stem {
		return provenance.Coordinate{}, fmt.Errorf("Cargo.toml says %s %s but is in the directory %q", name, version, directory)
	}
	return coordinate, in.mustBeCalled(name+"-"+version+".crate", name+" "+version)
}

// parseCargo returns the name and version of a Cargo.toml as cargo package writes it: values that a workspace
// would provide are filled in.
func parseCargo(data []byte) (name, version string, err error) {
	if err := checkTOML(data); err != nil {
		return "", "", err
	}
	var manifest map[string]any // not a struct, whose fields would match keys in any case
	if err := toml.Unmarshal(data, &manifest); err != nil {
		return "", "", fmt.Errorf("%.200s", err.Error())
	}
	if _, ok := manifest["project"]; ok {
		return "", "", errors.New("it has a [project], an old name of [package]")
	}
	described, _ := manifest["package"].(map[string]any)
	name, named := described["name"].(string)
	version, versioned := described["version"].(string)
	if !named || !versioned {
		return "", "", errors.New("[package] lacks a name or version in plain text")
	}
	return name, version, nil
}
