package provenance_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// node is a JSON value whose members keep their order, so that writing it again gives the same bytes.
type node struct {
	scalar  string // the text of a string or number
	open    byte   // '{' or '[' where the value is not a scalar
	members []member
}

// member is one of an object or, with an empty name, of an array.
type member struct {
	name  string // as JSON text
	value *node
}

func parseNode(data []byte) *node {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	n := readNode(d)
	if string(n.json()) != string(data) {
		panic(fmt.Sprintf("not compact: %s", data))
	}
	return n
}

func readNode(d *jsontext.Decoder) *node {
	kind := d.PeekKind()
	if kind != '{' && kind != '[' {
		return &node{scalar: string(must(d.ReadValue()))}
	}
	must(d.ReadToken())
	n := &node{open: byte(kind)}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		var m member
		if kind == '{' {
			m.name = string(must(d.ReadValue()))
		}
		m.value = readNode(d)
		n.members = append(n.members, m)
	}
	must(d.ReadToken())
	return n
}

func (n *node) json() []byte {
	if n.open == 0 {
		return []byte(n.scalar)
	}
	out := []byte{n.open}
	for i, m := range n.members {
		if i > 0 {
			out = append(out, ',')
		}
		if m.name != "" {
			out = append(append(out, m.name...), ':')
		}
		out = append(out, m.value.json()...)
	}
	return append(out, n.open+2) // ']' and '}' follow their openings by two
}

// with gives n with child i replaced by list, which shares everything else.
func (n *node) with(i int, list ...member) *node {
	out := &node{open: n.open}
	out.members = append(append(append(out.members, n.members[:i]...), list...), n.members[i+1:]...)
	return out
}

// mutant is a document with one thing wrong: at which path, and what was done to it.
type mutant struct {
	at, what string
	data     []byte
}

func (m mutant) String() string { return m.what + " " + m.at }

// mutants does everything to every member at every level of a document: leaves it out, doubles it, spells its name in
// another case, adds one that nobody knows, makes it null or another kind of value.
func mutants(data []byte) []mutant {
	root := parseNode(data)
	var out []mutant
	root.mutate("", func(at, what string, n *node) {
		out = append(out, mutant{at, what, n.json()})
	})
	return out
}

func (n *node) mutate(at string, emit func(at, what string, n *node)) {
	for i, m := range n.members {
		path := at + "/" + strings.Trim(m.name, `"`)
		if m.name == "" {
			path = at + "/" + strconv.Itoa(i)
		}
		emit(path, "removed", n.with(i))
		emit(path, "doubled", n.with(i, m, m))
		if m.name != "" {
			for _, name := range recased(m.name) {
				emit(path, "re-cased to "+name, n.with(i, member{name, m.value}))
				emit(path, "doubled as "+name, n.with(i, m, member{name, m.value}))
			}
		}
		for _, other := range m.value.others() {
			emit(path, "replaced by "+other, n.with(i, member{m.name, &node{scalar: other}}))
		}
		m.value.mutate(path, func(at, what string, child *node) {
			emit(at, what, n.with(i, member{m.name, child}))
		})
	}
	if n.open == '{' {
		emit(at, "unknown member in", n.with(0, append([]member{{`"surplus"`, &node{scalar: `""`}}}, n.members[0])...))
	}
}

// others are values of every other kind, and null.
func (n *node) others() []string {
	kinds := map[byte]string{'"': `"1"`, '0': `1`, '{': `{}`, '[': `[]`, 't': `true`}
	kind := n.open
	if kind == 0 {
		kind = n.scalar[0]
	}
	if '0' <= kind && kind <= '9' {
		kind = '0'
	}
	out := []string{"null"}
	for _, k := range []byte(`"0{[t`) {
		if k != kind {
			out = append(out, kinds[k])
		}
	}
	return out
}

// recased spells a name in three other cases: upper, its first letter changed, its last letter changed.
func recased(name string) []string {
	letters := strings.Trim(name, `"`)
	out := []string{strings.ToUpper(letters), swapCase(letters, strings.IndexFunc(letters, unicode.IsLetter)),
		swapCase(letters, strings.LastIndexFunc(letters, unicode.IsLetter))}
	var distinct []string
	for _, s := range out {
		if s != letters {
			distinct = append(distinct, `"`+s+`"`)
		}
	}
	return distinct
}

func swapCase(s string, at int) string {
	if at < 0 {
		return s
	}
	c := s[at : at+1]
	if strings.ToUpper(c) == c {
		c = strings.ToLower(c)
	} else {
		c = strings.ToUpper(c)
	}
	return s[:at] + c + s[at+1:]
}
