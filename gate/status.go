package gate

import "countersign.dev/provenance"

// learnFromStatus learns the identity that a status document carries.
func (r *Registry) learnFromStatus(data []byte) {
	if b, err := provenance.ParseStatusBundle(data); err == nil {
		r.Meet(b.Identity)
	}
}

// settleStatus chooses the newest status of a registry that verifies. The first is the one that was kept: it is written
// again only if another is newer. A status of another registry is passed over: those that are handed over are of all.
func (r *run) settleStatus(reg *Registry, all [][]byte) {
	for i, data := range all {
		if len(data) == 0 || !speaksOf(reg, data) {
			continue
		}
		s, err := r.verifier.Status(data, reg.pin(), reg.Chain(), nil)
		if err != nil {
			r.note("a status of registry %s was not taken: %v", reg.Name, err)
			continue
		}
		if reg.status != nil && !s.Supersedes(reg.status) {
			continue
		}
		reg.status, reg.statusData = s, nil
		if i > 0 || r.Cache == nil {
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
