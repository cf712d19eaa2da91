package hsm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// refused opens a key that must not open and returns why.
func refused(t *testing.T, c hsm.Config, want ...string) error {
	t.Helper()
	key, err := hsm.Open(t.Context(), c)
	if err == nil {
		key.Close()
		t.Fatalf("opened; want refusal: %q", want)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
	return err
}

func configOf(key hsm.GeneratedKey) hsm.Config {
	return hsm.Config{URI: key.URI, PublicKey: key.PublicKey}
}

func TestOpen(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	wanted := tokens.Key(u, "log-1")
	tokens.Key(u, "log-2")
	link := filepath.Join(t.TempDir(), "link.so")
	must(t, os.Symlink(softhsm.Module, link))
	for name, change := range map[string]func(*hsm.URI){
		"all":              func(*hsm.URI) {},
		"label only":       func(u *hsm.URI) { u.ID = nil },
		"id only":          func(u *hsm.URI) { u.Object = "" },
		"no serial":        func(u *hsm.URI) { u.Serial = "" },
		"module by a link": func(u *hsm.URI) { u.ModulePath = link },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			c := configOf(wanted)
			change(&c.URI)
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			key, err := hsm.Open(t.Context(), c)
			must(t, err)
			defer key.Close()
			if !wanted.PublicKey.Equal(key.Public()) {
				t.Errorf("opened another key: %x", key.Public())
			}
			if !strings.Contains(log.String(), hex.EncodeToString(wanted.ID)) {
				t.Errorf("log does not name the key: %s", &log)
			}
		})
	}
}

func TestOpenRefusesConfig(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	notModule := filepath.Join(t.TempDir(), "module.so")
	must(t, os.WriteFile(notModule, []byte("not a library"), 0o600))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hsm.Open(canceled, configOf(generated)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*hsm.Config)
		want   string
	}{
		"no token":          {func(c *hsm.Config) { c.URI.Token = "" }, "lacks token"},
		"no module":         {func(c *hsm.Config) { c.URI.ModulePath = "" }, "lacks module-path"},
		"no PIN file":       {func(c *hsm.Config) { c.URI.PINFile = "" }, "lacks pin-source"},
		"neither label, id": {func(c *hsm.Config) { c.URI.Object, c.URI.ID = "", nil }, "lacks object or id"},
		"nothing pinned":    {func(c *hsm.Config) { c.PublicKey = nil }, "pinned public key"},
		"small order":       {func(c *hsm.Config) { c.PublicKey = append([]byte{1}, make([]byte, 31)...) }, "small order"},
		"module missing":    {func(c *hsm.Config) { c.URI.ModulePath = "/nowhere/module.so" }, "PKCS#11 module /nowhere/module.so: lstat /nowhere: no such file or directory: install it (SoftHSM: apt-get install softhsm2)"},
		"not a module":      {func(c *hsm.Config) { c.URI.ModulePath = notModule }, notModule + " cannot be loaded"},
		"other label":       {func(c *hsm.Config) { c.URI.Token = "other" }, `no token "other"`},
		"other serial":      {func(c *hsm.Config) { c.URI.Serial = "0000" }, `no token "registry" with serial 0000 in module /usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so, which has "registry" (serial ` + generated.URI.Serial},
		"other object":      {func(c *hsm.Config) { c.URI.Object = "log-2" }, `no private key with label "log-2"`},
		"other id":          {func(c *hsm.Config) { c.URI.ID = []byte{1} }, `which has "log-1" (id ` + hex.EncodeToString(generated.ID)},
	} {
		t.Run(name, func(t *testing.T) {
			config := configOf(generated)
			c.change(&config)
			refused(t, config, c.want)
		})
	}
}

func TestOpenWithoutConfiguration(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	t.Setenv("SOFTHSM2_CONF", "/nowhere/softhsm2.conf")
	refused(t, configOf(generated), "C_Initialize", "SOFTHSM2_CONF")
}

func TestPinnedKeyMismatchStops(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	one, two := tokens.Key(u, "log-1"), tokens.Key(u, "log-2")
	module := newFaultyModule(t)
	wrong := module.over(one)
	wrong.PublicKey = two.PublicKey
	for _, sessions := range []int{2, 0} { // the second time nobody looks for the key
		before := module.Calls("C_OpenSession")
		if err := refused(t, wrong, "is pinned"); !errors.Is(err, hsm.ErrStopped) {
			t.Errorf("does not match ErrStopped: %v", err)
		}
		if n := module.Calls("C_OpenSession") - before; n != sessions {
			t.Errorf("%d sessions opened, want %d", n, sessions)
		}
	}
	key, err := hsm.Open(t.Context(), module.over(one))
	must(t, err)
	must(t, key.Close())
}

