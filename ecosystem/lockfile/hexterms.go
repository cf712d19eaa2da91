package lockfile

import (
	"errors"
	"fmt"
	"strings"
)

// Limits on mix.lock. Requirements inside of requirements need four levels; a tuple has eight elements.
const (
	maxElixirDepth = 32
	maxElixirTuple = 32
)

// An elixirTerm is a literal. What is inside is kept of the tuples that are values of the map; deeper ones only count.
type elixirTerm struct {
	kind    elixirKind
	text    string // of a string, atom or word
	escaped bool   // text has an escape, which is not undone
	items   []elixirTerm
}

type elixirKind int

const (
	elixirString elixirKind = iota
	elixirAtom
	elixirWord // nil, true, false, a number
	elixirTuple
	elixirOther
)

// isNil reports whether t is the word nil.
func (t elixirTerm) isNil() bool { return t.kind == elixirWord && t.text == "nil" }

// plain returns the text of a string or atom without escapes.
func (t elixirTerm) plain(kind elixirKind) (string, bool) {
	return t.text, t.kind == kind && !t.escaped
}

// An elixirParser reads the subset of Elixir that Mix writes into mix.lock: maps with atoms as keys, tuples, lists,
// keyword lists, strings, atoms, numbers and nil. Mix evaluates the file, so what is not a literal is refused: it could
// run, and be another value each time.
type elixirParser struct {
	rest  string
	line  int
	depth int
}

// elixirMap reads a file that is one map, and calls visit with each key, its line and its value.
func elixirMap(data string, visit func(key string, line int, value elixirTerm) error) error {
	p := &elixirParser{rest: data, line: 1}
	err := p.file(visit)
	if err != nil {
		return fmt.Errorf("line %d: %v", p.line, err)
	}
	return nil
}

func (p *elixirParser) file(visit func(string, int, elixirTerm) error) error {
	if !p.accept("%{") {
		return errors.New("want a map, %{…}, as Mix writes it")
	}
	for !p.accept("}") {
		p.skipSpace()
		line := p.line
		key, keyed, err := p.key()
		if err != nil {
			return err
		}
		if !keyed {
			return errors.New(`want "name": and its value`)
		}
		value, err := p.term()
		if err != nil {
			return err
		}
		if err := visit(key, line, value); err != nil {
			return err
		}
		if err := p.separator("}"); err != nil {
			return err
		}
	}
	if p.skipSpace(); p.rest != "" {
		return errors.New("there is more behind the map")
	}
	return nil
}

// separator reads a comma, or looks at the closing bracket.
func (p *elixirParser) separator(closing string) error {
	if p.accept(",") {
		return nil
	}
	if p.skipSpace(); strings.HasPrefix(p.rest, closing) {
		return nil
	}
	return fmt.Errorf("want a comma or %s at %.20q", closing, p.rest)
}

// key reads the key of a keyword, name: or "name":, if one comes next.
func (p *elixirParser) key() (key string, keyed bool, err error) {
	p.skipSpace()
	before := *p
	switch {
	case p.rest == "":
		return "", false, errors.New("the file ends too early")
	case p.rest[0] == '"':
		text, err := p.quoted()
		if err != nil {
			return "", false, err
		}
		if key, keyed = text.plain(elixirString); !keyed && strings.HasPrefix(p.rest, ":") {
			return "", false, errors.New("a key has an escape")
		}
	default:
		key = p.take(isElixirName)
		keyed = key != ""
	}
	if colon := strings.HasPrefix(p.rest, ":") && !strings.HasPrefix(p.rest, "::"); keyed && colon {
		p.rest = p.rest[1:]
		return key, true, nil
	}
	*p = before
	return "", false, nil
}

func (p *elixirParser) term() (elixirTerm, error) {
	if p.depth++; p.depth > maxElixirDepth {
		return elixirTerm{}, fmt.Errorf("nested deeper than %d", maxElixirDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.accept("%{"):
		_, err := p.items("}")
		return elixirTerm{kind: elixirOther}, err
	case p.accept("["):
		_, err := p.items("]")
		return elixirTerm{kind: elixirOther}, err
	case p.accept("{"):
		items, err := p.items("}")
		return elixirTerm{kind: elixirTuple, items: items}, err
	case p.accept(":"):
		return p.atom()
	case strings.HasPrefix(p.rest, `"`):
		return p.quoted()
	}
	return p.word()
}

// items reads terms and keywords up to the closing bracket. It returns those of a tuple in the map.
func (p *elixirParser) items(closing string) ([]elixirTerm, error) {
	var items []elixirTerm
	for !p.accept(closing) {
		_, keyed, err := p.key()
		if err != nil {
			return nil, err
		}
		if keyed && closing == "}" && p.depth == 1 {
			return nil, errors.New("a keyword in a tuple: all of them together are its last element")
		}
		item, err := p.term()
		if err == nil && p.accept("=>") {
			_, err = p.term()
		}
		if err != nil {
			return nil, err
		}
		if p.depth == 1 {
			items = append(items, item)
		}
		if len(items) > maxElixirTuple {
			return nil, fmt.Errorf("a tuple of more than %d elements", maxElixirTuple)
		}
		if err := p.separator(closing); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (p *elixirParser) atom() (elixirTerm, error) {
	if strings.HasPrefix(p.rest, `"`) {
		text, err := p.quoted()
		text.kind = elixirAtom
		return text, err
	}
	name := p.take(isElixirName)
	if name == "" {
		return elixirTerm{}, errors.New("want an atom behind the colon")
	}
	return elixirTerm{kind: elixirAtom, text: name}, nil
}

// quoted reads a string. One with #{ in it would be evaluated.
func (p *elixirParser) quoted() (elixirTerm, error) {
	t := elixirTerm{kind: elixirString}
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\':
			t.escaped = true
			i++
		case c == '#' && strings.HasPrefix(p.rest[i:], "#{"):
			return t, errors.New("a string has #{ in it, which Mix would evaluate")
		case c == '"':
			t.text = p.rest[1:i]
			p.line += strings.Count(t.text, "\n")
			p.rest = p.rest[i+1:]
			return t, nil
		}
	}
	return t, errors.New("a string has no end")
}

// word reads nil, true, false or a number.
func (p *elixirParser) word() (elixirTerm, error) {
	sign := strings.HasPrefix(p.rest, "-")
	if sign {
		p.rest = p.rest[1:]
	}
	text := p.take(isElixirName)
	number := text != "" && strings.Trim(text, "0123456789") == ""
	if !number && (sign || text != "nil" && text != "true" && text != "false") {
		return elixirTerm{}, fmt.Errorf("want a literal as Mix writes them at %.20q", text+p.rest)
	}
	return elixirTerm{kind: elixirWord, text: text}, nil
}

// accept reads a token, if it comes next.
func (p *elixirParser) accept(token string) bool {
	p.skipSpace()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *elixirParser) take(within func(byte) bool) string {
	n := 0
	for n < len(p.rest) && within(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// skipSpace passes over white space and comments.
func (p *elixirParser) skipSpace() {
	for p.rest != "" {
		switch p.rest[0] {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		case '#':
			_, after, found := strings.Cut(p.rest, "\n")
			if p.rest = after; !found {
				return
			}
			p.line++
			continue
		default:
			return
		}
		p.rest = p.rest[1:]
	}
}

func isElixirName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '@' || c == '?' || c == '!'
}
