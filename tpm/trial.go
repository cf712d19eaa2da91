package tpm

// trial is what is known of the last time a device was asked to unseal. Whoever
// waits for a TPM opens again with the same device, and may not have heard that
// the PIN was refused: the answer came too late, or never. Used by the operation
// that has the device's turn.
type trial struct {
	failures uint32 // wrong authorisations that the TPM had counted before
	open     bool   // no answer was understood
	refused  error  // for good
}

// begin tells whether the PIN may be proved. The state is the TPM's.
func (t *trial) begin(s LockoutState) error {
	if t.refused == nil && t.open && s.Failures > t.failures {
		t.refused = &stopped{nil, "the TPM did not answer the last unsealing, and has counted a wrong authorisation since: not tried again: compare the PIN file and the sealed file, then restart"}
	}
	t.failures, t.open = s.Failures, false
	return t.refused
}
