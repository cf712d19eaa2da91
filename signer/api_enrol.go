package signer

import "net/http"

// enrolled is the answer to one element of a list of enrolments.
type enrolled struct {
	Enrolment string   `json:"enrolment,omitzero"` // digest of the certificate it is about, if that could be read
	Status    int      `json:"status"`
	Problem   *Problem `json:"problem,omitzero"`
}

// enrol handles certificates and their ends. The answer has an element for each, in order. All can be sent again at any
// time, so where the fate of one is unknown no more is said about the others.
func (a *api) enrol(x *exchange, r *http.Request) *Problem {
	s, data, free, problem := a.bulk(x, r, Enrol)
	if problem != nil {
		return problem
	}
	defer free()
	envelopes, problem := decodeEnrolments(data)
	if problem != nil {
		return problem
	}
	x.items = len(envelopes)
	results, problem := s.Enrol(r.Context(), x.client.Caller, envelopes)
	if problem != nil {
		return problem
	}
	x.writeEnrolled(results)
	return nil
}

// bulk reads the body of a request that is a list, for a caller with a role. Until free is called the caller has one
// request fewer.
func (a *api) bulk(x *exchange, r *http.Request, role Role) (s *Service, data []byte, free func(), problem *Problem) {
	if s, problem = a.service(x, r, role); problem != nil {
		return nil, nil, nil, problem
	}
	if _, problem = query(r); problem != nil {
		return nil, nil, nil, problem
	}
	if free, problem = x.client.occupy(); problem != nil {
		return nil, nil, nil, problem
	}
	if data, problem = x.body(r, jsonType, maxBulk); problem != nil {
		free()
		return nil, nil, nil, problem
	}
	return s, data, free, nil
}

func (x *exchange) writeEnrolled(results []Enrolled) {
	answers := make([]enrolled, len(results))
	for i, e := range results {
		if e.Unknown {
			x.unknown++
		}
		answers[i] = enrolled{Enrolment: e.Enrolment, Status: http.StatusOK}
		switch {
		case e.Problem != nil:
			answers[i].Status, answers[i].Problem = e.Problem.Status, x.own(e.Problem)
		case e.Created:
			answers[i].Status = http.StatusCreated
		}
	}
	if x.unknown > 0 {
		x.indeterminate()
		return
	}
	x.answer(http.StatusOK, jsonType, encode(answers))
}
