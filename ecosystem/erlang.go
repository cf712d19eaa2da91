package ecosystem

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxErlangDepth bounds the tuples and lists inside one another; requirements in old packages need five.
const maxErlangDepth = 32

// An erlangBinary is <<"text">>. Which escapes there are differs among readers, so text with any is marked.
type erlangBinary struct {
	text    string
	escaped bool
}

// parseErlang reads metadata.config: terms {<<"key">>, Value}, each ended by a dot. Of Erlang's terms it knows
// those that Hex writes: tuples, lists, binaries, strings, atoms and integers. Only binaries come out as
// themselves; what else a key may have does not matter.
func parseErlang(data string) (map[string]any, error) {
	p := erlangParser{rest: data}
	properties := make(map[string]any)
	for p.skipSpace(); p.rest != ""; p.skipSpace() {
		key, value, err := p.property()
		if err != nil {
			return nil, fmt.Errorf("at %.20q: %v", p.rest, err)
		}
		if _, twice := properties[key]; twice {
			return nil, fmt.Errorf("%.40q is there twice", key)
		}
		properties[key] = value
	}
	return properties, nil
}

type erlangParser struct {
	rest  string
	depth int
}

// property reads one {<<"key">>, Value} and its dot.
func (p *erlangParser) property() (key string, value any, err error) {
	term, err := p.term()
	if err != nil {
		return "", nil, err
	}
	pair, ok := term.([]any)
	if !ok || len(pair) != 2 {
		return "", nil, errors.New("want {Key, Value}")
	}
	name, ok := pair[0].(erlangBinary)
	if !ok || name.escaped {
		return "", nil, errors.New("want a key that is a binary without escapes")
	}
	if !p.accept(".") || p.rest != "" && !isErlangSpace(p.rest[0]) {
		return "", nil, errors.New("want a dot and a line end behind the term")
	}
	return name.text, pair[1], nil
}

func (p *erlangParser) term() (any, error) {
	if p.depth++; p.depth > maxErlangDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxErlangDepth)
	}
	defer func() { p.depth-- }()
	p.skipSpace()
	switch {
	case p.accept("<<"):
		return p.binary()
	case p.accept("{"):
		return p.list("}")
	case p.accept("["):
		_, err := p.list("]")
		return nil, err
	case strings.HasPrefix(p.rest, `"`):
		_, err := p.text()
		return nil, err
	}
	return nil, p.word()
}

// list reads terms, separated by commas, up to the closing bracket.
func (p *erlangParser) list(closing string) ([]any, error) {
	terms := []any{}
	if p.accept(closing) {
		return terms, nil
	}
	for {
		term, err := p.term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
		if p.accept(closing) {
			return terms, nil
		}
		if !p.accept(",") {
			return nil, fmt.Errorf("want a comma or %s", closing)
		}
	}
}

// binary reads what follows <<, strings or bytes, and >>.
func (p *erlangParser) binary() (erlangBinary, error) {
	var text strings.Builder
	escaped := false
	for !p.accept(">>") {
		if text.Len() > 0 && !p.accept(",") {
			return erlangBinary{}, errors.New("want a comma or >>")
		}
		segment, err := p.segment()
		if err != nil {
			return erlangBinary{}, err
		}
		text.WriteString(segment.text)
		escaped = escaped || segment.escaped
	}
	return erlangBinary{text.String(), escaped}, nil
}

func (p *erlangParser) segment() (erlangBinary, error) {
	p.skipSpace()
	if strings.HasPrefix(p.rest, `"`) {
		b, err := p.text()
		if p.accept("/") && !p.accept("utf8") {
			return b, errors.New("want utf8 behind the slash")
		}
		return b, err
	}
	n, err := strconv.ParseUint(p.take(isErlangDigit), 10, 8)
	if err != nil {
		return erlangBinary{}, errors.New("want a string or byte")
	}
	return erlangBinary{text: string([]byte{byte(n)})}, nil
}

// text reads a string, or several that follow one another and are one.
func (p *erlangParser) text() (erlangBinary, error) {
	var all strings.Builder
	b := erlangBinary{}
	for p.accept(`"`) {
		end := strings.IndexAny(p.rest, `"\`)
		for end >= 0 && p.rest[end] == '\\' {
			// \^ takes one or two characters with it, depending on who reads.
			if end+1 == len(p.rest) || p.rest[end+1] == '^' || p.rest[end+1] == '\n' {
				return b, errors.New("a string has an escape that is read differently")
			}
			b.escaped = true
			next := strings.IndexAny(p.rest[end+2:], `"\`)
			if next < 0 {
				end = -1
				break
			}
			end += 2 + next
		}
		if end < 0 {
			return b, errors.New("a string has no end")
		}
		all.WriteString(p.rest[:end])
		p.rest = p.rest[end+1:]
	}
	b.text = all.String()
	return b, nil
}

// word reads an atom or integer.
func (p *erlangParser) word() error {
	p.skipSpace()
	number := strings.TrimPrefix(p.rest, "-")
	if number != "" && isErlangDigit(number[0]) {
		p.rest = number
		p.take(isErlangDigit)
		return nil
	}
	if p.rest == "" || p.rest[0] < 'a' || p.rest[0] > 'z' {
		return errors.New("want a term as Hex writes them")
	}
	p.take(func(c byte) bool { return isLetter(c) || isErlangDigit(c) || c == '_' || c == '@' })
	return nil
}

// accept reads a token, if it comes next.
func (p *erlangParser) accept(token string) bool {
	p.skipSpace()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *erlangParser) take(within func(byte) bool) string {
	n := 0
	for n < len(p.rest) && within(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *erlangParser) skipSpace() { p.take(isErlangSpace) }

func isErlangSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isErlangDigit(c byte) bool { return '0' <= c && c <= '9' }
