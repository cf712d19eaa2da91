package provenance_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"countersign.dev/provenance"
)

const (
	digestA = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
	digestB = "sha256:b3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
)

// in is what a person or package manager writes: name, version, file.
type in [3]string

// spellings lists files, each with the ways in which its ecosystem lets people write it. Lines with different purls are
// different files, however alike they look.
var spellings = map[string][]struct {
	purl   string
	inputs []in
}{
	"npm": {
		{"pkg:npm/JSONStream@1.3.5", []in{{"JSONStream", "1.3.5"}}},
		{"pkg:npm/jsonstream@1.3.5", []in{{"jsonstream", "1.3.5"}}},
		{"pkg:npm/%40acme/widget@1.2.3", []in{{"@acme/widget", "1.2.3"}, {"@acme/widget", "1.2.3+build.7"}, {"@acme/widget", "v1.2.3"}, {"@acme/widget", "=v1.2.3"}}},
		{"pkg:npm/%40acme/_private@1.2.3", []in{{"@acme/_private", "1.2.3"}}},
		{"pkg:npm/acme-widget@1.2.3", []in{{"acme-widget", "1.2.3"}}},
		{"pkg:npm/acme_widget@1.2.3", []in{{"acme_widget", "1.2.3"}}},
		{"pkg:npm/acme.widget@1.2.3", []in{{"acme.widget", "1.2.3"}}},
		{"pkg:npm/a~b@1.0.0-Beta.1", []in{{"a~b", "1.0.0-Beta.1"}, {"a~b", "1.0.0-Beta.1+x"}}},
		{"pkg:npm/a~b@1.0.0-beta.1", []in{{"a~b", "1.0.0-beta.1"}}},
		{"pkg:npm/-@0.0.1", []in{{"-", "0.0.1"}}},
		{"pkg:npm/x@9007199254740991.0.0", []in{{"x", "9007199254740991.0.0"}}},
	},
	"cargo": {
		{"pkg:cargo/serde-json@1.0.0", []in{{"serde_json", "1.0.0"}, {"serde-json", "1.0.0"}, {"Serde_JSON", "1.0.0+2024"}}},
		{"pkg:cargo/serdejson@1.0.0", []in{{"serdejson", "1.0.0"}}},
		{"pkg:cargo/libgit2-sys@0.12.24", []in{{"libgit2-sys", "0.12.24+1.3.0"}}},
		{"pkg:cargo/a--b@1.0.0-RC.1", []in{{"a__b", "1.0.0-RC.1"}, {"a-_b", "1.0.0-RC.1"}}},
		{"pkg:cargo/x@18446744073709551615.0.0", []in{{"x", "18446744073709551615.0.0"}}},
	},
	"hex": {
		{"pkg:hex/phoenix_html@4.1.0", []in{{"phoenix_html", "4.1.0"}, {"hexpm/phoenix_html", "4.1.0"}}},
		{"pkg:hex/acme/phoenix_html@4.1.0", []in{{"acme/phoenix_html", "4.1.0"}, {"hexpm:acme/phoenix_html", "4.1.0"}}},
		{"pkg:hex/phoenixHtml@4.1.0-rc.0", []in{{"phoenixHtml", "4.1.0-rc.0"}}},
		{"pkg:hex/phoenixhtml@4.1.0-rc.0", []in{{"phoenixhtml", "4.1.0-rc.0"}}},
	},
	"pypi": {
		{"pkg:pypi/foo-bar-baz@1?file_name=Foo.Bar_baz-1.0.0.tar.gz", []in{
			{"Foo.Bar_baz", "1.0.0", "Foo.Bar_baz-1.0.0.tar.gz"}, {"foo-bar-baz", "1", "Foo.Bar_baz-1.0.0.tar.gz"},
			{"FOO--BAR._-BAZ", "v1.0", "Foo.Bar_baz-1.0.0.tar.gz"}}},
		{"pkg:pypi/foo-bar-baz@1?file_name=foo_bar_baz-1.0.0.tar.gz", []in{{"foo-bar-baz", "1.0.0", "foo_bar_baz-1.0.0.tar.gz"}}},
		{"pkg:pypi/foo-bar-baz@1?file_name=foo-bar-baz-1.0.0.zip", []in{{"foo-bar-baz", "1.0.0", "foo-bar-baz-1.0.0.zip"}}},
		{"pkg:pypi/foo-bar-baz@1?file_name=foo_bar_baz-1.0.0-py3-none-any.whl", []in{{"foo-bar-baz", "1.0.0", "foo_bar_baz-1.0.0-py3-none-any.whl"}}},
		{"pkg:pypi/foo-bar-baz@1?file_name=foo_bar_baz-1.0.0-1-py3-none-any.whl", []in{{"foo-bar-baz", "1.0.0", "foo_bar_baz-1.0.0-1-py3-none-any.whl"}}},
		{"pkg:pypi/foo-bar-baz@1?file_name=foo_bar_baz-1.0.0-2b-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
			[]in{{"foo-bar-baz", "1.0.0", "foo_bar_baz-1.0.0-2b-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"}}},
		{"pkg:pypi/foo@1.post1?file_name=foo-1-1.tar.gz", []in{{"foo", "1.0-1", "foo-1-1.tar.gz"}}},
		{"pkg:pypi/foo-1@1?file_name=foo-1-1.tar.gz", []in{{"foo-1", "1", "foo-1-1.tar.gz"}}},
		{"pkg:pypi/foo@1%212?file_name=foo-1%212.0.tar.gz", []in{{"foo", "1!2.0", "foo-1!2.0.tar.gz"}}},
		{"pkg:pypi/foo@1%2Blocal.1?file_name=foo-1.0%2Blocal.1.tar.gz", []in{{"foo", "1.0+local-1", "foo-1.0+local.1.tar.gz"}}},
		{"pkg:pypi/foo@1%2Blocal.1?file_name=foo-1.0%2Blocal_1-py2.py3-none-any.whl", []in{{"foo", "1.0+LOCAL.1", "foo-1.0+local_1-py2.py3-none-any.whl"}}},
	},
	"golang": {
		{"pkg:golang/github.com/BurntSushi/toml@v1.6.0", []in{{"github.com/BurntSushi/toml", "v1.6.0"}}},
		{"pkg:golang/github.com/burntsushi/toml@v1.6.0", []in{{"github.com/burntsushi/toml", "v1.6.0"}}},
		{"pkg:golang/github.com/acme/lib@v2.0.0%2Bincompatible", []in{{"github.com/acme/lib", "v2.0.0+incompatible"}}},
		{"pkg:golang/github.com/acme/lib/v2@v2.0.0", []in{{"github.com/acme/lib/v2", "v2.0.0"}}},
		{"pkg:golang/gopkg.in/yaml.v3@v3.0.1", []in{{"gopkg.in/yaml.v3", "v3.0.1"}}},
		{"pkg:golang/gopkg.in/yaml.v1@v0.0.0-20161208151619-d670f9405373", []in{{"gopkg.in/yaml.v1", "v0.0.0-20161208151619-d670f9405373"}}},
		{"pkg:golang/golang.org/x/exp@v0.0.0-20230626212559-97b1e661b5df", []in{{"golang.org/x/exp", "v0.0.0-20230626212559-97b1e661b5df"}}},
		{"pkg:golang/github.com/docker/docker@v20.10.1-0.20201215000000-0123456789ab%2Bincompatible",
			[]in{{"github.com/docker/docker", "v20.10.1-0.20201215000000-0123456789ab+incompatible"}}},
		{"pkg:golang/golang.org/toolchain@v0.0.1-go1.21.0.linux-amd64", []in{{"golang.org/toolchain", "v0.0.1-go1.21.0.linux-amd64"}}},
		{"pkg:golang/acme.dev@v1.0.0", []in{{"acme.dev", "v1.0.0"}}},
		{"pkg:golang/git.sr.ht/~acme/lib@v1.0.0", []in{{"git.sr.ht/~acme/lib", "v1.0.0"}}},
	},
	"nuget": {
		{"pkg:nuget/newtonsoft.json@13.0.3", []in{{"Newtonsoft.Json", "13.0.3"}, {"NEWTONSOFT.JSON", "13.0.3.0"}, {"newtonsoft.json", "013.0.03"}}},
		{"pkg:nuget/newtonsoft-json@13.0.3", []in{{"Newtonsoft-Json", "13.0.3"}}},
		{"pkg:nuget/newtonsoft_json@13.0.3", []in{{"Newtonsoft_Json", "13.0.3"}}},
		{"pkg:nuget/x@1.0.0", []in{{"X", "1.0"}, {"x", "1"}, {"x", "1.0.0"}, {"x", "1.0.0.0"}, {"x", "1.0.0+meta"}, {"x", "01.00.00.000+a-b"}}},
		{"pkg:nuget/x@1.2.3", []in{{"x", "01.2.3"}, {"x", "1.2.3.0"}}},
		{"pkg:nuget/x@1.2.3.4", []in{{"x", "1.2.3.4"}, {"x", "1.2.3.04"}}},
		{"pkg:nuget/x@1.0.0-beta", []in{{"x", "1.0.0-Beta+meta"}, {"x", "1.0-BETA"}, {"x", "1.0.0.0-beta"}}},
		{"pkg:nuget/x@1.0.0-beta.01", []in{{"x", "1.0.0-beta.01"}}},
		{"pkg:nuget/x@1.0.0-beta.1", []in{{"x", "1.0.0-beta.1"}}},
		{"pkg:nuget/x@1.0.0-a-b", []in{{"x", "1.0.0-a-b"}}},
		{"pkg:nuget/_x@2147483647.0.0", []in{{"_x", "2147483647.0"}}},
	},
	"maven": {
		{"pkg:maven/com.acme/lib@1.0", []in{{"com.acme:lib", "1.0"}, {"com.acme/lib", "1.0"}, {"com.acme:lib", "1.0", "lib-1.0.jar"}}},
		{"pkg:maven/com.acme/lib@1.0.0", []in{{"com.acme:lib", "1.0.0"}}},
		{"pkg:maven/com.acme/Lib@1.0", []in{{"com.acme:Lib", "1.0"}}},
		{"pkg:maven/com.acme.lib/lib@1.0", []in{{"com.acme.lib:lib", "1.0"}}},
		{"pkg:maven/com/acme.lib@1.0", []in{{"com:acme.lib", "1.0"}}},
		{"pkg:maven/com.acme/lib@1.0?type=pom", []in{{"com.acme:lib", "1.0", "lib-1.0.pom"}}},
		{"pkg:maven/com.acme/lib@1.0?classifier=sources", []in{{"com.acme:lib", "1.0", "lib-1.0-sources.jar"}}},
		{"pkg:maven/com.acme/lib@1.0-sources", []in{{"com.acme:lib", "1.0-sources"}}},
		{"pkg:maven/com.acme/lib@1.0?classifier=linux-x86_64&type=tar.gz", []in{{"com.acme:lib", "1.0", "lib-1.0-linux-x86_64.tar.gz"}}},
		{"pkg:maven/com.acme/lib@1.0?classifier=hadoop2.7", []in{{"com.acme:lib", "1.0", "lib-1.0-hadoop2.7.jar"}}},
		{"pkg:maven/com.acme/lib@1.0?type=tar.gz", []in{{"com.acme:lib", "1.0", "lib-1.0.tar.gz"}}},
		{"pkg:maven/com.acme/lib@1.0?type=spdx.json", []in{{"com.acme:lib", "1.0", "lib-1.0.spdx.json"}}},
		{"pkg:maven/com.acme/lib@1.0?type=7z", []in{{"com.acme:lib", "1.0", "lib-1.0.7z"}}},
		{"pkg:maven/com.acme/lib@1.0%2Bbuild.1?classifier=a%2Bb", []in{{"com.acme:lib", "1.0+build.1", "lib-1.0+build.1-a+b.jar"}}},
		{"pkg:maven/com.acme/lib@Finchley.SR2", []in{{"com.acme:lib", "Finchley.SR2"}}},
	},
	"oci": {
		{"pkg:oci/tool@" + digestA + "?repository_url=ghcr.io/acme/tool",
			[]in{{"ghcr.io/acme/tool", digestA}, {"GHCR.io/acme/tool", digestA}, {"ghcr.io:443/acme/tool", digestA}}},
		{"pkg:oci/tool@" + digestB + "?repository_url=ghcr.io/acme/tool", []in{{"ghcr.io/acme/tool", digestB}}}, // the other platform
		{"pkg:oci/tool@" + digestA + "?repository_url=quay.io/acme/tool", []in{{"quay.io/acme/tool", digestA}}},
		{"pkg:oci/tool@" + digestA + "?repository_url=localhost/tool", []in{{"localhost/tool", digestA}}},
		{"pkg:oci/tool@" + digestA + "?repository_url=localhost:5000/tool", []in{{"localhost:5000/tool", digestA}}},
		{"pkg:oci/tool@" + digestA + "?repository_url=registry:80/a/b__c/tool", []in{{"registry:80/a/b__c/tool", digestA}}},
		{"pkg:oci/alpine@" + digestA + "?repository_url=docker.io/library/alpine", []in{{"docker.io/library/alpine", digestA}}},
	},
}

