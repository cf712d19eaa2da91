package attest_test

import (
	"bytes"
	"errors"
	"testing"

	"countersign.dev/attest"
	"github.com/google/go-tpm/tpm2"
)

// FuzzParse: what is read has one form, and nothing that was changed verifies.
func FuzzParse(f *testing.F) {
	data, q := good(f, newForge())
	f.Add(data)
	token, key := tokenDocument(attest.PKCS11Token)
	f.Add(must(token.Prove(key)))
	challenge, secret, err := attest.NewChallenge(must(attest.Parse(data)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(must(challenge.Format()))
	f.Add(must(secret.Format()))
	f.Add(must(must(attest.Parse(data)).TPM.AKCertificate.Format()))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (interface{ Format() ([]byte, error) }, error){
			func(b []byte) (interface{ Format() ([]byte, error) }, error) { return attest.Parse(b) },
			func(b []byte) (interface{ Format() ([]byte, error) }, error) { return attest.ParseChallenge(b) },
			func(b []byte) (interface{ Format() ([]byte, error) }, error) { return attest.ParseSecret(b) },
			func(b []byte) (interface{ Format() ([]byte, error) }, error) { return attest.ParseAKCertificate(b) },
		} {
			if d, err := parse(b); err == nil && !bytes.Equal(must(d.Format()), b) {
				t.Error("two forms")
			}
		}
		if _, err := attest.Verify(b, q); err == nil && !bytes.Equal(b, data) {
			t.Error("a changed document verifies")
		}
	})
}

// FuzzStructures puts anything where a TPM's structures are, under good signatures of the AK where that is possible.
func FuzzStructures(f *testing.F) {
	maker := newForge()
	d := maker.document()
	e := d.TPM
	for _, s := range []attest.Statement{e.Quote, e.Creation, e.Counter} {
		f.Add(byte(0), s.Attest)
		f.Add(byte(1), s.Signature)
	}
	f.Add(byte(2), e.AKPublic)
	f.Add(byte(3), e.EKPublic)
	f.Add(byte(4), e.Sealed.Public)
	f.Add(byte(5), e.Sealed.CreationData)
	f.Add(byte(6), e.EKCertificates[0])
	f.Add(byte(7), e.Approver)
	ecc := tpm2.Marshal(tpm2.ECCEKTemplate)
	f.Add(byte(3), ecc)
	good := maker.finish(d)
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		d := must(attest.Parse(good))
		e := d.TPM
		switch which % 8 {
		case 0:
			e.Quote = maker.signed(b)
			e.Creation, e.Counter = e.Quote, e.Quote
		case 1:
			e.Quote.Signature = b
		case 2:
			e.AKPublic = b
		case 3:
			e.EKPublic = b
		case 4:
			e.Sealed.Public = b
		case 5:
			e.Sealed.CreationData = b
		case 6:
			e.EKCertificates[0] = b
		case 7:
			e.Approver = b
		}
		data, err := d.Format()
		if err != nil {
			return
		}
		if _, err := attest.Verify(data, maker.question()); (err == nil || errors.Is(err, attest.ErrUnchecked)) && !bytes.Equal(data, good) {
			if which%8 == 1 { // one ECDSA signature has many forms
				return
			}
			t.Errorf("%d: %x passes", which%8, b)
		}
		attest.NewChallenge(d)
	})
}
