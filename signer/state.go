package signer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// state is the fold of the log's identities, enrolments, ends, withdrawals and statuses: what admission decides by. Once
// published it never changes; new entries are applied to a clone. Whoever appends says by which epoch it decided, and the
// ledger refuses an older one.
type state struct {
	epoch        uint64
	chain        *provenance.Chain // nil before the first identity
	fingerprint  string
	identityJSON []byte // the chain as bundles carry it
	publishers   map[string]*publisher
	enrolments   map[string]*enrolment // by payload digest
	shared       bool                  // the maps are an older state's too: put copies them

	// In the order of the logs, and only ever appended to: a clone goes on in the same array, of which older states see less.
	withdrawals []provenance.WithdrawnCoordinate
	ends        []provenance.EndedEnrolment
	statuses    []stated
}

// publisher is a key that was ever enrolled. Its past countersignatures are found whatever became of its enrolments.
type publisher struct {
	key        provenance.PublicKey
	enrolments []*enrolment
}

type enrolment struct {
	*provenance.Enrolment
	digest   string
	json     []byte // as bundles carry it
	enrolled bool   // signed by an enrolment key that is not ended
	ended    bool
}

func newState() *state {
	return &state{publishers: make(map[string]*publisher), enrolments: make(map[string]*enrolment)}
}

// clone is a copy to apply further entries to. A state is cloned once at most: the entries have one order.
func (s *state) clone() *state {
	next := *s
	next.shared = true
	return &next
}

// apply folds one more entry into a state that nobody reads yet.
func (s *state) apply(f found) (err error) {
	switch e := f.entry.(type) {
	case *provenance.Identity:
		err = s.applyIdentity(e)
	case *provenance.Enrolment:
		s.applyEnrolment(e)
	case *provenance.EnrolmentEnd:
		s.applyEnd(f.Ref, e)
	case *provenance.Withdrawal:
		s.withdrawals = append(s.withdrawals, provenance.WithdrawnCoordinate{Purl: e.Coordinate.String(), Origin: f.Origin, Index: f.Index,
			WithdrawnAt: provenance.At(e.At), Reason: e.Reason})
	case *provenance.StatusStatement:
		s.statuses = append(s.statuses, stated{f.Ref, e.Size, e.At, e.Document})
	default:
		err = fmt.Errorf("%T is not a state entry", f.entry)
	}
	s.epoch++
	return err
}

func (s *state) applyIdentity(id *provenance.Identity) (err error) {
	if s.chain == nil {
		s.chain, err = provenance.ParseChain([]*provenance.Envelope{id.Envelope})
	} else {
		s.chain, err = s.chain.Extend(id.Envelope)
	}
	if err != nil {
		return err
	}
	s.fingerprint = s.chain.Fingerprint()
	s.identityJSON = provenance.EncodeEnvelopes(s.chain.Envelopes())
	for _, e := range slices.Collect(maps.Values(s.enrolments)) {
		again := *e
		again.enrolled = id.Enrols(e.Envelope)
		s.put(&again)
	}
	return nil
}

func (s *state) applyEnrolment(e *provenance.Enrolment) {
	added := &enrolment{Enrolment: e, digest: e.Digest(), json: e.Envelope.JSON(), enrolled: s.identity().Enrols(e.Envelope)}
	if before := s.enrolments[added.digest]; before != nil { // another signature over the same payload
		if before.enrolled && !added.enrolled {
			return
		}
		added.ended = before.ended
	}
	s.put(added)
}

func (s *state) applyEnd(ref ledger.Ref, e *provenance.EnrolmentEnd) {
	before := s.enrolments[e.Enrolment]
	if before == nil || before.ended {
		return
	}
	ended := *before
	ended.ended = true
	s.put(&ended)
	s.ends = append(s.ends, provenance.EndedEnrolment{Enrolment: e.Enrolment, Publisher: before.Publisher.Fingerprint(),
		Origin: ref.Origin, Index: ref.Index, Ended: provenance.At(e.Ended), Reason: e.Reason})
}

// put adds e, or replaces the enrolment with its digest. Publishers are shared with older states and made anew.
func (s *state) put(e *enrolment) {
	if s.shared {
		s.publishers, s.enrolments, s.shared = maps.Clone(s.publishers), maps.Clone(s.enrolments), false
	}
	s.enrolments[e.digest] = e
	fingerprint := e.Publisher.Fingerprint()
	p := &publisher{key: e.Publisher}
	if old := s.publishers[fingerprint]; old != nil {
		for _, other := range old.enrolments {
			if other.digest != e.digest {
				p.enrolments = append(p.enrolments, other)
			}
		}
	}
	p.enrolments = append(p.enrolments, e)
	s.publishers[fingerprint] = p
}

// identity is the version that holds.
func (s *state) identity() *provenance.Identity { return s.chain.Last() }

// choose finds the certificate under which the publisher with a fingerprint may publish c at t: the longest matching
// namespace, then the latest issued, then the smallest digest. Nil if there is none.
func (s *state) choose(fingerprint string, c provenance.Coordinate, t time.Time) *enrolment {
	p := s.publishers[fingerprint]
	if p == nil {
		return nil
	}
	var best *enrolment
	var bestNamespace provenance.Namespace
	for _, e := range p.enrolments {
		if e.ended || !e.enrolled || !e.CoversAt(c, t) {
			continue
		}
		i, _ := provenance.Longest(e.Namespaces, c)
		if best == nil || better(e, e.Namespaces[i], best, bestNamespace, c) {
			best, bestNamespace = e, e.Namespaces[i]
		}
	}
	return best
}

func better(a *enrolment, an provenance.Namespace, b *enrolment, bn provenance.Namespace, c provenance.Coordinate) bool {
	if an != bn {
		i, _ := provenance.Longest([]provenance.Namespace{an, bn}, c)
		return i == 0
	}
	if !a.Issued.Equal(b.Issued) {
		return a.Issued.After(b.Issued)
	}
	return a.digest < b.digest
}

// reaches reports whether an entry is in a log of the identity, and before the end of a closed one.
func (s *state) reaches(r ledger.Ref) bool {
	log := s.identity().Log(r.Origin)
	return log != nil && (log.Closed == nil || r.Index < log.Closed.Size)
}
