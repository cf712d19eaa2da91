package fault_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

const (
	eddsa   = 0x1057
	edwards = 0x1055 // key pair generation
)

// device is a token with a key seen through a fault module, with nothing of ours between.
type device struct {
	*pkcs11.Ctx
	*fault.Module
	t    *testing.T
	key  hsm.GeneratedKey
	pin  string
	slot uint
}

func newDevice(t *testing.T) device {
	t.Helper()
	tokens := softhsm.New(t)
	return newDeviceOf(t, fault.New(t, softhsm.Module), tokens.Key(tokens.Token("registry"), "log-1"))
}

func newDeviceOf(t *testing.T, m *fault.Module, key hsm.GeneratedKey) device {
	t.Helper()
	pin, err := os.ReadFile(key.URI.PINFile)
	must(t, err)
	d := device{load(t, m.Path), m, t, key, string(bytes.TrimSpace(pin)), 0}
	must(t, d.Initialize())
	t.Cleanup(func() {
		m.Clear()
		must(t, d.Finalize())
	})
	d.findSlot()
	return d
}

func load(t *testing.T, path string) *pkcs11.Ctx {
	t.Helper()
	ctx := pkcs11.New(path)
	if ctx == nil {
		t.Fatalf("%s cannot be loaded", path)
	}
	return ctx
}

func (d *device) findSlot() {
	d.t.Helper()
	slots, err := d.GetSlotList(true)
	must(d.t, err)
	for _, slot := range slots {
		if info, err := d.GetTokenInfo(slot); err == nil && info.SerialNumber == d.key.URI.Serial {
			d.slot = slot
			return
		}
	}
	d.t.Fatal("the token is not there")
}

func (d *device) open() pkcs11.SessionHandle {
	d.t.Helper()
	s, err := d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION)
	must(d.t, err)
	return s
}

// login opens a session that is logged in.
func (d *device) login() pkcs11.SessionHandle {
	d.t.Helper()
	s := d.open()
	must(d.t, d.Login(s, pkcs11.CKU_USER, d.pin))
	return s
}

func (d *device) find(s pkcs11.SessionHandle, class uint) []pkcs11.ObjectHandle {
	d.t.Helper()
	must(d.t, d.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}))
	found, _, err := d.FindObjects(s, 10)
	must(d.t, err)
	must(d.t, d.FindObjectsFinal(s))
	return found
}

func (d *device) private(s pkcs11.SessionHandle) pkcs11.ObjectHandle {
	d.t.Helper()
	found := d.find(s, pkcs11.CKO_PRIVATE_KEY)
	if len(found) != 1 {
		d.t.Fatalf("%d private keys", len(found))
	}
	return found[0]
}

func (d *device) sign(s pkcs11.SessionHandle, key pkcs11.ObjectHandle, message string) ([]byte, error) {
	if err := d.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(eddsa, nil)}, key); err != nil {
		return nil, err
	}
	return d.Ctx.Sign(s, []byte(message))
}

// mustSign signs and verifies.
func (d *device) mustSign(s pkcs11.SessionHandle, key pkcs11.ObjectHandle) {
	d.t.Helper()
	signature, err := d.sign(s, key, "message")
	must(d.t, err)
	if !d.verify("message", signature) {
		d.t.Fatal("wrong signature")
	}
}

func (d *device) verify(message string, signature []byte) bool {
	return len(signature) == 64 && ed25519.Verify(d.key.PublicKey, []byte(message), signature)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code uint) {
	t.Helper()
	if !errors.Is(err, pkcs11.Error(code)) {
		t.Fatalf("%v, want %v", err, pkcs11.Error(code))
	}
}

// eventually waits for what another goroutine or process does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 3000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestForwards(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	d.mustSign(s, private)
	if got := d.Messages(); len(got) != 1 || string(got[0]) != "message" {
		t.Errorf("messages %q", got)
	}
	if _, err := d.sign(s, private, string(make([]byte, 300))); err != nil {
		t.Fatal(err)
	}
	if got := d.Messages(); len(got) != 2 || len(got[1]) != 256 {
		t.Errorf("messages %q", got)
	}
	for range 70 {
		d.mustSign(s, private)
	}
	if got := d.Messages(); len(got) != 64 || string(got[0]) != "message" {
		t.Errorf("%d messages", len(got))
	}
	if sign, all := d.Calls("C_Sign"), d.Signatures(); sign != 72 || all != 72 || d.Corrupted() != 0 {
		t.Errorf("%d calls, %d signatures, %d corrupted", sign, all, d.Corrupted())
	}
	wantCode(t, d.Login(s, pkcs11.CKU_USER, d.pin), pkcs11.CKR_USER_ALREADY_LOGGED_IN)
	must(t, d.Logout(s))
	wantCode(t, d.Login(s, pkcs11.CKU_USER, "wrong"), pkcs11.CKR_PIN_INCORRECT)
	if good, wrong := d.Logins(); good != 1 || wrong != 1 {
		t.Errorf("%d good and %d wrong logins", good, wrong)
	}
}

