package tpm_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"

	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

func TestSealedFile(t *testing.T) {
	f := newFixture(t)
	good, err := f.sealed.Format()
	if err != nil {
		t.Fatal(err)
	}
	again, err := tpm.ParseSealed(good)
	if err != nil || !reflect.DeepEqual(again, f.sealed) {
		t.Fatalf("%+v, %v", again, err)
	}
	if contains(good, f.seed) || contains(good, []byte(base64.StdEncoding.EncodeToString(f.seed))) || contains(good, []byte(rightPIN)) {
		t.Fatal("the file holds a secret")
	}
	var document map[string]any
	if err := json.Unmarshal(good, &document); err != nil {
		t.Fatal(err)
	}
	evidence := map[string]bool{"identity": true, "nonce": true, "creationData": true, "creationTicket": true} // open nothing
	for name := range document {
		for _, change := range []func(map[string]any){
			func(d map[string]any) { delete(d, name) },
			func(d map[string]any) { d[name] = 7 },
			func(d map[string]any) { d[name] = another(d[name]) },
		} {
			bad := maps.Clone(document)
			change(bad)
			b, err := json.Marshal(bad)
			if err != nil {
				t.Fatal(err)
			}
			f.write(f.config.URI.SealedPath, b)
			if _, err := f.unseal(); err == nil && !evidence[name] {
				t.Errorf("%s is %.60v: unsealed", name, bad[name])
			}
		}
	}
	if n := f.failures().Failures; n != 0 {
		t.Errorf("damaged files cost %d attempts", n)
	}
}

// TestWeakerObject: an object that would take the PIN in another way, or for
// another approver, is refused before the TPM is asked.
func TestWeakerObject(t *testing.T) {
	f := newFixture(t)
	for name, weaken := range map[string]func(*tpm2.TPMTPublic){
		"by PIN alone":    func(p *tpm2.TPMTPublic) { p.ObjectAttributes.UserWithAuth = true },
		"without lockout": func(p *tpm2.TPMTPublic) { p.ObjectAttributes.NoDA = true },
		"movable":         func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM, p.ObjectAttributes.FixedParent = false, false },
		"any policy":      func(p *tpm2.TPMTPublic) { p.AuthPolicy.Buffer = make([]byte, 32) },
	} {
		public, err := tpm2.Unmarshal[tpm2.TPMTPublic](f.sealed.Public)
		if err != nil {
			t.Fatal(err)
		}
		weaken(public)
		s := *f.sealed
		s.Public = tpm2.Marshal(*public)
		f.writeSealed(&s)
		if _, err := f.unseal(); err == nil || !strings.Contains(err.Error(), "its attributes or its policy") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := *f.sealed
	s.Approver = &newApproverKey(t).PublicKey
	f.writeSealed(&s)
	if _, err := f.unseal(); err == nil || !strings.Contains(err.Error(), "its attributes or its policy") {
		t.Errorf("for another approver: %v", err)
	}
}

// TestAnotherSeed: an object with the right policy and PIN, made by hand around
// another seed.
func TestAnotherSeed(t *testing.T) {
	f := newFixture(t)
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](f.sealed.Public)
	if err != nil {
		t.Fatal(err)
	}
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{})
	made, err := tpm2.Create{
		ParentHandle: tpm2.NamedHandle{Handle: tpm.StorageHandle, Name: tpm2.TPM2BName{Buffer: f.storage.Name()}},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: []byte(rightPIN)},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: make([]byte, ed25519.SeedSize)}),
		}},
		InPublic: tpm2.New2B(*public),
	}.Execute(f.raw())
	if err != nil {
		t.Fatal(err)
	}
	s := *f.sealed
	s.Public, s.Private = made.OutPublic.Bytes(), made.OutPrivate.Buffer
	f.writeSealed(&s)
	f.refusesWith(tpm.ErrStopped)
	if _, err := f.unseal(); !strings.Contains(err.Error(), "not that of the pinned public key") {
		t.Fatal(err)
	}
}

// another changes one bit in the middle.
func another(value any) any {
	text, ok := value.(string)
	if !ok {
		return value.(float64) + 1
	}
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) > 16 {
		b[len(b)/2] ^= 1
		return base64.StdEncoding.EncodeToString(b)
	}
	return text + "x"
}