// The public object may lie about the private key beside it.
func TestPrivateKeyMismatchStops(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	var lying hsm.GeneratedKey
	raw(t, u, func(r rawToken) {
		lying = r.importKey(rawKey{label: "log-1", id: []byte{1}, seed: bytes.Repeat([]byte{7}, 32), public: other})
	})
	u.Object = "log-1"
	err := refused(t, hsm.Config{URI: u, PublicKey: lying.PublicKey}, "self-test", "does not verify")
	if !errors.Is(err, hsm.ErrStopped) {
		t.Errorf("does not match ErrStopped: %v", err)
	}
}

func TestAmbiguousToken(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	generated := tokens.Key(u, "log-1")
	serial := initSecondToken(t, "registry")
	c := configOf(generated)
	c.URI.Serial = ""
	refused(t, c, "ambiguous", u.Serial, serial, "serial=")
	tokens.Open(generated)
}

// initSecondToken makes a token with a label that is in use, which InitToken
// refuses to do.
func initSecondToken(t *testing.T, label string) (serial string) {
	t.Helper()
	ctx, finalise := initialise(t)
	defer finalise()
	slots, err := ctx.GetSlotList(true)
	must(t, err)
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		must(t, err)
		if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			must(t, ctx.InitToken(slot, "1234", label))
			info, err := ctx.GetTokenInfo(slot)
			must(t, err)
			return info.SerialNumber
		}
	}
	t.Fatal("no blank slot")
	return ""
}

func TestAmbiguousKey(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	var first hsm.GeneratedKey
	raw(t, u, func(r rawToken) {
		first = r.importKey(rawKey{label: "log-1", id: []byte{0xa1}, seed: bytes.Repeat([]byte{1}, 32)})
		r.importKey(rawKey{label: "log-1", id: []byte{0xb2}, seed: bytes.Repeat([]byte{2}, 32)})
	})
	u.Object = "log-1"
	c := hsm.Config{URI: u, PublicKey: first.PublicKey}
	refused(t, c, "2 times", `"log-1" (id a1)`, `"log-1" (id b2)`, "id=")
	c.URI.ID = []byte{0xa1}
	key, err := hsm.Open(t.Context(), c)
	must(t, err)
	must(t, key.Close())
	raw(t, u, func(r rawToken) {
		r.importKey(rawKey{label: "twin", id: []byte{0xa1}, seed: bytes.Repeat([]byte{3}, 32)})
	})
	refused(t, c, "2 times a public key with id a1")
}

func TestUnfitKey(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	seed := bytes.Repeat([]byte{9}, 32)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	raw(t, u, func(r rawToken) {
		for i, label := range []string{"rsa", "p256", "x25519"} {
			r.generateOther(label, byte(0x10+i))
		}
		for label, flag := range map[string]map[uint]any{
			"plain":       {pkcs11.CKA_SENSITIVE: false},
			"extractable": {pkcs11.CKA_EXTRACTABLE: true},
			"mute":        {pkcs11.CKA_SIGN: false},
		} {
			r.importKey(rawKey{label: label, id: []byte(label), seed: seed, attributes: flag})
		}
	})
	for label, want := range map[string]string{
		"rsa":         "key type 0x0 is not CKK_EC_EDWARDS",
		"p256":        "key type 0x3 is not CKK_EC_EDWARDS",
		"x25519":      "not Ed25519",
		"plain":       "CKA_SENSITIVE",
		"extractable": "CKA_EXTRACTABLE",
		"mute":        "CKA_SIGN",
	} {
		t.Run(label, func(t *testing.T) {
			u.Object = label
			refused(t, hsm.Config{URI: u, PublicKey: public}, want)
		})
	}
}

// generateOther makes a key pair that is no Ed25519 one.
func (r rawToken) generateOther(label string, id byte) {
	r.t.Helper()
	mechanism, public := uint(pkcs11.CKM_EC_KEY_PAIR_GEN), map[uint]any{}
	switch label {
	case "rsa":
		mechanism = pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN
		public[pkcs11.CKA_MODULUS_BITS] = 1024
	case "p256":
		public[pkcs11.CKA_EC_PARAMS] = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	case "x25519":
		mechanism = 0x1055
		public[pkcs11.CKA_EC_PARAMS] = []byte{0x06, 0x03, 0x2b, 0x65, 0x6e}
	}
	private := map[uint]any{pkcs11.CKA_SENSITIVE: true, pkcs11.CKA_EXTRACTABLE: false, pkcs11.CKA_SIGN: true}
	for _, template := range []map[uint]any{public, private} {
		template[pkcs11.CKA_TOKEN] = true
		template[pkcs11.CKA_LABEL] = label
		template[pkcs11.CKA_ID] = []byte{id}
	}
	_, _, err := r.GenerateKeyPair(r.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, attributes(public), attributes(private))
	if err != nil {
		r.t.Fatalf("%s: %v", label, err)
	}
}

// Tokens differ in how they write points.
func TestOpenRawPoint(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	module := newFaultyModule(t)
	module.Lie(fault.RawPoint)
	key, err := hsm.Open(t.Context(), module.over(generated))
	must(t, err)
	defer key.Close()
	_, err = key.Sign(nil, []byte("m"), crypto.Hash(0))
	must(t, err)
}
