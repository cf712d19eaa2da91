package provenance

import (
	"errors"
	"fmt"
	"strings"
)

// Namespace is a pattern over the match keys of coordinates (format.md section 2): one name, pkg:npm/left-pad, or every
// name that begins with a literal prefix, pkg:npm/@acme/*. Names in it are decoded: no percent signs, no versions. The
// same rule holds in identities, enrolments and pins. Namespaces are == if they are the same pattern. The zero Namespace
// covers nothing.
//
// The prefix is text, nothing more. pkg:npm/@acme* covers the scope @acme-evil as well (Warning says so), and
// pkg:maven/com.acme.* covers the groups below com.acme but not com.acme itself: that is pkg:maven/com.acme/*.
type Namespace struct {
	literal string // match key, or the beginning of match keys
	prefix  bool
}

// ParseNamespace reads a pattern of an identity or enrolment. The literal part must be canonical as far as it goes;
// otherwise the error is a *CanonicalError.
func ParseNamespace(pattern string) (Namespace, error) {
	n, err := ParsePinNamespace(pattern)
	if _, name, _ := strings.Cut(n.literal, "/"); err == nil && name == "" {
		return Namespace{}, fmt.Errorf("namespace %s covers a whole ecosystem, which only a pin may do", pattern)
	}
	return n, err
}

// ParsePinNamespace reads a pattern of a pin, which may cover a whole ecosystem: pkg:npm/*.
func ParsePinNamespace(pattern string) (Namespace, error) {
	if len(pattern) > MaxPurl {
		return Namespace{}, fmt.Errorf("namespace is longer than %d bytes", MaxPurl)
	}
	n, err := readNamespace(pattern)
	if err != nil {
		return Namespace{}, fmt.Errorf("namespace %+q: %v", pattern, err)
	}
	if n.String() != pattern {
		return Namespace{}, &CanonicalError{pattern, n.String()}
	}
	return n, nil
}

// readNamespace finds the pattern that is meant; as with purls, the caller accepts it only if it is spelled that way.
func readNamespace(pattern string) (Namespace, error) {
	key, ok := strings.CutPrefix(pattern, "pkg:")
	if !ok {
		return Namespace{}, errors.New("does not begin with pkg:")
	}
	kind, name, _ := strings.Cut(key, "/")
	e, err := findEcosystem(strings.ToLower(kind))
	if err != nil {
		return Namespace{}, err
	}
	name, prefix := strings.CutSuffix(name, "*")
	if name, err = unescape(name); err != nil {
		return Namespace{}, err
	}
	if err := printable(name); err != nil {
		return Namespace{}, err
	}
	canonical := e.name
	if prefix {
		canonical = e.namePrefix
	}
	if name, err = canonical(name); err != nil {
		return Namespace{}, err
	}
	return Namespace{e.kind + "/" + name, prefix}, nil
}

// namePrefix is the canonical spelling of the beginning of a name: what precedes an ending that, added to it, makes a
// name. An ending that leaves the beginning as it is counts more than one with which it changes.
func (e *ecosystem) namePrefix(prefix string) (string, error) {
	if prefix == "" {
		return "", nil
	}
	changed, failed := "", error(nil)
	for _, ending := range e.endings {
		name, err := e.name(prefix + ending)
		if err != nil {
			failed = err // the last ending is the most complete
			continue
		}
		begin, whole := strings.CutSuffix(name, ending)
		switch {
		case whole && begin == prefix:
			return prefix, nil
		case whole && changed == "":
			changed = begin
		}
	}
	switch {
	case changed != "":
		return changed, nil
	case failed == nil:
		failed = errors.New("the prefix is empty once it is canonical")
	}
	return "", fmt.Errorf("no %s name begins with %+q: %v", e.kind, prefix, failed)
}

// String is the pattern as ParseNamespace or ParsePinNamespace reads it.
func (n Namespace) String() string {
	if n.prefix {
		return "pkg:" + n.literal + "*"
	}
	return "pkg:" + n.literal
}

// Covers reports whether c's name is covered.
func (n Namespace) Covers(c Coordinate) bool {
	kind, name, ok := strings.Cut(n.literal, "/")
	if !ok || c.IsZero() || kind != c.ecosystem.kind {
		return false
	}
	return name == c.path || n.prefix && strings.HasPrefix(c.path, name)
}

// Within reports whether other covers every name that n covers.
func (n Namespace) Within(other Namespace) bool {
	if n.literal == "" || other.literal == "" {
		return false
	}
	return n == other || other.prefix && strings.HasPrefix(n.literal, other.literal)
}

// Warning says what an unwary reader of the pattern would not expect it to cover, or "". Tools print it; it is no error.
func (n Namespace) Warning() string {
	kind, name, _ := strings.Cut(n.literal, "/")
	e, err := findEcosystem(kind)
	if err != nil || !n.prefix || name == "" || e.partEnd(name) {
		return ""
	}
	return fmt.Sprintf("%s covers every name that goes on in any way after %q, other owners' too: end the prefix with a separator, or leave out the *", n, name)
}

// Longest finds the pattern that decides about c: of those that cover it the one with the longest literal part, an exact
// one before a prefix.
func Longest(patterns []Namespace, c Coordinate) (index int, ok bool) {
	for i, n := range patterns {
		if n.Covers(c) && (!ok || n.narrower(patterns[index])) {
			index, ok = i, true
		}
	}
	return index, ok
}

func (n Namespace) narrower(than Namespace) bool {
	if len(n.literal) != len(than.literal) {
		return len(n.literal) > len(than.literal)
	}
	return than.prefix && !n.prefix
}

// Duplicate finds a pattern that occurs twice, which is an error wherever patterns are listed.
func Duplicate(patterns []Namespace) (Namespace, bool) {
	seen := make(map[Namespace]bool, len(patterns))
	for _, n := range patterns {
		if seen[n] {
			return n, true
		}
		seen[n] = true
	}
	return Namespace{}, false
}
