package main

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

func initPins(args []string, t terminal) error {
	flags := newFlags("pins init")
	fromLock, out := flags.Bool("from-lock", false, ""), flags.String("out", "", "")
	operands, err := parse(flags, args)
	switch {
	case err != nil:
		return err
	case !*fromLock:
		return hint(misused("--from-lock is missing: what to take the names from"), "countersign pins init --from-lock reads the lockfiles of the project in this folder")
	case *out != "":
		if err := absent(*out); err != nil {
			return err
		}
	}
	files, err := lockfiles(operands)
	if err != nil {
		return err
	}
	s := newSurvey()
	for _, file := range files {
		l, err := lockfile.Read(file)
		if err != nil {
			return hint(err, "leave it out by naming the others")
		}
		s.add(l)
	}
	text := s.proposal(files)
	if *out == "" {
		_, err = fmt.Fprint(t.out, text)
		return err
	}
	if err := writeNew(*out, []byte(text), 0o644); err != nil {
		return err
	}
	t.field("read", "%s", counted(len(files), "lockfile"))
	t.field("wrote", "%s, which says what to do next", *out)
	return nil
}

// lockfiles are the files that are named, and those in the folders that are.
func lockfiles(operands []string) ([]string, error) {
	if len(operands) == 0 {
		operands = []string{"."}
	}
	var files []string
	for _, name := range operands {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return nil, err
		case !info.IsDir():
			files = append(files, name)
			continue
		}
		found, err := lockfile.Find(name)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s has no lockfile", name)
		}
		files = append(files, found...)
	}
	return files, nil
}

// survey is what lockfiles say of where names come from.
type survey struct {
	groups map[groupKey]map[string]bool // names by the namespace that would cover them
	names  map[string]map[string]bool   // from the public registry, by purl type
	unread int                          // entries that name no package of a registry
}

// groupKey is a namespace, and where its packages come from: "" where the lockfile does not say.
type groupKey struct{ kind, pattern, host string }

func newSurvey() *survey {
	return &survey{make(map[groupKey]map[string]bool), make(map[string]map[string]bool), 0}
}

func (s *survey) add(l *lockfile.File) {
	for _, e := range l.Entries {
		if e.Coordinate.IsZero() || e.Problem == lockfile.FromPath || e.Problem == lockfile.FromGit {
			s.unread++
			continue
		}
		kind := e.Coordinate.Type()
		host := sourceHost(e)
		if slices.Contains(publicRegistries[kind], host) {
			put(s.names, kind, e.Coordinate.Name())
			continue
		}
		put(s.groups, groupKey{kind, namespaceOf(e.Coordinate), host}, e.Coordinate.Name())
	}
}

func put[K comparable](all map[K]map[string]bool, key K, name string) {
	if all[key] == nil {
		all[key] = make(map[string]bool)
	}
	all[key][name] = true
}

// publicRegistries are the places where anybody can publish any name that is free, by purl type.
var publicRegistries = map[string][]string{
	"npm":   {"registry.npmjs.org", "registry.yarnpkg.com"},
	"cargo": {"github.com/rust-lang/crates.io-index", "index.crates.io"},
	"hex":   {"hexpm"},
	"pypi":  {"pypi.org", "files.pythonhosted.org"},
	"nuget": {"api.nuget.org"},
	"maven": {"repo.maven.apache.org", "repo1.maven.org"},
}

// sharedHosts have many owners, so that a name's owner is its second part.
var sharedHosts = []string{"github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht",
	"docker.io", "ghcr.io", "quay.io", "gcr.io", "public.ecr.aws", "registry.gitlab.com"}

// sourceHost is where an entry comes from, without what changes from package to package. In Go and OCI names begin with
// it, and say so without a lockfile: those of shared hosts do not tell whose they are.
func sourceHost(e lockfile.Entry) string {
	if kind := e.Coordinate.Type(); kind == "oci" {
		host, _, _ := strings.Cut(e.Coordinate.Name(), "/")
		if slices.Contains(sharedHosts, host) {
			return ""
		}
		return host
	}
	u, err := url.Parse(e.Source)
	if err != nil || u.Host == "" {
		return e.Source // a name, such as Hex has for repositories
	}
	host := strings.ToLower(u.Hostname())
	if e.Coordinate.Type() == "cargo" && slices.Contains(sharedHosts, host) {
		return host + strings.TrimSuffix(u.Path, "/")
	}
	return host
}

// namespaceOf is the namespace that an owner would have pinned for c: the scope, group or path that c is in, or its name
// alone where names have no owners.
func namespaceOf(c provenance.Coordinate) string {
	kind, name, _ := strings.Cut(c.MatchKey(), "/")
	parts := strings.Split(name, "/")
	depth := 1
	if (kind == "golang" || kind == "oci") && slices.Contains(sharedHosts, parts[0]) {
		depth = 2
	}
	if len(parts) > depth {
		if ns, err := provenance.ParsePinNamespace("pkg:" + kind + "/" + strings.Join(parts[:depth], "/") + "/*"); err == nil && ns.Covers(c) {
			return ns.String()
		}
	}
	return "pkg:" + c.MatchKey()
}