func TestFailsAsTold(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	info := func() error { _, err := d.GetSessionInfo(s); return err }
	d.Fail("C_GetSessionInfo", fault.DeviceError, 2, 3)
	for i, want := range []bool{true, true, false, false, false, true, true} {
		if err := info(); (err == nil) != want {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	d.Fail("C_GetSessionInfo", fault.FunctionFailed, 0, fault.Always)
	for range 20 {
		wantCode(t, info(), pkcs11.CKR_FUNCTION_FAILED)
	}
	d.Clear()
	must(t, info())
	if n := d.Calls("C_GetSessionInfo"); n != 28 {
		t.Errorf("%d calls, want 28", n)
	}
}

func TestFailsOften(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	d.FailOften("C_GetSessionInfo", fault.FunctionFailed, 1000)
	failed := 0
	for range 2000 {
		if _, err := d.GetSessionInfo(s); err != nil {
			wantCode(t, err, pkcs11.CKR_FUNCTION_FAILED)
			failed++
		}
	}
	if failed < 120 || failed > 300 {
		t.Errorf("%d of 2000 failed, want about 200", failed)
	}
	d.FailOften("C_GetSessionInfo", fault.FunctionFailed, 10000)
	if _, err := d.GetSessionInfo(s); err == nil {
		t.Error("certain failure did not come")
	}
}

// Each function can be told to fail, and several at once.
func TestFailsEverywhere(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	generate := func() error {
		public := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{6, 3, 0x2b, 0x65, 0x70})}
		_, _, err := d.GenerateKeyPair(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(edwards, nil)}, public, nil)
		return err
	}
	calls := map[string]func() error{
		"C_Initialize":       func() error { return d.Initialize() },
		"C_Finalize":         d.Finalize,
		"C_GetInfo":          func() error { _, err := d.GetInfo(); return err },
		"C_GetSlotList":      func() error { _, err := d.GetSlotList(true); return err },
		"C_GetSlotInfo":      func() error { _, err := d.GetSlotInfo(d.slot); return err },
		"C_GetTokenInfo":     func() error { _, err := d.GetTokenInfo(d.slot); return err },
		"C_GetMechanismList": func() error { _, err := d.GetMechanismList(d.slot); return err },
		"C_InitToken":        func() error { return d.InitToken(d.slot, "", "") },
		"C_InitPIN":          func() error { return d.InitPIN(s, "") },
		"C_OpenSession":      func() error { _, err := d.OpenSession(d.slot, 0); return err },
		"C_CloseSession":     func() error { return d.CloseSession(s) },
		"C_CloseAllSessions": func() error { return d.CloseAllSessions(d.slot) },
		"C_Login":            func() error { return d.Login(s, pkcs11.CKU_USER, d.pin) },
		"C_Logout":           func() error { return d.Logout(s) },
		"C_DestroyObject":    func() error { return d.DestroyObject(s, private) },
		"C_FindObjectsInit":  func() error { return d.FindObjectsInit(s, nil) },
		"C_FindObjects":      func() error { _, _, err := d.FindObjects(s, 1); return err },
		"C_FindObjectsFinal": func() error { return d.FindObjectsFinal(s) },
		"C_GetAttributeValue": func() error {
			_, err := d.GetAttributeValue(s, private, []*pkcs11.Attribute{{Type: pkcs11.CKA_ID}})
			return err
		},
		"C_SignInit":        func() error { _, err := d.sign(s, private, "m"); return err },
		"C_GenerateKeyPair": generate,
		"C_GenerateRandom":  func() error { _, err := d.GenerateRandom(s, 1); return err },
		"C_SetPIN":          func() error { return d.SetPIN(s, "", "") },
		"C_VerifyInit":      func() error { return d.VerifyInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(eddsa, nil)}, private) },
		"C_GetMechanismInfo": func() error {
			_, err := d.GetMechanismInfo(d.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(eddsa, nil)})
			return err
		},
	}
	for name := range calls {
		d.Fail(name, 0x80000123, 0, fault.Always)
	}
	for name, call := range calls {
		before := d.Calls(name)
		wantCode(t, call(), 0x80000123)
		if n := d.Calls(name); n != before+1 {
			t.Errorf("%s was counted %d times", name, n-before)
		}
	}
	d.Clear()
	must(t, generate())
}

