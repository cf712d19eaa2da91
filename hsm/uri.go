package hsm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// URI names a token or a key the way RFC 7512 does:
//
//	pkcs11:token=registry;serial=4f1c0a;object=log-1;id=%0a%0b?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin
//
// These attributes and no others are known. A URI goes into configuration
// files, logs and transcripts, so a PIN has no place in it.
type URI struct {
	Token      string // token: the token's label
	Serial     string // serial: tells tokens with one label apart
	Object     string // object: the key's label
	ID         []byte // id: the key's CKA_ID
	ModulePath string // module-path: absolute path of the PKCS#11 library
	PINFile    string // pin-source=file:…: absolute path of the file with the PIN
}

// ParseURI reads a key URI. An unknown, empty or repeated attribute is an
// error. Errors never repeat a value: it might be a PIN in the wrong place.
func ParseURI(s string) (URI, error) {
	rest, ok := strings.CutPrefix(s, "pkcs11:")
	if !ok {
		return URI{}, errors.New("key URI does not begin with the scheme pkcs11")
	}
	var u URI
	path, query, hasQuery := strings.Cut(rest, "?")
	if path != "" {
		if err := u.parse(pathAttributes, strings.Split(path, ";"), pathReserved); err != nil {
			return URI{}, err
		}
	}
	if hasQuery {
		if err := u.parse(queryAttributes, strings.Split(query, "&"), queryReserved); err != nil {
			return URI{}, err
		}
	}
	return u, nil
}

// String writes the URI so that ParseURI reads the same back.
func (u URI) String() string {
	var b strings.Builder
	b.WriteString("pkcs11:")
	u.write(&b, pathAttributes, "", ";")
	u.write(&b, queryAttributes, "?", "&")
	return b.String()
}

func (u *URI) parse(known []uriAttribute, pairs []string, reserved string) error {
	for _, pair := range pairs {
		name, text, _ := strings.Cut(pair, "=")
		a, err := findAttribute(known, name)
		if err != nil {
			return err
		}
		value, err := decodePercent(text, reserved)
		switch {
		case err != nil:
		case value == "":
			err = errors.New("is empty")
		case a.get(*u) != "":
			err = errors.New("is given twice")
		default:
			err = a.set(u, value)
		}
		if err != nil {
			return fmt.Errorf("key URI: %s %w", name, err)
		}
	}
	return nil
}

func (u URI) write(b *strings.Builder, attributes []uriAttribute, first, next string) {
	for _, a := range attributes {
		value := a.get(u)
		if value == "" {
			continue
		}
		b.WriteString(first + a.name + "=")
		first = next
		encodePercent(b, value, a.plain)
	}
}

// require names the attributes an operation cannot do without.
func (u URI) require(names ...string) error {
	var missing []string
	for _, name := range names {
		for _, a := range slices.Concat(pathAttributes, queryAttributes) {
			if a.name == name && a.get(u) == "" {
				missing = append(missing, name)
			}
		}
	}
	if missing != nil {
		return fmt.Errorf("key URI %s lacks %s", u, strings.Join(missing, ", "))
	}
	return nil
}

// requireKey wants what finds a key and logs into its token.
func (u URI) requireKey() error {
	if u.Object == "" && len(u.ID) == 0 {
		return fmt.Errorf("key URI %s lacks object or id", u)
	}
	return u.require("token", "module-path", "pin-source")
}
