package signer

import (
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// Observed is what the registry's back end computed from the file it stored.
type Observed struct {
	Digests provenance.Digests
	Size    uint64 // bytes
}

// countersigning is the work of countersigning a publication whose signature verified.
type countersigning struct {
	publication *provenance.Publication
	maxAge      time.Duration
	enrolment   *enrolment // that the entry was made under
}

// clockSkew is how far in the future a publisher's clock may be.
const clockSkew = 5 * time.Minute

func (w *countersigning) key() [sha256.Size]byte { return coordinateKey(w.publication.Coordinate) }

// settle: the same publication by the same key again is the same countersignature (invariant 4). Other entries under the
// coordinate bind its content even where the identity no longer counts them.
func (w *countersigning) settle(s *state, list []found) (int, *Problem) {
	p := w.publication
	if problem := bound(list, p.Subject.Digest); problem != nil {
		return -1, problem
	}
	answer := -1
	for i, f := range list {
		c, ok := f.entry.(*provenance.Countersignature)
		if !ok || !counts(s, f, c.Publication.Publisher()) {
			continue
		}
		if c.Publication.Publisher() != p.Publisher() || c.Publication.Envelope.PayloadDigest() != p.Envelope.PayloadDigest() {
			problem := newProblem(PublicationConflict, fmt.Sprintf("%s was countersigned with the same content under another publication: "+
				"fetch its bundle instead of signing again", p.Coordinate))
			problem.Existing = c.Publication.Envelope.PayloadDigest()
			return -1, problem
		}
		answer = i
	}
	return answer, nil
}

func (w *countersigning) entry(s *state, at time.Time) (ledger.Entry, *Problem) {
	c := w.publication.Coordinate
	w.enrolment = s.choose(w.publication.Publisher(), c, at)
	switch age := at.Sub(w.publication.SignedAt); {
	case w.enrolment == nil:
		return ledger.Entry{}, newProblem(PublisherNotEnrolled, fmt.Sprintf("publisher %s has no enrolment that covers %s now",
			w.publication.Publisher(), c))
	case age > w.maxAge:
		return ledger.Entry{}, newProblem(PublicationTooOld, fmt.Sprintf("signed %s ago, at most %s is accepted: sign again", age.Round(time.Second), w.maxAge))
	case age < -clockSkew:
		return ledger.Entry{}, newProblem(PublicationTooOld, fmt.Sprintf("signed %s in the future: check the publisher's clock", (-age).Round(time.Second)))
	}
	if problem := speaksFor(s.identity(), w.publication.Publisher(), c, at); problem != nil {
		return ledger.Entry{}, problem
	}
	data, err := (&provenance.Countersignature{Claim: claim(s, c, at), Publication: w.publication, Enrolment: w.enrolment.digest}).Statement()
	return coordinateEntry(c, data, err)
}

// stating is the work of a registry's own word about a file without a publisher's signature.
type stating struct {
	statement provenance.RegistryStatement // of its Claim only the Coordinate
}

func (w *stating) key() [sha256.Size]byte { return coordinateKey(w.statement.Coordinate) }

// settle: one registry statement per coordinate, whatever its evidence.
func (w *stating) settle(s *state, list []found) (int, *Problem) {
	if problem := bound(list, w.statement.Subject.Digest); problem != nil {
		return -1, problem
	}
	answer := -1
	for i, f := range list {
		if _, ok := f.entry.(*provenance.RegistryStatement); ok && counts(s, f, "") {
			answer = i
		}
	}
	return answer, nil
}

func (w *stating) entry(s *state, at time.Time) (ledger.Entry, *Problem) {
	c := w.statement.Coordinate
	if problem := speaksFor(s.identity(), "", c, at); problem != nil {
		return ledger.Entry{}, problem
	}
	statement := w.statement
	statement.Claim = claim(s, c, at)
	data, err := statement.Statement()
	return coordinateEntry(c, data, err)
}

// bound says what the entries under a coordinate forbid: any further statement after a withdrawal, else other content.
func bound(list []found, digests provenance.Digests) (conflict *Problem) {
	for _, f := range list {
		switch problem := forbids(f, digests); {
		case problem != nil && problem.code == Withdrawn:
			return problem
		case conflict == nil:
			conflict = problem
		}
	}
	return conflict
}

func forbids(f found, digests provenance.Digests) *Problem {
	var subject provenance.Subject
	switch e := f.entry.(type) {
	case *provenance.Withdrawal:
		return isWithdrawn(e)
	case *provenance.Countersignature:
		subject = e.Publication.Subject
	case *provenance.RegistryStatement:
		subject = e.Subject
	}
	name := subject.Digest.Disagreement(digests)
	if name == "" {
		return nil
	}
	p := newProblem(CoordinateConflict, fmt.Sprintf("a version's content never changes: its %s is %s, sent was %s; publish a new version",
		name, subject.Digest[name], digests[name]))
	p.Existing = "sha256:" + subject.Digest["sha256"]
	return p
}

// isWithdrawn is what every question about a withdrawn coordinate is answered.
func isWithdrawn(e *provenance.Withdrawal) *Problem {
	p := newProblem(Withdrawn, fmt.Sprintf("%s was withdrawn at %s: %s", e.Coordinate, provenance.At(e.At), e.Reason))
	p.WithdrawnAt, p.Reason = provenance.At(e.At).String(), e.Reason
	return p
}

// counts reports whether a statement still counts as existing: it is not excluded, and not after its log was closed.
func counts(s *state, f found, publisher string) bool {
	return s.reaches(f.Ref) && s.identity().Excludes(f.Origin, f.Index, publisher) == ""
}

// speaksFor refuses what the identity does not let the registry state at t, on the word of a publisher or, without one,
// on its own. What it excludes for ever is refused because it would never count: every retry would log another entry.
func speaksFor(id *provenance.Identity, publisher string, c provenance.Coordinate, t time.Time) *Problem {
	if _, ok := provenance.Longest(id.Namespaces, c); !ok {
		return newProblem(NamespaceNotBound, fmt.Sprintf("the identity of %s has no namespace for %s", id.Registry, c))
	}
	if problem := speaks(id, t); problem != nil {
		return problem
	}
	if reason := id.Excludes(id.Open().Origin, math.MaxUint64, publisher); reason != "" {
		return newProblem(PublisherNotEnrolled, fmt.Sprintf("the registry's identity excludes publisher %s: %s", publisher, reason))
	}
	return nil
}

// speaks refuses to state anything under an identity that does not let the registry speak at t.
func speaks(id *provenance.Identity, t time.Time) *Problem {
	if !t.Before(id.Expires) {
		return newProblem(Frozen, fmt.Sprintf("the registry's identity expired at %s: its root must sign a new version", provenance.At(id.Expires)))
	}
	origin := id.Open().Origin
	if reason := id.Excludes(origin, math.MaxUint64, ""); reason != "" {
		return newProblem(Frozen, fmt.Sprintf("the registry's identity excludes all that log %s will hold (%s): its root must open another", origin, reason))
	}
	return nil
}

func claim(s *state, c provenance.Coordinate, at time.Time) provenance.Claim {
	id := s.identity()
	return provenance.Claim{Registry: id.Registry, Origin: id.Open().Origin, Identity: s.fingerprint, Coordinate: c, At: at}
}

func coordinateEntry(c provenance.Coordinate, data []byte, err error) (ledger.Entry, *Problem) {
	if err != nil {
		return ledger.Entry{}, newProblem(TooLarge, err.Error())
	}
	e := ledger.Entry{Data: data}
	for _, hash := range coordinateKeys(c) {
		e.Keys = append(e.Keys, ledger.Key{Hash: hash, Ordinal: ledger.Next})
	}
	return e, nil
}
