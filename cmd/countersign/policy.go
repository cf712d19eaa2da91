package main

import (
	"fmt"

	"countersign.dev/policy"
)

const policyUsage = `usage: countersign policy test FILE …

A policy is what you decide by, beyond whom you trust for which names: rules
over what a verified proof says. check and verify take such a file.

  test  read policies, and hold them to their own examples

A policy, reviewed.toml:

  version = 1
  [[rule]]
  name      = "reviewed"
  severity  = "error"                 # refuse; "warning" and "note" are said
  message   = "generated code that nobody reviewed"
  namespace = ["pkg:npm/@acme/*"]     # leave out for every name
  allow     = 'ai.extent != "generated" || size(ai.reviewedBy) > 0'
  [[example]]
  purl       = "pkg:npm/%40acme/widget@1.2.3"
  attributes = '''{"aiGeneration":
    {"extent": "none", "tools": [], "reviewedBy": []}}'''
  [[example]]
  purl       = "pkg:npm/%40acme/widget@1.2.3"
  attributes = '''{"aiGeneration":
    {"extent": "generated", "tools": [], "reviewedBy": []}}'''
  violates   = ["reviewed"]

  countersign policy test reviewed.toml

Each rule needs an example that violates it and one that it applies to and that
keeps it. allow is an expression in CEL; the rule is violated where it is false
or has no answer:

  basis == "publisher" && !publisherEnded     and, not, equal
  now - countersignedAt >= duration("72h")    times and durations
  purl.startsWith("pkg:npm/%40acme/")         also endsWith and contains
  purl.matches("-(alpha|beta)[.]")            a regular expression (RE2)
  publisher in ["sha256:…", "sha256:…"]       one of a list
  ai.declared && ai.extent == "none"          none, assisted or generated
  ai.tools.all(t, t.name != "scribe")         for all, or exists: for one
  size(ai.reviewedBy) >= 2                    how many
  has(attributes.build) && attributes.build.level >= 3
  "com.example.x" in attributes && attributes["com.example.x"] == "y"

The variables: purl, registry, basis ("publisher" or "registry"), publisher,
publisherEnded, signedAt (a publisher's word: no answer without one),
countersignedAt, now, pinNamespace, attributes, and ai, with declared, extent,
tools (each with name and version) and reviewedBy.

Exit status: 0 as the examples say, 1 not so, 2 wrong arguments.
`

func policies(args []string, t terminal) error {
	operands, err := parse(newFlags("policy"), args)
	switch {
	case err != nil:
		return err
	case len(operands) == 0 || operands[0] != "test":
		return misused("say what to do: test")
	case len(operands) == 1:
		return misused("give the policies to test")
	}
	failed := false
	for _, path := range operands[1:] {
		if err := testPolicy(path, t); err != nil {
			t.complain("policy", err)
			failed = true
		}
	}
	if failed {
		return exitStatus(1)
	}
	return nil
}

func testPolicy(path string, t terminal) error {
	p, err := readPolicy(path)
	if err != nil {
		return err
	}
	failures := p.Test()
	for _, f := range failures {
		t.note("policy: %s: line %d: %s", path, f.Line, f.Message)
	}
	if len(failures) > 0 {
		return fmt.Errorf("%s: not as its examples say", path)
	}
	t.say("%s: %s and %s, as they should be", path, counted(p.Rules(), "rule"), counted(p.Examples(), "example"))
	return nil
}

func readPolicy(path string) (*policy.Policy, error) {
	data, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	return policy.Parse(data, path)
}
