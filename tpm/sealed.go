package tpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"countersign.dev/strict"
	"github.com/google/go-tpm/tpm2"
)

// Sealed is a seed that only one TPM can unseal, and what belongs to it. Nothing
// in it is secret.
type Sealed struct {
	PublicKey ed25519.PublicKey // of the seed
	Appliance string            // tells sealings of one key apart
	Storage   Storage
	Approver  *ecdsa.PublicKey

	Public  []byte // TPMT_PUBLIC of the sealed object
	Private []byte // what TPM2B_PRIVATE contains

	// How the object came about, for TPM2_CertifyCreation. Nonce went into the
	// outside information. The ticket is good until the TPM is cleared.
	Nonce          []byte
	CreationData   []byte // TPMS_CREATION_DATA
	CreationTicket []byte // TPMT_TK_CREATION
}

// Ref is what approvals of this sealed key carry: its key and appliance. A
// sealing with another appliance needs approvals of its own.
func (s *Sealed) Ref() []byte { return policyRef(s.PublicKey, s.Appliance) }

func policyRef(public ed25519.PublicKey, appliance string) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "countersign.dev tpm policy v1\n%x\n%s\n", []byte(public), appliance)
	return h.Sum(nil)
}

// outsideInfo is what the TPM notes when it makes the object.
func outsideInfo(public ed25519.PublicKey, nonce []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "countersign.dev tpm creation v1\n%x\n%x\n", []byte(public), nonce)
	return h.Sum(nil)
}

func checkAppliance(name string) error {
	if name == "" || len(name) > 64 || bytes.ContainsFunc([]byte(name), func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return errors.New("appliance: not 1 to 64 printable ASCII characters without blanks")
	}
	return nil
}

// objectTemplate is the sealed object. Only its policy opens it, and wrong PINs
// count.
func objectTemplate(policy []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgKeyedHash,
		NameAlg:          tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, AdminWithPolicy: true},
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
	}
}

// check recomputes the policy and insists on the template, so that the PIN is
// never proved to an object that would take it in another way.
func (s *Sealed) check() (*approver, error) {
	if err := errors.Join(checkAppliance(s.Appliance), checkPublic(s.PublicKey)); err != nil {
		return nil, err
	}
	if _, err := s.Storage.public(); err != nil {
		return nil, err
	}
	a, err := newApprover(s.Approver)
	if err != nil {
		return nil, err
	}
	policy, err := sealingDigest(s.Ref(), a.name)
	if err != nil {
		return nil, err
	}
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](s.Public)
	if err != nil {
		return nil, fmt.Errorf("sealed object: %w", err)
	}
	if !bytes.Equal(s.Public, tpm2.Marshal(withUnique(objectTemplate(policy), public))) {
		return nil, errors.New("sealed object: its attributes or its policy are not those of a key sealed for this approver")
	}
	return a, nil
}

// withUnique copies what is random in a public area.
func withUnique(t tpm2.TPMTPublic, from *tpm2.TPMTPublic) tpm2.TPMTPublic {
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{})
	t.Unique = from.Unique
	return t
}

func checkPublic(public ed25519.PublicKey) error {
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("public key: %d bytes instead of %d", len(public), ed25519.PublicKeySize)
	}
	return nil
}

type sealedDocument struct {
	Version        int    `json:"version"`
	Protection     string `json:"protection"`
	PublicKey      string `json:"publicKey"` // base64 of SubjectPublicKeyInfo, like approver
	Appliance      string `json:"appliance"`
	Approver       string `json:"approver"`
	SRK            string `json:"srk"`      // base64, like all that follow
	Identity       string `json:"identity"` // may be empty
	Public         string `json:"public"`
	Private        string `json:"private"`
	Nonce          string `json:"nonce"`
	CreationData   string `json:"creationData"`
	CreationTicket string `json:"creationTicket"`
}

// protection is the class this package gives a key, never "hardware key".
const protection = "tpm-sealed"

// Format writes a sealed seed's file.
func (s *Sealed) Format() ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(s.PublicKey)
	if err != nil {
		return nil, err
	}
	approver, err := x509.MarshalPKIXPublicKey(s.Approver)
	if err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString
	return format(sealedDocument{
		Version: 1, Protection: protection, PublicKey: text(public), Appliance: s.Appliance, Approver: text(approver),
		SRK: text(s.Storage.Public), Identity: text(s.Storage.Identity), Public: text(s.Public), Private: text(s.Private),
		Nonce: text(s.Nonce), CreationData: text(s.CreationData), CreationTicket: text(s.CreationTicket),
	}), nil
}

// ParseSealed reads what Format wrote and checks all that can be checked without
// the TPM.
func ParseSealed(data []byte) (*Sealed, error) {
	var d sealedDocument
	if err := strict.JSON(data, &d); err != nil {
		return nil, fmt.Errorf("sealed key: %w", err)
	}
	if d.Version != 1 || d.Protection != protection {
		return nil, fmt.Errorf("sealed key: not version 1 with protection %s", protection)
	}
	s := &Sealed{Appliance: d.Appliance}
	var public, approver []byte
	for _, f := range []struct {
		name, text string
		to         *[]byte
	}{
		{"publicKey", d.PublicKey, &public}, {"approver", d.Approver, &approver}, {"srk", d.SRK, &s.Storage.Public},
		{"identity", d.Identity, &s.Storage.Identity}, {"public", d.Public, &s.Public}, {"private", d.Private, &s.Private},
		{"nonce", d.Nonce, &s.Nonce}, {"creationData", d.CreationData, &s.CreationData}, {"creationTicket", d.CreationTicket, &s.CreationTicket},
	} {
		if f.text == "" && f.name == "identity" {
			continue
		}
		var err error
		if *f.to, err = decodeBase64(f.text); err != nil {
			return nil, fmt.Errorf("sealed key: %s: %w", f.name, err)
		}
	}
	if err := s.parseKeys(public, approver); err != nil {
		return nil, fmt.Errorf("sealed key: %w", err)
	}
	if _, err := s.check(); err != nil {
		return nil, fmt.Errorf("sealed key: %w", err)
	}
	return s, nil
}

func (s *Sealed) parseKeys(public, approver []byte) error {
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("publicKey: %w", err)
	}
	var ok bool
	if s.PublicKey, ok = key.(ed25519.PublicKey); !ok {
		return errors.New("publicKey: not an Ed25519 key")
	}
	if key, err = x509.ParsePKIXPublicKey(approver); err != nil {
		return fmt.Errorf("approver: %w", err)
	}
	if s.Approver, ok = key.(*ecdsa.PublicKey); !ok {
		return errors.New("approver: not an ECDSA key")
	}
	return nil
}
