package main

import "strings"

// What a publisher signed, as far as its shape goes.

func refusedPublications() []vector {
	cases := []struct {
		name, comment string
		tell          tell
	}{
		{"not-json", "The payload is not JSON.", publicationBytes(func([]byte) []byte { return []byte("publication") })},
		{"trailing-data", "A second document after the payload's.", publicationBytes(ending("{}"))},
		{"too-large", "A payload of 24577 bytes.", publicationOf(24577)},
		{"payload-type", "Another payload type.", publicationType("application/json")},
		{"payload-type-of-enrolment", "The payload type of another document.", publicationType(vendorPrefix + "enrolment.v1+json")},
		{"two-signatures", "A publication has exactly one signature.", publicationSigners(publisher, "co-signer")},
		{"no-signature", "No signature.", publicationEnvelope(set("signatures", []any{}))},
		{"keyid-missing", "A signature without a keyid.", publicationEnvelope(within("signatures", drop("keyid")))},
		{"keyid-short", "A keyid that is not a fingerprint.", publicationEnvelope(within("signatures", set("keyid", "publisher")))},
		{"signature-short", "A signature of 63 bytes.", publicationEnvelope(within("signatures", set("sig", make([]byte, 63))))},
		{"signature-unknown-member", "An unknown member in a signature.", publicationEnvelope(within("signatures", add("cert", "x")))},
		{"signature-base64", "A signature whose base64 is not padded.", publicationEnvelope(within("signatures", set("sig", strings.Repeat("A", 86))))},
		{"payload-not-base64", "A payload that is JSON, not base64 of it.", publicationEnvelope(set("payload", object{}))},
		{"envelope-unknown-member", "An unknown member in the envelope.", publicationEnvelope(add("extra", "x"))},
		{"envelope-member-twice", "A member of the envelope that occurs twice.", publicationEnvelope(twice("payloadType"))},
		{"type-older", "in-toto's Statement of another version.", publication(set("_type", "https://in-toto.io/Statement/v0.1"))},
		{"predicate-type", "The type of another statement.", publication(set("predicateType", typePrefix+"countersignature/v1"))},
		{"unknown-member", "An unknown member.", published(add("comment", "x"))},
		{"member-twice", "A member that occurs twice.", published(twice("registry"))},
		{"member-recased", "A name that differs in case.", published(recase("registry"))},
		{"registry-missing", "registry is missing.", published(drop("registry"))},
		{"registry-url", "A registry's name is no URL.", published(set("registry", "https://"+registry))},
		{"purl-missing", "purl is missing.", published(drop("purl"))},
		{"purl-not-canonical", "A purl that is not in its canonical spelling.", published(set("purl", "pkg:NPM/%40acme/widget@1.2.3"))},
		{"purl-lower-hex", "Percent-encoding in lower case.", all(coordinate("pkg:golang/example.com/acme/Old@v2.0.0%2Bincompatible", "Old.zip", sha256Of("Old.zip")),
			published(set("purl", "pkg:golang/example.com/acme/Old@v2.0.0%2bincompatible")))},
		{"signed-at-missing", "signedAt is missing.", published(drop("signedAt"))},
		{"signed-at-fraction", "Times are whole seconds.", published(set("signedAt", "2026-02-03T11:59:30.5Z"))},
		{"signed-at-local", "A time without a zone.", published(set("signedAt", "2026-02-03T11:59:30"))},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"publication-" + c.name, c.comment, c.tell, "malformed"})
	}
	return out
}

func refusedAttributes() []vector {
	ai := func(e ...edit) tell {
		good := object{{"extent", "assisted"}, {"tools", []any{object{{"name", "codegen"}, {"version", "4.1"}}}}, {"reviewedBy", []any{}}}
		return attributes(object{{"aiGeneration", good.edited(e)}})
	}
	value := func(text string) tell { return attributes(object{{"x", raw(text)}}) }
	cases := []struct {
		name, comment string
		tell          tell
	}{
		{"missing", "attributes must be there, empty if need be.", published(drop("attributes"))},
		{"null", "null is nowhere a value.", published(set("attributes", raw("null")))},
		{"list", "attributes is an object.", published(set("attributes", []any{}))},
		{"string", "Not a string with JSON in it.", published(set("attributes", "{}"))},
		{"null-inside", "null is no value for an attribute either.", value("null")},
		{"float-inside", "Nor is a number with a fraction.", value("0.5")},
		{"exponent-inside", "Nor is one with an exponent.", value("1E3")},
		{"negative-inside", "Nor is a negative one.", value("-1")},
		{"negative-zero-inside", "Nor is a negative zero.", value("-0")},
		{"too-large-inside", "2^53 is too large.", value("9007199254740992")},
		{"twice-inside", "Names occur once, in attributes too.", value(`{"a":1,"a":1}`)},
		{"twice-at-top", "The same at the top.", attributes(object{{"a", 1}, {"a", 2}})},
		{"depth-17", "Seventeen levels of nesting in the payload.", value(nested(14))},
		{"ai-extent-unknown", "An extent that is not one of three.", ai(set("extent", "mostly"))},
		{"ai-extent-missing", "extent is missing.", ai(drop("extent"))},
		{"ai-tools-missing", "tools must be there.", ai(drop("tools"))},
		{"ai-tool-version-missing", "A tool without a version.", ai(within("tools", drop("version")))},
		{"ai-tool-unknown-member", "A tool with an unknown member.", ai(within("tools", add("vendor", "x")))},
		{"ai-reviewers-missing", "reviewedBy must be there.", ai(drop("reviewedBy"))},
		{"ai-reviewer-twice", "Each of them once: policies count them.", ai(set("reviewedBy", texts(key("reviewer").fingerprint(), key("reviewer").fingerprint())))},
		{"ai-reviewer-name", "Reviewers are named by their keys' fingerprints.", ai(set("reviewedBy", texts("alice")))},
		{"ai-unknown-member", "The one attribute with a defined shape has no other members.", ai(add("share", 30))},
		{"ai-recased", "A name that differs from it in case: a lenient reader would take one for the other.", attributes(object{{"aigeneration", "none"}})},
		{"ai-list", "aiGeneration is an object.", attributes(object{{"aiGeneration", []any{}}})},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"attributes-" + c.name, c.comment, c.tell, "malformed"})
	}
	return out
}
