package hsm

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"
)

// KeyInfo is what a token says of a key pair. It is the token's word, no
// evidence for people elsewhere.
type KeyInfo struct {
	Label     string            `json:"label"`
	ID        []byte            `json:"id"`
	PublicKey ed25519.PublicKey `json:"publicKey"`

	// Attributes of the private key by CKA_ name; one the token does not
	// report is absent.
	Attributes map[string]bool `json:"attributes"`

	// AllowedMechanisms is CKA_ALLOWED_MECHANISMS (CKM_ numbers); nil if the
	// token does not report it.
	AllowedMechanisms []uint `json:"allowedMechanisms,omitempty"`
}

// keyFlag is a yes-or-no attribute of a private key.
type keyFlag struct {
	name string
	kind uint
	want bool
	role flagRole
}

type flagRole int

const (
	asked    flagRole = iota // asked for; a token that reports it must agree
	enforced                 // asked for; the token must report it and agree
	derived                  // set by the token, which must report it and agree
)

// keyFlags harden a generated key (PKCS#11 base 2.40, sections 4.4, 4.7, 4.9):
// it never leaves the token, does nothing but sign, and stays what it is.
func keyFlags(o KeyOptions) []keyFlag {
	return []keyFlag{
		{"CKA_TOKEN", pkcs11.CKA_TOKEN, true, asked},
		{"CKA_PRIVATE", pkcs11.CKA_PRIVATE, true, asked},
		{"CKA_SENSITIVE", pkcs11.CKA_SENSITIVE, true, enforced},
		{"CKA_EXTRACTABLE", pkcs11.CKA_EXTRACTABLE, false, enforced},
		{"CKA_SIGN", pkcs11.CKA_SIGN, true, asked},
		{"CKA_SIGN_RECOVER", pkcs11.CKA_SIGN_RECOVER, false, asked},
		{"CKA_DECRYPT", pkcs11.CKA_DECRYPT, false, asked},
		{"CKA_UNWRAP", pkcs11.CKA_UNWRAP, false, asked},
		{"CKA_DERIVE", pkcs11.CKA_DERIVE, false, asked},
		{"CKA_MODIFIABLE", pkcs11.CKA_MODIFIABLE, false, asked},
		{"CKA_COPYABLE", pkcs11.CKA_COPYABLE, false, asked},
		{"CKA_DESTROYABLE", pkcs11.CKA_DESTROYABLE, !o.Indestructible, asked},
		{"CKA_ALWAYS_SENSITIVE", pkcs11.CKA_ALWAYS_SENSITIVE, true, derived},
		{"CKA_NEVER_EXTRACTABLE", pkcs11.CKA_NEVER_EXTRACTABLE, true, derived},
		{"CKA_LOCAL", pkcs11.CKA_LOCAL, true, derived},
	}
}

// describe reads a private key's attributes and refuses one that is not an
// Ed25519 key.
func (s session) describe(private pkcs11.ObjectHandle) (KeyInfo, error) {
	info := KeyInfo{Attributes: map[string]bool{}}
	label, err := s.attribute(private, pkcs11.CKA_LABEL)
	if err != nil {
		return info, err
	}
	info.Label = string(label)
	if info.ID, err = s.attribute(private, pkcs11.CKA_ID); err != nil {
		return info, err
	}
	if err := s.checkEd25519(private); err != nil {
		return info, fmt.Errorf("private key %q (id %s): %w", label, hex.EncodeToString(info.ID), err)
	}
	for _, f := range keyFlags(KeyOptions{}) {
		value, err := s.attribute(private, f.kind)
		if err != nil {
			return info, err
		}
		if len(value) == 1 {
			info.Attributes[f.name] = value[0] != 0
		}
	}
	allowed, err := s.attribute(private, pkcs11.CKA_ALLOWED_MECHANISMS)
	if err != nil {
		return info, err
	}
	if info.AllowedMechanisms, err = decodeNumbers(allowed); err != nil {
		return info, fmt.Errorf("private key %q: CKA_ALLOWED_MECHANISMS: %w", label, err)
	}
	return info, nil
}

// checkHardened compares what the token reports of a key it has just generated
// with what was asked.
func (k KeyInfo) checkHardened(o KeyOptions) error {
	var wrong []string
	for _, f := range keyFlags(o) {
		got, reported := k.Attributes[f.name]
		switch {
		case !reported && f.role != asked:
			wrong = append(wrong, fmt.Sprintf("%s is not reported, want %t", f.name, f.want))
		case reported && got != f.want:
			wrong = append(wrong, fmt.Sprintf("%s is %t, want %t", f.name, got, f.want))
		}
	}
	if k.AllowedMechanisms != nil && !slices.Equal(k.AllowedMechanisms, []uint{ckmEdDSA}) {
		wrong = append(wrong, fmt.Sprintf("CKA_ALLOWED_MECHANISMS is %#x, want only 0x%x", k.AllowedMechanisms, ckmEdDSA))
	}
	if wrong != nil {
		return errors.New("the token does not protect the key as asked: " + strings.Join(wrong, "; "))
	}
	return nil
}

// checkUsable refuses, each time a key is opened, one the token would hand
// out. Whether it was made on the token is the ceremony's question: backups
// restored to a second token report that they were not.
func (k KeyInfo) checkUsable() error {
	extractable, reported := k.Attributes["CKA_EXTRACTABLE"]
	switch {
	case !k.Attributes["CKA_SENSITIVE"]:
		return errors.New("the token does not report CKA_SENSITIVE: it may hand out the private key: use one made by GenerateKey")
	case extractable || !reported:
		return errors.New("the token does not report CKA_EXTRACTABLE=false: it may wrap and hand out the private key: use one made by GenerateKey")
	case !k.Attributes["CKA_SIGN"]:
		return errors.New("CKA_SIGN is not set: the key may not sign")
	}
	return nil
}
