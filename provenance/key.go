package provenance

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
)

// spkiPrefix is the DER of SubjectPublicKeyInfo{id-Ed25519} up to the 32 key bytes (RFC 8410, section 4). There is one
// encoding, so comparing bytes is a complete parser.
var spkiPrefix = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}

// noteEd25519 is the signature type of Ed25519 in a C2SP signed note.
const noteEd25519 = 0x01

// PublicKey is an Ed25519 public key: the canonical 32 bytes of RFC 8032, never a point of small order.
// Its text form is the base64 of its SubjectPublicKeyInfo.
type PublicKey [ed25519.PublicKeySize]byte

// NewPublicKey refuses encodings that are not canonical and the eight points of small order, under which one signature
// verifies for many messages.
func NewPublicKey(raw []byte) (PublicKey, error) {
	var k PublicKey
	if len(raw) != len(k) {
		return k, fmt.Errorf("Ed25519 public key has %d bytes, want %d", len(raw), len(k))
	}
	p, err := new(edwards25519.Point).SetBytes(raw)
	if err != nil || !bytes.Equal(p.Bytes(), raw) {
		return k, errors.New("Ed25519 public key is not the canonical encoding of a point")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return k, errors.New("Ed25519 public key is a point of small order")
	}
	copy(k[:], raw)
	return k, nil
}

// ParsePublicKey reads the base64 SubjectPublicKeyInfo of an Ed25519 key.
func ParsePublicKey(s string) (PublicKey, error) {
	der, err := decodeBase64([]byte(s))
	if err != nil {
		return PublicKey{}, fmt.Errorf("public key: %w", err)
	}
	return ParseSPKI(der)
}

// ParseSPKI reads the DER SubjectPublicKeyInfo of an Ed25519 key.
func ParseSPKI(der []byte) (PublicKey, error) {
	raw, ok := bytes.CutPrefix(der, spkiPrefix)
	if !ok {
		return PublicKey{}, errors.New("public key is not the SubjectPublicKeyInfo of an Ed25519 key")
	}
	return NewPublicKey(raw)
}

// SPKI is the DER SubjectPublicKeyInfo.
func (k PublicKey) SPKI() []byte { return append(bytes.Clone(spkiPrefix), k[:]...) }

// Fingerprint is "sha256:" and the lower-case hex SHA-256 of the SubjectPublicKeyInfo.
func (k PublicKey) Fingerprint() string { return digest(k.SPKI()) }

// Ed25519 is the key as crypto/ed25519 takes it.
func (k PublicKey) Ed25519() ed25519.PublicKey { return ed25519.PublicKey(k[:]) }

// Verify reports whether sig is the key's pure Ed25519 signature of message, by crypto/ed25519's rule: cofactorless,
// S below the group order, R compared by its bytes. The zero PublicKey, which is a point of small order, verifies nothing.
func (k PublicKey) Verify(message, sig []byte) bool {
	return k != (PublicKey{}) && ed25519.Verify(k[:], message, sig)
}

// NoteID is the key id of a C2SP signed note whose key is called name.
func (k PublicKey) NoteID(name string) uint32 {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n', noteEd25519})
	h.Write(k[:])
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// VKey is the C2SP verifier key: name, key id in hex, and base64 of the type byte and the key.
func (k PublicKey) VKey(name string) string {
	return fmt.Sprintf("%s+%08x+%s", name, k.NoteID(name), base64.StdEncoding.EncodeToString(append([]byte{noteEd25519}, k[:]...)))
}

func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k.SPKI()) }

// MarshalText gives the base64 SubjectPublicKeyInfo.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParsePublicKey.
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// digest is how the formats write a SHA-256 outside of an in-toto subject.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// digestForm reports whether s is a digest as it is written.
func digestForm(s string) bool {
	value, ok := strings.CutPrefix(s, "sha256:")
	return ok && lowerHex(value, 64)
}

func checkDigest(what, s string) error {
	if !digestForm(s) {
		return fmt.Errorf("%s %.80q is not sha256: and 64 lower-case hex digits", what, s)
	}
	return nil
}

var strictBase64 = base64.StdEncoding.Strict()

// decodeBase64 accepts the standard alphabet with padding, and only the one text that the bytes encode to.
func decodeBase64(text []byte) ([]byte, error) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := strictBase64.Decode(out, text)
	if err != nil || base64.StdEncoding.EncodedLen(n) != len(text) {
		return nil, errors.New("not canonical base64 (standard alphabet, padded)")
	}
	return out[:n], nil
}

// base64Bytes is a byte string whose JSON form is canonical base64.
type base64Bytes []byte

func (b base64Bytes) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

func (b *base64Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = decodeBase64(text)
	return err
}
