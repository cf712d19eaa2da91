// Command vectors writes provenance/testdata: the test vectors of the formats, for every implementation of them.
//
// It makes what it writes from the text of docs/format.md with code of its own (JSON, DSSE, Merkle trees, notes), and
// does not import package provenance: what the two disagree about is a mistake in one of them. Keys, times and file
// contents are fixed, so that two runs give the same bytes.
//
// A vector is a story: a publisher signs a file, a registry countersigns it, a consumer asks. A vector for a refusal
// tells the same story with one thing changed.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: vectors DIRECTORY   (writes every test vector into DIRECTORY)")
		os.Exit(2)
	}
	if err := write(os.Args[1], generate()); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

// generate gives every file of the test vectors by its name.
func generate() map[string][]byte {
	c := newCollection()
	for _, group := range [][]vector{
		validEcosystems(), validLogs(), validIdentities(), validBundles(), validPins(), validStatuses(),
		unaskable(), refusedPins(), refusedChains(), refusedSuccessions(), refusedIdentities(), refusedLogs(),
		refusedBundles(), refusedJSON(), lean(refusedProofs()), lean(refusedCheckpoints()), refusedBridges(),
		lean(refusedStatements()), lean(refusedSubjects()), lean(refusedPublications()), lean(refusedAttributes()), refusedNames(),
		lean(refusedDigests()), lean(refusedEnrolments()), lean(refusedPublishers()), lean(refusedInclusions()), refusedHeads(), refusedEnds(), refusedStatuses(), refusedByStatus(),
		ordered(),
	} {
		for _, v := range group {
			c.add(v)
		}
	}
	for _, l := range lists() {
		c.list(l)
	}
	c.index()
	return c.files
}

// lean takes the identity out of the bundles, to keep them small; the consumer has it.
func lean(group []vector) []vector {
	for i := range group {
		group[i].tell = all(group[i].tell, bundle(drop("identity")), ownIdentity((*built).identities))
	}
	return group
}

// write replaces the vectors in dir: files that are no longer made are removed.
func write(dir string, files map[string][]byte) error {
	for _, sub := range directories {
		if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}
