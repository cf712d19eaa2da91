package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign.dev/strict"
)

// Type names the one kind of document there is.
const Type = "https://countersign.dev/key-evidence/v1"

// MaxDocument is the size of the largest document that Parse reads.
const MaxDocument = 1 << 18

// Protection says what keeps a key.
type Protection string

const (
	PKCS11Token  Protection = "pkcs11-token"  // a token's own word
	TPMSealed    Protection = "tpm-sealed"    // sealed by a TPM while not in use; in memory while in use
	SoftwareTest Protection = "software-test" // a software token or a file: no protection
)

// AssertedBySoftware is the only thing that links sealed bytes and public key.
const AssertedBySoftware = "asserted-by-measured-software"

// Document is the evidence of one key.
type Document struct {
	Type   string       `json:"type"`
	Claims Claims       `json:"claims"`
	TPM    *TPMEvidence `json:"tpm,omitempty"`
	Proof  []byte       `json:"proof"` // the key's signature; see Prove
}

// Claims is what is said of a key. Texts are printable ASCII.
type Claims struct {
	PublicKey   []byte     `json:"publicKey"`   // SubjectPublicKeyInfo
	Fingerprint string     `json:"fingerprint"` // "sha256:" of it
	Protection  Protection `json:"protection"`
	Time        time.Time  `json:"time"` // UTC, to the second
	Nonce       Hex        `json:"nonce"`
	Agent       string     `json:"agent,omitempty"`    // "sha256:" of the key agent's program
	Previous    string     `json:"previous,omitempty"` // "sha256:" of the document before this one
	Token       Token      `json:"token"`

	PKCS11 *PKCS11Claims `json:"pkcs11,omitempty"`
	TPM    *TPMClaims    `json:"tpm,omitempty"`
}

// Token is the device. Of a TPM, Serial is "sha256:" of the endorsement key, and
// Firmware what its quote says.
type Token struct {
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Serial       string `json:"serial"`
	Firmware     string `json:"firmware"`
}

// PKCS11Claims are a token's word about a private key.
type PKCS11Claims struct {
	Source            string              `json:"source"`     // "self-reported"
	Attributes        map[string]bool     `json:"attributes"` // by CKA_ name
	AllowedMechanisms []uint              `json:"allowedMechanisms,omitempty"`
	Vendor            []VendorAttestation `json:"vendorAttestations,omitempty"`
}

// VendorAttestation is kept for those who have the vendor's verifier.
type VendorAttestation struct {
	Format string `json:"format"`
	Data   []byte `json:"data"`
}

// TPMClaims are about a sealed key.
type TPMClaims struct {
	Binding      string         `json:"binding"` // AssertedBySoftware
	Appliance    string         `json:"appliance"`
	ApproverName Hex            `json:"approverName"` // Name of the approver's key, as TPMs have it
	PolicyRef    Hex            `json:"policyRef"`
	PolicyDigest Hex            `json:"policyDigest"` // of the sealed object
	StorageKey   Hex            `json:"storageKey"`   // Name of the key it is sealed under
	PCRs         map[string]Hex `json:"pcrs"`         // of the SHA-256 bank
	Counter      Counter        `json:"counter"`
}

// Counter is the NV counter that approvals are bound to.
type Counter struct {
	Name  Hex    `json:"name"`
	Value uint64 `json:"value"`
}

// TPMEvidence is what speaks for TPMClaims.
type TPMEvidence struct {
	EKCertificates [][]byte       `json:"ekCertificates,omitempty"` // DER; the EK's, then its issuers'
	EKPublic       []byte         `json:"ekPublic"`                 // TPMT_PUBLIC, like the next
	AKPublic       []byte         `json:"akPublic"`
	Activation     []byte         `json:"activation,omitempty"` // the answer to a challenge
	AKCertificate  *AKCertificate `json:"akCertificate,omitempty"`
	Quote          Statement      `json:"quote"`
	Creation       Statement      `json:"creation"`
	Counter        Statement      `json:"counter"`
	Sealed         Sealed         `json:"sealed"`
	Approver       []byte         `json:"approver"` // SubjectPublicKeyInfo
	Approval       Approval       `json:"approval"`
}

// Sealed is the object that holds the seed.
type Sealed struct {
	Public       []byte `json:"public"` // TPMT_PUBLIC
	Nonce        []byte `json:"nonce"`  // what its outside information was made with
	CreationData []byte `json:"creationData"`
}

// Approval is the approver's word on the claimed state of the machine.
type Approval struct {
	Limit        uint64    `json:"limit"`
	NotAfter     time.Time `json:"notAfter"`
	TPMSignature []byte    `json:"tpmSignature"`
	Signature    []byte    `json:"signature"`
}

// Hex is bytes in lower-case hexadecimal digits.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// Format writes the document in its one form.
func (d *Document) Format() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return d.encode()
}

func (d *Document) encode() ([]byte, error) { return encode(d, "  ") }

func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return b.Bytes(), err
}

// Parse reads a document and refuses any form but the one that Format writes. It
// verifies nothing.
func Parse(data []byte) (*Document, error) {
	d := new(Document)
	if err := parse(data, d); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return d, nil
}

// parse reads JSON that has one form.
func parse(data []byte, v any) error {
	if len(data) > MaxDocument {
		return fmt.Errorf("longer than %d bytes", MaxDocument)
	}
	if err := strict.JSON(data, v); err != nil {
		return err
	}
	again, err := encode(v, "  ")
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return errors.New("not in the one form it has: indented by two blanks, members in their order, a newline at the end")
	}
	return nil
}

// Digest is how a registry's identity names a document.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

const domain = "countersign.dev key evidence v1"

// Binding is what everything in the document is signed over.
func (c *Claims) Binding() ([]byte, error) {
	b, err := encode(c, "")
	if err != nil {
		return nil, err
	}
	claims := sha256.Sum256(bytes.TrimSuffix(b, []byte("\n")))
	binding := sha256.Sum256(append([]byte(domain+"\x00"), claims[:]...))
	return binding[:], nil
}
