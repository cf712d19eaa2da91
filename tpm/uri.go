package tpm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// URI names a sealed key, in the manner of RFC 7512: what it is, then where it
// is found:
//
//	tpm:srk=000b4f…?device=/dev/tpmrm0&sealed-path=/etc/countersign/log.sealed&approval-path=/etc/countersign/log.approvals&pin-source=file:/run/pin
//
// These attributes and no others are known. srk is the Name of the TPM's storage
// key. It belongs here and not into the sealed file alone: who replaces that
// file must not choose whom the PIN is proved to.
type URI struct {
	SRK          []byte // srk: Name of the storage key, as hexadecimal digits
	Device       string // device: absolute path of /dev/tpmrm0, or of an emulator's socket
	SealedPath   string // sealed-path: absolute path of the sealed seed
	ApprovalPath string // approval-path: absolute path of the signed approvals
	PINFile      string // pin-source=file:…: absolute path of the file with the PIN
}

// uriAttribute is one attribute: get gives its decoded value, "" when absent,
// set refuses what can never be right.
type uriAttribute struct {
	name string
	get  func(URI) string
	set  func(*URI, string) error
}

var (
	pathAttributes = []uriAttribute{
		{"srk", func(u URI) string { return hex.EncodeToString(u.SRK) }, (*URI).setSRK},
	}
	queryAttributes = []uriAttribute{
		{"device", func(u URI) string { return u.Device },
			func(u *URI, v string) error { u.Device = v; return checkPath(v) }},
		{"sealed-path", func(u URI) string { return u.SealedPath },
			func(u *URI, v string) error { u.SealedPath = v; return checkPath(v) }},
		{"approval-path", func(u URI) string { return u.ApprovalPath },
			func(u *URI, v string) error { u.ApprovalPath = v; return checkPath(v) }},
		{"pin-source", URI.pinSource, (*URI).setPINSource},
	}
)

// ParseURI reads a key URI. An unknown, empty or repeated attribute is an error.
// Errors never repeat a value: it might be a PIN in the wrong place.
func ParseURI(s string) (URI, error) {
	rest, ok := strings.CutPrefix(s, "tpm:")
	if !ok {
		return URI{}, errors.New("key URI does not begin with the scheme tpm")
	}
	var u URI
	path, query, hasQuery := strings.Cut(rest, "?")
	if path != "" {
		if err := u.parse(pathAttributes, strings.Split(path, ";")); err != nil {
			return URI{}, err
		}
	}
	if hasQuery {
		if err := u.parse(queryAttributes, strings.Split(query, "&")); err != nil {
			return URI{}, err
		}
	}
	return u, nil
}

// String writes the URI so that ParseURI reads the same back.
func (u URI) String() string {
	var b strings.Builder
	b.WriteString("tpm:")
	u.write(&b, pathAttributes, "", ";")
	u.write(&b, queryAttributes, "?", "&")
	return b.String()
}

func (u *URI) parse(known []uriAttribute, pairs []string) error {
	for _, pair := range pairs {
		name, text, _ := strings.Cut(pair, "=")
		a, err := findAttribute(known, name)
		if err != nil {
			return err
		}
		value, err := decodePercent(text)
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

func findAttribute(known []uriAttribute, name string) (uriAttribute, error) {
	if name == "pin-value" {
		return uriAttribute{}, errors.New("key URI: pin-value is refused, because a URI ends up in configuration files, logs and transcripts: write the PIN to a file and name it with pin-source=file:/path")
	}
	i := slices.IndexFunc(known, func(a uriAttribute) bool { return a.name == name })
	if i < 0 {
		return uriAttribute{}, fmt.Errorf("key URI: unknown attribute %.24q; known are srk and, after the ?, device, sealed-path, approval-path, pin-source", name)
	}
	return known[i], nil
}

func (u URI) write(b *strings.Builder, attributes []uriAttribute, first, next string) {
	for _, a := range attributes {
		if value := a.get(u); value != "" {
			b.WriteString(first + a.name + "=")
			first = next
			encodePercent(b, value)
		}
	}
}

// require names the attributes an operation cannot do without.
func (u URI) require(names ...string) error {
	var missing []string
	for _, a := range slices.Concat(pathAttributes, queryAttributes) {
		if slices.Contains(names, a.name) && a.get(u) == "" {
			missing = append(missing, a.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("key URI %s lacks %s", u, strings.Join(missing, ", "))
	}
	return nil
}

// nameSize is that of a Name with SHA-256: the algorithm, then the digest.
const nameSize = 2 + 32

func (u *URI) setSRK(v string) (err error) {
	u.SRK, err = hex.DecodeString(v)
	if err != nil || len(u.SRK) != nameSize || v[:4] != "000b" || v != strings.ToLower(v) {
		return errors.New("is not the Name of a storage key: 68 hexadecimal digits in lower case, beginning with 000b")
	}
	return nil
}

const pinSourceFile = "file:"

func (u URI) pinSource() string {
	if u.PINFile == "" {
		return ""
	}
	return pinSourceFile + u.PINFile
}

func (u *URI) setPINSource(v string) error {
	path, ok := strings.CutPrefix(v, pinSourceFile)
	if !ok || strings.HasPrefix(path, "//") {
		return errors.New("is not of the form file:/absolute/path, the only one taken")
	}
	u.PINFile = path
	return checkPath(path)
}

func checkPath(v string) error {
	switch {
	case !filepath.IsAbs(v):
		return errors.New("is not an absolute path")
	case !utf8.ValidString(v):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(v, isControl):
		return errors.New("contains a control character")
	}
	return nil
}

// plain are the bytes written for themselves, reserved what may stand for itself
// besides (RFC 7512, section 2.3).
const (
	plain    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:"
	reserved = "[]@!$'()*+,=?|"
)

func decodePercent(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '%':
			octet, err := hex.DecodeString(text[i+1 : min(i+3, len(text))])
			if err != nil || len(octet) != 1 {
				return "", errors.New("has an incomplete percent-encoding")
			}
			b.WriteByte(octet[0])
			i += 2
		case strings.IndexByte(plain, c) >= 0 || strings.IndexByte(reserved, c) >= 0:
			b.WriteByte(c)
		default:
			return "", fmt.Errorf("has a byte 0x%02x at offset %d that must be percent-encoded", c, i)
		}
	}
	return b.String(), nil
}

func encodePercent(b *strings.Builder, value string) {
	for i := range len(value) {
		if c := value[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}
