package remote_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/test/fault"
)

// session is a login with nothing of package hsm between.
type session struct {
	*pkcs11.Ctx
	slot   uint
	handle pkcs11.SessionHandle
	key    pkcs11.ObjectHandle // the private one
}

// login initialises a module, logs into the token and finds the key.
func login(t *testing.T, module string, u hsm.URI) session {
	t.Helper()
	s := session{Ctx: pkcs11.New(module)}
	must(t, s.Initialize())
	slots, err := s.GetSlotList(true)
	must(t, err)
	for _, s.slot = range slots {
		info, err := s.GetTokenInfo(s.slot)
		must(t, err)
		if info.SerialNumber == u.Serial {
			break
		}
	}
	s.handle, err = s.OpenSession(s.slot, pkcs11.CKF_SERIAL_SESSION)
	must(t, err)
	pin, err := os.ReadFile(u.PINFile)
	must(t, err)
	must(t, s.Login(s.handle, pkcs11.CKU_USER, string(bytes.TrimSpace(pin))))
	must(t, s.FindObjectsInit(s.handle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_ID, u.ID)}))
	found, _, err := s.FindObjects(s.handle, 2)
	must(t, err)
	must(t, s.FindObjectsFinal(s.handle))
	if len(found) != 1 {
		t.Fatalf("%d private keys", len(found))
	}
	s.key = found[0]
	return s
}

func (s session) sign() error {
	if err := s.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(eddsa, nil)}, s.key); err != nil {
		return err
	}
	_, err := s.Sign(s.handle, []byte("a checkpoint"))
	return err
}

// allFail checks that all a program could try answers CKR_DEVICE_ERROR.
func (s session) allFail(t *testing.T, when string) {
	t.Helper()
	for call, try := range map[string]func() error{
		"C_GetInfo":        func() error { _, err := s.GetInfo(); return err },
		"C_GetSlotList":    func() error { _, err := s.GetSlotList(true); return err },
		"C_GetSlotInfo":    func() error { _, err := s.GetSlotInfo(s.slot); return err },
		"C_GetTokenInfo":   func() error { _, err := s.GetTokenInfo(s.slot); return err },
		"C_OpenSession":    func() error { _, err := s.OpenSession(s.slot, pkcs11.CKF_SERIAL_SESSION); return err },
		"C_GetSessionInfo": func() error { _, err := s.GetSessionInfo(s.handle); return err },
		"C_Login":          func() error { return s.Login(s.handle, pkcs11.CKU_USER, "0000") },
		"C_FindObjectsInit": func() error {
			return s.FindObjectsInit(s.handle, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)})
		},
		"C_GetAttributeValue": func() error {
			_, err := s.GetAttributeValue(s.handle, s.key, []*pkcs11.Attribute{{Type: pkcs11.CKA_ID}})
			return err
		},
		"C_SignInit":         s.sign,
		"C_CloseSession":     func() error { return s.CloseSession(s.handle) },
		"C_CloseAllSessions": func() error { return s.CloseAllSessions(s.slot) },
	} {
		if err := try(); !is(err, fault.DeviceError) {
			t.Errorf("%s: %s: %v, want CKR_DEVICE_ERROR", when, call, err)
		}
	}
}

func is(err error, code uint) bool {
	return errors.Is(err, pkcs11.Error(code))
}
