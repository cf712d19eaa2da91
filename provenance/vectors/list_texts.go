package main

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

func documents() []any {
	deep := nested(16)
	cases := []struct {
		comment, text string
		ok            bool
	}{
		{"an object", `{"a":1,"b":[true,false,"x"]}`, true},
		{"white space", " {\t\"a\" :\r\n1 } ", true},
		{"a string", `"x"`, true},
		{"the smallest number", `0`, true},
		{"the largest number", `9007199254740991`, true},
		{"names that differ in case are different names", `{"a":1,"A":2}`, true},
		{"escapes", `"\u00e9\ud83d\ude00\/"`, true},
		{"sixteen levels", deep, true},
		{"an empty name", `{"":1}`, true},
		{"seventeen levels", "[" + deep + "]", false},
		{"nothing", ``, false},
		{"white space alone", " ", false},
		{"null", `null`, false},
		{"null inside", `{"a":[null]}`, false},
		{"a name twice", `{"a":1,"a":1}`, false},
		{"a name twice, once with an escape", `{"a":1,"\u0061":1}`, false},
		{"a name twice, inside", `[{"b":{"a":1,"c":2,"a":3}}]`, false},
		{"2^53", `9007199254740992`, false},
		{"a number of seventeen digits", `10000000000000000`, false},
		{"a negative number", `-1`, false},
		{"negative zero", `-0`, false},
		{"a fraction", `1.5`, false},
		{"a fraction of zero", `1.0`, false},
		{"an exponent", `1e3`, false},
		{"a leading zero", `01`, false},
		{"a leading plus", `+1`, false},
		{"a second document", `{} {}`, false},
		{"a bracket too many", `{}}`, false},
		{"a comma at the end", `[1,]`, false},
		{"no value", `{"a":}`, false},
		{"a comment", `{}//x`, false},
		{"a name without quotes", `{a:1}`, false},
		{"NaN", `NaN`, false},
		{"an infinite number", `[Infinity]`, false},
		{"True", `True`, false},
		{"a byte order mark", "\ufeff{}", false},
		{"a line feed in a string", "\"a\nb\"", false},
		{"an unknown escape", `"\x41"`, false},
		{"half a surrogate pair", `"\ud800"`, false},
		{"the other half", `"\udc00"`, false},
		{"the halves in the wrong order", `"\udc00\ud800"`, false},
		{"not UTF-8", "\"\xff\"", false},
		{"an overlong encoding", "\"\xc0\xaf\"", false},
		{"a surrogate in UTF-8", "\"\xed\xa0\x80\"", false},
		{"Latin-1", "\"caf\xe9\"", false},
		{"a no-break space between tokens", "{\u00a0}", false},
		{"a NUL at the end", "{}\x00", false},
	}
	var out []any
	for _, c := range cases {
		content := member{"text", c.text}
		if !utf8.ValidString(c.text) {
			content = member{"base64", []byte(c.text)}
		}
		out = append(out, object{{"comment", c.comment}, {"ok", c.ok}, content})
	}
	return out
}

func spellings() []any {
	long := strings.Repeat("a.", 99) + "aa" // 200 bytes
	label := strings.Repeat("a", 63)
	n := base64.StdEncoding.EncodeToString
	groups := []struct {
		kind      string
		good, bad []string
	}{
		{"registry", []string{"registry.example", "r", "localhost", "xn--bcher-kva.example", "1.example", "10.0.0.1", long, label + ".example"},
			[]string{"", "Registry.example", "registry.example.", ".example", "a..b", "-a.example", "a-.example", "a_b.example", "registry.example:443", "registry.example/npm",
				"bücher.example", "a b", long + "a", label + "a.example", "registry.example\n"}},
		{"origin", []string{origin, "r/countersign/0", "r/countersign/4294967295"},
			[]string{"", registry, registry + "/countersign", registry + "/countersign/", registry + "/countersign/01", registry + "/countersign/+1", registry + "/countersign/-1",
				registry + "/countersign/4294967296", registry + "/countersign/1/", registry + "/countersign/1 ", registry + "/Countersign/1", registry + "/countersign/one",
				"Registry.example/countersign/1", "https://" + origin, registry + "//countersign/1", registry + "/countersign/countersign/1"}},
		{"time", []string{"2026-02-03T12:00:00Z", "2024-02-29T23:59:59Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"},
			[]string{"", "2026-02-03", "2026-02-03T12:00Z", "2026-02-03T12:00:00", "2026-02-03T12:00:00+00:00", "2026-02-03T12:00:00-00:00", "2026-02-03T12:00:00.0Z", "2026-02-03T12:00:00,0Z",
				"2026-02-03t12:00:00Z", "2026-02-03T12:00:00z", "2026-02-03 12:00:00Z", "2026-2-3T12:00:00Z", "2026-02-03T24:00:00Z", "2026-02-03T12:60:00Z", "2026-12-31T23:59:60Z",
				"2025-02-29T12:00:00Z", "2026-04-31T12:00:00Z", "2026-13-01T12:00:00Z", "2026-00-01T12:00:00Z", "12026-02-03T12:00:00Z", "+2026-02-03T12:00:00Z", " 2026-02-03T12:00:00Z", "2026-02-03T12:00:00Z "}},
		{"base64", []string{"AA==", "AAA=", "AAAA", n([]byte("countersign")), n([]byte{0xfb, 0xff}), "+/+/"},
			[]string{"A", "AA", "AA=", "AAA", "AB==", "AAB=", "AA==AA==", "AAAA=", "-_-_", "AA\n==", "AAAA\n", " AAAA", "AAAA ", "A===", "====", "AAAA,"}},
	}
	var out []any
	for _, g := range groups {
		for _, s := range g.good {
			out = append(out, object{{"kind", g.kind}, {"text", s}, {"ok", true}})
		}
		for _, s := range g.bad {
			out = append(out, object{{"kind", g.kind}, {"text", s}, {"ok", false}})
		}
	}
	return out
}

