package hsm_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

func pinFile(t *testing.T, pin string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pin")
	must(t, os.WriteFile(path, []byte(pin), 0o600))
	return path
}

func TestInitTokenRefuses(t *testing.T) {
	tokens := softhsm.New(t)
	tokens.Token("registry")
	good := pinFile(t, "12345678")
	open := pinFile(t, "12345678")
	must(t, os.Chmod(open, 0o644))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx            context.Context
		module, label  string
		soPIN, userPIN string
		want           string
	}{
		"label in use":   {t.Context(), softhsm.Module, "registry", good, good, `token "registry" exists`},
		"no label":       {t.Context(), softhsm.Module, "", good, good, "token label is empty"},
		"long label":     {t.Context(), softhsm.Module, strings.Repeat("a", 33), good, good, "longer than the 32 bytes"},
		"padded label":   {t.Context(), softhsm.Module, "a ", good, good, "ends with a blank"},
		"open SO PIN":    {t.Context(), softhsm.Module, "new", open, good, "open to every user"},
		"open user PIN":  {t.Context(), softhsm.Module, "new", good, open, "open to every user"},
		"short SO PIN":   {t.Context(), softhsm.Module, "new", pinFile(t, "123"), good, "PINs of 4 to 255 bytes, not 3"},
		"short user PIN": {t.Context(), softhsm.Module, "new", good, pinFile(t, "123"), "PINs of 4 to 255 bytes, not 3"},
		"no module":      {t.Context(), "/nowhere/module.so", "new", good, good, "install it"},
		"cancelled":      {canceled, softhsm.Module, "new", good, good, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			serial, err := hsm.InitToken(c.ctx, c.module, c.label, c.soPIN, c.userPIN)
			if serial != "" || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q, %v, want %q", serial, err, c.want)
			}
		})
	}
	if n := countTokens(t); n != 1 {
		t.Errorf("refused calls left %d tokens, want the 1 from before", n)
	}
}

func countTokens(t *testing.T) (n int) {
	t.Helper()
	ctx, finalise := initialise(t)
	defer finalise()
	slots, err := ctx.GetSlotList(true)
	must(t, err)
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		must(t, err)
		if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 {
			n++
		}
	}
	return n
}

// A token made while keys of another are in use.
func TestInitTokenBesideOpenKey(t *testing.T) {
	tokens := softhsm.New(t)
	key := tokens.Open(tokens.Key(tokens.Token("one"), "log-1"))
	other := tokens.Open(tokens.Key(tokens.Token("two"), "log-1"))
	for _, k := range []*hsm.Key{key, other} {
		_, err := k.Sign(nil, []byte("m"), crypto.Hash(0))
		must(t, err)
	}
}

func TestHalfMadeToken(t *testing.T) {
	softhsm.New(t)
	module := newFaultyModule(t)
	module.Fail("C_InitPIN", fault.FunctionFailed, 0, fault.Always)
	_, err := hsm.InitToken(t.Context(), module.Path, "registry", pinFile(t, "1234"), pinFile(t, "5678"))
	if err == nil || !strings.Contains(err.Error(), "C_InitPIN") || !strings.Contains(err.Error(), "has no user PIN: erase it") {
		t.Errorf("%v", err)
	}
}

