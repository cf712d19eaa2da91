package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"countersign.dev/provenance"
)

// writeNew makes a file that did not exist: first the name, empty, then at once the whole content.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	name, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return exists(path)
	}
	if err != nil {
		return err
	}
	info, err := name.Stat() // with the umask
	if err = errors.Join(err, name.Close()); err == nil {
		err = fill(path, data, info.Mode())
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func exists(path string) error {
	return hint(fmt.Errorf("%s exists", path), "nothing is overwritten: move it away or choose another name")
}

func fill(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".countersign-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// absent refuses an output that exists before any work is done for it.
func absent(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return exists(path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readDocument reads a file, and refuses what is longer than any document of ours.
func readDocument(path string) ([]byte, error) { return readBounded(path, provenance.MaxBundle) }

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	data, err := readStart(path, limit+1)
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return data, err
}

// readStart reads the first bytes of a file: enough for whoever refuses what is longer.
func readStart(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

func readPEM(path, kind, other string) ([]byte, error) {
	data, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	switch block, _ := pem.Decode(data); {
	case block == nil:
		return nil, fmt.Errorf("%s is not a PEM file", path)
	case block.Type == other:
		return nil, hint(fmt.Errorf("%s holds a %s, wanted is a %s", path, block.Type, kind),
			"countersign keygen made two files: NAME.key is the private key, NAME.pub the public one")
	case block.Type != kind:
		return nil, fmt.Errorf("%s holds a %s, wanted is a %s", path, block.Type, kind)
	default:
		return block.Bytes, nil
	}
}

func readKey(path string) (ed25519.PrivateKey, error) {
	der, err := readPEM(path, "PRIVATE KEY", "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := any.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s is not the PKCS#8 form of an Ed25519 private key", path)
	}
	return key, nil
}

func readPublicKey(path string) (provenance.PublicKey, error) {
	der, err := readPEM(path, "PUBLIC KEY", "PRIVATE KEY")
	if err != nil {
		return provenance.PublicKey{}, err
	}
	key, err := provenance.ParseSPKI(der)
	if err != nil {
		return key, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func readIdentity(path string) (*provenance.Chain, error) {
	data, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	return parseIdentity(path, data)
}

// parseIdentity verifies a chain of identities; where is the file or URL that it came from.
func parseIdentity(where string, data []byte) (*provenance.Chain, error) {
	envelopes, err := provenance.ParseEnvelopes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	chain, err := provenance.ParseChain(envelopes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return chain, nil
}

func readEnvelope(path string) (*provenance.Envelope, error) {
	data, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	e, err := provenance.ParseEnvelope(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}
