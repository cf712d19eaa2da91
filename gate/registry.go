package gate

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"countersign.dev/provenance"
)

const (
	maxEnrolments = 100_000 // certificates that are kept of one registry
	maxEnvelopes  = 8       // around one certificate's payload
)

// Registry is what is known of one registry, whose identity a pin names: what its bundles have in common, kept once.
// It is safe for concurrent use.
type Registry struct {
	Name     string
	Identity string // fingerprint

	mu         sync.RWMutex
	chain      *provenance.Chain // the longest seen, nil while none is known
	enrolments map[string][]*provenance.Envelope
	count      int
	grown      bool               // since it was recalled
	status     *provenance.Status // the newest, nil for none
	statusData []byte
}

// pin is one that says nothing but which registry it is.
func (r *Registry) pin() *provenance.Pin {
	return &provenance.Pin{Registry: r.Name, Identity: r.Identity}
}

func newRegistry(pin *provenance.Pin) *Registry {
	return &Registry{Name: pin.Registry, Identity: pin.Identity, enrolments: make(map[string][]*provenance.Envelope)}
}

// Chain is the longest identity seen, nil if none was.
func (r *Registry) Chain() *provenance.Chain {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.chain
}

// Meet learns an identity and reports whether it adds nothing any more: it is the one that is known, or a beginning
// of it.
func (r *Registry) Meet(envelopes []*provenance.Envelope) bool {
	if len(envelopes) == 0 || envelopes[0].PayloadDigest() != r.Identity {
		return false
	}
	last := envelopes[len(envelopes)-1].PayloadDigest()
	if c := r.Chain(); c != nil && c.Contains(uint64(len(envelopes)), last) {
		return true
	}
	met, err := provenance.ParseChain(envelopes)
	if err != nil || met.Last().Registry != r.Name {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chain == nil {
		r.chain, r.grown = met, true
		return true
	}
	longer, err := r.chain.Longer(met)
	if err != nil {
		return false
	}
	r.grown = r.grown || longer != r.chain
	r.chain = longer
	return true
}

// Enrol learns a certificate that counts by the identity known, and reports whether it did.
func (r *Registry) Enrol(e *provenance.Envelope) bool {
	digest := e.PayloadDigest()
	r.mu.RLock()
	known, chain := r.enrolments[digest], r.chain
	r.mu.RUnlock()
	text := e.JSON()
	for _, k := range known {
		if bytes.Equal(k.JSON(), text) {
			return true
		}
	}
	if chain == nil || !chain.Last().Enrols(e) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count >= maxEnrolments || len(r.enrolments[digest]) >= maxEnvelopes {
		return false
	}
	all := maps.Clone(r.enrolments) // others are reading the one that was
	all[digest] = append(slices.Clip(all[digest]), e)
	r.enrolments = all
	r.count++
	r.grown = true
	return true
}

// Enrolments are the certificates known, by the digests of their payloads. The map never changes.
func (r *Registry) Enrolments() map[string][]*provenance.Envelope {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.enrolments
}

// Strip learns what a bundle has in common with others, and gives it without that. What adds nothing that counts stays
// in the bundle, for Verify to judge.
func (r *Registry) Strip(data []byte) []byte {
	b, err := provenance.ParseBundle(data)
	if err != nil {
		return data
	}
	if r.Meet(b.Identity) {
		b.Identity = nil
	}
	if b.Enrolment != nil && r.Enrol(b.Enrolment) {
		b.Enrolment = nil
	}
	return b.JSON()
}

// enrolAll learns certificates that were kept, at once.
func (r *Registry) enrolAll(envelopes []*provenance.Envelope) {
	for _, e := range envelopes {
		r.Enrol(e)
	}
}

// certificates are those of Enrolments in an order that is always the same.
func (r *Registry) certificates() (all []*provenance.Envelope) {
	known := r.Enrolments()
	for _, digest := range slices.Sorted(maps.Keys(known)) {
		all = append(all, known[digest]...)
	}
	return all
}

// forgetGrowth takes what is known as known before.
func (r *Registry) forgetGrowth() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.grown = false
}

// growth reports whether the identity or the certificates grew, and gives the status if it is newer than the one kept.
func (r *Registry) growth() (grown bool, status []byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.grown, r.statusData
}
