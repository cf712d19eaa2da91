package hsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"
)

// session is one PKCS#11 session. Only one goroutine may use it at a time:
// libraries crash otherwise.
type session struct {
	token  token
	handle pkcs11.SessionHandle
}

// open opens a session; flags is 0 or CKF_RW_SESSION.
func (t token) open(flags uint) (session, error) {
	h, err := t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|flags)
	if err != nil {
		return session{}, failure("C_OpenSession", t.info.Label, err)
	}
	return session{t, h}, nil
}

func (s session) close() error {
	if err := s.token.ctx.CloseSession(s.handle); err != nil {
		return s.failure("C_CloseSession", err)
	}
	return nil
}

func (s session) failure(op string, err error) error {
	return failure(op, s.token.info.Label, err)
}

// loginAs takes a login by another session of this process for good: PKCS#11
// logs in the process, not the session. checked says that the token looked at
// the PIN and took it.
func (s session) loginAs(user uint, pin string) (checked bool, err error) {
	err = s.token.ctx.Login(s.handle, user, pin)
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		return false, nil
	}
	if err != nil {
		return false, s.failure("C_Login", err)
	}
	return true, nil
}

// find returns the handles of all objects that have the attributes.
func (s session) find(template ...*pkcs11.Attribute) (found []pkcs11.ObjectHandle, err error) {
	if err := s.token.ctx.FindObjectsInit(s.handle, template); err != nil {
		return nil, s.failure("C_FindObjectsInit", err)
	}
	defer func() {
		if e := s.token.ctx.FindObjectsFinal(s.handle); e != nil && err == nil {
			err = s.failure("C_FindObjectsFinal", e)
		}
	}()
	for {
		handles, _, err := s.token.ctx.FindObjects(s.handle, 64)
		if err != nil {
			return nil, s.failure("C_FindObjects", err)
		}
		if len(handles) == 0 {
			return found, nil
		}
		found = append(found, handles...)
	}
}

// attribute reads one attribute; nil if the object or the token has none such.
func (s session) attribute(object pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	values, err := s.token.ctx.GetAttributeValue(s.handle, object, []*pkcs11.Attribute{{Type: kind}})
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)) {
		return nil, nil
	}
	if err != nil {
		return nil, s.failure(fmt.Sprintf("C_GetAttributeValue (0x%x)", kind), err)
	}
	return values[0].Value, nil
}

// number reads a CK_ULONG attribute, which is of this machine's word size and
// byte order.
func (s session) number(object pkcs11.ObjectHandle, kind uint) (uint, error) {
	value, err := s.attribute(object, kind)
	if err != nil {
		return 0, err
	}
	numbers, err := decodeNumbers(value)
	if err != nil || len(numbers) != 1 {
		return 0, fmt.Errorf("token %q: attribute 0x%x of %d bytes is not one number", s.token.info.Label, kind, len(value))
	}
	return numbers[0], nil
}

// decodeNumbers reads an array of CK_ULONG, 64 bits wide on every platform
// this runs on.
func decodeNumbers(value []byte) ([]uint, error) {
	const size = 8
	if len(value)%size != 0 {
		return nil, fmt.Errorf("%d bytes are not an array of CK_ULONG", len(value))
	}
	var numbers []uint
	for number := range slices.Chunk(value, size) {
		numbers = append(numbers, uint(binary.NativeEndian.Uint64(number)))
	}
	return numbers, nil
}

func encodeNumber(n uint64) []byte {
	return binary.NativeEndian.AppendUint64(nil, n)
}
