package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// link is the exclusive use of the TPM for one operation. It is the transport
// that go-tpm's commands run over. It reads along what they load, so that close
// can flush it whatever became of them: an answer may be refused by its reader
// after the TPM has made the object. No operation needs more than two objects
// and two sessions, and chips have three slots for each. Not for concurrent use.
type link struct {
	ctx      context.Context // no command begins after its end
	wire     wire
	deadline time.Time
	loaded   []tpm2.TPMHandle
	broken   error // why no more commands are possible
	lost     bool  // not even to clean up
}

// flushTime is what cleaning up may take after the deadline.
const flushTime = 2 * time.Second

func connect(ctx context.Context, path string, deadline time.Time) (*link, error) {
	w, managed, err := dial(ctx, path)
	if err != nil {
		return nil, err
	}
	l := &link{ctx: ctx, wire: w, deadline: deadline}
	if !managed {
		err = l.sweep()
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// Send implements go-tpm's transport. The TPM says of some commands that it has
// not begun them and wants them again.
func (l *link) Send(command []byte) ([]byte, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		if err := l.ctx.Err(); err != nil {
			l.broken = fmt.Errorf("%w: %w", ErrBusy, context.Cause(l.ctx))
		}
		if l.broken != nil {
			return nil, l.broken
		}
		response, err := l.exchange(command, l.deadline)
		if err != nil {
			return nil, err
		}
		switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) {
		case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate:
			select {
			case <-time.After(pause):
			case <-l.ctx.Done():
			}
			continue
		}
		return response, nil
	}
}

func (l *link) exchange(command []byte, deadline time.Time) ([]byte, error) {
	response, err := l.wire.exchange(command, deadline)
	if err == nil {
		err = checkHeader(command, response)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	if err != nil {
		l.broken, l.lost = err, true
		return nil, err
	}
	l.account(command, response)
	return response, nil
}

// checkHeader checks what go-tpm does not look at: the tag, which says whether
// sessions follow, and the size.
func checkHeader(command, response []byte) error {
	if len(response) < 10 || int64(len(response)) != int64(binary.BigEndian.Uint32(response[2:])) {
		return fmt.Errorf("%w: its size is wrong", ErrTampered)
	}
	tag, want := binary.BigEndian.Uint16(response), uint16(tpm2.TPMSTNoSessions)
	if binary.BigEndian.Uint32(response[6:]) == 0 {
		want = binary.BigEndian.Uint16(command)
	}
	if tag != want {
		return fmt.Errorf("%w: its tag is %04x", ErrTampered, tag)
	}
	return nil
}

// account keeps the list of what is loaded.
func (l *link) account(command, response []byte) {
	if len(command) < 10 || binary.BigEndian.Uint32(response[6:]) != 0 {
		return
	}
	switch tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) {
	case tpm2.TPMCCStartAuthSession, tpm2.TPMCCLoad, tpm2.TPMCCLoadExternal, tpm2.TPMCCCreatePrimary:
		if len(response) >= 14 {
			l.loaded = append(l.loaded, tpm2.TPMHandle(binary.BigEndian.Uint32(response[10:])))
		}
	}
}

// close flushes what is loaded, also when the operation's time is over, and
// gives the TPM up. What it cannot flush the kernel's resource manager does, or
// the next link's sweep.
func (l *link) close() {
	defer l.wire.close()
	deadline := time.Now().Add(flushTime)
	for _, h := range l.loaded {
		if l.lost {
			return
		}
		command := binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 14}, uint32(tpm2.TPMCCFlushContext))
		l.exchange(binary.BigEndian.AppendUint32(command, uint32(h)), deadline) // fails for what the TPM has flushed by itself
	}
}

// sweep flushes what others left behind: who has the only connection to a TPM
// without a resource manager owns all that is loaded.
func (l *link) sweep() error {
	for _, kind := range []uint32{0x80000000, 0x02000000, 0x03000000} { // objects, HMAC sessions, policy sessions
		handles, err := l.handles(kind)
		if err != nil {
			return err
		}
		for _, h := range handles {
			if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(l); err != nil {
				return l.failed("TPM2_FlushContext", err)
			}
		}
	}
	return nil
}

func (l *link) handles(first uint32) ([]tpm2.TPMHandle, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(l)
	if err != nil {
		return nil, l.failed("TPM2_GetCapability", err)
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, l.failed("TPM2_GetCapability", err)
	}
	return list.Handle, nil
}
