package tpm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// The places in the TPM that Provision takes. The first is the customary one for
// storage keys; the second is in the owner's range.
const (
	StorageHandle = 0x81000001
	CounterIndex  = 0x01800C50
)

const nonceSize = 32

// storageTemplate is template H-2 of the TCG's EK credential profile as a
// storage key: P-256, SHA-256, AES-128-CFB, an empty unique field. It is what
// TSS2 keys and systemd use, and it is frozen: another template gives another
// key.
func storageTemplate() tpm2.TPMTPublic {
	t := tpm2.ECCSRKTemplate
	t.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return t
}

// Storage is the key in the TPM that seeds are sealed under.
type Storage struct {
	Public []byte // TPMT_PUBLIC

	// Identity is the Name of a key that only this TPM can make and that clearing
	// it does not change; empty if the endorsement hierarchy is closed. It serves
	// to say what went wrong, and proves nothing.
	Identity []byte
}

// Name is what to pin.
func (s Storage) Name() []byte {
	public, err := s.public()
	if err != nil {
		return nil
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return nil
	}
	return name.Buffer
}

// public parses the key and insists on the template.
func (s Storage) public() (*tpm2.TPMTPublic, error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](s.Public)
	if err != nil {
		return nil, fmt.Errorf("storage key: %w", err)
	}
	made := *public
	made.Unique = storageTemplate().Unique
	if !bytes.Equal(tpm2.Marshal(made), tpm2.Marshal(storageTemplate())) || !bytes.Equal(tpm2.Marshal(*public), s.Public) {
		return nil, errors.New("storage key: it is not made from the one template taken")
	}
	if _, err := tpm2.ImportEncapsulationKey(public); err != nil {
		return nil, fmt.Errorf("storage key: %w", err)
	}
	return public, nil
}

// Provision makes the storage key and the counter that approvals are bound to,
// and keeps them in the TPM. What is there already and right, it leaves; what is
// there and wrong, it refuses. ownerAuth is the owner hierarchy's authorisation,
// which should be set: the owner can delete both. Until the storage key exists
// there is nothing to encrypt to, so provision where the bus is trusted.
func (d *Device) Provision(ctx context.Context, ownerAuth []byte) (Storage, error) {
	return performAs(ctx, d, ownerAuth, func(l *link, ownerAuth []byte) (s Storage, err error) {
		if s, err = l.makeStorage(ownerAuth); err != nil {
			return Storage{}, err
		}
		if s.Identity, err = l.identity(); err != nil {
			return Storage{}, err
		}
		return s, l.makeCounter(ownerAuth)
	})
}

func (l *link) makeStorage(ownerAuth []byte) (Storage, error) {
	owner, err := l.owner(ownerAuth)
	if err != nil {
		return Storage{}, err
	}
	made, err := tpm2.CreatePrimary{PrimaryHandle: owner, InPublic: tpm2.New2B(storageTemplate())}.Execute(l)
	if err != nil {
		return Storage{}, l.failed("TPM2_CreatePrimary", err)
	}
	s := Storage{Public: made.OutPublic.Bytes()}
	if _, err := s.public(); err != nil {
		return Storage{}, err
	}
	err = l.checkStorage(s)
	if answered(err, tpm2.TPMRCHandle) {
		_, err = tpm2.EvictControl{
			Auth:             owner,
			ObjectHandle:     tpm2.NamedHandle{Handle: made.ObjectHandle, Name: tpm2.TPM2BName{Buffer: s.Name()}},
			PersistentHandle: StorageHandle,
		}.Execute(l)
		err = l.failed("TPM2_EvictControl", err)
	}
	if err != nil {
		return Storage{}, err
	}
	return s, nil
}

// checkAuth refuses an authorisation that go-tpm would cut at its first zero
// byte. Empty is one that was never set.
func checkAuth(auth []byte) error {
	if len(auth) > maxPIN || bytes.IndexByte(auth, 0) >= 0 {
		return fmt.Errorf("authorisation: not up to %d bytes without a zero byte", maxPIN)
	}
	return nil
}

// owner authorises commands of the owner by a session, so that its
// authorisation is not on the bus. Who listens can still try guesses on what the
// session proves: it must be a random one.
func (l *link) owner(auth []byte) (tpm2.AuthHandle, error) {
	if err := checkAuth(auth); err != nil {
		return tpm2.AuthHandle{}, err
	}
	session, _, err := tpm2.HMACSession(l, tpm2.TPMAlgSHA256, nonceSize, tpm2.Auth(auth))
	return tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: session}, l.failed("TPM2_StartAuthSession", err)
}

