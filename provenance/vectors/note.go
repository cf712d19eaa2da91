package main

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// head is the state of a log; size is a text so that it can be misspelled.
type head struct {
	origin string
	size   string
	root   []byte
}

func (h head) text() string {
	return h.origin + "\n" + h.size + "\n" + base64.StdEncoding.EncodeToString(h.root) + "\n"
}

func noteLine(name string, id, sig []byte) string {
	return "— " + name + " " + base64.StdEncoding.EncodeToString(append(append([]byte(nil), id...), sig...)) + "\n"
}

// note joins a text and signature lines.
func note(h head, lines ...string) string { return h.text() + "\n" + strings.Join(lines, "") }

// proof is a tlog-proof on its way to its text.
type proof struct {
	header string
	index  string
	hashes [][]byte
	note   string
}

func (p proof) text() string {
	var b strings.Builder
	b.WriteString(p.header + "\nindex " + p.index + "\n")
	for _, h := range p.hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h) + "\n")
	}
	return b.String() + "\n" + p.note
}

// replaced changes the one occurrence of old in s.
func replaced(s, old, new string) string {
	if strings.Count(s, old) != 1 {
		panic(fmt.Sprintf("vectors: %q occurs %d times", old, strings.Count(s, old)))
	}
	return strings.Replace(s, old, new, 1)
}

// respelled is replaced as a function, for what is a text.
func respelled(old, new string) func(string) string {
	return func(s string) string { return replaced(s, old, new) }
}

// retyped is replaced as a function, for what is bytes.
func retyped(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return []byte(replaced(string(b), old, new)) }
}

func ending(with string) func([]byte) []byte {
	return func(b []byte) []byte { return append(append([]byte(nil), b...), with...) }
}
