package main

import (
	"bytes"
	"strings"
)

// The wrapper: bundles, and JSON that has more than one meaning.

func refusedBundles() []vector {
	const code = "malformed"
	other := func(name string) edit { return set(name, raw("null")) }
	return []vector{
		{"bundle-empty", "An empty file.", bundleBytes(func([]byte) []byte { return []byte{} }), code},
		{"bundle-array", "A list with the bundle in it.", bundleBytes(func(b []byte) []byte { return []byte("[" + string(b) + "]") }), code},
		{"bundle-string", "A string.", bundleBytes(func([]byte) []byte { return []byte(`"bundle"`) }), code},
		{"bundle-media-type-missing", "mediaType is missing.", bundle(drop("mediaType")), code},
		{"bundle-media-type-other", "Another version of the format.", bundle(set("mediaType", vendorPrefix+"bundle.v2+json")), code},
		{"bundle-media-type-recased", "Media types are compared byte by byte.", bundle(set("mediaType", strings.ToUpper(bundleType))), code},
		{"bundle-statement-missing", "statement is missing.", bundle(drop("statement")), code},
		{"bundle-statement-empty", "statement is empty.", bundle(set("statement", "")), code},
		{"bundle-statement-object", "The statement is base64 of bytes, not JSON within JSON.", bundle(set("statement", object{})), code},
		{"bundle-proof-missing", "proof is missing.", bundle(drop("proof")), code},
		{"bundle-proof-empty", "proof is empty.", bundle(set("proof", "")), code},
		{"bundle-proof-base64", "The proof is text, not base64 of text.", bundle(func(o object) object { return set("proof", []byte(o.get("proof").(string)))(o) }), code},
		{"bundle-identity-empty", "An empty list of versions: identity is left out instead.", bundle(set("identity", []any{})), code},
		{"bundle-identity-object", "identity is a list, even of one.", bundle(func(o object) object { return set("identity", o.get("identity").([]any)[0])(o) }), code},
		{"bundle-identity-null", "null is nowhere a value.", bundle(other("identity")), code},
		{"bundle-enrolment-null", "null is nowhere a value.", bundle(other("enrolment")), code},
		{"bundle-enrolment-empty", "An envelope with nothing in it.", bundle(set("enrolment", object{})), code},
		{"bundle-bridge-null", "null is nowhere a value.", bundle(add("bridge", raw("null"))), code},
		{"bundle-too-deep", "Seventeen levels of nesting.", bundle(add("extra", raw(nested(16)))), code},
		{"bundle-statement-unpadded", "Base64 without its padding.", reencoded(func(s string) string { return strings.TrimRight(s, "=") }), code},
		{"bundle-statement-url-alphabet", "Base64 in the URL-safe alphabet.", all(
			coordinate("pkg:npm/%40acme/widget@1.2.3", "???>>>???>>>", sha256Of("widget-1.2.3.tgz")),
			reencoded(strings.NewReplacer("+", "-", "/", "_").Replace)), code},
		{"bundle-statement-newline", "Base64 with a line break in it.", reencoded(func(s string) string { return s[:76] + "\n" + s[76:] }), code},
		{"bundle-statement-trailing-bits", "Base64 whose last character has bits that belong to no byte.", reencoded(func(s string) string {
			return strings.TrimSuffix(s, "Q==") + "R=="
		}), code},
		{"bundle-identity-envelope-type-empty", "An envelope without a payload type.", identityEnvelope(set("payloadType", "")), code},
		{"bundle-identity-envelope-unsigned", "An envelope without a signature.", identityEnvelope(set("signatures", []any{})), code},
		{"bundle-identity-envelope-no-payload", "An envelope without a payload.", identityEnvelope(set("payload", "")), code},
		{"bundle-identity-envelope-unknown-member", "An unknown member in an envelope.", identityEnvelope(add("comment", "x")), code},
		{"bundle-identity-signature-twice", "Two signatures with one keyid.", identityEnvelope(func(o object) object {
			s := o.get("signatures").([]any)
			return set("signatures", []any{s[0], s[0]})(o)
		}), code},
		{"bundle-enrolment-signature-short", "A signature of 63 bytes.", enrolmentEnvelope(within("signatures", set("sig", make([]byte, 63)))), code},
		{"bundle-enrolment-keyid-missing", "A signature without a keyid.", enrolmentEnvelope(within("signatures", drop("keyid"))), code},
		{"bundle-enrolment-keyid-upper-case", "A keyid in upper case.", enrolmentEnvelope(within("signatures", set("keyid", strings.ToUpper(enrolKey.fingerprint())))), code},
		{"bundle-enrolment-65-signatures", "65 signatures, one too many.", enrolmentEnvelope(func(o object) object {
			var list []any
			for i := range 65 {
				list = append(list, signature(key("many-"+string(appendJSON(nil, i))), make([]byte, 64)))
			}
			return set("signatures", list)(o)
		}), code},
	}
}

