package hsm

import (
	"crypto/ed25519"

	"countersign.dev/attest"
)

// ClaimsOf are what a token's report becomes.
func ClaimsOf(i Inspection, public ed25519.PublicKey) (c attest.Claims, err error) {
	return c, i.claim(&c, Config{PublicKey: public})
}
