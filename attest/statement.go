package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// Statement is something a TPM says of itself.
type Statement struct {
	Attest    []byte `json:"attest"`    // TPMS_ATTEST
	Signature []byte `json:"signature"` // TPMT_SIGNATURE, of the AK
}

// open verifies a statement and gives what it says. A restricted key never signs
// data from outside that begins like a statement; so signature and magic together
// make it the TPM's.
func (s Statement) open(ak *attestationKey, kind tpm2.TPMST, binding []byte) (*tpm2.TPMSAttest, error) {
	if err := s.checkSignature(ak.key); err != nil {
		return nil, err
	}
	if len(s.Attest) < 6 || binary.BigEndian.Uint32(s.Attest) != uint32(tpm2.TPMGeneratedValue) {
		return nil, errors.New("its magic is not that of a TPM's statement")
	}
	if tpm2.TPMST(binary.BigEndian.Uint16(s.Attest[4:])) != kind {
		return nil, errors.New("it is a statement of another type")
	}
	a, err := decode[tpm2.TPMSAttest](s.Attest)
	switch {
	case err != nil:
		return nil, err
	case !bytes.Equal(a.ExtraData.Buffer, binding):
		return nil, errors.New("its qualifying data is not the binding of these claims: it was made for others")
	case !bytes.Equal(a.QualifiedSigner.Buffer, ak.qualifiedName()):
		return nil, errors.New("its signer is not this key in the endorsement hierarchy")
	}
	return a, nil
}

func (s Statement) checkSignature(key *ecdsa.PublicKey) error {
	t, err := decode[tpm2.TPMTSignature](s.Signature)
	if err != nil {
		return err
	}
	signature, err := t.Signature.ECDSA()
	if err != nil || t.SigAlg != tpm2.TPMAlgECDSA || signature.Hash != tpm2.TPMAlgSHA256 {
		return errors.New("its signature is not ECDSA with SHA-256")
	}
	digest := sha256.Sum256(s.Attest)
	r, v := new(big.Int).SetBytes(signature.SignatureR.Buffer), new(big.Int).SetBytes(signature.SignatureS.Buffer)
	if !ecdsa.Verify(key, digest[:], r, v) {
		return errors.New("its signature is not the attestation key's")
	}
	return nil
}
