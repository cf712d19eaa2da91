package strict

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// TOML decodes a file people edit into v, a pointer to a struct with toml tags. A key that v does not know, or that
// differs from it in case, is an error naming the key and its line; so is an integer that JSON would refuse.
func TOML(data []byte, v any) error {
	md, err := toml.NewDecoder(bytes.NewReader(data)).Decode(v)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return fmt.Errorf("line %d: %s", pe.Position.Line, pe.Message)
		}
		return err
	}
	for _, key := range md.Undecoded() {
		return fmt.Errorf("line %d: unknown key %q", line(data, key), key.String())
	}
	for _, key := range md.Keys() {
		// The library matches names without regard to case, by Unicode's folding; every key of ours is lower-case ASCII.
		if s := key.String(); strings.ContainsFunc(s, foldable) {
			return fmt.Errorf("line %d: key %q: write it in lower case", line(data, key), s)
		}
	}
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		return err
	}
	if key := outOfRange(nil, all); key != nil {
		return fmt.Errorf("line %d: key %q: not between 0 and 2^53-1", line(data, key), key.String())
	}
	return nil
}

func foldable(r rune) bool { return 'A' <= r && r <= 'Z' || r > unicode.MaxASCII }

// outOfRange finds an integer outside of [0, MaxInteger], which the library would wrap around in an unsigned field.
func outOfRange(at toml.Key, v any) toml.Key {
	switch v := v.(type) {
	case int64:
		if v < 0 || v > MaxInteger {
			return at
		}
	case map[string]any:
		for name, child := range v {
			if key := outOfRange(append(at[:len(at):len(at)], name), child); key != nil {
				return key
			}
		}
	case []any:
		return firstOutOfRange(at, v)
	case []map[string]any:
		return firstOutOfRange(at, v)
	}
	return nil
}

func firstOutOfRange[T any](at toml.Key, list []T) toml.Key {
	for _, child := range list {
		if key := outOfRange(at, child); key != nil {
			return key
		}
	}
	return nil
}

// line finds the line in which key is defined first: the library knows but does not tell. A beginning of data that does
// not parse ends within a value; the next one that does has the same keys and that value's.
func line(data []byte, key toml.Key) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	defined := func(n int) bool {
		for ; n < len(lines); n++ {
			var discard map[string]any
			md, err := toml.Decode(string(bytes.Join(lines[:n+1], nil)), &discard)
			if err == nil {
				return slices.ContainsFunc(md.Keys(), func(k toml.Key) bool { return slices.Equal(k, key) })
			}
		}
		return true
	}
	return 1 + sort.Search(len(lines)-1, defined)
}
