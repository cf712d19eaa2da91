package agent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
	"golang.org/x/mod/sumdb/note"
)

// spkiPrefix is the DER of SubjectPublicKeyInfo{id-Ed25519} up to the 32 key bytes (RFC 8410, section 4). There is one
// encoding, so comparing bytes is a complete parser.
var spkiPrefix = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}

// Log is what an agent knows of a log: who may sign its heads, and how many of them a head needs.
type Log struct {
	Origin    string
	Keys      []ed25519.PublicKey // the keys not ended, the agent's own among them
	Threshold int
}

// ParsePublicKey reads the base64 SubjectPublicKeyInfo of an Ed25519 key.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	der := make([]byte, len(spkiPrefix)+ed25519.PublicKeySize)
	if err := decode64(der, []byte(text)); err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	raw, ok := bytes.CutPrefix(der, spkiPrefix)
	if !ok {
		return nil, errors.New("public key is not the SubjectPublicKeyInfo of an Ed25519 key")
	}
	return raw, checkKey(raw)
}

func spki(key ed25519.PublicKey) string {
	return base64.StdEncoding.EncodeToString(append(bytes.Clone(spkiPrefix), key...))
}

// checkKey refuses second encodings of a point, and points of small order, under which anyone can sign.
func checkKey(key ed25519.PublicKey) error {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil || !bytes.Equal(p.Bytes(), key) {
		return errors.New("public key is not the canonical encoding of an Ed25519 point")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("public key is a point of small order")
	}
	return nil
}

// Check says whether own can guard this log: it is one of the log's keys, and nothing about the log is ambiguous.
func (l Log) Check(own ed25519.PublicKey) error {
	if _, err := l.verifiers(); err != nil {
		return err
	}
	for _, key := range l.Keys {
		if own.Equal(key) {
			return nil
		}
	}
	return fmt.Errorf("log %s: the signer's key is not one of the log's", l.Origin)
}

// verifiers checks the log and returns a note verifier for each of its keys, in their order.
func (l Log) verifiers() ([]note.Verifier, error) {
	if err := checkOrigin(l.Origin); err != nil {
		return nil, err
	}
	if l.Threshold < 1 || l.Threshold > len(l.Keys) {
		return nil, fmt.Errorf("log %s: threshold %d of %d keys", l.Origin, l.Threshold, len(l.Keys))
	}
	var verifiers []note.Verifier
	seen := map[uint32]bool{}
	for i, key := range l.Keys {
		v, err := verifier(l.Origin, key)
		if err != nil {
			return nil, fmt.Errorf("log %s: key %d: %w", l.Origin, i+1, err)
		}
		if seen[v.KeyHash()] {
			return nil, fmt.Errorf("log %s: key %d: its note key id %08x is an earlier key's", l.Origin, i+1, v.KeyHash())
		}
		seen[v.KeyHash()] = true
		verifiers = append(verifiers, v)
	}
	return verifiers, nil
}

func verifier(origin string, key ed25519.PublicKey) (note.Verifier, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	vkey, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(vkey)
}

// open returns the head of a checkpoint that at least threshold distinct keys of the log signed.
//
// Lines by other names (witnesses) are ignored. So is a line under the log's name by a key that is not listed: it may
// be of an ended key, which an agent does not know and never counts.
func (l Log) open(checkpoint []byte, known note.Verifiers) (Head, error) {
	n, err := note.Open(checkpoint, known)
	if err != nil {
		return Head{}, err
	}
	head, err := parseText(n.Text, l.Origin)
	if err != nil {
		return Head{}, err
	}
	// note.Open drops repeated lines without a word, and does not verify what it drops.
	lines := strings.Count(string(checkpoint[len(n.Text):]), "\n") - 1
	if lines != len(n.Sigs)+len(n.UnverifiedSigs) {
		return Head{}, errors.New("checkpoint repeats a signature")
	}
	for _, sig := range n.Sigs {
		if err := decode64(make([]byte, 4+ed25519.SignatureSize), []byte(sig.Base64)); err != nil {
			return Head{}, fmt.Errorf("checkpoint signature: %w", err)
		}
	}
	if len(n.Sigs) < l.Threshold {
		return Head{}, fmt.Errorf("checkpoint has %d of the %d signatures it needs", len(n.Sigs), l.Threshold)
	}
	return head, nil
}
