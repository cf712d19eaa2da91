package hsm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"
)

var (
	// ErrStopped matches, by errors.Is, whatever must not be tried again
	// before an operator has looked: a PIN the token refused (tokens lock
	// after a few), a key other than the pinned one, a wrong signature. The
	// process keeps refusing; it takes a restart to try once more.
	ErrStopped = errors.New("stopped until an operator acts and restarts")

	// ErrPIN matches the answers to a login that say that the PIN is not right;
	// they match ErrStopped as well.
	ErrPIN = errors.New("the token refused the PIN")

	// ErrStuck matches what ends a key when a call into the module does not
	// return: nothing but leaving the process helps then.
	ErrStuck = errors.New("the PKCS#11 module is stuck: the process must be left")

	// ErrClosed is returned by a Key after Close.
	ErrClosed = errors.New("key is closed")
)

// Error is a PKCS#11 function's answer other than CKR_OK.
type Error struct {
	Op    string // the function, for example C_Login
	Token string // the token's label, "" before one is chosen
	Code  uint   // CKR_…
}

func (e *Error) Error() string {
	text := e.Op
	if e.Token != "" {
		text += fmt.Sprintf(" on token %q", e.Token)
	}
	text += ": " + codeName(e.Code)
	if hint := hints[e.Code]; hint != "" {
		text += ": " + hint
	}
	return text
}

// Is makes a PIN error, which is all of ClassStop, match ErrStopped and ErrPIN.
func (e *Error) Is(target error) bool {
	return (target == ErrStopped || target == ErrPIN) && e.Class() == ClassStop
}

// hints say what to do next.
var hints = map[uint]string{
	pkcs11.CKR_PIN_INCORRECT:            "not tried again, because tokens lock after a few wrong PINs: correct the PIN file, then restart",
	pkcs11.CKR_PIN_INVALID:              "the PIN has characters the token does not take: correct the PIN file, then restart",
	pkcs11.CKR_PIN_LEN_RANGE:            "the PIN is too short or too long for this token: correct the PIN file, then restart",
	pkcs11.CKR_PIN_EXPIRED:              "set a new user PIN with the vendor's tool, put it in the PIN file, then restart",
	pkcs11.CKR_PIN_LOCKED:               "the security officer must unlock the user PIN with the vendor's tool, then restart",
	pkcs11.CKR_USER_PIN_NOT_INITIALIZED: "the token has no user PIN: its ceremony did not finish",
	pkcs11.CKR_DEVICE_REMOVED:           "check that the device is connected",
	pkcs11.CKR_TOKEN_NOT_PRESENT:        "check that the device is connected",
	pkcs11.CKR_SESSION_COUNT:            "the token has no session left: stop other programs using it",
	pkcs11.CKR_MECHANISM_INVALID:        "the token or the key does not allow this mechanism: Ed25519 needs CKM_EDDSA (0x1057)",
	pkcs11.CKR_ACTION_PROHIBITED:        "the object forbids it",
}

// failure turns an error of the PKCS#11 binding into one of ours.
func failure(op, token string, err error) error {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &Error{Op: op, Token: token, Code: uint(code)}
}

func answered(err error, code uint) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

func codeName(code uint) string {
	text := pkcs11.Error(code).Error()
	name := text[strings.LastIndex(text, " ")+1:]
	switch {
	case name != "":
		return name
	case code == pkcs11.CKR_ACTION_PROHIBITED:
		return "CKR_ACTION_PROHIBITED"
	}
	return fmt.Sprintf("CKR 0x%X", code)
}