// TestTPMHoldsTheRules goes to the TPM with nothing of this package in between:
// what it refuses, no program on the machine gets.
func TestTPMHoldsTheRules(t *testing.T) {
	f := newFixture(t)
	empty := make([]byte, 32) // the digest of a session without any policy
	elsewhere := sha256.Sum256([]byte("another appliance"))
	ours, theirs := f.approver, newApproverKey(t)
	asOurs := func(ref []byte) approved { return approved{empty, f.sealed.Ref(), ours.Sign, ref} }
	for name, test := range map[string]struct {
		approved approved
		value    bool // run PolicyAuthValue
		pin      string
		want     error // nil: unseals
	}{
		"as agreed":                    {asOurs(f.sealed.Ref()), true, rightPIN, nil},
		"the approver drops the PIN":   {asOurs(f.sealed.Ref()), false, rightPIN, tpm2.TPMRCPolicyFail},
		"the approver drops it, empty": {asOurs(f.sealed.Ref()), false, "", tpm2.TPMRCPolicyFail},
		"no PIN":                       {asOurs(f.sealed.Ref()), true, "", tpm2.TPMRCAuthFail},
		"wrong PIN":                    {asOurs(f.sealed.Ref()), true, wrongPIN, tpm2.TPMRCAuthFail},
		"forged":                       {approved{empty, f.sealed.Ref(), theirs.Sign, f.sealed.Ref()}, true, rightPIN, tpm2.TPMRCSignature},
		"for another appliance":        {approved{empty, f.sealed.Ref(), ours.Sign, elsewhere[:]}, true, rightPIN, tpm2.TPMRCSignature},
		"bound to another appliance":   {approved{empty, elsewhere[:], ours.Sign, elsewhere[:]}, true, rightPIN, tpm2.TPMRCPolicyFail},
		"for another state":            {approved{elsewhere[:], f.sealed.Ref(), ours.Sign, f.sealed.Ref()}, true, rightPIN, tpm2.TPMRCValue},
		"not approved":                 {approved{}, true, rightPIN, tpm2.TPMRCPolicyFail},
	} {
		seed, err := unsealByHand(t, f, test.approved, test.value, test.pin)
		if !errors.Is(err, test.want) || (test.want == nil) != (string(seed) == string(f.seed)) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		f.resetLockout() // and sweeps
	}
	object := loadByHand(t, f.raw(), f)
	_, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: tpm2.PasswordAuth([]byte(rightPIN))}}.Execute(f.raw())
	if !errors.Is(err, tpm2.TPMRCAuthUnavailable) {
		t.Errorf("by PIN alone: %v", err)
	}
	_, err = tpm2.ObjectChangeAuth{
		ObjectHandle: tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: tpm2.PasswordAuth([]byte(rightPIN))},
		ParentHandle: tpm2.NamedHandle{Handle: tpm.StorageHandle, Name: tpm2.TPM2BName{Buffer: f.storage.Name()}},
		NewAuth:      tpm2.TPM2BAuth{Buffer: []byte("1")},
	}.Execute(f.raw())
	if err == nil {
		t.Error("a new PIN without an approval")
	}
	_, err = tpm2.Duplicate{
		ObjectHandle:    tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: tpm2.PasswordAuth([]byte(rightPIN))},
		NewParentHandle: tpm2.TPMRHNull, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
	}.Execute(f.raw())
	if err == nil {
		t.Error("the sealed object was duplicated")
	}
}

// approved is a policy, the reference it is used with, and a signature over it
// and perhaps another reference.
type approved struct {
	policy, ref []byte
	sign        func(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
	signedRef   []byte
}

func unsealByHand(t *testing.T, f *fixture, a approved, value bool, pin string) ([]byte, error) {
	t.Helper()
	bus := f.raw()
	object := loadByHand(t, bus, f)
	session, _, err := tpm2.PolicySession(bus, tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte(pin)))
	if err != nil {
		t.Fatal(err)
	}
	if a.sign != nil {
		ticket, err := ticketByHand(t, bus, f, a)
		if err != nil {
			return nil, err
		}
		_, name := f.sealed.ApproverKey()
		_, err = tpm2.PolicyAuthorize{
			PolicySession: session.Handle(), ApprovedPolicy: tpm2.TPM2BDigest{Buffer: a.policy}, PolicyRef: tpm2.TPM2BDigest{Buffer: a.ref},
			KeySign: name, CheckTicket: ticket,
		}.Execute(bus)
		if err != nil {
			return nil, err
		}
	}
	if value {
		if _, err := (tpm2.PolicyAuthValue{PolicySession: session.Handle()}).Execute(bus); err != nil {
			t.Fatal(err)
		}
	}
	unseal := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: session}}
	r, err := unseal.Execute(bus)
	if errors.Is(err, tpm2.TPMRCRetry) {
		r, err = unseal.Execute(bus)
	}
	if err != nil {
		return nil, err
	}
	return r.OutData.Buffer, nil
}

