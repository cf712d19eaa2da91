package policy

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// source is a policy file with the places of what is in it, which the TOML library does not tell.
type source struct {
	name     string
	text     string
	rules    []table
	examples []table
}

// table is one [[rule]] or [[example]]: the offsets of its header and of the values of its keys.
type table struct {
	header int
	values map[string]int
}

// locate finds the tables of a text that is TOML and has no keys but ours.
func locate(name string, data []byte) *source {
	s := &source{name: name, text: string(data)}
	var current *table
	for at := s.blank(0); at < len(s.text); at = s.blank(at) {
		if s.text[at] == '[' {
			end := s.lineEnd(at)
			header := strings.Trim(s.text[at:end], "[] \t\r")
			name, _, _ := strings.Cut(header, "]")
			current = s.add(strings.TrimSpace(name), at)
			at = end
			continue
		}
		key, value := s.key(at)
		if current != nil {
			current.values[key] = value
		}
		at = s.skip(value)
	}
	return s
}

func (s *source) add(kind string, header int) *table {
	t := table{header, make(map[string]int)}
	switch kind {
	case "rule":
		s.rules = append(s.rules, t)
	case "example":
		s.examples = append(s.examples, t)
	}
	return &t
}

// blank skips white space and comments.
func (s *source) blank(at int) int {
	for at < len(s.text) {
		switch s.text[at] {
		case ' ', '\t', '\r', '\n':
			at++
		case '#':
			at = s.lineEnd(at)
		default:
			return at
		}
	}
	return at
}

func (s *source) lineEnd(at int) int {
	if n := strings.IndexByte(s.text[at:], '\n'); n >= 0 {
		return at + n
	}
	return len(s.text)
}

// key reads a key, perhaps in quotes, and gives the place of its value.
func (s *source) key(at int) (string, int) {
	var key strings.Builder
	for at < len(s.text) && s.text[at] != '=' {
		switch c := s.text[at]; c {
		case '"', '\'':
			q := s.quotation(at)
			key.WriteString(q.text)
			at = q.end
		default:
			if c != ' ' && c != '\t' {
				key.WriteByte(c)
			}
			at++
		}
	}
	for at++; at < len(s.text) && (s.text[at] == ' ' || s.text[at] == '\t'); {
		at++
	}
	return key.String(), min(at, len(s.text))
}

// skip gives the end of a value.
func (s *source) skip(at int) int {
	for depth := 0; at < len(s.text); {
		switch s.text[at] {
		case '"', '\'':
			at = s.quotation(at).end
			continue
		case '#':
			at = s.lineEnd(at)
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '\n':
			if depth <= 0 {
				return at
			}
		}
		at++
	}
	return at
}

// quotation is a string as it is written.
type quotation struct {
	text   string
	places []int // in the file, of each character of text and of the closing quotes
	end    int   // after the closing quotes
}

func (s *source) quotation(at int) quotation {
	quotes := s.text[at : at+1]
	if triple := strings.Repeat(quotes, 3); strings.HasPrefix(s.text[at:], triple) {
		quotes = triple
	}
	at += len(quotes)
	if len(quotes) == 3 {
		at += newline(s.text[at:])
	}
	var q quotation
	var text strings.Builder
	for at < len(s.text) && !s.closes(at, quotes) {
		r, n := utf8.DecodeRuneInString(s.text[at:])
		if r == '\\' && quotes[0] == '"' {
			r, n = escaped(s.text[at:])
		}
		if n == 0 { // of an escape that is none
			break
		}
		if r >= 0 {
			q.places = append(q.places, at)
			text.WriteRune(r)
		}
		at += n
	}
	q.places = append(q.places, at)
	q.text, q.end = text.String(), min(at+len(quotes), len(s.text))
	return q
}

// closes tells quotes from the one or two that may stand before closing ones.
func (s *source) closes(at int, quotes string) bool {
	return strings.HasPrefix(s.text[at:], quotes) && (len(quotes) == 1 || !strings.HasPrefix(s.text[at+3:], quotes[:1]))
}

// newline is the length of a line's end at the beginning of text.
func newline(text string) int {
	switch {
	case strings.HasPrefix(text, "\n"):
		return 1
	case strings.HasPrefix(text, "\r\n"):
		return 2
	}
	return 0
}

// escaped reads an escape: the character, or -1 for a line continued, and the length of the escape.
func escaped(text string) (rune, int) {
	if len(text) < 2 {
		return -1, 0
	}
	if i := strings.IndexByte(`btnfre"\`, text[1]); i >= 0 {
		return rune("\b\t\n\f\r\x1b\"\\"[i]), 2
	}
	if digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[1]]; digits > 0 && len(text) >= 2+digits {
		n, err := strconv.ParseUint(text[2:2+digits], 16, 32)
		if err != nil {
			return -1, 0
		}
		return rune(n), 2 + digits
	}
	return -1, len(text) - len(strings.TrimLeft(text[1:], " \t\r\n"))
}

// within finds a place in the string that is written at value: lines count from 1 and columns from 0, in characters.
func (s *source) within(value, line, column int) int {
	q := s.quotation(value)
	at, runes := 0, []rune(q.text)
	for ; line > 1 && at < len(runes); at++ {
		if runes[at] == '\n' {
			line--
		}
	}
	return q.places[min(at+column, len(q.places)-1)]
}

// at names a place as an editor shows it.
func (s *source) at(offset int) string {
	before := s.text[:offset]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return s.name + ": line " + strconv.Itoa(line) + ", column " + strconv.Itoa(column)
}
