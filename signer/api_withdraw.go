package signer

import (
	"net/http"

	"countersign.dev/provenance"
)

// withdrawalAnswer is the answer to one element of a list of withdrawals.
type withdrawalAnswer struct {
	Purl        string          `json:"purl"`
	Status      int             `json:"status"`
	Origin      string          `json:"origin,omitzero"` // of the log that holds the withdrawal
	Index       uint64          `json:"index,omitzero"`  // never 0, which is an identity
	WithdrawnAt provenance.Time `json:"withdrawnAt,omitzero"`
	Reason      string          `json:"reason,omitzero"` // as logged, which may be another one than was sent
	Problem     *Problem        `json:"problem,omitzero"`
}

// withdraw ends coordinates. The answer has an element for each, in order. All can be sent again at any time, so where
// the fate of one is unknown no more is said about the others.
func (a *api) withdraw(x *exchange, r *http.Request) *Problem {
	s, data, free, problem := a.bulk(x, r, Withdraw)
	if problem != nil {
		return problem
	}
	defer free()
	requests, problem := decodeWithdrawals(data)
	if problem != nil {
		return problem
	}
	x.items = len(requests)
	outcomes, problem := s.Withdraw(r.Context(), x.client.Caller, requests)
	if problem != nil {
		return problem
	}
	x.writeWithdrawals(outcomes)
	return nil
}

func (x *exchange) writeWithdrawals(outcomes []WithdrawalOutcome) {
	answers := make([]withdrawalAnswer, len(outcomes))
	for i, o := range outcomes {
		answers[i] = withdrawalAnswer{Purl: o.Purl, Status: http.StatusOK}
		switch {
		case o.Unknown:
			x.unknown++
			continue
		case o.Problem != nil:
			answers[i].Status, answers[i].Problem = o.Problem.Status, x.own(o.Problem)
			continue
		case o.Created:
			answers[i].Status = http.StatusCreated
		}
		answers[i].Origin, answers[i].Index = o.Ref.Origin, o.Ref.Index
		answers[i].WithdrawnAt, answers[i].Reason = provenance.At(o.Entry.At), o.Entry.Reason
	}
	if x.unknown > 0 {
		x.indeterminate()
		return
	}
	x.answer(http.StatusOK, jsonType, encode(answers))
}
