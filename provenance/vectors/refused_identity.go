package main

import (
	"slices"
	"strings"
)

// refusedIdentities are versions that are wrong by themselves. They are signed by the root, and refused all the same.
func refusedIdentities() []vector {
	cases := []struct {
		name, comment string
		edit          edit
	}{
		{"registry-missing", "registry is missing.", drop("registry")},
		{"registry-upper-case", "A registry's name is lower-case.", set("registry", "Registry.example")},
		{"version-missing", "version is missing.", drop("version")},
		{"version-zero", "Versions begin with 1.", set("version", 0)},
		{"version-string", "version is a string.", set("version", "1")},
		{"version-float", "A number with a fraction.", set("version", raw("1.0"))},
		{"version-exponent", "A number with an exponent.", set("version", raw("1e0"))},
		{"version-negative", "A negative number.", set("version", raw("-1"))},
		{"version-too-large", "2^53 is too large.", set("version", raw("9007199254740992"))},
		{"previous-in-first", "Version 1 has no previous.", add("previous", digest(nil))},
		{"previous-empty", "An optional member is left out, not empty.", add("previous", "")},
		{"root-missing", "root is missing.", drop("root")},
		{"root-null", "null is nowhere a value.", set("root", raw("null"))},
		{"root-threshold-zero", "A root that needs no signature.", set("root", rootOf(0, rootKey))},
		{"root-threshold-too-high", "A root that needs more signatures than it has keys.", set("root", rootOf(2, rootKey))},
		{"root-no-keys", "A root without keys.", set("root", rootOf(1))},
		{"root-key-twice", "A key occurs once: twice in the root, it would reach a threshold of 2 alone.", set("root", rootOf(1, rootKey, rootKey))},
		{"root-key-is-log-key", "One key, one role: a root key that is a log's.", set("root", rootOf(1, rootKey, logKey))},
		{"root-key-is-enrol-key", "One key, one role: a root key that is an enrolment key.", set("root", rootOf(1, rootKey, enrolKey))},
		{"root-key-small-order", "A key of small order, under which one signature fits many messages.", within("root", set("keys", texts(rootKey.spki(), spki(smallOrder))))},
		{"root-key-not-canonical", "A key that is not the canonical encoding of its point.", within("root", set("keys", texts(rootKey.spki(), spki(notCanonical))))},
		{"root-key-not-a-point", "32 bytes that are no point.", within("root", set("keys", texts(rootKey.spki(), spki(notAPoint))))},
		{"root-key-raw", "The 32 bytes of a key without their SubjectPublicKeyInfo.", within("root", set("keys", []any{rootKey.spki(), key("root-b").raw()}))},
		{"root-key-not-base64", "A key in the URL alphabet.", within("root", set("keys", texts(rootKey.spki(), urlAlphabet)))},
		{"logs-missing", "logs is missing.", drop("logs")},
		{"logs-empty", "Exactly one log is open; here there is none.", set("logs", []any{})},
		{"enrol-missing", "enrol is missing.", drop("enrol")},
		{"enrol-empty", "No enrolment key.", set("enrol", object{{"keys", []any{}}})},
		{"enrol-ended-false", "ended is true or left out.", set("enrol", object{{"keys", []any{append(active(enrolKey), member{"ended", false})}}})},
		{"enrol-ended-anchor", "An enrolment key's ended is not an anchor.", set("enrol", object{{"keys", []any{append(active(enrolKey), member{"ended", object{{"size", 1}, {"root", make([]byte, 32)}}})}}})},
		{"enrol-key-twice", "An enrolment key occurs twice.", set("enrol", object{{"keys", []any{active(enrolKey), active(enrolKey)}}})},
		{"enrol-key-missing", "An enrolment key without its key.", set("enrol", object{{"keys", []any{active(enrolKey), object{}}}})},
		{"namespaces-missing", "namespaces is missing.", drop("namespaces")},
		{"namespaces-empty", "A registry that speaks for nothing.", set("namespaces", []any{})},
		{"namespaces-twice", "A namespace occurs twice.", set("namespaces", texts("pkg:npm/@acme/*", "pkg:npm/@acme/*"))},
		{"namespaces-65", "65 namespaces, one too many.", set("namespaces", texts(manyNamespaces(65)...))},
		{"namespace-whole-ecosystem", "Only a pin may cover a whole ecosystem.", set("namespaces", texts("pkg:npm/*"))},
		{"namespace-encoded", "Namespaces are decoded.", set("namespaces", texts("pkg:npm/%40acme/*"))},
		{"namespace-not-canonical", "A namespace that is not in its canonical spelling.", set("namespaces", texts("pkg:npm/@acme/*", "pkg:pypi/Acme_*"))},
		{"namespace-unknown-type", "An ecosystem that the table does not have.", set("namespaces", texts("pkg:npm/@acme/*", "pkg:gem/acme"))},
		{"namespace-two-stars", "One * at the end, nowhere else.", set("namespaces", texts("pkg:npm/@acme/*", "pkg:npm/*widget*"))},
		{"namespace-version", "A namespace has no version.", set("namespaces", texts("pkg:npm/@acme/*", "pkg:npm/left-pad@1.0.0"))},
		{"excluded-missing", "excluded must be there, an empty list if there is none.", drop("excluded")},
		{"excluded-unknown-log", "A range of a log that the identity does not have.", set("excluded", []any{object{{"origin", nextOrigin}, {"from", 0}, {"reason", "x"}}})},
		{"excluded-from-missing", "from is missing.", set("excluded", []any{object{{"origin", origin}, {"reason", "x"}}})},
		{"excluded-empty-range", "to is not after from.", set("excluded", []any{object{{"origin", origin}, {"from", 9}, {"to", 9}, {"reason", "x"}}})},
		{"excluded-reason-missing", "reason is missing.", set("excluded", []any{object{{"origin", origin}, {"from", 9}}})},
		{"excluded-reason-long", "A reason of more than 1024 bytes.", set("excluded", []any{object{{"origin", origin}, {"from", 9}, {"reason", strings.Repeat("x", 1025)}}})},
		{"excluded-publisher-empty", "An optional member is left out, not empty.", set("excluded", []any{object{{"origin", origin}, {"from", 9}, {"publisher", ""}, {"reason", "x"}}})},
		{"excluded-publisher-short", "publisher is not a fingerprint.", set("excluded", []any{object{{"origin", origin}, {"from", 9}, {"publisher", "sha256:00"}, {"reason", "x"}}})},
		{"evidence-key", "Evidence for what is not a fingerprint.", add("evidence", []any{object{{"key", "log-a"}, {"digest", digest(nil)}}})},
		{"evidence-digest", "A digest with upper-case digits.", add("evidence", []any{object{{"key", logKey.fingerprint()}, {"digest", "sha256:" + strings.ToUpper(digest(nil)[7:])}}})},
		{"issued-missing", "issued is missing.", drop("issued")},
		{"expires-missing", "expires is missing.", drop("expires")},
		{"expires-at-issued", "expires is not after issued.", set("expires", "2026-01-05T09:00:00Z")},
		{"expires-offset", "Times are UTC, written Z.", set("expires", "2028-01-05T09:00:00+00:00")},
		{"expires-fraction", "Times are whole seconds.", set("expires", "2028-01-05T09:00:00.0Z")},
		{"expires-no-date", "A day that does not exist.", set("expires", "2027-02-29T09:00:00Z")},
		{"unknown-member", "A member that nobody knows.", add("comment", "harmless")},
		{"member-twice", "A member that occurs twice, with the same value.", twice("version")},
		{"member-recased", "A name that differs in case.", recase("expires")},
		{"nested-unknown-member", "An unknown member in the root.", within("root", add("comment", "harmless"))},
		{"nested-member-twice", "A doubled member in a log.", within("logs", twice("threshold"))},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"identity-" + c.name, c.comment, identity(c.edit), "identity-mismatch"})
	}
	return append(out,
		vector{"identity-not-json", "The payload is not JSON.", identityBytes(func([]byte) []byte { return []byte("version: 1") }), "identity-mismatch"},
		vector{"identity-trailing-data", "Data after the payload's object.", identityBytes(ending("{}")), "identity-mismatch"},
		vector{"identity-byte-order-mark", "A byte order mark before the payload's object.", identityBytes(func(b []byte) []byte { return append([]byte("\ufeff"), b...) }), "identity-mismatch"},
		vector{"identity-too-large", "A payload of 40961 bytes.", identityBytes(paddedTo(40961)), "identity-mismatch"},
		vector{"identity-type-of-enrolment", "An identity under another payload type.", identityType(vendorPrefix + "enrolment.v1+json"), "identity-mismatch"},
		vector{"identity-type-recased", "Payload types are compared byte by byte.", identityType(vendorPrefix + "Identity.v1+json"), "identity-mismatch"})
}

