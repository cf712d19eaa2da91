package hsm_test

import (
	"testing"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// faultyModule is SoftHSM behind a fault module.
type faultyModule struct{ *fault.Module }

func newFaultyModule(t *testing.T) faultyModule {
	t.Helper()
	return faultyModule{fault.New(t, softhsm.Module)}
}

// over gives the key by way of the faulty module.
func (m faultyModule) over(key hsm.GeneratedKey) hsm.Config {
	key.URI.ModulePath = m.Path
	return configOf(key)
}
