package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/test/remote"
)

// Confined as far as possible, modules work that have nothing in common: p11-kit's client, which talks to a process of
// another user over a socket, and NSS. Also after a start in place.
func TestConfinedModules(t *testing.T) {
	needLandlock(t)
	for name, tt := range map[string]struct {
		key func(t *testing.T) hsm.GeneratedKey
	}{
		"p11-kit": {func(t *testing.T) hsm.GeneratedKey { return remote.New(t).Key("log-1") }},
		"NSS":     {newNSS},
	} {
		t.Run(name, func(t *testing.T) {
			key := tt.key(t)
			s := &setup{key: key, uri: key.URI.String(), pinFile: key.URI.PINFile, publicKey: ed25519.PublicKey(key.PublicKey)}
			s.begin(t)
			// What tests built lies in several folders, and is told there what to do.
			s.config = s.write(t, s.uri, s.public(), `confine = "required"`, "recycle_after = 3", fmt.Sprintf("allow_write = [%q]", filepath.Dir(filepath.Dir(key.URI.ModulePath))),
				fmt.Sprintf("allow_read = [%q]", nssLibraries(t)))
			p := start(t, nil, "--config", s.config)
			c, _ := s.wait(t)
			for p.again() < 2 {
				must(t, s.sign(t.Context(), c))
			}
			s.quiet(t, p)
			p.end(t)
		})
	}
}

func nssLibraries(t *testing.T) string {
	t.Helper()
	libraries, err := filepath.Abs("../../_build/nss")
	must(t, err)
	if _, err := os.Stat(filepath.Join(libraries, "libsoftokn3.so")); err != nil {
		t.Fatalf("NSS is missing (%v): run make deps", err)
	}
	return libraries
}

// newNSS builds package hsm's module over NSS with an empty database, and gives its token a PIN and a key.
func newNSS(t *testing.T) hsm.GeneratedKey {
	t.Helper()
	dir, database := t.TempDir(), t.TempDir()
	u := hsm.URI{Token: "second", Object: "log-1", ModulePath: filepath.Join(dir, "nss.so"), PINFile: filepath.Join(database, "pin")}
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	must(t, err)
	cc := exec.Command("cc", "-shared", "-fPIC", "-I", strings.TrimSpace(string(headers)),
		"-DLIBRARIES=\""+nssLibraries(t)+"\"", "-DDATABASE=\""+database+"\"", "-DTOKEN=\""+u.Token+"\"", "-o", u.ModulePath, "../../hsm/testdata/nss.c", "-ldl")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	pin := rand.Text()
	must(t, os.WriteFile(u.PINFile, []byte(pin+"\n"), 0o600))
	ctx := pkcs11.New(u.ModulePath)
	must(t, ctx.Initialize())
	defer func() { must(t, ctx.Finalize()) }()
	slots, err := ctx.GetSlotList(true)
	must(t, err)
	session, err := ctx.OpenSession(slots[len(slots)-1], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION) // the first slot keeps no keys
	must(t, err)
	must(t, ctx.Login(session, pkcs11.CKU_SO, "")) // works once
	must(t, ctx.InitPIN(session, pin))
	must(t, ctx.Logout(session))
	must(t, ctx.Login(session, pkcs11.CKU_USER, pin))
	both := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object), pkcs11.NewAttribute(pkcs11.CKA_ID, []byte{1})}
	public := append(slices.Clone(both), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true), pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{6, 3, 0x2b, 0x65, 0x70})) // the OID of Ed25519
	private := append(both, pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true))
	const edwardsKeyPair = 0x1055 // CKM_EC_EDWARDS_KEY_PAIR_GEN
	object, _, err := ctx.GenerateKeyPair(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(edwardsKeyPair, nil)}, public, private)
	must(t, err)
	point, err := ctx.GetAttributeValue(session, object, []*pkcs11.Attribute{{Type: pkcs11.CKA_EC_POINT}})
	must(t, err)
	return hsm.GeneratedKey{KeyInfo: hsm.KeyInfo{PublicKey: point[0].Value}, URI: u}
}
