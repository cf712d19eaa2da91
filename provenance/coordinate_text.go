package provenance

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The characters that coordinates are made of. Everything is ASCII: with Unicode, two names that look alike, or one name
// in two normal forms, would be two coordinates, and case folding would depend on who folds. The check for ASCII comes
// before any lower-casing, so U+212A KELVIN SIGN never turns into a "k".

// printable refuses everything but visible ASCII.
func printable(s string) error {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			r, _ := utf8.DecodeRuneInString(s[i:])
			return fmt.Errorf("%U is not ASCII: look-alikes and different normal forms of one name would pass as different names", r)
		case c <= ' ' || c == 0x7f:
			return fmt.Errorf("space or control character %#02x", c)
		}
	}
	return nil
}

// only refuses an empty s and every character that is neither a letter, a digit nor one of others.
func only(s, others string) error {
	if s == "" {
		return errors.New("an empty part")
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return fmt.Errorf("character %q, allowed are letters, digits and %s", s[i], others)
		}
	}
	return nil
}

func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// allDigits reports whether s is a decimal number, with or without leading zeros.
func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// plainNumber is a decimal number without its leading zeros.
func plainNumber(digits string) string {
	if n := strings.TrimLeft(digits, "0"); n != "" {
		return n
	}
	return "0"
}

// exceeds compares decimal numbers without leading zeros, of any size.
func exceeds(n, limit string) bool {
	return len(n) > len(limit) || len(n) == len(limit) && n > limit
}
