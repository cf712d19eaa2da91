package main

import (
	"fmt"
	"strings"

	"countersign.dev/provenance"
)

// newPins begins a pins file. With "reject" the first check of a real project would refuse everything that nobody
// countersigns yet, and be switched off; with "report" it would list all that, and bury what matters: another's package
// under a pinned name. With "ignore" pinned names are safe from the first day, and a check still counts the others.
const newPins = `# Whose word counts for which names. countersign check and countersign verify read this file; countersign pins add adds
# to it.
version = 1

` + firstDefault

const firstDefault = `# Of names that no pin covers: "ignore" lets a check only count them, "report" has it list them, "reject" refuse them. Go
# from one to the next as more of what you depend on is pinned.
default = "ignore"
`

// pinBlocks are pins as people edit them, each with an empty line before it.
func pinBlocks(pins []provenance.Pin, chain *provenance.Chain) string {
	var b strings.Builder
	id := chain.Last()
	for _, p := range pins {
		fmt.Fprintf(&b, "\n# %s, whose identity is valid until %s\n[[pin]]\n", id.Registry, provenance.At(id.Expires))
		fmt.Fprintf(&b, "namespace = %s\nregistry  = %s\nidentity  = %s\n", tomlString(p.Namespace.String()), tomlString(p.Registry), tomlString(p.Identity))
		fmt.Fprintf(&b, "latest    = { version = %d, sha256 = %s } # no older version counts\n", p.Latest.Version, tomlString(p.Latest.SHA256))
		fmt.Fprintf(&b, "require   = %s\nmode      = %s\n", tomlString(string(p.Require)), tomlString(string(p.Mode)))
	}
	return b.String()
}

// tomlString is printable text as a basic string of TOML.
func tomlString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
