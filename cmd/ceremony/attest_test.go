package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"countersign.dev/attest"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/provenance"
	"countersign.dev/tpm"
)

// The three documents of a sealed key: what to challenge, the answer, and what is published.
func TestAttestSealedKey(t *testing.T) {
	r := newRoom(t)
	r.seal()
	r.approve("request", "approval")
	r.done("tpm", "add-approval", "--key", r.uri(), "--approval", r.path("approval"))
	sealed, err := tpm.ParseSealed([]byte(r.read("sealed")))
	must(t, err)
	public, err := provenance.NewPublicKey(sealed.PublicKey)
	must(t, err)
	attesting := func(out string, more ...string) []string {
		return append([]string{"attest", "--key", r.uri(), "--public-key", public.String(), "--out", r.path(out)}, more...)
	}
	r.done(attesting("bare.json")...)
	certified, maker := certifyEK(t, document(t, r.read("bare.json")))
	must(t, os.WriteFile(r.path("ek.pem"), certified, 0o644))

	r.done(attesting("first.json", "--certificates", r.path("ek.pem"))...)
	challenge, secret, err := attest.NewChallenge(document(t, r.read("first.json")))
	must(t, err)
	file, err := challenge.Format()
	must(t, err)
	r.write("challenge", string(file))
	r.done(attesting("answer.json", "--certificates", r.path("ek.pem"), "--challenge", r.path("challenge"), "--previous", r.path("first.json"))...)
	q := attest.Question{Now: time.Now(), Secret: secret, Require: attest.TPMSealed}
	must(t, q.Anchors.Add(maker))
	report, err := attest.Verify([]byte(r.read("answer.json")), q)
	must(t, err)
	if report.Document.Claims.Previous != attest.Digest([]byte(r.read("first.json"))) {
		t.Error("the document before is another one")
	}
	auditor, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	certificate, err := attest.Certify(report, private, time.Now())
	must(t, err)
	file, err = certificate.Format()
	must(t, err)
	r.write("ak-certificate", string(file))
	out := r.done(attesting("published.json", "--certificates", r.path("ek.pem"), "--ak-certificate", r.path("ak-certificate"), "--agent", os.Args[0])...)
	published := []byte(r.read("published.json"))
	if !strings.Contains(out, public.Fingerprint()) || !strings.Contains(out, attest.Digest(published)) {
		t.Errorf("it does not say how an identity names it:\n%s", out)
	}
	q = attest.Question{Now: time.Now(), Require: attest.TPMSealed}
	q.Anchors.Auditors = append(q.Anchors.Auditors, auditor)
	report, err = attest.Verify(published, q)
	must(t, err)
	program, err := os.ReadFile(os.Args[0])
	must(t, err)
	if report.Document.Claims.Agent != attest.Digest(program) {
		t.Error("the agent is another one")
	}
	r.refused("nothing is overwritten", attesting("published.json")...)
	r.refused("belongs to a key in a PKCS#11 token", attesting("x", "--vendor", "x="+r.path("pin"))...)
	r.write("pin", "incorrect horse")
	r.refused("refused the PIN", attesting("x")...)
	if n := r.capabilities().Lockout.Failures; n != 1 {
		t.Errorf("%d failures", n)
	}
	if _, err := os.Stat(r.path("x")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused document was written")
	}
}

func document(t *testing.T, text string) *attest.Document {
	t.Helper()
	d, err := attest.Parse([]byte(text))
	must(t, err)
	return d
}

// certifyEK is a maker of TPMs who certifies the one that a document shows. Both certificates are in PEM.
func certifyEK(t *testing.T, d *attest.Document) (certificate, maker []byte) {
	t.Helper()
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](d.TPM.EKPublic)
	must(t, err)
	ek, err := tpm2.Pub(*public)
	must(t, err)
	authority, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a TPM"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}}
	maker, err = x509.CreateCertificate(rand.Reader, root, root, authority, key)
	must(t, err)
	certificate, err = x509.CreateCertificate(rand.Reader, leaf, root, ek, key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: maker})
}

func TestAttestToken(t *testing.T) {
	tokens := softhsm.New(t)
	key := tokens.Key(tokens.Token("registry"), "log-1")
	s := &stage{t, t.TempDir()}
	public, err := provenance.NewPublicKey(key.PublicKey)
	must(t, err)
	nonce := strings.Repeat("ab", 16)
	args := []string{"attest", "--key", key.URI.String(), "--public-key", public.String(), "--out", s.path("evidence.json"), "--nonce", nonce}
	s.write("vendor.pem", "of the vendor")
	if out, status := s.run("", append(slices.Clone(args), "--vendor", "example="+s.path("vendor.pem"))...); status != 0 {
		t.Fatalf("%d %s", status, out)
	}
	q := attest.Question{Now: time.Now(), Require: attest.SoftwareTest}
	q.Nonce, err = hex.DecodeString(nonce)
	must(t, err)
	r, err := attest.Verify([]byte(s.read("evidence.json")), q)
	must(t, err)
	c := r.Document.Claims
	if !c.PKCS11.Attributes["CKA_NEVER_EXTRACTABLE"] || c.PKCS11.Attributes["CKA_EXTRACTABLE"] || c.Token.Serial == "" || !slices.Equal(c.PKCS11.AllowedMechanisms, []uint{0x1057}) {
		t.Errorf("%+v", c)
	}
	if v := c.PKCS11.Vendor; len(v) != 1 || v[0].Format != "example" || string(v[0].Data) != "of the vendor" {
		t.Errorf("%+v", v)
	}
	other, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	swapped, err := provenance.NewPublicKey(other)
	must(t, err)
	args[4], args[6] = swapped.String(), s.path("other.json")
	if out, status := s.run("", args...); status != 1 || !strings.Contains(out, "pinned") {
		t.Errorf("another public key: %d %s", status, out)
	}
}

func TestAttestUsage(t *testing.T) {
	s := &stage{t, t.TempDir()}
	s.write("file", "x")
	complete := []string{"attest", "--key", "pkcs11:token=a", "--public-key", "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "--out", s.path("out")}
	for _, more := range [][]string{
		nil, complete[1:3], complete[1:5], append(slices.Clone(complete[1:]), "more"), append(slices.Clone(complete[1:]), "--nonce", "ab"),
		append(slices.Clone(complete[1:]), "--challenge", s.path("file")), append(slices.Clone(complete[1:]), "--ak-certificate", s.path("file")),
		append(slices.Clone(complete[1:]), "--certificates", s.path("file")), append(slices.Clone(complete[1:]), "--previous", s.path("file")),
		append(slices.Clone(complete[1:]), "--vendor", "x"), append(slices.Clone(complete[1:]), "--agent", s.path("absent")),
		{"--key", "pkcs11:token=a", "--public-key", "x", "--out", "x"},
	} {
		if out, status := s.run("", append([]string{"attest"}, more...)...); status != 2 || !strings.Contains(out, "see ceremony attest --help") {
			t.Errorf("%q: %d %s", more, status, out)
		}
	}
	if out, status := s.run("", "attest", "--help"); status != 0 || !strings.Contains(out, "can never be a checkpoint") {
		t.Errorf("%d %s", status, out)
	}
}
