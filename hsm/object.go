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
	private pkcs11.ObjectHandle
	public  pkcs11.ObjectHandle // 0: the token shows no public object
	info    KeyInfo             // without PublicKey if the token shows none
}

// matches passes a pair whose public key the token does not show: then the
// self-test decides, since its signature has to verify with the pinned key.
func (p keyPair) matches(pinned ed25519.PublicKey) error {
	if len(p.info.PublicKey) == 0 || p.info.PublicKey.Equal(pinned) {
		return nil
	}
	return fmt.Errorf("its public key is %x, but %x is pinned: %w", p.info.PublicKey, pinned, ErrStopped)
}

// findKey finds the one private key with the URI's label and id, whichever are
// given, and its public key. The process must be logged in.
//
// The public object is paired by CKA_ID; by label only for a private key that
// has no CKA_ID. Some tokens hold the point on the private object instead. A
// token may also show it nowhere: then KeyInfo.PublicKey is empty, which is
// safe for whoever has a pinned key to verify a signature with.
func (s session) findKey(u URI) (keyPair, error) {
	private, err := s.one(u.Object, u.ID)
	if err != nil {
		return keyPair{}, err
	}
	pair := keyPair{private: private}
	if pair.info, err = s.describe(private); err != nil {
		return keyPair{}, err
	}
	if err := s.findPublic(&pair); err != nil {
		return keyPair{}, err
	}
	if len(pair.info.PublicKey) == 0 {
		pair.info.PublicKey, err = s.point(private)
	}
	return pair, err
}

// findPublic completes the pair from its public objects. There may be several,
// as long as they show one point.
func (s session) findPublic(pair *keyPair) error {
	label := ""
	if len(pair.info.ID) == 0 {
		label = pair.info.Label
	}
	template, wanted := keyTemplate(pkcs11.CKO_PUBLIC_KEY, label, pair.info.ID)
	found, err := s.find(template...)
	if err != nil {
		return err
	}
	for _, object := range found {
		if err := s.checkEd25519(object); err != nil {
			return fmt.Errorf("public key with %s on token %q: %w", wanted, s.token.info.Label, err)
		}
		public, err := s.point(object)
		switch {
		case err != nil:
			return err
		case len(public) == 0:
		case len(pair.info.PublicKey) == 0:
			pair.public, pair.info.PublicKey = object, public
		case !public.Equal(pair.info.PublicKey):
			return fmt.Errorf("%d times a public key with %s on token %q, and they differ: %s: delete the wrong one with the vendor's tool",
				len(found), wanted, s.token.info.Label, s.list(found))
		}
	}
	return nil
}

// keyTemplate searches for a class; label and id restrict if not empty. wanted
// says the same in words.
func keyTemplate(class uint, label string, id []byte) (template []*pkcs11.Attribute, wanted string) {
	template = []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	var words []string
	if label != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
		words = append(words, fmt.Sprintf("label %q", label))
	}
	if len(id) != 0 {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, id))
		words = append(words, "id "+hex.EncodeToString(id))
	}
	return template, strings.Join(words, " and ")
}

// one finds the only private key with label and id, whichever are not empty.
func (s session) one(label string, id []byte) (pkcs11.ObjectHandle, error) {
	template, wanted := keyTemplate(pkcs11.CKO_PRIVATE_KEY, label, id)
	found, err := s.find(template...)
	if err != nil {
		return 0, err
	}
	what := fmt.Sprintf("private key with %s on token %q", wanted, s.token.info.Label)
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
	return 0, fmt.Errorf("%d times a %s: %s: %s", len(found), what, s.list(found), s.tellApart(found))
}

// tellApart says how to name one of several objects.
func (s session) tellApart(objects []pkcs11.ObjectHandle) string {
	names := map[string]bool{}
	for _, o := range objects {
		names[s.name(o)] = true
	}
	if len(names) < len(objects) {
		return "some have the same label and id, so that no key URI tells them apart: delete or rename one with the vendor's tool"
	}
	return "name the one meant by object= and id= in the key URI"
}

// list names objects for an error message.
func (s session) list(objects []pkcs11.ObjectHandle) string {
	const most = 20
	var names []string
	for _, o := range objects[:min(len(objects), most)] {
		names = append(names, s.name(o))
	}
	switch {
	case names == nil:
		return "none"
	case len(objects) > most:
		names = append(names, fmt.Sprintf("and %d more", len(objects)-most))
	}
	return strings.Join(names, ", ")
}

// name is what an object can be named by in a key URI.
func (s session) name(object pkcs11.ObjectHandle) string {
	label, _ := s.attribute(object, pkcs11.CKA_LABEL)
	id, _ := s.attribute(object, pkcs11.CKA_ID)
	return fmt.Sprintf("%q (%s)", label, idText(id))
}

func idText(id []byte) string {
	if len(id) == 0 {
		return "no id"
	}
	return "id " + hex.EncodeToString(id)
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

// point reads an object's CKA_EC_POINT; nil if the token does not report it.
func (s session) point(object pkcs11.ObjectHandle) (ed25519.PublicKey, error) {
	value, err := s.attribute(object, pkcs11.CKA_EC_POINT)
	if err != nil || len(value) == 0 {
		return nil, err
	}
	public, err := decodePoint(value)
	if err != nil {
		return nil, fmt.Errorf("key %s on token %q: %w", s.name(object), s.token.info.Label, err)
	}
	return public, nil
}
