package hsm_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// faultyKey is a generated key seen through a fault module.
func faultyKey(t *testing.T) (*fault.Module, hsm.GeneratedKey) {
	t.Helper()
	tokens := softhsm.New(t)
	key := tokens.Key(tokens.Token("registry"), "log-1")
	module := fault.New(t, softhsm.Module)
	key.URI.ModulePath = module.Path
	return module, key
}

func examine(t *testing.T, u hsm.URI, sign bool) hsm.Report {
	t.Helper()
	r, err := hsm.Examine(t.Context(), u, sign)
	must(t, err)
	return r
}

// fatal counts the objections that keep Open from using a key.
func fatal(list []hsm.Objection) (n int) {
	for _, o := range list {
		if o.Fatal {
			n++
		}
	}
	return n
}

// objectsTo fails unless there is just one objection.
func objectsTo(t *testing.T, r hsm.Report, fatal bool, what string) {
	t.Helper()
	list := r.Objections()
	if len(list) != 1 || list[0].Fatal != fatal || !strings.Contains(list[0].What, what) || list[0].Do == "" {
		t.Errorf("objections %+v, want one, fatal %t: %q", list, fatal, what)
	}
}

func TestExamineModule(t *testing.T) {
	tokens := softhsm.New(t)
	a := tokens.Token("a")
	tokens.Token("b")
	tokens.Key(a, "log-1")
	r := examine(t, hsm.URI{ModulePath: softhsm.Module}, false)
	m := r.Module
	if m.Manufacturer != "SoftHSM" || m.Description != "Implementation of PKCS11" || m.Version != "2.6" || m.Cryptoki != "2.40" || m.Slots != 3 || m.Blank != 1 {
		t.Errorf("%+v", m)
	}
	if len(r.Tokens) != 2 || len(r.Objections()) != 0 {
		t.Fatalf("%d tokens, objections %v", len(r.Tokens), r.Objections())
	}
	for _, token := range r.Tokens {
		if token.Keys != nil || token.LoggedIn || token.Profile.Name != "SoftHSM" {
			t.Errorf("%+v", token)
		}
	}
}

func TestExamineKey(t *testing.T) {
	module, key := faultyKey(t)
	asked := key.URI
	asked.Serial, asked.ID = "", nil
	r := examine(t, asked, true)
	token := r.Tokens[0]
	if token.TokenInfo != key.Token || !token.LoggedIn || token.PIN != (hsm.PINReport{State: "ok", Min: 4, Max: 255}) || len(token.Keys) != 1 || len(r.Objections()) != 0 {
		t.Fatalf("%+v %v", token, r.Objections())
	}
	k := token.Keys[0]
	if k.URI != key.URI.String() || k.ID != hex.EncodeToString(key.ID) || k.Point != hex.EncodeToString(key.PublicKey) || len(k.Notes) != 0 {
		t.Errorf("%+v", k)
	}
	if len(k.KeyGenMechanism) != 1 || k.KeyGenMechanism[0] != 0x1055 || len(k.AllowedMechanisms) != 1 || k.AllowedMechanisms[0] != 0x1057 || !*k.Attributes["CKA_LOCAL"] {
		t.Errorf("%+v", k)
	}
	if k.SelfTest == nil || !k.SelfTest.Verified || k.SelfTest.Seconds <= 0 {
		t.Errorf("self-test %+v", k.SelfTest)
	}
	for i, m := range token.Mechanisms {
		want := []uint{0x1057, 0x1055}[i]
		if m.Number != want || !m.Offered || m.MinKey == 0 || len(m.Flags) == 0 {
			t.Errorf("mechanism %+v", m)
		}
	}
	if good, wrong := module.Logins(); good != 1 || wrong != 0 || module.Calls("C_Login") != 1 || module.Signatures() != 1 {
		t.Errorf("%d logins, %d signatures", module.Calls("C_Login"), module.Signatures())
	}
	closesSessions(t, module)
	examine(t, key.URI, false)
	if module.Signatures() != 1 {
		t.Error("the key was used without being asked to")
	}
}

