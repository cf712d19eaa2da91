package tpm_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
)

// TestEvidence goes the whole way: a first document, a challenge, the answer, an
// auditor's certificate, and a document that convinces who trusts the auditor.
func TestEvidence(t *testing.T) {
	c := newCertified(t)
	first := c.evidence(c.request())
	q := c.question()
	if r, err := attest.Verify(first, q); !errors.Is(err, attest.ErrUnchecked) || !strings.Contains(err.Error(), "challenge the machine") {
		t.Fatalf("without an answer: %v, %+v", err, r)
	}
	data, secret := c.answer(first)
	q.Secret = secret
	r, err := attest.Verify(data, q)
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]attest.Status{}
	for _, f := range r.Findings {
		status[f.Claim] = f.Status
	}
	for claim, want := range map[string]attest.Status{
		"endorsementKey": attest.Proven, "attestationKey": attest.Proven, "firmware": attest.Proven, "boot": attest.Proven, "pcr-7": attest.Proven,
		"approval": attest.Proven, "policy": attest.Proven, "creation": attest.Proven, "counter": attest.Proven, "publicKey": attest.Proven,
		"nonce": attest.Proven, "protection": attest.Proven, "time": attest.SelfReported, "token": attest.SelfReported, "approver": attest.SelfReported,
		"sealedBytes": attest.NotShown, "copies": attest.NotShown, "agent": attest.NotShown,
	} {
		if status[claim] != want {
			t.Errorf("%s is %q, want %q", claim, status[claim], want)
		}
	}
	auditor, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := attest.Certify(r, private, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	request := c.request()
	request.AKCertificate = certificate
	published := c.evidence(request)
	q = attest.Question{Now: time.Now(), Require: attest.TPMSealed, Nonce: request.Claims.Nonce}
	q.Anchors.Auditors = append(q.Anchors.Auditors, auditor)
	if _, err := attest.Verify(published, q); err != nil {
		t.Fatal(err)
	}
	if c.loaded() != 0 {
		t.Errorf("%d handles left", c.loaded())
	}
	if contains(published, c.seed) || contains(published, []byte(rightPIN)) {
		t.Error("the document holds a secret")
	}
	if dir := os.Getenv("RECORD_EVIDENCE"); dir != "" {
		record(t, dir, map[string][]byte{
			"first.json": first, "answer.json": data, "evidence.json": published, "maker.pem": c.root, "tpm.secret": must(secret.Format()),
			"auditor.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(auditor))}),
		})
	}
}

// record keeps documents of a real emulator for the tests of programs that cannot reach one.
func record(t *testing.T, dir string, files map[string][]byte) {
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEvidenceOfAnotherTPM: what one TPM says does not pass for another.
func TestEvidenceOfAnotherTPM(t *testing.T) {
	a, b := newCertified(t), newCertified(t)
	first := a.evidence(a.request())
	challenge, _, err := attest.NewChallenge(must(attest.Parse(first)))
	if err != nil {
		t.Fatal(err)
	}
	r := b.request()
	r.Challenge = challenge
	if _, err := tpm.Evidence(t.Context(), b.config, r); err == nil || !strings.Contains(err.Error(), "the nonce is not the challenge's") {
		t.Errorf("a challenge, and another nonce: %v", err)
	}
	r.Claims.Nonce = challenge.Nonce
	if _, err := tpm.Evidence(t.Context(), b.config, r); err == nil || !strings.Contains(err.Error(), "for another TPM") {
		t.Errorf("a foreign challenge: %v", err)
	}
	own, _, err := attest.NewChallenge(must(attest.Parse(b.evidence(b.request()))))
	if err != nil {
		t.Fatal(err)
	}
	relabelled := *challenge
	relabelled.EK, relabelled.AK = own.EK, own.AK
	r.Challenge = &relabelled
	if _, err := tpm.Evidence(t.Context(), b.config, r); err == nil || !strings.Contains(err.Error(), "TPM2_ActivateCredential") {
		t.Errorf("a foreign challenge under this TPM's names: %v", err)
	}
	if n := b.loaded(); n != 0 {
		t.Errorf("%d handles left", n)
	}
}

// TestEvidenceFailures: nothing stays in the TPM, and a PIN is never tried twice.
func TestEvidenceFailures(t *testing.T) {
	c := newCertified(t)
	ticket := c.sealed.CreationTicket
	spoiled := slices.Clone(ticket)
	spoiled[len(spoiled)-1] ^= 1
	for range 20 {
		s := *c.sealed
		s.CreationTicket = spoiled
		c.writeSealed(&s)
		if _, err := tpm.Evidence(t.Context(), c.config, c.request()); !errors.Is(err, tpm2.TPMRCTicket) {
			t.Fatalf("a spoiled ticket: %v", err)
		}
	}
	c.writeSealed(c.sealed)
	if n := c.loaded(); n != 0 {
		t.Errorf("%d handles left after 20 failures", n)
	}
	if _, err := tpm.Evidence(t.Context(), c.config, c.request()); err != nil {
		t.Error(err)
	}
	c.writePIN(wrongPIN)
	if _, err := tpm.Evidence(t.Context(), c.config, c.request()); !errors.Is(err, tpm.ErrPIN) {
		t.Errorf("a wrong PIN: %v", err)
	}
	if n := c.failures().Failures; n != 1 {
		t.Errorf("%d failures counted", n)
	}
	c.resetLockout()
	c.writePIN(rightPIN)
	c.extend(7)
	if _, err := tpm.Evidence(t.Context(), c.config, c.request()); err == nil {
		t.Error("evidence of a state that nobody approved")
	}
}
