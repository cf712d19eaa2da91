package provenance

import (
	"crypto/sha256"
	"errors"
	"time"
)

// maxStatusLead is how far a status may be ahead of the consumer's clock where its age matters.
const maxStatusLead = 5 * time.Minute

// Status is a verified status of a registry. What it does not list is not withdrawn or ended as of Size entries of the
// log, if the registry is honest: whoever reads the log can see whether it is.
type Status struct {
	Registry string
	Identity string // fingerprint
	Origin   string
	Index    uint64 // of the entry that commits to it
	Size     uint64 // of the log of that name that it covers
	At       time.Time
	Document *StatusDocument

	chain   *Chain // under which it was verified
	head    *Checkpoint
	bridges []*Bridge
}

// Status verifies a status: the bytes of a StatusBundle, for the registry and identity of a pin. The chain is the
// consumer's own, nil if it keeps none; bridges are those at hand besides the bundle's.
func (v *Verifier) Status(data []byte, pin *Pin, chain *Chain, bridges []*Bridge) (*Status, error) {
	if pin == nil {
		return nil, errors.New("pin is missing: without one, nobody's word counts")
	}
	b, err := ParseStatusBundle(data)
	if err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	s := &Status{Registry: pin.Registry, Identity: pin.Identity, Index: b.Proof.Index, bridges: bridges}
	if b.Bridge != nil {
		s.bridges = append([]*Bridge{b.Bridge}, bridges...)
	}
	if s.chain, err = v.chain(pin, b.Identity, chain); err != nil {
		return nil, err
	}
	if s.head, err = v.checkpoint(b.Proof.Checkpoint); err != nil {
		return nil, err
	}
	if s.chain.Last().Log(s.head.Origin) == nil {
		return nil, refuse(LogUnknown, "log %s is not in version %d of the identity", s.head.Origin, s.chain.Last().Version)
	}
	digest, err := s.read(b.Statement)
	if err != nil {
		return nil, err
	}
	if !b.Proof.includes(b.Statement, s.head.Head) {
		return nil, refuse(InclusionProofInvalid, "the status is not entry %d of the tree of size %d", s.Index, s.head.Size)
	}
	if err := s.stands(v, s.chain.Last()); err != nil {
		return nil, err
	}
	if sha256.Sum256(b.Document) != digest {
		return nil, refuse(ArtifactDigestMismatch, "the status document is not the one that the registry committed to")
	}
	if err := s.open(b.Document); err != nil {
		return nil, err
	}
	return s, nil
}

// read takes over what the statement says, and gives the digest of the document.
func (s *Status) read(statement []byte) (document [32]byte, err error) {
	entry, err := ParseEntry(statement)
	if err != nil {
		return document, asRefusal(err)
	}
	st, ok := entry.(*StatusStatement)
	switch {
	case !ok:
		return document, refuse(Malformed, "the entry is no status")
	case st.Registry != s.Registry:
		return document, refuse(StatementMismatch, "the status is of registry %s, pinned is %s", st.Registry, s.Registry)
	case st.Identity != s.Identity:
		return document, refuse(StatementMismatch, "the status names identity %s, pinned is %s", st.Identity, s.Identity)
	case st.Origin != s.head.Origin:
		return document, refuse(StatementMismatch, "the status is for log %s, the proof of log %s", st.Origin, s.head.Origin)
	case st.Size > s.Index:
		return document, refuse(StatementMismatch, "the status is entry %d and claims to cover %d", s.Index, st.Size)
	}
	s.Origin, s.Size, s.At = st.Origin, st.Size, st.At
	return st.Document, nil
}

// stands judges the entry by a version of the identity: its head counts, it is not excluded, and it was made in time.
func (s *Status) stands(v *Verifier, id *Identity) error {
	if err := v.counts(id.Log(s.Origin), s.head, s.bridges); err != nil {
		return err
	}
	if reason := id.Excludes(s.Origin, s.Index, ""); reason != "" {
		return refuse(Excluded, "entry %d, a status: %s", s.Index, reason)
	}
	if !s.At.Before(id.Expires) {
		return refuse(IdentityExpired, "the status was made at %s, the identity expired at %s", At(s.At), At(id.Expires))
	}
	return nil
}

// open reads the document, which the registry has committed to, and holds it to the statement and the identity.
func (s *Status) open(document []byte) error {
	d, err := ParseStatusDocument(document)
	if err != nil {
		return refuse(Malformed, "%v", err)
	}
	if d.Registry != s.Registry {
		return refuse(StatementMismatch, "the status document is of registry %s, the status of %s", d.Registry, s.Registry)
	}
	covered, ok := d.log(s.Origin)
	if !ok || covered.Size != s.Size {
		return refuse(StatementMismatch, "the status document covers %d entries of %s, the status %d", covered.Size, s.Origin, s.Size)
	}
	s.Document = d
	return s.coversLogs()
}

