package signer

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
)

// Limits of request bodies.
const (
	maxSingle = 128 << 10 // one publication, whose payload has at most 24 KiB, with room for every wrapping
	maxAsked  = 2 << 20   // the coordinates or purls of a batch: a purl has at most 1 KiB
	maxBulk   = 16 << 20  // a batch of countersignatures, or a list of enrolments or withdrawals
	maxLines  = 1000      // lines or elements in any of them
)

// body reads all of a request's body, which must be of the media type and have at most limit bytes. A body that says it
// is larger is not read at all.
func (x *exchange) body(r *http.Request, mediaType string, limit int64) ([]byte, *Problem) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != mediaType {
		return nil, newProblem(Malformed, "the Content-Type must be "+mediaType).as(http.StatusUnsupportedMediaType)
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, newProblem(Malformed, "send the body without a Content-Encoding").as(http.StatusUnsupportedMediaType)
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	var data bytes.Buffer
	data.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	if _, err := data.ReadFrom(http.MaxBytesReader(x.ResponseWriter, r.Body, limit)); err != nil {
		return nil, unread(err, limit)
	}
	if data.Len() == 0 {
		return nil, newProblem(Malformed, "the body is empty")
	}
	return data.Bytes(), nil
}

func tooLarge(limit int64) *Problem {
	return newProblem(TooLarge, fmt.Sprintf("the body has more than %d bytes", limit))
}

func unread(err error, limit int64) *Problem {
	var large *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &large):
		return tooLarge(limit)
	case errors.As(err, &network) && network.Timeout():
		p := newProblem(Malformed, "the body did not arrive in time").as(http.StatusRequestTimeout)
		p.Retryable = true
		return p
	}
	return newProblem(Malformed, "the body did not arrive whole")
}

// query reads the request's query: of these names only, each at most once.
func query(r *http.Request, names ...string) (url.Values, *Problem) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newProblem(Malformed, "the query is not well-formed: "+err.Error())
	}
	for name, list := range values {
		if !slices.Contains(names, name) {
			return nil, newProblem(Malformed, fmt.Sprintf("unknown query parameter %.40q", name))
		}
		if len(list) > 1 {
			return nil, newProblem(Malformed, fmt.Sprintf("query parameter %s occurs twice", name))
		}
	}
	return values, nil
}

// purlQuery reads ?purl=&digest=, of which purl must be there.
func purlQuery(r *http.Request) (purl, digest string, problem *Problem) {
	values, problem := query(r, "purl", "digest")
	if problem != nil {
		return "", "", problem
	}
	if values.Get("purl") == "" {
		return "", "", newProblem(Malformed, "query parameter purl is missing")
	}
	return values.Get("purl"), values.Get("digest"), nil
}

// matches reports whether an If-None-Match header names the entity tag.
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}
