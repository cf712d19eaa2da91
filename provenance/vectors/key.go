package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// key is a test key; its name is its seed.
type key string

func (k key) seed() []byte {
	sum := sha256.Sum256([]byte("countersign test vector key: " + string(k)))
	return sum[:]
}

func (k key) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed()) }
func (k key) raw() []byte                 { return k.private().Public().(ed25519.PublicKey) }
func (k key) spki() string                { return spki(k.raw()) }
func (k key) fingerprint() string         { return digest(der(k.raw())) }
func (k key) sign(message []byte) []byte  { return ed25519.Sign(k.private(), message) }
func (k key) noteID(name string) []byte   { return noteID(name, k.raw()) }
func (k key) signs(h head, name string) string {
	return noteLine(name, k.noteID(name), k.sign([]byte(h.text())))
}

// der is the SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
func der(raw []byte) []byte {
	return append([]byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}, raw...)
}

func spki(raw []byte) string { return base64.StdEncoding.EncodeToString(der(raw)) }

func noteID(name string, raw []byte) []byte {
	sum := sha256.Sum256(append([]byte(name+"\n\x01"), raw...))
	return sum[:4]
}

func digest(data []byte) string { return "sha256:" + hexSHA256(data) }

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// plusOrder adds the order of the Ed25519 group to a signature's S. The equation still holds; the signature is another
// spelling of the same one, which RFC 8032 refuses.
func plusOrder(sig []byte) []byte {
	order := unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	out, carry := append([]byte(nil), sig...), 0
	for i := range order {
		sum := int(out[32+i]) + int(order[i]) + carry
		out[32+i], carry = byte(sum), sum>>8
	}
	return out
}
