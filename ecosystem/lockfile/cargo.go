package lockfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
)

var cargoLock = format{
	name:      "Cargo.lock",
	ecosystem: "cargo",
	match:     called("Cargo.lock"),
	read:      readCargoLock,
}

// readCargoLock reads Cargo.lock, versions 1 to 4. What is patched but unused is passed over, as Cargo does.
func readCargoLock(s *source) (list, error) {
	var l list
	if len(bytes.TrimSpace(s.text)) == 0 {
		return l, errors.New("it is empty: let cargo write it again")
	}
	f, err := parseTOML(s.text)
	if err != nil {
		return l, err
	}
	packages, err := f.items("package")
	if err != nil {
		return l, err
	}
	// Before [[package]] could be the project's own too, that was in [root].
	if root, err := f.under("root"); err != nil {
		return l, err
	} else if root != nil {
		packages = append(packages, tomlItem{table: root})
	}
	checksums, err := cargoMetadata(f)
	if err != nil {
		return l, err
	}
	if l.version, err = cargoVersion(f, packages, len(checksums) > 0); err != nil {
		return l, err
	}
	lines := make(map[string]int)
	for _, p := range packages {
		e, id, err := cargoPackage(p, checksums)
		if before, twice := lines[id]; err == nil && twice {
			err = fmt.Errorf("it is there already, in line %d", before)
		}
		if err == nil {
			err = l.add(e)
		}
		if err != nil {
			return l, fmt.Errorf("line %d: package %.100q: %v", p.line, e.Name, err)
		}
		lines[id] = p.line
	}
	return l, nil
}

// cargoVersion is the version of the format. It has been in the file since version 3. Version 2 has checksums in the
// packages and version 1 has them in [metadata]; of a file that has both, Cargo takes it that a merge went wrong, and
// heeds none of them.
func cargoVersion(f *tomlFile, packages []tomlItem, metadata bool) (string, error) {
	inPackages := false
	for _, p := range packages {
		inPackages = inPackages || p.table["checksum"] != nil
	}
	version, ok := f.table["version"].(int64)
	switch {
	case f.table["version"] == nil && inPackages && metadata, ok && metadata:
		return "", errors.New("it has checksums in [metadata], which only version 1 has, where Cargo heeds no checksum: let it write the file again")
	case f.table["version"] == nil && inPackages:
		return "v2", nil
	case f.table["version"] == nil:
		return "v1", nil
	case ok && (version == 3 || version == 4):
		return fmt.Sprintf("v%d", version), nil
	}
	return "", errVersion(fmt.Sprint(f.table["version"]), "1 to 4")
}

// cargoMetadata reads the checksums of version 1, by the package's identity: "name version (source)".
func cargoMetadata(f *tomlFile) (map[string]string, error) {
	metadata, err := f.under("metadata")
	if err != nil {
		return nil, err
	}
	checksums := make(map[string]string)
	for key := range metadata {
		id, ok := strings.CutPrefix(key, "checksum ")
		if !ok {
			continue
		}
		value, err := metadata.text(key)
		if err != nil {
			return nil, fmt.Errorf("[metadata]: %v", err)
		}
		if checksums[id] = value; value == "<none>" {
			checksums[id] = ""
		}
	}
	return checksums, nil
}

// cargoPackage reads one package and its identity.
func cargoPackage(p tomlItem, checksums map[string]string) (e Entry, id string, err error) {
	e.Line = p.line
	name, err := p.text("name")
	version, err1 := p.text("version")
	origin, err2 := p.text("source")
	checksum, err3 := p.text("checksum")
	if err := errors.Join(err, err1, err2, err3); err != nil {
		return e, "", err
	}
	e.Name, e.Source = name, origin
	if name == "" || version == "" {
		return e, "", errors.New("it lacks a name or version")
	}
	id = fmt.Sprintf("%s %s (%s)", name, version, origin)
	e.cargoSource(origin)
	e.is("cargo", name, version)
	if checksum = cmp.Or(checksum, checksums[id]); checksum == "" || e.Problem != "" {
		return e, id, nil
	}
	sum, err := fromHex("sha256", checksum)
	if err == nil {
		e.accept(sum)
	}
	return e, id, err
}

// cargoSource says where a package comes from: an index of a registry, in git or over HTTP, or something else.
func (e *Entry) cargoSource(origin string) {
	kind, address, _ := strings.Cut(origin, "+")
	switch kind {
	case "registry", "sparse":
		e.Source = address
	case "git":
		e.problem(FromGit, "it comes from a git repository, not from a registry")
	case "", "path":
		e.problem(FromPath, "it is the project's own, or comes from a folder")
	default:
		e.problem(FromURL, "its source is not a registry")
	}
}
