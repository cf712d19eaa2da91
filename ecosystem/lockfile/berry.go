package lockfile

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readBerry reads the format of Yarn 2 and later.
//
// Its checksums are of no use here. "checksum" is the SHA-512 of the zip archive that the client makes of the
// registry's tarball and keeps in its cache; it depends on the client's version and on its compressionLevel, both in
// the cacheKey in front (yarnpkg/berry issues 6068 and 6296; compare the checksum of any package with its
// dist.integrity). Nothing in the file is a digest of what the registry served. So entries from a registry have their
// coordinate and source, and the problem that there is no digest.
func readBerry(text []byte) (list, error) {
	documents, err := plainYAML(text)
	if err != nil {
		return list{}, err
	}
	if len(documents) != 1 {
		return list{}, fmt.Errorf("%d YAML documents, want one", len(documents))
	}
	version := textAt(documents[0], "__metadata", "version")
	if n, err := strconv.Atoi(version); err != nil || n < 4 || n > 10 {
		return list{}, errVersion(version, "4 to 10")
	}
	l := list{version: "berry v" + version}
	for key, value := range pairs(documents[0]) {
		if key.Value == "__metadata" {
			continue
		}
		entries, err := berryEntries(key, value)
		if err != nil {
			return list{}, fmt.Errorf("line %d: %.200q: %v", key.Line, key.Value, err)
		}
		for _, e := range entries {
			if err := l.add(e); err != nil {
				return list{}, err
			}
		}
	}
	return l, nil
}

// berryEntries reads one package: an entry for each name that the descriptors in the key install it under.
func berryEntries(key, value *yaml.Node) ([]Entry, error) {
	resolution := textAt(value, "resolution")
	name, reference := cutIdent(resolution)
	if reference == "" {
		return nil, errors.New("it has no resolution name@protocol:reference")
	}
	if reference == "workspace:." {
		return nil, nil // the project itself
	}
	var all []Entry
	for descriptor := range strings.SplitSeq(key.Value, ", ") {
		e := Entry{Line: key.Line}
		e.Name, _ = cutIdent(descriptor)
		e.berryReference(name, reference, textAt(value, "version"))
		if !slices.ContainsFunc(all, e.same) {
			all = append(all, e)
		}
	}
	return all, nil
}

func (e *Entry) berryReference(name, reference, version string) {
	if found, ok := strings.CutPrefix(reference, "npm:"); ok {
		found, parameters, _ := strings.Cut(found, "::")
		if values, err := url.ParseQuery(parameters); err == nil {
			e.Source = values.Get("__archiveUrl")
		}
		e.is("npm", name, found)
		e.problem(NoDigest, "Yarn has a checksum of its own copy only, none of the registry's file")
		return
	}
	if strings.HasPrefix(reference, "patch:") {
		e.problem(NoDigest, "a patched copy of %s", strings.TrimPrefix(reference, "patch:"))
	} else {
		e.Source = reference
		problem := rangeProblem(reference)
		if gitHosted(reference) {
			problem = FromGit
		}
		if problem == "" {
			problem = NotLocked
		}
		e.problem(problem, "it comes from %s", reference)
	}
	if version != "0.0.0-use.local" {
		e.is("npm", name, version)
	}
}
