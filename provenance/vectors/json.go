package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object whose members stay in order, and may be made as wrong as a vector needs them.
type object []member

type member struct {
	name  string
	value any // object, []any, string, []byte (as base64), int, uint64, bool or raw
}

// raw is JSON text that is written as it is.
type raw string

// encode writes compact JSON.
func encode(v any) []byte { return appendJSON(nil, v) }

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case object:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(append(appendJSON(b, m.name), ':'), m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case string:
		return appendText(b, v)
	case []byte:
		return appendText(b, base64.StdEncoding.EncodeToString(v))
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case raw:
		return append(b, v...)
	}
	panic(fmt.Sprintf("vectors: no JSON for %T", v))
}

func appendText(b []byte, s string) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

// page writes the index and the lists for people: a member on each line, and each case of the last one on its own.
func page(head object, name string, cases []any) []byte {
	lines := make([]string, len(cases))
	for i, c := range cases {
		lines[i] = string(encode(c))
	}
	list := raw("[\n" + strings.Join(lines, ",\n") + "\n]")
	members := make([]string, 0, len(head)+1)
	for _, m := range append(slices.Clone(head), member{name, list}) {
		members = append(members, string(encode(m.name))+": "+string(encode(m.value)))
	}
	return []byte("{\n" + strings.Join(members, ",\n") + "\n}\n")
}

func texts(list ...string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func (o object) at(name string) int {
	i := slices.IndexFunc(o, func(m member) bool { return m.name == name })
	if i < 0 {
		panic("vectors: no member " + name)
	}
	return i
}

func (o object) get(name string) any { return o[o.at(name)].value }

// edit changes one thing in an object and gives the changed copy.
type edit func(object) object

func (o object) edited(edits []edit) object {
	o = slices.Clone(o)
	for _, e := range edits {
		o = e(o)
	}
	return o
}

// set replaces the value of a member that is there.
func set(name string, value any) edit {
	return func(o object) object {
		o = slices.Clone(o)
		o[o.at(name)].value = value
		return o
	}
}

func drop(name string) edit {
	return func(o object) object { i := o.at(name); return slices.Delete(slices.Clone(o), i, i+1) }
}

func add(name string, value any) edit {
	return func(o object) object { return append(slices.Clone(o), member{name, value}) }
}

// twice writes a member a second time, at the end.
func twice(name string) edit {
	return func(o object) object { return append(slices.Clone(o), o[o.at(name)]) }
}

// recase gives a member a name that differs in one letter's case.
func recase(name string) edit {
	return func(o object) object {
		o = slices.Clone(o)
		i := strings.IndexFunc(name, func(r rune) bool { return 'a' <= r && r <= 'z' })
		o[o.at(name)].name = name[:i] + strings.ToUpper(name[i:i+1]) + name[i+1:]
		return o
	}
}

// within edits a member that is an object, or the first object of a list.
func within(name string, edits ...edit) edit {
	return func(o object) object {
		switch v := o.get(name).(type) {
		case object:
			return set(name, v.edited(edits))(o)
		case []any:
			v = slices.Clone(v)
			v[0] = v[0].(object).edited(edits)
			return set(name, v)(o)
		}
		panic("vectors: nothing within " + name)
	}
}
