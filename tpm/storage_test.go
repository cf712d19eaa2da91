package tpm_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
)

// template is a commitment: another one would give every appliance another
// storage key.
func TestTemplateIsFrozen(t *testing.T) {
	const want = "0023000b00030472000000060080004300100003001000000000"
	if got := hex.EncodeToString(tpm2.Marshal(tpm.StorageTemplate())); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestOtherTemplate: a key that would decrypt for anyone is none to seal under.
func TestOtherTemplate(t *testing.T) {
	f := newFixture(t)
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](f.storage.Public)
	if err != nil {
		t.Fatal(err)
	}
	public.ObjectAttributes.Restricted = false
	f.storage.Public = tpm2.Marshal(*public)
	_, err = f.device().Seal(t.Context(), tpm.Sealing{Storage: f.storage, Appliance: "a", Approver: &f.approver.PublicKey, PIN: []byte("1")}, f.seed)
	if err == nil || f.storage.Name() != nil {
		t.Fatalf("%v, %x", err, f.storage.Name())
	}
}

func TestProvisionAgain(t *testing.T) {
	f := newFixture(t)
	before := f.policy().Limit
	again, err := f.device().Provision(t.Context(), nil)
	if err != nil || !bytes.Equal(again.Public, f.storage.Public) || !bytes.Equal(again.Identity, f.storage.Identity) {
		t.Fatalf("%+v, %v", again, err)
	}
	if now := f.policy().Limit; now != before {
		t.Fatalf("the counter went from %d to %d", before, now)
	}
	f.unlocks()
}

func TestOwnerAuthorisation(t *testing.T) {
	e := newEmulator(t)
	auth := []byte("owner authorisation")
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: auth},
	}.Execute(e.raw())
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, e)
	d := tpm.NewDevice(p.path, 0)
	if _, err := d.Provision(t.Context(), nil); !errors.Is(err, tpm2.TPMRCBadAuth) {
		t.Fatalf("without the authorisation: %v", err)
	}
	if _, err := d.Provision(t.Context(), auth); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Advance(t.Context(), nil); !errors.Is(err, tpm2.TPMRCBadAuth) {
		t.Fatalf("advanced without the authorisation: %v", err)
	}
	if _, err := d.Advance(t.Context(), auth); err != nil {
		t.Fatal(err)
	}
	if p.carried(auth) {
		t.Error("the bus carried the owner authorisation")
	}
	if n := e.loaded(); n != 0 {
		t.Fatalf("%d handles left", n)
	}
}

