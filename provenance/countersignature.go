package provenance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	countersignatureType  = "https://countersign.dev/countersignature/v1"
	registryStatementType = "https://countersign.dev/registry-statement/v1"
	withdrawalType        = "https://countersign.dev/withdrawal/v1"
)

// Claim is what every statement of a registry says: who speaks, in which log, about which coordinate, when.
type Claim struct {
	Registry   string
	Origin     string // the log that holds the entry
	Identity   string // fingerprint of the registry's identity
	Coordinate Coordinate
	At         time.Time // countersignedAt or withdrawnAt: the appliance's word
}

// Countersignature is the registry's statement about a file whose publication it verified. It carries the publisher's
// signature, and that makes it a countersignature.
type Countersignature struct {
	Claim
	Publication *Publication
	Enrolment   string // "sha256:" of the payload of the certificate that covered the publisher
}

type countersignaturePredicate struct {
	Registry        string    `json:"registry"`
	Origin          string    `json:"origin"`
	Identity        string    `json:"identity"`
	Purl            string    `json:"purl"`
	Publication     *Envelope `json:"publication"`
	Enrolment       string    `json:"enrolment"`
	CountersignedAt Time      `json:"countersignedAt"`
}

// Statement gives the exact bytes of the log entry. It is written by hand, as the JSON library would: every item of a
// registry passes through here.
func (c *Countersignature) Statement() ([]byte, error) {
	subject := c.Publication.Subject
	b := make([]byte, 0, 2*len(c.Publication.Envelope.Payload)+1536)
	b = append(b, `{"_type":"`+statementType+`","subject":[{"name":`...)
	b = appendString(b, subject.Name)
	b = append(b, `,"digest":{`...)
	for i, name := range slices.Sorted(maps.Keys(subject.Digest)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = appendString(b, subject.Digest[name])
	}
	b = append(b, `}}],"predicateType":"`+countersignatureType+`","predicate":{"registry":`...)
	b = appendString(b, c.Registry)
	for _, member := range [][2]string{{`,"origin":`, c.Origin}, {`,"identity":`, c.Identity}, {`,"purl":`, c.Coordinate.String()}} {
		b = appendString(append(b, member[0]...), member[1])
	}
	b = c.Publication.Envelope.appendJSON(append(b, `,"publication":`...))
	b = appendString(append(b, `,"enrolment":`...), c.Enrolment)
	b = appendString(append(b, `,"countersignedAt":`...), At(c.At).String())
	return entryBytes(append(b, `}}`...), nil)
}

func parseCountersignature(data []byte) (*Countersignature, error) {
	subject, w, err := decodeStatement[countersignaturePredicate](data, countersignatureType)
	if err != nil {
		return nil, err
	}
	return newCountersignature(subject, w)
}

func newCountersignature(subject Subject, w countersignaturePredicate) (c *Countersignature, err error) {
	c = &Countersignature{Enrolment: w.Enrolment}
	if c.Claim, err = parseClaim(w.Registry, w.Origin, w.Identity, w.Purl, w.CountersignedAt); err != nil {
		return nil, err
	}
	if err := checkDigest("enrolment", w.Enrolment); err != nil {
		return nil, err
	}
	if c.Publication, err = ParsePublication(w.Publication); err != nil {
		return nil, err
	}
	if err := subject.check(c.Coordinate); err != nil {
		return nil, err
	}
	return c, c.agrees(subject)
}

// agrees holds the registry's words to the publisher's.
func (c *Countersignature) agrees(subject Subject) error {
	p := c.Publication
	switch {
	case p.Coordinate != c.Coordinate:
		return refuse(PurlMismatch, "the publisher signed %s, the registry states %s", p.Coordinate, c.Coordinate)
	case p.Registry != c.Registry:
		return refuse(StatementMismatch, "the publisher signed for registry %s, the statement is of %s", p.Registry, c.Registry)
	case !p.Subject.equal(subject):
		return refuse(StatementMismatch, "the publication and the statement have different subjects")
	}
	return nil
}

// RegistryStatement is a registry's word about a file without a publisher's signature.
type RegistryStatement struct {
	Claim
	Subject  Subject
	Reason   string // backfill or ingest
	Evidence []Evidence
}

// Evidence refers to a document by its digest.
type Evidence struct {
	Type   string `json:"type"`
	Digest string `json:"digest"`
}

