package tpm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
)

var (
	// ErrStopped matches, by errors.Is, whatever must not be tried again before
	// an operator has looked: a wrong PIN or a TPM that counts too many of them,
	// another storage key or another TPM than the pinned one, another seed than
	// the pinned public key's.
	ErrStopped = errors.New("stopped until an operator acts and restarts")

	// ErrPIN matches a PIN the TPM refused; that matches ErrStopped as well.
	ErrPIN = errors.New("the TPM refused the PIN")

	// ErrBusy matches an operation whose caller left before the TPM answered.
	// Where it was under way it ends by itself; no other begins before.
	ErrBusy = errors.New("the TPM has not answered in time")

	// ErrStorageKey matches a storage key that is not the pinned one in the TPM
	// that is: replaced, or lost when the TPM was cleared. With the endorsement
	// hierarchy closed, it may be another TPM too.
	ErrStorageKey = errors.New("the TPM's storage key is not the pinned one")

	// ErrWrongDevice matches a TPM that is not the one the seed was sealed to.
	ErrWrongDevice = errors.New("this is not the TPM the seed was sealed to")

	// ErrTampered matches an answer that the TPM cannot have given: its HMAC or
	// its form is wrong. Something stands between, or the bus is faulty.
	ErrTampered = errors.New("the answer is not the TPM's own")

	// ErrClosed is returned by a Key after Close.
	ErrClosed = errors.New("key is closed")
)

// stopped makes an error match ErrStopped and one more sentinel, without
// repeating their text.
type stopped struct {
	kind error
	text string
}

func (e *stopped) Error() string { return e.text }

func (e *stopped) Is(target error) bool { return target == ErrStopped || target == e.kind }

// PINError is a refused PIN. It matches ErrPIN and ErrStopped.
type PINError struct {
	Left uint32 // attempts this package still makes before it refuses by itself
}

func (e *PINError) Error() string {
	return fmt.Sprintf("the TPM refused the PIN, %d attempts left: not tried again, because the TPM locks itself after a few: correct the PIN file, then restart", e.Left)
}

func (e *PINError) Is(target error) bool { return target == ErrPIN || target == ErrStopped }

// LockoutError says that the TPM has counted too many wrong authorisations. It
// matches ErrStopped. The last attempt is never made: it is the operator's.
type LockoutError struct {
	Failures, Max uint32 // counted, and how many lock the TPM

	// Ends is when an attempt is possible again at the latest; zero if the TPM
	// forgets nothing by itself, and the lockout authorisation must reset it.
	Ends time.Time
}

func (e *LockoutError) Error() string {
	text := fmt.Sprintf("the TPM has counted %d wrong authorisations of %d: ", e.Failures, e.Max)
	if e.Failures < e.Max {
		text = fmt.Sprintf("the TPM has counted %d wrong authorisations and locks at %d, the last attempt is not made by itself: ", e.Failures, e.Max)
	}
	if e.Ends.IsZero() {
		return text + "reset it with the lockout authorisation"
	}
	return text + "wait until " + e.Ends.UTC().Format(time.RFC3339) + ", or reset it with the lockout authorisation"
}

func (e *LockoutError) Is(target error) bool { return target == ErrStopped }

// PCRError says that the machine is in another state than any approved one.
type PCRError struct {
	Changed []PCRChange
}

// PCRChange is one register of the SHA-256 bank.
type PCRChange struct {
	Index           uint
	Expected, Found []byte
}

func (e *PCRError) Error() string {
	if len(e.Changed) == 0 {
		return "a PCR was extended during the unlock: try again"
	}
	var b strings.Builder
	b.WriteString("the machine is not in an approved state")
	for _, c := range e.Changed {
		fmt.Fprintf(&b, ", PCR %d is %x and not %x", c.Index, c.Found, c.Expected)
	}
	b.WriteString(": if the change is wanted, have the approver sign an approval of it")
	return b.String()
}

// RollbackError says that the TPM's counter has passed what an approval allows:
// the approval was withdrawn.
type RollbackError struct {
	Counter uint64 // the TPM's
	Limit   uint64 // the approval's
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("the approval was valid up to generation %d, and the TPM's counter is at %d: have the approver sign a newer one", e.Limit, e.Counter)
}

// ApprovalFault is what is wrong with an approval.
type ApprovalFault string

const (
	ApprovalForged  ApprovalFault = "is not signed by the approver"
	ApprovalForeign ApprovalFault = "is for another key or appliance"
	ApprovalExpired ApprovalFault = "has expired"
)

// ApprovalError is an approval that counts for nothing.
type ApprovalError struct {
	Fault    ApprovalFault
	NotAfter time.Time
}

func (e *ApprovalError) Error() string {
	if e.Fault == ApprovalExpired {
		return fmt.Sprintf("the approval expired at %s: have the approver sign a newer one", e.NotAfter.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the approval %s", e.Fault)
}

// hints say what to do about an answer.
var hints = []struct {
	code tpm2.TPMRC
	text string
}{
	{tpm2.TPMRCInitialize, "the TPM was reset and not started: restart the machine"},
	{tpm2.TPMRCFailure, "the TPM is in failure mode: restart the machine"},
	{tpm2.TPMRCObjectMemory, "other programs fill the TPM: use /dev/tpmrm0"},
	{tpm2.TPMRCSessionMemory, "other programs fill the TPM: use /dev/tpmrm0"},
}

// failed names the command that failed. What came neither from the TPM nor from
// the connection comes from an answer that is not authentic.
func (l *link) failed(command string, err error) error {
	var code tpm2.TPMRC
	switch {
	case err == nil:
		return nil
	case l.broken != nil:
		return fmt.Errorf("%s: %w", command, l.broken)
	case !errors.As(err, &code):
		return fmt.Errorf("%s: %w: %v", command, ErrTampered, err)
	}
	for _, h := range hints {
		if code.Is(h.code) {
			return fmt.Errorf("%s: %w: %s", command, code, h.text)
		}
	}
	return fmt.Errorf("%s: %w", command, code)
}

// answered reports whether err is one of the TPM's answers.
func answered(err error, codes ...tpm2.TPMRC) bool {
	return slices.ContainsFunc(codes, func(c tpm2.TPMRC) bool { return errors.Is(err, c) })
}
