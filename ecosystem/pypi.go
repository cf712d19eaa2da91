package ecosystem

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"countersign.dev/provenance"
)

// readWheel reads METADATA from the one .dist-info directory.
func readWheel(in *input) (provenance.Coordinate, error) {
	z, err := openZip(in, in.size)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	w := wheel{metadata: document{name: "METADATA"}}
	for _, f := range z.File {
		if err := w.visit(f); err != nil {
			return provenance.Coordinate{}, err
		}
	}
	if err := w.metadata.found("a .dist-info directory"); err != nil {
		return provenance.Coordinate{}, err
	}
	return pypiCoordinate(in, w.metadata, strings.TrimSuffix(w.distInfo, ".dist-info"))
}

type wheel struct {
	distInfo string // "" until found
	metadata document
}

func (w *wheel) visit(f *zip.File) error {
	top, path, _ := strings.Cut(f.Name, "/")
	if hasSuffix(top, ".data") && slices.ContainsFunc(strings.Split(path, "/"), isDistInfo) {
		return fmt.Errorf("%q would be installed over the wheel's metadata", f.Name)
	}
	if !isDistInfo(top) {
		return nil
	}
	if !strings.HasSuffix(top, ".dist-info") {
		return fmt.Errorf("%q could be taken for a .dist-info directory", top)
	}
	if w.distInfo != "" && w.distInfo != top {
		return fmt.Errorf("wheel has two metadata directories, %q and %q", w.distInfo, top)
	}
	w.distInfo = top
	ok, err := w.metadata.claims(path, f.Mode().IsRegular())
	if !ok || err != nil {
		return err
	}
	return w.metadata.takeFrom(f)
}

func isDistInfo(element string) bool { return hasSuffix(element, ".dist-info") }

// hasSuffix is strings.HasSuffix as the most forgiving file system sees it.
func hasSuffix(element, suffix string) bool {
	return strings.HasSuffix(skeleton(element), skeleton(suffix))
}

// readSdist reads PKG-INFO from the only directory at the top. pip drops the first element of all paths, but
// only if it is the same for all.
func readSdist(in *input) (provenance.Coordinate, error) {
	info := document{name: "PKG-INFO"}
	directory, err := walkDirectory(in.stream(), func(e tarEntry, path string, body io.Reader) error {
		ok, err := info.claims(path, e.kind == typeFile)
		if !ok || err != nil {
			return err
		}
		return info.take(body)
	})
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if err := info.found(fmt.Sprintf("the directory %q", directory)); err != nil {
		return provenance.Coordinate{}, err
	}
	return pypiCoordinate(in, info, directory)
}

// pypiCoordinate holds what the metadata says against the directory it is in and the file's name.
func pypiCoordinate(in *input, metadata document, directory string) (provenance.Coordinate, error) {
	name, version, err := parseMetadata(string(metadata.data))
	if err != nil {
		return provenance.Coordinate{}, fmt.Errorf("%s: %v", metadata.name, err)
	}
	const sdist = ".tar.gz"
	inside, err := claimed(metadata.name, "pypi", name, version, name+"-"+version+sdist)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if _, err := provenance.NewCoordinate("pypi", name, version, directory+sdist); err != nil {
		return provenance.Coordinate{}, fmt.Errorf("%s says %s %s but is in the directory %q",
			metadata.name, name, version, directory)
	}
	coordinate, err := provenance.NewCoordinate("pypi", name, version, in.name)
	if err != nil {
		want, ending := strings.ReplaceAll(inside.Name(), "-", "_")+"-"+version, sdist
		if strings.HasSuffix(in.name, ".whl") {
			ending = "-….whl"
		}
		return provenance.Coordinate{}, &NameError{FileName: in.name, Contents: name + " " + version, Want: want + ending}
	}
	return coordinate, nil
}

// parseMetadata returns the Name and Version of core metadata, which is a mail header and perhaps a body. What
// ends a line differs among parsers, so Name and Version must be there once whatever ends a line.
func parseMetadata(text string) (name, version string, err error) {
	header, _, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	header = strings.TrimSuffix(header, "\n")
	fields := make(map[string]string)
	inIdentity := false
	for line := range strings.SplitSeq(header, "\n") {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			if inIdentity {
				return "", "", errors.New("field Name or Version is folded over lines")
			}
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || !isFieldName(key) {
			return "", "", fmt.Errorf("header line %.40q has no field name", line)
		}
		if inIdentity = isIdentity(key); inIdentity {
			fields[strings.ToLower(key)] = strings.Trim(value, " \t")
		}
	}
	if len(fields) != 2 || countIdentity(header) != 2 {
		return "", "", errors.New("want exactly one Name and one Version")
	}
	return fields["name"], fields["version"], nil
}

// countIdentity counts Name and Version in lines that end at any character some parser ends them at: those at
// which the Python standard library splits strings into lines.
func countIdentity(header string) int {
	n := 0
	for line := range strings.FieldsFuncSeq(header, func(r rune) bool {
		return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r)
	}) {
		if key, _, ok := strings.Cut(line, ":"); ok && isIdentity(key) {
			n++
		}
	}
	return n
}

func isIdentity(key string) bool {
	return strings.EqualFold(key, "name") || strings.EqualFold(key, "version")
}

func isFieldName(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
}
