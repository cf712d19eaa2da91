package main

import (
	"flag"
	"path/filepath"
)

// verifyFlags are the arguments of verify.
type verifyFlags struct {
	pins, purl, bundle, identity string
	status                       string
	digests, enrolments, bridges list
	policies                     list
	anyPurl, fresh, json         bool
	artifact                     string // "" where digests are given
}

func (f *verifyFlags) add(flags *flag.FlagSet) {
	flags.StringVar(&f.pins, "pins", "", "")
	flags.StringVar(&f.purl, "purl", "", "")
	flags.StringVar(&f.bundle, "bundle", "", "")
	flags.StringVar(&f.identity, "identity", "", "")
	flags.StringVar(&f.status, "status", "", "")
	flags.Var(&f.policies, "policy", "")
	flags.Var(&f.digests, "digest", "")
	flags.Var(&f.enrolments, "enrolment", "")
	flags.Var(&f.bridges, "bridge", "")
	flags.BoolVar(&f.anyPurl, "any-purl", false, "")
	flags.BoolVar(&f.fresh, "fresh", false, "")
	flags.BoolVar(&f.json, "json", false, "")
}

// check holds the arguments together: what is wanted, and what it is compared with.
func (f *verifyFlags) check(operands []string) error {
	switch {
	case f.purl == "" && !f.anyPurl:
		return hint(misused("--purl is missing: the package you wanted, from your resolver or lockfile"),
			"--any-purl only tells which package a file is")
	case f.purl != "" && f.anyPurl:
		return misused("--purl and --any-purl exclude each other")
	case len(f.digests) > 0 && len(operands) > 0:
		return misused("an artifact and --digest exclude each other")
	case len(f.digests) > 0 && f.bundle == "":
		return misused("--digest needs --bundle")
	case len(f.digests) > 0:
		return nil
	}
	var err error
	if f.artifact, err = one(operands, "artifact"); err != nil {
		return err
	}
	if f.bundle == "" {
		f.bundle = filepath.Clean(f.artifact) + ".bundle.json"
	}
	return nil
}
