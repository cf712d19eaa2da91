package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign.dev/provenance"
)

const enrolUsage = `usage: countersign enrol --key KEY --identity FILE --publisher NAME.pub
                         --namespace PATTERN [--namespace …]
                         [--not-after TIME] --out FILE

enrol is for the registry's enrolment officer: it makes the certificate by which
a publisher's key may sign for namespaces of the registry. The appliance has no
enrolment key, so it cannot invent publishers.

  --key        the enrolment key: a file that countersign keygen made, or the
               pkcs11: URI of a key in a token. For a URI the program ceremony
               is started with the same arguments; it must lie beside this
               program or in PATH
  --identity   the registry's identity.json; the key must be one of its
               enrolment keys that is not ended
  --publisher  the publisher's public key. Compare its fingerprint with the
               publisher before
  --namespace  pkg:npm/left-pad for one name, pkg:npm/@acme/* for all that
               begin so. The prefix is text: pkg:npm/@acme* is @acme-evil too
  --not-after  2030-01-31T00:00:00Z; without it the certificate does not end by
               itself: see countersign end-enrolment

A worked example:

  countersign enrol --key officer.key --identity identity.json \
    --publisher acme.pub --namespace 'pkg:npm/@acme/*' \
    --not-after 2040-01-31T00:00:00Z --out acme.enrolment.json

The same with a key in a token:

  KEY='pkcs11:token=registry-enrolment;object=enrolment?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/countersign/enrolment.pin'
  countersign enrol --key "$KEY" --identity identity.json \
    --publisher acme.pub --namespace 'pkg:npm/@acme/*' \
    --out acme-token.enrolment.json

Then countersign register sends the certificate to the registry.

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

func enrol(args []string, t terminal) error {
	flags := newFlags("enrol")
	key, identity, publisher := flags.String("key", "", ""), flags.String("identity", "", ""), flags.String("publisher", "", "")
	notAfter, out := flags.String("not-after", "", ""), flags.String("out", "", "")
	var patterns list
	flags.Var(&patterns, "namespace", "")
	operands, err := parse(flags, args, "key", "identity", "publisher", "namespace", "out")
	if err == nil {
		err = none(operands)
	}
	if err != nil {
		return err
	}
	draft := provenance.Enrolment{Issued: time.Now()}
	if draft.Namespaces, err = parseNamespaces(patterns); err != nil {
		return err
	}
	if *notAfter != "" {
		if draft.NotAfter, err = parseTime(flags.Lookup("not-after")); err != nil {
			return err
		}
	}
	for _, ns := range draft.Namespaces {
		if warning := ns.Warning(); warning != "" {
			t.warn("%s", warning)
		}
	}
	if strings.HasPrefix(*key, "pkcs11:") {
		return startCeremony(append([]string{"enrol"}, args...), t)
	}
	if draft.Publisher, err = readPublicKey(*publisher); err != nil {
		return err
	}
	officer, err := readOfficer(*key, *identity)
	if err != nil {
		return err
	}
	return officer.enrol(draft, *out, t)
}

func parseNamespaces(patterns []string) ([]provenance.Namespace, error) {
	var out []provenance.Namespace
	for _, p := range patterns {
		ns, err := provenance.ParseNamespace(p)
		var c *provenance.CanonicalError
		if errors.As(err, &c) {
			return nil, hint(misuse{err}, "write --namespace '%s'", c.Canonical)
		}
		if err != nil {
			return nil, hint(misuse{err}, "a pattern is like pkg:npm/left-pad or pkg:npm/@acme/*")
		}
		out = append(out, ns)
	}
	return out, nil
}

func parseTime(f *flag.Flag) (time.Time, error) {
	var at provenance.Time
	if err := at.UnmarshalText([]byte(f.Value.String())); err != nil {
		return at.Time, misused("--%s: %v", f.Name, err)
	}
	return at.Time, nil
}

// enrol makes the certificate if the registry's identity lets the key and the namespaces stand.
func (o *officer) enrol(draft provenance.Enrolment, out string, t terminal) error {
	draft.Registry = o.identity.Registry
	if o.identity.Holds(draft.Publisher) {
		return hint(fmt.Errorf("%s has a role in the identity of %s", draft.Publisher.Fingerprint(), draft.Registry),
			"one key has one role: the publisher makes another with countersign keygen")
	}
	for _, ns := range draft.Namespaces {
		within := func(outer provenance.Namespace) bool { return ns.Within(outer) }
		if !slices.ContainsFunc(o.identity.Namespaces, within) {
			return hint(fmt.Errorf("%s does not speak for all of %s", draft.Registry, ns), "its namespaces: %s", joined(o.identity.Namespaces))
		}
	}
	certificate, err := draft.Sign(o.key)
	if err != nil {
		return err
	}
	if err := writeNew(out, append(certificate.Envelope.JSON(), '\n'), 0o644); err != nil {
		return err
	}
	t.field("registry", "%s, identity %s", draft.Registry, o.fingerprint)
	t.field("publisher", "%s", draft.Publisher.Fingerprint())
	t.field("namespaces", "%s", joined(draft.Namespaces))
	t.field("enrolment", "%s", certificate.Digest())
	t.field("wrote", "%s", out)
	return nil
}

func joined(namespaces []provenance.Namespace) string {
	var all []string
	for _, ns := range namespaces {
		all = append(all, ns.String())
	}
	return strings.Join(all, ", ")
}
