package hsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// Inspection is what a token and a key report of themselves.
type Inspection struct {
	Module string    `json:"module"`
	Token  TokenInfo `json:"token"`
	Key    KeyInfo   `json:"key"`
}

// Inspect reads what Open would open. It does not judge it; Examine does.
func Inspect(ctx context.Context, u URI) (Inspection, error) {
	if err := u.requireKey(); err != nil {
		return Inspection{}, err
	}
	var found Inspection
	err := withLogin(ctx, u, 0, func(s session) error {
		pair, err := s.findKey(u)
		found = Inspection{s.token.path, s.token.info, pair.info}
		return err
	})
	return found, err
}

// Report is what a module, its tokens and their keys say of themselves, and
// what Countersign objects to.
type Report struct {
	Module ModuleReport   `json:"module"`
	Tokens []*TokenReport `json:"tokens"` // without blank ones
}

// ModuleReport is what C_GetInfo says of a library, and its slots.
type ModuleReport struct {
	Path         string `json:"path"`
	Cryptoki     string `json:"cryptoki"` // version
	Manufacturer string `json:"manufacturer"`
	Description  string `json:"description"`
	Version      string `json:"version"`
	Slots        int    `json:"slots"`
	Blank        int    `json:"blank"` // slots with a token that is not initialised
}

// Objections lists all of the report.
func (r Report) Objections() []Objection {
	var all []Objection
	for _, t := range r.Tokens {
		all = append(all, t.Objections...)
		for _, k := range t.Keys {
			all = append(all, k.Objections...)
		}
	}
	return all
}

// Examine looks at the tokens of a module; at one only, if u names one; then
// also at the token's keys, or the key that u names. What takes a login it
// sees only if u has the PIN's file. It logs in at most once, and not where
// another wrong PIN would lock the token. sign has the key sign a message that
// means nothing, and verifies the signature.
//
// After an error the report holds what was seen until then.
func Examine(ctx context.Context, u URI, sign bool) (r Report, err error) {
	r.Tokens = []*TokenReport{}
	if err := u.checkExamine(sign); err != nil {
		return r, err
	}
	m, err := useModule(u.ModulePath)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.release()) }()
	if err := ctx.Err(); err != nil {
		return r, err
	}
	tokens, err := r.Module.read(m)
	if err != nil {
		return r, err
	}
	if u.Token == "" {
		return r, r.examine(ctx, tokens...)
	}
	t, err := m.findToken(u.Token, u.Serial)
	if err != nil {
		return r, err
	}
	if err := r.examine(ctx, t); err != nil {
		return r, err
	}
	return r, r.Tokens[0].examineKeys(ctx, t, u, sign)
}

func (u URI) hasKey() bool { return u.Object != "" || len(u.ID) != 0 }

func (u URI) checkExamine(sign bool) error {
	if err := u.require("module-path"); err != nil {
		return err
	}
	switch {
	case u.Token == "" && (u.hasKey() || u.Serial != "" || u.PINFile != ""):
		return fmt.Errorf("key URI %s lacks token", u)
	case sign && !u.hasKey():
		return fmt.Errorf("key URI %s lacks object or id to say which key signs", u)
	case sign:
		return u.require("pin-source")
	}
	return nil
}

// read returns the tokens that are initialised.
func (r *ModuleReport) read(m *module) (made []token, err error) {
	info, err := m.ctx.GetInfo()
	if err != nil {
		return nil, failure("C_GetInfo", "", err)
	}
	slots, err := m.ctx.GetSlotList(false)
	if err != nil {
		return nil, failure("C_GetSlotList", "", err)
	}
	*r = ModuleReport{Path: m.path, Cryptoki: versionText(info.CryptokiVersion), Manufacturer: info.ManufacturerID,
		Description: info.LibraryDescription, Version: versionText(info.LibraryVersion), Slots: len(slots)}
	all, err := m.tokens()
	for _, t := range all {
		if t.has(pkcs11.CKF_TOKEN_INITIALIZED) {
			made = append(made, t)
		}
	}
	r.Blank = len(all) - len(made)
	return made, err
}

func versionText(v pkcs11.Version) string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (r *Report) examine(ctx context.Context, tokens ...token) error {
	for _, t := range tokens {
		if err := ctx.Err(); err != nil {
			return err
		}
		report, err := t.examine()
		if err != nil {
			return err
		}
		r.Tokens = append(r.Tokens, report)
	}
	return nil
}
