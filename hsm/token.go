package hsm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"
)

// TokenInfo is what a token says of itself.
type TokenInfo struct {
	Label        string `json:"label"`
	Serial       string `json:"serial"`
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Hardware     string `json:"hardware"` // version
	Firmware     string `json:"firmware"` // version
}

// token is an initialised token in a slot. Slots are renumbered when a module
// is initialised again, so a token is good for one initialisation.
type token struct {
	*module
	slot  uint
	info  TokenInfo
	flags uint // CKF_… as they were when it was found

	maxSessions uint // or CK_EFFECTIVELY_INFINITE, CK_UNAVAILABLE_INFORMATION
}

// tokens lists what is in the module's slots, blank tokens too.
func (m *module) tokens() ([]token, error) {
	slots, err := m.ctx.GetSlotList(true)
	if err != nil {
		return nil, failure("C_GetSlotList", "", err)
	}
	found := make([]token, 0, len(slots))
	for _, slot := range slots {
		t, err := m.tokenIn(slot)
		if answered(err, pkcs11.CKR_TOKEN_NOT_PRESENT) || answered(err, pkcs11.CKR_TOKEN_NOT_RECOGNIZED) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	return found, nil
}

func (m *module) tokenIn(slot uint) (token, error) {
	info, err := m.ctx.GetTokenInfo(slot)
	if err != nil {
		return token{}, failure("C_GetTokenInfo", "", err)
	}
	return token{module: m, slot: slot, flags: info.Flags, maxSessions: info.MaxSessionCount, info: TokenInfo{
		Label:        info.Label,
		Serial:       info.SerialNumber,
		Manufacturer: info.ManufacturerID,
		Model:        info.Model,
		Hardware:     versionText(info.HardwareVersion),
		Firmware:     versionText(info.FirmwareVersion),
	}}, nil
}

// findToken finds the one token with the label and, if given, the serial.
func (m *module) findToken(label, serial string) (token, error) {
	all, err := m.tokens()
	if err != nil {
		return token{}, err
	}
	var matches []token
	for _, t := range all {
		if t.has(pkcs11.CKF_TOKEN_INITIALIZED) && t.info.Label == label && (serial == "" || t.info.Serial == serial) {
			matches = append(matches, t)
		}
	}
	wanted := fmt.Sprintf("token %q", label)
	if serial != "" {
		wanted += " with serial " + serial
	}
	switch len(matches) {
	case 0:
		return token{}, fmt.Errorf("no %s in module %s, which has %s", wanted, m.path, listTokens(all))
	case 1:
		return matches[0], nil
	}
	return token{}, fmt.Errorf("%s is ambiguous: %s: say which with serial= in the key URI", wanted, listTokens(matches))
}

func (t token) has(flag uint) bool { return t.flags&flag != 0 }

func (t token) name() string { return fmt.Sprintf("%q serial %q", t.info.Label, t.info.Serial) }

func listTokens(tokens []token) string {
	var names []string
	for _, t := range tokens {
		if t.has(pkcs11.CKF_TOKEN_INITIALIZED) {
			names = append(names, fmt.Sprintf("%q (serial %s)", t.info.Label, t.info.Serial))
		}
	}
	if names == nil {
		return "no token"
	}
	return strings.Join(names, ", ")
}

// checkUserPIN refuses to log in where it cannot work or where one more wrong
// PIN would lock the token.
func (t token) checkUserPIN() error {
	switch {
	case !t.has(pkcs11.CKF_USER_PIN_INITIALIZED):
		return failure("C_Login", t.info.Label, pkcs11.Error(pkcs11.CKR_USER_PIN_NOT_INITIALIZED))
	case t.has(pkcs11.CKF_USER_PIN_LOCKED):
		return failure("C_Login", t.info.Label, pkcs11.Error(pkcs11.CKR_PIN_LOCKED))
	case t.has(pkcs11.CKF_USER_PIN_FINAL_TRY):
		return fmt.Errorf("token %q: not logging in, because one more wrong PIN locks it: log in once with the vendor's tool, then restart: %w", t.info.Label, ErrStopped)
	}
	return nil
}

// login opens a session and logs the process in as the user; the login lasts
// as long as a session of the token is open. A PIN the token refused is not
// tried again in the life of the process.
func (t token) login(ctx context.Context, flags uint, pinFile string) (session, error) {
	if err := ctx.Err(); err != nil {
		return session{}, err
	}
	s, err := t.open(flags)
	if err != nil {
		return session{}, err
	}
	if err := s.loginUser(pinFile); err != nil {
		return session{}, errors.Join(err, s.close())
	}
	return s, nil
}

func (s session) loginUser(pinFile string) error {
	t := s.token
	t.loggingIn.Lock()
	defer t.loggingIn.Unlock()
	if err := t.stopped.reason(t.name()); err != nil {
		return fmt.Errorf("token %q is not logged into again: %w", t.info.Label, err)
	}
	if err := t.checkUserPIN(); err != nil {
		return err
	}
	pin, err := readPIN(pinFile)
	if err != nil {
		return err
	}
	checked, err := s.loginAs(pkcs11.CKU_USER, pin)
	if checked {
		t.accepted.keep(t.name(), pin)
	}
	if unclear(err) && !t.accepted.same(t.name(), pin) {
		err = fmt.Errorf("%w: not tried again, because it may be about the PIN: see the vendor's manual, then restart: %w", err, ErrStopped)
	}
	if errors.Is(err, ErrStopped) {
		t.stopped.stop(t.name(), err)
	}
	return err
}
