package hsm

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"
)

// keyPair is a key found on the token. Handles are valid while the process
// stays logged in.
type keyPair struct {
	private, public pkcs11.ObjectHandle
	info            KeyInfo
}

// findKey finds the one private key with the URI's label and id, whichever are
// given, and its public key, by id. The process must be logged in.
func (s session) findKey(u URI) (keyPair, error) {
	private, err := s.one(pkcs11.CKO_PRIVATE_KEY, u.Object, u.ID)
	if err != nil {
		return keyPair{}, err
	}
	info, err := s.describe(private)
	if err != nil {
		return keyPair{}, err
	}
	if len(info.ID) == 0 {
		return keyPair{}, fmt.Errorf("token %q: private key %q has no CKA_ID to find its public key by", s.token.info.Label, info.Label)
	}
	public, err := s.one(pkcs11.CKO_PUBLIC_KEY, "", info.ID)
	if err != nil {
		return keyPair{}, err
	}
	if info.PublicKey, err = s.publicKey(public); err != nil {
		return keyPair{}, err
	}
	return keyPair{private, public, info}, nil
}

// one finds the only object of a class; label and id restrict if not empty.
func (s session) one(class uint, label string, id []byte) (pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	var wanted []string
	if label != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
		wanted = append(wanted, fmt.Sprintf("label %q", label))
	}
	if len(id) != 0 {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, id))
		wanted = append(wanted, "id "+hex.EncodeToString(id))
	}
	found, err := s.find(template...)
	if err != nil {
		return 0, err
	}
	what := fmt.Sprintf("%s with %s on token %q", className(class), strings.Join(wanted, " and "), s.token.info.Label)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		all, err := s.find(template[0])
		if err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("no %s, which has %s", what, s.list(all))
	}
	return 0, fmt.Errorf("%d times a %s: %s: name the one meant by object= and id= in the key URI", len(found), what, s.list(found))
}

func className(class uint) string {
	if class == pkcs11.CKO_PUBLIC_KEY {
		return "public key"
	}
	return "private key"
}

// list names objects for an error message.
func (s session) list(objects []pkcs11.ObjectHandle) string {
	const most = 20
	var names []string
	for _, o := range objects[:min(len(objects), most)] {
		label, _ := s.attribute(o, pkcs11.CKA_LABEL)
		id, _ := s.attribute(o, pkcs11.CKA_ID)
		names = append(names, fmt.Sprintf("%q (id %s)", label, hex.EncodeToString(id)))
	}
	switch {
	case names == nil:
		return "none"
	case len(objects) > most:
		names = append(names, fmt.Sprintf("and %d more", len(objects)-most))
	}
	return strings.Join(names, ", ")
}

func (s session) checkEd25519(key pkcs11.ObjectHandle) error {
	kind, err := s.number(key, pkcs11.CKA_KEY_TYPE)
	if err != nil {
		return err
	}
	if kind != ckkECEdwards {
		return fmt.Errorf("key type 0x%x is not CKK_EC_EDWARDS (0x%x): not an Ed25519 key", kind, ckkECEdwards)
	}
	params, err := s.attribute(key, pkcs11.CKA_EC_PARAMS)
	if err != nil {
		return err
	}
	return checkCurve(params)
}

func (s session) publicKey(object pkcs11.ObjectHandle) (ed25519.PublicKey, error) {
	if err := s.checkEd25519(object); err != nil {
		return nil, fmt.Errorf("public key on token %q: %w", s.token.info.Label, err)
	}
	point, err := s.attribute(object, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	public, err := decodePoint(point)
	if err != nil {
		return nil, fmt.Errorf("public key on token %q: %w", s.token.info.Label, err)
	}
	return public, nil
}
