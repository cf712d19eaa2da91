package provenance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/strict"
)

// Limits of the formats, in bytes unless they say otherwise.
const (
	MaxPublication = 24 << 10 // publication payload
	MaxEnrolment   = 8 << 10  // enrolment and enrolment end payload
	MaxIdentity    = 40 << 10 // identity payload
	MaxEntry       = 65535    // log entry: C2SP tlog-tiles has 16-bit lengths
	MaxBundle      = 4 << 20
	MaxDigests     = 8  // digests in a subject
	MaxNamespaces  = 64 // namespaces in an identity or enrolment
	maxSignatures  = 64
	maxReason      = 1024
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	inTotoPayload = "application/vnd.in-toto+json"
)

// statement is in-toto's Statement v1 around one of our predicates.
type statement[P any] struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     P         `json:"predicate"`
}

// Subject names one file by its digests. Name informs people; only PyPI gives it a meaning.
type Subject struct {
	Name   string  `json:"name"`
	Digest Digests `json:"digest"`
}

// Digests maps a digest name to lower-case hex.
type Digests map[string]string

// digestLengths are the digest names of a subject and how many hex digits each has.
var digestLengths = map[string]int{
	"sha256":           64,
	"sha512":           128,
	"dirHash":          64,  // Go's h1: of the module zip
	"goModHash":        64,  // Go's h1: of the go.mod file
	"hexInner":         64,  // Hex.pm's inner checksum
	"nugetContentHash": 128, // NuGet's contentHash
}

// lowerHex reports whether s is n lower-case hex digits.
func lowerHex(s string, n int) bool { return len(s) == n && strings.Trim(s, "0123456789abcdef") == "" }

// Check refuses unknown names (sha1 and md5 among them), malformed values, and digests without sha256.
func (d Digests) Check() error {
	if len(d) > MaxDigests {
		return fmt.Errorf("%d digests, at most %d are allowed", len(d), MaxDigests)
	}
	if d["sha256"] == "" {
		return errors.New("digest sha256 is missing")
	}
	var wrong []string
	for name, value := range d {
		if n, known := digestLengths[name]; !known || !lowerHex(value, n) {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	name := slices.Min(wrong)
	if n, known := digestLengths[name]; known {
		return fmt.Errorf("digest %s is not %d lower-case hex digits", name, n)
	}
	return fmt.Errorf("digest name %.40q is not known", name)
}

// Disagreement names a digest that both have with different values, or "".
func (d Digests) Disagreement(other Digests) string {
	first := ""
	for name, value := range d {
		if v, both := other[name]; both && v != value && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

func (s Subject) equal(t Subject) bool { return s.Name == t.Name && maps.Equal(s.Digest, t.Digest) }

// check holds the subject to the coordinate's own rules.
func (s Subject) check(c Coordinate) error {
	if s.Name == "" || len(s.Name) > 512 {
		return errors.New("subject: name is missing or longer than 512 bytes")
	}
	if err := s.Digest.Check(); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	if c.Type() == "pypi" && s.Name != c.FileName() {
		return fmt.Errorf("subject: name %q is not the purl's file_name %q", s.Name, c.FileName())
	}
	if c.Type() == "oci" && "sha256:"+s.Digest["sha256"] != c.Version() {
		return fmt.Errorf("subject: sha256 is not the digest in the purl, %s", c.Version())
	}
	return nil
}

// decodeStatement reads one in-toto statement whose predicate is a P.
func decodeStatement[P any](data []byte, predicateType string) (Subject, P, error) {
	var st statement[P]
	if err := strict.JSON(data, &st); err != nil {
		return Subject{}, st.Predicate, err
	}
	switch {
	case st.Type != statementType:
		return Subject{}, st.Predicate, fmt.Errorf("_type is %.80q, want %q", st.Type, statementType)
	case st.PredicateType != predicateType:
		return Subject{}, st.Predicate, fmt.Errorf("predicateType is %.80q, want %q", st.PredicateType, predicateType)
	case len(st.Subject) != 1:
		return Subject{}, st.Predicate, fmt.Errorf("%d subjects, want exactly one", len(st.Subject))
	}
	return st.Subject[0], st.Predicate, nil
}

func encodeStatement[P any](subject Subject, predicateType string, predicate P) ([]byte, error) {
	return encode(statement[P]{statementType, []Subject{subject}, predicateType, predicate})
}

// encode gives compact JSON, the same for the same value.
func encode(v any) ([]byte, error) { return json.Marshal(v, json.Deterministic(true)) }

// whole refuses a document that says more than the complete value v that was read from it: an optional member that is
// there but empty, false or zero must be left out, or it would be there for one reader and absent for another.
func whole(data []byte, v any) error {
	again, err := encode(v)
	if err != nil {
		return err
	}
	given, understood := jsontext.Value(bytes.Clone(data)), jsontext.Value(again)
	if given.Canonicalize() != nil || understood.Canonicalize() != nil || !bytes.Equal(given, understood) {
		return errors.New("an optional member is there but empty: leave it out")
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	b, err := jsontext.AppendQuote(b, s)
	if err != nil {
		panic("provenance: invalid UTF-8 in a decoded document") // strict.JSON lets none through
	}
	return b
}

// Time is an instant in whole seconds whose text is RFC 3339 in UTC, "2006-01-02T15:04:05Z" and nothing else.
// It does not embed time.Time, whose own JSON methods it would inherit: they read fractions and offsets.
type Time struct{ Time time.Time }

const timeForm = "2006-01-02T15:04:05Z"

// At truncates t to the second.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Second)} }

// IsZero reports whether the time is absent.
func (t Time) IsZero() bool { return t.Time.IsZero() }

func (t Time) String() string { return t.Time.UTC().Format(timeForm) }

// MarshalText gives the one form.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText refuses fractions, offsets and out-of-range parts.
func (t *Time) UnmarshalText(text []byte) error {
	at, err := time.Parse(timeForm, string(text))
	if err != nil || at.Format(timeForm) != string(text) {
		return fmt.Errorf("time %.40q is not like %q", text, timeForm)
	}
	t.Time = at.UTC()
	return nil
}

// CheckRegistry refuses anything but one lower-case host name of at most 200 bytes.
func CheckRegistry(name string) error {
	if len(name) > 200 || !hostName(name) {
		return fmt.Errorf("registry %.80q is not a lower-case host name of at most 200 bytes", name)
	}
	return nil
}

// hostName reports whether s is labels of 1 to 63 of a-z, 0-9 and -, not at their ends, joined by single dots.
func hostName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
