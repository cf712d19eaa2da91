package tpm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// approver is the key that approves policies, as the TPM sees it. TPMs verify no
// Ed25519, so it is ECDSA on P-256 with SHA-256.
type approver struct {
	key    *ecdsa.PublicKey
	public tpm2.TPMTPublic
	name   tpm2.TPM2BName
}

func newApprover(key *ecdsa.PublicKey) (*approver, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, errors.New("approver key: it is not an ECDSA key on P-256, which TPMs verify")
	}
	point, err := key.Bytes() // also checks that it is on the curve
	if err != nil {
		return nil, fmt.Errorf("approver key: %w", err)
	}
	a := &approver{key: key, public: tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgECC,
		NameAlg:          tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, UserWithAuth: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]},
			Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
		}),
	}}
	name, err := tpm2.ObjectName(&a.public)
	if err != nil {
		return nil, err
	}
	a.name = *name
	return a, nil
}

// ticket has the TPM verify a signature that was found good here.
func (l *link) ticket(a *approver, digest, signature []byte) (t tpm2.TPMTTKVerified, err error) {
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &rs); err != nil || len(rest) != 0 || rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
		return t, &ApprovalError{Fault: ApprovalForged}
	}
	key, err := tpm2.LoadExternal{InPublic: tpm2.New2B(a.public), Hierarchy: tpm2.TPMRHOwner}.Execute(l)
	if err != nil {
		return t, l.failed("TPM2_LoadExternal", err)
	}
	r, err := tpm2.VerifySignature{
		KeyHandle: tpm2.NamedHandle{Handle: key.ObjectHandle, Name: a.name},
		Digest:    tpm2.TPM2BDigest{Buffer: digest},
		Signature: tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
			Hash:       tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: rs.R.FillBytes(make([]byte, 32))},
			SignatureS: tpm2.TPM2BECCParameter{Buffer: rs.S.FillBytes(make([]byte, 32))},
		})},
	}.Execute(l)
	if err != nil {
		return t, l.failed("TPM2_VerifySignature", err)
	}
	return r.Validation, nil
}
