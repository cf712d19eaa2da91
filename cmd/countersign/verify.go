package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign.dev/ecosystem"
	"countersign.dev/provenance"
)

const verifyUsage = `usage: countersign verify --pins FILE --purl PURL [--bundle FILE] ARTIFACT
       countersign verify --pins FILE --purl PURL --bundle FILE
                          --digest NAME:HEX …
       countersign verify --pins FILE --any-purl …
                          [--identity FILE] [--enrolment FILE …]
                          [--bridge FILE …] [--status FILE] [--policy FILE …]
                          [--fresh] [--json]

verify decides, with no network, whether the registry that you pinned
countersigned this file as the package you wanted.

  --pins       which registry you trust for which names
  --purl       the package you wanted, from your resolver or lockfile. Never
               take it from the bundle or the file: any package would do then
  --bundle     the proof; ARTIFACT.bundle.json if not given
  --digest     instead of the file, digests from a lockfile: sha256:9f86d0…
  --identity   the registry's identity.json that you keep yourself; the longer
               of it and the bundle's counts, and they must agree
  --enrolment  enrolment certificates, where the bundle has none
  --bridge     bridges from old heads of the log to newer ones
  --status     the registry's status document, which lists what it withdrew
  --policy     your own rules, on what was verified: see countersign policy
  --fresh      also refuse when the identity is past its expiry now
  --json       one JSON object on standard output
  --any-purl   take the package from the bundle. That tells you what the file
               is, not that it is what you wanted

A worked example. pins.toml:

  version = 1
  default = "reject"                  # of names that no pin covers
  [[pin]]
  namespace = "pkg:npm/@acme/*"
  registry  = "registry.example"
  identity  = "sha256:…"              # as the registry publishes it

  countersign verify --pins pins.toml --purl pkg:npm/%40acme/widget@1.2.3 \
    --bundle acme-widget-1.2.3.tgz.bundle.json acme-widget-1.2.3.tgz

With --json the object is one of

  {"verified":true,"purl":…,"registry":…,"basis":…,"publisher":…,"signedAt":…,"countersignedAt":…,
   "origin":…,"index":…,"size":…,"identityVersion":…,
   "publisherEnded":…,"attributes":…,"mode":…,
   "rulings":[{"rule":…,"severity":…,"message":…}]}
  {"verified":false,"code":…,"detail":…,"mode":…,"rulings":…}
  {"verified":false,"unchecked":…,"mode":…}

where mode is the pin's "enforce" or "report", or the default of the pins file
for names without a pin, and rulings are there if a policy has any. The exit
does not depend on the mode: what it leads to is decided by whoever runs verify.

Exit status: 0 verified, 1 refused, 2 could not be checked or wrong arguments.
`

// question is what verify was asked.
type question struct {
	provenance.Request
	mode   provenance.Mode // "" while it is not known
	denial denial          // by the policies
}

func verify(args []string, t terminal) error {
	flags := newFlags("verify")
	f := verifyFlags{}
	f.add(flags)
	operands, err := parse(flags, args, "pins")
	if err != nil {
		return err
	}
	if err := f.check(operands); err != nil {
		return err
	}
	if f.anyPurl {
		t.warn("--any-purl: the answer says which package this file is, not that it is the one you wanted")
	}
	q, err := f.question()
	var result *provenance.Result
	if err == nil {
		result, err = f.answer(&q)
	}
	if f.json {
		return tellMachine(q, result, err, t)
	}
	return tellPeople(q, result, err, t)
}

// answer asks one verifier about the status and, by it, about the file.
func (f *verifyFlags) answer(q *question) (*provenance.Result, error) {
	v := provenance.NewVerifier()
	q.Request.Policy = q.denial.judge
	if f.status == "" {
		return v.Verify(q.Request)
	}
	pin := q.Pins.For(q.expected())
	if pin == nil {
		return v.Verify(q.Request) // which refuses
	}
	data, err := readBounded(f.status, provenance.MaxStatusBundle)
	if err != nil {
		return nil, err
	}
	chain := q.Chain
	if b, err := provenance.ParseBundle(q.Bundle); err == nil && chain == nil && len(b.Identity) > 0 {
		chain, _ = provenance.ParseChain(b.Identity) // Verify judges it
	}
	if q.Status, err = v.Status(data, pin, chain, q.Bridges); err != nil {
		return nil, err
	}
	return v.Verify(q.Request)
}

