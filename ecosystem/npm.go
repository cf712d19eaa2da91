package ecosystem

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"

	"countersign.dev/provenance"
)

// readNPM reads what npm pack and its like make. The client unpacks every entry without the first element of
// its path, whatever that is, so each */package.json is the package's, the last one winning.
func readNPM(in *input) (provenance.Coordinate, error) {
	manifest := document{name: "package.json"}
	err := walkTarball(in.stream(), func(e tarEntry, body io.Reader) error {
		_, path, below := strings.Cut(e.name, "/")
		if !below {
			path = e.name // some clients do not unpack it, some do
		}
		ok, err := manifest.claims(path, below && e.kind == typeFile)
		if !ok || err != nil {
			return err
		}
		return manifest.take(body)
	})
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if err := manifest.found("the first directory"); err != nil {
		return provenance.Coordinate{}, err
	}
	name, version, err := parseManifest(manifest.data)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	coordinate, err := claimed("package.json", "npm", name, version, "")
	if err != nil {
		return provenance.Coordinate{}, err
	}
	return coordinate, in.mustBeCalled(packName(coordinate), name+" "+version)
}

// parseManifest returns the name and version of a package.json. A key that occurs twice, at any depth, is an error.
func parseManifest(data []byte) (name, version string, err error) {
	var manifest struct {
		Name    *string `json:"name"`
		Version *string `json:"version"`
	}
	text := strings.TrimPrefix(string(data), "\ufeff") // the client skips a byte order mark too
	if err := json.Unmarshal([]byte(text), &manifest); err != nil {
		return "", "", fmt.Errorf("package.json: %v", err)
	}
	if manifest.Name == nil || manifest.Version == nil {
		return "", "", errors.New("package.json lacks a name or version")
	}
	return *manifest.Name, *manifest.Version, nil
}

// packName is the file name npm pack chooses: @acme/widget 1.0.0 becomes acme-widget-1.0.0.tgz.
func packName(c provenance.Coordinate) string {
	return strings.ReplaceAll(strings.TrimPrefix(c.Name(), "@"), "/", "-") + "-" + c.Version() + ".tgz"
}
