package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
)

// makeApprover makes the key that approves states of machines. TPMs verify no Ed25519, so it is ECDSA on P-256.
func makeApprover(_ context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("approver", flag.ContinueOnError)
	name := flags.String("out", "", "")
	if err := parse(flags, args, "out"); err != nil {
		return err
	}
	if err := refuseExisting(*name+".key", *name+".pub"); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(private)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	defer clear(text)
	if err := writeFile(*name+".key", text, 0o600); err != nil {
		return err
	}
	if err := writeNew(*name+".pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))); err != nil {
		return err
	}
	t.say("Made the approver %s: sha256:%x.\n%[1]s.key stays offline, on a medium that is encrypted; who has it can approve any state of the machine, not drop the PIN.\n"+
		"%[1]s.pub goes to the machines with the TPMs.", *name, sha256.Sum256(public))
	return nil
}

func readApprover(path string) (*ecdsa.PublicKey, error) {
	der, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	any, err := x509.ParsePKIXPublicKey(der)
	key, ok := any.(*ecdsa.PublicKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s is not an approver's public key, ECDSA on P-256: ceremony tpm approver makes one", path)
	}
	return key, nil
}

func readApproverKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	defer clear(der)
	any, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := any.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s is not an approver's private key, ECDSA on P-256: ceremony tpm approver makes one", path)
	}
	return key, nil
}

func readPEM(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no %s in PEM", path, kind)
	}
	return block.Bytes, nil
}

// sameApprover compares by what both are written as.
func sameApprover(a, b *ecdsa.PublicKey) bool { return a != nil && a.Equal(b) }
