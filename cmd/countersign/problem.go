package main

import (
	"cmp"
	"strings"

	"github.com/go-json-experiment/json"

	"countersign.dev/provenance"
)

// problem is an RFC 9457 problem document of a registry. Members that are not known here are skipped: a newer service
// may say more.
type problem struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Retryable  bool   `json:"retryable"`
	Logged     bool   `json:"logged"`
	Existing   string `json:"existing"`
	Canonical  string `json:"canonical"`
	RequestID  string `json:"requestId"`
	RetryAfter int    `json:"retryAfter"` // seconds
}

const problemType = "urn:countersign:error:"

// parseProblem gives nil for anything that is not a problem of ours.
func parseProblem(data []byte) *problem {
	if p := decodeProblem(data); p != nil && strings.HasPrefix(p.Type, problemType) {
		return p
	}
	return nil
}

// decodeProblem takes those of others too, and of no particular kind.
func decodeProblem(data []byte) *problem {
	p := new(problem)
	if err := json.Unmarshal(data, p); err != nil || p.Detail+p.Title == "" {
		return nil
	}
	return p
}

func (p *problem) code() string { return strings.TrimPrefix(p.Type, problemType) }

func (p *problem) Error() string {
	s := cmp.Or(p.Detail, p.Title)
	if code := p.code(); code != "" && code != "about:blank" {
		s = code + ": " + s
	}
	if p.Existing != "" {
		s += "; existing: " + p.Existing
	}
	if p.Logged {
		s += "; the entry is logged, sending the same again gets its bundle"
	}
	if p.RequestID != "" {
		s += " (request " + p.RequestID + ")"
	}
	return s
}

// hinted adds what the sender can do.
func (p *problem) hinted() error {
	h := advice[p.code()]
	if _, err := provenance.ParseCoordinate(p.Canonical); err == nil {
		h = "move the publication away and sign again with --purl '" + p.Canonical + "'"
	}
	if h == "" {
		return p
	}
	return hinted{p, h}
}

// advice is by problem code.
var advice = map[string]string{
	"wrong-registry":                "--registry must be the name that the publisher signed for, and be served at --server",
	"digest-disagreement":           "the file is not the one that was signed: send the signed file, or sign this one under a new version",
	"publisher-not-enrolled":        "an enrolment officer makes a certificate with countersign enrol, and countersign register sends it",
	"publication-signature-invalid": "the publication was changed after it was signed: move it away and sign again",
	"publication-too-old":           "move the publication away and sign again, with the right time on the clock",
	"namespace-not-bound":           "the registry's root must add the namespace in a new version of the identity",
	"coordinate-conflict":           "what is published never changes: publish the new content under a new version",
	"publication-conflict":          "the same content was countersigned under another publication: use its bundle",
	"withdrawn":                     "what was withdrawn stays so: publish a good version under a new number",
	"caller-not-authorized":         "the service knows callers by the key of --cert: its configuration must grant this one the registry, role and namespace",
	"enrolment-invalid":             "an enrolment key of the registry's identity that is not ended must sign it, for a key without another role",
	"not-found":                     "the end of an enrolment is sent in a later call than its certificate",
	"too-large":                     "a publication has at most 24 KiB: claim less in --attribute-file",
	"frozen":                        "an operator must act: countersign admin … state says why",
}
