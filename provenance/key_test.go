package provenance_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
	"github.com/c2sp/wycheproof"

	"countersign.dev/provenance"
)

// Every Ed25519 case of Project Wycheproof, as admission and consumers decide: by PublicKey.
func TestWycheproof(t *testing.T) {
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ Pk string }
			Tests     []struct {
				TcID             int
				Comment          string
				Msg, Sig, Result string
			}
		}
	}
	if err := json.Unmarshal(must(fs.ReadFile(wycheproof.TestVectors, "ed25519_test.json")), &file); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			n++
			key, err := provenance.NewPublicKey(unhex(g.PublicKey.Pk))
			if got := err == nil && key.Verify(unhex(c.Msg), unhex(c.Sig)); got != (c.Result == "valid") {
				t.Errorf("case %d (%s): %t (key: %v), want %s", c.TcID, c.Comment, got, err, c.Result)
			}
		}
	}
	if n != file.NumberOfTests || n < 100 {
		t.Errorf("ran %d of %d cases", n, file.NumberOfTests)
	}
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

// RFC 8032, section 7.1: secret key, public key, message, signature. TEST 1024 is in rfc8032Long.
var rfc8032 = [][4]string{
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
		"72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
		"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
		"af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	{"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
		"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		"dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
}

func TestRFC8032(t *testing.T) {
	for i, v := range append(rfc8032, rfc8032Long) {
		secret, message, sig := ed25519.NewKeyFromSeed(unhex(v[0])), unhex(v[2]), unhex(v[3])
		if !bytes.Equal(secret.Public().(ed25519.PublicKey), unhex(v[1])) || !bytes.Equal(ed25519.Sign(secret, message), sig) {
			t.Fatalf("vector %d is not copied well", i)
		}
		key, err := provenance.NewPublicKey(unhex(v[1]))
		if err != nil || !key.Verify(message, sig) {
			t.Errorf("vector %d does not verify: %v", i, err)
		}
		if key.Verify(append(message, 0), sig) || key.Verify(message, flip(sig, 40, 1)) || key.Verify(message, sig[:63]) ||
			key.Verify(message, append(sig, 0)) || key.Verify(message, nil) {
			t.Errorf("vector %d verifies with a change", i)
		}
	}
}

// An absent key is 32 zero bytes, and those are a point of order four: without care one signature in four of an attacker
// would verify.
func TestZeroKeyVerifiesNothing(t *testing.T) {
	identityPoint := make([]byte, 64)
	identityPoint[0] = 1
	for i := range 64 {
		if (provenance.PublicKey{}).Verify([]byte{byte(i)}, identityPoint) {
			t.Fatalf("a signature of message %d verifies with the zero key", i)
		}
	}
}

// The 14 encodings of the eight points of small order: eight canonical ones, and six that have y not reduced or a sign
// bit on x = 0.
func TestSmallOrderKeysRefused(t *testing.T) {
	list := smallOrder(t)
	if len(list) != 14 {
		t.Fatalf("%d encodings, want 14", len(list))
	}
	for raw := range list {
		if k, err := provenance.NewPublicKey([]byte(raw)); err == nil {
			t.Errorf("%x is accepted", raw)
		} else if k != (provenance.PublicKey{}) {
			t.Errorf("%x is refused but returned", raw)
		}
		spki := base64.StdEncoding.EncodeToString(append(unhex("302a300506032b6570032100"), raw...))
		if _, err := provenance.ParsePublicKey(spki); err == nil {
			t.Errorf("SPKI of %x is accepted", raw)
		}
	}
}

// smallOrder finds every 32-byte string that edwards25519, which takes encodings that are not canonical, reads as a point
// of small order: the multiples of a point of order eight, with both signs, and y + p where it fits in 255 bits.
func smallOrder(t *testing.T) map[string]bool {
	eighth := torsionPoint(t)
	found := make(map[string]bool)
	p := edwards25519.NewIdentityPoint()
	for range 8 {
		p.Add(p, eighth)
		for _, y := range [][]byte{p.Bytes(), plusP(p.Bytes())} {
			for _, sign := range []byte{0, 0x80} {
				raw := bytes.Clone(y)
				raw[31] = raw[31]&0x7f | sign
				q, err := new(edwards25519.Point).SetBytes(raw)
				if err == nil && new(edwards25519.Point).MultByCofactor(q).Equal(edwards25519.NewIdentityPoint()) == 1 {
					found[string(raw)] = true
				}
			}
		}
	}
	return found
}

// torsionPoint has order eight: some point times the order of the prime subgroup.
func torsionPoint(t *testing.T) *edwards25519.Point {
	order := unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010") // little-endian
	minusOne := must(new(edwards25519.Scalar).SetCanonicalBytes(flip(order, 0, 1)))    // order-1
	for n := range byte(200) {
		q, err := new(edwards25519.Point).SetBytes(append([]byte{n}, make([]byte, 31)...))
		if err != nil {
			continue
		}
		e := new(edwards25519.Point).ScalarMult(minusOne, q)
		e.Add(e, q) // q times order
		four := new(edwards25519.Point).Add(e, e)
		four.Add(four, four)
		if four.Equal(edwards25519.NewIdentityPoint()) == 0 {
			return e
		}
	}
	t.Fatal("no point of order eight found")
	return nil
}

