package provenance

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"countersign.dev/strict"
)

const (
	enrolmentPayload    = "application/vnd.countersign.enrolment.v1+json"
	enrolmentEndPayload = "application/vnd.countersign.enrolment-end.v1+json"
)

// Enrolment says that a publisher key may sign for namespaces of a registry. An enrolment key signs it, which is not on
// the appliance, so the appliance cannot invent publishers.
type Enrolment struct {
	Envelope   *Envelope
	Registry   string
	Publisher  PublicKey
	Namespaces []Namespace
	Issued     time.Time
	NotAfter   time.Time // zero: no end
}

type enrolmentWire struct {
	Registry   string    `json:"registry"`
	Publisher  PublicKey `json:"publisher"`
	Namespaces []string  `json:"namespaces"`
	Issued     Time      `json:"issued"`
	NotAfter   Time      `json:"notAfter,omitzero"`
}

// ParseEnrolment checks the certificate but not its signature: see Identity.Enrols.
func ParseEnrolment(e *Envelope) (*Enrolment, error) {
	var w enrolmentWire
	if err := openSigned(e, enrolmentPayload, &w); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	n := &Enrolment{Envelope: e, Registry: w.Registry, Publisher: w.Publisher, Issued: w.Issued.Time, NotAfter: w.NotAfter.Time}
	var err error
	if n.Namespaces, err = parseNamespaces(w.Namespaces); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	if err := CheckRegistry(n.Registry); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	switch {
	case n.Publisher == PublicKey{}:
		return nil, errors.New("enrolment: publisher is missing")
	case n.Issued.IsZero():
		return nil, errors.New("enrolment: issued is missing")
	case !n.NotAfter.IsZero() && !n.NotAfter.After(n.Issued):
		return nil, errors.New("enrolment: notAfter is not after issued")
	}
	if err := whole(e.Payload, w); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	return n, nil
}

// Sign makes the certificate; Envelope is ignored.
func (n Enrolment) Sign(key crypto.Signer) (*Enrolment, error) {
	w := enrolmentWire{Registry: n.Registry, Publisher: n.Publisher, Issued: At(n.Issued)}
	for _, ns := range n.Namespaces {
		w.Namespaces = append(w.Namespaces, ns.String())
	}
	if !n.NotAfter.IsZero() {
		w.NotAfter = At(n.NotAfter)
	}
	e, err := signed(enrolmentPayload, w, key)
	if err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	return ParseEnrolment(e)
}

// Digest is how statements refer to the certificate: by its payload, so that a new enrolment key can sign it again.
func (n *Enrolment) Digest() string { return n.Envelope.PayloadDigest() }

// CoversAt reports whether the certificate lets its publisher sign c at t.
func (n *Enrolment) CoversAt(c Coordinate, t time.Time) bool {
	if t.Before(n.Issued) || !n.NotAfter.IsZero() && !t.Before(n.NotAfter) {
		return false
	}
	_, ok := Longest(n.Namespaces, c)
	return ok
}

// EnrolmentEnd stops new countersignatures under a certificate. Past ones stay: see Identity's exclusions.
type EnrolmentEnd struct {
	Envelope  *Envelope
	Registry  string
	Enrolment string // "sha256:" of the certificate's payload
	Reason    string
	Ended     time.Time
}

type enrolmentEndWire struct {
	Registry  string `json:"registry"`
	Enrolment string `json:"enrolment"`
	Reason    string `json:"reason"`
	Ended     Time   `json:"ended"`
}

// ParseEnrolmentEnd checks the document but not its signature: see Identity.Enrols.
func ParseEnrolmentEnd(e *Envelope) (*EnrolmentEnd, error) {
	var w enrolmentEndWire
	if err := openSigned(e, enrolmentEndPayload, &w); err != nil {
		return nil, fmt.Errorf("enrolment end: %w", err)
	}
	if err := CheckRegistry(w.Registry); err != nil {
		return nil, fmt.Errorf("enrolment end: %w", err)
	}
	if err := checkDigest("enrolment end: enrolment", w.Enrolment); err != nil {
		return nil, err
	}
	if err := checkReason(w.Reason); err != nil {
		return nil, fmt.Errorf("enrolment end: %w", err)
	}
	if w.Ended.IsZero() {
		return nil, errors.New("enrolment end: ended is missing")
	}
	return &EnrolmentEnd{e, w.Registry, w.Enrolment, w.Reason, w.Ended.Time}, nil
}

// Sign makes the document; Envelope is ignored.
func (n EnrolmentEnd) Sign(key crypto.Signer) (*EnrolmentEnd, error) {
	e, err := signed(enrolmentEndPayload, enrolmentEndWire{n.Registry, n.Enrolment, n.Reason, At(n.Ended)}, key)
	if err != nil {
		return nil, fmt.Errorf("enrolment end: %w", err)
	}
	return ParseEnrolmentEnd(e)
}

// openSigned decodes the payload of an envelope that an enrolment key signs.
func openSigned(e *Envelope, payloadType string, v any) error {
	if err := e.open(payloadType, MaxEnrolment); err != nil {
		return err
	}
	if _, err := e.single(); err != nil {
		return err
	}
	return strict.JSON(e.Payload, v)
}

func signed(payloadType string, v any, key crypto.Signer) (*Envelope, error) {
	payload, err := encode(v)
	if err != nil {
		return nil, err
	}
	return Sign(payloadType, payload, key)
}

func checkReason(s string) error {
	if s == "" || len(s) > maxReason {
		return fmt.Errorf("reason is missing or longer than %d bytes", maxReason)
	}
	return nil
}

// parseNamespaces reads the list of an identity or enrolment: 1 to MaxNamespaces patterns, none twice.
func parseNamespaces(list []string) ([]Namespace, error) {
	if len(list) == 0 || len(list) > MaxNamespaces {
		return nil, fmt.Errorf("%d namespaces, want 1 to %d", len(list), MaxNamespaces)
	}
	out := make([]Namespace, len(list))
	seen := make(map[string]bool)
	for i, s := range list {
		ns, err := ParseNamespace(s)
		if err != nil {
			return nil, err
		}
		if seen[ns.String()] {
			return nil, fmt.Errorf("namespace %s occurs twice", ns)
		}
		seen[ns.String()], out[i] = true, ns
	}
	return out, nil
}
