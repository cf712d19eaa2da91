package signer

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// stated is a status in the log.
type stated struct {
	ledger.Ref
	size     uint64 // of the log of Ref, covered
	at       time.Time
	document [sha256.Size]byte
}

// reporting is the work of logging a status: that everything withdrawn and ended up to a size of the log is in a document.
type reporting struct {
	log *ledger.Log

	size     uint64 // covered
	listed   listed
	document []byte // nil until it is made
	data     []byte // of the entry
}

// listed is how many of a state's withdrawals and ends, from the first on, a document has.
type listed struct{ withdrawals, ends int }

// key is nobody else's, and no entry is kept under it: statuses are found in the state.
func (w *reporting) key() [sha256.Size]byte { return sha256.Sum256([]byte("status")) }

func (w *reporting) settle(*state, []found) (int, *Problem) { return -1, nil }

// entry makes a document of all that the state has. It is made before the queue, and again only if something came into the
// part of the log that it covers: with very many withdrawals it is large, and the sequencer has others to serve.
func (w *reporting) entry(s *state, at time.Time) (ledger.Entry, *Problem) {
	if problem := speaks(s.identity(), at); problem != nil {
		return ledger.Entry{}, problem
	}
	if w.document == nil || s.listed(w.log.Origin(), w.size) != w.listed {
		if err := w.make(s, at); err != nil {
			return ledger.Entry{}, newProblem(TooLarge, err.Error())
		}
	}
	return ledger.Entry{Data: w.data, State: true}, nil
}

func (w *reporting) make(s *state, at time.Time) (err error) {
	origin := w.log.Origin()
	w.size = w.log.Size()
	w.listed = s.listed(origin, w.size)
	if w.document, err = s.document(origin, w.size); err != nil {
		return err
	}
	w.data, err = (&provenance.StatusStatement{Registry: s.identity().Registry, Origin: origin, Identity: s.fingerprint,
		Size: w.size, At: at, Document: sha256.Sum256(w.document)}).Statement()
	return err
}

// listed finds what is in the first size entries of a log and in the logs before it. What is not is at the end, and little.
func (s *state) listed(origin string, size uint64) listed {
	beyond := func(of string, index uint64) bool {
		if of == origin {
			return index >= size
		}
		return logNumber(of) > logNumber(origin)
	}
	n := listed{len(s.withdrawals), len(s.ends)}
	for n.withdrawals > 0 && beyond(s.withdrawals[n.withdrawals-1].Origin, s.withdrawals[n.withdrawals-1].Index) {
		n.withdrawals--
	}
	for n.ends > 0 && beyond(s.ends[n.ends-1].Origin, s.ends[n.ends-1].Index) {
		n.ends--
	}
	return n
}

// document is the status document of the first size entries of a log and of the logs before it. It can be made again
// whenever the log has grown, or was closed: see provenance.StatusDocument.
func (s *state) document(origin string, size uint64) ([]byte, error) {
	n := s.listed(origin, size)
	d := provenance.StatusDocument{Registry: s.identity().Registry, Withdrawals: s.withdrawals[:n.withdrawals], Ended: s.ends[:n.ends]}
	for _, l := range s.identity().Logs {
		switch {
		case l.Origin == origin:
			d.Logs = append(d.Logs, provenance.CoveredLog{Origin: origin, Size: size})
		case l.Closed != nil && logNumber(l.Origin) < logNumber(origin):
			d.Logs = append(d.Logs, provenance.CoveredLog{Origin: l.Origin, Size: l.Closed.Size})
		}
	}
	slices.SortFunc(d.Logs, func(a, b provenance.CoveredLog) int { return cmp.Compare(logNumber(a.Origin), logNumber(b.Origin)) })
	return d.JSON()
}

// logNumber is the last part of an origin of the identity.
func logNumber(origin string) uint64 {
	_, n, _ := provenance.ParseOrigin(origin)
	return n
}

// last finds the newest status that counts and of which want holds.
func (s *state) last(want func(stated) bool) (stated, bool) {
	for _, at := range slices.Backward(s.statuses) {
		if want(at) && counts(s, found{Ref: at.Ref}, "") {
			return at, true
		}
	}
	return stated{}, false
}

// behind reports whether something is withdrawn or ended that no status covers, or there is none of the open log.
func (s *state) behind() bool {
	at, ok := s.last(func(stated) bool { return true })
	return !ok || at.Origin != s.identity().Open().Origin || s.listed(at.Origin, at.size) != listed{len(s.withdrawals), len(s.ends)}
}
