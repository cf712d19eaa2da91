package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// Limits on TOML beside those on its size. Its parser recurses into brackets, and for each key it makes a text of all
// the keys that lead to it: a long header above many short keys is a bomb.
const (
	maxTOMLDots  = 32       // in one line; also brackets inside one another
	maxTOMLPaths = 64 << 20 // bytes of those texts
)

// A table is one table of a TOML document. Its parser would match the fields of a struct to keys in any case, in
// random order; in a map a key is what it is.
type table map[string]any

// A tomlFile is a TOML document and the lines in which its arrays of tables have their [[headers]].
type tomlFile struct {
	table
	headers map[string][]int
}

func parseTOML(text []byte) (*tomlFile, error) {
	s := tomlScan{rest: text, line: 1, headers: make(map[string][]int)}
	if err := s.run(); err != nil {
		return nil, err
	}
	if err := checkSize(text, s.nodes); err != nil {
		return nil, err
	}
	f := &tomlFile{headers: s.headers}
	err := toml.Unmarshal(text, &f.table)
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("line %d: %s", syntax.Position.Line, syntax.Message)
	}
	return f, err
}

// A tomlItem is one table of an array, and the line of its header, 0 if it has none.
type tomlItem struct {
	table
	line int
}

// items are the tables of the array of tables at the top of the document.
func (f *tomlFile) items(key string) ([]tomlItem, error) {
	tables, err := f.tables(key)
	if err != nil {
		return nil, err
	}
	all := make([]tomlItem, len(tables))
	lines := f.headers[key]
	for i := range tables {
		all[i].table = tables[i]
		if len(lines) == len(tables) {
			all[i].line = lines[i]
		}
	}
	return all, nil
}

// tables is the array of tables under a key, in either of TOML's spellings; none if there is no such key.
func (t table) tables(key string) ([]table, error) {
	var all []table
	switch list := t[key].(type) {
	case nil:
	case []map[string]any:
		for _, item := range list {
			all = append(all, item)
		}
	case []any:
		for _, item := range list {
			m, ok := item.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("key %q: want an array of tables", key)
			}
			all = append(all, m)
		}
	default:
		return nil, fmt.Errorf("key %q: want an array of tables", key)
	}
	return all, nil
}

// under is the table there, nil if there is none.
func (t table) under(key string) (table, error) {
	switch v := t[key].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	return nil, fmt.Errorf("key %q: want a table", key)
}

// text is the text there, "" if there is none.
func (t table) text(key string) (string, error) {
	switch v := t[key].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("key %q: want text", key)
}

// tomlScan goes over a document before its parser does. It understands valid TOML; on the rest the parser stops where
// it becomes invalid.
type tomlScan struct {
	rest    []byte
	line    int
	dots    int   // in this line
	since   int   // bytes since a key could have begun
	head    int   // bytes of the header
	key     int   // bytes of the last key, if its value begins here
	around  []int // for each open bracket, bytes of the key whose value it is
	outer   int   // the sum of around
	paths   int   // bytes of the keys that lead to each key so far
	nodes   int
	headers map[string][]int
}

func (s *tomlScan) run() error {
	fresh := true // at the beginning of a line that is not inside of a value
	for len(s.rest) > 0 {
		if fresh {
			s.header()
		}
		n := tomlToken(s.rest)
		if err := s.token(s.rest[0], n); err != nil {
			return err
		}
		fresh = s.rest[0] == '\n' && len(s.around) == 0
		s.line += bytes.Count(s.rest[:n], []byte("\n"))
		s.rest = s.rest[n:]
	}
	return nil
}

// header notes the line of a [[header]].
func (s *tomlScan) header() {
	line, _, _ := bytes.Cut(s.rest, []byte("\n"))
	line = bytes.TrimLeft(line, " \t")
	if len(line) == 0 || line[0] != '[' {
		return
	}
	s.head = len(line)
	s.paths += s.head
	if name, ok := strings.CutPrefix(string(line), "[["); ok {
		name, _, _ = strings.Cut(name, "]]")
		name = strings.Trim(name, " \t")
		s.headers[name] = append(s.headers[name], s.line)
	}
}

func (s *tomlScan) token(c byte, length int) error {
	s.since += length
	switch c {
	case '[', '{':
		s.around = append(s.around, s.key)
		s.outer += s.key
		s.nodes, s.since, s.key = s.nodes+1, 0, 0
	case ']', '}':
		if last := len(s.around) - 1; last >= 0 {
			s.outer -= s.around[last]
			s.around = s.around[:last]
		}
	case ',', '\n':
		s.nodes, s.since, s.key = s.nodes+1, 0, 0
	case '=':
		s.key = s.since
		s.paths += (s.head + s.outer + s.key) * (1 + s.dots)
	case '.':
		s.dots++
	}
	if c == '\n' {
		s.dots = 0
	}
	switch {
	case max(len(s.around), s.dots) > maxTOMLDots:
		return fmt.Errorf("line %d: nested deeper than %d", s.line, maxTOMLDots)
	case s.paths > maxTOMLPaths:
		return fmt.Errorf("line %d: the names of its keys and of all tables around them are together longer than %d MiB", s.line, maxTOMLPaths>>20)
	}
	return nil
}

// tomlToken is the length of the string or comment that text begins with; otherwise 1.
func tomlToken(text []byte) int {
	switch text[0] {
	case '#':
		if n := bytes.IndexByte(text, '\n'); n >= 0 {
			return n
		}
		return len(text)
	case '"', '\'':
		return tomlString(text)
	}
	return 1
}

// tomlString is the length of the string that text begins with, to its end or that of text.
func tomlString(text []byte) int {
	quote, triple := text[:1], bytes.Repeat(text[:1], 3)
	if bytes.HasPrefix(text, triple) {
		quote = triple
	}
	for n := len(quote); n < len(text); n++ {
		switch {
		case text[n] == '\\' && quote[0] == '"':
			n++
		case bytes.HasPrefix(text[n:], quote):
			// A string in triple quotes may end in one or two quotes of its own.
			for n += len(quote); len(quote) == 3 && n < len(text) && text[n] == quote[0]; {
				n++
			}
			return n
		}
	}
	return len(text)
}
