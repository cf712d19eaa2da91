package hsm_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
)

func TestEvidence(t *testing.T) {
	tokens := softhsm.New(t)
	key := tokens.Key(tokens.Token("registry"), "log-1")
	c := hsm.Config{URI: key.URI, PublicKey: key.PublicKey}
	claims := attest.Claims{Time: time.Now().UTC().Truncate(time.Second), Nonce: bytes.Repeat([]byte{7}, 32)}
	data, err := hsm.Evidence(t.Context(), c, claims)
	if err != nil {
		t.Fatal(err)
	}
	r, err := attest.Verify(data, attest.Question{Now: time.Now(), Nonce: claims.Nonce, Require: attest.SoftwareTest})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Document.Claims; !got.PKCS11.Attributes["CKA_SENSITIVE"] || got.PKCS11.Attributes["CKA_EXTRACTABLE"] || got.Token.Serial != key.URI.Serial {
		t.Errorf("%+v", got)
	}
	pin, err := os.ReadFile(key.URI.PINFile)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, bytes.TrimSpace(pin)) {
		t.Error("the PIN is in the document")
	}
	c.PublicKey, _, _ = ed25519.GenerateKey(nil)
	if _, err := hsm.Evidence(t.Context(), c, claims); !errors.Is(err, hsm.ErrStopped) {
		t.Errorf("another public key: %v", err)
	}
}

// TestEvidenceClass: software is not called a token, whatever it is loaded through.
func TestEvidenceClass(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		manufacturer, model string
		want                attest.Protection
	}{
		{"SoftHSM project", "SoftHSM v2", attest.SoftwareTest},
		{"Mozilla Foundation", "NSS 3", attest.SoftwareTest},
		{"Yubico", "YubiHSM", attest.PKCS11Token},
		{"Nobody", "\x1b[2Jmodel", attest.PKCS11Token},
	} {
		got, err := hsm.ClaimsOf(hsm.Inspection{Token: hsm.TokenInfo{Manufacturer: c.manufacturer, Model: c.model}}, public)
		if err != nil || got.Protection != c.want || got.PKCS11.Source != "self-reported" || strings.Contains(got.Token.Model, "\x1b") {
			t.Errorf("%s: %+v, %v", c.manufacturer, got, err)
		}
	}
}

// TestEvidenceOfAnotherKey: what was inspected and what was opened may be two keys
// of one name, on two tokens of one label.
func TestEvidenceOfAnotherKey(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for shown, good := range map[string]bool{string(public): true, "": true, string(make([]byte, ed25519.PublicKeySize)): false} {
		if _, err := hsm.ClaimsOf(hsm.Inspection{Key: hsm.KeyInfo{PublicKey: ed25519.PublicKey(shown)}}, public); (err == nil) != good {
			t.Errorf("the token shows %x for %x: %v", shown, public, err)
		}
	}
}
