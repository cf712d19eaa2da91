package provenance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Chain is every version of an identity from the first, each authorised by the one before it. A Chain that exists has
// been verified; what it proves depends on its Fingerprint being the one that was pinned.
type Chain struct {
	versions []*Identity
}

// ParseChain verifies versions 1 to N, in order.
func ParseChain(envelopes []*Envelope) (*Chain, error) {
	c := new(Chain)
	for _, e := range envelopes {
		var err error
		if c, err = c.Extend(e); err != nil {
			return nil, err
		}
	}
	if len(c.versions) == 0 {
		return nil, errors.New("identity: chain is empty")
	}
	return c, nil
}

// Extend verifies e as the next version and gives the longer chain; c stays as it is.
func (c *Chain) Extend(e *Envelope) (*Chain, error) {
	id, err := ParseIdentity(e)
	if err != nil {
		return nil, err
	}
	var last *Identity
	if len(c.versions) > 0 {
		last = c.Last()
	}
	if err := succeeds(last, id); err != nil {
		return nil, fmt.Errorf("identity version %d: %w", id.Version, err)
	}
	return &Chain{append(slices.Clip(c.versions), id)}, nil
}

// Last is the version whose keys, anchors, exclusions and namespaces hold.
func (c *Chain) Last() *Identity { return c.versions[len(c.versions)-1] }

// Fingerprint is the SHA-256 of version 1's payload, "sha256:…": what consumers pin. It survives every change.
func (c *Chain) Fingerprint() string { return c.versions[0].Envelope.PayloadDigest() }

// Envelopes are the versions as they are transported.
func (c *Chain) Envelopes() []*Envelope {
	out := make([]*Envelope, len(c.versions))
	for i, id := range c.versions {
		out[i] = id.Envelope
	}
	return out
}

// Contains reports whether version's payload has the digest.
func (c *Chain) Contains(version uint64, digest string) bool {
	return version >= 1 && version <= uint64(len(c.versions)) && c.versions[version-1].Envelope.PayloadDigest() == digest
}

// Longer gives the longer of two chains from one fingerprint. If the longer does not extend the shorter, the root
// signed two histories, and neither can be trusted.
func (c *Chain) Longer(d *Chain) (*Chain, error) {
	short, long := c, d
	if len(short.versions) > len(long.versions) {
		short, long = long, short
	}
	for i, id := range short.versions {
		if !bytes.Equal(id.Envelope.Payload, long.versions[i].Envelope.Payload) {
			return nil, fmt.Errorf("two identities of %s exist for version %d: its root keys signed both", id.Registry, id.Version)
		}
	}
	return long, nil
}

// succeeds decides whether next may follow last; last is nil for version 1.
func succeeds(last, next *Identity) error {
	if last == nil {
		if next.Version != 1 {
			return errors.New("a chain begins with version 1")
		}
		return authorised(next, next.Root)
	}
	switch {
	case next.Version != last.Version+1:
		return fmt.Errorf("does not follow version %d", last.Version)
	case next.Previous != last.Envelope.PayloadDigest():
		return errors.New("previous is not the digest of the version before it")
	case next.Registry != last.Registry:
		return fmt.Errorf("registry changed from %s to %s", last.Registry, next.Registry)
	case next.Issued.Before(last.Issued):
		return errors.New("issued is before that of the version before it")
	}
	if err := keeps(last, next); err != nil {
		return err
	}
	return authorised(next, next.Root, last.Root)
}

// keeps refuses a version that forgets: a log or a log's key that vanished would leave old proofs without a judge, and
// an end that was taken back would revive a stolen key.
func keeps(last, next *Identity) error {
	for _, was := range last.Logs {
		is := next.Log(was.Origin)
		if is == nil {
			return fmt.Errorf("log %s is missing", was.Origin)
		}
		if was.Closed != nil && is.Closed == nil {
			return fmt.Errorf("log %s was closed and cannot be opened again", was.Origin)
		}
		for _, k := range was.Keys {
			i := slices.IndexFunc(is.Keys, func(n LogKey) bool { return n.PublicKey == k.PublicKey })
			if i < 0 {
				return fmt.Errorf("log %s: key %s is missing", was.Origin, k.PublicKey.Fingerprint())
			}
			if k.Ended != nil && is.Keys[i].Ended == nil {
				return fmt.Errorf("log %s: key %s was ended and cannot come back", was.Origin, k.PublicKey.Fingerprint())
			}
		}
	}
	for _, k := range last.Enrol {
		if k.Ended && !slices.Contains(next.Enrol, k) {
			return fmt.Errorf("enrolment key %s was ended: it must stay in the list as ended", k.PublicKey.Fingerprint())
		}
	}
	return nil
}

// authorised verifies every signature of next by the keys of the roots, and that each root reaches its threshold.
func authorised(next *Identity, roots ...Root) error {
	pae := next.Envelope.PAE()
	signed := make(map[PublicKey]bool)
	for _, s := range next.Envelope.Signatures {
		key, ok := findKey(s.KeyID, roots)
		if !ok {
			return fmt.Errorf("signature by %s, which is no root key", s.KeyID)
		}
		if !key.Verify(pae, s.Sig) {
			return fmt.Errorf("signature by %s does not verify", s.KeyID)
		}
		signed[key] = true
	}
	for _, root := range roots {
		n := 0
		for _, k := range root.Keys {
			if signed[k] {
				n++
			}
		}
		if n < root.Threshold {
			return fmt.Errorf("%d signatures of a root that needs %d", n, root.Threshold)
		}
	}
	return nil
}

func findKey(fingerprint string, roots []Root) (PublicKey, bool) {
	for _, root := range roots {
		for _, k := range root.Keys {
			if k.Fingerprint() == fingerprint {
				return k, true
			}
		}
	}
	return PublicKey{}, false
}
