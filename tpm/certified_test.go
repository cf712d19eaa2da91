package tpm_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/attest"
	"countersign.dev/tpm"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// certified is an emulator whose endorsement key has a certificate of a maker of
// its own, as swtpm_setup and swtpm_localca make it.
type certified struct {
	*fixture
	root   []byte   // PEM
	issuer [][]byte // DER
}

func newCertified(t testing.TB) *certified {
	t.Helper()
	c := &certified{fixture: &fixture{emulator: newMachine(t)}}
	c.manufacture()
	c.start()
	c.fixture = sealedIn(c.emulator)
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

// request asks for a document with the issuers' certificates and a nonce of 32 equal bytes.
func (c *certified) request() tpm.EvidenceRequest {
	r := bareRequest()
	r.Certificates = c.issuer
	return r
}

func bareRequest() tpm.EvidenceRequest {
	return tpm.EvidenceRequest{Claims: attest.Claims{Time: time.Now().UTC().Truncate(time.Second), Nonce: bytes.Repeat([]byte{7}, 32)}}
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
