package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

const akCertificateType = "https://countersign.dev/ak-certificate/v1"

// AKCertificate is an auditor's word that an attestation key is in the TPM that
// an endorsement certificate is about: the TPM answered his challenge, and the
// certificate was from a maker he had chosen.
type AKCertificate struct {
	Type          string    `json:"type"`
	AK            Hex       `json:"ak"`            // Name
	EKCertificate string    `json:"ekCertificate"` // "sha256:" of its DER
	Time          time.Time `json:"time"`
	Auditor       string    `json:"auditor"` // "sha256:" of the SubjectPublicKeyInfo
	Signature     []byte    `json:"signature"`
}

// Certify signs for a document that Verify found to answer the auditor's own
// challenge, with a certificate chain to a maker.
func Certify(r *Report, signer crypto.Signer, now time.Time) (*AKCertificate, error) {
	if !r.verified || !r.answered || !r.chained {
		return nil, errors.New("AK certificate: it takes a document that answers your challenge, and the TPM maker's certificate as an anchor")
	}
	public := signer.Public()
	if err := checkAuditor(public); err != nil {
		return nil, fmt.Errorf("AK certificate: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	e := r.Document.TPM
	ak, err := parseAK(e.AKPublic)
	if err != nil {
		return nil, err
	}
	c := &AKCertificate{Type: akCertificateType, AK: ak.name, EKCertificate: Digest(e.EKCertificates[0]), Time: now.UTC().Truncate(time.Second), Auditor: Digest(spki)}
	text, opts := c.text(), crypto.Hash(0)
	if _, ok := public.(*ecdsa.PublicKey); ok {
		text, opts = hash(text), crypto.SHA256
	}
	if c.Signature, err = signer.Sign(rand.Reader, text, opts); err != nil {
		return nil, fmt.Errorf("AK certificate: %w", err)
	}
	return c, c.verify(e, ak, public)
}

// text is what the auditor signs.
func (c *AKCertificate) text() []byte {
	return fmt.Appendf(nil, "countersign.dev ak certificate v1\n%x\n%s\n%s\n", []byte(c.AK), c.EKCertificate, c.Time.UTC().Format(time.RFC3339))
}

// by gives the chosen auditor who signed it, or nil.
func (c *AKCertificate) by(auditors []crypto.PublicKey) crypto.PublicKey {
	for _, a := range auditors {
		if spki, err := x509.MarshalPKIXPublicKey(a); err == nil && Digest(spki) == c.Auditor {
			return a
		}
	}
	return nil
}

// verify checks the certificate against what it must be about.
func (c *AKCertificate) verify(e *TPMEvidence, ak *attestationKey, auditor crypto.PublicKey) error {
	good := false
	switch key := auditor.(type) {
	case ed25519.PublicKey:
		good = ed25519.Verify(key, c.text(), c.Signature)
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, hash(c.text()), c.Signature)
	}
	switch {
	case !good:
		return errors.New("akCertificate: not the auditor's signature")
	case !bytes.Equal(c.AK, ak.name):
		return errors.New("akCertificate: it is for another attestation key")
	case len(e.EKCertificates) == 0 || Digest(e.EKCertificates[0]) != c.EKCertificate:
		return errors.New("akCertificate: it is for another TPM's endorsement certificate")
	}
	return nil
}

func (c *AKCertificate) check() error {
	if c.Type != akCertificateType || !isDigest(c.EKCertificate) || !isDigest(c.Auditor) || len(c.Signature) == 0 {
		return fmt.Errorf("akCertificate: not a %s", akCertificateType)
	}
	if err := checkTime(c.Time); err != nil {
		return fmt.Errorf("akCertificate: time: %w", err)
	}
	return nil
}

// Format writes the certificate's file.
func (c *AKCertificate) Format() ([]byte, error) { return encode(c, "  ") }

// ParseAKCertificate reads what Format wrote. It verifies nothing.
func ParseAKCertificate(data []byte) (*AKCertificate, error) {
	c := new(AKCertificate)
	if err := parse(data, c); err != nil {
		return nil, fmt.Errorf("AK certificate: %w", err)
	}
	return c, c.check()
}