// reencoded changes the base64 of the statement, which ends in "Q==" by a fitting number of spaces.
func reencoded(change func(string) string) tell {
	return all(statementBytes(func(b []byte) []byte {
		for len(b)%3 != 1 {
			b = paddedTo(len(b) + 1)(b)
		}
		return append(b[:len(b)-1:len(b)-1], " }"[1])
	}), bundle(func(o object) object {
		quoted := string(encode(o.get("statement").([]byte)))
		return set("statement", change(strings.Trim(quoted, `"`)))(o)
	}))
}

// refusedJSON breaks one rule of strict JSON after the other, in the bundle.
func refusedJSON() []vector {
	const first = `{"mediaType":`
	cases := []struct {
		name, comment string
		change        func([]byte) []byte
	}{
		{"unknown-member", "A member that nobody knows.", retyped(first, `{"comment":"harmless",`+first[1:])},
		{"member-twice", "A member that occurs twice, with the same value.", retyped(first, first+`"`+bundleType+`",`+first[1:])},
		{"member-twice-by-escape", "The same, one of the names spelled with an escape.", retyped(first, `{"m\u0065diaType":"`+bundleType+`",`+first[1:])},
		{"member-recased", "A name that differs in case.", retyped(first, `{"mediatype":`)},
		{"member-recased-beside", "A name that differs in case, beside the right one.", retyped(first, `{"mediatype":"`+bundleType+`",`+first[1:])},
		{"trailing-comma", "A comma after the last member.", func(b []byte) []byte { return append(b[:len(b)-1:len(b)-1], ",}"...) }},
		{"trailing-object", "A second document.", ending("{}")},
		{"trailing-text", "Text after the document.", ending(" .")},
		{"trailing-nul", "A NUL after the document.", ending("\x00")},
		{"truncated", "The last brace is missing.", func(b []byte) []byte { return b[:len(b)-1] }},
		{"byte-order-mark", "A byte order mark.", func(b []byte) []byte { return append([]byte("\ufeff"), b...) }},
		{"utf-16", "UTF-16 in place of UTF-8.", func(b []byte) []byte {
			return append([]byte{0xff, 0xfe}, bytes.Join(bytes.Split(b, nil), []byte{0})...)
		}},
		{"invalid-utf-8", "A byte that is not UTF-8, in a name.", retyped(first, "{\"\xff\":1,"+first[1:])},
		{"invalid-utf-8-value", "A byte that is not UTF-8, in a witness's name.", retyped(`\n\n— registry`, "\\n\\n— \xff AAAAAAA=\\n— registry")},
		{"lone-surrogate", "Half of a surrogate pair.", retyped(first, `{"\ud800":1,`+first[1:])},
		{"comment", "JSON has no comments.", retyped(first, "{/**/"+first[1:])},
		{"single-quotes", "JSON's quotes are double.", retyped(`"mediaType"`, `'mediaType'`)},
		{"control-character", "A line break inside a string, not escaped.", retyped(`c2sp.org/tlog-proof@v1\n`, "c2sp.org/tlog-proof@v1\n")},
		{"form-feed", "White space that is not JSON's.", retyped(first, "{\f"+first[1:])},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"json-" + c.name, c.comment, bundleBytes(c.change), "malformed"})
	}
	return out
}

