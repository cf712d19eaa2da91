package provenance

import "fmt"

// Code is the stable name of a reason for which Verify refuses. Other implementations use the same names.
type Code string

const (
	NotPinned                   Code = "not-pinned"
	IdentityMismatch            Code = "identity-mismatch"
	IdentityRollback            Code = "identity-rollback"
	LogUnknown                  Code = "log-unknown"
	Malformed                   Code = "malformed"
	BasisTooWeak                Code = "basis-too-weak"
	PurlMismatch                Code = "purl-mismatch"
	StatementMismatch           Code = "statement-mismatch"
	NamespaceNotBound           Code = "namespace-not-bound"
	ArtifactDigestMismatch      Code = "artifact-digest-mismatch"
	EnrolmentInvalid            Code = "enrolment-invalid"
	PublisherNotPinned          Code = "publisher-not-pinned"
	PublicationSignatureInvalid Code = "publication-signature-invalid"
	InclusionProofInvalid       Code = "inclusion-proof-invalid"
	CheckpointSignatureInvalid  Code = "checkpoint-signature-invalid"
	KeyEnded                    Code = "key-ended"
	Excluded                    Code = "excluded"
	IdentityExpired             Code = "identity-expired"
	Withdrawn                   Code = "withdrawn"
	EnrolmentEnded              Code = "enrolment-ended"
	StatusTooOld                Code = "status-too-old"
	PolicyDenied                Code = "policy-denied"
)

// Codes lists every refusal code in the order in which Verify looks for them.
var Codes = []Code{
	NotPinned, IdentityMismatch, IdentityRollback, LogUnknown, Malformed, BasisTooWeak, PurlMismatch, StatementMismatch,
	NamespaceNotBound, ArtifactDigestMismatch, EnrolmentInvalid, PublisherNotPinned, PublicationSignatureInvalid,
	InclusionProofInvalid, CheckpointSignatureInvalid, KeyEnded, Excluded, IdentityExpired,
	Withdrawn, EnrolmentEnded, StatusTooOld, PolicyDenied,
}

// Refusal is the answer "no": what was checked is not acceptable under the pin.
type Refusal struct {
	Code   Code
	Detail string
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Detail }

func refuse(code Code, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// Unchecked is the answer "I cannot tell": something needed for the decision is not at hand. It is never a pass.
type Unchecked struct {
	Missing string // what is missing and where to get it
}

func (u *Unchecked) Error() string { return "could not be checked: " + u.Missing }

func unchecked(format string, args ...any) error {
	return &Unchecked{fmt.Sprintf(format, args...)}
}
