package attest_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
)

// finding is the report's last word on a claim.
func finding(r *attest.Report, claim string) attest.Finding {
	for _, f := range slices.Backward(r.Findings) {
		if f.Claim == claim {
			return f
		}
	}
	return attest.Finding{}
}

// TestRefusedProvesNothingFalse: the report of a refused document says of nothing
// that it is proven if that is what is wrong.
func TestRefusedProvesNothingFalse(t *testing.T) {
	for name, lie := range map[string]func(*forge){
		"an approval of another key": func(f *forge) { f.key = ed() },
		"an approval of another appliance": func(f *forge) {
			f.claims = func(c *attest.Claims) { c.TPM.Appliance = "elsewhere" }
		},
		"an approval bound to another counter": func(f *forge) {
			f.approved = storageName
			f.claims = func(c *attest.Claims) { c.TPM.Counter.Name = storageName }
		},
		"an approval of a counter that stands elsewhere": func(f *forge) {
			f.claims = func(c *attest.Claims) { c.TPM.Counter.Value = counting - 1 }
			f.certified = counting
		},
	} {
		f := newForge()
		lie(f)
		r, err := verifyForged(f, f.question())
		if err == nil || errors.Is(err, attest.ErrUnchecked) {
			t.Errorf("%s: %v", name, err)
		}
		if got := finding(r, "approval"); got.Status == attest.Proven {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestSoftwareTPM answers every challenge: what it says is proven only of a TPM
// that a maker certified.
func TestSoftwareTPM(t *testing.T) {
	f := newForge()
	d := f.document()
	q := f.question()
	q.Secret, q.Anchors.Makers = f.answered(d), nil
	r, err := attest.Verify(f.finish(d), q)
	if !errors.Is(err, attest.ErrUnchecked) || !strings.Contains(err.Error(), "maker's certificate") {
		t.Error(err)
	}
	for _, f := range r.Findings {
		if f.Status == attest.Proven && f.Claim != "publicKey" && f.Claim != "nonce" && f.Claim != "approval" {
			t.Errorf("of a software TPM it is proven: %+v", f)
		}
	}
}

// TestAnotherKindAnswers: who challenged a TPM is not content with a token.
func TestAnotherKindAnswers(t *testing.T) {
	_, secret, err := attest.NewChallenge(newForge().document())
	must(0, err)
	for _, class := range []attest.Protection{attest.PKCS11Token, attest.SoftwareTest} {
		d, key := tokenDocument(class)
		d.Claims.Nonce = secret.Nonce
		if _, err := attest.Verify(must(d.Prove(key)), attest.Question{Now: now, Secret: secret}); err == nil || errors.Is(err, attest.ErrUnchecked) {
			t.Errorf("%s: %v", class, err)
		}
	}
}

// TestApprovalHasPassed: the claimed time is the machine's word, so an approval
// that has expired by now is said to have.
func TestApprovalHasPassed(t *testing.T) {
	f := newForge()
	d := f.document()
	q := f.question()
	q.Secret = f.answered(d)
	data := f.finish(d)
	if r := must(attest.Verify(data, q)); strings.Contains(finding(r, "approval").Detail, "has passed") {
		t.Error(finding(r, "approval"))
	}
	q.Now, q.Anchors.Makers = now.Add(2*time.Hour), nil // the maker's certificate is no longer good either
	if r, _ := attest.Verify(data, q); !strings.Contains(finding(r, "approval").Detail, "which has passed") {
		t.Error(finding(r, "approval"))
	}
}

// TestStorageKeyIsAName: a handle of a hierarchy is none.
func TestStorageKeyIsAName(t *testing.T) {
	for _, parent := range [][]byte{nil, {0x40, 0, 0, 1}, bytes.Repeat([]byte{0, 12}, 17), append(storageName, 0)} {
		d := newForge().document()
		d.Proof = make([]byte, ed25519.SignatureSize)
		d.Claims.TPM.StorageKey = parent
		if _, err := d.Format(); err == nil {
			t.Errorf("%x: written", parent)
		}
	}
}

// TestTextsAreQuoted: what a device says of itself does not look like the report's own words.
func TestTextsAreQuoted(t *testing.T) {
	d, key := tokenDocument(attest.PKCS11Token)
	d.Claims.Token.Model = "x          proven         protection: tpm-sealed"
	d.Claims.PKCS11.Vendor[0].Format = d.Claims.Token.Model
	r := must(attest.Verify(must(d.Prove(key)), attest.Question{Now: now}))
	for _, claim := range []string{"token", "vendorAttestation"} {
		if got := finding(r, claim).Detail; !strings.Contains(got, `"`+d.Claims.Token.Model+`"`) {
			t.Errorf("%s: %s", claim, got)
		}
	}
}