func TestSpellings(t *testing.T) {
	seen := map[string]bool{}
	for ecosystem, files := range spellings {
		for _, file := range files {
			if seen[file.purl] {
				t.Errorf("two lines for %s", file.purl)
			}
			seen[file.purl] = true
			for _, in := range file.inputs {
				c, err := provenance.NewCoordinate(ecosystem, in[0], in[1], in[2])
				if err != nil || c.String() != file.purl {
					t.Errorf("%s %q\n got %v %v\nwant %s", ecosystem, in, c, err, file.purl)
					continue
				}
				wellFormed(t, c)
			}
		}
	}
}

// wellFormed holds what must be true of every coordinate.
func wellFormed(t *testing.T, c provenance.Coordinate) {
	t.Helper()
	parsed, err := provenance.ParseCoordinate(c.String())
	if err != nil || parsed != c {
		t.Errorf("parsing %s gives %v, %v", c, parsed, err)
	}
	again, err := provenance.NewCoordinate(c.Type(), c.Name(), c.Version(), c.FileName())
	if err != nil || again != c {
		t.Errorf("the parts of %s give %v, %v", c, again, err)
	}
	exact, err := provenance.ParseNamespace("pkg:" + c.MatchKey())
	if err != nil || !exact.Covers(c) {
		t.Errorf("the match key of %s is no namespace that covers it: %v", c, err)
	}
	if len(c.String()) > provenance.MaxPurl || strings.Trim(c.String(), purlCharacters) != "" {
		t.Errorf("%s is too long or has characters that purls do not have", c)
	}
	if c.Hash() != sha256.Sum256([]byte(c.String())) {
		t.Errorf("hash of %s", c)
	}
	if c.Partial() || !c.Matches(c) || !c.Release().Matches(c) {
		t.Errorf("%s: partial %v, or not a file of its own release", c, c.Partial())
	}
}

const purlCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@?&=%"

func TestRefusals(t *testing.T) {
	long := strings.Repeat("a", 2000)
	for _, tt := range []struct{ ecosystem, name, version, file, says string }{
		{"NPM", "x", "1.0.0", "", `none of npm, cargo`},
		{"go", "example.com/x", "v1.0.0", "", `none of npm, cargo`},
		{"", "", "", "", `none of npm, cargo`},

		{"npm", "x", "1.0", "", `want three numbers`},
		{"npm", "x", "1.0.0.0", "", `want three numbers`},
		{"npm", "x", "01.0.0", "", `leading zeros`},
		{"npm", "x", "1.0.0-01", "", `leading zero`},
		{"npm", "x", "1.0.0-", "", `empty part`},
		{"npm", "x", "1.0.0-a..b", "", `empty part`},
		{"npm", "x", "1.0.0+", "", `empty part`},
		{"npm", "x", "1.0.0+a_b", "", `character '_'`},
		{"npm", "x", "latest", "", `want three numbers`},
		{"npm", "x", "^1.0.0", "", `want three numbers`},
		{"npm", "x", "", "", `want three numbers`},
		{"npm", "x", "9007199254740992.0.0", "", `larger than`},
		{"npm", "", "1.0.0", "", `empty part`},
		{"npm", "@acme", "1.0.0", "", `want name or @scope/name`},
		{"npm", "@/x", "1.0.0", "", `empty part`},
		{"npm", "@acme/", "1.0.0", "", `empty part`},
		{"npm", "@acme/a/b", "1.0.0", "", `character '/'`},
		{"npm", "acme/a", "1.0.0", "", `want name or @scope/name`},
		{"npm", "%40acme/a", "1.0.0", "", `want name or @scope/name`},
		{"npm", "@acme/%61", "1.0.0", "", `character '%'`},
		{"npm", "a@b", "1.0.0", "", `character '@'`},
		{"npm", ".", "1.0.0", "", `begins with a dot`},
		{"npm", "..", "1.0.0", "", `begins with a dot`},
		{"npm", "@../x", "1.0.0", "", `begins with a dot`},
		{"npm", "@acme/..", "1.0.0", "", `begins with a dot`},
		{"npm", "_x", "1.0.0", "", `underscore`},
		{"npm", "x*", "1.0.0", "", `character '*'`},
		{"npm", "Node_Modules", "1.0.0", "", `reserved`},
		{"npm", "favicon.ico", "1.0.0", "", `reserved`},
		{"npm", strings.Repeat("a", 215), "1.0.0", "", `longer than 214`},
		{"npm", long, "1.0.0", "", `longer than 1024`},
		{"npm", "x", "1.0.0-" + long, "", `longer than 1024`},
		{"npm", "x", "1.0.0", long, `longer than 1024`},
		{"npm", "x", "1.0.0-" + long[:1015], "", `together longer than 1024`},
		{"npm", "x", "1.0.0", "x-1.0.0.tgz", `named without it`},

		{"npm", "caf\u00e9", "1.0.0", "", `U+00E9 is not ASCII`},        // composed
		{"npm", "cafe\u0301", "1.0.0", "", `U+0301 is not ASCII`},       // decomposed
		{"npm", "\uff4eame", "1.0.0", "", `look-alikes`},                // full-width n
		{"npm", "left\u202epad", "1.0.0", "", `U+202E`},                 // right-to-left override
		{"npm", "p\u0430ypal", "1.0.0", "", `U+0430`},                   // Cyrillic a
		{"cargo", "\u212aube", "1.0.0", "", `U+212A`},                   // Kelvin sign: lower-cases to k
		{"nuget", "K\u0131t", "1.0.0", "", `U+0131`},                    // dotless i
		{"nuget", "K\u0130T", "1.0.0", "", `U+0130`},                    // dotted capital I
		{"pypi", "foo", "1.0po\u017ft1", "foo-1.0.post1.zip", `U+017F`}, // long s: folds to s
		{"pypi", "foo", "\u0661.0", "foo-1.0.zip", `U+0661`},            // Arabic-Indic digit
		{"oci", "GHCR.\u0130o/acme/x", digestA, "", `U+0130`},           // host
		{"maven", "com.acme:lib", "1.0\u200b", "", `U+200B`},            // zero-width space
		{"golang", "example.com/caf\u00e9", "v1.0.0", "", `U+00E9`},
		{"hex", "b\xffd", "1.0.0", "", `U+FFFD`}, // not UTF-8
		{"npm", "a\x00b", "1.0.0", "", `character 0x00`},
		{"npm", "a b", "1.0.0", "", `character 0x20`},
		{"npm", "x", "1.0.0\n", "", `character 0x0a`},
		{"npm", "x", "1.0.0\x7f", "", `character 0x7f`},
		{"pypi", "foo", "1", "foo-1 .tar.gz", `character 0x20`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-\x1b[0m.jar", `0x1b`},
		{"npm", "x+y", "1.0.0", "", `character '+'`},
		{"golang", "example.com/x+y", "v1.0.0", "", `invalid char`},
		{"oci", "ghcr.io/acme/a+b", digestA, "", `no part of`},
		{"pypi", "foo+bar", "1", "foo+bar-1.tar.gz", `character '+'`},
		{"maven", "com.acme:l+b", "1", "", `character '+'`},
		{"maven", "com.acme:lib", "1.0\\..\\x", "", `character '\\'`},
		{"maven", "com.acme:lib", "1.0/../../x", "", `character '/'`},
		{"pypi", "foo", "1", "../foo-1.tar.gz", `character '/'`},
		{"maven", "com.acme:lib", "1.0", "../lib-1.0.jar", `is not lib-`},

		{"cargo", "1x", "1.0.0", "", `does not begin with a letter`},
		{"cargo", "_x", "1.0.0", "", `does not begin with a letter`},
		{"cargo", "", "1.0.0", "", `empty part`},
		{"cargo", "a.b", "1.0.0", "", `character '.'`},
		{"cargo", strings.Repeat("a", 65), "1.0.0", "", `longer than 64`},
		{"cargo", "x", "18446744073709551616.0.0", "", `larger than`},
		{"cargo", "x", "v1.0.0", "", `want three numbers`},
		{"cargo", "x", "1.0.0", "x-1.0.0.crate", `named without it`},

		{"hex", "Phoenix", "1.0.0", "", `lower-case letter`},
		{"hex", "_x", "1.0.0", "", `lower-case letter`},
		{"hex", "a-b", "1.0.0", "", `character '-'`},
		{"hex", "acme/", "1.0.0", "", `empty part`},
		{"hex", "/x", "1.0.0", "", `empty part`},
		{"hex", "Acme/x", "1.0.0", "", `not lower-case`},
		{"hex", "a/b/c", "1.0.0", "", `character '/'`},
		{"hex", "../x", "1.0.0", "", `character '.'`},
		{"hex", "x", "1.0.0+build", "", `no build metadata`},
		{"hex", "x", "1.0", "", `want three numbers`},

		{"pypi", "-foo", "1", "-foo-1.tar.gz", `begin and end`},
		{"pypi", "foo_", "1", "foo_-1.tar.gz", `begin and end`},
		{"pypi", "", "1", "foo-1.tar.gz", `empty part`},
		{"pypi", "foo", "1", "", `has no file_name`},
		{"pypi", "foo", "1.0.x", "foo-1.0.x.tar.gz", `PEP 440`},
		{"pypi", "foo", "", "foo-1.tar.gz", `PEP 440`},
		{"pypi", "foo", "1", "bar-1.tar.gz", `not a file of foo 1`},
		{"pypi", "foo", "1", "foo-2.tar.gz", `not a file of foo 1`},
		{"pypi", "foo", "1", "foo-1.0.1-py3-none-any.whl", `not a file of foo 1`},
		{"pypi", "foo", "1", "foobar-1-py3-none-any.whl", `not a file of foo 1`},
		{"pypi", "foo-bar", "1", "foo-bar-1-py3-none-any.whl", `not a file of`}, // a wheel's name has no hyphens
		{"pypi", "foo", "1", "foo-1-x1-py3-none-any.whl", `build tag`},
		{"pypi", "foo", "1", "foo-1--py3-none-any.whl", `build tag`},
		{"pypi", "foo", "1", "foo-1-py3-none-.whl", `empty part`},
		{"pypi", "foo", "1", "foo-1-py3-none.whl", `is not name-version`},
		{"pypi", "foo", "1", "foo-1-1-py3-none-any-x.whl", `is not name-version`},
		{"pypi", "foo", "1", "foo-1-py3-none-a+b.whl", `in a tag`},
		{"pypi", "foo", "1", "foo-1.whl", `is not name-version`},
		{"pypi", "foo", "1", "foo-1.tgz", `neither a wheel`},
		{"pypi", "foo", "1", "foo-1.TAR.GZ", `neither a wheel`},
		{"pypi", "foo", "1", "foo-1.tar.gz.asc", `neither a wheel`},
		{"pypi", "foo", "1", ".tar.gz", `not a file of`},

		{"golang", "x", "v1.0.0", "", `missing dot`},
		{"golang", "GitHub.com/x/y", "v1.0.0", "", `invalid char`},
		{"golang", "github.com/x/../y", "v1.0.0", "", `invalid path element`},
		{"golang", "github.com/x//y", "v1.0.0", "", `double slash`},
		{"golang", "/github.com/x", "v1.0.0", "", `empty path element`},
		{"golang", "github.com/x/", "v1.0.0", "", `trailing slash`},
		{"golang", "github.com/x/y/v1", "v1.0.0", "", `invalid version`},
		{"golang", "gopkg.in/yaml", "v1.0.0", "", `invalid version`},
		{"golang", "github.com/x/y", "1.0.0", "", `not a semantic version`},
		{"golang", "github.com/x/y", "v1.0", "", `full version`},
		{"golang", "github.com/x/y", "v1.0.0+meta", "", `full version`},
		{"golang", "github.com/x/y", "latest", "", `not a semantic version`},
		{"golang", "github.com/x/y", "v2.0.0", "", `should be v0 or v1`},
		{"golang", "github.com/x/y/v2", "v3.0.0", "", `should be v2`},
		{"golang", "github.com/x/y", "v1.0.0+incompatible", "", `v2 and later`},
		{"golang", "github.com/x/y/v2", "v2.0.0+incompatible", "", `v2 and later`},
		{"golang", "gopkg.in/yaml.v2", "v2.0.0+incompatible", "", `v2 and later`},
		{"golang", "github.com/x/y", "v1.0.0", "v1.0.0.zip", `named without it`},

		{"nuget", "a..b", "1.0.0", "", `between two words`},
		{"nuget", "a.-b", "1.0.0", "", `between two words`},
		{"nuget", ".a", "1.0.0", "", `between two words`},
		{"nuget", "a.", "1.0.0", "", `ends in a dot`},
		{"nuget", "", "1.0.0", "", `empty`},
		{"nuget", "a/b", "1.0.0", "", `character '/'`},
		{"nuget", strings.Repeat("a", 101), "1.0.0", "", `longer than 100`},
		{"nuget", "x", "1.2.3.4.5", "", `up to four`},
		{"nuget", "x", "1..3", "", `up to four`},
		{"nuget", "x", "", "", `up to four`},
		{"nuget", "x", "1.0.0-", "", `prerelease`},
		{"nuget", "x", "1.0.0+", "", `metadata`},
		{"nuget", "x", "1.0.0+a+b", "", `metadata`},
		{"nuget", "x", "2147483648.0.0", "", `larger than`},
		{"nuget", "x", "v1.0.0", "", `up to four`},

		{"maven", "lib", "1.0", "", `want group:artifact`},
		{"maven", "com.acme:lib:jar", "1.0", "", `character ':'`},
		{"maven", "com..acme:lib", "1.0", "", `empty part`},
		{"maven", ".com:lib", "1.0", "", `empty part`},
		{"maven", ":lib", "1.0", "", `empty part`},
		{"maven", "com.acme:", "1.0", "", `empty part`},
		{"maven", "com.acme:..", "1.0", "", `dot segment`},
		{"maven", "com.acme:lib", "1.0-SNAPSHOT", "", `snapshot`},
		{"maven", "com.acme:lib", "1.0-snapshot", "", `snapshot`},
		{"maven", "com.acme:lib", "1.0-20260101.120000-7", "", `snapshot`},
		{"maven", "com.acme:lib", "LATEST", "", `newest`},
		{"maven", "com.acme:lib", "release", "", `newest`},
		{"maven", "com.acme:lib", "[1.0,2.0)", "", `character '['`},
		{"maven", "com.acme:lib", "..", "", `dot segment`},
		{"maven", "com.acme:lib", "", "", `empty part`},
		{"maven", "com.acme:lib", "1.0", "lib-2.0.jar", `is not lib-1.0`},
		{"maven", "com.acme:lib", "1.0", "other-1.0.jar", `is not lib-1.0`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0", `is not lib-1.0`},
		{"maven", "com.acme:lib", "2", "lib-2.7.jar", `begin with a letter`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0.", `begin with a letter`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-.jar", `empty part`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-sources", `begin with a letter`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-..jar", `dot`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-a/b.jar", `character '/'`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0.jar.asc", `signature or checksum`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-sources.sha256", `signature or checksum`},
		{"maven", "com.acme:lib", "1.0", "lib-1.0.bundle", `packaging`},

		{"oci", "alpine", digestA, "", `want host/path`},
		{"oci", "acme/tool", digestA, "", `want host/path`},
		{"oci", "ghcr.io", digestA, "", `want host/path`},
		{"oci", "ghcr.io/", digestA, "", `no part of`},
		{"oci", "https://ghcr.io/acme/tool", digestA, "", `not a port`},
		{"oci", "ghcr.io/Acme/tool", digestA, "", `lower-case`},
		{"oci", "ghcr.io/acme//tool", digestA, "", `no part of`},
		{"oci", "ghcr.io/acme/../tool", digestA, "", `no part of`},
		{"oci", "ghcr.io/acme/tool:1.0", digestA, "", `no part of`},
		{"oci", "ghcr.io/acme/a___b", digestA, "", `no part of`},
		{"oci", "ghcr.io./acme/tool", digestA, "", `not a host name`},
		{"oci", "-ghcr.io/acme/tool", digestA, "", `not a host name`},
		{"oci", "[::1]:5000/tool", digestA, "", `not a host name`},
		{"oci", "ghcr.io:0443/tool", digestA, "", `not a port`},
		{"oci", "ghcr.io:65536/tool", digestA, "", `not a port`},
		{"oci", "ghcr.io:/tool", digestA, "", `not a port`},
		{"oci", "docker.io/alpine", digestA, "", `docker.io/library/alpine`},
		{"oci", "index.docker.io/library/alpine", digestA, "", `write docker.io`},
		{"oci", "ghcr.io/" + strings.Repeat("a", 250), digestA, "", `longer than 255`},
		{"oci", "ghcr.io/acme/tool", "1.0", "", `tags are not versions`},
		{"oci", "ghcr.io/acme/tool", "sha256:abc", "", `sha256: and 64`},
		{"oci", "ghcr.io/acme/tool", strings.ToUpper(digestA), "", `sha256: and 64`},
		{"oci", "ghcr.io/acme/tool", "sha512:" + digestA[7:], "", `sha256: and 64`},
		{"oci", "ghcr.io/acme/tool", digestA, "manifest.json", `named without it`},
	} {
		c, err := provenance.NewCoordinate(tt.ecosystem, tt.name, tt.version, tt.file)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %.60q %.60q %.60q\n got %v, %v\nwant an error with %q", tt.ecosystem, tt.name, tt.version, tt.file, c, err, tt.says)
		}
		if !c.IsZero() || c != (provenance.Coordinate{}) {
			t.Errorf("%s %.60q: a coordinate comes with the error", tt.ecosystem, tt.name)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u202e' }) {
			t.Errorf("the error would garble a terminal: %q", err)
		}
	}
}

func TestParts(t *testing.T) {
	for _, tt := range []struct{ purl, kind, name, version, file, key, release string }{
		{"pkg:npm/%40acme/widget@1.2.3", "npm", "@acme/widget", "1.2.3", "", "npm/@acme/widget", ""},
		{"pkg:hex/acme/billing@1.2.3", "hex", "acme/billing", "1.2.3", "", "hex/acme/billing", ""},
		{"pkg:pypi/foo@1%2Bx?file_name=foo-1.0%2Bx.tar.gz", "pypi", "foo", "1+x", "foo-1.0+x.tar.gz", "pypi/foo", "pkg:pypi/foo@1%2Bx"},
		{"pkg:golang/github.com/a/b@v2.0.0%2Bincompatible", "golang", "github.com/a/b", "v2.0.0+incompatible", "", "golang/github.com/a/b", ""},
		{"pkg:maven/com.acme/lib@1.0?classifier=sources", "maven", "com.acme:lib", "1.0", "lib-1.0-sources.jar", "maven/com.acme/lib", ""},
		{"pkg:oci/tool@" + digestA + "?repository_url=h:1/a/tool", "oci", "h:1/a/tool", digestA, "", "oci/h:1/a/tool", ""},
	} {
		c := mustParse(t, tt.purl)
		if tt.release == "" {
			tt.release = tt.purl
		}
		got := [...]string{c.Type(), c.Name(), c.Version(), c.FileName(), c.MatchKey(), c.Release().String()}
		if want := [...]string{tt.kind, tt.name, tt.version, tt.file, tt.key, tt.release}; got != want {
			t.Errorf("%s\n got %q\nwant %q", tt.purl, got, want)
		}
	}
}

func TestZeroCoordinate(t *testing.T) {
	var zero provenance.Coordinate
	if zero.Type()+zero.Name()+zero.Version()+zero.FileName()+zero.String()+zero.MatchKey() != "" || !zero.IsZero() || zero.Partial() {
		t.Error("the zero coordinate names something")
	}
	if zero.Matches(zero) || zero.Matches(mustParse(t, "pkg:npm/x@1.0.0")) || mustParse(t, "pkg:npm/x@1.0.0").Matches(zero) || !zero.Release().IsZero() {
		t.Error("the zero coordinate matches")
	}
}

func mustParse(t testing.TB, purl string) provenance.Coordinate {
	t.Helper()
	c, err := provenance.ParseCoordinate(purl)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
