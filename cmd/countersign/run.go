package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// verb is one thing the program does; its arguments come without its name.
type verb struct {
	name  string
	usage string
	run   func(args []string, t terminal) error
}

// verbs are in the order of the life of a package.
func verbs() []verb {
	return []verb{
		{"keygen", keygenUsage, keygen},
		{"enrol", enrolUsage, enrol},
		{"register", registerUsage, register},
		{"sign", signUsage, sign},
		{"submit", submitUsage, submit},
		{"pins", pinsUsage, pins},
		{"check", checkUsage, check},
		{"verify", verifyUsage, verify},
		{"policy", policyUsage, policies},
		{"end-enrolment", endEnrolmentUsage, endEnrolment},
		{"withdraw", withdrawUsage, withdrawPurls},
		{"show", showUsage, show},
		{"attest", attestUsage, attestKey},
		{"admin", adminUsage, admin},
		{"completion", completionUsage, completion},
		{"man", manUsage, man},
		{"version", versionUsage, version},
	}
}

func run(args []string, in io.Reader, out, err io.Writer) int {
	t := terminal{in, out, err}
	if len(args) == 0 {
		fmt.Fprint(t.err, usage)
		return 2
	}
	name, args := args[0], args[1:]
	switch name {
	case "--help", "-help", "-h", "help":
		if len(args) == 0 {
			fmt.Fprint(t.out, usage)
			return 0
		}
		name, args = args[0], []string{"--help"}
	case "--version":
		name = "version"
	}
	v, unknown := find(name)
	if unknown != nil {
		return t.report("", unknown)
	}
	failure := v.run(args, t)
	if errors.Is(failure, flag.ErrHelp) {
		fmt.Fprint(t.out, v.usage)
		return 0
	}
	return t.report(v.name, failure)
}

func find(name string) (verb, error) {
	var nearest string
	least := 3 // more than two typing errors are another word
	for _, v := range verbs() {
		if v.name == name {
			return v, nil
		}
		if d := distance(name, v.name); d < least {
			nearest, least = v.name, d
		}
	}
	err := misuse{fmt.Errorf("unknown command %q", name)}
	if nearest != "" {
		return verb{}, hinted{err, fmt.Sprintf("did you mean %q?", nearest)}
	}
	return verb{}, hinted{err, "countersign --help lists the commands"}
}

// distance counts the letters to insert, remove or replace that make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