// refusedLogs are logs that no identity may have.
func refusedLogs() []vector {
	anchor := object{{"size", 4}, {"root", unhex(hexSHA256([]byte("a root")))}}
	one := func(log object) []any { return []any{log} }
	cases := []struct {
		name, comment string
		logs          []any
	}{
		{"log-threshold-zero", "A log that needs no signature.", one(logOf(origin, 0, active(logKey)))},
		{"log-threshold-too-high", "A log that needs more signatures than it has keys.", one(logOf(origin, 2, active(logKey)))},
		{"log-threshold-of-ended", "Ended keys do not count towards what the threshold may be.", one(logOf(origin, 2, active(logKey), ended("log-b", anchor)))},
		{"log-no-keys", "A log without keys.", one(logOf(origin, 1))},
		{"log-key-twice", "A log's key occurs twice.", one(logOf(origin, 1, active(logKey), active(logKey)))},
		{"log-key-in-two-logs", "One key, one log.", []any{closed(logOf(nextOrigin, 1, active(logKey)), anchor), logOf(origin, 1, active(logKey))}},
		{"log-key-is-enrol-key", "One key, one role: a log's key that is an enrolment key.", one(logOf(origin, 1, active(logKey), active(enrolKey)))},
		{"log-note-ids-collide", "Two keys of a log with the same note key id, " + collisionID + ".", one(logOf(origin, 1, active(logKey), active(collisionA), active(collisionB)))},
		{"log-key-small-order", "A log's key of small order.", one(logOf(origin, 1, active(logKey), object{{"publicKey", spki(smallOrder)}}))},
		{"log-two-open", "Two open logs.", []any{logOf(origin, 1, active(logKey)), logOf(nextOrigin, 1, active("log-d"))}},
		{"log-none-open", "No open log.", one(closed(logOf(origin, 1, active(logKey)), anchor))},
		{"log-twice", "One origin twice.", []any{closed(logOf(origin, 1, active("log-d")), anchor), logOf(origin, 1, active(logKey))}},
		{"log-of-another-registry", "A log of another registry.", []any{logOf(origin, 1, active(logKey)), closed(logOf("registry.other.example/countersign/1", 1, active("log-d")), anchor)}},
		{"log-origin-number", "A log's number with a leading zero.", []any{logOf(origin, 1, active(logKey)), closed(logOf(registry+"/countersign/02", 1, active("log-d")), anchor)}},
		{"log-origin-form", "An origin that is not REGISTRY/countersign/N.", []any{logOf(origin, 1, active(logKey)), closed(logOf(registry+"/log/2", 1, active("log-d")), anchor)}},
		{"log-anchor-empty", "An anchor of an empty tree.", one(logOf(origin, 1, active(logKey), ended("log-b", anchor.edited([]edit{set("size", 0)}))))},
		{"log-anchor-root-short", "An anchor with a root of 31 bytes.", one(logOf(origin, 1, active(logKey), ended("log-b", anchor.edited([]edit{set("root", make([]byte, 31))}))))},
		{"log-anchor-without-root", "An anchor without a root.", one(logOf(origin, 1, active(logKey), ended("log-b", anchor[:1])))},
		{"log-ended-true", "A log key's ended is an anchor.", one(logOf(origin, 1, active(logKey), endedEnrol("log-b")))},
		{"log-ended-null", "null is not the same as left out.", one(logOf(origin, 1, append(active(logKey), member{"ended", raw("null")})))},
		{"log-closed-anchor-empty", "A log closed at an empty tree.", []any{closed(logOf(nextOrigin, 1, active("log-d")), anchor.edited([]edit{set("size", 0)})), logOf(origin, 1, active(logKey))}},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"identity-" + c.name, c.comment, identity(set("logs", c.logs)), "identity-mismatch"})
	}
	return slices.Clip(out)
}
