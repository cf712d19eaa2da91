package main

import "strings"

const (
	manifestA = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
	manifestB = "sha256:b3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
)

// coordinates are what people write and what it becomes. Two lines with different purls are two files.
func coordinates() []any {
	table := []struct{ ecosystem, name, version, file, purl string }{
		{"npm", "JSONStream", "1.3.5", "", "pkg:npm/JSONStream@1.3.5"},
		{"npm", "jsonstream", "1.3.5", "", "pkg:npm/jsonstream@1.3.5"},
		{"npm", "@acme/widget", "1.2.3", "", "pkg:npm/%40acme/widget@1.2.3"},
		{"npm", "@acme/widget", "1.2.3+build.7", "", "pkg:npm/%40acme/widget@1.2.3"},
		{"npm", "@acme/widget", "v1.2.3", "", "pkg:npm/%40acme/widget@1.2.3"},
		{"npm", "a~b", "1.0.0-Beta.1", "", "pkg:npm/a~b@1.0.0-Beta.1"},
		{"npm", "widget", "9007199254740991.0.0", "", "pkg:npm/widget@9007199254740991.0.0"},
		{"npm", "widget", "9007199254740992.0.0", "", ""},
		{"npm", "widget", "1.2", "", ""},
		{"npm", "widget", "01.2.3", "", ""},
		{"npm", "widget", "1.2.3-01", "", ""},
		{"npm", "widget", "latest", "", ""},
		{"npm", "widget", "^1.2.3", "", ""},
		{"npm", ".widget", "1.2.3", "", ""},
		{"npm", "acme/widget", "1.2.3", "", ""},
		{"npm", "@acme/a/b", "1.2.3", "", ""},
		{"npm", "node_modules", "1.2.3", "", ""},
		{"npm", "wid get", "1.2.3", "", ""},
		{"npm", "w\u0456dget", "1.2.3", "", ""},
		{"npm", "widget", "1.2.3", "widget-1.2.3.tgz", ""},
		{"npm", strings.Repeat("a", 214), "1.2.3", "", "pkg:npm/" + strings.Repeat("a", 214) + "@1.2.3"},
		{"npm", strings.Repeat("a", 215), "1.2.3", "", ""},
		{"cargo", "serde_json", "1.0.0", "", "pkg:cargo/serde-json@1.0.0"},
		{"cargo", "Serde-JSON", "1.0.0+2024", "", "pkg:cargo/serde-json@1.0.0"},
		{"cargo", "a_-b", "1.0.0-RC.1", "", "pkg:cargo/a--b@1.0.0-RC.1"},
		{"cargo", "widget", "v1.0.0", "", ""},
		{"cargo", "0widget", "1.0.0", "", ""},
		{"cargo", "wid.get", "1.0.0", "", ""},
		{"cargo", "\u212arate", "1.0.0", "", ""},
		{"hex", "phoenix_html", "4.1.0", "", "pkg:hex/phoenix_html@4.1.0"},
		{"hex", "hexpm/phoenix_html", "4.1.0", "", "pkg:hex/phoenix_html@4.1.0"},
		{"hex", "acme/phoenix_html", "4.1.0", "", "pkg:hex/acme/phoenix_html@4.1.0"},
		{"hex", "hexpm:acme/phoenix_html", "4.1.0", "", "pkg:hex/acme/phoenix_html@4.1.0"},
		{"hex", "phoenix", "4.1.0+1", "", ""},
		{"hex", "Phoenix", "4.1.0", "", ""},
		{"hex", "phoenix-html", "4.1.0", "", ""},
		{"pypi", "Foo.Bar_baz", "1.0.0", "Foo.Bar_baz-1.0.0.tar.gz", "pkg:pypi/foo-bar-baz@1?file_name=Foo.Bar_baz-1.0.0.tar.gz"},
		{"pypi", "FOO--BAR._-BAZ", "v1.0", "Foo.Bar_baz-1.0.0.tar.gz", "pkg:pypi/foo-bar-baz@1?file_name=Foo.Bar_baz-1.0.0.tar.gz"},
		{"pypi", "foo-bar-baz", "1.0.0", "foo_bar_baz-1.0.0-py3-none-any.whl", "pkg:pypi/foo-bar-baz@1?file_name=foo_bar_baz-1.0.0-py3-none-any.whl"},
		{"pypi", "foo", "1!2.0", "foo-1!2.0.tar.gz", "pkg:pypi/foo@1%212?file_name=foo-1%212.0.tar.gz"},
		{"pypi", "foo", "1.0+local-1", "foo-1.0+local.1.tar.gz", "pkg:pypi/foo@1%2Blocal.1?file_name=foo-1.0%2Blocal.1.tar.gz"},
		{"pypi", "foo", "1.0-1", "foo-1.0.post1.zip", "pkg:pypi/foo@1.post1?file_name=foo-1.0.post1.zip"},
		{"pypi", "foo", "1.0.ALPHA-2.dev", "foo-1a2.dev0.tar.gz", "pkg:pypi/foo@1a2.dev0?file_name=foo-1a2.dev0.tar.gz"},
		{"pypi", "foo", "1.0c1", "foo-1.0rc1.tar.gz", "pkg:pypi/foo@1rc1?file_name=foo-1.0rc1.tar.gz"},
		{"pypi", "foo", "1.0", "", ""},
		{"pypi", "foo", "1.0", "foo-1.1.tar.gz", ""},
		{"pypi", "foo", "1.0", "bar-1.0.tar.gz", ""},
		{"pypi", "foo", "1.0", "foo-1.0-none-any.whl", ""},
		{"pypi", "foo", "1.0", "foo-1.0.exe", ""},
		{"pypi", "foo", "1.0", "../foo-1.0.tar.gz", ""},
		{"pypi", "foo", "french toast", "foo-1.0.tar.gz", ""},
		{"pypi", "foo_", "1.0", "foo_-1.0.tar.gz", ""},
		{"golang", "github.com/BurntSushi/toml", "v1.6.0", "", "pkg:golang/github.com/BurntSushi/toml@v1.6.0"},
		{"golang", "github.com/burntsushi/toml", "v1.6.0", "", "pkg:golang/github.com/burntsushi/toml@v1.6.0"},
		{"golang", "github.com/acme/lib", "v2.0.0+incompatible", "", "pkg:golang/github.com/acme/lib@v2.0.0%2Bincompatible"},
		{"golang", "github.com/acme/lib/v2", "v2.0.0", "", "pkg:golang/github.com/acme/lib/v2@v2.0.0"},
		{"golang", "gopkg.in/yaml.v3", "v3.0.1", "", "pkg:golang/gopkg.in/yaml.v3@v3.0.1"},
		{"golang", "golang.org/x/exp", "v0.0.0-20230626212559-97b1e661b5df", "", "pkg:golang/golang.org/x/exp@v0.0.0-20230626212559-97b1e661b5df"},
		{"golang", "github.com/acme/lib", "v2.0.0", "", ""},
		{"golang", "github.com/acme/lib", "1.0.0", "", ""},
		{"golang", "github.com/acme/lib", "v1.0.0+incompatible", "", ""},
		{"golang", "github.com/acme/lib/v2", "v2.0.0+incompatible", "", ""},
		{"golang", "github.com/acme/lib", "v1.0.0+meta", "", ""},
		{"golang", "github.com/acme/lib", "latest", "", ""},
		{"golang", "lib", "v1.0.0", "", ""},
		{"golang", "github.com/acme/../lib", "v1.0.0", "", ""},
		{"nuget", "Newtonsoft.Json", "13.0.3", "", "pkg:nuget/newtonsoft.json@13.0.3"},
		{"nuget", "NEWTONSOFT.JSON", "13.0.3.0", "", "pkg:nuget/newtonsoft.json@13.0.3"},
		{"nuget", "X", "1.0", "", "pkg:nuget/x@1.0.0"},
		{"nuget", "x", "01.00.00.000+a-b", "", "pkg:nuget/x@1.0.0"},
		{"nuget", "x", "1.2.3.4", "", "pkg:nuget/x@1.2.3.4"},
		{"nuget", "x", "1.0-Beta.01", "", "pkg:nuget/x@1.0.0-beta.01"},
		{"nuget", "x", "1.2.3.4.5", "", ""},
		{"nuget", "x", "2147483648.0", "", ""},
		{"nuget", "x", "1.0.*", "", ""},
		{"nuget", "x..y", "1.0", "", ""},
		{"nuget", ".x", "1.0", "", ""},
		{"maven", "com.acme:lib", "1.0", "", "pkg:maven/com.acme/lib@1.0"},
		{"maven", "com.acme:lib", "1.0", "lib-1.0.jar", "pkg:maven/com.acme/lib@1.0"},
		{"maven", "com.acme:lib", "1.0.0", "", "pkg:maven/com.acme/lib@1.0.0"},
		{"maven", "com.acme:Lib", "1.0", "", "pkg:maven/com.acme/Lib@1.0"},
		{"maven", "com.acme:lib", "1.0", "lib-1.0.pom", "pkg:maven/com.acme/lib@1.0?type=pom"},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-sources.jar", "pkg:maven/com.acme/lib@1.0?classifier=sources"},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-linux-x86_64.tar.gz", "pkg:maven/com.acme/lib@1.0?classifier=linux-x86_64&type=tar.gz"},
		{"maven", "com.acme:lib", "1.0", "lib-1.0-hadoop2.7.jar", "pkg:maven/com.acme/lib@1.0?classifier=hadoop2.7"},
		{"maven", "com.acme:lib", "1.0+b", "lib-1.0+b.jar", "pkg:maven/com.acme/lib@1.0%2Bb"},
		{"maven", "com.acme:lib", "1.0-SNAPSHOT", "", ""},
		{"maven", "com.acme:lib", "1.0-20260203.120000-1", "", ""},
		{"maven", "com.acme:lib", "LATEST", "", ""},
		{"maven", "com.acme:lib", "[1.0,2.0)", "", ""},
		{"maven", "com.acme:lib", "1.0", "lib-1.0.jar.asc", ""},
		{"maven", "com.acme:lib", "1.0", "lib-1.1.jar", ""},
		{"maven", "lib", "1.0", "", ""},
		{"oci", "ghcr.io/acme/tool", manifestA, "", "pkg:oci/tool@" + manifestA + "?repository_url=ghcr.io/acme/tool"},
		{"oci", "GHCR.io:443/acme/tool", manifestA, "", "pkg:oci/tool@" + manifestA + "?repository_url=ghcr.io/acme/tool"},
		{"oci", "ghcr.io/acme/tool", manifestB, "", "pkg:oci/tool@" + manifestB + "?repository_url=ghcr.io/acme/tool"},
		{"oci", "localhost:5000/tool", manifestA, "", "pkg:oci/tool@" + manifestA + "?repository_url=localhost:5000/tool"},
		{"oci", "docker.io/library/alpine", manifestA, "", "pkg:oci/alpine@" + manifestA + "?repository_url=docker.io/library/alpine"},
		{"oci", "docker.io/alpine", manifestA, "", ""},
		{"oci", "registry:443/tool", manifestA, "", ""},
		{"oci", "alpine", manifestA, "", ""},
		{"oci", "ghcr.io/acme/tool", "v1.2.3", "", ""},
		{"oci", "ghcr.io/acme/tool", strings.ToUpper(manifestA), "", ""},
		{"oci", "ghcr.io/Acme/tool", manifestA, "", ""},
		{"oci", "https://ghcr.io/acme/tool", manifestA, "", ""},
		{"gem", "rails", "7.0.0", "", ""},
	}
	var out []any
	for _, t := range table {
		o := object{{"ecosystem", t.ecosystem}, {"name", t.name}, {"version", t.version}}
		if t.file != "" {
			o = append(o, member{"file", t.file})
		}
		if t.purl != "" {
			o = append(o, member{"purl", t.purl}, member{"matchKey", matchKey(t.purl)}, member{"sha256", hexSHA256([]byte(t.purl))})
		}
		out = append(out, o)
	}
	return out
}

