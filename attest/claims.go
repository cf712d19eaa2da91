package attest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/edwards25519"
	"github.com/google/go-tpm/tpm2"

	"countersign.dev/strict"
)

const (
	minNonce = 16
	maxNonce = 64
	maxText  = 256
)

// check holds a document to what every document has. It says nothing of truth.
func (d *Document) check() error {
	c := &d.Claims
	if d.Type != Type {
		return fmt.Errorf("type is not %s", Type)
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	if len(d.Proof) != ed25519.SignatureSize {
		return errors.New("proof is not a signature of 64 bytes")
	}
	sealed := c.Protection == TPMSealed
	if sealed != (c.TPM != nil) || sealed != (d.TPM != nil) || sealed && c.PKCS11 != nil || c.Protection == PKCS11Token && c.PKCS11 == nil {
		return fmt.Errorf("protection %s: the claims or the evidence are of another kind", c.Protection)
	}
	if sealed {
		return d.TPM.check()
	}
	return nil
}

func (c *Claims) check() error {
	key, err := c.Key()
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil || string(spki) != string(c.PublicKey) || c.Fingerprint != Digest(spki) {
		return errors.New("fingerprint is not that of publicKey")
	}
	if !slices.Contains([]Protection{PKCS11Token, TPMSealed, SoftwareTest}, c.Protection) {
		return fmt.Errorf("protection %.40q is none of %s, %s, %s", c.Protection, PKCS11Token, TPMSealed, SoftwareTest)
	}
	if err := checkTime(c.Time); err != nil {
		return fmt.Errorf("time: %w", err)
	}
	if len(c.Nonce) < minNonce || len(c.Nonce) > maxNonce {
		return fmt.Errorf("nonce: not %d to %d bytes", minNonce, maxNonce)
	}
	for _, digest := range []string{c.Agent, c.Previous} {
		if digest != "" && !isDigest(digest) {
			return fmt.Errorf("%.80q is not sha256: and 64 lower-case hex digits", digest)
		}
	}
	for _, text := range []string{c.Token.Manufacturer, c.Token.Model, c.Token.Serial, c.Token.Firmware} {
		if text != Printable(text) {
			return errors.New("token: a text that is too long or not printable ASCII")
		}
	}
	if c.PKCS11 != nil {
		if err := c.PKCS11.check(); err != nil {
			return fmt.Errorf("pkcs11: %w", err)
		}
	}
	if c.TPM != nil {
		if err := c.TPM.check(); err != nil {
			return fmt.Errorf("tpm: %w", err)
		}
	}
	return nil
}

// Key is the Ed25519 key the claims are about. A point of small order, under
// which one signature verifies for many messages, is refused.
func (c *Claims) Key() (ed25519.PublicKey, error) {
	any, err := x509.ParsePKIXPublicKey(c.PublicKey)
	key, ok := any.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("publicKey is not the SubjectPublicKeyInfo of an Ed25519 key")
	}
	point, err := new(edwards25519.Point).SetBytes(key)
	if err != nil || string(point.Bytes()) != string(key) || new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, errors.New("publicKey is not the canonical encoding of a point of large order")
	}
	return key, nil
}

func (c *PKCS11Claims) check() error {
	if c.Source != "self-reported" {
		return errors.New(`source is not "self-reported": a token's word is nothing else`)
	}
	for name := range c.Attributes {
		if !strings.HasPrefix(name, "CKA_") || name != Printable(name) {
			return fmt.Errorf("attribute %.40q is not named CKA_…", name)
		}
	}
	for _, v := range c.Vendor {
		if v.Format == "" || v.Format != Printable(v.Format) || len(v.Data) == 0 {
			return errors.New("vendorAttestations: format and data must be there")
		}
	}
	return nil
}

func (c *TPMClaims) check() error {
	if c.Binding != AssertedBySoftware {
		return fmt.Errorf("binding is not %q: a TPM cannot show more", AssertedBySoftware)
	}
	if c.Appliance == "" || len(c.Appliance) > 64 || c.Appliance != Printable(c.Appliance) || strings.Contains(c.Appliance, " ") {
		return errors.New("appliance: not 1 to 64 printable ASCII characters without blanks")
	}
	if len(c.StorageKey) != 2+sha256.Size || binary.BigEndian.Uint16(c.StorageKey) != uint16(tpm2.TPMAlgSHA256) {
		return errors.New("storageKey: not a Name with SHA-256")
	}
	if len(c.PCRs) == 0 {
		return errors.New("pcrs: none, which would be any state of the machine")
	}
	for name, value := range c.PCRs {
		i, err := strconv.Atoi(name)
		switch {
		case err != nil || i < 0 || i > 23 || strconv.Itoa(i) != name || len(value) != 32:
			return fmt.Errorf("pcrs: %.16q is not a register of the SHA-256 bank with 32 bytes", name)
		case i == 16 || i == 23:
			return fmt.Errorf("pcrs: %d can be reset by any program", i)
		}
	}
	if c.Counter.Value > strict.MaxInteger {
		return errors.New("counter: beyond 2^53-1")
	}
	return nil
}

// indexes are the claimed registers in their order.
func (c *TPMClaims) indexes() []uint {
	var list []uint
	for name := range maps.Keys(c.PCRs) {
		i, _ := strconv.Atoi(name) // checked
		list = append(list, uint(i))
	}
	slices.Sort(list)
	return list
}

func (e *TPMEvidence) check() error {
	if len(e.EKCertificates) > 8 {
		return errors.New("tpm: more than 8 certificates")
	}
	if e.Approval.Limit > strict.MaxInteger {
		return errors.New("tpm: approval: limit beyond 2^53-1")
	}
	if err := checkTime(e.Approval.NotAfter); err != nil {
		return fmt.Errorf("tpm: approval: notAfter: %w", err)
	}
	if e.AKCertificate != nil {
		return e.AKCertificate.check()
	}
	return nil
}

func checkTime(t time.Time) error {
	if t.Location() != time.UTC || t.Nanosecond() != 0 || t.Year() < 2000 || t.Year() > 9999 {
		return errors.New("not a time in UTC to the second")
	}
	return nil
}

func isDigest(s string) bool {
	digits, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(digits)
	return ok && err == nil && len(b) == 32 && hex.EncodeToString(b) == digits
}

// Printable is what a document says of a text that a device gave: its printable
// ASCII, with a question mark for everything else, and not too long.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxText)]
}
