package hsm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/miekg/pkcs11"
)

func TestClasses(t *testing.T) {
	for code, want := range map[uint]Class{
		pkcs11.CKR_DATA_LEN_RANGE:         ClassRequest,
		pkcs11.CKR_SESSION_HANDLE_INVALID: ClassSession,
		pkcs11.CKR_USER_NOT_LOGGED_IN:     ClassLogin,
		pkcs11.CKR_DEVICE_REMOVED:         ClassDevice,
		pkcs11.CKR_SESSION_COUNT:          ClassCapacity,
		pkcs11.CKR_PIN_LOCKED:             ClassStop,
		pkcs11.CKR_VENDOR_DEFINED + 17:    ClassSession,
	} {
		err := fmt.Errorf("wrapped: %w", failure("C_Sign", "token", pkcs11.Error(code)))
		if got := classify(err); got != want {
			t.Errorf("%v is of class %s, want %s", err, got, want)
		}
		if stop := want == ClassStop; errors.Is(err, ErrStopped) != stop || errors.Is(err, ErrPIN) != stop {
			t.Errorf("%v: does it stop?", err)
		}
	}
	for err, want := range map[error]Class{
		errors.New("no such token"):         ClassDevice,
		errHung:                             ClassDevice,
		errRenewed:                          ClassDevice,
		fmt.Errorf("wrong: %w", ErrStopped): ClassStop,
	} {
		if got := classify(err); got != want {
			t.Errorf("%v is of class %s, want %s", err, got, want)
		}
	}
}