func TestGenerateKeyRefuses(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	taken := tokens.Key(u, "log-1").URI
	taken.ID = nil
	raw(t, u, func(r rawToken) {
		r.create(map[uint]any{pkcs11.CKA_CLASS: pkcs11.CKO_DATA, pkcs11.CKA_TOKEN: true, pkcs11.CKA_LABEL: "note"})
	})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		change func(*hsm.URI)
		want   string
	}{
		"label in use":           {t.Context(), func(u *hsm.URI) { u.Object = "log-1" }, `already has "log-1"`},
		"label of a data object": {t.Context(), func(u *hsm.URI) { u.Object = "note" }, `already has "note"`},
		"no serial":              {t.Context(), func(u *hsm.URI) { u.Serial = "" }, "lacks serial"},
		"no token":               {t.Context(), func(u *hsm.URI) { u.Token = "" }, "lacks token"},
		"no label":               {t.Context(), func(u *hsm.URI) { u.Object = "" }, "lacks object"},
		"no PIN file":            {t.Context(), func(u *hsm.URI) { u.PINFile = "" }, "lacks pin-source"},
		"an id":                  {t.Context(), func(u *hsm.URI) { u.ID = []byte{1} }, "leave id out"},
		"other serial":           {t.Context(), func(u *hsm.URI) { u.Serial = "0000" }, "serial 0000"},
		"cancelled":              {canceled, func(u *hsm.URI) {}, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			u := taken
			u.Object = "new"
			c.change(&u)
			_, err := hsm.GenerateKey(c.ctx, u, hsm.KeyOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A token that does not do as asked must not keep the key.
func TestGenerateKeyUnprotected(t *testing.T) {
	lie := func(q fault.Quirk) func(faultyModule) {
		return func(m faultyModule) { m.Lie(q) }
	}
	for name, c := range map[string]struct {
		spoil func(faultyModule)
		want  string
	}{
		"not local":        {lie(fault.NotLocal), "CKA_LOCAL is false, want true"},
		"local unreported": {lie(fault.LocalUnreported), "CKA_LOCAL is not reported, want true"},
		"extractable":      {lie(fault.Extractable), "CKA_EXTRACTABLE is true, want false"},
		"any mechanism":    {lie(fault.AnyMechanism), "CKA_ALLOWED_MECHANISMS is [0x1041], want only 0x1057"},
		"wrong signature":  {func(m faultyModule) { m.Corrupt(1) }, "does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := softhsm.New(t)
			u := tokens.Token("registry")
			module := newFaultyModule(t)
			c.spoil(module)
			asked := u
			asked.Object, asked.ModulePath = "log-1", module.Path
			if _, err := hsm.GenerateKey(t.Context(), asked, hsm.KeyOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			raw(t, u, func(r rawToken) {
				if left := r.find(nil); len(left) != 0 {
					t.Errorf("%d objects left on the token", len(left))
				}
			})
		})
	}
}

func TestUnprotectedIndestructibleKey(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	module := newFaultyModule(t)
	module.Lie(fault.NotLocal)
	u.Object, u.ModulePath = "log-1", module.Path
	_, err := hsm.GenerateKey(t.Context(), u, hsm.KeyOptions{Indestructible: true})
	if err == nil || !strings.Contains(err.Error(), "CKR_ACTION_PROHIBITED") || !strings.Contains(err.Error(), "still on the token: erase the token") {
		t.Errorf("%v", err)
	}
}

// What the attributes promise is tried on the token.
func TestGeneratedKeyIsProtected(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	tokens.Key(u, "log-1")
	permanent := u
	permanent.Object = "permanent"
	_, err := hsm.GenerateKey(t.Context(), permanent, hsm.KeyOptions{Indestructible: true})
	must(t, err)
	raw(t, u, func(r rawToken) {
		r.importKey(rawKey{label: "ordinary", id: []byte{1}, seed: bytes.Repeat([]byte{1}, 32)})
		key, ordinary := r.private("log-1"), r.private("ordinary")
		for name, c := range map[string]struct {
			do   func() error
			want uint
		}{
			"read":             {func() error { return r.read(key, pkcs11.CKA_VALUE) }, pkcs11.CKR_ATTRIBUTE_SENSITIVE},
			"make insensitive": {func() error { return r.set(key, pkcs11.CKA_SENSITIVE, false) }, pkcs11.CKR_ACTION_PROHIBITED},
			"make extractable": {func() error { return r.set(key, pkcs11.CKA_EXTRACTABLE, true) }, pkcs11.CKR_ACTION_PROHIBITED},
			"rename":           {func() error { return r.set(key, pkcs11.CKA_LABEL, "x") }, pkcs11.CKR_ACTION_PROHIBITED},
			"copy":             {func() error { return r.copy(key) }, pkcs11.CKR_ACTION_PROHIBITED},
			"wrap":             {func() error { return r.wrap(key) }, pkcs11.CKR_KEY_UNEXTRACTABLE},
			"ECDSA":            {func() error { return r.signWith(key, pkcs11.CKM_ECDSA) }, pkcs11.CKR_MECHANISM_INVALID},
			"RSA":              {func() error { return r.signWith(key, pkcs11.CKM_RSA_PKCS) }, pkcs11.CKR_MECHANISM_INVALID},
			"destroy":          {func() error { return r.DestroyObject(r.session, r.private("permanent")) }, pkcs11.CKR_ACTION_PROHIBITED},

			// The same on a key without these attributes goes through, so the
			// refusals above are theirs.
			"rename an ordinary key": {func() error { return r.set(ordinary, pkcs11.CKA_LABEL, "ordinary") }, pkcs11.CKR_OK},
			"copy an ordinary key":   {func() error { return r.copy(ordinary) }, pkcs11.CKR_OK},
			"RSA, ordinary key":      {func() error { return r.signWith(ordinary, pkcs11.CKM_RSA_PKCS) }, pkcs11.CKR_OK},
		} {
			err := c.do()
			if c.want == pkcs11.CKR_OK && err != nil || c.want != pkcs11.CKR_OK && !errors.Is(err, pkcs11.Error(c.want)) {
				t.Errorf("%s: %v, want %v", name, err, pkcs11.Error(c.want))
			}
		}
		must(t, r.DestroyObject(r.session, key))
	})
}

func (r rawToken) read(key pkcs11.ObjectHandle, kind uint) error {
	_, err := r.GetAttributeValue(r.session, key, []*pkcs11.Attribute{{Type: kind}})
	return err
}

func (r rawToken) set(key pkcs11.ObjectHandle, kind uint, value any) error {
	return r.SetAttributeValue(r.session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, value)})
}

// copy asks for a session object, which would be lost with the session.
func (r rawToken) copy(key pkcs11.ObjectHandle) error {
	_, err := r.CopyObject(r.session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false)})
	return err
}

