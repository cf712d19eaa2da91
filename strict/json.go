// Package strict decodes JSON and TOML so that a text has one meaning or none.
//
// Everything Countersign signs, pins or is configured with passes through here. Two readers that disagree about a
// document are an attack waiting for its victim, so the lenient corners of both languages are errors: unknown, doubled
// or differently-cased names, JSON null (absent is not null), trailing data, invalid UTF-8, deep nesting, and numbers
// that are not plain integers.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxDepth is the deepest nesting of objects and arrays that JSON accepts.
	MaxDepth = 16
	// MaxInteger is the largest number that JSON accepts: every implementation represents 2^53-1 exactly.
	MaxInteger = 1<<53 - 1
)

// JSON decodes exactly one JSON value into v, a pointer to a struct whose tags name every member.
// Members that are absent leave their field as it is: the caller checks what must be there.
func JSON(data []byte, v any) error {
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	if err == nil && tame(data) {
		return nil
	}
	if err := scan(data); err != nil {
		return err
	}
	return plain(err)
}

// tame reports whether data, which json.Unmarshal accepted, is free of what it lets through: null, numbers that are not
// plain integers, deep nesting. It is scan without its price, and says no where in doubt.
func tame(data []byte) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			i = stringEnd(data, i)
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		case c == 'n':
			return false
		case c == '-' || '0' <= c && c <= '9':
			n := 1
			for i+n < len(data) && strings.IndexByte("0123456789+-.eE", data[i+n]) >= 0 {
				n++
			}
			if !integer(string(data[i : i+n])) {
				return false
			}
			i += n - 1
		}
	}
	return true
}

// stringEnd is where the string that begins at i has its closing quote.
func stringEnd(data []byte, i int) int {
	for i++; i < len(data) && data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i
}

// scan says what is wrong with a document, and where.
func scan(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data)) // a Buffer is read in place
	for values := 0; ; {
		tok, err := d.ReadToken()
		switch {
		case err == io.EOF && values == 1:
			return nil
		case err == io.EOF:
			return errors.New("empty document")
		case err != nil:
			return plain(err)
		}
		if d.StackDepth() > MaxDepth {
			return fmt.Errorf("nested deeper than %d levels", MaxDepth)
		}
		if err := checkToken(tok); err != nil {
			return fmt.Errorf("%s: %w", pointer(d.StackPointer()), err)
		}
		if d.StackDepth() == 0 {
			if values++; values > 1 {
				return errors.New("data after the document")
			}
		}
	}
}

func checkToken(tok jsontext.Token) error {
	switch tok.Kind() {
	case 'n':
		return errors.New("null is not a value here: leave the member out")
	case '0':
		if !integer(tok.String()) {
			return fmt.Errorf("number %.40q is not an integer between 0 and 2^53-1", tok.String())
		}
	}
	return nil
}

// integer reports whether s is the shortest decimal form of an integer in [0, MaxInteger].
func integer(s string) bool {
	if len(s) > 16 || len(s) > 1 && s[0] == '0' {
		return false
	}
	var n uint64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + uint64(c-'0')
	}
	return n <= MaxInteger
}

// plain drops the library's package prefix and Go type names, which say nothing to the author of a document.
func plain(err error) error {
	var sem *json.SemanticError
	if errors.As(err, &sem) {
		if sem.Err == nil {
			return fmt.Errorf("%s: this kind of value does not belong here", pointer(sem.JSONPointer))
		}
		return fmt.Errorf("%s: %w", pointer(sem.JSONPointer), sem.Err)
	}
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) && syn.Err != nil {
		return fmt.Errorf("%s: offset %d: %w", pointer(syn.JSONPointer), syn.ByteOffset, syn.Err)
	}
	return err
}

func pointer(p jsontext.Pointer) string {
	if p == "" {
		return "document"
	}
	if len(p) > 100 {
		p = p[:100] + "…"
	}
	return fmt.Sprintf("%q", string(p))
}