// Where C_Sign failed, the operation goes on.
func TestFailedSignLeavesOperation(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	d.Fail("C_Sign", fault.DeviceError, 0, 1)
	_, err := d.sign(s, private, "m")
	wantCode(t, err, pkcs11.CKR_DEVICE_ERROR)
	_, err = d.sign(s, private, "m")
	wantCode(t, err, pkcs11.CKR_OPERATION_ACTIVE)
	other := d.open()
	d.mustSign(other, private)
	d.Fail("C_SignInit", fault.OperationActive, 0, 1)
	_, err = d.sign(other, private, "m")
	wantCode(t, err, pkcs11.CKR_OPERATION_ACTIVE)
	d.mustSign(other, private)
}

func TestSessionCap(t *testing.T) {
	d := newDevice(t)
	d.SessionCap(2)
	d.ReportSessionCap(true)
	info, err := d.GetTokenInfo(d.slot)
	must(t, err)
	if info.MaxSessionCount != 2 {
		t.Errorf("the token reports %d sessions", info.MaxSessionCount)
	}
	open := func(good bool) (s pkcs11.SessionHandle) {
		t.Helper()
		s, err := d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION)
		if good {
			must(t, err)
			return s
		}
		wantCode(t, err, pkcs11.CKR_SESSION_COUNT)
		return 0
	}
	open(true)
	s := open(true)
	open(false)
	must(t, d.CloseSession(s))
	wantCode(t, d.CloseSession(s), pkcs11.CKR_SESSION_HANDLE_INVALID)
	d.Fail("C_OpenSession", fault.DeviceError, 0, 1)
	_, err = d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION)
	wantCode(t, err, pkcs11.CKR_DEVICE_ERROR)
	_, err = d.OpenSession(d.slot, 0) // not serial: refused below
	wantCode(t, err, pkcs11.CKR_SESSION_PARALLEL_NOT_SUPPORTED)
	open(true)
	open(false)
	if now, most := d.Sessions(); now != 2 || most != 2 {
		t.Errorf("%d sessions, at most %d", now, most)
	}
	must(t, d.CloseAllSessions(d.slot))
	open(true)
	must(t, d.Finalize())
	must(t, d.Initialize())
	if now, _ := d.Sessions(); now != 0 {
		t.Errorf("%d sessions after C_Finalize", now)
	}
	d.findSlot()
	open(true)
	open(true)
	open(false)
	d.SessionCap(0)
	open(true)
	if now, most := d.Sessions(); now != 3 || most != 3 {
		t.Errorf("%d sessions, at most %d", now, most)
	}
}

func TestCorrupts(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	d.mustSign(s, private)
	d.Corrupt(3)
	var wrong []int
	for i := range 9 {
		signature, err := d.sign(s, private, "m")
		must(t, err)
		if !d.verify("m", signature) {
			wrong = append(wrong, i)
		}
	}
	if !slices.Equal(wrong, []int{2, 5, 8}) || d.Corrupted() != 3 {
		t.Errorf("wrong %v, %d counted", wrong, d.Corrupted())
	}
	d.Corrupt(0)
	d.Shorten(true)
	signature, err := d.sign(s, private, "m")
	must(t, err)
	if len(signature) != 63 {
		t.Errorf("%d bytes", len(signature))
	}
	d.Clear()
	d.mustSign(s, private)
}

// Two modules in one process are told apart, and so are a module's name and what is not one.
func TestIndependentCopies(t *testing.T) {
	d := newDevice(t)
	other := newDeviceOverSame(t, d)
	d.Die(fault.DeviceRemoved)
	_, err := d.GetSlotList(true)
	wantCode(t, err, pkcs11.CKR_DEVICE_REMOVED)
	if _, err := other.GetSlotList(true); err != nil {
		t.Fatal(err)
	}
	d.Revive()
	if n := other.Calls("C_Login"); n != 0 {
		t.Errorf("%d logins", n)
	}
}

// newDeviceOverSame is another copy over the same token. SoftHSM is initialised once for both.
func newDeviceOverSame(t *testing.T, d device) device {
	t.Helper()
	m := fault.New(t, softhsm.Module)
	other := device{load(t, m.Path), m, t, d.key, d.pin, d.slot}
	wantCode(t, other.Initialize(), pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)
	return other
}
