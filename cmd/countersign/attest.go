package main

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"countersign.dev/attest"
)

const attestUsage = `usage: countersign attest verify EVIDENCE [--anchors PEM …]
                                 [--identity FILE] [--nonce HEX] [--secret FILE]
                                 [--max-age DURATION] [--expect NAME=VALUE …]
                                 [--require CLASS] [--json]
       countersign attest challenge EVIDENCE --secret FILE --out FILE
       countersign attest certify EVIDENCE --anchors PEM … --secret FILE
                                  --key FILE --out FILE

attest tells, with no network, where a registry's key lives, as far as that can
be known. Of every claim verify says whether it is proven, self-reported or not
shown; a contradiction anywhere refuses the document.

  verify     check a key's evidence
  challenge  ask a machine whether its TPM is the certified one
  certify    as an auditor, say for everyone else that it answered

  --anchors   whom you believe, in PEM: certificates of makers of TPMs, public
              keys of auditors. You choose them; no system store is asked
  --identity  the registry's identity.json, which must name this document as the
              evidence of this key
  --nonce     the nonce that you gave to ceremony attest
  --secret    what challenge left with you. Show it to nobody before the answer
              is there: who has it can forge the answer
  --max-age   how old the document may say it is, like 720h
  --expect    a claim and the value it must have: key, agent, appliance,
              approver, counter, firmware, manufacturer, model, previous,
              serial, and pcr-0 to pcr-23. A claim that is self-reported is
              not proven by that
  --require   the class it must be: pkcs11-token, tpm-sealed, software-test.
              Of these only tpm-sealed can be proven
  --key       the auditor's private key, Ed25519 or ECDSA P-256, PKCS#8 in PEM
  --out       the file to make
  --json      one JSON object on standard output

What is never proven: that a TPM's sealed bytes are the key's seed, that no copy
of a key exists, and that a token's attributes are true.

Worked examples. An auditor challenges a machine; its keeper gives the file that
comes of it to ceremony attest:

  countersign attest challenge first.json --secret next.secret \
    --out next.challenge

When an answer is there, the auditor checks it, and certifies the TPM for those
who trust the auditor:

  countersign attest verify answer.json --anchors maker.pem --secret tpm.secret
  countersign attest certify answer.json --anchors maker.pem \
    --secret tpm.secret --key auditor.key --out ak-certificate.json

The keeper puts the certificate into the evidence that the registry publishes.
Who trusts the auditor's key:

  countersign attest verify evidence.json --anchors auditor.pub \
    --require tpm-sealed

With --json the object of verify has "verified": true, or false with "detail" or
"unchecked"; and "findings", each with "claim", "status" and "detail".

Exit status: 0 done, or what can be proven is; 1 not done, or contradicted;
2 wrong arguments, or could not be checked.
`

func attestKey(args []string, t terminal) error {
	todo := map[string]func([]string, terminal) error{"verify": verifyEvidence, "challenge": challengeMachine, "certify": certifyMachine}
	if len(args) == 0 {
		return misused("say what to do: verify, challenge or certify")
	}
	run, known := todo[args[0]]
	if !known {
		if _, err := parse(newFlags("attest"), args); err != nil {
			return err
		}
		return misused("%q is not verify, challenge or certify", args[0])
	}
	return run(args[1:], t)
}

// challengeMachine leaves the secret before the challenge: without it the answer is worth nothing.
func challengeMachine(args []string, t terminal) error {
	flags := newFlags("attest challenge")
	secretFile, out := flags.String("secret", "", ""), flags.String("out", "", "")
	operands, err := parse(flags, args, "secret", "out")
	if err != nil {
		return err
	}
	file, err := one(operands, "evidence document")
	if err != nil {
		return err
	}
	data, err := readDocument(file)
	if err != nil {
		return err
	}
	d, err := attest.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	challenge, secret, err := attest.NewChallenge(d)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := errors.Join(absent(*secretFile), absent(*out)); err != nil {
		return err
	}
	if err := writeFormat(*secretFile, secret, 0o600); err != nil {
		return err
	}
	if err := writeFormat(*out, challenge, 0o644); err != nil {
		return err
	}
	t.field("wrote", "%s, for the machine: ceremony attest --challenge %[1]s", *out)
	t.field("keep", "%s, for yourself", *secretFile)
	return nil
}

func writeFormat(path string, document interface{ Format() ([]byte, error) }, mode os.FileMode) error {
	data, err := document.Format()
	if err != nil {
		return err
	}
	return writeNew(path, data, mode)
}

func certifyMachine(args []string, t terminal) error {
	flags := newFlags("attest certify")
	var f evidenceFlags
	flags.Var(&f.anchors, "anchors", "")
	flags.StringVar(&f.secret, "secret", "", "")
	keyFile, out := flags.String("key", "", ""), flags.String("out", "", "")
	operands, err := parse(flags, args, "anchors", "secret", "key", "out")
	if err != nil {
		return err
	}
	if f.file, err = one(operands, "evidence document"); err != nil {
		return err
	}
	q, data, err := f.question()
	if err != nil {
		return err
	}
	key, err := readAuditor(*keyFile)
	if err != nil {
		return err
	}
	report, err := attest.Verify(data, q)
	if err != nil {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	certificate, err := attest.Certify(report, key, time.Now())
	if err != nil {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	if err := writeFormat(*out, certificate, 0o644); err != nil {
		return err
	}
	t.field("auditor", "%s", certificate.Auditor)
	t.field("wrote", "%s, for the machine: ceremony attest --ak-certificate %[1]s", *out)
	return nil
}

// readAuditor reads a private key; Certify says which kinds are an auditor's.
func readAuditor(path string) (crypto.Signer, error) {
	der, err := readPEM(path, "PRIVATE KEY", "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s is not the PKCS#8 form of a private key", path)
	}
	return signer, nil
}