func TestTakeOwnership(t *testing.T) {
	f, p := onBus(t)
	d := tpm.NewDevice(p.path, 0)
	owner, lockout := []byte("00112233445566778899aabbccddeeff"), []byte("ffeeddccbbaa99887766554433221100")
	for _, bad := range []string{"", "0123456789abcde", "0123456789abcdef\x00", strings.Repeat("0", 33)} {
		if err := d.TakeOwnership(t.Context(), f.storage, []byte(bad), lockout); err == nil {
			t.Fatalf("%q was taken", bad)
		}
	}
	if err := d.TakeOwnership(t.Context(), f.storage, owner, lockout); err != nil {
		t.Fatal(err)
	}
	c, err := d.Capabilities(t.Context())
	if err != nil || !c.OwnerAuth || !c.LockedAuth {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := d.Advance(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if err := d.ResetLockout(t.Context(), lockout); err != nil {
		t.Fatal(err)
	}
	if err := d.TakeOwnership(t.Context(), f.storage, owner, lockout); err == nil {
		t.Fatal("ownership was taken twice")
	}
	if p.carried(owner) || p.carried(lockout) {
		t.Error("the bus carried an authorisation")
	}
	f.approve(f.policy(), time.Hour)
	f.unlocks() // needs neither
	if n := f.loaded(); n != 0 {
		t.Fatalf("%d handles left", n)
	}
}

func TestHalfProvisioned(t *testing.T) {
	e := newEmulator(t)
	define(t, e, tpm2.TPMANV{OwnerWrite: true, AuthRead: true, NoDA: true, NT: tpm2.TPMNTCounter})
	if _, err := e.device().Provision(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n, err := e.device().Counter(t.Context()); err != nil || n == 0 {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestForeignCounter(t *testing.T) {
	e := newEmulator(t)
	define(t, e, tpm2.TPMANV{OwnerWrite: true, AuthWrite: true, AuthRead: true, NoDA: true, NT: tpm2.TPMNTCounter})
	if _, err := e.device().Provision(t.Context(), nil); err == nil {
		t.Fatal("a counter that anyone can advance was taken")
	}
}

func define(t testing.TB, e *emulator, attributes tpm2.TPMANV) {
	t.Helper()
	_, err := tpm2.NVDefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: tpm.CounterIndex, NameAlg: tpm2.TPMAlgSHA256, Attributes: attributes, DataSize: 8}),
	}.Execute(e.raw())
	if err != nil {
		t.Fatal(err)
	}
}

// replaceStorage puts another key where the storage key was.
func (f *fixture) replaceStorage() {
	f.t.Helper()
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	f.evict()
	made, err := tpm2.CreatePrimary{PrimaryHandle: owner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(f.raw())
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = tpm2.EvictControl{
		Auth: owner, ObjectHandle: tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, PersistentHandle: tpm.StorageHandle,
	}.Execute(f.raw())
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) evict() {
	f.t.Helper()
	_, err := tpm2.EvictControl{
		Auth:             tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		ObjectHandle:     tpm2.NamedHandle{Handle: tpm.StorageHandle, Name: tpm2.TPM2BName{Buffer: f.storage.Name()}},
		PersistentHandle: tpm.StorageHandle,
	}.Execute(f.raw())
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestReplacedStorageKey(t *testing.T) {
	f := newFixture(t)
	f.replaceStorage()
	f.refusesWith(tpm.ErrStorageKey)
	f.refusesWith(tpm.ErrStopped)
	if _, err := f.device().Provision(t.Context(), nil); !errors.Is(err, tpm.ErrStorageKey) {
		t.Fatalf("provisioned: %v", err)
	}
	if _, err := f.device().Seal(t.Context(), tpm.Sealing{Storage: f.storage, Appliance: "a", Approver: &f.approver.PublicKey, PIN: []byte("1")}, f.seed); !errors.Is(err, tpm.ErrStorageKey) {
		t.Fatalf("sealed: %v", err)
	}
}

// TestClosedEndorsement: without the endorsement hierarchy nobody can tell which
// TPM it is; it is refused all the same.
func TestClosedEndorsement(t *testing.T) {
	f := newFixture(t)
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: []byte("closed")},
	}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.device().Provision(t.Context(), nil)
	if err != nil || len(again.Identity) != 0 {
		t.Fatalf("%x, %v", again.Identity, err)
	}
	f.unlocks()
	f.replaceStorage()
	f.refusesWith(tpm.ErrStorageKey)
}

// TestPretendedStorageKey: something on the bus shows the pinned key in front of
// another one. It never gets as far as the PIN, and never sees the seed.
func TestPretendedStorageKey(t *testing.T) {
	f, p := onBus(t)
	f.unlocks()
	var shown []byte
	for _, e := range p.recorded() {
		if e.code() == tpm2.TPMCCReadPublic {
			shown = e.response
		}
	}
	f.replaceStorage()
	p.record(func(_ int, command, response []byte) []byte {
		if (exchange{command: command}).code() == tpm2.TPMCCReadPublic {
			return shown
		}
		return response
	})
	f.refusesWith(tpm.ErrStorageKey)
	if commands(p, tpm2.TPMCCLoad) != 1 || commands(p, tpm2.TPMCCUnseal) != 0 {
		t.Fatal("the PIN was proved to a stranger")
	}
	_, err := tpm.NewDevice(p.path, 0).Seal(t.Context(), tpm.Sealing{Storage: f.storage, Appliance: "a", Approver: &f.approver.PublicKey, PIN: []byte(rightPIN)}, f.seed)
	if err == nil || p.carried(f.seed) || p.carried([]byte(rightPIN)) {
		t.Fatalf("sealed to a stranger: %v", err)
	}
}

// TestReplacedSealedFile: the file names the storage key of an attacker, who
// would learn what a session salted to it says.
func TestReplacedSealedFile(t *testing.T) {
	f, p := onBus(t)
	attacker := newFixture(t)
	attacker.seed = f.seed
	attacker.approver = f.approver
	f.writeSealed(attacker.seal("appliance-1"))
	f.refusesWith(tpm.ErrStorageKey)
	if len(p.recorded()) != 0 {
		t.Fatal("the TPM was asked")
	}
}

func TestAnotherTPM(t *testing.T) {
	f, other, empty := newFixture(t), newFixture(t), newEmulator(t)
	for _, e := range []*emulator{other.emulator, empty} {
		f.config.URI.Device = e.socket()
		f.refusesWith(tpm.ErrWrongDevice)
		f.refusesWith(tpm.ErrStopped)
		if n := e.loaded(); n != 0 {
			t.Fatalf("%d handles left", n)
		}
	}
	f.config.URI.Device = f.socket()
	f.unlocks()
}

// TestBlobOfAnotherTPM: the other TPM's sealed object under this one's name.
func TestBlobOfAnotherTPM(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	other.seed, other.approver = f.seed, f.approver
	foreign := other.seal("appliance-1")
	foreign.Storage = f.storage
	f.writeSealed(foreign)
	f.refusesWith(tpm.ErrWrongDevice)
}

func TestClearedTPM(t *testing.T) {
	f := newFixture(t)
	_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	f.refusesWith(tpm.ErrStorageKey)
	if _, err := f.device().Provision(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f.refusesWith(tpm.ErrStorageKey)
}

func TestDeletedCounter(t *testing.T) {
	f := newFixture(t)
	before := f.policy()
	public, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(tpm.CounterIndex)}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpm2.NVUndefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		NVIndex:    tpm2.NamedHandle{Handle: tpm.CounterIndex, Name: public.NVName},
	}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	f.refusesWith(tpm.ErrStopped)
	if _, err := f.device().Provision(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if e := refuses[*tpm.RollbackError](f); e.Counter <= before.Limit {
		t.Fatalf("a new counter begins at %d after %d", e.Counter, before.Limit)
	}
}

func TestCallerWithoutTime(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := tpm.Unseal(ctx, f.config); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
