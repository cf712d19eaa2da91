package provenance_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// openssl runs the command in dir and gives its output.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("the openssl command is missing: run `make deps`")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Raw signatures, keys and fingerprints are what the openssl command holds them to be.
func TestOpenSSL(t *testing.T) {
	p := newWorld(registry).plan()
	e, key := p.publication().Envelope, publicKey(p.publisher)
	dir := t.TempDir()
	pem := "-----BEGIN PUBLIC KEY-----\n" + key.String() + "\n-----END PUBLIC KEY-----\n"
	files := map[string]string{"key.pem": pem, "message": string(e.PAE()), "other": string(e.PAE()) + "!", "sig": string(e.Signatures[0].Sig),
		"head": p.w.log.head(1).Text(), "headsig": rawSignature(p.w.log.note(1, p.publisher))}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(message, sig string) (string, error) {
		return openssl(t, dir, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-in", message, "-sigfile", sig)
	}
	if out, err := verify("message", "sig"); err != nil {
		t.Errorf("publication: %v\n%s", err, out)
	}
	if out, err := verify("head", "headsig"); err != nil {
		t.Errorf("checkpoint: %v\n%s", err, out)
	}
	if out, err := verify("other", "sig"); err == nil || !strings.Contains(out, "Verification Failure") {
		t.Errorf("another message: %v\n%s", err, out)
	}
	if out, err := openssl(t, dir, "pkey", "-pubin", "-in", "key.pem", "-outform", "DER", "-out", "key.der"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	der := must(os.ReadFile(filepath.Join(dir, "key.der")))
	if string(der) != string(key.SPKI()) {
		t.Errorf("SPKI %x, openssl writes %x", key.SPKI(), der)
	}
	out, err := openssl(t, dir, "dgst", "-sha256", "-r", "key.der")
	if got, _, _ := strings.Cut(out, " "); err != nil || "sha256:"+got != key.Fingerprint() {
		t.Errorf("fingerprint %s, openssl says %s (%v)", key.Fingerprint(), out, err)
	}
	if sum := sha256.Sum256(der); key.Fingerprint() != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Error("fingerprint")
	}
}

// rawSignature is that of a note with one signature line, without the key id.
func rawSignature(note string) string {
	line := strings.TrimSpace(note[strings.LastIndex(note, " "):])
	return string(must(base64.StdEncoding.DecodeString(line))[4:])
}