func refusedBridges() []vector {
	good := func(b *built) object { return b.bridgeTo(9, logKey) }
	changed := func(e ...edit) tell {
		return all(grownTo(9), bridged(func(b *built) object { return good(b).edited(e) }))
	}
	cases := []struct {
		name, comment string
		tell          tell
	}{
		{"origin-missing", "origin is missing.", changed(drop("origin"))},
		{"origin-form", "An origin that is none.", changed(set("origin", registry))},
		{"from-missing", "from is missing.", changed(drop("from"))},
		{"to-missing", "to is missing.", changed(drop("to"))},
		{"hashes-missing", "hashes is missing.", changed(drop("hashes"))},
		{"from-empty-tree", "From the empty tree every head can be reached.", changed(within("from", set("size", 0)))},
		{"backwards", "From the newer head to the older one.", all(entryAt(3, 9), bridged(func(b *built) object {
			return b.bridgeTo(9).edited([]edit{set("to", b.anchor(5)), set("hashes", hashList(consistency(5, b.leaves)))})
		}))},
		{"hash-changed", "A hash of the proof is another.", changed(func(o object) object {
			return set("hashes", append([]any{make([]byte, 32)}, o.get("hashes").([]any)[1:]...))(o)
		})},
		{"hash-missing", "A hash of the proof is missing.", changed(func(o object) object { return set("hashes", o.get("hashes").([]any)[1:])(o) })},
		{"hash-extra", "A hash too many.", changed(func(o object) object { return set("hashes", append(o.get("hashes").([]any), make([]byte, 32)))(o) })},
		{"hash-short", "A hash of 31 bytes.", changed(func(o object) object {
			return set("hashes", append([]any{make([]byte, 31)}, o.get("hashes").([]any)[1:]...))(o)
		})},
		{"65-hashes", "65 hashes, one too many.", changed(set("hashes", hashList(make65())))},
		{"from-root-changed", "from has another root.", changed(within("from", set("root", make([]byte, 32))))},
		{"to-root-changed", "to has another root.", changed(drop("checkpoint"), within("to", set("root", make([]byte, 32))))},
		{"to-size-changed", "to has another size.", changed(drop("checkpoint"), within("to", set("size", 8)))},
		{"to-root-short", "A root of 31 bytes.", changed(within("to", set("root", make([]byte, 31))))},
		{"unknown-member", "A member that nobody knows.", changed(add("comment", "x"))},
		{"checkpoint-malformed", "The checkpoint has no signature.", changed(set("checkpoint", origin+"\n9\nAAAA\n\n"))},
		{"checkpoint-empty", "An optional member is left out, not empty.", changed(set("checkpoint", ""))},
		{"checkpoint-of-other-head", "The checkpoint is well signed, but of another head than the one that the bridge leads to.", all(grownTo(9), bridged(func(b *built) object {
			return good(b).edited([]edit{set("checkpoint", note(b.headAt(8), signedBy(logKey)(b, b.headAt(8))...))})
		}))},
		{"same-size-other-root", "The same size with another root: two histories.", bridged(func(b *built) object {
			return b.bridgeTo(5).edited([]edit{within("to", set("root", make([]byte, 32)))})
		})},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"bridge-" + c.name, c.comment, c.tell, "malformed"})
	}
	return out
}

func make65() [][]byte {
	out := make([][]byte, 65)
	for i := range out {
		out[i] = make([]byte, 32)
	}
	return out
}