// coversLogs: the other logs that the document covers are the identity's closed ones, whole, and none from before the
// status's own is left out. A closed log of a higher number may be younger than the status.
func (s *Status) coversLogs() error {
	id := s.chain.Last()
	for _, l := range s.Document.Logs {
		switch known := id.Log(l.Origin); {
		case known == nil:
			return refuse(LogUnknown, "log %s of the status document is not in version %d of the identity", l.Origin, id.Version)
		case l.Origin == s.Origin:
		case known.Closed == nil || known.Closed.Size != l.Size:
			return refuse(StatementMismatch, "the status document covers %d entries of %s, where the identity does not close it", l.Size, l.Origin)
		}
	}
	for _, known := range id.Logs {
		if _, ok := s.Document.log(known.Origin); !ok && logNumber(known.Origin) < logNumber(s.Origin) {
			return refuse(StatementMismatch, "the status document leaves out log %s", known.Origin)
		}
	}
	return nil
}

// Withdrawn finds a canonical purl among the withdrawn ones.
func (s *Status) Withdrawn(purl string) (WithdrawnCoordinate, bool) {
	i, ok := s.Document.withdrawn[purl]
	if !ok {
		return WithdrawnCoordinate{}, false
	}
	return s.Document.Withdrawals[i], true
}

// Ended finds a certificate among the ended ones, by the digest of its payload.
func (s *Status) Ended(enrolment string) (EndedEnrolment, bool) {
	i, ok := s.Document.ended[enrolment]
	if !ok {
		return EndedEnrolment{}, false
	}
	return s.Document.Ended[i], true
}

// Supersedes reports whether s covers more of the registry's logs than t does: of two the one to keep.
func (s *Status) Supersedes(t *Status) bool {
	if s.Origin == t.Origin {
		return s.Size > t.Size
	}
	return logNumber(s.Origin) > logNumber(t.Origin)
}

// logNumber is the last part of an origin that was parsed.
func logNumber(origin string) uint64 {
	_, n, err := ParseOrigin(origin)
	if err != nil {
		panic("provenance: an origin that was not parsed: " + err.Error())
	}
	return n
}

// knownChain is the one under which the status was verified; nil without a status.
func (s *Status) knownChain() *Chain {
	if s == nil {
		return nil
	}
	return s.chain
}

// status is step 7. What a status lists is refused before its age is asked: it was withdrawn, whatever came since.
func (v *verification) status() error {
	s, limit := v.Status, v.pinned.StatusMaxAge
	if s == nil {
		if limit > 0 {
			return unchecked("a status of %s, not older than %s: take it from the registry", v.pinned.Registry, limit)
		}
		return nil
	}
	if v.chain != s.chain { // which may be longer, and no longer stand by the status
		if err := s.stands(v.verifier, v.identity); err != nil {
			return err
		}
	}
	if w, ok := s.Withdrawn(v.result.Purl); ok {
		return refuse(Withdrawn, "%s was withdrawn at %s: %s", w.Purl, w.WithdrawnAt, w.Reason)
	}
	if err := v.enrolmentEnd(s); err != nil {
		return err
	}
	switch age := v.Now.Sub(s.At); {
	case limit == 0:
	case age > limit:
		return refuse(StatusTooOld, "the status of %s is of %s, the pin allows %s", s.Registry, At(s.At), limit)
	case age < -maxStatusLead:
		return refuse(StatusTooOld, "the status of %s is of %s, which is yet to come", s.Registry, At(s.At))
	}
	return nil
}

// enrolmentEnd refuses a statement from after the end of the enrolment that it names: by its place in the logs, which the
// registry cannot choose afterwards, or by its own time.
func (v *verification) enrolmentEnd(s *Status) error {
	if v.counter == nil {
		return nil
	}
	e, ok := s.Ended(v.counter.Enrolment)
	if !ok {
		return nil
	}
	here, there := logNumber(v.claim.Origin), logNumber(e.Origin)
	if here > there || here == there && v.result.Index > e.Index || !v.claim.At.Before(e.Ended.Time) {
		return refuse(EnrolmentEnded, "enrolment %s ended at %s by entry %d of %s: %s", e.Enrolment, e.Ended, e.Index, e.Origin, e.Reason)
	}
	v.result.PublisherEnded = e.Ended.Time
	return nil
}
