package tpm

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Sealing is what Seal needs besides the seed.
type Sealing struct {
	Storage   Storage          // from Provision
	Appliance string           // where the key will be used; a new name needs new approvals
	Approver  *ecdsa.PublicKey // P-256; its private half stays off this machine
	PIN       []byte
	PCRs      []uint // noted by the TPM as the state at creation; they bind nothing
}

// Seal has the TPM encrypt an Ed25519 seed. Seed and PIN cross the bus encrypted
// to the storage key. The caller clears both.
func (d *Device) Seal(ctx context.Context, c Sealing, seed []byte) (*Sealed, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("seed: %d bytes instead of %d", len(seed), ed25519.SeedSize)
	}
	if err := checkPIN(c.PIN); err != nil {
		return nil, err
	}
	s := &Sealed{PublicKey: publicOf(seed), Appliance: c.Appliance, Storage: c.Storage, Approver: c.Approver, Nonce: make([]byte, nonceSize)}
	rand.Read(s.Nonce) // never fails
	if err := checkAppliance(c.Appliance); err != nil {
		return nil, err
	}
	a, err := newApprover(c.Approver)
	if err != nil {
		return nil, err
	}
	policy, err := sealingDigest(s.Ref(), a.name)
	if err != nil {
		return nil, err
	}
	pin, seed := bytes.Clone(c.PIN), bytes.Clone(seed) // the operation may outlast the caller
	return perform(ctx, d, func(l *link) (*Sealed, error) {
		defer clear(pin)
		defer clear(seed)
		return s, l.seal(s, policy, tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: pin},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: seed}),
		}, c.PCRs)
	})
}

func (l *link) seal(s *Sealed, policy []byte, secret tpm2.TPMSSensitiveCreate, pcrs []uint) error {
	if err := l.checkStorage(s.Storage); err != nil {
		return err
	}
	parent, err := l.salted(s.Storage, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err != nil {
		return err
	}
	create := tpm2.Create{
		ParentHandle: parent,
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &secret},
		InPublic:     tpm2.New2B(objectTemplate(policy)),
		OutsideInfo:  tpm2.TPM2BData{Buffer: outsideInfo(s.PublicKey, s.Nonce)},
	}
	if len(pcrs) > 0 {
		create.CreationPCR = selection(pcrs)
	}
	r, err := create.Execute(l)
	if err != nil {
		return storageRefused(s, l.failed("TPM2_Create", err))
	}
	s.Public, s.Private = r.OutPublic.Bytes(), r.OutPrivate.Buffer
	s.CreationData, s.CreationTicket = r.CreationData.Bytes(), tpm2.Marshal(r.CreationTicket)
	if _, err := s.check(); err != nil {
		return fmt.Errorf("TPM2_Create: %w: %w", ErrTampered, err)
	}
	return nil
}

// storageRefused tells that a session salted to the pinned storage key did not
// hold: the TPM shows that key and does not have it.
func storageRefused(s *Sealed, err error) error {
	if answered(err, tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth) {
		return errors.Join(err, &stopped{ErrStorageKey, fmt.Sprintf("%v: the TPM shows %x and does not have its private half: something stands between", ErrStorageKey, s.Storage.Name())})
	}
	return err
}
