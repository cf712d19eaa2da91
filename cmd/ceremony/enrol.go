package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"countersign.dev/hsm"
	"countersign.dev/provenance"
)

// enrol signs one enrolment certificate with an enrolment key in a token. The command countersign enrol starts it for keys
// that are named by a pkcs11: URI, since that program has no PKCS#11 in it.
func enrol(ctx context.Context, args []string, t terminal) error {
	var e provenance.Enrolment
	flags := flag.NewFlagSet("enrol", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	uri := flags.String("key", "", "")
	identityFile := flags.String("identity", "", "")
	publisherFile := flags.String("publisher", "", "")
	out := flags.String("out", "", "")
	notAfter := flags.String("not-after", "", "")
	flags.Func("namespace", "", func(s string) error {
		ns, err := provenance.ParseNamespace(s)
		e.Namespaces = append(e.Namespaces, ns)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("enrol: %v: %w", err, errUsage)
	}
	if *uri == "" || *identityFile == "" || *publisherFile == "" || *out == "" || len(e.Namespaces) == 0 || flags.NArg() > 0 {
		return fmt.Errorf("enrol: --key, --identity, --publisher, --namespace and --out must be given: %w", errUsage)
	}
	identity, err := readIdentity(*identityFile)
	if err != nil {
		return err
	}
	if e.Publisher, err = readPublicKey(*publisherFile); err != nil {
		return err
	}
	if *notAfter != "" {
		var end provenance.Time
		if err := end.UnmarshalText([]byte(*notAfter)); err != nil {
			return fmt.Errorf("enrol: --not-after: %w", err)
		}
		e.NotAfter = end.Time
	}
	if err := mayEnrol(identity, e); err != nil {
		return err
	}
	key, err := openEnrolmentKey(ctx, *uri, identity)
	if err != nil {
		return err
	}
	defer key.Close()
	e.Registry, e.Issued = identity.Registry, time.Now()
	certificate, err := e.Sign(key)
	if err != nil {
		return err
	}
	if !identity.Enrols(certificate.Envelope) {
		return errors.New("enrol: the certificate does not verify with the identity's enrolment keys")
	}
	if err := writeNew(*out, string(certificate.Envelope.JSON())+"\n"); err != nil {
		return err
	}
	t.say("Enrolled publisher %s at %s: %s", e.Publisher.Fingerprint(), e.Registry, *out)
	return nil
}

// mayEnrol refuses what the registry would refuse, before the key is used.
func mayEnrol(identity *provenance.Identity, e provenance.Enrolment) error {
	if identity.Holds(e.Publisher) {
		return fmt.Errorf("enrol: %s has a role in the identity of %s: one key, one role", e.Publisher.Fingerprint(), identity.Registry)
	}
	for _, ns := range e.Namespaces {
		if !slices.ContainsFunc(identity.Namespaces, ns.Within) {
			return fmt.Errorf("enrol: %s does not speak for all of %s", identity.Registry, ns)
		}
	}
	return nil
}

// endEnrolment signs the end of a certificate with an enrolment key in a token, as countersign end-enrolment does with one
// in a file.
func endEnrolment(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("end-enrolment", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	uri := flags.String("key", "", "")
	identityFile := flags.String("identity", "", "")
	certificate := flags.String("enrolment", "", "")
	reason := flags.String("reason", "", "")
	out := flags.String("out", "", "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("end-enrolment: %v: %w", err, errUsage)
	}
	if *uri == "" || *identityFile == "" || *certificate == "" || *reason == "" || *out == "" || flags.NArg() > 0 {
		return fmt.Errorf("end-enrolment: --key, --identity, --enrolment, --reason and --out must be given: %w", errUsage)
	}
	identity, err := readIdentity(*identityFile)
	if err != nil {
		return err
	}
	enrolment, err := enrolmentDigest(*certificate)
	if err != nil {
		return err
	}
	key, err := openEnrolmentKey(ctx, *uri, identity)
	if err != nil {
		return err
	}
	defer key.Close()
	end, err := provenance.EnrolmentEnd{Registry: identity.Registry, Enrolment: enrolment, Reason: *reason, Ended: time.Now()}.Sign(key)
	if err != nil {
		return err
	}
	if err := writeNew(*out, string(end.Envelope.JSON())+"\n"); err != nil {
		return err
	}
	t.say("Ended enrolment %s at %s: %s", enrolment, identity.Registry, *out)
	return nil
}

// enrolmentDigest takes a certificate's file, or its digest as it is.
func enrolmentDigest(s string) (string, error) {
	if strings.HasPrefix(s, "sha256:") {
		return s, nil
	}
	data, err := os.ReadFile(s)
	if err != nil {
		return "", err
	}
	envelope, err := provenance.ParseEnvelope(bytes.TrimSpace(data))
	if err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	certificate, err := provenance.ParseEnrolment(envelope)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	return certificate.Digest(), nil
}

// openEnrolmentKey takes the token's key only if it is an enrolment key of the identity.
func openEnrolmentKey(ctx context.Context, uri string, identity *provenance.Identity) (*hsm.Key, error) {
	u, err := hsm.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	found, err := hsm.Inspect(ctx, u)
	if err != nil {
		return nil, err
	}
	for _, k := range identity.Enrol {
		if string(k.PublicKey[:]) == string(found.Key.PublicKey) && !k.Ended {
			return hsm.Open(ctx, hsm.Config{URI: u, PublicKey: k.PublicKey.Ed25519()})
		}
	}
	return nil, fmt.Errorf("the key in token %s is not an enrolment key of %s that is not ended", u.Token, identity.Registry)
}

func readIdentity(path string) (*provenance.Identity, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	envelopes, err := provenance.ParseEnvelopes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	chain, err := provenance.ParseChain(envelopes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return chain.Last(), nil
}

// readPublicKey reads a PEM public key, as countersign keygen writes it.
func readPublicKey(path string) (provenance.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return provenance.PublicKey{}, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return provenance.PublicKey{}, fmt.Errorf("%s: not a PEM public key", path)
	}
	key, err := provenance.ParseSPKI(block.Bytes)
	if err != nil {
		return key, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
