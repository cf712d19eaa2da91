package provenance

import (
	"errors"
	"fmt"
	"strings"
)

// PyPI. A version has many files: one source archive, and a wheel per platform, to which more may be added for years. So
// the file's name is part of the coordinate, exactly as it is on the index.

// pypiName is PEP 503: lower-case, and each run of "-", "_" and "." is one "-".
func pypiName(name string) (string, error) {
	if err := only(name, "-_."); err != nil {
		return name, err
	}
	if !isAlnum(name[0]) || !isAlnum(name[len(name)-1]) {
		return name, errors.New("does not begin and end with a letter or digit")
	}
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		switch {
		case isAlnum(name[i]):
			b = append(b, name[i])
		case b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	return strings.ToLower(string(b)), nil
}

// pypiFile keeps the file's name as it is, once it agrees with the name and version. Without one the coordinate is partial.
func pypiFile(name, version, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	if err := only(file, "-._+!"); err != nil {
		return file, err
	}
	if wheel, ok := strings.CutSuffix(file, ".whl"); ok {
		return file, pypiWheel(name, version, wheel)
	}
	for _, ext := range []string{".tar.gz", ".zip"} {
		if sdist, ok := strings.CutSuffix(file, ext); ok {
			return file, pypiSdist(name, version, sdist)
		}
	}
	return file, errors.New("is neither a wheel (.whl) nor a source archive (.tar.gz, .zip)")
}

// pypiWheel is the file name convention of PEP 427: name-version[-build]-python-abi-platform, hyphens nowhere else.
func pypiWheel(name, version, wheel string) error {
	parts := strings.Split(wheel, "-")
	if len(parts) != 5 && len(parts) != 6 {
		return errors.New("is not name-version[-build]-python-abi-platform.whl")
	}
	if len(parts) == 6 && (parts[2] == "" || !isDigit(parts[2][0])) {
		return errors.New("has a build tag that does not begin with a digit")
	}
	for _, tag := range parts[2:] {
		if err := only(tag, "._"); err != nil {
			return fmt.Errorf("in a tag: %v", err)
		}
	}
	if !pypiAgree(name, version, parts[0], parts[1]) {
		return fmt.Errorf("is not a file of %s %s", name, version)
	}
	return nil
}

// pypiSdist is PEP 625, name-version, and what there was before it: names and versions with hyphens of their own. One way
// of splitting it must agree.
func pypiSdist(name, version, sdist string) error {
	for i := range len(sdist) {
		if sdist[i] == '-' && pypiAgree(name, version, sdist[:i], sdist[i+1:]) {
			return nil
		}
	}
	return fmt.Errorf("is not a file of %s %s", name, version)
}

func pypiAgree(name, version, fileName, fileVersion string) bool {
	n, err := pypiName(fileName)
	if err != nil || n != name {
		return false
	}
	v, err := pypiVersion(name, fileVersion)
	return err == nil && v == version
}

func pypiEncode(c Coordinate) (string, []string) { return c.path, []string{c.file} }

func pypiDecode(path, _ string, values []string) (name, file string, err error) {
	return path, values[0], nil
}
