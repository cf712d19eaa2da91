package main

import (
	"strings"
)

// Step 3: what is logged.

func refusedStatements() []vector {
	cases := []struct {
		name, comment string
		tell          tell
	}{
		{"not-json", "The entry is not JSON.", statementBytes(func([]byte) []byte { return []byte("statement") })},
		{"array", "The entry is a list.", statementBytes(func(b []byte) []byte { return []byte("[" + string(b) + "]") })},
		{"trailing-data", "A second document after the statement.", statementBytes(ending("{}"))},
		{"byte-order-mark", "A byte order mark.", statementBytes(func(b []byte) []byte { return append([]byte("\ufeff"), b...) })},
		{"too-large", "An entry of 65536 bytes.", statementBytes(paddedTo(65536))},
		{"type-missing", "_type is missing.", statement(drop("_type"))},
		{"type-older", "in-toto's Statement of another version.", statement(set("_type", "https://in-toto.io/Statement/v0.1"))},
		{"type-recased", "A name that differs in case.", statement(recase("_type"))},
		{"type-null", "null is nowhere a value.", statement(set("_type", raw("null")))},
		{"type-twice", "A member that occurs twice.", statement(twice("_type"))},
		{"unknown-member", "An unknown member.", statement(add("comment", "x"))},
		{"predicate-type-missing", "predicateType is missing.", statement(drop("predicateType"))},
		{"predicate-type-unknown", "A predicate that the formats do not have.", statement(set("predicateType", typePrefix+"countersignature/v2"))},
		{"predicate-type-of-publication", "A publication is no log entry.", statement(set("predicateType", typePrefix+"publication/v1"))},
		{"predicate-type-of-registry-statement", "A countersignature under the type of a registry statement.", statement(set("predicateType", typePrefix+"registry-statement/v1"))},
		{"predicate-type-twice", "Two types, of which a lenient reader would choose one.", statement(twice("predicateType"))},
		{"both-types", "An entry that is a statement and an envelope.", statement(add("payloadType", inTotoPayload))},
		{"predicate-missing", "predicate is missing.", statement(drop("predicate"))},
		{"predicate-list", "The predicate is a list.", statement(set("predicate", []any{}))},
		{"predicate-unknown-member", "An unknown member.", predicate(add("note", "x"))},
		{"predicate-member-twice", "A member that occurs twice.", predicate(twice("purl"))},
		{"predicate-member-recased", "A name that differs in case.", predicate(recase("purl"))},
		{"registry-missing", "registry is missing.", predicate(drop("registry"))},
		{"registry-trailing-dot", "A host name with a dot at its end.", predicate(set("registry", registry+"."))},
		{"registry-port", "A registry's name has no port.", predicate(set("registry", registry+":443"))},
		{"origin-missing", "origin is missing.", predicate(drop("origin"))},
		{"identity-missing", "identity is missing.", predicate(drop("identity"))},
		{"identity-bare-hex", "A digest without sha256: in front.", predicate(set("identity", hexSHA256(nil)))},
		{"purl-missing", "purl is missing.", predicate(drop("purl"))},
		{"purl-not-canonical", "A purl that is not in its canonical spelling.", predicate(set("purl", "pkg:npm/@acme/widget@1.2.3"))},
		{"purl-subpath", "A purl with a subpath.", predicate(set("purl", "pkg:npm/%40acme/widget@1.2.3#lib"))},
		{"purl-qualifier", "A purl with a qualifier that the table does not have.", predicate(set("purl", "pkg:npm/%40acme/widget@1.2.3?arch=x86"))},
		{"publication-missing", "publication is missing.", predicate(drop("publication"))},
		{"enrolment-missing", "enrolment is missing.", predicate(drop("enrolment"))},
		{"enrolment-envelope", "The statement names the certificate; it does not carry it.", predicate(set("enrolment", object{}))},
		{"countersigned-at-missing", "countersignedAt is missing.", predicate(drop("countersignedAt"))},
		{"countersigned-at-lower-case", "T and Z are upper case.", predicate(set("countersignedAt", "2026-02-03t12:00:00z"))},
		{"countersigned-at-space", "A space in place of the T.", predicate(set("countersignedAt", "2026-02-03 12:00:00Z"))},
		{"countersigned-at-leap-second", "A sixty-first second.", predicate(set("countersignedAt", "2026-12-31T23:59:60Z"))},
		{"countersigned-at-24", "Hours end with 23.", predicate(set("countersignedAt", "2026-02-03T24:00:00Z"))},
		{"countersigned-at-year-1", "The first second of year 1 is no time: too many libraries mean \"none\" by it.", predicate(set("countersignedAt", "0001-01-01T00:00:00Z"))},
		{"countersigned-at-number", "Seconds since 1970.", predicate(set("countersignedAt", 1770120000))},
		{"withdrawal", "A withdrawal says nothing in favour of a file.", func(s *story) { s.predicate = "withdrawal/v1" }},
		{"identity-entry", "An identity in the log is no statement.", func(s *story) { s.entry = func(b *built) []byte { return encode(b.chain[0].wire) } }},
		{"enrolment-entry", "An enrolment in the log is no statement.", func(s *story) { s.entry = func(b *built) []byte { return encode(b.enrolled.wire) } }},
		{"enrolment-end-entry", "Nor is the end of one.", func(s *story) { s.entry = enrolmentEnd }},
		{"publication-entry", "A publication alone, without the registry's statement.", func(s *story) { s.entry = func(b *built) []byte { return encode(b.publication.wire) } }},
		{"registry-statement-reason", "A reason that is not one of two.", all(registryWord, predicate(set("reason", "import")))},
		{"registry-statement-evidence-missing", "evidence must be there, an empty list if need be.", all(registryWord, predicate(drop("evidence")))},
		{"registry-statement-evidence-type", "Evidence without its type.", all(registryWord, predicate(within("evidence", drop("type"))))},
		{"registry-statement-evidence-digest", "Evidence whose digest is none.", all(registryWord, predicate(within("evidence", set("digest", "md5:00"))))},
		{"registry-statement-nine-evidences", "Nine parts of evidence, one too many.", all(registryWord, predicate(func(o object) object {
			one := o.get("evidence").([]any)[0]
			return set("evidence", []any{one, one, one, one, one, one, one, one, one})(o)
		}))},
		{"registry-statement-with-publication", "A registry statement that carries a publication is neither one nor the other.",
			all(registryWord, func(s *story) {
				s.statement = append(s.statement, within("predicate", add("publication", s.publication.seal(s.publicationPayload()).wire)))
			})},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"statement-" + c.name, c.comment, c.tell, "malformed"})
	}
	return append(out, vector{"basis-too-weak", "A registry statement where the pin requires a publisher's signature.", registryWord, "basis-too-weak"},
		vector{"basis-too-weak-by-default", "The same where the pin says so in words.",
			all(registryWord, pinned(func(_ *built, p *pin) { p.require = "publisher" })), "basis-too-weak"})
}