func closesSessions(t *testing.T, module *fault.Module) {
	t.Helper()
	if opened, closed := module.Calls("C_OpenSession"), module.Calls("C_CloseSession"); opened != closed {
		t.Errorf("%d sessions opened, %d closed", opened, closed)
	}
}

func TestExamineIndestructibleKey(t *testing.T) {
	u := softhsm.New(t).Token("registry")
	u.Object = "log-1"
	_, err := hsm.GenerateKey(t.Context(), u, hsm.KeyOptions{Indestructible: true})
	must(t, err)
	if list := examine(t, u, false).Objections(); len(list) != 0 {
		t.Errorf("%v", list)
	}
}

// Without a PIN only what everyone may see is there, and no login is tried.
func TestExamineWithoutPIN(t *testing.T) {
	module, key := faultyKey(t)
	for _, change := range []func(*hsm.URI){
		func(*hsm.URI) {},
		func(u *hsm.URI) { u.Object, u.ID = "", nil },
	} {
		u := key.URI
		u.PINFile = ""
		change(&u)
		token := examine(t, u, false).Tokens[0]
		if token.LoggedIn || len(token.Keys) != 1 || token.Keys[0].Point != hex.EncodeToString(key.PublicKey) || token.Keys[0].Attributes != nil {
			t.Errorf("%+v", token.Keys)
		}
	}
	absent := key.URI
	absent.PINFile, absent.ID, absent.Object = "", nil, "absent"
	if keys := examine(t, absent, false).Tokens[0].Keys; keys == nil || len(keys) != 0 {
		t.Errorf("keys %v, want none", keys)
	}
	if n := module.Calls("C_Login"); n != 0 {
		t.Errorf("%d logins", n)
	}
}

// What Examine calls fatal is what Open refuses, over keys of many kinds; and
// a list of keys says of each what naming it says.
func TestExamineAgreesWithOpen(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	generated := tokens.Key(u, "generated")
	seed := bytes.Repeat([]byte{9}, 32)
	raw(t, u, func(r rawToken) {
		for i, label := range []string{"rsa", "p256", "x25519"} {
			r.generateOther(label, byte(0x10+i))
		}
		for label, flag := range map[string]map[uint]any{
			"imported":    {},
			"plain":       {pkcs11.CKA_SENSITIVE: false},
			"extractable": {pkcs11.CKA_EXTRACTABLE: true},
			"mute":        {pkcs11.CKA_SIGN: false},
			"ECDSA only":  {pkcs11.CKA_ALLOWED_MECHANISMS: []byte{0x41, 0x10, 0, 0, 0, 0, 0, 0}},
		} {
			r.importKey(rawKey{label: label, id: []byte(label), seed: seed, attributes: flag})
		}
		r.importPrivate(rawKey{label: "lonely", id: []byte("lonely"), seed: seed})
		r.importPrivate(rawKey{label: "no id", seed: seed})
		r.importKey(rawKey{label: "twin", id: []byte("twin 1"), seed: seed})
		r.importKey(rawKey{label: "twin", id: []byte("twin 2"), seed: seed})
		r.importPrivate(rawKey{label: "same", id: []byte("same"), seed: seed})
		r.importPrivate(rawKey{label: "same", id: []byte("same"), seed: seed})
	})
	opened := map[string]bool{"generated": true, "imported": true, "lonely": true, "no id": true, "twin": true}
	listed := examine(t, u, false).Tokens[0].Keys
	if len(listed) != 15 {
		t.Fatalf("%d keys listed, want 15", len(listed))
	}
	for _, k := range listed {
		named, err := hsm.ParseURI(k.URI)
		must(t, err)
		c := hsm.Config{URI: named, PublicKey: publicOf(seed)}
		if k.Label == "generated" {
			c.PublicKey = generated.PublicKey
		}
		key, err := hsm.Open(t.Context(), c)
		if err == nil {
			must(t, key.Close())
		}
		if (err == nil) != opened[k.Label] || (fatal(k.Objections) == 0) != opened[k.Label] {
			t.Errorf("%s: Open %v, objections %+v", k.Label, err, k.Objections)
		}
		if (k.Label == "generated") != (len(k.Objections) == 0) || k.Label == "imported" && k.KeyGenMechanism != nil {
			t.Errorf("%s: objections %+v, made by %v", k.Label, k.Objections, k.KeyGenMechanism)
		}
		again := examine(t, named, false).Tokens[0].Keys[0]
		if len(again.Objections) != len(k.Objections) || again.URI != k.URI || again.Point != k.Point {
			t.Errorf("%s: listed %+v, named %+v", k.Label, k, again)
		}
	}
}

