package signer

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/strict"
)

// batch gives the bundles of up to 1000 coordinates or expected purls, one line each, in order. A line that is left out was
// not come to: the answer became too large, or took too long.
func (p *publicSite) batch(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem != nil {
		return problem
	}
	if _, problem := query(r); problem != nil {
		return problem
	}
	data, problem := x.body(r, jsonType, maxAsked)
	if problem != nil {
		return problem
	}
	asked, problem := decodeAsked(data)
	if problem != nil {
		return problem
	}
	x.items = len(asked.coordinates) + len(asked.purls)
	x.Header().Set("Content-Type", ndjsonType)
	x.WriteHeader(http.StatusOK)
	w := bufio.NewWriterSize(x, 64<<10)
	defer w.Flush()
	for _, key := range asked.coordinates {
		x.coordinate(w, key, s.bundleOf(r.Context(), key))
		if r.Context().Err() != nil {
			return nil
		}
	}
	for size := 0; len(asked.purls) > 0 && size < maxAnswer && r.Context().Err() == nil; asked.purls = asked.purls[1:] {
		size += x.purl(w, asked.purls[0], s.bundlesOf(r.Context(), asked.purls[0]))
	}
	return nil
}

// maxAnswer is after how many bytes of bundles no further purl is come to. One release can have very many files.
const maxAnswer = 4 * maxBundles

func (s *Service) bundleOf(ctx context.Context, key [32]byte) Outcome {
	data, problem := s.Bundle(ctx, key)
	return Outcome{Bundle: data, Problem: problem}
}

func (s *Service) bundlesOf(ctx context.Context, purl string) Outcome {
	data, problem := bundles(ctx, s, purl, "")
	return Outcome{Bundle: data, Problem: problem}
}

// coordinate writes {"coordinate":…,"status":…,"bundle":…} or the same with a problem.
func (x *exchange) coordinate(w *bufio.Writer, key [32]byte, o Outcome) {
	w.WriteString(`{"coordinate":"`)
	w.Write(append(hex.AppendEncode(w.AvailableBuffer(), key[:]), '"'))
	x.result(w, "bundle", o)
}

// purl writes {"purl":…,"status":…,"bundles":[…]} or the same with a problem, and says how many bytes of bundles it were.
func (x *exchange) purl(w *bufio.Writer, purl string, o Outcome) int {
	w.WriteString(`{"purl":`)
	quoted, _ := jsontext.AppendQuote(w.AvailableBuffer(), purl) // decoded strictly: it is valid UTF-8
	w.Write(quoted)
	x.result(w, "bundles", o)
	return len(o.Bundle)
}

// asked is what a batch is about: one of the two.
type asked struct {
	coordinates [][32]byte
	purls       []string
}

func decodeAsked(data []byte) (a asked, problem *Problem) {
	var w struct {
		Coordinates []string `json:"coordinates"`
		Purls       []string `json:"purls"`
	}
	if err := strict.JSON(data, &w); err != nil {
		return a, newProblem(Malformed, err.Error())
	}
	n := len(w.Coordinates) + len(w.Purls)
	switch {
	case n == 0 || w.Coordinates != nil && w.Purls != nil:
		return a, newProblem(Malformed, "exactly one of coordinates and purls must be there, and not empty")
	case n > maxLines:
		return a, newProblem(TooLarge, fmt.Sprintf("%d coordinates, at most %d are allowed in a call", n, maxLines))
	}
	a.purls = w.Purls
	for i, text := range w.Coordinates {
		key, ok := parseKey(text)
		if !ok {
			return a, newProblem(Malformed, fmt.Sprintf("coordinate %d is not the 64 lower-case hex digits of the SHA-256 of a purl", i))
		}
		a.coordinates = append(a.coordinates, key)
	}
	return a, nil
}
