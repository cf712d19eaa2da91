package lockfile

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// A format is one row of the table: a kind of lockfile, and how to read it.
//
// To add one, write a file with a package-level variable of this type, such as cargoLock, and name it in formats.
type format struct {
	name      string                      // for people, without the version: "package-lock.json"
	ecosystem string                      // the purl type of its entries
	match     func(base string) bool      // is a file of this name one?
	named     bool                        // read if somebody names it: Find passes over such files
	read      func(*source) (list, error) // must bound what it keeps, and give every entry a digest or a problem
}

// formats is the table. The first that matches a file's name reads it.
var formats = []*format{
	&packageLock,
	&pnpmLock,
	&yarnLock,
	&requirements,
	&poetryLock,
	&uvLock,
	&pylock,
	&cargoLock, &mixLock,
	&goMod, &goSum,
	&nugetLock,
	&gradleVerification, &mavenLock,
	&dockerfile, &dockerfileFor, &composeFile,
	&kubernetesManifest, // takes any YAML file: the last
}

// called matches the names that the patterns of path.Match describe.
func called(patterns ...string) func(string) bool {
	return func(base string) bool {
		for _, p := range patterns {
			if ok, err := path.Match(p, base); ok && err == nil {
				return true
			}
		}
		return false
	}
}

func formatOf(base string) *format {
	for _, f := range formats {
		if f.match(base) {
			return f
		}
	}
	return nil
}

// Read reads one lockfile. Its name says which format it is in. Files that it includes are read if they are in its
// folder or below.
func Read(file string) (*File, error) {
	f := formatOf(filepath.Base(file))
	if by := unread[filepath.Base(file)]; by != "" && f == nil {
		return nil, fmt.Errorf("%s: the lockfiles of %s are not read, and nothing in it is checked: if another one decides what is installed, name that one", file, by)
	}
	if f == nil {
		return nil, fmt.Errorf("%s: not a lockfile by its name, want %s", file, names())
	}
	return f.open(file)
}

// ReadAs reads a lockfile of whatever name in a format, by one of the names of Formats.
func ReadAs(file, name string) (*File, error) {
	for _, f := range formats {
		if f.name == name {
			return f.open(file)
		}
	}
	return nil, fmt.Errorf("format %.40q is not known, want %s", name, names())
}

// Formats are the names of the formats.
func Formats() []string {
	all := make([]string, len(formats))
	for i, f := range formats {
		all[i] = f.name
	}
	return all
}

func (f *format) open(file string) (*File, error) {
	s, err := open(file)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return f.file(s)
}

func (f *format) file(s *source) (*File, error) {
	l, err := f.read(s)
	if err == nil {
		err = l.settle(f.ecosystem)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %.500s", s.path, err.Error()) // parts of the text may be in it
	}
	name := strings.TrimSpace(f.name + " " + l.version)
	return &File{Path: s.path, Format: name, Ecosystem: f.ecosystem, Entries: l.entries}, nil
}

func names() string { return strings.Join(Formats(), ", ") }

// errVersion is for versions of a format that came after this program, or long before it.
func errVersion(version string, known string) error {
	if version == "" {
		return errors.New("it does not say its version; let a current client write it again")
	}
	return fmt.Errorf("version %.20q is not known here, only %s", version, known)
}
