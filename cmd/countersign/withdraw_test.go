package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// withdrawals answers as countersignd does.
func (l *signingListener) withdrawals(w http.ResponseWriter, body []byte) {
	var request struct {
		Withdrawals []struct {
			Purl   string `json:"purl"`
			Reason string `json:"reason"`
		} `json:"withdrawals"`
	}
	if err := strict.JSON(body, &request); err != nil || len(request.Withdrawals) == 0 || len(request.Withdrawals) > 1000 {
		panic(fmt.Sprintf("withdrawals %.200s: %v", body, err))
	}
	var parts []string
	for _, r := range request.Withdrawals {
		index, e, created, refusal := l.registry.withdraw(r.Purl, r.Reason)
		status := map[bool]int{true: 201, false: 200}[created]
		if refusal != nil {
			parts = append(parts, fmt.Sprintf(`{"purl":%q,"status":%d,"problem":%s}`, r.Purl, refusal.Status, must(json.Marshal(refusal))))
			continue
		}
		parts = append(parts, fmt.Sprintf(`{"purl":%q,"status":%d,"origin":%q,"index":%d,"withdrawnAt":%q,"reason":%q}`,
			r.Purl, status, e.Origin, index, provenance.At(e.At), e.Reason))
	}
	answer(w, false, "application/json", []byte("["+strings.Join(parts, ",")+"]"))
}

// withdraw logs a withdrawal, once for a coordinate.
func (r *registry) withdraw(purl, reason string) (index int, e *provenance.Withdrawal, created bool, refusal *problem) {
	c := must(provenance.ParseExpected(purl))
	if c.Partial() {
		return 0, nil, false, refuse("malformed", 400, purl+" has several files, each with a coordinate of its own")
	}
	for i, data := range r.entries {
		if entry, err := provenance.ParseEntry(data); err == nil {
			if e, ok := entry.(*provenance.Withdrawal); ok && e.Coordinate == c {
				return i, e, false, nil
			}
		}
	}
	at, bound := r.statements[purl]
	if !bound {
		return 0, nil, false, refuse("not-found", 404, "nothing is countersigned as "+purl)
	}
	stated := must(provenance.ParseEntry(r.entries[at])).(*provenance.Countersignature)
	e = &provenance.Withdrawal{Claim: r.claim(c, time.Now()), Subject: stated.Publication.Subject, Reason: reason}
	return r.add(must(e.Statement())), e, true, nil
}
