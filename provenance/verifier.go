package provenance

import "strings"

// Verifier answers Requests, and does once what several of them have in common: the identity chains, certificates and
// heads that it found good. It is safe for concurrent use. What it remembers is bounded, and changes no answer.
type Verifier struct {
	chains       *memo[string, *Chain] // by the JSON of their envelopes
	histories    *memo[string, *Chain] // by the digest of the last payload, which goes back to the first
	certificates *memo[certificate, *certified]
	notes        *memo[string, *Checkpoint]
	heads        *memo[headOf, signerCount]
}

// certificate is an envelope that is an enrolment by an enrolment key of a version of an identity.
type certificate struct {
	identity                   *Identity
	payloadType, digest, keyID string
	sig                        [64]byte
}

// certified is such an enrolment, and the fingerprint of its publisher's key.
type certified struct {
	*Enrolment
	publisher string
}

// headOf is a checkpoint whose signature lines were verified with the keys of a log.
type headOf struct {
	log  *Log
	note *Checkpoint
}

// signerCount is how many keys of a log signed a head.
type signerCount struct{ active, ended int }

// NewVerifier remembers nothing yet.
func NewVerifier() *Verifier {
	return &Verifier{newMemo[string, *Chain](64), newMemo[string, *Chain](64), newMemo[certificate, *certified](16384), newMemo[string, *Checkpoint](1024), newMemo[headOf, signerCount](1024)}
}

// Verify answers a Request by the steps of the package comment, in their order. The error is a *Refusal (no), an
// *Unchecked (cannot tell), or says what is wrong with the request.
func (v *Verifier) Verify(r Request) (*Result, error) {
	q := &verification{Request: r, verifier: v}
	for _, step := range []func() error{q.pin, q.identify, q.statement, q.names, q.digests, q.publisher, q.inclusion, q.validity, q.status, q.policy} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return q.result, nil
}

// chain chooses the longest of the chains that are at hand, all of which must be the pinned one as far as they go.
func (v *Verifier) chain(pin *Pin, envelopes []*Envelope, known ...*Chain) (*Chain, error) {
	chosen, err := v.parseChain(pin, envelopes)
	if err != nil {
		return nil, err
	}
	for _, c := range known {
		switch {
		case c == nil || c == chosen || len(c.versions) == 0:
		case c.Fingerprint() != pin.Identity:
			return nil, refuse(IdentityMismatch, "identity is %s, pinned is %s", c.Fingerprint(), pin.Identity)
		case chosen == nil:
			chosen = c
		default:
			if chosen, err = chosen.Longer(c); err != nil {
				return nil, refuse(IdentityMismatch, "%v", err)
			}
		}
	}
	if chosen == nil {
		return nil, unchecked("the registry's identity: take it from %s or ask for a bundle that carries it", pin.Registry)
	}
	last := chosen.Last()
	if last.Registry != pin.Registry {
		return nil, refuse(IdentityMismatch, "identity is of registry %s, pinned is %s", last.Registry, pin.Registry)
	}
	if l := pin.Latest; l != nil && !chosen.Contains(l.Version, "sha256:"+l.SHA256) {
		return nil, refuse(IdentityRollback, "the identity at hand ends with version %d and does not contain the pinned version %d",
			last.Version, l.Version)
	}
	return chosen, nil
}

// parseChain verifies the chain that came with a proof; nil for none.
func (v *Verifier) parseChain(pin *Pin, envelopes []*Envelope) (*Chain, error) {
	if len(envelopes) == 0 {
		return nil, nil
	}
	// The fingerprint first: a mirror must not make us verify thousands of versions of its own making.
	if got := envelopes[0].PayloadDigest(); got != pin.Identity {
		return nil, refuse(IdentityMismatch, "identity is %s, pinned is %s", got, pin.Identity)
	}
	key := digest(EncodeEnvelopes(envelopes))
	if c, ok := v.chains.get(key); ok {
		return c, nil
	}
	c, err := ParseChain(envelopes)
	if err != nil {
		return nil, refuse(IdentityMismatch, "%v", err)
	}
	// Other signatures of the same versions, or in another order, make no other chain: a mirror can write very many, and
	// everything remembered of each would hold on to its own.
	return v.chains.put(key, v.histories.put(c.Last().Envelope.PayloadDigest(), c)), nil
}

// enrolment verifies that e, whose payload has the digest, is a certificate by an enrolment key of id that is not ended,
// for a key that has no role in id.
func (v *Verifier) enrolment(id *Identity, e *Envelope, digest string) (*certified, error) {
	key := certificate{identity: id, payloadType: e.PayloadType, digest: digest}
	if len(e.Signatures) == 1 && len(e.Signatures[0].Sig) == len(key.sig) {
		key.keyID, key.sig = e.Signatures[0].KeyID, [64]byte(e.Signatures[0].Sig)
		if n, ok := v.certificates.get(key); ok {
			return n, nil
		}
	}
	n, err := ParseEnrolment(e)
	if err != nil {
		return nil, refuse(EnrolmentInvalid, "%v", err)
	}
	if !id.Enrols(e) {
		return nil, refuse(EnrolmentInvalid, "not signed by an enrolment key of %s that is not ended", id.Registry)
	}
	if id.Holds(n.Publisher) {
		return nil, refuse(EnrolmentInvalid, "the publisher's key has a role in the registry's identity")
	}
	return v.certificates.put(key, &certified{n, n.Publisher.Fingerprint()}), nil
}

// checkpoint reads a signed note.
func (v *Verifier) checkpoint(note string) (*Checkpoint, error) {
	if cp, ok := v.notes.get(note); ok {
		return cp, nil
	}
	cp, err := ParseCheckpoint(note)
	if err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	return v.notes.put(strings.Clone(note), cp), nil
}

// signers is Log.signers.
func (v *Verifier) signers(l *Log, cp *Checkpoint) (active, ended int, err error) {
	key := headOf{l, cp}
	if n, ok := v.heads.get(key); ok {
		return n.active, n.ended, nil
	}
	if active, ended, err = l.signers(cp); err == nil {
		v.heads.put(key, signerCount{active, ended})
	}
	return active, ended, err
}