func TestExamineUnnamedKey(t *testing.T) {
	u := softhsm.New(t).Token("registry")
	raw(t, u, func(r rawToken) {
		r.importPrivate(rawKey{label: "a\x1b[2Jb", seed: make([]byte, 32)})
	})
	r := examine(t, u, false)
	objectsTo(t, r, true, "neither id nor label that a key URI can hold")
	if r.Tokens[0].Keys[0].URI != "" {
		t.Errorf("URI %s", r.Tokens[0].Keys[0].URI)
	}
}

// What a token lies about, or lacks, is objected to.
func TestExamineObjects(t *testing.T) {
	const mechanismInvalid = 0x70
	for name, c := range map[string]struct {
		arrange func(*fault.Module)
		fatal   bool
		want    string
	}{
		"extractable":   {func(m *fault.Module) { m.Lie(fault.Extractable) }, true, "CKA_EXTRACTABLE is true, want false"},
		"not local":     {func(m *fault.Module) { m.Lie(fault.NotLocal) }, false, "CKA_LOCAL is false, want true"},
		"local unknown": {func(m *fault.Module) { m.Lie(fault.LocalUnreported) }, false, "CKA_LOCAL is not reported"},
		"any mechanism": {func(m *fault.Module) { m.Lie(fault.AnyMechanism) }, true, "CKA_ALLOWED_MECHANISMS is [0x1041]"},
		"no EdDSA":      {func(m *fault.Module) { m.Fail("C_GetMechanismInfo", mechanismInvalid, 0, 1) }, true, "CKM_EDDSA (0x1057)"},
		"no key pairs":  {func(m *fault.Module) { m.Fail("C_GetMechanismInfo", mechanismInvalid, 1, 1) }, false, "CKM_EC_EDWARDS_KEY_PAIR_GEN (0x1055)"},
		"corrupted":     {func(m *fault.Module) { m.Corrupt(1) }, true, "self-test: C_Sign on token \"registry\": the signature does not verify"},
		"cannot sign":   {func(m *fault.Module) { m.Fail("C_Sign", fault.DeviceError, 0, 1) }, true, "CKR_DEVICE_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			module, key := faultyKey(t)
			c.arrange(module)
			r := examine(t, key.URI, true)
			objectsTo(t, r, c.fatal, c.want)
			if test := r.Tokens[0].Keys[0].SelfTest; test.Verified != !strings.Contains("corrupted, cannot sign", name) {
				t.Errorf("verified %t", test.Verified)
			}
		})
	}
}

func TestExamineUnknownPublicKey(t *testing.T) {
	module, key := faultyKey(t)
	module.Lie(fault.NoPublicObject)
	r := examine(t, key.URI, true)
	k := r.Tokens[0].Keys[0]
	if len(r.Objections()) != 0 || k.PublicKey != "" || k.SelfTest != nil || len(k.Notes) != 2 || module.Signatures() != 0 {
		t.Errorf("%+v, %d signatures", k, module.Signatures())
	}
	module.Lie(fault.PointOnPrivate)
	k = examine(t, key.URI, true).Tokens[0].Keys[0]
	if k.Point != hex.EncodeToString(key.PublicKey) || !k.SelfTest.Verified || len(k.Notes) != 1 {
		t.Errorf("%+v", k)
	}
}

