package hsm

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// RFC 7512, section 2.3: the bytes that may stand for themselves.
const (
	unreserved    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	pathReserved  = ":[]@!$'()*+,=&"
	queryReserved = ":[]@!$'()*+,=/?|"
)

// uriAttribute is one attribute of a URI: get gives its decoded value, "" when
// absent, set refuses what can never be right, plain are the bytes written
// without percent-encoding.
type uriAttribute struct {
	name  string
	plain string
	get   func(URI) string
	set   func(*URI, string) error
}

var pathAttributes = []uriAttribute{
	{"token", unreserved, func(u URI) string { return u.Token },
		func(u *URI, v string) error { u.Token = v; return checkPadded(v, 32) }},
	{"serial", unreserved, func(u URI) string { return u.Serial },
		func(u *URI, v string) error { u.Serial = v; return checkPadded(v, 16) }},
	{"object", unreserved, func(u URI) string { return u.Object },
		func(u *URI, v string) error { u.Object = v; return checkText(v) }},
	{"id", "", func(u URI) string { return string(u.ID) },
		func(u *URI, v string) error { u.ID = []byte(v); return nil }},
}

var queryAttributes = []uriAttribute{
	{"module-path", unreserved + "/", func(u URI) string { return u.ModulePath },
		func(u *URI, v string) error { u.ModulePath = v; return checkPath(v) }},
	{"pin-source", unreserved + "/:", URI.pinSource, (*URI).setPINSource},
}

func findAttribute(known []uriAttribute, name string) (uriAttribute, error) {
	if name == "pin-value" {
		return uriAttribute{}, errors.New("key URI: pin-value is refused, because a URI ends up in configuration files, logs and transcripts: write the PIN to a file and name it with pin-source=file:/path")
	}
	i := slices.IndexFunc(known, func(a uriAttribute) bool { return a.name == name })
	if i < 0 {
		return uriAttribute{}, fmt.Errorf("key URI: unknown attribute %.24q; known are token, serial, object, id and, after the ?, module-path, pin-source", name)
	}
	return known[i], nil
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

func decodePercent(text, reserved string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			b.WriteByte(unhex(text[i+1])<<4 | unhex(text[i+2]))
			i += 2
		case c == '%':
			return "", errors.New("has an incomplete percent-encoding")
		case strings.IndexByte(unreserved, c) >= 0 || strings.IndexByte(reserved, c) >= 0:
			b.WriteByte(c)
		default:
			return "", fmt.Errorf("has a byte 0x%02x at offset %d that must be percent-encoded", c, i)
		}
	}
	return b.String(), nil
}

func encodePercent(b *strings.Builder, value, plain string) {
	for i := range len(value) {
		if c := value[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}

func isHex(c byte) bool {
	return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// checkPadded checks a field that tokens report padded with blanks to size.
func checkPadded(v string, size int) error {
	if len(v) > size {
		return fmt.Errorf("is longer than the %d bytes a token has for it", size)
	}
	if strings.HasSuffix(v, " ") {
		return errors.New("ends with a blank, which a token cannot tell from padding")
	}
	return checkText(v)
}

func checkText(v string) error {
	if !utf8.ValidString(v) {
		return errors.New("is not UTF-8")
	}
	if strings.ContainsFunc(v, isControl) {
		return errors.New("contains a control character")
	}
	return nil
}

func checkPath(v string) error {
	if !filepath.IsAbs(v) {
		return errors.New("is not an absolute path")
	}
	return checkText(v)
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
