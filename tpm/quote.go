package tpm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"countersign.dev/attest"
	"github.com/google/go-tpm/tpm2"
)

// certify has the TPM sign the registers, how the sealed object came about, and
// the counter, each with the binding of the claims.
func (l *link) certify(d *attest.Document, s *Sealed, pcrs []uint) error {
	binding, err := d.Claims.Binding()
	if err != nil {
		return err
	}
	key, public, err := l.primary(attest.AKTemplate())
	if err != nil {
		return err
	}
	if !bytes.Equal(public, d.TPM.AKPublic) {
		return fmt.Errorf("TPM2_CreatePrimary: %w: another attestation key than before", ErrTampered)
	}
	n := notary{l, tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)}, tpm2.TPM2BData{Buffer: binding}}
	if d.TPM.Quote, err = n.quote(pcrs); err != nil {
		return err
	}
	if d.TPM.Counter, err = n.counter(); err != nil {
		return err
	}
	d.TPM.Creation, err = n.creation(s)
	return err
}

// notary is an attestation key and what it signs along.
type notary struct {
	link    *link
	key     tpm2.AuthHandle
	binding tpm2.TPM2BData
}

// asKey leaves the choice of the scheme to the key.
var asKey = tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}

func statement(attest2B interface{ Bytes() []byte }, signature tpm2.TPMTSignature) attest.Statement {
	return attest.Statement{Attest: attest2B.Bytes(), Signature: tpm2.Marshal(signature)}
}

func (n notary) quote(pcrs []uint) (attest.Statement, error) {
	r, err := tpm2.Quote{SignHandle: n.key, QualifyingData: n.binding, InScheme: asKey, PCRSelect: selection(pcrs)}.Execute(n.link)
	if err != nil {
		return attest.Statement{}, n.link.failed("TPM2_Quote", err)
	}
	return statement(&r.Quoted, r.Signature), nil
}

func (n notary) counter() (attest.Statement, error) {
	r, err := tpm2.NVCertify{
		SignHandle: n.key, QualifyingData: n.binding, InScheme: asKey, Size: 8,
		AuthHandle: tpm2.AuthHandle{Handle: CounterIndex, Name: counterName(), Auth: tpm2.PasswordAuth(nil)},
		NVIndex:    counterHandle(),
	}.Execute(n.link)
	if err != nil {
		return attest.Statement{}, n.link.failed("TPM2_NV_Certify", err)
	}
	return statement(&r.CertifyInfo, r.Signature), nil
}

// creation loads the object; certifying it takes neither its policy nor the PIN.
func (n notary) creation(s *Sealed) (attest.Statement, error) {
	ticket, err := tpm2.Unmarshal[tpm2.TPMTTKCreation](s.CreationTicket)
	if err != nil {
		return attest.Statement{}, fmt.Errorf("creation ticket: %w", err)
	}
	object, err := n.link.load(s)
	if err != nil {
		return attest.Statement{}, err
	}
	digest := sha256.Sum256(s.CreationData)
	r, err := tpm2.CertifyCreation{
		SignHandle: n.key, ObjectHandle: object, QualifyingData: n.binding, InScheme: asKey,
		CreationHash: tpm2.TPM2BDigest{Buffer: digest[:]}, CreationTicket: *ticket,
	}.Execute(n.link)
	if answered(err, tpm2.TPMRCTicket) {
		return attest.Statement{}, errors.Join(n.link.failed("TPM2_CertifyCreation", err),
			errors.New("the sealed file's creation ticket is not this TPM's: take the file from where the key was sealed, or seal the key anew"))
	}
	if err != nil {
		return attest.Statement{}, n.link.failed("TPM2_CertifyCreation", err)
	}
	return statement(&r.CertifyInfo, r.Signature), nil
}
