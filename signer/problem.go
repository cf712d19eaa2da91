package signer

import (
	"net/http"
)

// Problem is an RFC 9457 problem document: the answer to a request that was not carried out, or not to its end.
type Problem struct {
	Type        string   `json:"type"` // urn:countersign:error:<code>
	Title       string   `json:"title"`
	Status      int      `json:"status"`
	Detail      string   `json:"detail"`
	Retryable   bool     `json:"retryable"`            // the same bytes may succeed later
	Logged      bool     `json:"logged,omitzero"`      // the entry is durable: sending the same again will get its bundle
	Existing    string   `json:"existing,omitzero"`    // what is in the way: a digest or a statement's digest
	Canonical   string   `json:"canonical,omitzero"`   // the purl as it must be written
	Coordinates []string `json:"coordinates,omitzero"` // those that could be meant
	WithdrawnAt string   `json:"withdrawnAt,omitzero"`
	Reason      string   `json:"reason,omitzero"`     // of the withdrawal
	RequestID   string   `json:"requestId,omitzero"`  // also in the daemon's log
	After       int      `json:"retryAfter,omitzero"` // seconds, as in the Retry-After header
	code        Code
	cause       error // for the operator's log, never in the document
}

// Code is the stable part of a problem's type.
type Code string

const (
	Malformed                   Code = "malformed"
	TooLarge                    Code = "too-large"
	WrongRegistry               Code = "wrong-registry"
	CoordinateNotCanonical      Code = "coordinate-not-canonical"
	DigestDisagreement          Code = "digest-disagreement"
	PublisherNotEnrolled        Code = "publisher-not-enrolled"
	PublicationSignatureInvalid Code = "publication-signature-invalid"
	PublicationTooOld           Code = "publication-too-old"
	NamespaceNotBound           Code = "namespace-not-bound"
	CoordinateConflict          Code = "coordinate-conflict"
	PublicationConflict         Code = "publication-conflict"
	Withdrawn                   Code = "withdrawn"
	EnrolmentInvalid            Code = "enrolment-invalid"
	CallerNotAuthorized         Code = "caller-not-authorized"
	NotFound                    Code = "not-found"
	Overloaded                  Code = "overloaded"
	SigningUnavailable          Code = "signing-unavailable"
	Frozen                      Code = "frozen"
)

// problems gives each code its HTTP status, its title, and whether the same request may succeed later.
var problems = map[Code]struct {
	status    int
	title     string
	retryable bool
}{
	Malformed:                   {http.StatusBadRequest, "The request is malformed", false},
	TooLarge:                    {http.StatusRequestEntityTooLarge, "The request is too large", false},
	WrongRegistry:               {http.StatusNotFound, "Not a registry of this service, or not the publication's", false},
	CoordinateNotCanonical:      {http.StatusUnprocessableEntity, "The purl is not in its canonical spelling", false},
	DigestDisagreement:          {http.StatusUnprocessableEntity, "The publication's digests are not those observed", false},
	PublisherNotEnrolled:        {http.StatusForbidden, "No enrolment covers this publisher and coordinate now", false},
	PublicationSignatureInvalid: {http.StatusUnprocessableEntity, "The publication's signature does not verify", false},
	PublicationTooOld:           {http.StatusUnprocessableEntity, "The publication was signed too long ago, or in the future", false},
	NamespaceNotBound:           {http.StatusForbidden, "The registry's identity does not cover this namespace", false},
	CoordinateConflict:          {http.StatusConflict, "The coordinate is bound to other content", false},
	PublicationConflict:         {http.StatusConflict, "The content is countersigned under another publication", false},
	Withdrawn:                   {http.StatusGone, "The coordinate was withdrawn", false},
	EnrolmentInvalid:            {http.StatusUnprocessableEntity, "The enrolment is not acceptable", false},
	CallerNotAuthorized:         {http.StatusForbidden, "The caller may not do this", false},
	NotFound:                    {http.StatusNotFound, "There is no such thing", false},
	Overloaded:                  {http.StatusTooManyRequests, "The queue is full; nothing was logged", true},
	SigningUnavailable:          {http.StatusServiceUnavailable, "Signing is not available", true},
	Frozen:                      {http.StatusServiceUnavailable, "Signing is frozen until an operator acts; nothing was logged", true},
}

// newProblem makes the document of a code.
func newProblem(code Code, detail string) *Problem {
	p := problems[code]
	return &Problem{Type: "urn:countersign:error:" + string(code), Title: p.title, Status: p.status, Detail: detail,
		Retryable: p.retryable, code: code}
}

// because keeps the error behind a problem for the operator's log.
func (p *Problem) because(err error) *Problem {
	p.cause = err
	return p
}

// as gives a problem of a code that covers several HTTP statuses another one than the code's own.
func (p *Problem) as(status int) *Problem {
	p.Status = status
	return p
}

func (p *Problem) Error() string { return string(p.code) + ": " + p.Detail }

// Code is the stable name of what went wrong.
func (p *Problem) Code() Code { return p.code }
