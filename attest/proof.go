package attest

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
)

// Prove has the key sign that it was there, and gives the finished document. The
// text is built here and can be nothing that the key signs in earnest; see the
// package comment. Everything else must be in the document. signer makes pure
// Ed25519 signatures. A document that contradicts itself is not given.
func (d *Document) Prove(signer crypto.Signer) ([]byte, error) {
	text, err := d.Claims.proofText()
	if err != nil {
		return nil, fmt.Errorf("proof of possession: %w", err)
	}
	if d.Proof, err = signer.Sign(nil, text, crypto.Hash(0)); err != nil {
		return nil, fmt.Errorf("proof of possession: %w", err)
	}
	data, err := d.Format()
	if err != nil {
		return nil, err
	}
	if _, err := Verify(data, Question{Now: d.Claims.Time}); err != nil && !errors.Is(err, ErrUnchecked) {
		return nil, fmt.Errorf("the finished document: %w", err)
	}
	return data, nil
}

// proofText begins with NUL, which no signed note and no DSSE text does.
func (c *Claims) proofText() ([]byte, error) {
	binding, err := c.Binding()
	return append([]byte("\x00"+domain+"\x00"), binding...), err
}

func (d *Document) checkProof() error {
	key, err := d.Claims.Key()
	if err != nil {
		return err
	}
	text, err := d.Claims.proofText()
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, text, d.Proof) {
		return errors.New("proof: not the key's signature of these claims")
	}
	return nil
}
