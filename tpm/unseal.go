package tpm

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// unlock is all that an unsealing needs.
type unlock struct {
	sealed    *Sealed
	approver  *approver
	approvals []Approval
	pinFile   string
	now       func() time.Time
	last      *trial // with the device
}

// unsealed is what it gives.
type unsealed struct {
	seed     []byte
	approval Approval
}

// unseal goes from what costs nothing to what counts: everything that can be
// known is known before the PIN is proved, which happens once.
func (l *link) unseal(u unlock) (*unsealed, error) {
	pin, err := ReadPIN(u.pinFile)
	if err != nil {
		return nil, err
	}
	defer clear(pin)
	state, err := l.lockout()
	if err != nil {
		return nil, err
	}
	if err := u.last.begin(state); err != nil {
		return nil, err
	}
	if err := state.err(u.now()); err != nil {
		return nil, err
	}
	err = l.checkStorage(u.sealed.Storage)
	if answered(err, tpm2.TPMRCHandle) {
		err = l.otherStorage(u.sealed.Storage)
	}
	if err != nil {
		return nil, err
	}
	approval, err := l.choose(u)
	if err != nil {
		return nil, err
	}
	object, err := l.load(u.sealed)
	if err != nil {
		return nil, err
	}
	seed, err := l.open(u, approval, object, pin)
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize || !bytes.Equal(publicOf(seed), u.sealed.PublicKey) {
		clear(seed)
		return nil, &stopped{nil, "the unsealed seed is not that of the pinned public key: take the sealed file from where the key was made"}
	}
	return &unsealed{seed, approval}, nil
}

// choose picks the first approval that holds now. If none does, it says what is
// wrong with the one that comes closest.
func (l *link) choose(u unlock) (Approval, error) {
	counter, err := l.counter()
	if err != nil {
		return Approval{}, err
	}
	var faults, states, stale error
	for _, a := range u.approvals {
		if err := a.check(u.approver.key, u.sealed.Ref(), u.now()); err != nil {
			faults = errors.Join(faults, err)
			continue
		}
		found, err := l.pcrs(a.PCRs.indexes())
		if err != nil {
			return Approval{}, err
		}
		switch changes := a.PCRs.changed(found); {
		case len(changes) > 0:
			states = errors.Join(states, &PCRError{changes})
		case counter > a.Limit:
			stale = errors.Join(stale, &RollbackError{counter, a.Limit})
		default:
			return a, nil
		}
	}
	for _, err := range []error{stale, states, faults} {
		if err != nil {
			return Approval{}, err
		}
	}
	return Approval{}, errors.New("there is no approval: have the approver sign one")
}

func (l *link) load(s *Sealed) (tpm2.NamedHandle, error) {
	parent, err := l.salted(s.Storage, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](s.Public)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	r, err := tpm2.Load{ParentHandle: parent, InPrivate: tpm2.TPM2BPrivate{Buffer: s.Private}, InPublic: tpm2.New2B(*public)}.Execute(l)
	if answered(err, tpm2.TPMRCIntegrity) {
		return tpm2.NamedHandle{}, &stopped{ErrWrongDevice, ErrWrongDevice.Error() + ", or the sealed file is damaged: restore it, or seal the key anew in a ceremony"}
	}
	if err != nil {
		return tpm2.NamedHandle{}, storageRefused(s, l.failed("TPM2_Load", err))
	}
	return tpm2.NamedHandle{Handle: r.ObjectHandle, Name: *name}, nil
}

// open fulfils the policy and unseals, in one session that is salted to the
// storage key and encrypts the answer.
func (l *link) open(u unlock, a Approval, object tpm2.NamedHandle, pin []byte) ([]byte, error) {
	toTPM, _, err := a.signed()
	if err != nil {
		return nil, err
	}
	ticket, err := l.ticket(u.approver, toTPM, a.TPMSignature)
	if err != nil {
		return nil, err
	}
	storage, err := u.sealed.Storage.public()
	if err != nil {
		return nil, err
	}
	session, _, err := tpm2.PolicySession(l, tpm2.TPMAlgSHA256, nonceSize,
		tpm2.Salted(StorageHandle, *storage), tpm2.AESEncryption(128, tpm2.EncryptOut), tpm2.Auth(pin))
	if err != nil {
		return nil, l.failed("TPM2_StartAuthSession", err)
	}
	if err := l.fulfil(u, a, session.Handle(), ticket); err != nil {
		return nil, err
	}
	u.last.open = true
	r, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: session}}.Execute(l)
	if err != nil {
		return nil, l.refused(u, l.failed("TPM2_Unseal", err))
	}
	u.last.open = false
	return r.OutData.Buffer, nil
}

func (l *link) fulfil(u unlock, a Approval, session tpm2.TPMHandle, ticket tpm2.TPMTTKVerified) error {
	approved, err := a.digest()
	if err != nil {
		return err
	}
	for _, s := range append(a.steps(session), sealingSteps(session, approved, a.Ref, u.approver.name, ticket)...) {
		if err := s.run(l); err != nil {
			return l.unfulfilled(a, s.command, l.failed(s.command, err))
		}
	}
	return nil
}

// unfulfilled explains what changed since choose.
func (l *link) unfulfilled(a Approval, command string, err error) error {
	switch {
	case command == "TPM2_PolicyPCR" && answered(err, tpm2.TPMRCValue):
		found, failed := l.pcrs(a.PCRs.indexes())
		if failed != nil {
			return errors.Join(err, failed)
		}
		return fmt.Errorf("%w (%w)", &PCRError{a.PCRs.changed(found)}, err)
	case command == "TPM2_PolicyNV" && answered(err, tpm2.TPMRCPolicy):
		counter, failed := l.counter()
		if failed != nil {
			return errors.Join(err, failed)
		}
		return fmt.Errorf("%w (%w)", &RollbackError{counter, a.Limit}, err)
	}
	return err
}

// refused explains an unsealing that the TPM refused. There is no second try.
func (l *link) refused(u unlock, err error) error {
	switch {
	case answered(err, tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth):
		u.last.refused = &PINError{}
		state, failed := l.lockout()
		if failed != nil {
			return errors.Join(u.last.refused, failed)
		}
		u.last.refused = &PINError{Left: state.left()}
		return u.last.refused
	case answered(err, tpm2.TPMRCLockout):
		state, failed := l.lockout()
		if failed != nil {
			return errors.Join(&LockoutError{}, failed)
		}
		return state.locked(u.now())
	case answered(err, tpm2.TPMRCPCRChanged):
		return fmt.Errorf("%w (%w)", &PCRError{}, err)
	}
	return err
}
