package main

import (
	"fmt"
	"strings"
)

// pin is one pin of a consumer; what is empty is left out.
type pin struct {
	namespace, registry, identity string
	latest                        string // the TOML text after "latest = "
	publishers                    []string
	require, mode, statusMaxAge   string
	decides                       bool // about the story's coordinate, for the answer
}

// everyPin pins each of the registry's namespaces.
func everyPin(b *built) []pin {
	var pins []pin
	for _, ns := range b.namespaces {
		pins = append(pins, pin{namespace: ns, registry: registry, identity: b.fingerprint(), decides: true})
	}
	return pins
}

func (b *built) decidingPin() string {
	for _, p := range b.pins(b) {
		if p.decides {
			return p.namespace
		}
	}
	panic("vectors: no pin decides about " + b.purl)
}

func (b *built) pinsFile() []byte {
	var t strings.Builder
	t.WriteString("version = 1\ndefault = \"reject\"\n")
	for _, p := range b.pins(b) {
		fmt.Fprintf(&t, "\n[[pin]]\nnamespace = %q\nregistry = %q\nidentity = %q\n", p.namespace, p.registry, p.identity)
		if p.latest != "" {
			t.WriteString("latest = " + p.latest + "\n")
		}
		if p.publishers != nil {
			t.WriteString("publishers = " + string(encode(texts(p.publishers...))) + "\n")
		}
		if p.require != "" {
			fmt.Fprintf(&t, "require = %q\n", p.require)
		}
		if p.mode != "" {
			fmt.Fprintf(&t, "mode = %q\n", p.mode)
		}
		if p.statusMaxAge != "" {
			fmt.Fprintf(&t, "status_max_age = %q\n", p.statusMaxAge)
		}
	}
	return []byte(t.String())
}

// pinned changes every pin of a story.
func pinned(change func(*built, *pin)) tell {
	return func(s *story) {
		s.pins = func(b *built) []pin {
			pins := everyPin(b)
			for i := range pins {
				change(b, &pins[i])
			}
			return pins
		}
	}
}
