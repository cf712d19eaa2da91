package hsm

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"
)

var somePublic = ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)

func TestCheckCurve(t *testing.T) {
	for params, good := range map[string]bool{
		"06032b6570":                   true,
		"130c656477617264733235353139": true,
		"06092b06010401da470f01":       true,
		"06032b6571":                   false, // Ed448
		"06032b656e":                   false, // X25519
		"1307" + "45643235353139":      false, // "Ed25519"
		"656477617264733235353139":     false, // no header
		"06082a8648ce3d030107":         false, // P-256
		"06032b657000":                 false,
		"":                             false,
	} {
		b, _ := hex.DecodeString(params)
		if err := checkCurve(b); (err == nil) != good {
			t.Errorf("%s: %v", params, err)
		}
	}
}

func TestDecodePoint(t *testing.T) {
	wrapped := append([]byte{4, 32}, somePublic...)
	identity := append([]byte{1}, make([]byte, 31)...)
	for _, c := range []struct {
		name  string
		point []byte
		good  bool
	}{
		{"wrapped", wrapped, true},
		{"raw", somePublic, true},
		{"wrong tag", append([]byte{3, 32}, somePublic...), false},
		{"wrong length byte", append([]byte{4, 33}, somePublic...), false},
		{"33 bytes", wrapped[:33], false},
		{"31 bytes", somePublic[:31], false},
		{"35 bytes", append(wrapped, 0), false},
		{"empty", nil, false},
		{"small order", identity, false},
		{"off the curve", append([]byte{2}, make([]byte, 31)...), false},
	} {
		public, err := decodePoint(c.point)
		if (err == nil) != c.good || c.good && !public.Equal(somePublic) {
			t.Errorf("%s: %x, %v", c.name, public, err)
		}
	}
}

// Every y from p to 2^255-1 is a second spelling of a small one.
func TestNonCanonicalPoints(t *testing.T) {
	for low := byte(0xed); low != 0; low++ {
		for _, high := range []byte{0x7f, 0xff} {
			point := bytes.Repeat([]byte{0xff}, 32)
			point[0], point[31] = low, high
			if public, err := decodePoint(point); err == nil {
				t.Errorf("%x is taken", public)
			}
		}
	}
}

func FuzzDecodePoint(f *testing.F) {
	f.Add([]byte(somePublic))
	f.Add(append([]byte{4, 32}, somePublic...))
	f.Add([]byte{4, 32})
	f.Fuzz(func(t *testing.T, point []byte) {
		public, err := decodePoint(point)
		if err != nil {
			return
		}
		bare := len(point) == 32 && bytes.Equal(point, public)
		wrapped := len(point) == 34 && bytes.Equal(point, append([]byte{4, 32}, public...))
		if len(public) != 32 || !bare && !wrapped || checkPublic(public) != nil {
			t.Fatalf("%x -> %x", point, public)
		}
	})
}

// Only the three names are taken, byte for byte.
func FuzzCheckCurve(f *testing.F) {
	for _, params := range ed25519Params {
		f.Add(params)
		f.Add(append(bytes.Clone(params), 0))
	}
	f.Add([]byte{0x06, 0x03, 0x2b, 0x65, 0x71})
	f.Fuzz(func(t *testing.T, params []byte) {
		known := map[string]bool{"\x06\x03\x2b\x65\x70": true, "\x13\x0cedwards25519": true, "\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01": true}
		if err := checkCurve(params); (err == nil) != known[string(params)] {
			t.Fatalf("%x: %v", params, err)
		}
	})
}