func loadByHand(t *testing.T, bus transport.TPM, f *fixture) tpm2.NamedHandle {
	t.Helper()
	r, err := tpm2.Load{
		ParentHandle: tpm2.NamedHandle{Handle: tpm.StorageHandle, Name: tpm2.TPM2BName{Buffer: f.storage.Name()}},
		InPrivate:    tpm2.TPM2BPrivate{Buffer: f.sealed.Private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](f.sealed.Public),
	}.Execute(bus)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}
}

func ticketByHand(t *testing.T, bus transport.TPM, f *fixture, a approved) (none tpm2.TPMTTKVerified, err error) {
	t.Helper()
	made := sha256.Sum256(append(append([]byte{}, a.policy...), a.signedRef...))
	asked := sha256.Sum256(append(append([]byte{}, a.policy...), a.ref...))
	signature, err := a.sign(rand.Reader, made[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &rs); err != nil {
		t.Fatal(err)
	}
	public, name := f.sealed.ApproverKey()
	key, err := tpm2.LoadExternal{InPublic: tpm2.New2B(public), Hierarchy: tpm2.TPMRHOwner}.Execute(bus)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(bus)
	r, err := tpm2.VerifySignature{
		KeyHandle: tpm2.NamedHandle{Handle: key.ObjectHandle, Name: name},
		Digest:    tpm2.TPM2BDigest{Buffer: asked[:]},
		Signature: tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
			Hash: tpm2.TPMAlgSHA256, SignatureR: tpm2.TPM2BECCParameter{Buffer: rs.R.FillBytes(make([]byte, 32))},
			SignatureS: tpm2.TPM2BECCParameter{Buffer: rs.S.FillBytes(make([]byte, 32))},
		})},
	}.Execute(bus)
	if err != nil {
		return none, err
	}
	return r.Validation, nil
}

func TestConfigRefuses(t *testing.T) {
	f := newFixture(t)
	good := f.config
	for name, change := range map[string]func(*tpm.Config){
		"no srk":             func(c *tpm.Config) { c.URI.SRK = nil },
		"no PIN file":        func(c *tpm.Config) { c.URI.PINFile = "" },
		"no approvals":       func(c *tpm.Config) { c.URI.ApprovalPath = "" },
		"another public key": func(c *tpm.Config) { c.PublicKey = make(ed25519.PublicKey, ed25519.PublicKeySize) },
		"no public key":      func(c *tpm.Config) { c.PublicKey = nil },
		"a directory":        func(c *tpm.Config) { c.URI.SealedPath = f.dir },
	} {
		f.config = good
		change(&f.config)
		if seed, err := f.unseal(); err == nil || seed != nil {
			t.Errorf("%s: unsealed", name)
		}
	}
	f.config = good
	if err := os.Chmod(f.config.URI.PINFile, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := f.unseal(); err == nil || !strings.Contains(err.Error(), "open to every user") {
		t.Errorf("a PIN file that everyone may read: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	f := newFixture(t)
	good := tpm.Sealing{Storage: f.storage, Appliance: "a", Approver: &f.approver.PublicKey, PIN: []byte("1")}
	for name, change := range map[string]func(*tpm.Sealing){
		"no appliance":    func(s *tpm.Sealing) { s.Appliance = "" },
		"a blank":         func(s *tpm.Sealing) { s.Appliance = "a b" },
		"no approver":     func(s *tpm.Sealing) { s.Approver = nil },
		"no storage key":  func(s *tpm.Sealing) { s.Storage = tpm.Storage{} },
		"another storage": func(s *tpm.Sealing) { s.Storage.Public = append([]byte{}, f.sealed.Public...) },
	} {
		s := good
		change(&s)
		if _, err := f.device().Seal(t.Context(), s, f.seed); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if _, err := f.device().Seal(t.Context(), good, f.seed[1:]); err == nil {
		t.Error("half a seed: sealed")
	}
}

func FuzzParseSealed(f *testing.F) {
	good, err := os.ReadFile("testdata/sealed.json")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := tpm.ParseSealed(good); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"protection":"tpm-sealed"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := tpm.ParseSealed(data)
		if err != nil {
			return
		}
		b, err := s.Format()
		if err != nil {
			t.Fatal(err)
		}
		again, err := tpm.ParseSealed(b)
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v, %+v, %v", s, again, err)
		}
	})
}
