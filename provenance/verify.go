package provenance

import (
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Request is one question: is this file, which I know under this name, what the pinned registry countersigned?
type Request struct {
	// Purl is the expected coordinate, from the resolver or lockfile. It must never come from the bundle or the
	// artifact: a valid bundle of another package would pass.
	Purl string
	// AnyPurl takes the coordinate from the bundle. The answer then says what the file is, not that it is what was
	// wanted.
	AnyPurl bool
	Digests Digests
	// Artifact says that Digests were computed from the file itself: then every digest of the subject must be among
	// them. Without it they come from a lockfile, and one in common is enough.
	Artifact bool
	Bundle   []byte
	Pins     *Pins

	Identity   []*Envelope // the consumer's own chain, nil if it keeps none
	Enrolments []*Envelope // certificates at hand besides the bundle's
	Bridges    []*Bridge   // bridges at hand besides the bundle's
	Now        time.Time
	Fresh      bool                // also refuse when the identity's latest version is past its expiry now
	Policy     func(*Result) error // the consumer's own decision, last; nil for none
}

// Result is what a verified bundle says.
type Result struct {
	Purl            string
	Registry        string
	Pin             *Pin
	Basis           Basis
	Publisher       string // key fingerprint; empty on basis registry
	Subject         Subject
	Attributes      jsontext.Value // the publisher's claims; nil on basis registry
	SignedAt        time.Time      // the publisher's word; zero on basis registry
	CountersignedAt time.Time      // the registry's word
	Origin          string
	Index           uint64
	Size            uint64 // of the tree whose head was signed
	IdentityVersion uint64
}

// Verify answers a Request by the steps of the package comment, in their order. The error is a *Refusal (no), an
// *Unchecked (cannot tell), or says what is wrong with the request.
func Verify(r Request) (*Result, error) {
	v := &verification{Request: r}
	for _, step := range []func() error{v.pin, v.chain, v.statement, v.names, v.digests, v.publisher, v.inclusion, v.validity, v.policy} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return v.result, nil
}

// verification carries what the steps find out; each step relies on the ones before it.
type verification struct {
	Request
	bundle   *Bundle
	expected Coordinate
	pinned   *Pin
	identity *Identity // the last version of the chosen chain
	head     *Checkpoint
	log      *Log
	claim    Claim
	counter  *Countersignature // nil on basis registry
	result   *Result
}

// pin is step 1.
func (v *verification) pin() error {
	bundle, bundleErr := ParseBundle(v.Bundle)
	v.bundle = bundle
	switch {
	case v.Purl == "" && !v.AnyPurl:
		return errors.New("expected purl is missing: it comes from the resolver or lockfile, never from the bundle")
	case v.Pins == nil:
		return errors.New("pins are missing: without one, nobody's word counts")
	case v.Fresh && v.Now.IsZero():
		return errors.New("a fresh identity is required, and the time now is missing")
	case v.Purl != "" && v.AnyPurl:
		return errors.New("an expected purl and any purl exclude each other")
	case v.AnyPurl:
		if bundleErr != nil {
			return refuse(Malformed, "%v", bundleErr)
		}
		entry, err := ParseEntry(bundle.Statement)
		if err != nil {
			return asRefusal(err)
		}
		c, err := claimOf(entry)
		if err != nil {
			return err
		}
		v.expected = c.Coordinate
	default:
		var err error
		if v.expected, err = ParseExpected(v.Purl); err != nil {
			return err
		}
	}
	if v.expected.Partial() && v.Artifact {
		return errors.New("expected purl: file_name is missing; it may be left out only where expected digests are given")
	}
	if v.pinned = v.Pins.For(v.expected); v.pinned == nil {
		return refuse(NotPinned, "no pin covers %s", v.expected)
	}
	if bundleErr != nil {
		return refuse(Malformed, "%v", bundleErr)
	}
	return nil
}

// chain is step 2.
func (v *verification) chain() error {
	var chosen *Chain
	for _, envelopes := range [][]*Envelope{v.bundle.Identity, v.Identity} {
		if len(envelopes) == 0 {
			continue
		}
		// The fingerprint first: a mirror must not make us verify thousands of versions of its own making.
		if got := envelopes[0].PayloadDigest(); got != v.pinned.Identity {
			return refuse(IdentityMismatch, "identity is %s, pinned is %s", got, v.pinned.Identity)
		}
		c, err := ParseChain(envelopes)
		if err != nil {
			return refuse(IdentityMismatch, "%v", err)
		}
		if chosen == nil {
			chosen = c
		} else if chosen, err = chosen.Longer(c); err != nil {
			return refuse(IdentityMismatch, "%v", err)
		}
	}
	if chosen == nil {
		return unchecked("the registry's identity: take it from %s or ask for a bundle that carries it", v.pinned.Registry)
	}
	v.identity = chosen.Last()
	if v.identity.Registry != v.pinned.Registry {
		return refuse(IdentityMismatch, "identity is of registry %s, pinned is %s", v.identity.Registry, v.pinned.Registry)
	}
	if l := v.pinned.Latest; l != nil && !chosen.Contains(l.Version, "sha256:"+l.SHA256) {
		return refuse(IdentityRollback, "the identity at hand ends with version %d and does not contain the pinned version %d",
			v.identity.Version, l.Version)
	}
	var err error
	if v.head, err = ParseCheckpoint(v.bundle.Proof.Checkpoint); err != nil {
		return refuse(Malformed, "%v", err)
	}
	if v.log = v.identity.Log(v.head.Origin); v.log == nil {
		return refuse(LogUnknown, "log %s is not in version %d of the identity", v.head.Origin, v.identity.Version)
	}
	return nil
}

// statement is the first half of step 3: shape and basis.
func (v *verification) statement() error {
	entry, err := ParseEntry(v.bundle.Statement)
	if err != nil {
		return asRefusal(err)
	}
	if v.claim, err = claimOf(entry); err != nil {
		return err
	}
	v.result = &Result{Purl: v.claim.Coordinate.String(), Registry: v.claim.Registry, Pin: v.pinned, CountersignedAt: v.claim.At,
		Origin: v.claim.Origin, Index: v.bundle.Proof.Index, Size: v.head.Size, IdentityVersion: v.identity.Version}
	if s, ok := entry.(*RegistryStatement); ok {
		v.result.Basis, v.result.Subject = ByRegistry, s.Subject
		if v.pinned.Require != ByRegistry {
			return refuse(BasisTooWeak, "the registry's word alone (%s), the pin requires a publisher's signature", s.Reason)
		}
		return nil
	}
	v.counter = entry.(*Countersignature)
	p := v.counter.Publication
	v.result.Basis, v.result.Subject, v.result.Publisher = ByPublisher, p.Subject, p.Publisher()
	v.result.SignedAt, v.result.Attributes = p.SignedAt, p.Attributes
	return nil
}

// claimOf refuses entries that say nothing in favour of a file.
func claimOf(entry any) (Claim, error) {
	switch s := entry.(type) {
	case *Countersignature:
		return s.Claim, nil
	case *RegistryStatement:
		return s.Claim, nil
	}
	return Claim{}, refuse(Malformed, "the entry is neither a countersignature nor a registry statement")
}

// names is the second half of step 3.
func (v *verification) names() error {
	switch c := v.claim; {
	case !v.expected.Matches(c.Coordinate):
		return refuse(PurlMismatch, "expected %s, the registry countersigned %s", v.expected, c.Coordinate)
	case c.Registry != v.pinned.Registry:
		return refuse(StatementMismatch, "the statement is of registry %s, pinned is %s", c.Registry, v.pinned.Registry)
	case c.Identity != v.pinned.Identity:
		return refuse(StatementMismatch, "the statement names identity %s, pinned is %s", c.Identity, v.pinned.Identity)
	case c.Origin != v.head.Origin:
		return refuse(StatementMismatch, "the statement is for log %s, the proof of log %s", c.Origin, v.head.Origin)
	}
	if _, ok := Longest(v.identity.Namespaces, v.claim.Coordinate); !ok {
		return refuse(NamespaceNotBound, "registry %s does not speak for %s", v.identity.Registry, v.claim.Coordinate)
	}
	return nil
}

// digests is step 4.
func (v *verification) digests() error {
	subject := v.result.Subject.Digest
	if name := subject.Disagreement(v.Digests); name != "" {
		return refuse(ArtifactDigestMismatch, "%s is %s, countersigned is %s", name, v.Digests[name], subject[name])
	}
	common := 0
	for name := range subject {
		switch {
		case v.Digests[name] == "" && v.Artifact:
			return unchecked("digest %s of the file, which the subject has: this program cannot compute it", name)
		case v.Digests[name] != "" && name != "goModHash": // which covers one file of the module zip
			common++
		}
	}
	if common == 0 {
		return refuse(ArtifactDigestMismatch, "no digest of the whole file is both expected and countersigned")
	}
	return nil
}

// publisher is step 5.
func (v *verification) publisher() error {
	if v.counter == nil {
		return nil
	}
	envelope := v.enrolment()
	if envelope == nil {
		return unchecked("enrolment %s: take it from the registry's log or ask for a bundle that carries it", v.counter.Enrolment)
	}
	e, err := ParseEnrolment(envelope)
	switch {
	case err != nil:
		return refuse(EnrolmentInvalid, "%v", err)
	case !v.identity.Enrols(envelope):
		return refuse(EnrolmentInvalid, "not signed by an enrolment key of %s that is not ended", v.identity.Registry)
	case e.Registry != v.claim.Registry:
		return refuse(EnrolmentInvalid, "it is for registry %s", e.Registry)
	case e.Publisher.Fingerprint() != v.result.Publisher:
		return refuse(EnrolmentInvalid, "it is for publisher %s, the publication is by %s", e.Publisher.Fingerprint(), v.result.Publisher)
	case v.identity.Holds(e.Publisher):
		return refuse(EnrolmentInvalid, "the publisher's key has a role in the registry's identity")
	case !e.CoversAt(v.claim.Coordinate, v.claim.At):
		return refuse(EnrolmentInvalid, "it does not cover %s at %s", v.claim.Coordinate, At(v.claim.At))
	}
	if p := v.pinned.Publishers; len(p) > 0 && !slices.Contains(p, v.result.Publisher) {
		return refuse(PublisherNotPinned, "publisher %s is not one of the pin's", v.result.Publisher)
	}
	if !v.counter.Publication.Envelope.SignedBy(e.Publisher) {
		return refuse(PublicationSignatureInvalid, "the publication's signature does not verify with %s", v.result.Publisher)
	}
	return nil
}

// enrolment finds the certificate that the statement names: of several envelopes around its payload, one that is good and
// signed by a key that still counts.
func (v *verification) enrolment() *Envelope {
	var candidates []*Envelope
	for _, e := range append([]*Envelope{v.bundle.Enrolment}, v.Enrolments...) {
		if e != nil && e.PayloadDigest() == v.counter.Enrolment {
			candidates = append(candidates, e)
		}
	}
	for len(candidates) > 1 { // the caller judges the last one
		if _, err := ParseEnrolment(candidates[0]); err == nil && v.identity.Enrols(candidates[0]) {
			break
		}
		candidates = candidates[1:]
	}
	if len(candidates) == 0 {
		return nil
	}
	return candidates[0]
}

// inclusion is the first half of step 6.
func (v *verification) inclusion() error {
	if !v.bundle.Proof.includes(v.bundle.Statement, v.head.Head) {
		return refuse(InclusionProofInvalid, "the statement is not entry %d of the tree of size %d", v.bundle.Proof.Index, v.head.Size)
	}
	bridges := v.Bridges
	if v.bundle.Bridge != nil {
		bridges = append([]*Bridge{v.bundle.Bridge}, bridges...)
	}
	return v.log.Counts(v.head, bridges)
}

// validity is the second half of step 6.
func (v *verification) validity() error {
	if reason := v.identity.Excludes(v.claim.Origin, v.bundle.Proof.Index, v.result.Publisher); reason != "" {
		return refuse(Excluded, "entry %d: %s", v.bundle.Proof.Index, reason)
	}
	if !v.claim.At.Before(v.identity.Expires) {
		return refuse(IdentityExpired, "countersigned at %s, the identity expired at %s", At(v.claim.At), At(v.identity.Expires))
	}
	if v.Fresh && !v.Now.Before(v.identity.Expires) {
		return refuse(IdentityExpired, "the identity expired at %s and a fresh one is required", At(v.identity.Expires))
	}
	return nil
}

// policy is step 7.
func (v *verification) policy() error {
	if v.Policy == nil {
		return nil
	}
	if err := v.Policy(v.result); err != nil {
		return refuse(PolicyDenied, "%v", err)
	}
	return nil
}

// asRefusal gives a parser's error the code it stands for.
func asRefusal(err error) error {
	var r *Refusal
	if errors.As(err, &r) {
		return err
	}
	return refuse(Malformed, "%v", err)
}
