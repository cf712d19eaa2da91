package hsm

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"countersign.dev/attest"
)

// Evidence has a key and its token say where the key lives, and gives the
// document. claims has the time, the nonce, the agent, the document before and
// the vendor's attestations; the rest is filled in. A token of a maker that is
// known to make software is not called a token.
func Evidence(ctx context.Context, c Config, claims attest.Claims) (data []byte, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	found, err := Inspect(ctx, c.URI)
	if err != nil {
		return nil, err
	}
	c.Wait = false
	key, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	d := &attest.Document{Type: attest.Type, Claims: claims}
	if err := found.claim(&d.Claims, c); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if data, err = d.Prove(key); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return data, nil
}

func (i Inspection) claim(c *attest.Claims, key Config) (err error) {
	if shown := i.Key.PublicKey; len(shown) > 0 && !shown.Equal(key.PublicKey) {
		return errors.New("the inspected key is another than the opened one: name the token's serial in the key's URI")
	}
	if c.PublicKey, err = x509.MarshalPKIXPublicKey(key.PublicKey); err != nil {
		return err
	}
	c.Fingerprint, c.Protection = attest.Digest(c.PublicKey), attest.PKCS11Token
	if slices.Contains(softwareTokens, findProfile("", i.Token).name) {
		c.Protection = attest.SoftwareTest
	}
	c.Token = attest.Token{
		Manufacturer: attest.Printable(i.Token.Manufacturer), Model: attest.Printable(i.Token.Model),
		Serial: attest.Printable(i.Token.Serial), Firmware: attest.Printable(i.Token.Firmware),
	}
	own := attest.PKCS11Claims{Source: "self-reported", Attributes: i.Key.Attributes, AllowedMechanisms: i.Key.AllowedMechanisms}
	if c.PKCS11 != nil {
		own.Vendor = c.PKCS11.Vendor
	}
	c.PKCS11 = &own
	return nil
}

// softwareTokens are profiles by their name.
var softwareTokens = []string{"SoftHSM", "NSS"}