func (r rawToken) wrap(key pkcs11.ObjectHandle) error {
	aes, err := r.GenerateKey(r.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)},
		attributes(map[uint]any{pkcs11.CKA_VALUE_LEN: 32, pkcs11.CKA_WRAP: true, pkcs11.CKA_TOKEN: false}))
	must(r.t, err)
	_, err = r.WrapKey(r.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(0x2109, nil)}, aes, key)
	return err
}

// signWith begins an operation in a session of its own, where it stays.
func (r rawToken) signWith(key pkcs11.ObjectHandle, mechanism uint) error {
	s, err := r.OpenSession(r.slot, pkcs11.CKF_SERIAL_SESSION)
	must(r.t, err)
	defer r.CloseSession(s)
	return r.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, key)
}

func TestInspect(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	generated := tokens.Key(u, "log-1")
	if len(generated.ID) != 16 || generated.ID[0] == 0 && generated.ID[1] == 0 && generated.ID[2] == 0 {
		t.Errorf("id %x is not 16 random bytes", generated.ID)
	}
	got, err := hsm.Inspect(t.Context(), generated.URI)
	must(t, err)
	want := hsm.TokenInfo{Label: "registry", Serial: u.Serial, Manufacturer: "SoftHSM project", Model: "SoftHSM v2", Hardware: "2.6", Firmware: "2.6"}
	if got.Token != want || generated.Token != want {
		t.Errorf("token %+v, %+v, want %+v", got.Token, generated.Token, want)
	}
	if !reflect.DeepEqual(got.Key, generated.KeyInfo) {
		t.Errorf("key %+v, generated %+v", got.Key, generated.KeyInfo)
	}
	if !reflect.DeepEqual(got.Key.AllowedMechanisms, []uint{0x1057}) {
		t.Errorf("allowed mechanisms %#x", got.Key.AllowedMechanisms)
	}
	wantAttributes := map[string]bool{
		"CKA_TOKEN": true, "CKA_PRIVATE": true, "CKA_SENSITIVE": true, "CKA_EXTRACTABLE": false, "CKA_SIGN": true,
		"CKA_SIGN_RECOVER": false, "CKA_DECRYPT": false, "CKA_UNWRAP": false, "CKA_DERIVE": false, "CKA_MODIFIABLE": false,
		"CKA_COPYABLE": false, "CKA_DESTROYABLE": true, "CKA_ALWAYS_SENSITIVE": true, "CKA_NEVER_EXTRACTABLE": true, "CKA_LOCAL": true,
	}
	if !reflect.DeepEqual(got.Key.Attributes, wantAttributes) {
		t.Errorf("attributes %v, want %v", got.Key.Attributes, wantAttributes)
	}
	generated.URI.Object, generated.URI.ID = "", nil
	if _, err := hsm.Inspect(t.Context(), generated.URI); err == nil || !strings.Contains(err.Error(), "lacks object or id") {
		t.Errorf("without a key: %v", err)
	}
}
