package hsm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"
)

// KeyOptions are the choices about a new key. The zero value is right except
// for keys meant to last as long as the token.
type KeyOptions struct {
	// Indestructible sets CKA_DESTROYABLE=false: nobody who can log in can
	// delete the key. Only initialising the token anew, which deletes all its
	// keys, removes it then.
	Indestructible bool
}

// GeneratedKey is a new key pair, as read back from the token.
type GeneratedKey struct {
	KeyInfo
	URI   URI // finds exactly this key
	Token TokenInfo
}

// GenerateKey makes an Ed25519 key pair that cannot leave the token. u needs
// token, serial, object, module-path and pin-source; the id is drawn at
// random. A label in use by any object is refused. What the token made is read
// back and has to sign a test message; if anything is not as asked, the pair
// is deleted again.
func GenerateKey(ctx context.Context, u URI, o KeyOptions) (GeneratedKey, error) {
	if err := u.require("token", "serial", "object", "module-path", "pin-source"); err != nil {
		return GeneratedKey{}, err
	}
	if len(u.ID) != 0 {
		return GeneratedKey{}, fmt.Errorf("key URI %s: leave id out: the id of a new key is drawn at random", u)
	}
	u.ID = make([]byte, 16)
	rand.Read(u.ID) // never fails
	var key GeneratedKey
	err := withLogin(ctx, u, pkcs11.CKF_RW_SESSION, func(s session) error {
		s.token.exclusive.Lock()
		defer s.token.exclusive.Unlock()
		if err := s.refuseExisting(u); err != nil {
			return err
		}
		info, err := s.generate(u, o)
		key = GeneratedKey{info, u, s.token.info}
		return err
	})
	if err != nil {
		return GeneratedKey{}, err
	}
	return key, nil
}

func (s session) refuseExisting(u URI) error {
	for _, a := range []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object),
		pkcs11.NewAttribute(pkcs11.CKA_ID, u.ID),
	} {
		found, err := s.find(a)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("token %q already has %s: choose another label", s.token.info.Label, s.list(found))
		}
	}
	return nil
}

func (s session) generate(u URI, o KeyOptions) (KeyInfo, error) {
	p, err := s.token.profile()
	if err != nil {
		return KeyInfo{}, err
	}
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(ckmECEdwardsKeyPairGen, nil)}
	public, private, err := s.token.ctx.GenerateKeyPair(s.handle, mechanism, publicTemplate(u), privateTemplate(u, o, p))
	if err != nil {
		return KeyInfo{}, s.failure("C_GenerateKeyPair", err)
	}
	info, err := s.checkGenerated(u, o, p)
	if err != nil {
		err = fmt.Errorf("new key %q (id %s) on token %q: %w", u.Object, hex.EncodeToString(u.ID), s.token.info.Label, err)
		return KeyInfo{}, errors.Join(err, s.destroy(private), s.destroy(public))
	}
	return info, nil
}

func publicTemplate(u URI) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object),
		pkcs11.NewAttribute(pkcs11.CKA_ID, u.ID),
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, ed25519OID),
	}
}

func privateTemplate(u URI, o KeyOptions, p profile) []*pkcs11.Attribute {
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object),
		pkcs11.NewAttribute(pkcs11.CKA_ID, u.ID),
		pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, encodeNumber(ckmEdDSA)),
	}
	for _, f := range keyFlags(o) {
		if f.role != derived {
			template = append(template, pkcs11.NewAttribute(f.kind, f.want))
		}
	}
	return slices.DeleteFunc(template, func(a *pkcs11.Attribute) bool { return slices.Contains(p.unknown, a.Type) })
}

// checkGenerated finds the new pair as Open will.
func (s session) checkGenerated(u URI, o KeyOptions, p profile) (KeyInfo, error) {
	pair, err := s.findKey(u)
	if err != nil {
		return KeyInfo{}, err
	}
	if err := pair.info.checkHardened(o, p); err != nil {
		return KeyInfo{}, err
	}
	if len(pair.info.PublicKey) == 0 {
		return KeyInfo{}, errors.New("the token does not show the new key's public key")
	}
	_, err = s.sign(pair.private, pair.info.PublicKey, selfTestMessage())
	return pair.info, err
}

func (s session) destroy(object pkcs11.ObjectHandle) error {
	if err := s.token.ctx.DestroyObject(s.handle, object); err != nil {
		return fmt.Errorf("%w: the object is still on the token: erase the token", s.failure("C_DestroyObject", err))
	}
	return nil
}
