package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Anchors are whom a verifier chose to believe: makers of TPMs, and auditors.
type Anchors struct {
	Makers   []*x509.Certificate // roots, or issuers, of endorsement certificates
	Auditors []crypto.PublicKey  // Ed25519 or ECDSA on P-256
}

// Add reads PEM: certificates of makers, public keys of auditors.
func (a *Anchors) Add(data []byte) error {
	found := 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		found++
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return fmt.Errorf("anchor %d: %w", found, err)
			}
			if !c.IsCA {
				return fmt.Errorf("anchor %d: %q is not an authority's certificate", found, c.Subject)
			}
			a.Makers = append(a.Makers, c)
		case "PUBLIC KEY":
			key, err := parseAuditor(block.Bytes)
			if err != nil {
				return fmt.Errorf("anchor %d: %w", found, err)
			}
			a.Auditors = append(a.Auditors, key)
		default:
			return fmt.Errorf("anchor %d: a %.40q is neither a maker's CERTIFICATE nor an auditor's PUBLIC KEY", found, block.Type)
		}
	}
	if found == 0 {
		return errors.New("anchors: nothing in PEM")
	}
	return nil
}

func parseAuditor(spki []byte) (crypto.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, err
	}
	return key, checkAuditor(key)
}

func checkAuditor(key crypto.PublicKey) error {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	}
	return errors.New("an auditor's key is Ed25519, or ECDSA on P-256")
}

// What the TCG's EK credential profile adds to X.509.
var (
	oidEKCertificate = asn1.ObjectIdentifier{2, 23, 133, 8, 1}
	oidSubjectAlt    = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// ekCertificate checks that the first certificate is one for the EK.
func (e *TPMEvidence) ekCertificate() (*x509.Certificate, error) {
	_, ek, err := parseEK(e.EKPublic)
	if err != nil {
		return nil, err
	}
	if len(e.EKCertificates) == 0 {
		return nil, nil
	}
	c, err := x509.ParseCertificate(e.EKCertificates[0])
	if err != nil {
		return nil, fmt.Errorf("ekCertificates: %w", err)
	}
	key, ok := ek.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !key.Equal(c.PublicKey):
		return nil, errors.New("ekCertificates: the first is for another key than ekPublic")
	case !slices.ContainsFunc(c.UnknownExtKeyUsage, oidEKCertificate.Equal):
		return nil, errors.New("ekCertificates: the first is not for an endorsement key (extended key usage 2.23.133.8.1)")
	case c.IsCA:
		return nil, errors.New("ekCertificates: the first is an authority's")
	}
	return c, nil
}

// checkChain verifies the EK's certificate up to a chosen maker. Its subject is in
// the alternative name, which is critical and in a form crypto/x509 does not know:
// exactly that is excused.
func (e *TPMEvidence) checkChain(leaf *x509.Certificate, makers []*x509.Certificate, now time.Time) error {
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(leaf.UnhandledCriticalExtensions, oidSubjectAlt.Equal)
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // the right one is not among those crypto/x509 knows, and was checked
	}
	for _, c := range makers {
		options.Roots.AddCert(c)
	}
	for _, der := range e.EKCertificates[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("ekCertificates: %w", err)
		}
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		return fmt.Errorf("ekCertificates: not from the chosen makers: %w", err)
	}
	return nil
}