type registryStatementPredicate struct {
	Registry        string     `json:"registry"`
	Origin          string     `json:"origin"`
	Identity        string     `json:"identity"`
	Purl            string     `json:"purl"`
	Reason          string     `json:"reason"`
	Evidence        []Evidence `json:"evidence"`
	CountersignedAt Time       `json:"countersignedAt"`
}

// Statement gives the exact bytes of the log entry.
func (r *RegistryStatement) Statement() ([]byte, error) {
	return entryBytes(encodeStatement(r.Subject, registryStatementType, registryStatementPredicate{
		r.Registry, r.Origin, r.Identity, r.Coordinate.String(), r.Reason, r.Evidence, At(r.At)}))
}

// Check holds a statement that is about to be made to the rules of one that is read.
func (r *RegistryStatement) Check() error {
	if err := r.Subject.check(r.Coordinate); err != nil {
		return err
	}
	if r.Reason != "backfill" && r.Reason != "ingest" {
		return fmt.Errorf(`reason %.40q is not "backfill" or "ingest"`, r.Reason)
	}
	if r.Evidence == nil || len(r.Evidence) > MaxDigests {
		return fmt.Errorf("evidence is missing or has more than %d parts", MaxDigests)
	}
	for _, e := range r.Evidence {
		if e.Type == "" || len(e.Type) > 256 {
			return errors.New("evidence: type is missing or longer than 256 bytes")
		}
		if err := checkDigest("evidence: digest", e.Digest); err != nil {
			return err
		}
	}
	return nil
}

func parseRegistryStatement(data []byte) (*RegistryStatement, error) {
	subject, w, err := decodeStatement[registryStatementPredicate](data, registryStatementType)
	if err != nil {
		return nil, err
	}
	r := &RegistryStatement{Subject: subject, Reason: w.Reason, Evidence: w.Evidence}
	if r.Claim, err = parseClaim(w.Registry, w.Origin, w.Identity, w.Purl, w.CountersignedAt); err != nil {
		return nil, err
	}
	return r, r.Check()
}

// Withdrawal ends a coordinate for good; its digests stay bound.
type Withdrawal struct {
	Claim
	Subject Subject
	Reason  string
}

type withdrawalPredicate struct {
	Registry    string `json:"registry"`
	Origin      string `json:"origin"`
	Identity    string `json:"identity"`
	Purl        string `json:"purl"`
	Reason      string `json:"reason"`
	WithdrawnAt Time   `json:"withdrawnAt"`
}

// Statement gives the exact bytes of the log entry.
func (w *Withdrawal) Statement() ([]byte, error) {
	return entryBytes(encodeStatement(w.Subject, withdrawalType, withdrawalPredicate{
		w.Registry, w.Origin, w.Identity, w.Coordinate.String(), w.Reason, At(w.At)}))
}

func parseWithdrawal(data []byte) (*Withdrawal, error) {
	subject, p, err := decodeStatement[withdrawalPredicate](data, withdrawalType)
	if err != nil {
		return nil, err
	}
	w := &Withdrawal{Subject: subject, Reason: p.Reason}
	if w.Claim, err = parseClaim(p.Registry, p.Origin, p.Identity, p.Purl, p.WithdrawnAt); err != nil {
		return nil, err
	}
	if err := checkReason(w.Reason); err != nil {
		return nil, err
	}
	return w, w.Subject.check(w.Coordinate)
}

func parseClaim(registry, origin, identity, purl string, at Time) (Claim, error) {
	c := Claim{Registry: registry, Origin: origin, Identity: identity, At: at.Time}
	err := checkSpeaker(registry, origin, identity, at)
	if err == nil {
		c.Coordinate, err = ParseCoordinate(purl)
	}
	return c, err
}

// checkSpeaker checks what every statement of a registry says of itself.
func checkSpeaker(registry, origin, identity string, at Time) error {
	if err := CheckRegistry(registry); err != nil {
		return err
	}
	if err := checkDigest("identity", identity); err != nil {
		return err
	}
	if at.IsZero() {
		return errors.New("time is missing")
	}
	of, _, err := ParseOrigin(origin)
	if err != nil {
		return err
	}
	if of != registry {
		return refuse(StatementMismatch, "origin %s is not a log of %s", origin, registry)
	}
	return nil
}

func entryBytes(data []byte, err error) ([]byte, error) {
	if err == nil && len(data) > MaxEntry {
		return nil, fmt.Errorf("log entry has %d bytes, at most %d are allowed", len(data), MaxEntry)
	}
	return data, err
}