func enrolmentEnd(b *built) []byte {
	d := document{payloadType: vendorPrefix + "enrolment-end.v1+json", signers: []key{enrolKey}}
	return encode(d.seal(object{{"registry", registry}, {"enrolment", b.enrolled.digest()}, {"reason", "left"}, {"ended", countersignedAt}}).wire)
}

// refusedSubjects break the subject of statement and publication alike, so that only its own rules are broken.
func refusedSubjects() []vector {
	subject := func(e ...edit) tell {
		return all(statement(within("subject", e...)), publication(within("subject", e...)))
	}
	digests := func(e ...edit) tell { return subject(within("digest", e...)) }
	list := func(f func([]any) []any) tell {
		e := func(o object) object { return set("subject", f(o.get("subject").([]any)))(o) }
		return all(statement(e), publication(e))
	}
	cases := []struct {
		name, comment string
		tell          tell
	}{
		{"missing", "No subject.", all(statement(drop("subject")), publication(drop("subject")))},
		{"none", "An empty list of subjects.", list(func([]any) []any { return []any{} })},
		{"two", "Two subjects: a statement is about one file.", list(func(l []any) []any { return append(l, l[0]) })},
		{"unknown-member", "in-toto's other members have no place here.", subject(add("uri", "https://example.com"))},
		{"name-missing", "name is missing.", subject(drop("name"))},
		{"name-empty", "name is empty.", subject(set("name", ""))},
		{"name-long", "A name of 513 bytes.", subject(set("name", strings.Repeat("x", 513)))},
		{"digest-missing", "digest is missing.", subject(drop("digest"))},
		{"sha256-missing", "sha256 is always there.", digests(drop("sha256"))},
		{"sha1", "sha1 is never there.", digests(add("sha1", strings.Repeat("0", 40)))},
		{"md5", "Nor is md5.", digests(add("md5", strings.Repeat("0", 32)))},
		{"unknown-digest", "A digest name that the formats do not have.", digests(add("sha512_256", strings.Repeat("0", 64)))},
		{"digest-recased", "A digest name that differs in case.", all(twoDigests, digests(recase("sha512")))},
		{"digest-twice", "A digest that occurs twice.", digests(twice("sha256"))},
		{"digest-upper-case", "Hex in upper case.", digests(set("sha256", strings.ToUpper(hexSHA256([]byte("content of widget-1.2.3.tgz\n")))))},
		{"digest-short", "A digest that is too short.", digests(set("sha256", hexSHA256(nil)[:62]))},
		{"digest-base64", "A digest in base64.", digests(set("sha256", make([]byte, 32)))},
		{"digest-prefixed", "A digest with its algorithm in front.", digests(set("sha256", digest(nil)))},
		{"pypi-name", "On PyPI the subject's name is the file's.",
			coordinate("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0.tar.gz", "acme-http-1.0.0.tar.gz", sha256Of("acme_http-1.0.0.tar.gz"))},
		{"oci-digest", "An image's subject is the manifest that the purl names.",
			coordinate("pkg:oci/widget@"+digest(nil)+"?repository_url=registry.example/team/widget", "widget", sha256Of("another manifest"))},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"subject-" + c.name, c.comment, c.tell, "malformed"})
	}
	return out
}

