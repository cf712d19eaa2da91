package gate

import "countersign.dev/provenance"

// learnFromStatus learns the identity that a status document carries.
func (r *Registry) learnFromStatus(data []byte) {
	if b, err := provenance.ParseStatusBundle(data); err == nil {
		r.Meet(b.Identity)
	}
}

// settleStatus chooses the newest status of a registry that verifies. The first were kept: they are not written again. A
// status of another registry is passed over: those that are handed over are of all.
func (r *run) settleStatus(reg *Registry, kept int, all [][]byte) {
	for i, data := range all {
		if len(data) == 0 || !speaksOf(reg, data) {
			continue
		}
		s, err := r.verifier.Status(data, reg.pin(), reg.Chain(), nil)
		if err != nil {
			r.note("a status of registry %s was not taken: %v", reg.Name, err)
			continue
		}
		if reg.status != nil && !newer(s, reg.status) {
			continue
		}
		reg.status, reg.statusData = s, nil
		if i >= kept {
			reg.statusData = data
		}
	}
}

// speaksOf reports whether a status is of the registry, or of none that can be told.
func speaksOf(reg *Registry, data []byte) bool {
	b, err := provenance.ParseStatusBundle(data)
	if err != nil {
		return true // Status says what is wrong
	}
	entry, err := provenance.ParseEntry(b.Statement)
	s, ok := entry.(*provenance.StatusStatement)
	return err != nil || !ok || s.Registry == reg.Name && s.Identity == reg.Identity
}

// newer reports whether s says more than t, or the same later.
func newer(s, t *provenance.Status) bool {
	return s.Supersedes(t) || !t.Supersedes(s) && s.At.After(t.At)
}