// checkStorage compares the key at StorageHandle with s. The TPM's word is not
// what counts in the end: sessions are salted to s, and only its owner can use
// them.
func (l *link) checkStorage(s Storage) error {
	r, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(StorageHandle)}.Execute(l)
	if err != nil {
		return l.failed("TPM2_ReadPublic", err)
	}
	if bytes.Equal(r.OutPublic.Bytes(), s.Public) {
		return nil
	}
	return l.otherStorage(s)
}

// otherStorage finds out whether this is another TPM, or another key in the same.
func (l *link) otherStorage(s Storage) error {
	identity, err := l.identity()
	if err != nil {
		return err
	}
	if len(s.Identity) > 0 && len(identity) > 0 && !bytes.Equal(s.Identity, identity) {
		return &stopped{ErrWrongDevice, ErrWrongDevice.Error() + ": move the disk back, or seal the key anew here in a ceremony"}
	}
	return &stopped{ErrStorageKey, fmt.Sprintf("%v: the key at 0x%08x was replaced, or the TPM was cleared: find out who did it, then restore it or seal the key anew in a ceremony", ErrStorageKey, StorageHandle)}
}

// identity makes the default ECC endorsement key, takes its Name and drops it.
func (l *link) identity() ([]byte, error) {
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(tpm2.ECCEKTemplate),
	}.Execute(l)
	if answered(err, tpm2.TPMRCBadAuth, tpm2.TPMRCAuthFail, tpm2.TPMRCLockout, tpm2.TPMRCHierarchy) {
		return nil, nil
	}
	if err != nil {
		return nil, l.failed("TPM2_CreatePrimary", err)
	}
	return made.Name.Buffer, nil
}

// TakeOwnership sets the authorisations of the owner and of the lockout, as far
// as they are empty: killed between the two it can be called again. They cross
// the bus encrypted to the storage key. Make them of 16 random bytes, as
// hexadecimal digits, and keep them elsewhere.
func (d *Device) TakeOwnership(ctx context.Context, s Storage, owner, lockout []byte) error {
	for _, auth := range [][]byte{owner, lockout} {
		if err := checkAuth(auth); err != nil || len(auth) < 16 {
			return cmp.Or(err, errors.New("authorisation: shorter than 16 bytes"))
		}
	}
	both := slices.Concat(lockout, owner)
	defer clear(both)
	_, err := performAs(ctx, d, both, func(l *link, both []byte) (struct{}, error) {
		if err := l.checkStorage(s); err != nil {
			return struct{}{}, err
		}
		p, err := l.properties(tpm2.TPMPTPermanent)
		if err != nil {
			return struct{}{}, err
		}
		owned, locked := p[tpm2.TPMPTPermanent]&bitOwnerAuth != 0, p[tpm2.TPMPTPermanent]&bitLockoutAuth != 0
		if owned && locked {
			return struct{}{}, errors.New("the TPM's owner and its lockout have authorisations already")
		}
		if !locked {
			err = l.setAuth(s, tpm2.TPMRHLockout, both[:len(lockout)])
		}
		if !owned && err == nil {
			err = l.setAuth(s, tpm2.TPMRHOwner, both[len(lockout):])
		}
		return struct{}{}, err
	})
	return err
}

func (l *link) setAuth(s Storage, hierarchy tpm2.TPMHandle, auth []byte) error {
	cover, err := l.salted(s, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err != nil {
		return err
	}
	_, err = tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: hierarchy, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: auth},
	}.Execute(l, cover.Auth)
	return l.failed("TPM2_HierarchyChangeAuth", err)
}

// salted begins a session that only the owner of the storage key's private half
// can take part in.
func (l *link) salted(s Storage, direction tpm2.AuthOption) (tpm2.AuthHandle, error) {
	public, err := s.public()
	if err != nil {
		return tpm2.AuthHandle{}, err
	}
	session, _, err := tpm2.HMACSession(l, tpm2.TPMAlgSHA256, nonceSize, tpm2.Salted(StorageHandle, *public), direction)
	if err != nil {
		return tpm2.AuthHandle{}, l.failed("TPM2_StartAuthSession", err)
	}
	return tpm2.AuthHandle{Handle: StorageHandle, Name: tpm2.TPM2BName{Buffer: s.Name()}, Auth: session}, nil
}
