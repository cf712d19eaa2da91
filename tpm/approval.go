package tpm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"countersign.dev/strict"
)

// Approval is an approver's word that one sealed key may be unsealed in one
// state of the machine.
type Approval struct {
	Policy
	Ref      []byte    // which sealed key, on which appliance: Sealed.Ref
	NotAfter time.Time // to the second

	// The TPM verifies TPMSignature, which covers the policy's digest and Ref.
	// Signature covers NotAfter too; a TPM knows no calendar.
	TPMSignature []byte
	Signature    []byte
}

// Approve signs a policy for the sealed key that ref names. It needs no TPM and
// no network. Expiry is checked by this package against the machine's clock,
// which root can set; what withdraws an approval for certain is the counter.
func Approve(signer crypto.Signer, ref []byte, p Policy, notAfter time.Time) (Approval, error) {
	key, _ := signer.Public().(*ecdsa.PublicKey)
	if _, err := newApprover(key); err != nil {
		return Approval{}, err
	}
	if err := p.check(); err != nil {
		return Approval{}, err
	}
	if len(ref) != sha256.Size {
		return Approval{}, errors.New("approval: the reference to the sealed key is not 32 bytes long")
	}
	a := Approval{Policy: p, Ref: bytes.Clone(ref), NotAfter: notAfter.UTC().Truncate(time.Second)}
	if a.NotAfter.Year() < 2000 || a.NotAfter.Year() > 9999 {
		return Approval{}, errors.New("approval: it needs a time after which it is not valid")
	}
	toTPM, toUs, err := a.signed()
	if err != nil {
		return Approval{}, err
	}
	if a.TPMSignature, err = signer.Sign(rand.Reader, toTPM, crypto.SHA256); err != nil {
		return Approval{}, fmt.Errorf("approval: %w", err)
	}
	if a.Signature, err = signer.Sign(rand.Reader, toUs, crypto.SHA256); err != nil {
		return Approval{}, fmt.Errorf("approval: %w", err)
	}
	if err := a.check(key, a.Ref, time.Time{}); err != nil {
		return Approval{}, err
	}
	return a, nil
}

// signed gives the two digests that are signed. The TPM's is that of
// TPM2_PolicyAuthorize; the texts differ in length, so that neither passes for
// the other.
func (a Approval) signed() (toTPM, toUs []byte, err error) {
	policy, err := a.digest()
	if err != nil {
		return nil, nil, err
	}
	first := sha256.Sum256(append(policy, a.Ref...))
	second := sha256.Sum256(fmt.Appendf(nil, "countersign.dev tpm approval v1\n%x\n%x\n%s\n", policy, a.Ref, a.NotAfter.UTC().Format(time.RFC3339)))
	return first[:], second[:], nil
}

// check tells what is wrong with an approval before the TPM is asked, which
// would say less.
func (a Approval) check(key *ecdsa.PublicKey, ref []byte, now time.Time) error {
	if err := a.Policy.check(); err != nil {
		return err
	}
	toTPM, toUs, err := a.signed()
	switch {
	case err != nil:
		return err
	case !bytes.Equal(a.Ref, ref):
		return &ApprovalError{Fault: ApprovalForeign}
	case !ecdsa.VerifyASN1(key, toTPM, a.TPMSignature) || !ecdsa.VerifyASN1(key, toUs, a.Signature):
		return &ApprovalError{Fault: ApprovalForged}
	case now.After(a.NotAfter):
		return &ApprovalError{Fault: ApprovalExpired, NotAfter: a.NotAfter}
	}
	return nil
}

// maxApprovals bounds a file: before an update it holds the old state's approval
// and the new one's.
const maxApprovals = 16

type approvalsDocument struct {
	Version   int                `json:"version"`
	Approvals []approvalDocument `json:"approvals"`
}

type approvalDocument struct {
	Ref          string            `json:"ref"`  // hexadecimal
	PCRs         map[string]string `json:"pcrs"` // hexadecimal, of the SHA-256 bank
	Limit        uint64            `json:"limit"`
	NotAfter     string            `json:"notAfter"` // RFC 3339, UTC, in seconds
	TPMSignature string            `json:"tpmSignature"`
	Signature    string            `json:"signature"` // base64 of ASN.1, like the other
}

// FormatApprovals writes an approval file.
func FormatApprovals(list []Approval) []byte {
	d := approvalsDocument{Version: 1, Approvals: []approvalDocument{}}
	for _, a := range list {
		pcrs := map[string]string{}
		for i, v := range a.PCRs {
			pcrs[strconv.Itoa(int(i))] = hex.EncodeToString(v)
		}
		d.Approvals = append(d.Approvals, approvalDocument{
			Ref: hex.EncodeToString(a.Ref), PCRs: pcrs, Limit: a.Limit, NotAfter: a.NotAfter.UTC().Format(time.RFC3339),
			TPMSignature: base64.StdEncoding.EncodeToString(a.TPMSignature), Signature: base64.StdEncoding.EncodeToString(a.Signature),
		})
	}
	return format(d)
}

func format(document any) []byte {
	b, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		panic(err) // strings and numbers only
	}
	return append(b, '\n')
}

// ParseApprovals reads an approval file. It verifies no signature.
func ParseApprovals(data []byte) ([]Approval, error) {
	var d approvalsDocument
	if err := strict.JSON(data, &d); err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	if d.Version != 1 || len(d.Approvals) == 0 || len(d.Approvals) > maxApprovals {
		return nil, fmt.Errorf("approvals: not version 1 with 1 to %d approvals", maxApprovals)
	}
	var list []Approval
	for i, one := range d.Approvals {
		a, err := one.parse()
		if err != nil {
			return nil, fmt.Errorf("approvals: number %d: %w", i+1, err)
		}
		list = append(list, a)
	}
	return list, nil
}

func (d approvalDocument) parse() (a Approval, err error) {
	a.Limit = d.Limit
	if a.Ref, err = decodeHex(d.Ref); err != nil {
		return a, fmt.Errorf("ref: %w", err)
	}
	a.PCRs = PCRs{}
	for name, value := range d.PCRs {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || strconv.Itoa(i) != name {
			return a, fmt.Errorf("pcrs: %.16q is not a register", name)
		}
		if a.PCRs[uint(i)], err = decodeHex(value); err != nil {
			return a, fmt.Errorf("PCR %d: %w", i, err)
		}
	}
	if a.NotAfter, err = time.Parse(time.RFC3339, d.NotAfter); err != nil || a.NotAfter.UTC().Format(time.RFC3339) != d.NotAfter {
		return a, errors.New("notAfter: not a time in UTC to the second, like 2030-01-31T00:00:00Z")
	}
	if a.TPMSignature, err = decodeBase64(d.TPMSignature); err != nil {
		return a, fmt.Errorf("tpmSignature: %w", err)
	}
	if a.Signature, err = decodeBase64(d.Signature); err != nil {
		return a, fmt.Errorf("signature: %w", err)
	}
	return a, a.Policy.check()
}

func decodeHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != s {
		return nil, errors.New("not 64 hexadecimal digits in lower case")
	}
	return b, nil
}

func decodeBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || base64.StdEncoding.EncodeToString(b) != s {
		return nil, errors.New("not base64, or empty")
	}
	return b, nil
}
