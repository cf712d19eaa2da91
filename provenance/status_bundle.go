package provenance

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/strict"
)

// StatusBundleType is the media type of a status as it is served.
const StatusBundleType = "application/vnd.countersign.status.v1+json"

// MaxStatusBundle is the most bytes that a status has with all that proves it.
const MaxStatusBundle = 96 << 20

// StatusBundle is a status document and what proves that the registry committed to it.
type StatusBundle struct {
	Statement []byte // the exact bytes of the log entry, a StatusStatement's
	Proof     *Proof
	Document  []byte      // a StatusDocument's JSON
	Identity  []*Envelope // versions 1 to N; empty where the bundle does not carry them
	Bridge    *Bridge     // nil where the bundle has none
}

type statusBundleWire struct {
	MediaType string         `json:"mediaType"`
	Statement base64Bytes    `json:"statement"`
	Proof     string         `json:"proof"`
	Document  base64Bytes    `json:"document"`
	Identity  []*Envelope    `json:"identity"`
	Bridge    jsontext.Value `json:"bridge"`
}

// ParseStatusBundle checks the shape of the wrapper and of the proof.
func ParseStatusBundle(data []byte) (*StatusBundle, error) {
	if len(data) > MaxStatusBundle {
		return nil, fmt.Errorf("status: %d bytes, at most %d are allowed", len(data), MaxStatusBundle)
	}
	if beside := len(data) - longestBase64(data); beside > MaxBundle {
		return nil, fmt.Errorf("status: %d bytes beside the document, at most %d are allowed", beside, MaxBundle)
	}
	var w statusBundleWire
	if err := strict.JSON(data, &w); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	switch {
	case w.MediaType != StatusBundleType:
		return nil, fmt.Errorf("status: mediaType is %.80q, want %q", w.MediaType, StatusBundleType)
	case len(w.Statement) == 0 || len(w.Statement) > MaxEntry:
		return nil, fmt.Errorf("status: statement is missing or longer than %d bytes", MaxEntry)
	case len(w.Document) == 0 || len(w.Document) > MaxStatusDocument:
		return nil, fmt.Errorf("status: document is missing or longer than %d bytes", MaxStatusDocument)
	case w.Identity != nil && len(w.Identity) == 0:
		return nil, errors.New("status: identity is empty: leave it out")
	}
	b := &StatusBundle{Statement: w.Statement, Document: w.Document, Identity: w.Identity}
	var err error
	if b.Proof, err = ParseProof(w.Proof); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	if w.Bridge != nil {
		if b.Bridge, err = ParseBridge(w.Bridge); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
	}
	for _, e := range w.Identity {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
	}
	return b, nil
}

// longestBase64 is the length of the longest run of base64 characters: in a status that is large, its document. All else
// is small, or a mirror's list of thirty million empty envelopes, which would be fifty times as large once it is read.
func longestBase64(data []byte) (longest int) {
	run := 0
	for _, c := range data {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '/' <= c && c <= '9', c == '+', c == '=':
			run++
			longest = max(longest, run)
		default:
			run = 0
		}
	}
	return longest
}

// JSON is the compact wire form.
func (b *StatusBundle) JSON() []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(b.Document))+8<<10)
	out = append(out, `{"mediaType":"`+StatusBundleType+`","statement":"`...)
	out = base64.StdEncoding.AppendEncode(out, b.Statement)
	out = append(out, `","proof":`...)
	out = appendString(out, b.Proof.String())
	out = append(out, `,"document":"`...)
	out = append(base64.StdEncoding.AppendEncode(out, b.Document), '"')
	if len(b.Identity) > 0 {
		out = append(append(out, `,"identity":`...), EncodeEnvelopes(b.Identity)...)
	}
	if b.Bridge != nil {
		out = append(append(out, `,"bridge":`...), b.Bridge.JSON()...)
	}
	return append(out, '}')
}
