package hsm

import (
	"errors"
	"slices"

	"github.com/miekg/pkcs11"
)

// TokenReport is what a token says of itself and what Countersign objects to.
type TokenReport struct {
	Slot uint `json:"slot"`
	TokenInfo
	Flags      []string          `json:"flags"` // CKF_ names; those of the user's PIN are in PIN
	PIN        PINReport         `json:"pin"`
	Sessions   SessionReport     `json:"sessions"`
	Mechanisms []MechanismReport `json:"mechanisms"`
	Profile    ProfileReport     `json:"profile"`
	Objections []Objection       `json:"objections"`

	// Keys are private keys if LoggedIn, else the public keys anyone may see;
	// nil if they were not looked at.
	LoggedIn bool         `json:"loggedIn"`
	Keys     []*KeyReport `json:"keys"`
}

// PINReport is what a token says of the user's PIN.
type PINReport struct {
	State string `json:"state"` // ok, count-low, final-try, locked, to-be-changed, not-set
	Min   uint   `json:"minLength"`
	Max   uint   `json:"maxLength"`
}

// SessionReport counts sessions, of all programs; null where the token gives
// no number or has no limit.
type SessionReport struct {
	Open         *uint `json:"open"`
	Max          *uint `json:"max"`
	MaxReadWrite *uint `json:"maxReadWrite"`
}

// MechanismReport is one of the mechanisms Countersign uses.
type MechanismReport struct {
	Name    string   `json:"name"`
	Number  uint     `json:"number"`
	Offered bool     `json:"offered"`
	Flags   []string `json:"flags"`
	MinKey  uint     `json:"minKeySize"`
	MaxKey  uint     `json:"maxKeySize"`
}

// ProfileReport is what is known of the vendor's tokens; its name is empty if
// that is nothing.
type ProfileReport struct {
	Name       string   `json:"name"`
	MaxMessage int      `json:"maxMessage,omitempty"` // bytes
	Notes      []string `json:"notes,omitempty"`
}

func (t token) examine() (*TokenReport, error) {
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return nil, failure("C_GetTokenInfo", t.info.Label, err)
	}
	r := &TokenReport{
		Slot: t.slot, TokenInfo: t.info, Objections: []Objection{},
		Flags:    flagNames(tokenFlags, t.flags),
		PIN:      PINReport{t.pinState(), info.MinPinLen, info.MaxPinLen},
		Sessions: SessionReport{counted(info.SessionCount), limit(info.MaxSessionCount), limit(info.MaxRwSessionCount)},
	}
	p, err := t.profile()
	if err != nil {
		return nil, err
	}
	r.Profile = ProfileReport{p.name, p.maxMessage, p.notes}
	r.objectToPIN()
	if t.has(pkcs11.CKF_WRITE_PROTECTED) {
		r.object(false, "the token is write-protected: no key can be made in it", "lift the protection for the ceremony")
	}
	return r, r.examineMechanisms(t)
}

func (r *TokenReport) object(fatal bool, what, do string) {
	r.Objections = append(r.Objections, Objection{fatal, what, do})
}

func counted(n uint) *uint {
	if n == pkcs11.CK_UNAVAILABLE_INFORMATION {
		return nil
	}
	return &n
}

func limit(n uint) *uint {
	if n == pkcs11.CK_EFFECTIVELY_INFINITE {
		return nil
	}
	return counted(n)
}

type flagName struct {
	flag uint
	name string
}

var tokenFlags = []flagName{
	{pkcs11.CKF_RNG, "CKF_RNG"},
	{pkcs11.CKF_WRITE_PROTECTED, "CKF_WRITE_PROTECTED"},
	{pkcs11.CKF_LOGIN_REQUIRED, "CKF_LOGIN_REQUIRED"},
	{pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH, "CKF_PROTECTED_AUTHENTICATION_PATH"},
	{pkcs11.CKF_SO_PIN_LOCKED, "CKF_SO_PIN_LOCKED"},
}

var mechanismFlags = []flagName{
	{pkcs11.CKF_HW, "CKF_HW"},
	{pkcs11.CKF_SIGN, "CKF_SIGN"},
	{pkcs11.CKF_VERIFY, "CKF_VERIFY"},
	{pkcs11.CKF_GENERATE_KEY_PAIR, "CKF_GENERATE_KEY_PAIR"},
}

func flagNames(known []flagName, flags uint) []string {
	names := []string{}
	for _, f := range known {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

func (t token) pinState() string {
	switch {
	case !t.has(pkcs11.CKF_USER_PIN_INITIALIZED):
		return "not-set"
	case t.has(pkcs11.CKF_USER_PIN_LOCKED):
		return "locked"
	case t.has(pkcs11.CKF_USER_PIN_FINAL_TRY):
		return "final-try"
	case t.has(pkcs11.CKF_USER_PIN_COUNT_LOW):
		return "count-low"
	case t.has(pkcs11.CKF_USER_PIN_TO_BE_CHANGED):
		return "to-be-changed"
	}
	return "ok"
}

// objectToPIN objects where login would refuse.
func (r *TokenReport) objectToPIN() {
	switch r.PIN.State {
	case "not-set":
		r.object(true, "the token has no user PIN", "its ceremony did not finish: erase it and start again")
	case "locked":
		r.object(true, "the user PIN is locked", "have the security officer unlock it with the vendor's tool")
	case "final-try":
		r.object(true, "one more wrong PIN locks the token, so that nobody logs in", "log in once with the vendor's tool")
	}
}

func (r *TokenReport) examineMechanisms(t token) error {
	sign, err := t.mechanism("CKM_EDDSA", ckmEdDSA)
	if err != nil {
		return err
	}
	generate, err := t.mechanism("CKM_EC_EDWARDS_KEY_PAIR_GEN", ckmECEdwardsKeyPairGen)
	if err != nil {
		return err
	}
	r.Mechanisms = []MechanismReport{sign, generate}
	const do = "use a token, firmware and module that offer it"
	if !slices.Contains(sign.Flags, "CKF_SIGN") {
		r.object(true, "the token does not offer CKM_EDDSA (0x1057) for signatures", do)
	}
	if !slices.Contains(generate.Flags, "CKF_GENERATE_KEY_PAIR") {
		r.object(false, "the token does not offer CKM_EC_EDWARDS_KEY_PAIR_GEN (0x1055): no key can be made in it", do)
	}
	return nil
}

func (t token) mechanism(name string, number uint) (MechanismReport, error) {
	r := MechanismReport{Name: name, Number: number, Flags: []string{}}
	info, err := t.ctx.GetMechanismInfo(t.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(number, nil)})
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_MECHANISM_INVALID)) {
		return r, nil
	}
	if err != nil {
		return r, failure("C_GetMechanismInfo", t.info.Label, err)
	}
	r.Offered, r.Flags, r.MinKey, r.MaxKey = true, flagNames(mechanismFlags, info.Flags), info.MinKeySize, info.MaxKeySize
	return r, nil
}
