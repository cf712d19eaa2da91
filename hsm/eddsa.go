package hsm

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"filippo.io/edwards25519"
)

// What PKCS#11 3.0 added for EdDSA and the 2.40 headers behind miekg/pkcs11
// lack.
const (
	ckkECEdwards           = 0x00000040 // Current Mechanisms 3.0, section 2.3.4
	ckmECEdwardsKeyPairGen = 0x00001055 // section 2.3.5
	ckmEdDSA               = 0x00001057 // section 2.3.14; no parameter: pure Ed25519
)

// ed25519OID is the DER of OBJECT IDENTIFIER 1.3.101.112 (RFC 8410, section
// 3), the only CKA_EC_PARAMS that every module tried generates a key from.
var ed25519OID = []byte{0x06, 0x03, 0x2b, 0x65, 0x70}

// ed25519Params are the CKA_EC_PARAMS (section 2.3.3) tokens report for
// Ed25519, whatever they were given.
var ed25519Params = [][]byte{
	ed25519OID,
	append([]byte{0x13, 12}, "edwards25519"...),                        // PrintableString
	{0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01}, // 1.3.6.1.4.1.11591.15.1 (GNU)
}

func checkCurve(params []byte) error {
	if !slices.ContainsFunc(ed25519Params, func(p []byte) bool { return bytes.Equal(p, params) }) {
		return fmt.Errorf("CKA_EC_PARAMS %s is not Ed25519", hex.EncodeToString(params))
	}
	return nil
}

// decodePoint reads CKA_EC_POINT, which the specification wants inside a DER
// OCTET STRING and some tokens give bare.
func decodePoint(point []byte) (ed25519.PublicKey, error) {
	switch {
	case len(point) == 2+ed25519.PublicKeySize && point[0] == 0x04 && point[1] == ed25519.PublicKeySize:
		point = point[2:]
	case len(point) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("CKA_EC_POINT of %d bytes is not an Ed25519 point", len(point))
	}
	public := ed25519.PublicKey(bytes.Clone(point))
	return public, checkPublic(public)
}

// checkPublic refuses points for which a good signature proves nothing: under
// a small-order key, signatures exist that nobody needed a private key for.
func checkPublic(public ed25519.PublicKey) error {
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("public key of %d bytes, want %d", len(public), ed25519.PublicKeySize)
	}
	p, err := new(edwards25519.Point).SetBytes(public)
	if err != nil || !bytes.Equal(p.Bytes(), public) {
		return errors.New("public key is not a canonical Ed25519 point")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("public key is of small order")
	}
	return nil
}