// Examine never costs a PIN attempt more than the one it is asked for, and not
// the last; its report shows the state even so.
func TestExaminePIN(t *testing.T) {
	for name, c := range map[string]struct {
		arrange       func(*fault.Module)
		pin, state    string
		logins, fatal int
		want          string
	}{
		"final try": {func(m *fault.Module) { m.Lie(fault.FinalTry) }, "", "final-try", 0, 1, "one more wrong PIN locks it"},
		"no PIN":    {func(m *fault.Module) { m.Lie(fault.NoUserPIN) }, "", "not-set", 0, 1, "has no user PIN"},
		"count low": {func(m *fault.Module) { m.Lie(fault.CountLow) }, "", "count-low", 1, 0, ""},
		"wrong PIN": {func(*fault.Module) {}, "wrong-pin\n", "ok", 1, 0, "CKR_PIN_INCORRECT"},
		"locked":    {func(m *fault.Module) { m.Fail("C_Login", fault.PINLocked, 0, fault.Always) }, "", "ok", 1, 0, "CKR_PIN_LOCKED"},
	} {
		t.Run(name, func(t *testing.T) {
			module, key := faultyKey(t)
			c.arrange(module)
			if c.pin != "" {
				key.URI.PINFile = pinFile(t, c.pin)
			}
			r, err := hsm.Examine(t.Context(), key.URI, false)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, hsm.ErrStopped)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if len(r.Tokens) != 1 || fatal(r.Objections()) != c.fatal || r.Tokens[0].PIN.State != c.state {
				t.Errorf("%+v", r.Tokens)
			}
			if _, again := hsm.Examine(t.Context(), key.URI, false); err != nil && again == nil {
				t.Error("the second time it goes on")
			} else if err == nil {
				c.logins++
			}
			if n := module.Calls("C_Login"); n != c.logins {
				t.Errorf("%d logins, want %d", n, c.logins)
			}
		})
	}
}

func TestExamineRefuses(t *testing.T) {
	_, key := faultyKey(t)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hsm.Examine(canceled, key.URI, false); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*hsm.URI)
		want   string
	}{
		"no module":        {func(u *hsm.URI) { u.ModulePath = "" }, "lacks module-path"},
		"missing module":   {func(u *hsm.URI) { u.ModulePath = "/nowhere/module.so" }, "install it"},
		"key, no token":    {func(u *hsm.URI) { u.Token = "" }, "lacks token"},
		"PIN, no token":    {func(u *hsm.URI) { *u = hsm.URI{ModulePath: u.ModulePath, PINFile: u.PINFile} }, "lacks token"},
		"serial, no token": {func(u *hsm.URI) { *u = hsm.URI{ModulePath: u.ModulePath, Serial: u.Serial} }, "lacks token"},
		"sign, no key":     {func(u *hsm.URI) { u.Object, u.ID = "", nil }, "lacks object or id"},
		"sign, no PIN":     {func(u *hsm.URI) { u.PINFile = "" }, "lacks pin-source"},
		"other token":      {func(u *hsm.URI) { u.Token = "other" }, `no token "other"`},
		"no PIN file":      {func(u *hsm.URI) { u.PINFile = "/nowhere/pin" }, "PIN file"},
	} {
		u := key.URI
		c.change(&u)
		if _, err := hsm.Examine(t.Context(), u, true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A device that fails is no property of the key.
func TestExamineFailingDevice(t *testing.T) {
	for _, function := range []string{"C_GetInfo", "C_GetSlotList", "C_GetTokenInfo", "C_GetMechanismInfo", "C_OpenSession", "C_Login",
		"C_FindObjectsInit", "C_FindObjects", "C_GetAttributeValue"} {
		t.Run(function, func(t *testing.T) {
			module, key := faultyKey(t)
			all := key.URI
			all.Object, all.ID = "", nil
			public := all
			public.PINFile = ""
			for _, u := range []hsm.URI{key.URI, all, public} {
				if function == "C_Login" && u.PINFile == "" {
					continue
				}
				module.Fail(function, fault.DeviceError, 0, fault.Always)
				r, err := hsm.Examine(t.Context(), u, false)
				module.Clear()
				if err == nil || !strings.Contains(err.Error(), "CKR_DEVICE_ERROR") || len(r.Objections()) != 0 {
					t.Errorf("%v, objections %v", err, r.Objections())
				}
			}
			if function != "C_OpenSession" {
				closesSessions(t, module)
			}
		})
	}
}