// matchKey takes a canonical purl apart.
func matchKey(purl string) string {
	rest, query, _ := strings.Cut(strings.TrimPrefix(purl, "pkg:"), "?")
	if repository, ok := strings.CutPrefix(query, "repository_url="); ok {
		return "oci/" + repository
	}
	return strings.ReplaceAll(rest[:strings.LastIndexByte(rest, '@')], "%40", "@")
}

func purls() []any {
	image := "pkg:oci/tool@" + manifestA + "?repository_url=ghcr.io/acme/tool"
	table := []struct{ given, canonical string }{ // canonical as given: ok; empty: refused
		{"pkg:npm/%40acme/widget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"}, {image, image},
		{"pkg:npm/@acme/widget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"},
		{"pkg:npm/%40acme%2Fwidget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"},
		{"pkg:npm/%40%61cme/widget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"},
		{"pkg:npm/left%2Dpad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad@1.2.3%2Bbuild", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad@1.2.3?", "pkg:npm/left-pad@1.2.3"},
		{"pkg:NPM/left-pad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg://npm/left-pad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:cargo/serde_json@1.0.0", "pkg:cargo/serde-json@1.0.0"},
		{"pkg:hex/hexpm/phoenix@1.7.0", "pkg:hex/phoenix@1.7.0"},
		{"pkg:pypi/Foo_Bar@1.0.0?file_name=foo_bar-1.0.0.tar.gz", "pkg:pypi/foo-bar@1?file_name=foo_bar-1.0.0.tar.gz"},
		{"pkg:golang/github.com/a/b@v2.0.0+incompatible", "pkg:golang/github.com/a/b@v2.0.0%2Bincompatible"},
		{"pkg:golang/github.com/a/b@v2.0.0%2bincompatible", "pkg:golang/github.com/a/b@v2.0.0%2Bincompatible"},
		{"pkg:nuget/Newtonsoft.Json@13.0.3.0", "pkg:nuget/newtonsoft.json@13.0.3"},
		{"pkg:maven/com.acme/lib@1.0?type=jar", "pkg:maven/com.acme/lib@1.0"},
		{"pkg:maven/com.acme/lib@1.0?type=zip&classifier=a", "pkg:maven/com.acme/lib@1.0?classifier=a&type=zip"},
		{"pkg:maven/com.acme/lib@1.0?classifier=a.tar&type=gz", "pkg:maven/com.acme/lib@1.0?classifier=a&type=tar.gz"},
		{strings.Replace(image, "@sha256:", "@sha256%3A", 1), image},
		{strings.Replace(image, "ghcr", "GHCR", 1), image},
		{"", ""}, {"npm/left-pad@1.2.3", ""}, {"PKG:npm/left-pad@1.2.3", ""}, {"pkg:npm/left-pad", ""}, {"pkg:npm/left-pad@", ""},
		{"pkg:npm/left-pad@1.2.3#lib", ""}, {"pkg:npm/left-pad@1.2.3?arch=x86", ""}, {"pkg:npm/left-pad@1.2.3?vcs_url=x", ""},
		{"pkg:npm/left-pad@1.2.3%", ""}, {"pkg:npm/left-pad@1.2.3%zz", ""}, {"pkg:npm/left%2540pad@1.2.3", ""}, {"pkg:npm/left%00pad@1.2.3", ""},
		{"pkg:npm/left-p\u0430d@1.2.3", ""}, {"pkg:npm/left-p%D0%B0d@1.2.3", ""}, {"pkg:npm/left-pad@1.2.3 ", ""},
		{"pkg:pypi/foo@1", ""}, {"pkg:pypi/foo@1?file_name=foo-1.tar.gz&file_name=foo-1.tar.gz", ""}, {"pkg:pypi/foo@1?file_name=foo-2.tar.gz", ""},
		{"pkg:oci/tool@" + manifestA, ""}, {"pkg:oci/tools@" + manifestA + "?repository_url=ghcr.io/acme/tool", ""}, {"pkg:oci/tool@latest?repository_url=ghcr.io/acme/tool", ""},
		{image + "&tag=latest", ""}, {"pkg:gem/rails@7.0.0", ""}, {"pkg:npm/" + strings.Repeat("a", 1024) + "@1.2.3", ""},
	}
	var out []any
	for _, t := range table {
		o := object{{"purl", t.given}, {"ok", t.given != "" && t.given == t.canonical}}
		if t.canonical != "" && t.canonical != t.given {
			o = append(o, member{"canonical", t.canonical})
		}
		out = append(out, o)
	}
	return out
}

func namespacePatterns() []any {
	image := "pkg:oci/tool@" + manifestA + "?repository_url=ghcr.io/acme/tool"
	table := []struct {
		pattern     string
		ok, inPins  bool
		covers, not []string
	}{
		{"pkg:npm/left-pad", true, true, []string{"pkg:npm/left-pad@1.2.3"}, []string{"pkg:npm/left-pad2@1.2.3", "pkg:npm/left-pa@1.2.3", "pkg:cargo/left-pad@1.2.3", "pkg:npm/Left-pad@1.2.3"}},
		{"pkg:npm/@acme/*", true, true, []string{"pkg:npm/%40acme/widget@1.2.3"}, []string{"pkg:npm/%40acme-evil/widget@1.2.3", "pkg:npm/acme@1.2.3"}},
		{"pkg:npm/@acme*", true, true, []string{"pkg:npm/%40acme/widget@1.2.3", "pkg:npm/%40acme-evil/widget@1.2.3"}, []string{"pkg:npm/%40acm/widget@1.2.3"}},
		{"pkg:npm/acme-*", true, true, []string{"pkg:npm/acme-x@1.2.3"}, []string{"pkg:npm/acme@1.2.3", "pkg:npm/%40acme-x/y@1.2.3"}},
		{"pkg:npm/*", false, true, []string{"pkg:npm/left-pad@1.2.3", "pkg:npm/%40acme/widget@1.2.3"}, []string{"pkg:cargo/left-pad@1.2.3"}},
		{"pkg:pypi/acme-*", true, true, []string{"pkg:pypi/acme-http@1?file_name=acme_http-1.0.tar.gz"}, []string{"pkg:pypi/acme@1?file_name=acme-1.tar.gz"}},
		{"pkg:maven/com.acme.*", true, true, []string{"pkg:maven/com.acme.sub/lib@1.0"}, []string{"pkg:maven/com.acme/lib@1.0", "pkg:maven/com.acmes/lib@1.0"}},
		{"pkg:maven/com.acme/*", true, true, []string{"pkg:maven/com.acme/lib@1.0?classifier=sources"}, []string{"pkg:maven/com.acme.sub/lib@1.0"}},
		{"pkg:golang/github.com/acme/*", true, true, []string{"pkg:golang/github.com/acme/lib/v2@v2.0.0"}, []string{"pkg:golang/github.com/Acme/lib@v1.0.0"}},
		{"pkg:golang/github.com/acme/lib", true, true, []string{"pkg:golang/github.com/acme/lib@v1.0.0"}, []string{"pkg:golang/github.com/acme/lib/v2@v2.0.0"}},
		{"pkg:oci/ghcr.io/acme/*", true, true, []string{image}, []string{"pkg:oci/tool@" + manifestA + "?repository_url=ghcr.io/other/tool"}},
		{"pkg:nuget/acme.*", true, true, []string{"pkg:nuget/acme.widget@1.0.0"}, []string{"pkg:nuget/acme@1.0.0"}},
		{"pkg:hex/acme/*", true, true, []string{"pkg:hex/acme/billing@1.0.0"}, []string{"pkg:hex/acme@1.0.0"}},
		{pattern: ""}, {pattern: "*"}, {pattern: "pkg:*"}, {pattern: "npm/left-pad"}, {pattern: "pkg:npm"}, {pattern: "pkg:npm/"}, {pattern: "pkg:gem/rails"}, {pattern: "pkg:NPM/left-pad"},
		{pattern: "pkg:npm/%40acme/*"}, {pattern: "pkg:npm/left-pad@1.2.3"}, {pattern: "pkg:npm/*pad"}, {pattern: "pkg:npm/**"}, {pattern: "pkg:npm/l*ft*"}, {pattern: "pkg:npm/left-pad?x=y"},
		{pattern: "pkg:cargo/serde_json"}, {pattern: "pkg:cargo/Serde*"}, {pattern: "pkg:pypi/Acme-*"}, {pattern: "pkg:pypi/acme_*"}, {pattern: "pkg:nuget/Acme.*"},
		{pattern: "pkg:oci/GHCR.io/acme/*"}, {pattern: "pkg:npm/\u0430cme-*"}, {pattern: "pkg:npm/left pad"},
	}
	var out []any
	for _, t := range table {
		o := object{{"pattern", t.pattern}, {"ok", t.ok}, {"inPins", t.inPins}}
		if t.inPins {
			o = append(o, member{"covers", texts(t.covers...)}, member{"not", texts(t.not...)})
		}
		out = append(out, o)
	}
	return out
}
