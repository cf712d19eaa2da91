package main

import (
	"fmt"
	"strings"
	"time"

	"countersign.dev/provenance"
)

const endEnrolmentUsage = `usage: countersign end-enrolment --key FILE|URI --identity FILE
                                 --enrolment FILE|sha256:DIGEST
                                 --reason TEXT --out FILE

end-enrolment is for the registry's enrolment officer: it makes the signed end
of an enrolment certificate. Once countersign register sent it, the registry no
longer countersigns what the publisher signs under that certificate. What was
countersigned before stays valid; to un-trust that too, the registry's root
excludes it in a new version of the identity.

  --key        the enrolment key: a file, or a pkcs11: URI for a key in a token,
               which the program ceremony beside this one then uses
  --identity   the registry's identity.json
  --enrolment  the certificate, or its digest as countersign show prints it
  --reason     for those who read the log: at most 1024 bytes, public

A worked example:

  countersign end-enrolment --key officer.key --identity identity.json \
    --enrolment acme.enrolment.json --reason 'laptop stolen 2026-03-01' \
    --out acme.end.json

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

func endEnrolment(args []string, t terminal) error {
	flags := newFlags("end-enrolment")
	key, identity, enrolment := flags.String("key", "", ""), flags.String("identity", "", ""), flags.String("enrolment", "", "")
	reason, out := flags.String("reason", "", ""), flags.String("out", "", "")
	operands, err := parse(flags, args, "key", "identity", "enrolment", "reason", "out")
	if err == nil {
		err = none(operands)
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(*key, "pkcs11:") {
		return startCeremony(append([]string{"end-enrolment"}, args...), t)
	}
	officer, err := readOfficer(*key, *identity)
	if err != nil {
		return err
	}
	digest, err := officer.digestOf(*enrolment)
	if err != nil {
		return err
	}
	end, err := provenance.EnrolmentEnd{Registry: officer.identity.Registry, Enrolment: digest, Reason: *reason, Ended: time.Now()}.Sign(officer.key)
	if err != nil {
		return err
	}
	if err := writeNew(*out, append(end.Envelope.JSON(), '\n'), 0o644); err != nil {
		return err
	}
	t.field("registry", "%s", end.Registry)
	t.field("enrolment", "%s", end.Enrolment)
	t.field("ended", "%s, %s", provenance.At(end.Ended), end.Reason)
	t.field("wrote", "%s", *out)
	return nil
}

// digestOf gives the digest of a certificate, which is named by its file or by the digest itself.
func (o *officer) digestOf(enrolment string) (string, error) {
	if strings.HasPrefix(enrolment, "sha256:") {
		return enrolment, nil
	}
	e, err := readEnvelope(enrolment)
	if err != nil {
		return "", err
	}
	certificate, err := provenance.ParseEnrolment(e)
	if err != nil {
		return "", fmt.Errorf("%s: %w", enrolment, err)
	}
	if certificate.Registry != o.identity.Registry {
		return "", fmt.Errorf("%s is for registry %s, the identity is of %s", enrolment, certificate.Registry, o.identity.Registry)
	}
	return certificate.Digest(), nil
}
