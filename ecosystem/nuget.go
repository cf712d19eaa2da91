package ecosystem

import (
	"archive/zip"
	"errors"
	"fmt"
	"path"
	"strings"

	"countersign.dev/provenance"
)

const (
	nupkgSuffix    = ".nupkg"
	nuspecSuffix   = ".nuspec"
	relationsFile  = "_rels/.rels"
	manifestSuffix = "/2010/07/manifest" // of the type of the relation that names the .nuspec
)

// readNuGet reads the one .nuspec at the top.
func readNuGet(in *input) (provenance.Coordinate, error) {
	z, err := openZip(in, in.size)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	nuspec, err := findNuspec(z)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	id, version, err := parseNuspec(nuspec.data)
	if err != nil {
		return provenance.Coordinate{}, fmt.Errorf("%s: %v", nuspec.name, err)
	}
	coordinate, err := claimed(nuspec.name, "nuget", id, version, "")
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if !strings.EqualFold(nuspec.name, id+nuspecSuffix) {
		return provenance.Coordinate{}, fmt.Errorf("%s is of %s", nuspec.name, id)
	}
	// Registries serve it in small letters; what packs it keeps those of the id, and old ones the version as it is.
	want := coordinate.Name() + "." + coordinate.Version() + nupkgSuffix
	written, _, _ := strings.Cut(version, "+")
	if name := strings.ToLower(in.name); name == want || name == strings.ToLower(id+"."+written+nupkgSuffix) {
		return coordinate, nil
	}
	return coordinate, in.mustBeCalled(want, id+" "+version)
}

func findNuspec(z *zip.Reader) (*document, error) {
	var nuspec, relations document
	relations.name = relationsFile
	for _, f := range z.File {
		var err error
		switch {
		case !strings.Contains(f.Name, "/") && hasSuffix(f.Name, nuspecSuffix):
			err = takeNuspec(&nuspec, f)
		case skeleton(f.Name) == skeleton(relationsFile):
			err = takeRelations(&relations, f)
		}
		if err != nil {
			return nil, err
		}
	}
	if nuspec.data == nil {
		return nil, errors.New("there is no .nuspec at the top")
	}
	return &nuspec, checkRelations(relations.data, nuspec.name)
}

func takeNuspec(nuspec *document, f *zip.File) error {
	if nuspec.data != nil {
		return fmt.Errorf("%s and %s are both at the top", nuspec.name, f.Name)
	}
	if nuspec.name = f.Name; !strings.HasSuffix(f.Name, nuspecSuffix) {
		return fmt.Errorf("%q could be taken for a .nuspec", f.Name)
	}
	return nuspec.takeFrom(f)
}

func takeRelations(relations *document, f *zip.File) error {
	if f.Name != relationsFile {
		return fmt.Errorf("%q could be taken for %s", f.Name, relationsFile)
	}
	return relations.takeFrom(f)
}

// checkRelations holds the relation by which old clients find the .nuspec to the one that others find.
func checkRelations(relations []byte, nuspec string) error {
	if relations == nil {
		return nil
	}
	err := walkXML(relations, func(e *xmlElement) error {
		var kind, target string
		for _, a := range e.attributes {
			switch a.Name.Local {
			case "Type":
				kind = a.Value
			case "Target":
				target = a.Value
			}
		}
		if strings.HasSuffix(kind, manifestSuffix) && path.Join("/", target) != "/"+nuspec {
			return fmt.Errorf("the manifest is %q, not %s", target, nuspec)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %v", relationsFile, err)
	}
	return nil
}

// parseNuspec returns id and version as they are written.
func parseNuspec(data []byte) (id, version string, err error) {
	const idPath, versionPath = "package/metadata/id", "package/metadata/version"
	texts, err := xmlTexts(data, idPath, versionPath)
	if err != nil {
		return "", "", err
	}
	if len(texts) != 2 {
		return "", "", errors.New("it lacks an id or version")
	}
	return texts[idPath], texts[versionPath], nil
}
