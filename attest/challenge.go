package attest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

const (
	challengeType = "https://countersign.dev/ak-challenge/v1"
	secretType    = "https://countersign.dev/ak-challenge-secret/v1"
)

// Challenge is a secret that only a TPM with both keys can read (credential
// activation). The machine's next document answers it, and takes its nonce.
type Challenge struct {
	Type       string `json:"type"`
	EK         Hex    `json:"ek"` // Name, like ak
	AK         Hex    `json:"ak"`
	Nonce      Hex    `json:"nonce"`
	Credential []byte `json:"credential"` // what TPM2B_ID_OBJECT contains
	Seed       []byte `json:"seed"`       // what TPM2B_ENCRYPTED_SECRET contains
}

// Secret is what the challenger keeps. Who has it can forge the answer.
type Secret struct {
	Type   string `json:"type"`
	EK     Hex    `json:"ek"`
	AK     Hex    `json:"ak"`
	Nonce  Hex    `json:"nonce"`
	Answer []byte `json:"answer"`
}

// NewChallenge challenges the TPM that a document says its keys are in.
func NewChallenge(d *Document) (*Challenge, *Secret, error) {
	if d.TPM == nil {
		return nil, nil, errors.New("challenge: the document is not about a TPM")
	}
	if _, err := d.TPM.ekCertificate(); err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	ek, _, err := parseEK(d.TPM.EKPublic)
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	ak, err := parseAK(d.TPM.AKPublic)
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	name, err := tpm2.ObjectName(ek)
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	key, err := tpm2.ImportEncapsulationKey(ek)
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	s := &Secret{Type: secretType, EK: name.Buffer, AK: ak.name, Nonce: make([]byte, 32), Answer: make([]byte, 32)}
	rand.Read(s.Nonce) // never fails
	rand.Read(s.Answer)
	c := &Challenge{Type: challengeType, EK: s.EK, AK: s.AK, Nonce: s.Nonce}
	if c.Credential, c.Seed, err = tpm2.CreateCredential(rand.Reader, key, ak.name, s.Answer); err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	return c, s, nil
}

// answered tells whether the document answers the challenge.
func (s *Secret) answered(d *Document, ak *attestationKey) error {
	ek, _, err := parseEK(d.TPM.EKPublic)
	if err != nil {
		return err
	}
	name, err := tpm2.ObjectName(ek)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(name.Buffer, s.EK) || !bytes.Equal(ak.name, s.AK):
		return errors.New("activation: the challenge was for another TPM or attestation key")
	case !bytes.Equal(d.TPM.Activation, s.Answer):
		return errors.New("activation: not the answer to the challenge")
	}
	return nil
}

// Format writes a challenge's file.
func (c *Challenge) Format() ([]byte, error) { return encode(c, "  ") }

// ParseChallenge reads what Format wrote.
func ParseChallenge(data []byte) (*Challenge, error) {
	c := new(Challenge)
	if err := parse(data, c); err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	if c.Type != challengeType || len(c.Nonce) < minNonce || len(c.Nonce) > maxNonce {
		return nil, fmt.Errorf("challenge: not a %s with a nonce", challengeType)
	}
	return c, nil
}

// Format writes a secret's file, for the challenger alone.
func (s *Secret) Format() ([]byte, error) { return encode(s, "  ") }

// ParseSecret reads what Format wrote.
func ParseSecret(data []byte) (*Secret, error) {
	s := new(Secret)
	if err := parse(data, s); err != nil {
		return nil, fmt.Errorf("challenge's secret: %w", err)
	}
	if s.Type != secretType || len(s.Nonce) < minNonce || len(s.Answer) != 32 {
		return nil, fmt.Errorf("challenge's secret: not a %s", secretType)
	}
	return s, nil
}
