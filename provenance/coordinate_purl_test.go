package provenance_test

import (
	"errors"
	"strings"
	"testing"

	packageurl "github.com/package-url/packageurl-go"

	"countersign.dev/provenance"
)

// TestOneSpelling: every other spelling of a coordinate is refused, and the error says the right one.
func TestOneSpelling(t *testing.T) {
	image := "pkg:oci/tool@" + digestA + "?repository_url=ghcr.io/acme/tool"
	for _, tt := range []struct{ given, canonical string }{
		{"pkg:npm/@acme/widget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"},
		{"pkg:npm/%40acme%2Fwidget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"},
		{"pkg:npm/%40acme%2fwidget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"},
		{"pkg:npm/%40%61cme/widget@1.2.3", "pkg:npm/%40acme/widget@1.2.3"},
		{"pkg:npm/left%2Dpad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad@1%2E2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad@1.2.3%2Bbuild", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad@1.2.3+build", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad@v1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad@1.2.3?", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm//left-pad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:npm/left-pad/@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:/npm/left-pad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg://npm/left-pad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:NPM/left-pad@1.2.3", "pkg:npm/left-pad@1.2.3"},
		{"pkg:cargo/serde_json@1.0.0", "pkg:cargo/serde-json@1.0.0"},
		{"pkg:cargo/serde-json@1.0.0%2B7", "pkg:cargo/serde-json@1.0.0"},
		{"pkg:hex/hexpm/phoenix@1.7.0", "pkg:hex/phoenix@1.7.0"},
		{"pkg:hex/hexpm%3Aacme/billing@1.7.0", "pkg:hex/acme/billing@1.7.0"},
		{"pkg:pypi/Foo_Bar@1.0.0?file_name=foo_bar-1.0.0.tar.gz", "pkg:pypi/foo-bar@1?file_name=foo_bar-1.0.0.tar.gz"},
		{"pkg:pypi/foo@1?FILE_NAME=foo-1.tar.gz", "pkg:pypi/foo@1?file_name=foo-1.tar.gz"},
		{"pkg:pypi/foo@1+x?file_name=foo-1+x.tar.gz", "pkg:pypi/foo@1%2Bx?file_name=foo-1%2Bx.tar.gz"},
		{"pkg:pypi/foo@1!2?file_name=foo-1!2.zip", "pkg:pypi/foo@1%212?file_name=foo-1%212.zip"},
		{"pkg:golang/github.com%2FBurntSushi%2Ftoml@v1.6.0", "pkg:golang/github.com/BurntSushi/toml@v1.6.0"},
		{"pkg:golang/github.com/a/b@v2.0.0+incompatible", "pkg:golang/github.com/a/b@v2.0.0%2Bincompatible"},
		{"pkg:golang/github.com/a/b@v2.0.0%2bincompatible", "pkg:golang/github.com/a/b@v2.0.0%2Bincompatible"},
		{"pkg:nuget/Newtonsoft.Json@13.0.3.0", "pkg:nuget/newtonsoft.json@13.0.3"},
		{"pkg:nuget/x@1.0.0-Beta", "pkg:nuget/x@1.0.0-beta"},
		{"pkg:maven/com.acme/lib@1.0?type=jar", "pkg:maven/com.acme/lib@1.0"},
		{"pkg:maven/com.acme:lib@1.0", "pkg:maven/com.acme/lib@1.0"},
		{"pkg:maven/com.acme/lib@1.0?type=zip&classifier=a", "pkg:maven/com.acme/lib@1.0?classifier=a&type=zip"},
		{"pkg:maven/com.acme/lib@1.0?classifier=a&type=", "pkg:maven/com.acme/lib@1.0?classifier=a"},
		{"pkg:maven/com.acme/lib@1.0?classifier=&type=pom", "pkg:maven/com.acme/lib@1.0?type=pom"},
		{"pkg:maven/com.acme/lib@1.0?classifier=a.tar&type=gz", "pkg:maven/com.acme/lib@1.0?classifier=a&type=tar.gz"},
		{"pkg:maven/com.acme/lib@1.0?classifier=a&type=spdx.json", "pkg:maven/com.acme/lib@1.0?classifier=a.spdx&type=json"},
		{strings.Replace(image, "@sha256:", "@sha256%3A", 1), image},
		{strings.Replace(image, "/acme/", "%2Facme%2F", 1), image},
		{strings.Replace(image, "ghcr", "GHCR", 1), image},
		{strings.Replace(image, "ghcr.io", "ghcr.io:443", 1), image},
	} {
		c, err := provenance.ParseCoordinate(tt.given)
		var canonical *provenance.CanonicalError
		if !errors.As(err, &canonical) || *canonical != (provenance.CanonicalError{Given: tt.given, Canonical: tt.canonical}) || !c.IsZero() {
			t.Errorf("%s\n got %v, %v\nwant %s", tt.given, c, err, tt.canonical)
			continue
		}
		if !strings.Contains(err.Error(), "write "+tt.canonical) {
			t.Errorf("%s: the error does not say what to write: %v", tt.given, err)
		}
		mustParse(t, tt.canonical)
	}
}

func TestParseRefusals(t *testing.T) {
	for _, tt := range []struct{ purl, says string }{
		{"", `does not begin with pkg:`},
		{"npm/x@1.0.0", `does not begin with pkg:`},
		{"PKG:npm/x@1.0.0", `does not begin with pkg:`},
		{" pkg:npm/x@1.0.0", `does not begin with pkg:`},
		{"p\u212ag:npm/x@1.0.0", `does not begin with pkg:`},
		{"pkg:", `none of npm, cargo`},
		{"pkg:npm", `no version`},
		{"pkg:npm/", `no version`},
		{"pkg:npm/x", `no version`},
		{"pkg:npm/@1.0.0", `no version`},
		{"pkg:npm/@acme/widget", `no version`},
		{"pkg:npm/x@", `want three numbers`},
		{"pkg:npm/x@1.0.0@2.0.0", `character '@'`},
		{"pkg:gem/rails@7.0.0", `none of npm, cargo`},
		{"pkg:npm/x@1.0.0#lib/index.js", `subpath`},
		{"pkg:npm/x@1.0.0#", `subpath`},
		{"pkg:npm/x@1.0.0-%23y", `character '#'`},
		{"pkg:npm/x@1.0.0?arch=x86", `qualifier "arch"`},
		{"pkg:npm/x@1.0.0?repository_url=https://evil.example", `qualifier "repository_url"`},
		{"pkg:npm/x@1.0.0?checksum=sha256:00", `qualifier "checksum"`},
		{"pkg:npm/x@1.0.0?vcs_url=", `qualifier "vcs_url"`},
		{"pkg:npm/x@1.0.0?&", `qualifier ""`},
		{"pkg:npm/x@1.0.0?file_name=x-1.0.0.tgz", `qualifier "file_name"`},
		{"pkg:npm/%2540acme/widget@1.0.0", `want name or @scope/name`}, // encoded twice
		{"pkg:npm/left%252Dpad@1.0.0", `character '%'`},
		{"pkg:npm/left%2@1.0.0", `two hex digits`},
		{"pkg:npm/left%@1.0.0", `two hex digits`},
		{"pkg:npm/left%zzpad@1.0.0", `two hex digits`},
		{"pkg:npm/left%2gpad@1.0.0", `two hex digits`},
		{"pkg:npm/left-pad@1.0.0%", `two hex digits`},
		{"pkg:npm/left%00pad@1.0.0", `character 0x00`},
		{"pkg:npm/left\x00pad@1.0.0", `character 0x00`},
		{"pkg:npm/left pad@1.0.0", `character 0x20`},
		{"pkg:npm/left%20pad@1.0.0", `character 0x20`},
		{"pkg:npm/left+pad@1.0.0", `character '+'`},
		{"pkg:npm/left-pad@1.0.0\n", `character 0x0a`},
		{"pkg:npm/caf%C3%A9@1.0.0", `U+00E9`},
		{"pkg:npm/cafe%CC%81@1.0.0", `U+0301`},
		{"pkg:npm/caf\u00e9@1.0.0", `U+00E9`},
		{"pkg:npm/%E2%80%AEdap-tfel@1.0.0", `U+202E`},
		{"pkg:npm/%C0%AE%C0%AE@1.0.0", `U+FFFD`}, // overlong dots
		{"pkg:npm/%2E%2E/x@1.0.0", `want name or @scope/name`},
		{"pkg:npm/%40acme/%2E%2E@1.0.0", `begins with a dot`},
		{"pkg:npm/%40acme//widget@1.0.0", `character '/'`},
		{"pkg:cargo/%E2%84%AAube@1.0.0", `U+212A`},
		{"pkg:hex/phoenix@1.0.0%2Bbuild", `no build metadata`},
		{"pkg:golang/github.com/a/b@v1.0.0#subdir", `subpath`},
		{"pkg:golang/github.com/a/b@v2.0.0", `should be v0 or v1`},
		{"pkg:pypi/foo@1", `has no file_name`},
		{"pkg:pypi/Foo@1.0", `pkg:pypi/foo@1 has no file_name`},
		{"pkg:pypi/foo@1?file_name=", `has no file_name`},
		{"pkg:pypi/foo@1?file_name=bar-1.tar.gz", `not a file of foo 1`},
		{"pkg:pypi/foo@1?file_name=foo-1.tar.gz&file_name=foo-1.zip", `occurs twice`},
		{"pkg:pypi/foo@1?file_name=foo-1.tar.gz&arch=x", `qualifier "arch"`},
		{"pkg:pypi/foo@1?file_name=foo-1.tar.gz&", `qualifier ""`},
		{"pkg:pypi/foo@1?file_name=..%2Ffoo-1.tar.gz", `character '/'`},
		{"pkg:pypi/foo@1?file_name=%zz", `two hex digits`},
		{"pkg:maven/lib@1.0", `want group:artifact`},
		{"pkg:maven/com.acme/lib@1.0-SNAPSHOT", `snapshot`},
		{"pkg:maven/com.acme/lib@1.0?type=test-jar", `want letters and digits`},
		{"pkg:maven/com.acme/lib@1.0?type=maven-plugin", `want letters and digits`},
		{"pkg:maven/com.acme/lib@1.0?type=bundle", `packaging`},
		{"pkg:maven/com.acme/lib@1.0?classifier=a%2Fb", `character '/'`},
		{"pkg:maven/com.acme%2Fsub/lib@1.0", `character '/'`},
		{"pkg:maven/com.acme/lib@1.0?repository_url=https://evil.example", `qualifier "repository_url"`},
		{"pkg:oci/tool@" + digestA, `no repository_url`},
		{"pkg:oci/tool@" + digestA + "?repository_url=ghcr.io/acme/other", `not the last part`},
		{"pkg:oci/acme/tool@" + digestA + "?repository_url=ghcr.io/acme/tool", `not the last part`},
		{"pkg:oci/Tool@" + digestA + "?repository_url=ghcr.io/acme/tool", `not the last part`},
		{"pkg:oci/tool@1.0?repository_url=ghcr.io/acme/tool", `tags are not versions`},
		{"pkg:oci/tool@" + digestA + "?repository_url=ghcr.io/acme/tool&tag=1.0", `qualifier "tag"`},
		{"pkg:oci/tool@" + digestA + "?arch=amd64&repository_url=ghcr.io/acme/tool", `qualifier "arch"`},
		{"pkg:npm/" + strings.Repeat("%61", 400) + "@1.0.0", `longer than 1024`},
		{"pkg:npm/x@1.0.0-" + strings.Repeat("a", 1009), `longer than 1024`},
	} {
		c, err := provenance.ParseCoordinate(tt.purl)
		if err == nil || !strings.Contains(err.Error(), tt.says) || !c.IsZero() {
			t.Errorf("%.80q\n got %v, %v\nwant an error with %q", tt.purl, c, err, tt.says)
		}
		var canonical *provenance.CanonicalError
		if errors.As(err, &canonical) {
			t.Errorf("%.80q has no canonical form, but got %s", tt.purl, canonical.Canonical)
		}
	}
}

func TestLongestPurl(t *testing.T) {
	purl := "pkg:npm/x@1.0.0-" + strings.Repeat("a", provenance.MaxPurl-len("pkg:npm/x@1.0.0-"))
	if c := mustParse(t, purl); len(c.String()) != provenance.MaxPurl {
		t.Errorf("%d bytes", len(c.String()))
	}
}

func TestParseExpected(t *testing.T) {
	version, err := provenance.ParseExpected("pkg:pypi/foo@1")
	if err != nil || !version.Partial() || version.String() != "pkg:pypi/foo@1" || version.FileName() != "" {
		t.Fatal(version, err)
	}
	wheel := mustParse(t, "pkg:pypi/foo@1?file_name=foo-1.0-py3-none-any.whl")
	sdist := mustParse(t, "pkg:pypi/foo@1?file_name=foo-1.0.tar.gz")
	for _, tt := range []struct {
		expected, full provenance.Coordinate
		want           bool
	}{
		{version, wheel, true},
		{version, sdist, true},
		{wheel, wheel, true},
		{wheel, sdist, false},
		{wheel, version, false},
		{version, version, false},
		{version, mustParse(t, "pkg:pypi/foo@2?file_name=foo-2.tar.gz"), false},
		{version, mustParse(t, "pkg:pypi/fool@1?file_name=fool-1.tar.gz"), false},
		{version, mustParse(t, "pkg:cargo/foo@1.0.0"), false},
		{wheel.Release(), sdist, true},
	} {
		if got := tt.expected.Matches(tt.full); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.expected, tt.full, got)
		}
	}
	if wheel.Release() != version || sdist.Release() != version {
		t.Error("files of one version have different releases")
	}
}

