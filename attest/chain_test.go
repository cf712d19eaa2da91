package attest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
)

// under has an issuer between the chosen maker and the endorsement certificate.
func (f *forge) under(lie func(*x509.Certificate)) (root *x509.Certificate) {
	root, key := f.root, p256()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "issuer"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	call(lie, template)
	f.root = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, root, key.Public(), f.maker))))
	f.maker = key
	issuer, before := f.root.Raw, f.evidence
	f.evidence = func(e *attest.TPMEvidence) {
		call(before, e)
		e.EKCertificates = append(e.EKCertificates[:1:1], append([][]byte{issuer}, e.EKCertificates[1:]...)...)
	}
	return root
}

// TestChain: an issuer of the maker may stand between, and nobody else.
func TestChain(t *testing.T) {
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 99}, Critical: true, Value: []byte{5, 0}}
	san := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: []byte{0x30, 0}}
	for _, c := range []struct {
		name   string
		issuer func(*x509.Certificate)
		leaf   func(*x509.Certificate)
		good   bool
	}{
		{name: "an issuer", good: true},
		{name: "what is no authority", issuer: func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }},
		{name: "an authority that signs no certificates", issuer: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }},
		{name: "an expired issuer", issuer: func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }},
		{name: "an issuer with an unknown critical extension", issuer: func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{unknown} }},
		{name: "an issuer with the excused extension", issuer: func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{san} }},
		{name: "the AK's usage", leaf: func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}} }},
		{name: "any usage", leaf: func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		}},
		{name: "a certificate of tomorrow", leaf: func(c *x509.Certificate) { c.NotBefore = now.Add(30 * time.Minute) }},
	} {
		f := newForge()
		f.certificate = c.leaf
		q := f.question()
		q.Anchors.Makers = []*x509.Certificate{f.under(c.issuer)}
		_, err := verifyForged(f, q)
		if (err == nil) != c.good || errors.Is(err, attest.ErrUnchecked) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestPathLength: a maker that lets an issuer make no more issuers is obeyed.
func TestPathLength(t *testing.T) {
	for _, limited := range []bool{false, true} {
		f := newForge()
		q := f.question()
		q.Anchors.Makers = []*x509.Certificate{f.under(func(c *x509.Certificate) { c.MaxPathLenZero = limited })}
		f.under(func(c *x509.Certificate) { c.Subject.CommonName = "issuer's issuer" })
		if _, err := verifyForged(f, q); (err != nil) != limited {
			t.Errorf("limited %v: %v", limited, err)
		}
	}
}

// TestWeakSignature: SHA-1 under the maker's certificate.
func TestWeakSignature(t *testing.T) {
	f := newForge()
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter, SignatureAlgorithm: x509.SHA1WithRSA,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
	}
	maker := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, root, root, key.Public(), key))))
	weak := must(x509.CreateCertificate(rand.Reader, leaf, maker, f.ek.Public(), key))
	f.evidence = func(e *attest.TPMEvidence) { e.EKCertificates = [][]byte{weak} }
	q := f.question()
	q.Anchors.Makers = []*x509.Certificate{maker}
	if _, err := verifyForged(f, q); err == nil || !strings.Contains(err.Error(), "insecure algorithm") {
		t.Errorf("signed with SHA-1: %v", err)
	}
}