func refusedNames() []vector {
	const purl, mismatch = "purl-mismatch", "statement-mismatch"
	pypi := coordinate("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0-py3-none-any.whl", "acme_http-1.0.0-py3-none-any.whl", sha256Of("acme_http-1.0.0-py3-none-any.whl"))
	return []vector{
		{"purl-other-package", "A valid bundle of another package, offered under the expected name.",
			coordinate("pkg:npm/%40acme/gadget@1.2.3", "gadget-1.2.3.tgz", sha256Of("gadget-1.2.3.tgz")).asking("pkg:npm/%40acme/widget@1.2.3"), purl},
		{"purl-other-version", "A valid bundle of another version.",
			coordinate("pkg:npm/%40acme/widget@1.2.2", "widget-1.2.2.tgz", sha256Of("widget-1.2.2.tgz")).asking("pkg:npm/%40acme/widget@1.2.3"), purl},
		{"purl-other-ecosystem", "A valid bundle of the same name in another ecosystem.",
			coordinate("pkg:cargo/acme-http@1.0.0", "acme-http-1.0.0.crate", sha256Of("acme-http-1.0.0.crate")).asking("pkg:hex/acme/http@1.0.0").also(pins(
				pin{namespace: namespaceOf["cargo"], registry: registry}, pin{namespace: namespaceOf["hex"], registry: registry})), purl},
		{"purl-other-file", "Another file of the same version on PyPI.",
			pypi.asking("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0.tar.gz"), purl},
		{"purl-partial-other-version", "Without a file name the version still counts.", all(pypi.asking("pkg:pypi/acme-http@1.1"), asks(set("artifact", false))), purl},
		{"purl-other-classifier", "The sources of a Maven version in place of the main artifact.",
			coordinate("pkg:maven/com.acme/lib@1.0?classifier=sources", "lib-1.0-sources.jar", sha256Of("s")).asking("pkg:maven/com.acme/lib@1.0"), purl},
		{"purl-not-what-publisher-signed", "The registry states another purl than the publisher signed.", published(set("purl", "pkg:npm/%40acme/widget@1.2.4")), purl},
		{"statement-for-another-registry", "Everything is in order, but the statement is of another registry than the pin's.", all(
			predicate(set("registry", "registry.other.example"), set("origin", "registry.other.example/countersign/1")),
			published(set("registry", "registry.other.example"))), mismatch},
		{"statement-identity-other", "The statement names another identity than the pinned one.", predicate(set("identity", digest([]byte("another")))), mismatch},
		{"statement-identity-by-last-version", "The statement names the identity by version 2's digest.", all(version(plain()), func(s *story) {
			s.statement = append(s.statement, within("predicate", set("identity", s.build().chain[1].digest())))
		}), mismatch},
		{"statement-origin-other-log", "The statement says that it is in another log of the registry than the proof.", predicate(set("origin", nextOrigin)), mismatch},
		{"statement-origin-other-registry", "The statement's log is not one of its registry.", predicate(set("origin", "registry.other.example/countersign/1")), mismatch},
		{"publication-for-another-registry", "The publisher signed for another registry.", published(set("registry", "registry.other.example")), mismatch},
		{"publication-other-digest", "The publisher signed another file.", publication(within("subject", within("digest", set("sha256", hexSHA256(nil))))), mismatch},
		{"publication-fewer-digests", "The statement has a digest that the publisher did not sign.", all(twoDigests, publication(within("subject", within("digest", drop("sha512"))))), mismatch},
		{"publication-other-name", "The publisher signed another file name.", publication(within("subject", set("name", "widget.tgz"))), mismatch},
		{"namespace-not-bound", "The registry does not speak for the name.", identity(set("namespaces", texts("pkg:npm/@other/*", "pkg:npm/@acme/wid"))), "namespace-not-bound"},
		{"namespace-no-longer-bound", "The registry spoke for the name in version 1, and no longer does.", version(plain(set("namespaces", texts("pkg:npm/@other/*")))), "namespace-not-bound"},
	}
}

