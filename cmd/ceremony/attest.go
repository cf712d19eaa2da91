package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"countersign.dev/attest"
	"countersign.dev/hsm"
	"countersign.dev/provenance"
	"countersign.dev/tpm"
)

// evidenceOrder says of which key evidence is wanted, and what goes into it.
type evidenceOrder struct {
	key     string // URI
	public  provenance.PublicKey
	claims  attest.Claims // the nonce, if a verifier chose one; the agent; the document before; vendors' attestations
	request tpm.EvidenceRequest
}

// collect makes the document. It opens the key with its PIN, has it sign the proof of possession, which can never be a
// checkpoint, and verifies the document.
func (o evidenceOrder) collect(ctx context.Context) ([]byte, error) {
	c := o.claims
	c.Time = time.Now().UTC().Truncate(time.Second)
	if o.request.Challenge != nil {
		c.Nonce = o.request.Challenge.Nonce
	}
	if c.Nonce == nil {
		c.Nonce = make([]byte, 32)
		rand.Read(c.Nonce) // never fails
	}
	if strings.HasPrefix(o.key, "tpm:") {
		u, err := tpm.ParseURI(o.key)
		if err != nil {
			return nil, err
		}
		if c.PKCS11 != nil {
			return nil, errors.New("a vendor's attestation belongs to a key in a PKCS#11 token")
		}
		r := o.request
		r.Claims = c
		return tpm.Evidence(ctx, tpm.Config{URI: u, PublicKey: o.public.Ed25519()}, r)
	}
	u, err := hsm.ParseURI(o.key)
	if err != nil {
		return nil, err
	}
	if o.request.Challenge != nil || o.request.AKCertificate != nil || o.request.Certificates != nil {
		return nil, errors.New("a challenge, an AK certificate and certificates belong to a key sealed by a TPM")
	}
	return hsm.Evidence(ctx, hsm.Config{URI: u, PublicKey: o.public.Ed25519()}, c)
}

// attestKey writes the evidence of one key.
func attestKey(ctx context.Context, args []string, t terminal) error {
	var o evidenceOrder
	flags := flag.NewFlagSet("attest", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.key, "key", "", "")
	out := flags.String("out", "", "")
	flags.Func("public-key", "", func(s string) (err error) {
		o.public, err = provenance.ParsePublicKey(s)
		return err
	})
	flags.Func("nonce", "", func(s string) (err error) {
		if o.claims.Nonce, err = hex.DecodeString(s); err != nil || len(o.claims.Nonce) < 16 || len(o.claims.Nonce) > 64 {
			return errors.New("not 32 to 128 hexadecimal digits")
		}
		return nil
	})
	o.addFiles(flags)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(t.out, attestUsage)
		return nil
	} else if err != nil {
		return fmt.Errorf("attest: %w: %w", err, errAttestUsage)
	}
	if o.key == "" || *out == "" || o.public == (provenance.PublicKey{}) || flags.NArg() > 0 {
		return fmt.Errorf("attest: --key, --public-key and --out must be given: %w", errAttestUsage)
	}
	if o.claims.Nonce != nil && o.request.Challenge != nil {
		return fmt.Errorf("attest: a challenge has a nonce of its own: give --challenge or --nonce: %w", errAttestUsage)
	}
	if _, err := os.Lstat(*out); err == nil {
		return fmt.Errorf("attest: %s exists: nothing is overwritten", *out)
	}
	data, err := o.collect(ctx)
	if err != nil {
		return fmt.Errorf("attest: %w", err)
	}
	if err := writeNew(*out, string(data)); err != nil {
		return err
	}
	t.say("Wrote %s. In the registry's identity, evidence names it by\n\n  key     %s\n  digest  %s\n", *out, o.public.Fingerprint(), attest.Digest(data))
	return nil
}

// addFiles adds what is read from files as it is given.
func (o *evidenceOrder) addFiles(flags *flag.FlagSet) {
	file := func(name string, take func([]byte) error) {
		flags.Func(name, "", func(path string) error {
			data, err := readLimited(path)
			if err != nil {
				return err
			}
			return take(data)
		})
	}
	file("challenge", func(data []byte) (err error) {
		o.request.Challenge, err = attest.ParseChallenge(data)
		return err
	})
	file("ak-certificate", func(data []byte) (err error) {
		o.request.AKCertificate, err = attest.ParseAKCertificate(data)
		return err
	})
	file("certificates", func(data []byte) error {
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				return fmt.Errorf("a %.40q is not a CERTIFICATE", block.Type)
			}
			o.request.Certificates = append(o.request.Certificates, block.Bytes)
		}
		if o.request.Certificates == nil {
			return errors.New("no certificate in PEM")
		}
		return nil
	})
	file("previous", func(data []byte) error {
		if _, err := attest.Parse(data); err != nil {
			return err
		}
		o.claims.Previous = attest.Digest(data)
		return nil
	})
	flags.Func("agent", "", func(path string) error {
		data, err := os.ReadFile(path)
		o.claims.Agent = attest.Digest(data)
		return err
	})
	flags.Func("vendor", "", func(s string) error {
		format, path, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("write FORMAT=FILE")
		}
		data, err := readLimited(path)
		if err != nil {
			return err
		}
		if o.claims.PKCS11 == nil {
			o.claims.PKCS11 = new(attest.PKCS11Claims)
		}
		o.claims.PKCS11.Vendor = append(o.claims.PKCS11.Vendor, attest.VendorAttestation{Format: format, Data: data})
		return nil
	})
}

// readLimited reads a file that fits into a document.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, attest.MaxDocument+1))
	if len(data) > attest.MaxDocument {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, attest.MaxDocument)
	}
	return data, err
}
