package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// AKTemplate is the one kind of attestation key there is: a primary key of the
// endorsement hierarchy, ECC P-256, born in the TPM and bound to it, restricted
// to sign what the TPM made, with an empty authorisation. It is deterministic.
func AKTemplate() tpm2.TPMTPublic {
	label := sha256.Sum256([]byte("countersign.dev attestation key v1"))
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			NoDA: true, Restricted: true, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{Scheme: ecdsaScheme(), CurveID: tpm2.TPMECCNistP256}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: label[:]}}),
	}
}

func ecdsaScheme() tpm2.TPMTECCScheme {
	return tpm2.TPMTECCScheme{
		Scheme:  tpm2.TPMAlgECDSA,
		Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
	}
}

// attestationKey is an AK whose attributes are right.
type attestationKey struct {
	key  *ecdsa.PublicKey
	name []byte
}

func parseAK(data []byte) (*attestationKey, error) {
	public, err := decode[tpm2.TPMTPublic](data)
	if err != nil {
		return nil, fmt.Errorf("akPublic: %w", err)
	}
	template := AKTemplate()
	template.Unique = public.Unique
	if public.Type != tpm2.TPMAlgECC || !bytes.Equal(tpm2.Marshal(template), data) {
		return nil, errors.New("akPublic: not a restricted signing key bound to its TPM, on P-256 with ECDSA and SHA-256")
	}
	key, err := publicKey(public)
	if err != nil {
		return nil, fmt.Errorf("akPublic: %w", err)
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return nil, fmt.Errorf("akPublic: %w", err)
	}
	return &attestationKey{key.(*ecdsa.PublicKey), name.Buffer}, nil
}

// qualifiedName is that of a primary key of the endorsement hierarchy (library
// part 1, section 26.5). Only such a key signs counts and versions as they are.
func (k *attestationKey) qualifiedName() []byte {
	h := sha256.New()
	binary.Write(h, binary.BigEndian, uint32(tpm2.TPMRHEndorsement))
	h.Write(k.name)
	return h.Sum(binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMAlgSHA256)))
}

// ekTemplates are templates L-1 and L-2 of the TCG's EK credential profile.
var ekTemplates = map[tpm2.TPMAlgID]tpm2.TPMTPublic{
	tpm2.TPMAlgRSA: tpm2.RSAEKTemplate,
	tpm2.TPMAlgECC: tpm2.ECCEKTemplate,
}

// parseEK insists on one of the templates, since a key with other attributes
// would answer challenges for keys that are elsewhere.
func parseEK(data []byte) (public *tpm2.TPMTPublic, key crypto.PublicKey, err error) {
	if public, err = decode[tpm2.TPMTPublic](data); err != nil {
		return nil, nil, fmt.Errorf("ekPublic: %w", err)
	}
	template, known := ekTemplates[public.Type]
	template.Unique = public.Unique
	if !known || !bytes.Equal(tpm2.Marshal(template), data) {
		return nil, nil, errors.New("ekPublic: not made from the TCG's template L-1 (RSA 2048) or L-2 (ECC P-256)")
	}
	if key, err = publicKey(public); err != nil {
		return nil, nil, fmt.Errorf("ekPublic: %w", err)
	}
	return public, key, nil
}

// publicKey refuses points that are not on P-256 and short RSA moduli.
func publicKey(public *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	if public.Type == tpm2.TPMAlgRSA {
		unique, err := public.Unique.RSA()
		if err != nil {
			return nil, err
		}
		n := new(big.Int).SetBytes(unique.Buffer)
		if n.BitLen() != 2048 || len(unique.Buffer) != 256 || n.Bit(0) == 0 {
			return nil, errors.New("its modulus is not one of 2048 bits")
		}
		return &rsa.PublicKey{N: n, E: 65537}, nil
	}
	unique, err := public.Unique.ECC()
	if err != nil {
		return nil, err
	}
	if len(unique.X.Buffer) != 32 || len(unique.Y.Buffer) != 32 {
		return nil, errors.New("its coordinates are not 32 bytes each")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, unique.X.Buffer...), unique.Y.Buffer...))
}

// EKSerial is how claims name a TPM: the SHA-256 of its endorsement key.
func EKSerial(ekPublic []byte) (string, error) {
	_, key, err := parseEK(ekPublic)
	if err != nil {
		return "", err
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	return Digest(spki), err
}

// decode reads a TPM structure that is nothing but itself. go-tpm's Marshal panics
// on what it cannot write.
func decode[T tpm2.Marshallable, P interface {
	*T
	tpm2.Unmarshallable
}](data []byte) (v *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, errors.New("not a TPM structure of this kind")
		}
	}()
	if v, err = tpm2.Unmarshal[T, P](data); err != nil {
		return nil, err
	}
	if !bytes.Equal(tpm2.Marshal(*v), data) {
		return nil, errors.New("not the one form of a TPM structure")
	}
	return v, nil
}
