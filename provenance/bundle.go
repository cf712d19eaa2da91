package provenance

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/strict"
)

// BundleType is the media type of a bundle.
const BundleType = "application/vnd.countersign.bundle.v1+json"

// Bundle is what a consumer needs beside the artifact and the pin.
type Bundle struct {
	Statement []byte // the log entry's exact bytes
	Proof     *Proof
	Enrolment *Envelope   // nil where the bundle does not carry it
	Identity  []*Envelope // versions 1 to N; empty where the bundle does not carry them
	Bridge    *Bridge     // nil where the bundle has none
}

type bundleWire struct {
	MediaType string         `json:"mediaType"`
	Statement base64Bytes    `json:"statement"`
	Proof     string         `json:"proof"`
	Enrolment *Envelope      `json:"enrolment"`
	Identity  []*Envelope    `json:"identity"`
	Bridge    jsontext.Value `json:"bridge"`
}

// ParseBundle checks the shape of the wrapper and of the proof.
func ParseBundle(data []byte) (*Bundle, error) {
	if len(data) > MaxBundle {
		return nil, fmt.Errorf("bundle: %d bytes, at most %d are allowed", len(data), MaxBundle)
	}
	var w bundleWire
	if statement, proof, ok := spelledBundle(data); ok {
		w.MediaType, w.Statement, w.Proof = BundleType, statement, proof
	} else if err := strict.JSON(data, &w); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	switch {
	case w.MediaType != BundleType:
		return nil, fmt.Errorf("bundle: mediaType is %.80q, want %q", w.MediaType, BundleType)
	case len(w.Statement) == 0 || len(w.Statement) > MaxEntry:
		return nil, fmt.Errorf("bundle: statement is missing or longer than %d bytes", MaxEntry)
	case w.Identity != nil && len(w.Identity) == 0:
		return nil, errors.New("bundle: identity is empty: leave it out")
	}
	b := &Bundle{Statement: w.Statement, Enrolment: w.Enrolment, Identity: w.Identity}
	var err error
	if b.Proof, err = ParseProof(w.Proof); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if w.Bridge != nil {
		if b.Bridge, err = ParseBridge(w.Bridge); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	for _, e := range append([]*Envelope{w.Enrolment}, w.Identity...) {
		if e == nil {
			continue
		}
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	return b, nil
}

// JSON is the compact wire form.
func (b *Bundle) JSON() []byte {
	var enrolment, identity []byte
	if b.Enrolment != nil {
		enrolment = b.Enrolment.JSON()
	}
	if len(b.Identity) > 0 {
		identity = EncodeEnvelopes(b.Identity)
	}
	return b.AppendJSON(nil, enrolment, identity)
}

// AppendJSON writes the wire form with the enrolment and identity already encoded (see Envelope.JSON and
// EncodeEnvelopes), each nil to leave it out: a registry encodes them once for many bundles.
func (b *Bundle) AppendJSON(out, enrolment, identity []byte) []byte {
	out = append(out, `{"mediaType":"`+BundleType+`","statement":"`...)
	out = base64.StdEncoding.AppendEncode(out, b.Statement)
	out = append(out, `","proof":`...)
	out = appendString(out, b.Proof.String())
	if enrolment != nil {
		out = append(append(out, `,"enrolment":`...), enrolment...)
	}
	if identity != nil {
		out = append(append(out, `,"identity":`...), identity...)
	}
	if b.Bridge != nil {
		out = append(append(out, `,"bridge":`...), b.Bridge.JSON()...)
	}
	return append(out, '}')
}

// EncodeEnvelopes is the JSON array of the envelopes' compact forms.
func EncodeEnvelopes(envelopes []*Envelope) []byte {
	out := []byte{'['}
	for i, e := range envelopes {
		if i > 0 {
			out = append(out, ',')
		}
		out = e.appendJSON(out)
	}
	return append(out, ']')
}

// ParseEnvelopes reads a JSON array of envelopes, as an identity is published.
func ParseEnvelopes(data []byte) ([]*Envelope, error) {
	var list []*Envelope
	if err := strict.JSON(data, &list); err != nil {
		return nil, fmt.Errorf("envelopes: %w", err)
	}
	for _, e := range list {
		if err := e.check(); err != nil {
			return nil, err
		}
	}
	return list, nil
}