func TestParseExpectedIsAsStrict(t *testing.T) {
	for purl, want := range map[string]string{
		"pkg:pypi/Foo@1":                        "write pkg:pypi/foo@1",
		"pkg:pypi/foo@1.0":                      "write pkg:pypi/foo@1",
		"pkg:pypi/foo@1?file_name=":             "write pkg:pypi/foo@1",
		"pkg:pypi/foo@1?file_name=bar-1.tar.gz": "not a file of foo 1",
		"pkg:npm/@acme/x@1.0.0":                 "write pkg:npm/%40acme/x@1.0.0",
		"pkg:npm/x":                             "no version",
		"pkg:oci/tool@" + digestA:               "no repository_url",
	} {
		if c, err := provenance.ParseExpected(purl); err == nil || !strings.Contains(err.Error(), want) || !c.IsZero() {
			t.Errorf("%s: got %v, %v, want an error with %q", purl, c, err, want)
		}
	}
	if c, err := provenance.ParseExpected("pkg:npm/x@1.0.0"); err != nil || c != mustParse(t, "pkg:npm/x@1.0.0") || c.Partial() {
		t.Error(c, err)
	}
}

// TestOtherReaders: what we write means the same to the purl community's own library, except that it lower-cases
// Go module paths, which are case-sensitive.
func TestOtherReaders(t *testing.T) {
	for _, files := range spellings {
		for _, file := range files {
			c := mustParse(t, file.purl)
			theirs, err := packageurl.FromString(file.purl)
			if err != nil {
				t.Errorf("%s: %v", file.purl, err)
				continue
			}
			name := strings.TrimPrefix(theirs.Namespace+"/"+theirs.Name, "/")
			if repository := theirs.Qualifiers.Map()["repository_url"]; repository != "" {
				name = repository
			}
			want := strings.TrimPrefix(c.MatchKey(), c.Type()+"/")
			if c.Type() == "golang" {
				want = strings.ToLower(want)
			}
			if theirs.Type != c.Type() || name != want || theirs.Version != c.Version() || theirs.Subpath != "" {
				t.Errorf("%s: they read %+v", file.purl, theirs)
			}
			if c.Type() == "pypi" && theirs.Qualifiers.Map()["file_name"] != c.FileName() {
				t.Errorf("%s: they read file_name %q", file.purl, theirs.Qualifiers)
			}
		}
	}
}