func entries() []any {
	b := newStory().build()
	of := func(kind string, t tell) object {
		s := newStory()
		t(s)
		return object{{"kind", kind}, {"entry", string(s.build().logged)}}
	}
	envelope := string(encode(b.enrolled.wire))
	bad := func(comment, text string) object { return object{{"comment", comment}, {"entry", text}} }
	end := string(enrolmentEnd(b))
	return []any{
		of("countersignature", func(*story) {}), of("registry-statement", registryWord),
		of("registry-statement", all(registryWord, predicate(set("reason", "ingest"), set("evidence", []any{})))),
		of("withdrawal", func(s *story) { s.predicate = "withdrawal/v1" }),
		object{{"kind", "identity"}, {"entry", string(encode(b.chain[0].wire))}}, object{{"kind", "enrolment"}, {"entry", envelope}},
		object{{"kind", "enrolment-end"}, {"entry", end}}, object{{"kind", "status"}, {"entry", statusOf()}},
		bad("an envelope with a space in it: as a log entry it has one form", replaced(envelope, `{"payloadType"`, `{ "payloadType"`)),
		bad("an envelope whose members are in another order", string(encode(append(b.enrolled.wire[1:], b.enrolled.wire[0])))),
		bad("an envelope with an escape that need not be", replaced(envelope, `"application/`, `"application\/`)),
		bad("an envelope with an unknown payload type", string(encode(document{payloadType: "application/json", signers: []key{enrolKey}}.seal(object{}).wire))),
		bad("an enrolment with two signatures", string(encode(document{payloadType: b.enrolment.payloadType, signers: []key{enrolKey, "enrol-b"}}.seal(b.enrolmentPayload()).wire))),
		bad("the end of an enrolment without a reason", string(encode(document{payloadType: vendorPrefix + "enrolment-end.v1+json", signers: []key{enrolKey}}.seal(object{
			{"registry", registry}, {"enrolment", b.enrolled.digest()}, {"reason", ""}, {"ended", countersignedAt}}).wire))),
		bad("a status with a purl, as withdrawals have one", statusOf(statusEdit(add("purl", "pkg:npm/x@1.0.0")))),
		bad("a status without a size", statusOf(statusEdit(drop("size")))),
		bad("a status of size 0", statusOf(statusEdit(set("size", 0)))),
		bad("a withdrawal without a reason", of("", all(func(s *story) { s.predicate = "withdrawal/v1" }, predicate(drop("reason")))).get("entry").(string)),
		bad("a withdrawal with a reason of 1025 bytes", of("", all(func(s *story) { s.predicate = "withdrawal/v1" }, predicate(set("reason", strings.Repeat("x", 1025))))).get("entry").(string)),
		bad("an object that is neither", `{"hello":"world"}`), bad("an empty object", `{}`), bad("a list", `[]`), bad("nothing", ``), bad("text", `hello`),
	}
}

// statusOf is the entry of a status with changes.
func statusOf(changes ...func(*statusStory)) string {
	s := newStory()
	status(changes...)(s)
	return string(s.build().statusEntry())
}

