// Package lockfile reads the files in which package managers write down what a project depends on, and says of each
// entry which package it is, in which version, where it came from, and what its file must hash to.
//
// # What an entry is
//
// An [Entry] is one package in one version, as the lockfile has it. Its coordinate is canonical: what the lockfile
// writes otherwise is brought into the one form, as the ecosystem's own client would. Its digests are those that the
// lockfile demands, under the names of the format; one file has several under different names, and where the client
// accepts any of several files (pip with many --hash), each is an alternative of its own.
//
// Nothing is passed over. An entry that cannot be checked, because it has no digest or comes from a git repository, a
// path or a URL, has a [Problem] that says so; whoever reads a lockfile decides what that means.
//
// # Lockfiles are hostile
//
// A lockfile may come in a pull request. It is read strictly where its format allows, within the limits of limits.go,
// and refused where two clients could read it differently: duplicate keys, an entry twice with other digests, digests
// of the wrong length.
//
// # Adding a format
//
// Write one file with a read function and add one row to the table in formats.go.
package lockfile

import (
	"countersign.dev/provenance"
)

// A File is one lockfile.
type File struct {
	Path      string
	Format    string // such as "package-lock.json v3"
	Ecosystem string // the purl type of its entries, which one without a coordinate does not say
	Entries   []Entry
}

// An Entry is one dependency. The same package may come several times, in several versions.
type Entry struct {
	Coordinate provenance.Coordinate // zero if the entry names none; pypi: without a file name
	Name       string                // as the lockfile has it, for people
	Line       int                   // where it is, from 1; 0 where the format has no lines
	Source     string                // the registry or URL it is said to come from; "" where the lockfile does not say

	// Files are the digests that the client accepts, each of one file; "" is no key. Any of them will do. Empty
	// with a Problem only.
	Files []provenance.Digests

	Problem Problem // why it cannot be checked, "" if it can
	Detail  string  // of the problem, for people

	// Within is the entry in whose file this one is and from nowhere else, as its index and one; 0 for none. Such an
	// entry has no digest of its own.
	Within int
}

// A Problem is why an entry cannot be checked.
type Problem string

const (
	NoDigest   Problem = "no-digest"   // the lockfile has none for it
	WeakDigest Problem = "weak-digest" // only such as MD5 or SHA-1
	NotLocked  Problem = "not-locked"  // no exact version
	FromGit    Problem = "git"
	FromPath   Problem = "path"
	FromURL    Problem = "url"
	BadName    Problem = "name" // the ecosystem has no such name or version; Detail has the canonical form
)
