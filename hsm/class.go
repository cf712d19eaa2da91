package hsm

import (
	"errors"

	"github.com/miekg/pkcs11"
)

// Class says what an answer of a module means for the one who got it. Modules
// report one event by different codes: a token that was pulled out is
// CKR_OBJECT_HANDLE_INVALID to SoftHSM, CKR_DEVICE_ERROR to p11-kit and
// CKR_TOKEN_NOT_PRESENT to others. So nothing here depends on a single code.
type Class uint8

const (
	// ClassSession: this session is spoilt. It is closed, and the operation is
	// tried once more on another; a second failure is the device's. Codes that
	// are not in the table, vendors' own among them, are of this class.
	ClassSession Class = iota

	// ClassRequest: the device works and will refuse the same again.
	ClassRequest

	// ClassLogin: the login or the handles are gone. Log in and look the key up
	// again, compare it with the pinned one, then repeat.
	ClassLogin

	// ClassDevice: the token or the connection to it is gone. Begin again, with
	// C_Finalize and C_Initialize if nothing less helps.
	ClassDevice

	// ClassCapacity: there is no room. Make do with fewer sessions.
	ClassCapacity

	// ClassStop: another try can do harm; see ErrStopped.
	ClassStop
)

func (c Class) String() string {
	return [...]string{"session", "request", "login", "device", "capacity", "stop"}[c]
}

// classes is the table (PKCS#11 base 2.40, section 5.1), with the reasons.
var classes = map[uint]Class{
	// The next session may well work.
	pkcs11.CKR_SESSION_HANDLE_INVALID:         ClassSession, // an idle time-out, or the device restarted
	pkcs11.CKR_SESSION_CLOSED:                 ClassSession, // the device closed it during the call
	pkcs11.CKR_OPERATION_ACTIVE:               ClassSession, // a failed C_Sign left it so, for ever
	pkcs11.CKR_OPERATION_NOT_INITIALIZED:      ClassSession, // somebody ended our operation
	pkcs11.CKR_GENERAL_ERROR:                  ClassSession, // says nothing: one more try tells a hiccup from an outage
	pkcs11.CKR_FUNCTION_FAILED:                ClassSession, // the same
	pkcs11.CKR_USER_ANOTHER_ALREADY_LOGGED_IN: ClassSession, // another part of the process is at it
	pkcs11.CKR_USER_TOO_MANY_TYPES:            ClassSession, // the same
	pkcs11.CKR_FUNCTION_CANCELED:              ClassSession, // by the device: nobody here cancels
	pkcs11.CKR_FUNCTION_NOT_PARALLEL:          ClassSession, // says nothing of this call

	// It was understood and refused, and would be again.
	pkcs11.CKR_DATA_LEN_RANGE:             ClassRequest, // some devices take only short messages
	pkcs11.CKR_DATA_INVALID:               ClassRequest,
	pkcs11.CKR_ARGUMENTS_BAD:              ClassRequest,
	pkcs11.CKR_BUFFER_TOO_SMALL:           ClassRequest,
	pkcs11.CKR_MECHANISM_INVALID:          ClassRequest, // the token or the key does not do CKM_EDDSA
	pkcs11.CKR_MECHANISM_PARAM_INVALID:    ClassRequest,
	pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED: ClassRequest,
	pkcs11.CKR_KEY_TYPE_INCONSISTENT:      ClassRequest,
	pkcs11.CKR_KEY_SIZE_RANGE:             ClassRequest,
	pkcs11.CKR_FUNCTION_NOT_SUPPORTED:     ClassRequest,
	pkcs11.CKR_ACTION_PROHIBITED:          ClassRequest,

	// The session works, but not with what was got before.
	pkcs11.CKR_USER_NOT_LOGGED_IN:    ClassLogin, // a restarted device, or another part of the process logged out
	pkcs11.CKR_KEY_HANDLE_INVALID:    ClassLogin, // handles change when a device restarts
	pkcs11.CKR_OBJECT_HANDLE_INVALID: ClassLogin, // SoftHSM: the token's directory is gone

	// No session will work.
	pkcs11.CKR_DEVICE_ERROR:             ClassDevice, // p11-kit: the connection is lost, until C_Finalize
	pkcs11.CKR_DEVICE_REMOVED:           ClassDevice,
	pkcs11.CKR_TOKEN_NOT_PRESENT:        ClassDevice,
	pkcs11.CKR_TOKEN_NOT_RECOGNIZED:     ClassDevice,
	pkcs11.CKR_SLOT_ID_INVALID:          ClassDevice, // slots were renumbered
	pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED: ClassDevice, // somebody finalised the module under us

	// It works for fewer.
	pkcs11.CKR_SESSION_COUNT:     ClassCapacity,
	pkcs11.CKR_HOST_MEMORY:       ClassCapacity,
	pkcs11.CKR_DEVICE_MEMORY:     ClassCapacity,
	pkcs11.CKR_FUNCTION_REJECTED: ClassCapacity, // a device that sheds load

	// Another try with the same PIN can lock the token.
	pkcs11.CKR_PIN_INCORRECT:            ClassStop,
	pkcs11.CKR_PIN_INVALID:              ClassStop,
	pkcs11.CKR_PIN_LEN_RANGE:            ClassStop,
	pkcs11.CKR_PIN_EXPIRED:              ClassStop,
	pkcs11.CKR_PIN_LOCKED:               ClassStop,
	pkcs11.CKR_USER_PIN_NOT_INITIALIZED: ClassStop,
}

// unclear says that C_Login was answered with a code that is in no table, or
// refused for good. Vendors have codes of their own for a wrong PIN.
func unclear(err error) bool {
	var answer *Error
	if !errors.As(err, &answer) {
		return false
	}
	class, known := classes[answer.Code]
	return !known || class == ClassRequest
}

// Class is the class of the answer's code.
func (e *Error) Class() Class { return classes[e.Code] }

// classify is for errors of signing and opening. What did not come from the
// module as a code (no such token, no such key, a call that hung) is the
// device's: it may be another time.
func classify(err error) Class {
	if errors.Is(err, ErrStopped) {
		return ClassStop
	}
	var answer *Error
	if errors.As(err, &answer) {
		return answer.Class()
	}
	return ClassDevice
}
