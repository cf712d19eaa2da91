package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// CounterIndex is where the counter is in the TPM.
const CounterIndex = 0x01800C50

// counterName is the Name of the counter: anyone reads it, the owner advances it,
// it only goes up, and it has been advanced.
func counterName() ([]byte, error) {
	name, err := tpm2.NVName(&tpm2.TPMSNVPublic{
		NVIndex:    CounterIndex,
		NameAlg:    tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{OwnerWrite: true, AuthRead: true, NoDA: true, NT: tpm2.TPMNTCounter, Written: true},
		DataSize:   8,
	})
	if err != nil {
		return nil, err
	}
	return name.Buffer, nil
}

// approver is who may change what opens the sealed object.
type approver struct {
	key  *ecdsa.PublicKey
	name []byte
}

func parseApprover(spki []byte) (*approver, error) {
	any, err := x509.ParsePKIXPublicKey(spki)
	key, ok := any.(*ecdsa.PublicKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("approver: not the SubjectPublicKeyInfo of an ECDSA key on P-256")
	}
	point, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("approver: %w", err)
	}
	name, err := tpm2.ObjectName(&tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgECC,
		NameAlg:          tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, UserWithAuth: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{Scheme: ecdsaScheme(), CurveID: tpm2.TPMECCNistP256}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]},
			Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("approver: %w", err)
	}
	return &approver{key, name.Buffer}, nil
}

// hash is SHA-256 over the concatenation.
func hash(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func command(code tpm2.TPMCC) []byte { return binary.BigEndian.AppendUint32(nil, uint32(code)) }

// sealedPolicy is PolicyAuthorize, then PolicyAuthValue (library part 3, sections
// 23.16 and 23.17). It is computed by hand, so that a mistake in the library that
// made the object does not agree with itself.
func sealedPolicy(ref, approver []byte) []byte {
	policy := hash(make([]byte, sha256.Size), command(tpm2.TPMCCPolicyAuthorize), approver)
	policy = hash(policy, ref)
	return hash(policy, command(tpm2.TPMCCPolicyAuthValue))
}

// selection is that of the claimed registers in the SHA-256 bank.
func (c *TPMClaims) selection() tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(c.indexes()...),
	}}}
}

// pcrDigest is over the claimed values in the order of the registers.
func (c *TPMClaims) pcrDigest() []byte {
	var values [][]byte
	for _, i := range c.indexes() {
		values = append(values, c.PCRs[strconv.Itoa(int(i))])
	}
	return hash(values...)
}

// approvedPolicy is PolicyPCR, then PolicyNV: counter <= limit (sections 23.7 and 23.9).
func (c *TPMClaims) approvedPolicy(limit uint64, counter []byte) []byte {
	policy := hash(make([]byte, sha256.Size), command(tpm2.TPMCCPolicyPCR), tpm2.Marshal(c.selection()), c.pcrDigest())
	operand := binary.BigEndian.AppendUint64(nil, limit)
	operand = binary.BigEndian.AppendUint16(operand, 0) // offset
	operand = binary.BigEndian.AppendUint16(operand, uint16(tpm2.TPMEOUnsignedLE))
	return hash(policy, command(tpm2.TPMCCPolicyNV), hash(operand), counter)
}

// policyRef is what approvals of a sealed key carry.
func (c *Claims) policyRef() ([]byte, error) {
	key, err := c.Key()
	if err != nil {
		return nil, err
	}
	return hash(fmt.Appendf(nil, "countersign.dev tpm policy v1\n%x\n%s\n", []byte(key), c.TPM.Appliance)), nil
}

// outsideInfo is what a TPM notes when it makes the sealed object.
func (c *Claims) outsideInfo(nonce []byte) ([]byte, error) {
	key, err := c.Key()
	if err != nil {
		return nil, err
	}
	return hash(fmt.Appendf(nil, "countersign.dev tpm creation v1\n%x\n%x\n", []byte(key), nonce)), nil
}

// checkApproval checks that the approver approved the claimed state, for this key.
func (d *Document) checkApproval(by *approver) error {
	c, a := d.Claims.TPM, d.TPM.Approval
	if !bytes.Equal(by.name, c.ApproverName) {
		return errors.New("approver: its Name is not approverName")
	}
	if ref, err := d.Claims.policyRef(); err != nil || !bytes.Equal(ref, c.PolicyRef) {
		return errors.New("approval: policyRef is not that of this key and appliance")
	}
	if err := a.verify(by, c); err != nil {
		return err
	}
	if d.Claims.Time.After(a.NotAfter) {
		return fmt.Errorf("approval: it had expired at %s", a.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// verify checks that the approver approved the claimed state for this key.
func (a Approval) verify(by *approver, c *TPMClaims) error {
	policy := c.approvedPolicy(a.Limit, c.Counter.Name)
	toUs := fmt.Appendf(nil, "countersign.dev tpm approval v1\n%x\n%x\n%s\n", policy, []byte(c.PolicyRef), a.NotAfter.UTC().Format(time.RFC3339))
	if !ecdsa.VerifyASN1(by.key, hash(policy, c.PolicyRef), a.TPMSignature) || !ecdsa.VerifyASN1(by.key, hash(toUs), a.Signature) {
		return errors.New("approval: not the approver's for this key in the claimed state")
	}
	if c.Counter.Value > a.Limit {
		return fmt.Errorf("approval: withdrawn: it was good up to %d, and the counter is at %d", a.Limit, c.Counter.Value)
	}
	return nil
}
