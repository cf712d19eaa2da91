package test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
)

// enrolmentKey is the URI of the token that signs enrolments.
func (a *appliance) enrolmentKey() string {
	return fmt.Sprintf("pkcs11:token=enrolment;object=enrolment?module-path=%s&pin-source=file:%s", module, a.path("pins/enrolment.pin"))
}

// enrol makes a publisher's key, its certificate by the token, and registers it.
func (a *appliance) enrol(name string, namespaces ...string) {
	a.t.Helper()
	a.keygen(name)
	args := []string{"enrol", "--key", a.enrolmentKey(), "--identity", a.path("out/identity.json"), "--publisher", a.path(name + ".pub"), "--out", a.path(name + ".enrolment.json")}
	for _, ns := range namespaces {
		args = append(args, "--namespace", ns)
	}
	a.mustRun("ceremony", args...)
	a.publisher = a.key(name)
	body := []byte("[" + strings.TrimSpace(a.read(name+".enrolment.json")) + "]")
	status, answer := a.post(context.Background(), "/enrolments", "application/json", body)
	if status != http.StatusOK {
		a.t.Fatalf("register: %d %s", status, answer)
	}
}

// keygen makes a publisher's key pair as countersign keygen writes it.
func (a *appliance) keygen(name string) {
	a.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(a.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(a.t, err)
	spki, err := x509.MarshalPKIXPublicKey(public)
	must(a.t, err)
	a.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	a.write(name+".pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})))
}

func (a *appliance) key(name string) ed25519.PrivateKey {
	a.t.Helper()
	block, _ := pem.Decode([]byte(a.read(name + ".key")))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(a.t, err)
	return key.(ed25519.PrivateKey)
}
