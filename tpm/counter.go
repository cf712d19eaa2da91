package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// counterPublic describes the counter after its first increment, which changes
// its Name. Anyone may read it, the owner advances it. The TPM starts a new
// counter above every value that any counter ever had, so that deleting and
// defining it anew takes nothing back.
func counterPublic() tpm2.TPMSNVPublic {
	return tpm2.TPMSNVPublic{
		NVIndex:    CounterIndex,
		NameAlg:    tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{OwnerWrite: true, AuthRead: true, NoDA: true, NT: tpm2.TPMNTCounter, Written: true},
		DataSize:   8,
	}
}

func counterName() tpm2.TPM2BName {
	public := counterPublic()
	name, err := tpm2.NVName(&public)
	if err != nil {
		panic(err) // a constant
	}
	return *name
}

func counterHandle() tpm2.NamedHandle {
	return tpm2.NamedHandle{Handle: CounterIndex, Name: counterName()}
}

// makeCounter defines the counter and counts once, as far as that is not done.
func (l *link) makeCounter(ownerAuth []byte) error {
	written, fresh := counterPublic(), counterPublic()
	fresh.Attributes.Written = false
	r, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(CounterIndex)}.Execute(l)
	switch {
	case err == nil && bytes.Equal(r.NVPublic.Bytes(), tpm2.Marshal(written)):
		return nil
	case err == nil && !bytes.Equal(r.NVPublic.Bytes(), tpm2.Marshal(fresh)):
		return fmt.Errorf("NV index 0x%08x holds something else than the counter: delete it with the owner authorisation, or restore it", CounterIndex)
	case err != nil && !answered(err, tpm2.TPMRCHandle):
		return l.failed("TPM2_NV_ReadPublic", err)
	}
	owner, failed := l.owner(ownerAuth)
	if failed != nil {
		return failed
	}
	if err != nil {
		if _, err := (tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: tpm2.New2B(fresh)}).Execute(l); err != nil {
			return l.failed("TPM2_NV_DefineSpace", err)
		}
	}
	name, err := tpm2.NVName(&fresh)
	if err != nil {
		return err
	}
	_, err = tpm2.NVIncrement{AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: CounterIndex, Name: *name}}.Execute(l)
	return l.failed("TPM2_NV_Increment", err)
}

// Counter reads the counter that approvals are bound to.
func (d *Device) Counter(ctx context.Context) (uint64, error) {
	return perform(ctx, d, (*link).counter)
}

func (l *link) counter() (uint64, error) {
	r, err := tpm2.NVRead{
		AuthHandle: tpm2.AuthHandle{Handle: CounterIndex, Name: counterName(), Auth: tpm2.PasswordAuth(nil)},
		NVIndex:    counterHandle(), Size: 8,
	}.Execute(l)
	if answered(err, tpm2.TPMRCHandle) {
		return 0, &stopped{nil, fmt.Sprintf("the TPM has no counter at 0x%08x: it was deleted, or the TPM was cleared: find out who did it, then provision it anew in a ceremony, and have the approver sign an approval of its new value", CounterIndex)}
	}
	if err != nil {
		return 0, l.failed("TPM2_NV_Read", err)
	}
	if len(r.Data.Buffer) != 8 {
		return 0, fmt.Errorf("TPM2_NV_Read: %w: a counter of %d bytes", ErrTampered, len(r.Data.Buffer))
	}
	return binary.BigEndian.Uint64(r.Data.Buffer), nil
}

// Advance counts one up and returns the new value: approvals with a lower limit
// are withdrawn for ever. Each time wears the TPM's memory a little.
func (d *Device) Advance(ctx context.Context, ownerAuth []byte) (uint64, error) {
	return performAs(ctx, d, ownerAuth, func(l *link, ownerAuth []byte) (uint64, error) {
		owner, err := l.owner(ownerAuth)
		if err != nil {
			return 0, err
		}
		if _, err := (tpm2.NVIncrement{AuthHandle: owner, NVIndex: counterHandle()}).Execute(l); err != nil {
			return 0, l.failed("TPM2_NV_Increment", err)
		}
		return l.counter()
	})
}
