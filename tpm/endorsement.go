package tpm

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"

	"countersign.dev/attest"
	"github.com/google/go-tpm/tpm2"
)

// endorsement is a kind of endorsement key and where its maker left the
// certificate (TCG EK credential profile, section 2.2.1.4).
type endorsement struct {
	template    tpm2.TPMTPublic
	certificate tpm2.TPMHandle
}

var endorsements = []endorsement{
	{tpm2.RSAEKTemplate, 0x01C00002},
	{tpm2.ECCEKTemplate, 0x01C0000A},
}

// identify shows the endorsement key and the attestation key, and answers a
// challenge to them.
func (l *link) identify(e *attest.TPMEvidence, r EvidenceRequest) error {
	kind, certificate, err := l.endorsement()
	if err != nil {
		return err
	}
	if certificate != nil {
		e.EKCertificates = append(e.EKCertificates, certificate)
	}
	e.EKCertificates = append(e.EKCertificates, r.Certificates...)
	ek, public, err := l.primary(kind.template)
	if err != nil {
		return err
	}
	e.EKPublic = public
	ak, public, err := l.primary(attest.AKTemplate())
	if err != nil {
		return err
	}
	e.AKPublic = public
	if r.Challenge != nil {
		if e.Activation, err = l.activate(ek, ak, r.Challenge); err != nil {
			return err
		}
	}
	return errors.Join(l.flush(ek), l.flush(ak)) // it is made again: a chip holds three objects
}

// endorsement finds the certificate in the TPM, nil if there is none.
func (l *link) endorsement() (endorsement, []byte, error) {
	for _, kind := range endorsements {
		certificate, err := l.readCertificate(kind.certificate)
		if err != nil {
			return kind, nil, err
		}
		if certificate != nil {
			return kind, certificate, nil
		}
	}
	return endorsements[0], nil, nil
}

// readChunk is what every TPM gives at once.
const readChunk = 512

// readCertificate reads a certificate that anyone may read; makers pad it.
func (l *link) readCertificate(index tpm2.TPMHandle) ([]byte, error) {
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(l)
	if answered(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	if err != nil {
		return nil, l.failed("TPM2_NV_ReadPublic", err)
	}
	public, err := r.NVPublic.Contents()
	if err != nil {
		return nil, l.failed("TPM2_NV_ReadPublic", err)
	}
	var data []byte
	for len(data) < int(public.DataSize) {
		part, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: index, Name: r.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: index, Name: r.NVName},
			Size:       uint16(min(readChunk, int(public.DataSize)-len(data))), Offset: uint16(len(data)),
		}.Execute(l)
		if err != nil {
			return nil, l.failed("TPM2_NV_Read", err)
		}
		if len(part.Data.Buffer) == 0 {
			return nil, fmt.Errorf("TPM2_NV_Read: %w: nothing at offset %d", ErrTampered, len(data))
		}
		data = append(data, part.Data.Buffer...)
	}
	var whole asn1.RawValue
	if _, err := asn1.Unmarshal(data, &whole); err != nil {
		return nil, fmt.Errorf("endorsement certificate at 0x%08x: %w", uint32(index), err)
	}
	return whole.FullBytes, nil
}

// primary makes a key of the endorsement hierarchy. The same template gives the
// same key each time.
func (l *link) primary(template tpm2.TPMTPublic) (key tpm2.NamedHandle, public []byte, err error) {
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(template),
	}.Execute(l)
	if answered(err, tpm2.TPMRCBadAuth, tpm2.TPMRCAuthFail, tpm2.TPMRCLockout, tpm2.TPMRCHierarchy) {
		return key, nil, fmt.Errorf("%w: the endorsement hierarchy is closed: evidence needs it without an authorisation", l.failed("TPM2_CreatePrimary", err))
	}
	if err != nil {
		return key, nil, l.failed("TPM2_CreatePrimary", err)
	}
	return tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, made.OutPublic.Bytes(), nil
}

func (l *link) flush(key tpm2.NamedHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: key.Handle}.Execute(l)
	return l.failed("TPM2_FlushContext", err)
}

// activate answers a challenge: the TPM decrypts it if both keys are its own.
func (l *link) activate(ek, ak tpm2.NamedHandle, c *attest.Challenge) ([]byte, error) {
	if !bytes.Equal(c.EK, ek.Name.Buffer) || !bytes.Equal(c.AK, ak.Name.Buffer) {
		return nil, errors.New("the challenge is for another TPM: send the challenger this TPM's evidence")
	}
	session, _, err := tpm2.PolicySession(l, tpm2.TPMAlgSHA256, nonceSize)
	if err != nil {
		return nil, l.failed("TPM2_StartAuthSession", err)
	}
	_, err = tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session.Handle(),
	}.Execute(l)
	if err != nil {
		return nil, l.failed("TPM2_PolicySecret", err)
	}
	r, err := tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: ak.Handle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
		KeyHandle:      tpm2.AuthHandle{Handle: ek.Handle, Name: ek.Name, Auth: session},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: c.Credential},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: c.Seed},
	}.Execute(l)
	if err != nil {
		return nil, fmt.Errorf("%w: the challenge is not one for this TPM, or damaged", l.failed("TPM2_ActivateCredential", err))
	}
	return r.CertInfo.Buffer, nil
}
