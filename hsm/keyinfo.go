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
	PublicKey ed25519.PublicKey `json:"publicKey"` // empty if the token shows none

	// Attributes of the private key by CKA_ name; one the token does not
	// report is absent.
	Attributes map[string]bool `json:"attributes"`

	// AllowedMechanisms is CKA_ALLOWED_MECHANISMS (CKM_ numbers); nil if the
	// token does not report it.
	AllowedMechanisms []uint `json:"allowedMechanisms,omitempty"`
}

// keyFlag is a yes-or-no attribute of a private key.
type keyFlag struct {
	name      string
	kind      uint
	want      bool
	role      flagRole
	otherwise string // what follows if it is not as wanted
}

type flagRole int

const (
	asked    flagRole = iota // asked for; a token that reports it must agree
	enforced                 // asked for; the token must report it and agree, each time the key is opened
	derived                  // set by the token, which must report it and agree
)

// keyFlags harden a generated key (PKCS#11 base 2.40, sections 4.4, 4.7, 4.9):
// it never leaves the token, does nothing but sign, and stays what it is.
func keyFlags(o KeyOptions) []keyFlag {
	const (
		signsOnly = "the key can do more than sign"
		copies    = "a copy of the key may exist"
	)
	return []keyFlag{
		{"CKA_TOKEN", pkcs11.CKA_TOKEN, true, asked, "the key goes with the session"},
		{"CKA_PRIVATE", pkcs11.CKA_PRIVATE, true, asked, "the key can be used without the PIN"},
		{"CKA_SENSITIVE", pkcs11.CKA_SENSITIVE, true, enforced, "the token may hand out the private key"},
		{"CKA_EXTRACTABLE", pkcs11.CKA_EXTRACTABLE, false, enforced, "the token may wrap and hand out the private key"},
		{"CKA_SIGN", pkcs11.CKA_SIGN, true, enforced, "the key may not sign"},
		{"CKA_SIGN_RECOVER", pkcs11.CKA_SIGN_RECOVER, false, asked, signsOnly},
		{"CKA_DECRYPT", pkcs11.CKA_DECRYPT, false, asked, signsOnly},
		{"CKA_UNWRAP", pkcs11.CKA_UNWRAP, false, asked, signsOnly},
		{"CKA_DERIVE", pkcs11.CKA_DERIVE, false, asked, signsOnly},
		{"CKA_MODIFIABLE", pkcs11.CKA_MODIFIABLE, false, asked, "its attributes can be changed"},
		{"CKA_COPYABLE", pkcs11.CKA_COPYABLE, false, asked, "it can be copied with other attributes"},
		{"CKA_DESTROYABLE", pkcs11.CKA_DESTROYABLE, !o.Indestructible, asked, "this is not what was asked for"},
		{"CKA_ALWAYS_SENSITIVE", pkcs11.CKA_ALWAYS_SENSITIVE, true, derived, copies},
		{"CKA_NEVER_EXTRACTABLE", pkcs11.CKA_NEVER_EXTRACTABLE, true, derived, copies},
		{"CKA_LOCAL", pkcs11.CKA_LOCAL, true, derived, "the key was not made on the token, and " + copies},
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

// Objection is something Countersign minds, and what to do about it.
type Objection struct {
	// Fatal ones keep Open from using the key. The others keep GenerateKey
	// from making one like it, or at all.
	Fatal bool   `json:"fatal"`
	What  string `json:"what"`
	Do    string `json:"do"`
}

// objections compares what the token reports of a key with what GenerateKey
// asks for.
func (k KeyInfo) objections(o KeyOptions, p profile) []Objection {
	var list []Objection
	object := func(fatal bool, format string, args ...any) {
		do := "an agent opens the key all the same; replace it by one made in a ceremony"
		if fatal {
			do = "use a key made in a ceremony; this one cannot be made safe afterwards"
		}
		list = append(list, Objection{fatal, fmt.Sprintf(format, args...), do})
	}
	for _, f := range keyFlags(o) {
		got, reported := k.Attributes[f.name]
		switch {
		case p.unproven == f.name && f.role == derived:
		case !reported && f.role != asked:
			object(f.role == enforced, "%s is not reported, want %t: %s", f.name, f.want, f.otherwise)
		case reported && got != f.want:
			object(f.role == enforced, "%s is %t, want %t: %s", f.name, got, f.want, f.otherwise)
		}
	}
	if k.AllowedMechanisms != nil && !slices.Equal(k.AllowedMechanisms, []uint{ckmEdDSA}) {
		object(!slices.Contains(k.AllowedMechanisms, ckmEdDSA), "CKA_ALLOWED_MECHANISMS is %#x, want only 0x%x (CKM_EDDSA)", k.AllowedMechanisms, ckmEdDSA)
	}
	return list
}

// checkHardened refuses a key just generated if the token reports anything
// else than what was asked for.
func (k KeyInfo) checkHardened(o KeyOptions, p profile) error {
	if wrong := k.objections(o, p); wrong != nil {
		return errors.New("the token does not protect the key as asked: " + joinObjections(wrong))
	}
	return nil
}

// checkUsable refuses, each time a key is opened, one the token would hand
// out. Whether it was made on the token is the ceremony's question: backups
// restored to a second token report that they were not.
func (k KeyInfo) checkUsable() error {
	wrong := slices.DeleteFunc(k.objections(KeyOptions{}, profile{}), func(o Objection) bool { return !o.Fatal })
	if len(wrong) > 0 {
		return errors.New(joinObjections(wrong) + ": use a key made by GenerateKey")
	}
	return nil
}

func joinObjections(list []Objection) string {
	var texts []string
	for _, o := range list {
		texts = append(texts, o.What)
	}
	return strings.Join(texts, "; ")
}
