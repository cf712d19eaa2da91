package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"strings"

	"countersign.dev/provenance"
)

const keygenUsage = `usage: countersign keygen --out NAME

keygen makes a publisher's Ed25519 key pair:

  NAME.key   the private key, PKCS#8 in PEM; only you can read it
  NAME.pub   the public key, SubjectPublicKeyInfo in PEM

and prints the key's fingerprint, the SHA-256 of the public key in DER.

A worked example:

  countersign keygen --out acme

Send acme.pub to the registry's enrolment officer, and the fingerprint by
another way, so that the two can be compared. What acme.key signs is yours:
keep it where your release job finds it and nothing else does.

The same fingerprint, without this program:

  openssl pkey -pubin -in acme.pub -outform DER | sha256sum

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

func keygen(args []string, t terminal) error {
	flags := newFlags("keygen")
	name := flags.String("out", "", "")
	operands, err := parse(flags, args, "out")
	if err != nil {
		return err
	}
	if err := none(operands); err != nil {
		return err
	}
	if base, ok := strings.CutSuffix(*name, ".key"); ok {
		return hint(misused("--out %s would make %s.key and %[1]s.pub", *name, *name), "write --out %s", base)
	}
	for _, path := range []string{*name + ".key", *name + ".pub"} {
		if err := absent(path); err != nil {
			return err
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key, err := provenance.NewPublicKey(public)
	if err != nil {
		return err
	}
	if err := writeKeys(*name, key, private); err != nil {
		return err
	}
	t.field("fingerprint", "%s", key.Fingerprint())
	t.field("wrote", "%s.key, %s.pub", *name, *name)
	return nil
}

// writeKeys leaves both files or none.
func writeKeys(name string, public provenance.PublicKey, private ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := writeNew(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	if err := writeNew(name+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public.SPKI()}), 0o644); err != nil {
		return errors.Join(err, os.Remove(name+".key"))
	}
	return nil
}
