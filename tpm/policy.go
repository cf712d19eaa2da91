package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"countersign.dev/strict"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// PCRs are registers of the SHA-256 bank: what the firmware and the kernel have
// measured of this boot.
type PCRs map[uint][]byte

// Policy is a state of the machine in which the seed may be unsealed.
type Policy struct {
	PCRs PCRs

	// Limit is the highest value of the counter that the policy is good for.
	// Advancing the counter beyond it withdraws the policy.
	Limit uint64
}

// check refuses a policy that would bind to nothing.
func (p Policy) check() error {
	if len(p.PCRs) == 0 {
		return errors.New("policy: it names no PCR, and would hold in any state")
	}
	if p.Limit > strict.MaxInteger {
		return errors.New("policy: with this limit it could not be withdrawn")
	}
	for index, value := range p.PCRs {
		if index > 23 || len(value) != sha256.Size {
			return fmt.Errorf("policy: PCR %d with %d bytes is not a register of the SHA-256 bank", index, len(value))
		}
		if index == 16 || index == 23 {
			return fmt.Errorf("policy: PCR %d can be reset by any program", index)
		}
	}
	return nil
}

func (p PCRs) indexes() []uint { return slices.Sorted(maps.Keys(p)) }

// digest is over the values in the order of the registers.
func (p PCRs) digest() []byte {
	h := sha256.New()
	for _, i := range p.indexes() {
		h.Write(p[i])
	}
	return h.Sum(nil)
}

// changed compares with what was found.
func (p PCRs) changed(found PCRs) (changes []PCRChange) {
	for _, i := range p.indexes() {
		if !bytes.Equal(p[i], found[i]) {
			changes = append(changes, PCRChange{Index: i, Expected: p[i], Found: found[i]})
		}
	}
	return changes
}

func selection(indexes []uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(indexes...),
	}}}
}

// step is one command of a policy: what it adds to the digest and how it is run
// are one description, so that they cannot differ.
type step struct {
	command string
	digest  func(*tpm2.PolicyCalculator) error
	run     func(transport.TPM) error
}

type policyCommand[R any] interface {
	tpm2.Command[R, *R]
	tpm2.PolicyCommand
}

func newStep[R any](command string, c policyCommand[R]) step {
	return step{command, c.Update, func(t transport.TPM) error {
		_, err := c.Execute(t)
		return err
	}}
}

// steps are PolicyPCR, then PolicyNV: counter <= Limit.
func (p Policy) steps(session tpm2.TPMHandle) []step {
	return []step{
		newStep("TPM2_PolicyPCR", tpm2.PolicyPCR{
			PolicySession: session,
			PcrDigest:     tpm2.TPM2BDigest{Buffer: p.PCRs.digest()},
			Pcrs:          selection(p.PCRs.indexes()),
		}),
		newStep("TPM2_PolicyNV", tpm2.PolicyNV{
			AuthHandle:    tpm2.AuthHandle{Handle: CounterIndex, Name: counterName(), Auth: tpm2.PasswordAuth(nil)},
			NVIndex:       counterHandle(),
			PolicySession: session,
			OperandB:      tpm2.TPM2BOperand{Buffer: binary.BigEndian.AppendUint64(nil, p.Limit)},
			Operation:     tpm2.TPMEOUnsignedLE,
		}),
	}
}

// digest is what an approver signs.
func (p Policy) digest() ([]byte, error) { return policyDigest(p.steps(0)) }

// sealingSteps are the policy of the sealed object itself: PolicyAuthorize, then
// PolicyAuthValue. The first replaces the digest so far, so nothing an approver
// signs reaches the second: the PIN stays.
func sealingSteps(session tpm2.TPMHandle, approved, ref []byte, approver tpm2.TPM2BName, ticket tpm2.TPMTTKVerified) []step {
	return []step{
		newStep("TPM2_PolicyAuthorize", tpm2.PolicyAuthorize{
			PolicySession:  session,
			ApprovedPolicy: tpm2.TPM2BDigest{Buffer: approved},
			PolicyRef:      tpm2.TPM2BDigest{Buffer: ref},
			KeySign:        approver,
			CheckTicket:    ticket,
		}),
		newStep("TPM2_PolicyAuthValue", tpm2.PolicyAuthValue{PolicySession: session}),
	}
}

// sealingDigest begins afresh, since go-tpm's calculator does not reset where
// the TPM does.
func sealingDigest(ref []byte, approver tpm2.TPM2BName) ([]byte, error) {
	return policyDigest(sealingSteps(0, nil, ref, approver, tpm2.TPMTTKVerified{}))
}

func policyDigest(steps []step) ([]byte, error) {
	calculator, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if err := s.digest(calculator); err != nil {
			return nil, err
		}
	}
	return calculator.Hash().Digest, nil
}

// ReadPCRs reads registers of the SHA-256 bank. The values come over the bus
// unauthenticated; an approver compares them with what the firmware and the
// kernel should give.
func (d *Device) ReadPCRs(ctx context.Context, indexes ...uint) (PCRs, error) {
	return perform(ctx, d, func(l *link) (PCRs, error) { return l.pcrs(indexes) })
}

// pcrs reads one register at a time: a TPM gives as many as it likes, and none
// at all, without an error, of a bank that has no registers.
func (l *link) pcrs(indexes []uint) (PCRs, error) {
	values := PCRs{}
	for _, i := range indexes {
		wanted := selection([]uint{i})
		r, err := tpm2.PCRRead{PCRSelectionIn: wanted}.Execute(l)
		if err != nil {
			return nil, l.failed("TPM2_PCR_Read", err)
		}
		if !bytes.Equal(tpm2.Marshal(r.PCRSelectionOut), tpm2.Marshal(wanted)) || len(r.PCRValues.Digests) != 1 || len(r.PCRValues.Digests[0].Buffer) != sha256.Size {
			return nil, fmt.Errorf("TPM2_PCR_Read: the TPM has no PCR %d in the SHA-256 bank: allocate the bank in the firmware's settings", i)
		}
		values[i] = r.PCRValues.Digests[0].Buffer
	}
	return values, nil
}
