package provenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Reading purls. Strictness does not rest on the reader: ParseCoordinate takes a purl apart leniently, makes a
// coordinate of the parts by the same rules as NewCoordinate, and accepts the purl only if that coordinate is spelled
// exactly like it. So there is one accepted spelling per coordinate whatever the reader lets through; what it lets
// through only decides how often an error can name the right one.

// CanonicalError says that what was given is not in its canonical spelling, and what that is.
type CanonicalError struct {
	Given, Canonical string
}

func (e *CanonicalError) Error() string {
	return fmt.Sprintf("%+q is not in its canonical spelling: write %s", e.Given, e.Canonical)
}

// ParseCoordinate reads a canonical purl. For any other spelling of a coordinate the error is a *CanonicalError.
func ParseCoordinate(purl string) (Coordinate, error) {
	c, err := readPurl(purl)
	if err == nil {
		err = c.complete()
	}
	return spelledAs(purl, c, err)
}

// ParseExpected reads a canonical purl as ParseCoordinate does, but one for PyPI may leave out file_name: the result is
// then Partial, and acceptable only together with expected digests.
func ParseExpected(purl string) (Coordinate, error) {
	c, err := readPurl(purl)
	return spelledAs(purl, c, err)
}

func spelledAs(purl string, c Coordinate, err error) (Coordinate, error) {
	switch {
	case err != nil:
		return Coordinate{}, fmt.Errorf("purl: %v", err)
	case c.purl != purl:
		return Coordinate{}, &CanonicalError{purl, c.purl}
	}
	return c, nil
}

// readPurl finds the coordinate that a purl in any spelling means. What cannot be dropped without changing the meaning,
// such as a subpath or another qualifier, is an error.
func readPurl(purl string) (Coordinate, error) {
	if len(purl) > MaxPurl {
		return Coordinate{}, fmt.Errorf("longer than %d bytes", MaxPurl)
	}
	rest, ok := strings.CutPrefix(purl, "pkg:")
	if !ok {
		return Coordinate{}, fmt.Errorf("%+q does not begin with pkg:", purl)
	}
	if strings.Contains(rest, "#") {
		return Coordinate{}, fmt.Errorf("%+q has a subpath: a coordinate names a whole file", purl)
	}
	rest, query, _ := strings.Cut(rest, "?")
	kind, rest, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	e, err := findEcosystem(strings.ToLower(kind))
	if err != nil {
		return Coordinate{}, err
	}
	at := strings.LastIndexByte(rest, '@')
	if at <= 0 {
		return Coordinate{}, fmt.Errorf("%+q has no version", purl)
	}
	return e.read(strings.Trim(rest[:at], "/"), rest[at+1:], query)
}

// read makes a coordinate of the parts of a purl, which are still encoded.
func (e *ecosystem) read(path, version, query string) (Coordinate, error) {
	path, err := unescape(path)
	if err != nil {
		return Coordinate{}, err
	}
	if version, err = unescape(version); err != nil {
		return Coordinate{}, err
	}
	values, err := e.readQualifiers(query)
	if err != nil {
		return Coordinate{}, err
	}
	name, file := path, ""
	if e.decode != nil {
		if name, file, err = e.decode(path, version, values); err != nil {
			return Coordinate{}, fmt.Errorf("%s: %v", e.kind, err)
		}
	}
	return e.coordinate(name, version, file)
}

// readQualifiers gives the values in the order of e.qualifiers, "" for those that are absent or empty.
func (e *ecosystem) readQualifiers(query string) ([]string, error) {
	values := make([]string, len(e.qualifiers))
	if query == "" {
		return values, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		i := slices.Index(e.qualifiers, strings.ToLower(key))
		if i < 0 {
			return nil, fmt.Errorf("qualifier %+q has no place in the coordinate of a file of type %s", key, e.kind)
		}
		if values[i] != "" {
			return nil, fmt.Errorf("qualifier %s occurs twice", e.qualifiers[i])
		}
		var err error
		if values[i], err = unescape(value); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// spell writes c as a purl, the only way a coordinate is ever spelled.
func (c Coordinate) spell() string {
	path, values := c.path, []string(nil)
	if c.ecosystem.encode != nil {
		path, values = c.ecosystem.encode(c)
	}
	var b strings.Builder
	b.Grow(len("pkg:") + len(c.ecosystem.kind) + len(path) + len(c.version) + 2*len(c.file) + 32)
	b.WriteString("pkg:")
	b.WriteString(c.ecosystem.kind)
	b.WriteByte('/')
	escape(&b, path, "/")
	b.WriteByte('@')
	escape(&b, c.version, ":")
	mark := byte('?')
	for i, value := range values {
		if value == "" {
			continue
		}
		b.WriteByte(mark)
		b.WriteString(c.ecosystem.qualifiers[i])
		b.WriteByte('=')
		escape(&b, value, ":/")
		mark = '&'
	}
	return b.String()
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes s except for letters, digits, "-._~" and the bytes in literal.
func escape(b *strings.Builder, s, literal string) {
	for i := range len(s) {
		c := s[i]
		if isAlnum(c) || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(literal, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
}

// unescape decodes each %XX once, whatever its case.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("a percent sign without two hex digits after it")
		}
		hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
		if hi < 0 || lo < 0 {
			return "", errors.New("a percent sign without two hex digits after it")
		}
		out = append(out, byte(hi<<4|lo))
		i += 2
	}
	return string(out), nil
}

func hexDigit(c byte) int {
	if 'a' <= c && c <= 'f' {
		c -= 'a' - 'A'
	}
	return strings.IndexByte(upperHex, c)
}