// plusP adds the field's prime to y; bytes that do not fit in 255 bits wrap, which SetBytes reads as another point.
func plusP(raw []byte) []byte {
	y := bytes.Clone(raw)
	y[31] &= 0x7f
	carry := 0
	for i, add := range unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f") {
		carry += int(y[i]) + int(add)
		y[i] = byte(carry)
		carry >>= 8
	}
	return y
}

// Encodings that are not canonical are refused for every point that has one, not only for those of small order.
func TestNonCanonicalKeysRefused(t *testing.T) {
	n := 0
	for y := range byte(19) { // y + p below 2^255
		for _, sign := range []byte{0, 0x80} {
			raw := plusP(append([]byte{y}, make([]byte, 31)...))
			raw[31] |= sign
			if _, err := new(edwards25519.Point).SetBytes(raw); err != nil {
				continue
			}
			n++
			if _, err := provenance.NewPublicKey(raw); err == nil {
				t.Errorf("%x is accepted", raw)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d encodings tried", n)
	}
	for _, raw := range [][]byte{nil, make([]byte, 31), make([]byte, 33), notOnCurve()} {
		if _, err := provenance.NewPublicKey(raw); err == nil {
			t.Errorf("%x is accepted", raw)
		}
	}
}

// notOnCurve has a y to which there is no x.
func notOnCurve() []byte {
	for y := byte(2); ; y++ {
		raw := new(field.Element).Add(new(field.Element).One(), must(new(field.Element).SetBytes(append([]byte{y}, make([]byte, 31)...)))).Bytes()
		if _, err := new(edwards25519.Point).SetBytes(raw); err != nil {
			return raw
		}
	}
}

// Every part of a valid SPKI, and every one with one byte changed, is refused or is another key spelled as it should be.
func TestParsePublicKeyMutations(t *testing.T) {
	want := publicKey(testKey("spki"))
	text := want.String()
	if got, err := provenance.ParsePublicKey(text); err != nil || got != want {
		t.Fatalf("%s: %v", text, err)
	}
	for i := range len(text) {
		for j := i; j <= len(text); j++ {
			if s := text[i:j]; s != text {
				if _, err := provenance.ParsePublicKey(s); err == nil {
					t.Errorf("part %q is accepted", s)
				}
			}
		}
		for b := range 256 {
			s := text[:i] + string([]byte{byte(b)}) + text[i+1:]
			if got, err := provenance.ParsePublicKey(s); err == nil && s != text && (got == want || got.String() != s) {
				t.Errorf("%q is accepted as %s", s, got)
			}
		}
	}
	for _, s := range []string{text + "=", text + "\n", " " + text, strings.TrimRight(text, "="), text + text,
		base64.URLEncoding.EncodeToString([]byte("\xff\xfe")), text[:10] + "\n" + text[10:], text[:10] + "\r\n" + text[10:]} {
		if _, err := provenance.ParsePublicKey(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

// Of the DER before the key, no byte can be another.
func TestParsePublicKeyDER(t *testing.T) {
	der := publicKey(testKey("spki")).SPKI()
	for i := range der {
		for b := range 256 {
			changed := bytes.Clone(der)
			changed[i] = byte(b)
			_, err := provenance.ParsePublicKey(base64.StdEncoding.EncodeToString(changed))
			if i < 12 && byte(b) != der[i] && err == nil {
				t.Errorf("byte %d as %#02x is accepted", i, b)
			}
		}
	}
	for _, changed := range [][]byte{der[:len(der)-1], append(bytes.Clone(der), 0), der[12:]} {
		if _, err := provenance.ParsePublicKey(base64.StdEncoding.EncodeToString(changed)); err == nil {
			t.Errorf("%x is accepted", changed)
		}
	}
}

func TestKeyTexts(t *testing.T) {
	k := publicKey(testKey("text"))
	var back provenance.PublicKey
	if err := back.UnmarshalText(must(k.MarshalText())); err != nil || back != k {
		t.Errorf("text: %s, %v", back, err)
	}
	if !bytes.Equal(k.Ed25519(), k[:]) || !strings.HasSuffix(string(k.SPKI()), string(k[:])) {
		t.Error("Ed25519 or SPKI are not of the key")
	}
	id := binary.BigEndian.AppendUint32(nil, k.NoteID("log.example/1"))
	if v := k.VKey("log.example/1"); !strings.HasPrefix(v, "log.example/1+"+hex.EncodeToString(id)+"+A") {
		t.Errorf("vkey %s", v)
	}
}
