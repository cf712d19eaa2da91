package attest_test

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"countersign.dev/attest"
)

// recorder remembers what it signed.
type recorder struct {
	ed25519.PrivateKey
	message []byte
}

func (r *recorder) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.message = message
	return r.PrivateKey.Sign(rand, message, opts)
}

// tokenDocument is about a key in a token.
func tokenDocument(class attest.Protection) (*attest.Document, ed25519.PrivateKey) {
	key := ed()
	return &attest.Document{Type: attest.Type, Claims: attest.Claims{
		PublicKey: spki(key.Public()), Fingerprint: attest.Digest(spki(key.Public())), Protection: class, Time: now, Nonce: nonce,
		Token: attest.Token{Manufacturer: "Maker", Model: "Model", Serial: "1", Firmware: "2.0"},
		PKCS11: &attest.PKCS11Claims{
			Source: "self-reported", Attributes: map[string]bool{"CKA_SENSITIVE": true, "CKA_EXTRACTABLE": false}, AllowedMechanisms: []uint{0x1057},
			Vendor: []attest.VendorAttestation{{Format: "yubihsm2-x509", Data: []byte{1, 2}}},
		},
	}}, key
}

func TestTokenDocument(t *testing.T) {
	d, key := tokenDocument(attest.PKCS11Token)
	data, err := d.Prove(key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := attest.Verify(data, attest.Question{Now: now, Require: attest.PKCS11Token})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		want := attest.SelfReported
		switch f.Claim {
		case "publicKey":
			want = attest.Proven
		case "nonce", "agent", "copies", "vendorAttestation":
			want = attest.NotShown
		}
		if f.Status != want {
			t.Errorf("%s is %s, want %s", f.Claim, f.Status, want)
		}
	}
	if !slices.ContainsFunc(r.Findings, func(f attest.Finding) bool { return f.Claim == "CKA_EXTRACTABLE" && f.Detail == "false" }) {
		t.Errorf("%+v", r.Findings)
	}
	if _, err := attest.Certify(r, ed(), now); err == nil {
		t.Error("a token is certified as a TPM")
	}
	d.Claims.PKCS11.Attributes["CKA_LOCAL"] = true
	if _, err := attest.Verify(must(d.Format()), attest.Question{Now: now}); err == nil {
		t.Error("an attribute that was added later")
	}
}

// TestClass: no class passes for another.
func TestClass(t *testing.T) {
	classes := []attest.Protection{attest.PKCS11Token, attest.SoftwareTest, attest.TPMSealed}
	for _, class := range classes {
		var data []byte
		q := attest.Question{Now: now}
		if class == attest.TPMSealed {
			data, q = good(t, newForge())
		} else {
			d, key := tokenDocument(class)
			data = must(d.Prove(key))
		}
		for _, required := range classes {
			q.Require = required
			_, err := attest.Verify(data, q)
			if (err == nil) != (class == required) || errors.Is(err, attest.ErrUnchecked) {
				t.Errorf("%s where %s is required: %v", class, required, err)
			}
		}
	}
	for name, spoil := range map[string]func(*attest.Document){
		"tpm-sealed without a TPM":         func(d *attest.Document) { d.Claims.Protection = attest.TPMSealed },
		"a hardware key":                   func(d *attest.Document) { d.Claims.Protection = "hardware" },
		"a token's word without the word":  func(d *attest.Document) { d.Claims.PKCS11 = nil },
		"attributes that are proven":       func(d *attest.Document) { d.Claims.PKCS11.Source = "proven" },
		"a TPM's evidence about a token":   func(d *attest.Document) { d.TPM = newForge().document().TPM },
		"control characters":               func(d *attest.Document) { d.Claims.Token.Model = "\x1b[2J" },
		"a vendor's attestation of nobody": func(d *attest.Document) { d.Claims.PKCS11.Vendor[0].Format = "" },
		"a short nonce":                    func(d *attest.Document) { d.Claims.Nonce = []byte{1} },
		"a time with fractions":            func(d *attest.Document) { d.Claims.Time = now.Add(1) },
		"another fingerprint":              func(d *attest.Document) { d.Claims.Fingerprint = attest.Digest(nil) },
	} {
		d, key := tokenDocument(attest.PKCS11Token)
		spoil(d)
		if _, err := d.Prove(key); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

// TestSealedClaims: what no document of a sealed key may claim.
func TestSealedClaims(t *testing.T) {
	for name, spoil := range map[string]func(*attest.Document){
		"no register":                   func(d *attest.Document) { d.Claims.TPM.PCRs = nil },
		"a register anybody resets":     func(d *attest.Document) { d.Claims.TPM.PCRs["16"] = d.Claims.TPM.PCRs["7"] },
		"a register that is not there":  func(d *attest.Document) { d.Claims.TPM.PCRs["24"] = d.Claims.TPM.PCRs["7"] },
		"a register under another name": func(d *attest.Document) { d.Claims.TPM.PCRs["07"] = d.Claims.TPM.PCRs["7"] },
		"a register of another bank":    func(d *attest.Document) { d.Claims.TPM.PCRs["7"] = make([]byte, 20) },
		"a binding that is proven":      func(d *attest.Document) { d.Claims.TPM.Binding = "proven" },
		"a token's attributes":          func(d *attest.Document) { d.Claims.PKCS11 = &attest.PKCS11Claims{Source: "self-reported"} },
		"no claims":                     func(d *attest.Document) { d.Claims.TPM = nil },
		"no evidence":                   func(d *attest.Document) { d.TPM = nil },
		"another class":                 func(d *attest.Document) { d.Claims.Protection = attest.SoftwareTest },
		"an appliance with a blank":     func(d *attest.Document) { d.Claims.TPM.Appliance = "a b" },
		"a counter beyond counting":     func(d *attest.Document) { d.Claims.TPM.Counter.Value = 1 << 60 },
	} {
		d := newForge().document()
		d.Proof = make([]byte, ed25519.SignatureSize)
		if _, err := d.Format(); err != nil {
			t.Fatal(err)
		}
		spoil(d)
		if _, err := d.Format(); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// TestOneForm: a digest names one content, so a content has one digest.
func TestOneForm(t *testing.T) {
	d, key := tokenDocument(attest.PKCS11Token)
	data := string(must(d.Prove(key)))
	for _, c := range [][2]string{
		{"{\n", "{\n\n"}, {"\n  \"claims\"", "\n \"claims\""}, {"{\n  \"type\"", "{\"type\""}, {"}\n", "}"}, {"}\n", "}\n\n"}, {"pkcs11-token", `pkcs11\u002dtoken`},
		{`"nonce": "07`, `"nonce": "0\u0037`}, {"\"CKA_EXTRACTABLE\": false,\n        \"CKA_SENSITIVE\": true", "\"CKA_SENSITIVE\": true,\n        \"CKA_EXTRACTABLE\": false"},
	} {
		at := strings.LastIndex(data, c[0])
		if at < 0 {
			t.Fatalf("there is no %q", c[0])
		}
		if _, err := attest.Parse([]byte(data[:at] + c[1] + data[at+len(c[0]):])); err == nil {
			t.Errorf("%q instead of %q: parsed", c[1], c[0])
		}
	}
	if _, err := attest.Parse([]byte(data + strings.Repeat(" ", attest.MaxDocument))); err == nil {
		t.Error("too long, and parsed")
	}
}
