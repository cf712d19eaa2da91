package provenance

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"countersign.dev/strict"
)

// Envelope is a DSSE envelope (secure-systems-lab/dsse, protocol 1.0.0), held to one spelling: the three members, at
// least one signature, canonical base64, key ids that are fingerprints. The payload is never re-serialised.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     base64Bytes `json:"payload"`
	Signatures  []Signature `json:"signatures"`
}

// Signature is one Ed25519 signature over the envelope's PAE.
type Signature struct {
	KeyID string      `json:"keyid"` // fingerprint of the key
	Sig   base64Bytes `json:"sig"`   // 64 bytes
}

// ParseEnvelope decodes strictly and checks the shape; it verifies no signature.
func ParseEnvelope(data []byte) (*Envelope, error) {
	e := new(Envelope)
	if err := strict.JSON(data, e); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return e, e.check()
}

func (e *Envelope) check() error {
	if e.PayloadType == "" || len(e.Payload) == 0 || len(e.Signatures) == 0 {
		return errors.New("envelope: payloadType, payload and signatures must all be there")
	}
	if len(e.Signatures) > maxSignatures {
		return fmt.Errorf("envelope: more than %d signatures", maxSignatures)
	}
	for i, s := range e.Signatures {
		if err := checkDigest("envelope: keyid", s.KeyID); err != nil {
			return err
		}
		if len(s.Sig) != ed25519.SignatureSize {
			return fmt.Errorf("envelope: signature has %d bytes, want %d", len(s.Sig), ed25519.SignatureSize)
		}
		for _, earlier := range e.Signatures[:i] {
			if earlier.KeyID == s.KeyID {
				return fmt.Errorf("envelope: two signatures by %s", s.KeyID)
			}
		}
	}
	return nil
}

// open compares the payload type and bounds the payload before anything parses it.
func (e *Envelope) open(payloadType string, limit int) error {
	if e == nil {
		return errors.New("envelope: absent")
	}
	if err := e.check(); err != nil {
		return err
	}
	if e.PayloadType != payloadType {
		return fmt.Errorf("envelope: payloadType is %.80q, want %q", e.PayloadType, payloadType)
	}
	if len(e.Payload) > limit {
		return fmt.Errorf("envelope: payload has %d bytes, at most %d are allowed", len(e.Payload), limit)
	}
	return nil
}

// single gives the only signature of an envelope that must have exactly one.
func (e *Envelope) single() (Signature, error) {
	if len(e.Signatures) != 1 {
		return Signature{}, fmt.Errorf("envelope: %d signatures, want exactly one", len(e.Signatures))
	}
	return e.Signatures[0], nil
}

// PAE is the pre-authentication encoding: the bytes that are signed.
func (e *Envelope) PAE() []byte {
	b := make([]byte, 0, len(e.Payload)+len(e.PayloadType)+32)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(e.PayloadType)), 10)
	b = append(append(append(b, ' '), e.PayloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(e.Payload)), 10)
	return append(append(b, ' '), e.Payload...)
}

// PayloadDigest is how other documents refer to this one.
func (e *Envelope) PayloadDigest() string { return digest(e.Payload) }

// SignedBy reports whether the envelope carries key's valid signature.
func (e *Envelope) SignedBy(key PublicKey) bool {
	id := key.Fingerprint()
	for _, s := range e.Signatures {
		if s.KeyID == id {
			return key.Verify(e.PAE(), s.Sig)
		}
	}
	return false
}

// JSON is the compact wire form, always the same for the same envelope.
func (e *Envelope) JSON() []byte { return e.appendJSON(nil) }

// appendJSON writes by hand what the strict decoder reads: payload types and key ids hold no character that JSON escapes.
func (e *Envelope) appendJSON(b []byte) []byte {
	b = append(b, `{"payloadType":`...)
	b = appendString(b, e.PayloadType)
	b = append(b, `,"payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.Payload)
	b = append(b, `","signatures":[`...)
	for i, s := range e.Signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"keyid":`...)
		b = appendString(b, s.KeyID)
		b = append(b, `,"sig":"`...)
		b = base64.StdEncoding.AppendEncode(b, s.Sig)
		b = append(b, `"}`...)
	}
	return append(b, `]}`...)
}

// MarshalJSON is JSON.
func (e *Envelope) MarshalJSON() ([]byte, error) { return e.JSON(), nil }

// Sign wraps payload in an envelope signed by every key. The keys are Ed25519, in files, tokens or elsewhere.
func Sign(payloadType string, payload []byte, keys ...crypto.Signer) (*Envelope, error) {
	e := &Envelope{PayloadType: payloadType, Payload: payload}
	pae := e.PAE()
	for _, key := range keys {
		pub, ok := key.Public().(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("sign: key is %T, want Ed25519", key.Public())
		}
		k, err := NewPublicKey(pub)
		if err != nil {
			return nil, err
		}
		sig, err := key.Sign(noRandomness{}, pae, crypto.Hash(0))
		if err != nil {
			return nil, fmt.Errorf("sign with %s: %w", k.Fingerprint(), err)
		}
		if !k.Verify(pae, sig) {
			return nil, fmt.Errorf("sign with %s: the signature does not verify; do not use this key or device", k.Fingerprint())
		}
		e.Signatures = append(e.Signatures, Signature{k.Fingerprint(), sig})
	}
	return e, e.check()
}

// noRandomness fails when read: Ed25519 signatures are deterministic.
type noRandomness struct{}

func (noRandomness) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
