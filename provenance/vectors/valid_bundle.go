package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// What is verified: other spellings of bundles that mean the same, attributes, digests, pins.

func validBundles() []vector {
	ai := object{{"extent", "assisted"}, {"tools", []any{object{{"name", "codegen"}, {"version", "4.1"}}}}, {"reviewedBy", texts(key("reviewer").fingerprint())}}
	return []vector{
		{"valid-bundle-spaced", "White space between the tokens of a bundle means nothing.", bundleBytes(func(b []byte) []byte {
			var out bytes.Buffer
			if err := json.Indent(&out, b, "", "\t"); err != nil {
				panic(err)
			}
			return out.Bytes()
		}), ""},
		{"valid-bundle-reordered", "Members come in any order.", bundle(func(o object) object { return append(o[1:], o[0]) }), ""},
		{"valid-bundle-escapes", "Strings are compared after their escapes are undone, names and values alike.",
			bundleBytes(retyped(`{"mediaType":"application/`, `{"media\u0054ype":"application\/`)), ""},
		{"valid-statement-spaced", "A statement's bytes are what the log holds, spaces and all.", statementBytes(retyped(`"predicate":{`, `"predicate": { `)), ""},
		{"valid-largest-entry", "A log entry of exactly 65535 bytes.", statementBytes(paddedTo(65535)), ""},
		{"valid-largest-publication", "A publication of exactly 24576 bytes.", publicationOf(24576), ""},
		{"valid-attributes-ai", "The attribute with a defined shape.", attributes(object{{"aiGeneration", ai}}), ""},
		{"valid-attributes-ai-none", "Empty lists where there is nothing to list.",
			attributes(object{{"aiGeneration", object{{"extent", "none"}, {"tools", []any{}}, {"reviewedBy", []any{}}}}}), ""},
		{"valid-attributes-unknown", "Other attributes are the publisher's business; they come back as they were signed.",
			attributes(object{{"licence", "Apache-2.0"}, {"built", object{{"on", "a train"}, {"cores", 8}, {"reproducible", true}}}, {"ünïcode", "☃"}}), ""},
		{"valid-attributes-depth-16", "Sixteen levels of nesting in the payload, the most there may be.", attributes(object{{"deep", raw(nested(13))}}), ""},
		{"valid-signed-later", "signedAt is the publisher's word, countersignedAt the registry's: they are not compared.",
			func(s *story) { s.signedAt = "2026-02-03T12:30:00Z" }, ""},
		{"valid-attributes-largest-number", "2^53-1 is the largest number.", attributes(object{{"n", raw("9007199254740991")}, {"zero", 0}}), ""},
	}
}

func attributes(o object) tell { return func(s *story) { s.attributes = o } }

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

// paddedTo gives JSON of n bytes by spaces before its last brace.
func paddedTo(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		return append(append(b[:len(b)-1:len(b)-1], strings.Repeat(" ", n-len(b))...), '}')
	}
}

func publicationOf(n int) tell {
	return func(s *story) {
		s.attributes = object{{"padding", ""}}
		s.attributes = object{{"padding", strings.Repeat("x", n-len(encode(s.publicationPayload())))}}
	}
}

func validPins() []vector {
	elsewhere := digest([]byte("another identity"))
	return []vector{
		{"valid-pin-exact-beats-prefix", "The pin for exactly this name decides, not the one for its scope.", pins(
			pin{namespace: "pkg:npm/@acme/*", registry: "elsewhere.example", identity: elsewhere},
			pin{namespace: "pkg:npm/@acme/widget", registry: registry, decides: true}), ""},
		{"valid-pin-longest-prefix", "The longest prefix decides.", pins(
			pin{namespace: "pkg:npm/@acme/wid*", registry: registry, decides: true},
			pin{namespace: "pkg:npm/*", registry: "elsewhere.example", identity: elsewhere},
			pin{namespace: "pkg:npm/@acme/*", registry: "elsewhere.example", identity: elsewhere}), ""},
		{"valid-pin-equal-length", "An exact name beats a prefix with the same text.", pins(
			pin{namespace: "pkg:npm/@acme/widget*", registry: "elsewhere.example", identity: elsewhere},
			pin{namespace: "pkg:npm/@acme/widget", registry: registry, decides: true}), ""},
		{"valid-pin-whole-ecosystem", "A pin may cover a whole ecosystem.", pins(pin{namespace: "pkg:npm/*", registry: registry, decides: true}), ""},
		{"valid-pin-publishers", "The publisher is one of those that the pin accepts.",
			pinned(func(_ *built, p *pin) { p.publishers = []string{key("mallory").fingerprint(), publisher.fingerprint()} }), ""},
		{"valid-pin-report", "The pin's mode is for whoever acts on the answer; it does not change it.", pinned(func(_ *built, p *pin) { p.mode = "report" }), ""},
		{"valid-any-purl", "The question may be what the file is, instead of whether it is what was wanted.", asks(drop("purl"), add("anyPurl", true)), ""},
		{"valid-lockfile-digest", "No file, but a lockfile that knows one of its digests.", all(twoDigests, asks(set("artifact", false), set("digests", sha512Of("widget-1.2.3.tgz")))), ""},
		{"valid-lockfile-extra-digest", "A digest that the subject does not have is no contradiction.", asks(set("artifact", false), within("digests", add("hexInner", hexSHA256(nil)))), ""},
		{"valid-artifact-extra-digest", "Nor if it was computed from the file.", asks(within("digests", add("nugetContentHash", hexSHA512(nil)))), ""},
		{"valid-lockfile-dirhash", "go.sum knows the dirHash, which covers all files of a module.", all(
			coordinate("pkg:golang/example.com/acme/tool@v1.4.0", "tool-v1.4.0.zip", with(with(sha256Of("tool-v1.4.0.zip"),
				"dirHash", hexSHA256([]byte("tool directory"))), "goModHash", hexSHA256([]byte("tool go.mod")))),
			asks(set("artifact", false), within("digests", drop("sha256")))), ""},
		{"valid-pypi-partial", "A resolver that does not know the file's name yet, but its digest: any file of the version with that digest.", all(
			coordinate("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0-py3-none-any.whl", "acme_http-1.0.0-py3-none-any.whl", sha256Of("acme_http-1.0.0-py3-none-any.whl")),
			asks(set("purl", "pkg:pypi/acme-http@1"), set("artifact", false))), ""},
	}
}

// pins gives the story these pins; identity, where left out, is the story's.
func pins(list ...pin) tell {
	return func(s *story) {
		s.pins = func(b *built) []pin {
			out := append([]pin(nil), list...)
			for i := range out {
				if out[i].identity == "" {
					out[i].identity = b.fingerprint()
				}
			}
			return out
		}
	}
}
