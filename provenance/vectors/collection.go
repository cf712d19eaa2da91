package main

import (
	"crypto/sha512"
	"encoding/hex"
)

// vector is one story and its end: "" for verified, "unchecked", "error", or a refusal code.
type vector struct {
	name, comment string
	tell          tell
	expect        string
}

// list is a file of vectors for one part of the formats.
type list struct {
	name, comment string
	cases         []any
}

// directories hold the files that requests name.
var directories = []string{"bundles", "pins", "identities", "enrolments", "bridges", "statuses"}

// collection gathers files. A content that is already there is shared.
type collection struct {
	files map[string][]byte
	names map[string]string // directory and content -> name
	cases []any
	lists []any
}

// newCollection begins with the files that most stories share.
func newCollection() *collection {
	c := &collection{files: make(map[string][]byte), names: make(map[string]string)}
	b := newStory().build()
	c.put("pins", "registry.toml", b.pinsFile())
	c.put("identities", "registry.json", encode(b.identities()))
	return c
}

func (c *collection) put(dir, name string, content []byte) string {
	at := dir + "\x00" + string(content)
	if earlier, ok := c.names[at]; ok {
		return earlier
	}
	path := dir + "/" + name
	if c.files[path] != nil {
		panic("vectors: two contents for " + path)
	}
	c.names[at], c.files[path] = path, content
	return path
}

func (c *collection) add(v vector) {
	s := newStory()
	if v.tell != nil {
		v.tell(s)
	}
	b := s.build()
	request := object{{"purl", b.purl}, {"digests", b.digests}, {"artifact", true},
		{"bundle", c.put("bundles", v.name+".json", b.bundleFile())}, {"pins", c.put("pins", v.name+".toml", b.pinsFile())}, {"now", now}}
	for _, beside := range []struct {
		member, dir string
		make        func(*built) []any
	}{{"identity", "identities", s.own}, {"enrolments", "enrolments", s.enrolments}, {"bridges", "bridges", s.bridges}} {
		if beside.make != nil {
			request = append(request, member{beside.member, c.put(beside.dir, v.name+".json", encode(beside.make(b)))})
		}
	}
	if s.status != nil {
		request = append(request, member{"status", c.put("statuses", v.name+".json", b.statusFile())})
	}
	c.cases = append(c.cases, object{{"name", v.name}, {"comment", v.comment}, {"request", request.edited(s.request)}, {"expect", b.expectation(v.expect)}})
}

func (b *built) expectation(end string) object {
	switch end {
	case "":
		return object{{"verified", b.verified()}}
	case "unchecked", "error":
		return object{{end, true}}
	}
	return object{{"refused", end}}
}

func (c *collection) list(l list) {
	c.files[l.name] = page(object{{"comment", l.comment}}, "cases", l.cases)
	c.lists = append(c.lists, object{{"file", l.name}, {"comment", l.comment}})
}

func (c *collection) index() {
	c.files["index.json"] = page(object{
		{"comment", "Test vectors for the formats in docs/format.md, version 1. README.md says how to read them."},
		{"lists", c.lists},
		{"notExpressible", []any{
			object{{"code", "policy-denied"}, {"comment", "The consumer's own decision comes last, by a callback or whatever the language offers. " +
				"Ask any verified vector with a policy that says no."}},
			object{{"code", "malformed"}, {"comment", "A bundle of more than 4194304 bytes is too large to ship: pad one with spaces behind its opening brace. " +
				"So is a status of more than 100663296, or a status document of more than 67108864."}},
		}},
	}, "cases", c.cases)
}

func hexSHA512(data []byte) string {
	sum := sha512.Sum512(data)
	return hex.EncodeToString(sum[:])
}
