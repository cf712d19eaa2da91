package hsm

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/miekg/pkcs11"
)

// KeyReport is a key and what Countersign objects to.
type KeyReport struct {
	URI   string `json:"uri"` // names this key in configurations; empty if none can
	Label string `json:"label"`
	ID    string `json:"id"` // hexadecimal

	// PublicKey is the base64 DER SubjectPublicKeyInfo, as configurations have
	// it, Point the hexadecimal Ed25519 key; empty if the token shows none.
	PublicKey string `json:"publicKey"`
	Point     string `json:"point"`

	// Attributes of the private key; null ones the token does not report.
	// Mechanisms are CKM_ numbers; one at most has made the key.
	Attributes        map[string]*bool `json:"attributes,omitempty"`
	AllowedMechanisms []uint           `json:"allowedMechanisms,omitempty"`
	KeyGenMechanism   []uint           `json:"keyGenMechanism,omitempty"`

	SelfTest   *SelfTest   `json:"selfTest,omitempty"`
	Notes      []string    `json:"notes,omitempty"`
	Objections []Objection `json:"objections"`
}

// SelfTest is one signature.
type SelfTest struct {
	Verified bool    `json:"verified"`
	Seconds  float64 `json:"seconds"`
}

// spki turns an Ed25519 key into a SubjectPublicKeyInfo; RFC 8410, section 4.
func spki(public ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err) // it has the right type
	}
	return base64.StdEncoding.EncodeToString(der)
}

func (r *TokenReport) examineKeys(ctx context.Context, t token, u URI, sign bool) (err error) {
	u.Serial = t.info.Serial
	var s session
	if u.PINFile == "" {
		s, err = t.open(0)
	} else {
		s, err = t.login(ctx, 0, u.PINFile)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r.LoggedIn, r.Keys = u.PINFile != "", []*KeyReport{}
	switch {
	case !r.LoggedIn:
		return r.listPublic(s, u)
	case u.hasKey():
		return r.add(u).examine(s, u, sign)
	}
	return r.examineAll(ctx, s, u)
}

// add begins the report of a key.
func (r *TokenReport) add(u URI) *KeyReport {
	k := &KeyReport{Objections: []Objection{}}
	k.name(u, u.Object, u.ID)
	r.Keys = append(r.Keys, k)
	return k
}

// name gives the URI by label and id, as far as it can hold them.
func (k *KeyReport) name(u URI, label string, id []byte) {
	k.Label, k.ID = label, hex.EncodeToString(id)
	u.Object, u.ID = label, id
	if checkText(label) != nil {
		u.Object = ""
	}
	if k.URI = ""; u.hasKey() {
		k.URI = u.String()
	}
}

// listPublic lists the public keys that anyone may see.
func (r *TokenReport) listPublic(s session, u URI) error {
	template, _ := keyTemplate(pkcs11.CKO_PUBLIC_KEY, u.Object, u.ID)
	found, err := s.find(template...)
	for _, object := range found {
		if err != nil {
			break
		}
		if u.Object, u.ID, err = s.labelAndID(object); err == nil {
			err = r.add(u).readPublic(s, object)
		}
	}
	return err
}

func (k *KeyReport) readPublic(s session, object pkcs11.ObjectHandle) error {
	err := s.checkEd25519(object)
	var public ed25519.PublicKey
	if err == nil {
		public, err = s.point(object)
	}
	k.show(public)
	return k.object(err)
}

// examineAll examines each private key as if u named it.
func (r *TokenReport) examineAll(ctx context.Context, s session, u URI) error {
	found, err := s.find(pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY))
	for _, object := range found {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			break
		}
		if u.Object, u.ID, err = s.labelAndID(object); err != nil {
			break
		}
		if k := r.add(u); k.URI != "" {
			err = k.examine(s, u, false)
		} else {
			k.Objections = []Objection{{true, "the key has neither id nor label that a key URI can hold", "name it with the vendor's tool"}}
		}
	}
	return err
}

func (s session) labelAndID(object pkcs11.ObjectHandle) (label string, id []byte, err error) {
	text, err := s.attribute(object, pkcs11.CKA_LABEL)
	if err != nil {
		return "", nil, err
	}
	id, err = s.attribute(object, pkcs11.CKA_ID)
	return string(text), id, err
}

// examine finds the key as Open would.
func (k *KeyReport) examine(s session, u URI, sign bool) error {
	pair, err := s.findKey(u)
	if err != nil {
		return k.object(err)
	}
	k.name(u, pair.info.Label, pair.info.ID)
	k.show(pair.info.PublicKey)
	if err := k.readAttributes(s, pair); err != nil {
		return err
	}
	switch {
	case k.Point == "":
		k.note("the token does not show the public key: take it from where the key was made; Open works with the pinned one")
	case pair.public == 0:
		k.note("the token has no public object for this key: its point is on the private one")
	}
	if sign && k.Point == "" {
		k.note("not signed: without the public key there is nothing to verify the signature with")
	} else if sign {
		k.sign(s, pair)
	}
	return nil
}

func (k *KeyReport) note(text string) { k.Notes = append(k.Notes, text) }

func (k *KeyReport) show(public ed25519.PublicKey) {
	if len(public) != 0 {
		k.Point, k.PublicKey = hex.EncodeToString(public), spki(public)
	}
}

// object turns what is wrong with a key into an objection. What the module
// answered instead stays an error.
func (k *KeyReport) object(err error) error {
	var answer *Error
	if err != nil && !errors.As(err, &answer) {
		k.Objections = append(k.Objections, Objection{true, err.Error(), "correct the key URI, or use a key made in a ceremony"})
		return nil
	}
	return err
}

func (k *KeyReport) readAttributes(s session, pair keyPair) error {
	p, err := s.token.profile()
	if err != nil {
		return err
	}
	var o KeyOptions
	k.Attributes = map[string]*bool{}
	for _, f := range keyFlags(o) {
		k.Attributes[f.name] = nil
		if value, reported := pair.info.Attributes[f.name]; reported {
			k.Attributes[f.name] = &value
			o.Indestructible = o.Indestructible || f.kind == pkcs11.CKA_DESTROYABLE && !value
		}
	}
	k.AllowedMechanisms = pair.info.AllowedMechanisms
	k.Objections = append(k.Objections, pair.info.objections(o, p)...)
	generated, err := s.attribute(pair.private, pkcs11.CKA_KEY_GEN_MECHANISM)
	if number, bad := decodeNumbers(generated); bad == nil && !slices.Contains(number, pkcs11.CK_UNAVAILABLE_INFORMATION) {
		k.KeyGenMechanism = number
	}
	return err
}

// sign comes last: after an error the session may be stuck.
func (k *KeyReport) sign(s session, pair keyPair) {
	begin := time.Now()
	_, err := s.sign(pair.private, pair.info.PublicKey, selfTestMessage())
	k.SelfTest = &SelfTest{err == nil, time.Since(begin).Seconds()}
	if err != nil {
		k.Objections = append(k.Objections, Objection{true, "self-test: " + err.Error(), "do not use the key before this is understood"})
	}
}
