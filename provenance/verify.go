package provenance

import (
	"errors"
	"fmt"
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

	Chain      *Chain                 // the consumer's own, nil if it keeps none
	Enrolments map[string][]*Envelope // certificates at hand besides the bundle's, by the digest of their payload
	Bridges    []*Bridge              // bridges at hand besides the bundle's
	Status     *Status                // of the pinned registry, nil if none is at hand
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
	PublisherEnded  time.Time // since when the status says that the publisher's enrolment has ended; zero if it does not
}

// Verify answers one Request as a Verifier does. Whoever has many asks one Verifier.
func Verify(r Request) (*Result, error) { return NewVerifier().Verify(r) }

// verification carries what the steps find out; each step relies on the ones before it.
type verification struct {
	Request
	verifier *Verifier
	bundle   *Bundle
	expected Coordinate
	pinned   *Pin
	chain    *Chain    // the longest of those at hand
	identity *Identity // its last version
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
	if err := v.checkStatus(); err != nil {
		return err
	}
	if bundleErr != nil {
		return refuse(Malformed, "%v", bundleErr)
	}
	return nil
}

// checkStatus refuses a question with a status that cannot answer it.
func (v *verification) checkStatus() error {
	switch s := v.Status; {
	case v.pinned.StatusMaxAge > 0 && v.Now.IsZero():
		return errors.New("the pin limits the age of a status, and the time now is missing")
	case s == nil:
	case s.Document == nil || s.chain == nil:
		return errors.New("status: it was not verified")
	case s.Registry != v.pinned.Registry || s.Identity != v.pinned.Identity:
		return fmt.Errorf("status: it is of %s, identity %s; pinned is %s, identity %s", s.Registry, s.Identity, v.pinned.Registry, v.pinned.Identity)
	}
	return nil
}

// identify is step 2.
func (v *verification) identify() error {
	var err error
	if v.chain, err = v.verifier.chain(v.pinned, v.bundle.Identity, v.Chain, v.Status.knownChain()); err != nil {
		return err
	}
	v.identity = v.chain.Last()
	if v.head, err = v.verifier.checkpoint(v.bundle.Proof.Checkpoint); err != nil {
		return err
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
	e, err := v.enrolment()
	switch {
	case err != nil:
		return err
	case e == nil:
		return unchecked("enrolment %s: take it from the registry's log or ask for a bundle that carries it", v.counter.Enrolment)
	case e.Registry != v.claim.Registry:
		return refuse(EnrolmentInvalid, "it is for registry %s", e.Registry)
	case e.publisher != v.result.Publisher:
		return refuse(EnrolmentInvalid, "it is for publisher %s, the publication is by %s", e.publisher, v.result.Publisher)
	case !e.CoversAt(v.claim.Coordinate, v.claim.At):
		return refuse(EnrolmentInvalid, "it does not cover %s at %s", v.claim.Coordinate, At(v.claim.At))
	}
	if p := v.pinned.Publishers; len(p) > 0 && !slices.Contains(p, v.result.Publisher) {
		return refuse(PublisherNotPinned, "publisher %s is not one of the pin's", v.result.Publisher)
	}
	if signed := v.counter.Publication.Envelope; !e.Publisher.Verify(signed.PAE(), signed.Signatures[0].Sig) {
		return refuse(PublicationSignatureInvalid, "the publication's signature does not verify with %s", v.result.Publisher)
	}
	return nil
}

// enrolment finds the certificate that the statement names: of several envelopes around its payload, one that is good and
// signed by a key that still counts. Without one the error is about the last; nil and no error mean that none is at hand.
func (v *verification) enrolment() (n *certified, err error) {
	wanted := v.counter.Enrolment
	for _, e := range append([]*Envelope{v.bundle.Enrolment}, v.Enrolments[wanted]...) {
		if e == nil || e.PayloadDigest() != wanted {
			continue
		}
		if n, err = v.verifier.enrolment(v.identity, e, wanted); err == nil {
			break
		}
	}
	return n, err
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
	return v.verifier.counts(v.log, v.head, bridges)
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

// policy is step 8.
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