func pinFiles() []any {
	const good = "version = 1\n[[pin]]\nnamespace = \"pkg:npm/@acme/*\"\nregistry = \"registry.example\"\n"
	id := "identity = \"" + digest(nil) + "\"\n"
	more := "[[pin]]\nnamespace = \"pkg:npm/@other/*\"\nregistry = \"registry.example\"\n" + id
	cases := []struct {
		comment, text string
		ok            bool
	}{
		{"no pins", "version = 1\n", true},
		{"one pin", good + id, true},
		{"two pins", good + id + more, true},
		{"every key", "version = 1\ndefault = \"ignore\"\n" + good[len("version = 1\n"):] + id + "latest = { version = 3, sha256 = \"" + hexSHA256(nil) + "\" }\n" +
			"publishers = [\"" + digest(nil) + "\"]\nrequire = \"publisher\"\nmode = \"report\"\n", true},
		{"latest as a table", good + id + "[pin.latest]\nversion = 3\nsha256 = \"" + hexSHA256(nil) + "\"\n", true},
		{"require registry", good + id + "require = \"registry\"\n", true},
		{"a status of at most 72 hours", good + id + "status_max_age = \"72h\"\n", true},
		{"in minutes", good + id + "status_max_age = \"99999m\"\n", true},
		{"in seconds", good + id + "status_max_age = \"1s\"\n", true},
		{"a status of no age", good + id + "status_max_age = \"0h\"\n", false},
		{"a status of an empty age", good + id + "status_max_age = \"\"\n", false},
		{"a status of a negative age", good + id + "status_max_age = \"-1h\"\n", false},
		{"a status age with a leading zero", good + id + "status_max_age = \"01h\"\n", false},
		{"a status age of six digits", good + id + "status_max_age = \"100000s\"\n", false},
		{"a status age in days", good + id + "status_max_age = \"3d\"\n", false},
		{"a status age in two parts", good + id + "status_max_age = \"1h30m\"\n", false},
		{"a status age in capitals", good + id + "status_max_age = \"1H\"\n", false},
		{"a status age with a space", good + id + "status_max_age = \"72 h\"\n", false},
		{"a status age with a line feed", good + id + "status_max_age = \"72h\\n\"\n", false},
		{"a status age without a unit", good + id + "status_max_age = \"72\"\n", false},
		{"a status age as a number", good + id + "status_max_age = 72\n", false},
		{"a status age for all pins", "version = 1\nstatus_max_age = \"72h\"\n", false},
		{"a whole ecosystem", strings.Replace(good, "@acme/*", "*", 1) + id, true},
		{"nothing", "", false},
		{"version missing", "default = \"reject\"\n", false},
		{"version 2", "version = 2\n", false},
		{"version as text", "version = \"1\"\n", false},
		{"an unknown key", "version = 1\nstrict = true\n", false},
		{"an unknown key in a pin", good + id + "comment = \"x\"\n", false},
		{"a key twice", "version = 1\nversion = 1\n", false},
		{"a key in another case", "Version = 1\n", false},
		{"a key of a pin in another case", good + strings.Replace(id, "identity", "Identity", 1), false},
		{"an unknown default", "version = 1\ndefault = \"allow\"\n", false},
		{"an empty default", "version = 1\ndefault = \"\"\n", false},
		{"a default that is no default", "version = 1\ndefault = \"enforce\"\n", false},
		{"an unknown mode", good + id + "mode = \"reject\"\n", false},
		{"an unknown require", good + id + "require = \"both\"\n", false},
		{"identity missing", good, false},
		{"identity without sha256:", good + strings.Replace(id, "sha256:", "", 1), false},
		{"registry as a URL", strings.Replace(good, "registry.example", "https://registry.example", 1) + id, false},
		{"namespace missing", strings.Replace(good, "namespace = \"pkg:npm/@acme/*\"\n", "", 1) + id, false},
		{"namespace not canonical", strings.Replace(good, "pkg:npm/@acme/*", "pkg:npm/%40acme/*", 1) + id, false},
		{"every ecosystem", strings.Replace(good, "pkg:npm/@acme/*", "pkg:*", 1) + id, false},
		{"a namespace twice", good + id + good[len("version = 1\n"):] + id, false},
		{"latest without version", good + id + "latest = { sha256 = \"" + hexSHA256(nil) + "\" }\n", false},
		{"latest version 0", good + id + "latest = { version = 0, sha256 = \"" + hexSHA256(nil) + "\" }\n", false},
		{"latest version negative", good + id + "latest = { version = -1, sha256 = \"" + hexSHA256(nil) + "\" }\n", false},
		{"latest version 2^53", good + id + "latest = { version = 9007199254740992, sha256 = \"" + hexSHA256(nil) + "\" }\n", false},
		{"latest version with a fraction", good + id + "latest = { version = 3.0, sha256 = \"" + hexSHA256(nil) + "\" }\n", false},
		{"an unknown key in latest", good + id + "latest = { version = 3, sha256 = \"" + hexSHA256(nil) + "\", note = \"x\" }\n", false},
		{"latest with sha256:", good + id + "latest = { version = 3, sha256 = \"" + digest(nil) + "\" }\n", false},
		{"publishers empty", good + id + "publishers = []\n", false},
		{"publishers by name", good + id + "publishers = [\"alice\"]\n", false},
		{"publishers where their signature is not required", good + id + "require = \"registry\"\npublishers = [\"" + digest(nil) + "\"]\n", false},
		{"not TOML", "version: 1\n", false},
	}
	var out []any
	for _, c := range cases {
		out = append(out, object{{"comment", c.comment}, {"ok", c.ok}, {"toml", c.text}})
	}
	return out
}
