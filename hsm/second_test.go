package hsm_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
)

// nssLibraries is where make deps puts the NSS that Debian ships with Firefox:
// its package libnss3 is too old for Ed25519.
const nssLibraries = "../_build/nss"

// newNSS builds testdata/nss.c over NSS with an empty database, and gives its
// token a PIN and a key.
func newNSS(t *testing.T) hsm.GeneratedKey {
	t.Helper()
	libraries, err := filepath.Abs(nssLibraries)
	must(t, err)
	if _, err := os.Stat(filepath.Join(libraries, "libsoftokn3.so")); err != nil {
		t.Fatalf("NSS is missing (%v): run make deps", err)
	}
	dir := t.TempDir()
	u := hsm.URI{Token: "second", Object: "log-1", ModulePath: filepath.Join(dir, "nss.so"), PINFile: filepath.Join(dir, "pin")}
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	must(t, err)
	cc := exec.Command("cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I", strings.TrimSpace(string(headers)),
		"-DLIBRARIES=\""+libraries+"\"", "-DDATABASE=\""+dir+"\"", "-DTOKEN=\""+u.Token+"\"", "-o", u.ModulePath, "testdata/nss.c", "-ldl")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	pin := rand.Text()
	must(t, os.WriteFile(u.PINFile, []byte(pin+"\n"), 0o600))
	return hsm.GeneratedKey{KeyInfo: hsm.KeyInfo{PublicKey: makeKey(t, u, pin)}, URI: u}
}

// makeKey sets the token's first PIN, which no ceremony can with NSS's empty
// officer's PIN, and makes a key.
func makeKey(t *testing.T, u hsm.URI, pin string) ed25519.PublicKey {
	t.Helper()
	ctx := pkcs11.New(u.ModulePath)
	must(t, ctx.Initialize())
	defer func() { must(t, ctx.Finalize()) }()
	slots, err := ctx.GetSlotList(true)
	must(t, err)
	s, err := ctx.OpenSession(slots[len(slots)-1], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION) // the first slot keeps no keys
	must(t, err)
	must(t, ctx.Login(s, pkcs11.CKU_SO, "")) // works once
	must(t, ctx.InitPIN(s, pin))
	must(t, ctx.Logout(s))
	must(t, ctx.Login(s, pkcs11.CKU_USER, pin))
	both := map[uint]any{pkcs11.CKA_TOKEN: true, pkcs11.CKA_LABEL: u.Object, pkcs11.CKA_ID: []byte{1}}
	public := map[uint]any{pkcs11.CKA_VERIFY: true, pkcs11.CKA_EC_PARAMS: oid}
	private := map[uint]any{pkcs11.CKA_PRIVATE: true, pkcs11.CKA_SENSITIVE: true, pkcs11.CKA_EXTRACTABLE: false, pkcs11.CKA_SIGN: true}
	maps.Copy(public, both)
	maps.Copy(private, both)
	object, _, err := ctx.GenerateKeyPair(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(0x1055, nil)}, attributes(public), attributes(private))
	must(t, err)
	point, err := ctx.GetAttributeValue(s, object, []*pkcs11.Attribute{{Type: pkcs11.CKA_EC_POINT}})
	must(t, err)
	return point[0].Value
}

// NSS has nothing in common with SoftHSM. It gives EC_POINT bare, has a slot
// without keys, no serial number, and lacks attributes that SoftHSM has.
func TestSecondModule(t *testing.T) {
	generated := newNSS(t)
	for range 2 { // with C_Finalize between
		key, err := hsm.Open(t.Context(), configOf(generated))
		must(t, err)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 20 {
					message := []byte(rand.Text())
					signature, err := key.Sign(nil, message, crypto.Hash(0))
					if err != nil || !ed25519.Verify(generated.PublicKey, message, signature) {
						t.Errorf("signature %x: %v", signature, err)
					}
				}
			})
		}
		group.Wait()
		must(t, key.Close())
	}
}

func TestSecondModuleRefuses(t *testing.T) {
	generated := newNSS(t)
	other := generated
	other.PublicKey, _, _ = ed25519.GenerateKey(nil)
	if err := refused(t, configOf(other), "is pinned"); !errors.Is(err, hsm.ErrStopped) {
		t.Errorf("another key: %v", err)
	}
	must(t, os.WriteFile(generated.URI.PINFile, []byte("wrong\n"), 0o600))
	if err := refused(t, configOf(generated), "CKR_PIN_INCORRECT"); !errors.Is(err, hsm.ErrStopped) {
		t.Errorf("wrong PIN: %v", err)
	}
}
