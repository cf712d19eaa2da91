package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

// verified is the object of verify --json for a file that is what was wanted. Its names are stable.
type verified struct {
	Verified        bool             `json:"verified"`
	Purl            string           `json:"purl"`
	Registry        string           `json:"registry"`
	Basis           provenance.Basis `json:"basis"`
	Publisher       string           `json:"publisher,omitzero"`
	SignedAt        provenance.Time  `json:"signedAt,omitzero"`
	CountersignedAt provenance.Time  `json:"countersignedAt"`
	Origin          string           `json:"origin"`
	Index           uint64           `json:"index"`
	Size            uint64           `json:"size"`
	IdentityVersion uint64           `json:"identityVersion"`
	PublisherEnded  provenance.Time  `json:"publisherEnded,omitzero"`
	Attributes      jsontext.Value   `json:"attributes,omitzero"`
	Mode            provenance.Mode  `json:"mode"`
	Rulings         []ruling         `json:"rulings,omitzero"`
}

// unverified is the object for everything else: a refusal has a code and a detail, otherwise unchecked says what is missing.
type unverified struct {
	Verified  bool            `json:"verified"`
	Code      provenance.Code `json:"code,omitzero"`
	Detail    string          `json:"detail,omitzero"`
	Unchecked string          `json:"unchecked,omitzero"`
	Mode      provenance.Mode `json:"mode,omitzero"`
	Rulings   []ruling        `json:"rulings,omitzero"`
}

// tellMachine writes one JSON object, whatever the answer is.
func tellMachine(q question, r *provenance.Result, err error, t terminal) error {
	var answer any
	status := 2
	var refusal *provenance.Refusal
	var unchecked *provenance.Unchecked
	switch {
	case err == nil:
		answer, status = verified{true, r.Purl, r.Registry, r.Basis, r.Publisher, provenance.At(r.SignedAt), provenance.At(r.CountersignedAt),
			r.Origin, r.Index, r.Size, r.IdentityVersion, provenance.At(r.PublisherEnded), r.Attributes, q.mode, q.denial.said}, 0
	case errors.As(err, &refusal):
		answer, status = unverified{Code: refusal.Code, Detail: refusal.Detail, Mode: q.mode, Rulings: q.denial.said}, 1
	case errors.As(err, &unchecked):
		answer = unverified{Unchecked: unchecked.Missing, Mode: q.mode}
	default:
		answer = unverified{Unchecked: asked(err).Error(), Mode: q.mode}
	}
	data, err := json.Marshal(answer, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return undecided{err}
	}
	fmt.Fprintln(t.out, string(data))
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

func tellPeople(q question, r *provenance.Result, err error, t terminal) error {
	var refusal *provenance.Refusal
	switch {
	case err == nil:
		sayVerified(t, r)
		for _, f := range q.denial.said {
			t.field(f.Severity, "rule %s: %s", f.Rule, f.Message)
		}
		return nil
	case errors.As(err, &refusal):
		t.complain("verify: refused", hint(refusal, "%s", cmp.Or(remedy[refusal.Code], "do not install or load this file")))
		if q.mode != provenance.Enforce && q.mode != provenance.Reject && q.mode != "" {
			t.note("verify: the mode of the pins for this name is %q", q.mode)
		}
		return exitStatus(1)
	}
	return undecided{asked(err)}
}

func sayVerified(t terminal, r *provenance.Result) {
	t.field("verified", "%s", r.Purl)
	t.field("registry", "%s, identity %s version %d", r.Registry, r.Pin.Identity, r.IdentityVersion)
	if r.Basis == provenance.ByPublisher {
		t.field("publisher", "%s, signed %s", r.Publisher, provenance.At(r.SignedAt))
	} else {
		t.field("publisher", "none: the registry's word alone")
	}
	t.field("countersigned", "%s as entry %d of %s, in a head of size %d", provenance.At(r.CountersignedAt), r.Index, r.Origin, r.Size)
	if !r.PublisherEnded.IsZero() {
		t.field("ended", "the publisher's enrolment, at %s, after this was countersigned", provenance.At(r.PublisherEnded))
	}
	sayAttributes(t, r.Attributes)
}

// remedy is by refusal code, where there is more to do than to refuse.
var remedy = map[provenance.Code]string{
	provenance.NotPinned:        "pin the registry that speaks for the name: countersign pins add REGISTRY shows its identity to compare and writes the pin",
	provenance.IdentityMismatch: "if the registry announced a new identity, compare it with what it publishes elsewhere before you change the pin",
	provenance.IdentityRollback: "get a fresh bundle, or the registry's current identity with --identity",
	provenance.LogUnknown:       "get the registry's current identity and give it with --identity",
	provenance.BasisTooWeak:     `the pin requires a publisher's signature; require = "registry" accepts the registry's word alone`,
	provenance.PurlMismatch:     "this proof is of another package: take the bundle that belongs to the one you wanted",
	provenance.KeyEnded:         "get a fresh bundle from the registry, or a bridge with --bridge",
	provenance.StatusTooOld:     "get a fresh status from the registry and give it with --status",
	provenance.Withdrawn:        "do not install or load this file, and remove it where it is: the registry took it back",
	provenance.IdentityExpired:  "get the registry's current identity and give it with --identity",
}
