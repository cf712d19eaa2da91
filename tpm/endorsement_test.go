package tpm_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
)

// certifyEK is a maker of TPMs who certifies an endorsement key.
func certifyEK(t *testing.T, ek crypto.PublicKey) (certificate []byte, maker *x509.Certificate) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a TPM"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
		ExtraExtensions:    []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 99999}, Value: make([]byte, 600)}}, // more than one read
	}
	maker = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, root, root, public, private))))
	return must(x509.CreateCertificate(rand.Reader, leaf, root, ek, private)), maker
}

// store writes what a maker leaves in the TPM, padded as some makers do.
func (e *emulator) store(index tpm2.TPMHandle, data []byte) {
	e.t.Helper()
	data = append(bytes.Clone(data), bytes.Repeat([]byte{0xff}, 100)...)
	platform := tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}
	public := tpm2.TPMSNVPublic{
		NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(data)),
		Attributes: tpm2.TPMANV{PPWrite: true, PPRead: true, OwnerRead: true, AuthRead: true, NoDA: true, PlatformCreate: true},
	}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: platform, PublicInfo: tpm2.New2B(public)}).Execute(e.raw()); err != nil {
		e.t.Fatal(err)
	}
	for at := 0; at < len(data); at += 512 {
		r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(e.raw())
		if err != nil {
			e.t.Fatal(err)
		}
		_, err = tpm2.NVWrite{
			AuthHandle: platform, NVIndex: tpm2.NamedHandle{Handle: index, Name: r.NVName},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: data[at:min(at+512, len(data))]}, Offset: uint16(at),
		}.Execute(e.raw())
		if err != nil {
			e.t.Fatal(err)
		}
	}
}

// TestEvidenceECCEndorsement: makers that certify a P-256 key only.
func TestEvidenceECCEndorsement(t *testing.T) {
	f := newFixture(t)
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)}, InPublic: tpm2.New2B(tpm2.ECCEKTemplate),
	}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	certificate, maker := certifyEK(t, must(tpm2.Pub(*must(made.OutPublic.Contents()))))
	f.store(0x01C0000A, certificate)
	request := bareRequest()
	first, err := tpm.Evidence(t.Context(), f.config, request)
	if err != nil {
		t.Fatal(err)
	}
	challenge, secret, err := attest.NewChallenge(must(attest.Parse(first)))
	if err != nil {
		t.Fatal(err)
	}
	request.Challenge, request.Claims.Nonce = challenge, challenge.Nonce
	answer, err := tpm.Evidence(t.Context(), f.config, request)
	if err != nil {
		t.Fatal(err)
	}
	q := attest.Question{Now: time.Now(), Secret: secret, Require: attest.TPMSealed, Anchors: attest.Anchors{Makers: []*x509.Certificate{maker}}}
	if _, err := attest.Verify(answer, q); err != nil {
		t.Fatal(err)
	}
	if d := must(attest.Parse(answer)); !bytes.Equal(d.TPM.EKCertificates[0], certificate) {
		t.Error("the certificate is not the one in the TPM")
	}
}

// TestEvidenceEndorsementClosed: with an authorisation of its own, or without a
// certificate, the hierarchy shows less, and says so.
func TestEvidenceEndorsementClosed(t *testing.T) {
	f := newFixture(t)
	request := bareRequest()
	bare, err := tpm.Evidence(t.Context(), f.config, request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attest.Verify(bare, attest.Question{Now: time.Now()}); !errors.Is(err, attest.ErrUnchecked) {
		t.Errorf("without a certificate: %v", err)
	}
	_, err = tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)}, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("closed")},
	}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Evidence(t.Context(), f.config, request); err == nil || !strings.Contains(err.Error(), "endorsement hierarchy is closed") {
		t.Errorf("a closed hierarchy: %v", err)
	}
	if n := f.loaded(); n != 0 {
		t.Errorf("%d handles left", n)
	}
}
