package hsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// InitToken makes a token in the first blank slot: it sets the label, the
// security officer's PIN and the user's, each read from a file, and returns
// the token's serial. It refuses a label that is in use.
func InitToken(ctx context.Context, modulePath, label, soPINFile, userPINFile string) (serial string, err error) {
	if err := checkTokenLabel(label); err != nil {
		return "", err
	}
	var pins tokenPINs
	if pins.officer, err = readPIN(soPINFile); err != nil {
		return "", err
	}
	if pins.user, err = readPIN(userPINFile); err != nil {
		return "", err
	}
	m, err := useModule(modulePath)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, m.release()) }()
	m.exclusive.Lock()
	defer m.exclusive.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	blank, err := m.blankToken(label)
	if err != nil {
		return "", err
	}
	return blank.initialise(label, pins)
}

// Tokens lists the initialised tokens of a module, without logging in.
func Tokens(ctx context.Context, modulePath string) (list []TokenInfo, err error) {
	m, err := useModule(modulePath)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.release()) }()
	m.exclusive.Lock()
	defer m.exclusive.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all, err := m.tokens()
	for _, t := range all {
		if t.has(pkcs11.CKF_TOKEN_INITIALIZED) {
			list = append(list, t.info)
		}
	}
	return list, err
}

type tokenPINs struct{ officer, user string }

func checkTokenLabel(label string) error {
	err := checkPadded(label, 32)
	if label == "" {
		err = errors.New("is empty")
	}
	if err != nil {
		return fmt.Errorf("token label %w", err)
	}
	return nil
}

func (m *module) blankToken(label string) (token, error) {
	all, err := m.tokens()
	if err != nil {
		return token{}, err
	}
	var blank []token
	for _, t := range all {
		switch {
		case !t.has(pkcs11.CKF_TOKEN_INITIALIZED):
			blank = append(blank, t)
		case t.info.Label == label:
			return token{}, fmt.Errorf("token %q exists (serial %s): choose another label", label, t.info.Serial)
		}
	}
	if blank == nil {
		return token{}, fmt.Errorf("module %s has no blank token: it has %s", m.path, listTokens(all))
	}
	return blank[0], nil
}

func (t token) initialise(label string, pins tokenPINs) (serial string, err error) {
	if err := t.checkPINLength(pins.officer, pins.user); err != nil {
		return "", err
	}
	if err := t.ctx.InitToken(t.slot, pins.officer, label); err != nil {
		return "", failure("C_InitToken", label, err)
	}
	t, err = t.tokenIn(t.slot)
	if err != nil {
		return "", err
	}
	if t.info.Label != label {
		return "", fmt.Errorf("C_InitToken: slot %d holds token %q afterwards, want %q", t.slot, t.info.Label, label)
	}
	if err := t.setUserPIN(pins); err != nil {
		return "", fmt.Errorf("%w: token %q (serial %s) is made but has no user PIN: erase it and start again", err, label, t.info.Serial)
	}
	return t.info.Serial, nil
}

func (t token) checkPINLength(pins ...string) error {
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return failure("C_GetTokenInfo", "", err)
	}
	for _, pin := range pins {
		if n := uint(len(pin)); n < info.MinPinLen || info.MaxPinLen > 0 && n > info.MaxPinLen {
			return fmt.Errorf("the token takes PINs of %d to %d bytes, not %d: correct the PIN file", info.MinPinLen, info.MaxPinLen, n)
		}
	}
	return nil
}

func (t token) setUserPIN(pins tokenPINs) (err error) {
	s, err := t.open(pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }() // the last session: logs out
	if _, err := s.loginAs(pkcs11.CKU_SO, pins.officer); err != nil {
		return err
	}
	if err := t.ctx.InitPIN(s.handle, pins.user); err != nil {
		return s.failure("C_InitPIN", err)
	}
	return nil
}

// withLogin runs f in a session of its own that is logged in as the user.
func withLogin(ctx context.Context, u URI, flags uint, f func(session) error) (err error) {
	m, err := useModule(u.ModulePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.release()) }()
	t, err := m.findToken(u.Token, u.Serial)
	if err != nil {
		return err
	}
	s, err := t.login(ctx, flags, u.PINFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return f(s)
}