// asking is the story, asked about under another purl.
func (t tell) asking(purl string) tell { return all(t, asks(set("purl", purl))) }

func (t tell) also(more tell) tell { return all(t, more) }

func refusedDigests() []vector {
	const code = "artifact-digest-mismatch"
	module := coordinate("pkg:golang/example.com/acme/tool@v1.4.0", "tool-v1.4.0.zip", with(with(sha256Of("tool-v1.4.0.zip"),
		"dirHash", hexSHA256([]byte("tool directory"))), "goModHash", hexSHA256([]byte("tool go.mod"))))
	return []vector{
		{"digest-other-file", "Another file.", asks(set("digests", sha256Of("tampered"))), code},
		{"digest-sha512-differs", "sha256 of the file, sha512 of another.", all(twoDigests, asks(within("digests", set("sha512", hexSHA512(nil))))), code},
		{"digest-lockfile-differs", "The lockfile expects another file.", all(twoDigests, asks(set("artifact", false), set("digests", sha512Of("other")))), code},
		{"digest-lockfile-one-differs", "One digest of the lockfile agrees, another does not.", all(twoDigests, asks(set("artifact", false), within("digests", set("sha512", hexSHA512(nil))))), code},
		{"digest-none", "No digest is expected.", asks(set("artifact", false), set("digests", object{})), code},
		{"digest-none-in-common", "The lockfile knows a digest that the subject does not have.", asks(set("artifact", false), set("digests", object{{"hexInner", hexSHA256(nil)}})), code},
		{"digest-go-mod-alone", "goModHash covers one file of a module: alone it proves nothing about the others.", all(module,
			asks(set("artifact", false), within("digests", drop("sha256"), drop("dirHash")))), code},
		{"digest-go-mod-differs", "But it must agree.", all(module, asks(set("artifact", false), within("digests", set("goModHash", hexSHA256(nil))))), code},
		{"digest-upper-case", "Digests are compared as text: lower-case hex.", asks(within("digests", func(o object) object {
			return set("sha256", strings.ToUpper(o.get("sha256").(string)))(o)
		})), code},
		{"digest-partial-other-file", "A partial purl, and the digest of another file than the bundle's.", all(
			coordinate("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0-py3-none-any.whl", "acme_http-1.0.0-py3-none-any.whl", sha256Of("acme_http-1.0.0-py3-none-any.whl")),
			asks(set("purl", "pkg:pypi/acme-http@1"), set("artifact", false), set("digests", sha256Of("acme_http-1.0.0.tar.gz")))), code},
	}
}
