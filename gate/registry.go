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
	snapshot   map[string][]*provenance.Envelope // of enrolments, never changed
	count, old int                               // certificates in enrolments and in snapshot
	grown      bool                              // since it was recalled, or scattered in the cache
	status     *provenance.Status                // the newest, nil for none
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
	if contains(known, e) {
		return true
	}
	if chain == nil || !chain.Last().Enrols(e) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known = r.enrolments[digest]
	switch {
	case contains(known, e): // by another goroutine
		return true
	case r.count >= maxEnrolments || len(known) >= maxEnvelopes:
		return false
	}
	r.enrolments[digest] = append(slices.Clip(known), e) // others may be reading the list that was
	r.count++
	r.grown = true
	return true
}

func contains(known []*provenance.Envelope, e *provenance.Envelope) bool {
	if len(known) == 0 {
		return false
	}
	text := e.JSON()
	return slices.ContainsFunc(known, func(k *provenance.Envelope) bool { return bytes.Equal(k.JSON(), text) })
}

// Enrolments are the certificates known, by the digests of their payloads. The map never changes. It is made again
// when it misses a part of them that is worth it, or when all are wanted: a copy for each certificate would take time
// with the square of their number.
func (r *Registry) Enrolments(all bool) map[string][]*provenance.Envelope {
	r.mu.RLock()
	known, missed := r.snapshot, r.count-r.old
	r.mu.RUnlock()
	if missed == 0 || !all && missed < 16+len(known)/4 {
		return known
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshot, r.old = maps.Clone(r.enrolments), r.count
	return r.snapshot
}

// Strip learns what a bundle has in common with others, and gives it without that. What adds nothing that counts stays
// in the bundle, for Verify to judge. In whole is also the certificate that Enrolments may not have yet.
func (r *Registry) Strip(data []byte) (whole, stripped []byte) {
	b, err := provenance.ParseBundle(data)
	if err != nil {
		return data, data
	}
	if r.Meet(b.Identity) {
		b.Identity = nil
	}
	if b.Enrolment == nil || !r.Enrol(b.Enrolment) {
		data = b.JSON()
		return data, data
	}
	missed := !contains(r.Enrolments(false)[b.Enrolment.PayloadDigest()], b.Enrolment)
	if missed {
		whole = b.JSON()
	}
	b.Enrolment = nil
	stripped = b.JSON()
	if !missed {
		whole = stripped
	}
	return whole, stripped
}

// enrolAll learns certificates that were kept, at once.
func (r *Registry) enrolAll(envelopes []*provenance.Envelope) {
	for _, e := range envelopes {
		r.Enrol(e)
	}
}

// certificates are those of Enrolments in an order that is always the same.
func (r *Registry) certificates() (all []*provenance.Envelope) {
	known := r.Enrolments(true)
	for _, digest := range slices.Sorted(maps.Keys(known)) {
		all = append(all, known[digest]...)
	}
	return all
}

// recalled takes what is known as known before, or as worth writing if it is scattered.
func (r *Registry) recalled(scattered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.grown = scattered
}

// grew reports whether there is something to write.
func (r *Registry) grew() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.grown || r.statusData != nil
}
