package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// LockoutState is the TPM's protection against guessing.
type LockoutState struct {
	Failures uint32        // wrong authorisations counted now
	Max      uint32        // how many lock the TPM
	Forget   time.Duration // how long until one is forgotten; 0 for never
	Recovery time.Duration // how long the lockout authorisation is refused after a wrong use; 0 until a restart
	Locked   bool
}

func lockoutState(p map[tpm2.TPMPT]uint32) LockoutState {
	return LockoutState{
		Failures: p[tpm2.TPMPTLockoutCounter],
		Max:      p[tpm2.TPMPTMaxAuthFail],
		Forget:   time.Duration(p[tpm2.TPMPTLockoutInterval]) * time.Second,
		Recovery: time.Duration(p[tpm2.TPMPTLockoutRecovery]) * time.Second,
		Locked:   p[tpm2.TPMPTPermanent]&bitInLockout != 0,
	}
}

// left is how many attempts may still be made; the last one is not.
func (s LockoutState) left() uint32 {
	reserve := s.Max
	if s.Max > 1 {
		reserve--
	}
	if s.Locked || s.Failures >= reserve {
		return 0
	}
	return reserve - s.Failures
}

// err refuses when no attempt is left.
func (s LockoutState) err(now time.Time) error {
	if s.left() > 0 {
		return nil
	}
	return s.locked(now)
}

// locked tells when an attempt is possible again. The TPM does not say how far
// the present interval has gone, so Ends is the latest moment.
func (s LockoutState) locked(now time.Time) *LockoutError {
	e := &LockoutError{Failures: s.Failures, Max: s.Max}
	if s.Forget > 0 {
		allowed := max(s.Max, 2) - 2 // failures that leave an attempt and the reserve
		over := max(s.Failures, allowed+1) - allowed
		e.Ends = now.Add(time.Duration(over) * s.Forget)
	}
	return e
}

func (l *link) lockout() (LockoutState, error) {
	p, err := l.properties(tpm2.TPMPTPermanent)
	return lockoutState(p), err
}

// SetLockout sets how many wrong authorisations lock the TPM, how long until one
// is forgotten, and how long the lockout authorisation is refused after a wrong
// use. It concerns all users of the TPM. auth is the lockout authorisation.
func (d *Device) SetLockout(ctx context.Context, auth []byte, s LockoutState) error {
	if s.Max < 2 || s.Forget < time.Second {
		return errors.New("lockout: allow at least 2 attempts, and forget one after a second or more")
	}
	var parameters []byte
	for _, v := range []uint32{s.Max, uint32(s.Forget / time.Second), uint32(s.Recovery / time.Second)} {
		parameters = binary.BigEndian.AppendUint32(parameters, v)
	}
	_, err := performAs(ctx, d, auth, func(l *link, auth []byte) (struct{}, error) {
		return struct{}{}, l.asLockout(dictionaryAttackParameters, auth, parameters)
	})
	return err
}

// ResetLockout has the TPM forget the wrong authorisations it counted. A wrong
// auth locks the lockout authorisation itself, and matches ErrStopped.
func (d *Device) ResetLockout(ctx context.Context, auth []byte) error {
	_, err := performAs(ctx, d, auth, func(l *link, auth []byte) (struct{}, error) {
		return struct{}{}, l.asLockout(dictionaryAttackLockReset, auth, nil)
	})
	return err
}

// The commands that go-tpm lacks; library specification part 3, section 25.
const (
	dictionaryAttackLockReset  tpm2.TPMCC = 0x139
	dictionaryAttackParameters tpm2.TPMCC = 0x13A
)

// asLockout runs a command on the lockout hierarchy. A session proves auth, so
// that it is not on the bus.
func (l *link) asLockout(code tpm2.TPMCC, auth, parameters []byte) error {
	if err := checkAuth(auth); err != nil {
		return err
	}
	session, _, err := tpm2.HMACSession(l, tpm2.TPMAlgSHA256, nonceSize, tpm2.Auth(auth))
	if err != nil {
		return l.failed("TPM2_StartAuthSession", err)
	}
	names := []tpm2.TPM2BName{tpm2.HandleName(tpm2.TPMRHLockout)}
	if err := session.NewNonceCaller(); err != nil {
		return err
	}
	a, err := session.Authorize(code, parameters, nil, names, 0)
	if err != nil {
		return err
	}
	area := tpm2.Marshal(*a)
	var command bytes.Buffer
	for _, field := range []any{tpm2.TPMSTSessions, uint32(10 + 4 + 4 + len(area) + len(parameters)), code, tpm2.TPMRHLockout, uint32(len(area)), area, parameters} {
		if err := binary.Write(&command, binary.BigEndian, field); err != nil {
			return err
		}
	}
	response, err := l.Send(command.Bytes())
	if err != nil {
		return err
	}
	return refusedLockout(l.failed(fmt.Sprintf("TPM command 0x%x", uint32(code)), checkPlain(response, code, names, session)))
}

// checkPlain checks an answer without handles or parameters.
func checkPlain(response []byte, code tpm2.TPMCC, names []tpm2.TPM2BName, session tpm2.Session) error {
	if rc := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])); rc != tpm2.TPMRCSuccess {
		return rc
	}
	if len(response) < 14 || binary.BigEndian.Uint32(response[10:]) != 0 {
		return errors.New("it has parameters")
	}
	a, err := tpm2.Unmarshal[tpm2.TPMSAuthResponse](response[14:])
	if err != nil {
		return err
	}
	return session.Validate(tpm2.TPMRCSuccess, code, nil, names, 0, a)
}

func refusedLockout(err error) error {
	if answered(err, tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth, tpm2.TPMRCLockout) {
		return errors.Join(err, &stopped{nil, "the lockout authorisation is wrong or locked: it is refused now until the recovery time is over or the machine was restarted"})
	}
	return err
}
