package hsm_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
)

// rawToken is a token seen with nothing of ours between.
type rawToken struct {
	*pkcs11.Ctx
	t       *testing.T
	session pkcs11.SessionHandle
	slot    uint
}

// initialise starts the module, or joins in if package hsm has it running. The
// result ends what was begun.
func initialise(t *testing.T) (ctx *pkcs11.Ctx, finalise func()) {
	t.Helper()
	ctx = pkcs11.New(softhsm.Module)
	err := ctx.Initialize()
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return ctx, func() {}
	}
	must(t, err)
	return ctx, func() { must(t, ctx.Finalize()) }
}

// raw runs f in a read-write session logged in as the user.
func raw(t *testing.T, u hsm.URI, f func(rawToken)) {
	t.Helper()
	ctx, finalise := initialise(t)
	defer finalise()
	slot, _ := findSlot(t, ctx, u.Serial)
	s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(t, err)
	defer ctx.CloseSession(s)
	pin, err := os.ReadFile(u.PINFile)
	must(t, err)
	err = ctx.Login(s, pkcs11.CKU_USER, string(bytes.TrimSpace(pin)))
	if !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		must(t, err)
	}
	f(rawToken{ctx, t, s, slot})
}

func findSlot(t *testing.T, ctx *pkcs11.Ctx, serial string) (uint, pkcs11.TokenInfo) {
	t.Helper()
	slots, err := ctx.GetSlotList(true)
	must(t, err)
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		must(t, err)
		if info.SerialNumber == serial {
			return slot, info
		}
	}
	t.Fatalf("no token with serial %s", serial)
	return 0, pkcs11.TokenInfo{}
}

// tokenFlags reads the token's CKF_ flags without logging in.
func tokenFlags(t *testing.T, u hsm.URI) uint {
	t.Helper()
	ctx, finalise := initialise(t)
	defer finalise()
	_, info := findSlot(t, ctx, u.Serial)
	return info.Flags
}

// rawKey is a key to import. Attributes override.
type rawKey struct {
	label      string
	id         []byte
	seed       []byte
	public     ed25519.PublicKey // nil: the seed's
	attributes map[uint]any
}

// importKey makes private and public object from a seed, which GenerateKey never does.
func (r rawToken) importKey(k rawKey) hsm.GeneratedKey {
	r.t.Helper()
	r.importPrivate(k)
	if k.public == nil {
		k.public = ed25519.NewKeyFromSeed(k.seed).Public().(ed25519.PublicKey)
	}
	r.create(map[uint]any{
		pkcs11.CKA_CLASS: pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_KEY_TYPE: 0x40, pkcs11.CKA_TOKEN: true,
		pkcs11.CKA_VERIFY: true, pkcs11.CKA_LABEL: k.label, pkcs11.CKA_ID: k.id,
		pkcs11.CKA_EC_PARAMS: oid, pkcs11.CKA_EC_POINT: append([]byte{4, 32}, k.public...),
	})
	return hsm.GeneratedKey{KeyInfo: hsm.KeyInfo{Label: k.label, ID: k.id, PublicKey: k.public}}
}

var oid = []byte{0x06, 0x03, 0x2b, 0x65, 0x70}

func (r rawToken) importPrivate(k rawKey) {
	r.t.Helper()
	template := map[uint]any{
		pkcs11.CKA_CLASS: pkcs11.CKO_PRIVATE_KEY, pkcs11.CKA_KEY_TYPE: 0x40, pkcs11.CKA_TOKEN: true,
		pkcs11.CKA_PRIVATE: true, pkcs11.CKA_SENSITIVE: true, pkcs11.CKA_EXTRACTABLE: false, pkcs11.CKA_SIGN: true,
		pkcs11.CKA_LABEL: k.label, pkcs11.CKA_ID: k.id, pkcs11.CKA_EC_PARAMS: oid, pkcs11.CKA_VALUE: k.seed,
	}
	for kind, value := range k.attributes {
		template[kind] = value
	}
	r.create(template)
}

func (r rawToken) create(template map[uint]any) {
	r.t.Helper()
	_, err := r.CreateObject(r.session, attributes(template))
	must(r.t, err)
}

func (r rawToken) find(template map[uint]any) []pkcs11.ObjectHandle {
	r.t.Helper()
	must(r.t, r.FindObjectsInit(r.session, attributes(template)))
	found, _, err := r.FindObjects(r.session, 100)
	must(r.t, err)
	must(r.t, r.FindObjectsFinal(r.session))
	return found
}

// private is the handle of the one private key with the label.
func (r rawToken) private(label string) pkcs11.ObjectHandle {
	r.t.Helper()
	found := r.find(map[uint]any{pkcs11.CKA_CLASS: pkcs11.CKO_PRIVATE_KEY, pkcs11.CKA_LABEL: label})
	if len(found) != 1 {
		r.t.Fatalf("%d private keys labelled %q", len(found), label)
	}
	return found[0]
}

func attributes(template map[uint]any) []*pkcs11.Attribute {
	var list []*pkcs11.Attribute
	for kind, value := range template {
		list = append(list, pkcs11.NewAttribute(kind, value))
	}
	return list
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
