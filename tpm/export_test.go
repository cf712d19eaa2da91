package tpm

import (
	"context"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// ApproverKey is the approver as the TPM knows it.
func (s *Sealed) ApproverKey() (tpm2.TPMTPublic, tpm2.TPM2BName) {
	a, err := newApprover(s.Approver)
	if err != nil {
		panic(err)
	}
	return a.public, a.name
}

// StorageTemplate is the frozen template.
func StorageTemplate() tpm2.TPMTPublic { return storageTemplate() }

// ExchangeOn speaks to a descriptor as to the kernel's driver.
func ExchangeOn(fd int, command []byte, deadline time.Time) ([]byte, error) {
	return character(fd).exchange(command, deadline)
}

// Hang is an operation that does not return before until is closed, whatever
// its deadline, like a driver that hangs. It calls begun first. Its result is
// value.
func (d *Device) Hang(ctx context.Context, begun func(), until <-chan struct{}, value []byte) ([]byte, error) {
	return perform(ctx, d, func(*link) ([]byte, error) {
		begun()
		<-until
		return value, nil
	})
}
