package tpm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"

	"countersign.dev/attest"
)

// EvidenceRequest is what an evidence document needs besides the key.
type EvidenceRequest struct {
	// Claims has the time, the nonce, the agent and the document before; the rest
	// is filled in.
	Claims attest.Claims

	// Challenge is a verifier's, nil for none. Its nonce must be that of the claims.
	Challenge *attest.Challenge

	// Certificates, in DER, follow what the TPM holds itself: its issuers', or all
	// if it holds none.
	Certificates  [][]byte
	AKCertificate *attest.AKCertificate
}

// Evidence unseals a key and has it and the TPM say where it lives. It gives the
// document, verified as far as that goes without anchors. It needs the endorsement
// hierarchy without an authorisation, and an approval that holds now.
func Evidence(ctx context.Context, c Config, r EvidenceRequest) ([]byte, error) {
	u, err := c.prepare()
	if err != nil {
		return nil, err
	}
	if r.Challenge != nil && !bytes.Equal(r.Challenge.Nonce, r.Claims.Nonce) {
		return nil, errors.New("evidence: the nonce is not the challenge's")
	}
	if c.Device == nil {
		c.Device = NewDevice(c.URI.Device, 0)
	}
	key, err := Open(ctx, c) // first, since a refused PIN stops everything
	if err != nil {
		return nil, err
	}
	defer key.Close()
	d, err := perform(ctx, c.Device, func(l *link) (*attest.Document, error) { return l.evidence(u, r) })
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	data, err := d.Prove(key)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return data, nil
}

// evidence claims what the TPM shows, and has it certify the claims. There are
// never more than two objects in the TPM.
func (l *link) evidence(u unlock, r EvidenceRequest) (*attest.Document, error) {
	d := &attest.Document{Type: attest.Type, Claims: r.Claims, TPM: &attest.TPMEvidence{AKCertificate: r.AKCertificate}}
	approval, err := l.choose(u)
	if err != nil {
		return nil, err
	}
	d.TPM.Approval = attest.Approval{Limit: approval.Limit, NotAfter: approval.NotAfter, TPMSignature: approval.TPMSignature, Signature: approval.Signature}
	if err := l.identify(d.TPM, r); err != nil {
		return nil, err
	}
	if err := l.claim(&d.Claims, u, approval, d.TPM.EKPublic); err != nil {
		return nil, err
	}
	if d.TPM.Approver, err = x509.MarshalPKIXPublicKey(u.sealed.Approver); err != nil {
		return nil, err
	}
	s := u.sealed
	d.TPM.Sealed = attest.Sealed{Public: s.Public, Nonce: s.Nonce, CreationData: s.CreationData}
	return d, l.certify(d, s, approval.PCRs.indexes())
}

// claim fills in what is known of key and TPM.
func (l *link) claim(c *attest.Claims, u unlock, a Approval, ek []byte) (err error) {
	if err := claimKey(c, u.sealed.PublicKey); err != nil {
		return err
	}
	has, err := l.capabilities()
	if err != nil {
		return err
	}
	c.Token = attest.Token{Manufacturer: attest.Printable(has.Manufacturer), Model: attest.Printable(has.Vendor), Firmware: has.Firmware}
	if c.Token.Serial, err = attest.EKSerial(ek); err != nil {
		return err
	}
	counter, err := l.counter()
	if err != nil {
		return err
	}
	policy, err := sealingDigest(u.sealed.Ref(), u.approver.name)
	if err != nil {
		return err
	}
	c.TPM = &attest.TPMClaims{
		Binding: attest.AssertedBySoftware, Appliance: u.sealed.Appliance,
		ApproverName: u.approver.name.Buffer, PolicyRef: u.sealed.Ref(), PolicyDigest: policy,
		StorageKey: u.sealed.Storage.Name(), PCRs: map[string]attest.Hex{},
		Counter: attest.Counter{Name: counterName().Buffer, Value: counter},
	}
	for i, v := range a.PCRs {
		c.TPM.PCRs[strconv.Itoa(int(i))] = v
	}
	return nil
}

func claimKey(c *attest.Claims, public ed25519.PublicKey) (err error) {
	c.Protection = attest.TPMSealed
	c.PublicKey, err = x509.MarshalPKIXPublicKey(public)
	c.Fingerprint = attest.Digest(c.PublicKey)
	return err
}