// question reads everything that the answer depends on. What it could read is in the question even if there is an error.
func (f *verifyFlags) question() (q question, err error) {
	q.Request = provenance.Request{Purl: f.purl, AnyPurl: f.anyPurl, Now: time.Now(), Fresh: f.fresh, Artifact: f.artifact != ""}
	if err := q.readPins(f.pins); err != nil {
		return q, err
	}
	if q.Bundle, err = readStart(f.bundle, provenance.MaxBundle+1); err != nil {
		return q, hint(err, "the registry serves it beside the package; --bundle names it if it lies elsewhere")
	}
	expected := q.expected()
	if !expected.IsZero() {
		q.mode = q.Pins.Default
		if pin := q.Pins.For(expected); pin != nil {
			q.mode = pin.Mode
		}
	}
	if err := f.material(&q); err != nil {
		return q, err
	}
	if len(f.policies) > 0 {
		if q.denial.policies, err = readPolicies(f.policies); err != nil {
			return q, err
		}
		q.denial.now = q.Now
	}
	if f.artifact == "" {
		q.Digests, err = parseDigests(f.digests)
		return q, err
	}
	q.Digests, err = digestsOf(f.artifact, expected)
	return q, err
}

func (q *question) readPins(path string) error {
	data, err := readDocument(path)
	if err != nil {
		return err
	}
	if q.Pins, err = provenance.ParsePins(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// expected is the coordinate by which Verify will choose the pin, or zero if it will refuse to.
func (q *question) expected() provenance.Coordinate {
	if !q.AnyPurl {
		c, _ := provenance.ParseExpected(q.Purl)
		return c
	}
	bundle, err := provenance.ParseBundle(q.Bundle)
	if err != nil {
		return provenance.Coordinate{}
	}
	switch e, _ := provenance.ParseEntry(bundle.Statement); s := e.(type) {
	case *provenance.Countersignature:
		return s.Coordinate
	case *provenance.RegistryStatement:
		return s.Coordinate
	}
	return provenance.Coordinate{}
}

// material reads what may come beside the bundle.
func (f *verifyFlags) material(q *question) error {
	if f.identity != "" {
		chain, err := readIdentity(f.identity)
		if err != nil {
			return err
		}
		q.Chain = chain
	}
	q.Enrolments = make(map[string][]*provenance.Envelope)
	for _, path := range f.enrolments {
		e, err := readEnvelope(path)
		if err != nil {
			return err
		}
		q.Enrolments[e.PayloadDigest()] = append(q.Enrolments[e.PayloadDigest()], e)
	}
	for _, path := range f.bridges {
		data, err := readDocument(path)
		if err != nil {
			return err
		}
		b, err := provenance.ParseBridge(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		q.Bridges = append(q.Bridges, b)
	}
	return nil
}

// digestsOf computes those that the ecosystem of the coordinate knows. A file that is no package of that ecosystem has
// its plain digests: they tell whether it is the countersigned one all the same.
func digestsOf(artifact string, c provenance.Coordinate) (provenance.Digests, error) {
	digests, _, err := ecosystem.Digests(artifact, c.Type())
	if err != nil {
		digests, _, err = ecosystem.Digests(artifact, "")
	}
	return digests, err
}

func parseDigests(list []string) (provenance.Digests, error) {
	digests := make(provenance.Digests)
	for _, s := range list {
		name, value, _ := strings.Cut(s, ":")
		if digests[name] != "" {
			return nil, misused("--digest %s is there twice", name)
		}
		digests[name] = value
	}
	complete := provenance.Digests{"sha256": strings.Repeat("0", 64)} // a lockfile need not have one
	for name, value := range digests {
		complete[name] = value
	}
	if err := complete.Check(); err != nil {
		return nil, hint(misused("--digest: %v", err), "for example --digest sha512: and 128 lower-case hex digits")
	}
	return digests, nil
}

// asked explains an error that is about the question rather than the answer.
func asked(err error) error {
	var canonical *provenance.CanonicalError
	if errors.As(err, &canonical) {
		return hint(misused("--purl: %v", err), "write --purl '%s'", canonical.Canonical)
	}
	return err
}
