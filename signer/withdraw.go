package signer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// withdrawing is the work of ending a coordinate for good.
type withdrawing struct {
	coordinate provenance.Coordinate
	reason     string
	subject    provenance.Subject // of the statement that is withdrawn
}

func (w *withdrawing) key() [sha256.Size]byte { return coordinateKey(w.coordinate) }

// settle: a coordinate is withdrawn once, whatever reason is given later. There must be a statement to withdraw; one that
// the identity excludes will do, because not every consumer has that identity yet.
func (w *withdrawing) settle(s *state, list []found) (int, *Problem) {
	if i := withdrawal(s, list); i >= 0 {
		return i, nil
	}
	w.subject = provenance.Subject{}
	for _, f := range list { // the last one that is stated, and rather one that counts
		switch e := f.entry.(type) {
		case *provenance.Countersignature:
			if w.subject.Name == "" || counts(s, f, e.Publication.Publisher()) {
				w.subject = e.Publication.Subject
			}
		case *provenance.RegistryStatement:
			if w.subject.Name == "" {
				w.subject = e.Subject
			}
		}
	}
	if w.subject.Name == "" {
		return -1, newProblem(NotFound, fmt.Sprintf("nothing is countersigned as %s, so there is nothing to withdraw", w.coordinate))
	}
	return -1, nil
}

// withdrawal finds the entry that withdrew a coordinate, -1 if none did. An identity that excludes it does not bring the
// coordinate back: a withdrawal is for good.
func withdrawal(s *state, list []found) int {
	for i, f := range list {
		if _, ok := f.entry.(*provenance.Withdrawal); ok && s.reaches(f.Ref) {
			return i
		}
	}
	return -1
}

// entry does not ask whether the identity still has the namespace: what the registry said it can take back.
func (w *withdrawing) entry(s *state, at time.Time) (ledger.Entry, *Problem) {
	if problem := speaks(s.identity(), at); problem != nil {
		return ledger.Entry{}, problem
	}
	data, err := (&provenance.Withdrawal{Claim: claim(s, w.coordinate, at), Subject: w.subject, Reason: w.reason}).Statement()
	e, problem := coordinateEntry(w.coordinate, data, err)
	e.State = true
	return e, problem
}

// WithdrawalRequest asks for the end of one coordinate.
type WithdrawalRequest struct {
	Purl   string
	Reason string // for consumers, at most 1024 bytes
}

// WithdrawalOutcome answers one WithdrawalRequest.
type WithdrawalOutcome struct {
	Purl    string
	Entry   *provenance.Withdrawal // nil after a problem
	Ref     ledger.Ref             // where Entry is
	Created bool                   // false: it was withdrawn before
	Problem *Problem
	Unknown bool // nobody knows whether it is durable: send the same again
}

// Withdraw ends coordinates for good, and returns when a checkpoint covers that.
func (s *Service) Withdraw(ctx context.Context, caller *Caller, requests []WithdrawalRequest) ([]WithdrawalOutcome, *Problem) {
	if problem := caller.has(s.Registry, Withdraw); problem != nil {
		return nil, problem
	}
	items, st := make([]*item, len(requests)), s.state.Load()
	for i, r := range requests {
		w, problem := s.readWithdrawal(caller, r)
		items[i] = newItem(ctx, w)
		if problem != nil {
			items[i].refuse(problem)
		} else {
			s.admit(st, items[i])
		}
	}
	if problem := s.finish(ctx, caller, items); problem != nil {
		return nil, problem
	}
	out := make([]WithdrawalOutcome, len(items))
	for i, it := range items {
		out[i] = s.withdrawn(it)
		out[i].Purl = requests[i].Purl
	}
	return out, nil
}

func (s *Service) withdrawn(it *item) WithdrawalOutcome {
	if it.problem != nil || it.unknown {
		return WithdrawalOutcome{Problem: it.problem, Unknown: it.unknown}
	}
	data, err := s.data(it.ref)
	if err != nil {
		return WithdrawalOutcome{Problem: unreadable(err)}
	}
	entry, err := provenance.ParseEntry(data)
	if err != nil {
		return WithdrawalOutcome{Problem: unreadable(err)}
	}
	return WithdrawalOutcome{Entry: entry.(*provenance.Withdrawal), Ref: it.ref, Created: it.created}
}

// maxWithdrawal bounds the reason of a withdrawal, in bytes, as the format does.
const maxWithdrawal = 1024

// readWithdrawal checks a request by itself.
func (s *Service) readWithdrawal(caller *Caller, r WithdrawalRequest) (work, *Problem) {
	c, err := provenance.ParseExpected(r.Purl)
	if err != nil {
		return nil, parseProblem(err)
	}
	if problem := caller.may(s.Registry, Withdraw, c); problem != nil {
		return nil, problem
	}
	if r.Reason == "" || len(r.Reason) > maxWithdrawal {
		return nil, newProblem(Malformed, fmt.Sprintf("reason is missing or longer than %d bytes: consumers are shown it", maxWithdrawal))
	}
	if c.Partial() {
		return nil, s.whichFile(c)
	}
	return &withdrawing{coordinate: c, reason: r.Reason}, nil
}

// maxNamed is how many coordinates of a release a problem names.
const maxNamed = 100

// whichFile refuses a release as a whole and names its files.
func (s *Service) whichFile(c provenance.Coordinate) *Problem {
	files, err := s.files(c)
	if err != nil {
		return unreadable(err)
	}
	if len(files) == 0 {
		return newProblem(NotFound, fmt.Sprintf("nothing is countersigned of %s, so there is nothing to withdraw", c))
	}
	p := newProblem(Malformed, "")
	for _, f := range files[:min(len(files), maxNamed)] {
		p.Coordinates = append(p.Coordinates, f.String())
	}
	p.Detail = fmt.Sprintf("%s has several files, each with a coordinate of its own: withdraw %s", c, strings.Join(p.Coordinates, ", "))
	if more := len(files) - len(p.Coordinates); more > 0 {
		p.Detail += fmt.Sprintf(" and %d more", more)
	}
	return p
}
