package tpm_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
)

// certified is an emulator whose endorsement key has a certificate of a maker of
// its own, as swtpm_setup and swtpm_localca make it.
type certified struct {
	*fixture
	root   []byte   // PEM
	issuer [][]byte // DER
}

func newCertified(t testing.TB) *certified {
	t.Helper()
	dir, err := os.MkdirTemp("", "swtpm")
	if err != nil {
		t.Fatal(err)
	}
	c := &certified{fixture: &fixture{emulator: &emulator{t: t, dir: dir}, approver: newApproverKey(t), seed: make([]byte, ed25519.SeedSize)}}
	c.manufacture()
	c.start()
	t.Cleanup(func() {
		c.kill()
		os.RemoveAll(dir)
	})
	rand.Read(c.seed)
	if c.storage, err = c.device().Provision(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.config = tpm.Config{
		URI: tpm.URI{
			SRK: c.storage.Name(), Device: c.socket(), SealedPath: filepath.Join(dir, "sealed"),
			ApprovalPath: filepath.Join(dir, "approvals"), PINFile: filepath.Join(dir, "pin"),
		},
		PublicKey: ed25519.NewKeyFromSeed(c.seed).Public().(ed25519.PublicKey),
	}
	c.sealed = c.seal("appliance-1")
	c.writeSealed(c.sealed)
	c.writePIN(rightPIN)
	c.sealedAt = c.policy()
	c.approve(c.sealedAt, time.Hour)
	return c
}

// manufacture makes the TPM's state, its endorsement key and its certificate.
func (c *certified) manufacture() {
	c.t.Helper()
	program, err := exec.LookPath("swtpm_setup")
	if err != nil {
		c.t.Fatal("swtpm_setup is not installed: run `make deps`")
	}
	local, err := exec.LookPath("swtpm_localca")
	if err != nil {
		c.t.Fatal("swtpm_localca is not installed: run `make deps`")
	}
	state, ca := filepath.Join(c.dir, "state"), filepath.Join(c.dir, "ca")
	for _, d := range []string{state, ca} {
		if err := os.Mkdir(d, 0o700); err != nil {
			c.t.Fatal(err)
		}
	}
	write := func(name, text string) string {
		path := filepath.Join(c.dir, name)
		c.write(path, []byte(text))
		return path
	}
	options := write("localca.options", "--platform-manufacturer Example\n--platform-version 1\n--platform-model appliance\n")
	authority := write("localca.conf", fmt.Sprintf("statedir = %s\nsigningkey = %[1]s/signkey.pem\nissuercert = %[1]s/issuercert.pem\ncertserial = %[1]s/certserial\n", ca))
	setup := write("setup.conf", fmt.Sprintf("create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\nactive_pcr_banks = sha256\n", local, authority, options))
	out, err := exec.Command(program, "--tpm2", "--tpmstate", state, "--config", setup, "--create-ek-cert", "--lock-nvram", "--overwrite", "--pcr-banks", "sha256").CombinedOutput()
	if err != nil {
		c.t.Fatalf("swtpm_setup: %v: %s", err, out)
	}
	if c.root, err = os.ReadFile(filepath.Join(ca, "swtpm-localca-rootca-cert.pem")); err != nil {
		c.t.Fatal(err)
	}
	issuer, err := os.ReadFile(filepath.Join(ca, "issuercert.pem"))
	if err != nil {
		c.t.Fatal(err)
	}
	for block, rest := pem.Decode(issuer); block != nil; block, rest = pem.Decode(rest) {
		c.issuer = append(c.issuer, block.Bytes)
	}
}

// request asks for a document with a nonce of 32 equal bytes.
func (c *certified) request() tpm.EvidenceRequest {
	return tpm.EvidenceRequest{
		Claims:       attest.Claims{Time: time.Now().UTC().Truncate(time.Second), Nonce: bytes.Repeat([]byte{7}, 32)},
		Certificates: c.issuer,
	}
}

func (c *certified) evidence(r tpm.EvidenceRequest) []byte {
	c.t.Helper()
	data, err := tpm.Evidence(c.t.Context(), c.config, r)
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

// answer has the TPM answer a challenge to what an earlier document shows.
func (c *certified) answer(data []byte) ([]byte, *attest.Secret) {
	c.t.Helper()
	d, err := attest.Parse(data)
	if err != nil {
		c.t.Fatal(err)
	}
	challenge, secret, err := attest.NewChallenge(d)
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.request()
	r.Challenge, r.Claims.Nonce = challenge, challenge.Nonce
	return c.evidence(r), secret
}

func (c *certified) question() attest.Question {
	c.t.Helper()
	q := attest.Question{Now: time.Now(), Require: attest.TPMSealed}
	if err := q.Anchors.Add(c.root); err != nil {
		c.t.Fatal(err)
	}
	return q
}

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
	r.Challenge, r.Claims.Nonce = challenge, challenge.Nonce
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
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
