package provenance

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/module"
)

// Names of the ecosystems whose purl is just name and version: npm, Cargo, Hex, Go and NuGet.

// npmName keeps the case: JSONStream and jsonstream are two packages. Refused is what the registry never took; the
// characters !'()* of a few packages from its first years are refused too.
func npmName(name string) (string, error) {
	if len(name) > 214 {
		return name, errors.New("longer than 214 bytes")
	}
	pkg := name
	if scope, rest, scoped := strings.Cut(name, "/"); scoped || strings.HasPrefix(name, "@") {
		if !scoped || !strings.HasPrefix(scope, "@") {
			return name, errors.New("want name or @scope/name")
		}
		if err := npmPart(scope[1:]); err != nil {
			return name, err
		}
		pkg = rest
	} else if strings.HasPrefix(name, "_") {
		return name, errors.New("begins with an underscore")
	}
	if strings.EqualFold(name, "node_modules") || strings.EqualFold(name, "favicon.ico") {
		return name, errors.New("reserved by npm")
	}
	return name, npmPart(pkg)
}

func npmPart(s string) error {
	if strings.HasPrefix(s, ".") {
		return errors.New("a part begins with a dot")
	}
	return only(s, "-._~")
}

// npmPartEnd: after @acme- any other scope may follow, @acme-evil; after acme- there are only packages of that prefix.
func npmPartEnd(prefix string) bool {
	if strings.HasPrefix(prefix, "@") {
		return strings.Contains(prefix, "/")
	}
	return strings.HasSuffix(prefix, "-")
}

// cargoName folds case and underscore, as crates.io does when it decides whether a name is taken.
func cargoName(name string) (string, error) {
	switch {
	case len(name) > 64:
		return name, errors.New("longer than 64 bytes")
	case name != "" && !isLetter(name[0]):
		return name, errors.New("does not begin with a letter")
	}
	return strings.ReplaceAll(strings.ToLower(name), "_", "-"), only(name, "-_")
}

// hexName keeps the name as it is. The public repository has the name hexpm, which is left out; an organisation's may be
// written as Mix does in lock files, hexpm:acme.
func hexName(name string) (string, error) {
	repo, pkg, named := strings.Cut(name, "/")
	if !named {
		return name, hexPackage(name)
	}
	repo = strings.TrimPrefix(repo, "hexpm:")
	if err := only(repo, "_-"); err != nil {
		return name, err
	}
	if repo != strings.ToLower(repo) {
		return name, errors.New("the repository's name is not lower-case")
	}
	if repo == "hexpm" {
		return pkg, hexPackage(pkg)
	}
	return repo + "/" + pkg, hexPackage(pkg)
}

func hexPackage(pkg string) error {
	if pkg != "" && (pkg[0] < 'a' || pkg[0] > 'z') {
		return errors.New("the package's name does not begin with a lower-case letter")
	}
	return only(pkg, "_")
}

// goPath keeps the case: github.com/BurntSushi/toml is the module's name.
func goPath(path string) (string, error) {
	return path, module.CheckPath(path)
}

// nugetName folds case, as NuGet does.
func nugetName(name string) (string, error) {
	if len(name) > 100 {
		return name, errors.New("longer than 100 bytes")
	}
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '.' || r == '-' }) {
		if err := only(part, "_"); err != nil {
			return name, fmt.Errorf("%v and single . or -", err)
		}
	}
	return strings.ToLower(name), nugetSeparators(name)
}

// nugetSeparators refuses dots and hyphens that are not between two words.
func nugetSeparators(name string) error {
	afterWord := false
	for i := range len(name) {
		word := name[i] != '.' && name[i] != '-'
		if !word && !afterWord {
			return errors.New("a dot or hyphen that is not between two words")
		}
		afterWord = word
	}
	if !afterWord {
		return errors.New("empty, or ends in a dot or hyphen")
	}
	return nil
}
