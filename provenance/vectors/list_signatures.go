package main

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"

	"filippo.io/edwards25519"
)

// smallOrderPoints are the eight points of small order, in their canonical encodings.
var smallOrderPoints = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
}

// signatures are where implementations of Ed25519 differ: in the encodings they accept, and in whether they multiply the
// equation by the cofactor.
func signatures() []any {
	message := []byte("countersign")
	good := publisher.sign(message)
	flipped := append([]byte(nil), good...)
	flipped[5] ^= 0x10
	out := []any{
		signatureCase("a signature", true, publisher.raw(), message, good),
		signatureCase("of the empty message", true, publisher.raw(), nil, publisher.sign(nil)),
		signatureCase("of another message", false, publisher.raw(), []byte("Countersign"), good),
		signatureCase("by another key", false, rootKey.raw(), message, good),
		signatureCase("with a bit of R changed", false, publisher.raw(), message, flipped),
		signatureCase("with the group order added to S", false, publisher.raw(), message, plusOrder(good)),
		signatureCase("of 63 bytes", false, publisher.raw(), message, good[:63]),
		signatureCase("of 65 bytes", false, publisher.raw(), message, append(good[:64:64], 0)),
		signatureCase("of no bytes", false, publisher.raw(), message, nil),
		signatureCase("R is the neutral element: it verifies, since the equation and the encoding hold", true,
			publisher.raw(), message, withR(unhex(smallOrderPoints[0]), message)),
		signatureCase("R is the neutral element in an encoding that is not canonical: the bytes of R are compared", false,
			publisher.raw(), message, withR(unhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), message)),
		signatureCase("R has a part of small order: it would verify if the equation were multiplied by the cofactor", false,
			publisher.raw(), message, withR(unhex(smallOrderPoints[6]), message)),
	}
	return append(out, mixedKey()...)
}

func signatureCase(comment string, ok bool, public, message, sig []byte) object {
	return object{{"comment", comment}, {"ok", ok}, {"publicKey", spki(public)}, {"message", hex.EncodeToString(message)}, {"signature", hex.EncodeToString(sig)}}
}

// withR makes the S for which the equation would hold if the encoded R, a point of small order, were the neutral element.
func withR(r, message []byte) []byte {
	s := edwards25519.NewScalar().Multiply(challenge(r, publisher.raw(), message), secret(publisher))
	return append(append([]byte(nil), r...), s.Bytes()...)
}

// mixedKey is a key with a part of small order. It is not of small order itself, so it is accepted; its signatures verify
// where the challenge is a multiple of 8, and elsewhere only for those who multiply by the cofactor.
func mixedKey() []any {
	torsion, err := new(edwards25519.Point).SetBytes(unhex(smallOrderPoints[6]))
	if err != nil {
		panic(err)
	}
	a := secret("mixed")
	public := new(edwards25519.Point).ScalarBaseMult(a)
	raw := public.Add(public, torsion).Bytes()
	var holds, fails object
	for i := 0; holds == nil || fails == nil; i++ {
		message := []byte{byte(i)}
		nonce := secret(key("nonce"))
		r := new(edwards25519.Point).ScalarBaseMult(nonce).Bytes()
		k := challenge(r, raw, message)
		sig := append(r, edwards25519.NewScalar().MultiplyAdd(k, a, nonce).Bytes()...)
		if k.Bytes()[0]%8 == 0 {
			holds = signatureCase("a key with a part of small order, whose signature verifies without the cofactor too", true, raw, message, sig)
		} else {
			fails = signatureCase("a key with a part of small order, whose signature verifies only with the cofactor", false, raw, message, sig)
		}
	}
	return []any{holds, fails}
}

// secret is the scalar of a test key (RFC 8032, section 5.1.5).
func secret(k key) *edwards25519.Scalar {
	h := sha512.Sum512(k.private().Seed())
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err)
	}
	return s
}

func challenge(r, public, message []byte) *edwards25519.Scalar {
	h := sha512.New()
	h.Write(r)
	h.Write(public)
	h.Write(message)
	k, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil || len(public) != ed25519.PublicKeySize {
		panic("vectors: challenge")
	}
	return k
}
