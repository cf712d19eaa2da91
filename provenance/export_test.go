package provenance

// Identities is how many versions of identities a Verifier holds on to for the certificates that it remembers.
func (v *Verifier) Identities() int {
	held := make(map[*Identity]bool)
	for key := range v.certificates.known {
		held[key.identity] = true
	}
	return len(held)
}
