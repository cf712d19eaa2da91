package provenance_test

import (
	"errors"
	"strings"
	"testing"

	"countersign.dev/provenance"
)

func mustNamespace(t testing.TB, pattern string) provenance.Namespace {
	t.Helper()
	n, err := provenance.ParsePinNamespace(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNamespaceSpelling(t *testing.T) {
	for _, pattern := range []string{
		"pkg:npm/left-pad", "pkg:npm/JSONStream", "pkg:npm/@acme/widget", "pkg:npm/@acme/*", "pkg:npm/@acme*", "pkg:npm/@*",
		"pkg:npm/@acme/ui-*", "pkg:npm/acme-*", "pkg:npm/@acme/_*",
		"pkg:cargo/acme-*", "pkg:cargo/serde-json", "pkg:cargo/a*",
		"pkg:hex/acme/*", "pkg:hex/acme_*", "pkg:hex/acme*", "pkg:hex/acme/billing",
		"pkg:pypi/acme-*", "pkg:pypi/acme*", "pkg:pypi/acme-http",
		"pkg:golang/github.com/acme/*", "pkg:golang/github.com/BurntSushi/toml", "pkg:golang/github*", "pkg:golang/github.com*",
		"pkg:golang/github.*", "pkg:golang/gopkg.in/yaml*", "pkg:golang/gopkg.in/yaml.*", "pkg:golang/gopkg.in/yaml.v*",
		"pkg:golang/gopkg.in/*", "pkg:golang/acme.dev", "pkg:golang/acme.dev/lib/v*", "pkg:golang/acme.dev/lib/v2",
		"pkg:nuget/acme.*", "pkg:nuget/acme*", "pkg:nuget/newtonsoft.json",
		"pkg:maven/com.acme.*", "pkg:maven/com.acme/*", "pkg:maven/com.acme*", "pkg:maven/com.acme/lib", "pkg:maven/com.acme/lib-*", "pkg:maven/com*",
		"pkg:oci/ghcr.io/acme/*", "pkg:oci/ghcr.io/*", "pkg:oci/ghcr.io*", "pkg:oci/gh*", "pkg:oci/ghcr.*", "pkg:oci/localhost:5000/*",
		"pkg:oci/localhost:*", "pkg:oci/localhost:5*", "pkg:oci/ghcr.io/acme/tool", "pkg:oci/docker.io/library/*", "pkg:oci/docker.io/*", "pkg:oci/docker.io*",
		"pkg:oci/ghcr.io/acme/tool_*", "pkg:oci/ghcr.io/acme/tool.*",
	} {
		n, err := provenance.ParseNamespace(pattern)
		if err != nil || n.String() != pattern {
			t.Errorf("%s: got %s, %v", pattern, n, err)
		}
		if p, err := provenance.ParsePinNamespace(pattern); p != n {
			t.Errorf("%s in a pin: got %s, %v", pattern, p, err)
		}
	}
}

func TestNamespaceCanonical(t *testing.T) {
	for given, canonical := range map[string]string{
		"pkg:npm/%40acme/*":              "pkg:npm/@acme/*",
		"pkg:npm/@acme%2Fwidget":         "pkg:npm/@acme/widget",
		"pkg:NPM/@acme/*":                "pkg:npm/@acme/*",
		"pkg:cargo/acme_*":               "pkg:cargo/acme-*",
		"pkg:cargo/Serde_JSON":           "pkg:cargo/serde-json",
		"pkg:hex/hexpm/acme_*":           "pkg:hex/acme_*",
		"pkg:hex/hexpm:acme/*":           "pkg:hex/acme/*",
		"pkg:pypi/Acme_*":                "pkg:pypi/acme-*",
		"pkg:pypi/acme--*":               "pkg:pypi/acme-*",
		"pkg:pypi/acme.*":                "pkg:pypi/acme-*",
		"pkg:pypi/Acme.HTTP":             "pkg:pypi/acme-http",
		"pkg:nuget/Acme.*":               "pkg:nuget/acme.*",
		"pkg:nuget/Newtonsoft.Json":      "pkg:nuget/newtonsoft.json",
		"pkg:maven/com.acme:*":           "pkg:maven/com.acme/*",
		"pkg:maven/com.acme:lib":         "pkg:maven/com.acme/lib",
		"pkg:oci/GHCR.io/acme/*":         "pkg:oci/ghcr.io/acme/*",
		"pkg:oci/ghcr.io:443/acme/*":     "pkg:oci/ghcr.io/acme/*",
		"pkg:oci/ghcr.io:443/acme/tool":  "pkg:oci/ghcr.io/acme/tool",
		"pkg:golang/github.com%2Facme/*": "pkg:golang/github.com/acme/*",
	} {
		n, err := provenance.ParseNamespace(given)
		var wrong *provenance.CanonicalError
		if !errors.As(err, &wrong) || wrong.Canonical != canonical || n != (provenance.Namespace{}) {
			t.Errorf("%s: got %v, %v, want %s", given, n, err, canonical)
		}
		mustNamespace(t, canonical)
	}
}

func TestNamespaceRefusals(t *testing.T) {
	for pattern, says := range map[string]string{
		"":                                     "does not begin with pkg:",
		"*":                                    "does not begin with pkg:",
		"npm/@acme/*":                          "does not begin with pkg:",
		"pkg:*":                                "none of npm, cargo",
		"pkg:n*":                               "none of npm, cargo",
		"pkg:*/x":                              "none of npm, cargo",
		"pkg:gem/*":                            "none of npm, cargo",
		"pkg:npm":                              "empty part",
		"pkg:npm/":                             "empty part",
		"pkg:npm*":                             "none of npm, cargo",
		"pkg:npm/@acme":                        "want name or @scope/name",
		"pkg:npm/@acme/":                       "empty part",
		"pkg:npm/@acme/**":                     "character '*'",
		"pkg:npm/@*/x":                         "character '*'",
		"pkg:npm/@acme/*-ui":                   "character '*'",
		"pkg:npm/@acme/%2A":                    "character '*'",
		"pkg:npm/@acme/x%2A":                   "character '*'",
		"pkg:npm/%2540acme/*":                  "want name or @scope/name",
		"pkg:npm/@acme/%*":                     "two hex digits",
		"pkg:npm/@acme/x@1.0.0":                "character '@'",
		"pkg:npm/@acme/x@*":                    "character '@'",
		"pkg:npm/@acme/x?a=b":                  "character '?'",
		"pkg:npm/@acme/.*":                     "begins with a dot",
		"pkg:npm/../*":                         "want name or @scope/name",
		"pkg:npm/acme/*":                       "want name or @scope/name",
		"pkg:npm/@acme/x/*":                    "character '/'",
		"pkg:npm/@/*":                          "empty part",
		"pkg:npm/@acme /*":                     "character 0x20",
		"pkg:npm/@acme\x00*":                   "character 0x00",
		"pkg:npm/@acm\u0435/*":                 "U+0435",
		"pkg:cargo/\u212a*":                    "U+212A",
		"pkg:cargo/-*":                         "does not begin with a letter",
		"pkg:hex/hexpm/*":                      "prefix is empty",
		"pkg:hex/Acme/*":                       "not lower-case",
		"pkg:pypi/-*":                          "begin and end",
		"pkg:pypi/_acme*":                      "begin and end",
		"pkg:pypi/acme/*":                      "character '/'",
		"pkg:golang/GitHub.com/*":              "invalid char",
		"pkg:golang/github.com//*":             "double slash",
		"pkg:golang/acme.dev/":                 "trailing slash",
		"pkg:golang/acme.dev/l/v1":             "invalid version",
		"pkg:nuget/acme..*":                    "between two words",
		"pkg:nuget/acme.":                      "ends in a dot",
		"pkg:maven/com.acme":                   "want group:artifact",
		"pkg:maven/com..*":                     "empty part",
		"pkg:maven/com.acme/a/*":               "character '/'",
		"pkg:oci/acme/*":                       "want host/path",
		"pkg:oci/ghcr.io/Acme/*":               "no part of",
		"pkg:oci/ghcr.io":                      "want host/path",
		"pkg:oci/https://ghcr.io/*":            "not a port",
		"pkg:oci/index.docker.io/*":            "write docker.io",
		"pkg:npm/" + strings.Repeat("a", 1024): "longer than 1024",
		"pkg:npm/" + strings.Repeat("a", 214) + "*": "longer than 214",
	} {
		n, err := provenance.ParsePinNamespace(pattern)
		var wrong *provenance.CanonicalError
		if err == nil || !strings.Contains(err.Error(), says) || errors.As(err, &wrong) || n != (provenance.Namespace{}) {
			t.Errorf("%.60q: got %v, %v, want a plain error with %q", pattern, n, err, says)
		}
		if _, err := provenance.ParseNamespace(pattern); err == nil {
			t.Errorf("%.60q is accepted outside pins", pattern)
		}
	}
}

func TestWholeEcosystemOnlyInPins(t *testing.T) {
	for _, kind := range []string{"npm", "cargo", "hex", "pypi", "golang", "nuget", "maven", "oci"} {
		pattern := "pkg:" + kind + "/*"
		if n, err := provenance.ParsePinNamespace(pattern); err != nil || n.String() != pattern || n.Warning() != "" {
			t.Errorf("%s in a pin: %v, %v, warning %q", pattern, n, err, n.Warning())
		}
		if n, err := provenance.ParseNamespace(pattern); err == nil || !strings.Contains(err.Error(), "only a pin") || n != (provenance.Namespace{}) {
			t.Errorf("%s elsewhere: %v, %v", pattern, n, err)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		pattern, purl string
		want          bool
	}{
		{"pkg:npm/@acme/*", "pkg:npm/%40acme/widget@1.0.0", true},
		{"pkg:npm/@acme/*", "pkg:npm/%40acme-evil/widget@1.0.0", false},
		{"pkg:npm/@acme/*", "pkg:npm/acme@1.0.0", false},
		{"pkg:npm/@acme*", "pkg:npm/%40acme-evil/widget@1.0.0", true},
		{"pkg:npm/@acme/widget", "pkg:npm/%40acme/widget@1.0.0", true},
		{"pkg:npm/@acme/widget", "pkg:npm/%40acme/widget2@1.0.0", false},
		{"pkg:npm/@acme/widget*", "pkg:npm/%40acme/widget@1.0.0", true},
		{"pkg:npm/jsonstream", "pkg:npm/JSONStream@1.0.0", false},
		{"pkg:npm/*", "pkg:npm/%40acme/widget@1.0.0", true},
		{"pkg:npm/*", "pkg:cargo/widget@1.0.0", false},
		{"pkg:npm/acme-*", "pkg:cargo/acme-http@1.0.0", false},
		{"pkg:pypi/acme-*", "pkg:pypi/acme-http@1?file_name=Acme.HTTP-1.0.tar.gz", true},
		{"pkg:pypi/acme-*", "pkg:pypi/acme@1?file_name=acme-1.0.tar.gz", false},
		{"pkg:cargo/serde-json", "pkg:cargo/serde-json@1.0.0", true},
		{"pkg:hex/acme/*", "pkg:hex/acme/billing@1.0.0", true},
		{"pkg:hex/acme/*", "pkg:hex/acme@1.0.0", false},
		{"pkg:golang/github.com/acme/*", "pkg:golang/github.com/acme/lib/v2@v2.0.0", true},
		{"pkg:golang/github.com/acme/*", "pkg:golang/github.com/acme@v1.0.0", false},
		{"pkg:golang/github.com/acme/*", "pkg:golang/github.com/Acme/lib@v1.0.0", false},
		{"pkg:nuget/acme.*", "pkg:nuget/acme.core@1.0.0", true},
		{"pkg:nuget/acme.*", "pkg:nuget/acmecore@1.0.0", false},
		{"pkg:maven/com.acme.*", "pkg:maven/com.acme.sub/lib@1.0", true},
		{"pkg:maven/com.acme.*", "pkg:maven/com.acme/lib@1.0", false},
		{"pkg:maven/com.acme/*", "pkg:maven/com.acme/lib@1.0?classifier=sources", true},
		{"pkg:maven/com.acme/lib", "pkg:maven/com.acme/lib@1.0?type=pom", true},
		{"pkg:oci/ghcr.io/acme/*", "pkg:oci/tool@" + digestA + "?repository_url=ghcr.io/acme/sub/tool", true},
		{"pkg:oci/ghcr.io/acme/*", "pkg:oci/tool@" + digestA + "?repository_url=evil.example/acme/tool", false},
	} {
		if got := mustNamespace(t, tt.pattern).Covers(mustParse(t, tt.purl)); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.pattern, tt.purl, got)
		}
	}
	expected, err := provenance.ParseExpected("pkg:pypi/acme-http@1")
	if err != nil || !mustNamespace(t, "pkg:pypi/acme-*").Covers(expected) {
		t.Error("an expected version without its file is not covered")
	}
}

func TestZeroNamespace(t *testing.T) {
	var zero provenance.Namespace
	acme := mustNamespace(t, "pkg:npm/@acme/*")
	if zero.Covers(provenance.Coordinate{}) || zero.Covers(mustParse(t, "pkg:npm/x@1.0.0")) || acme.Covers(provenance.Coordinate{}) {
		t.Error("covers something")
	}
	if zero.Within(zero) || zero.Within(acme) || acme.Within(zero) || zero.Warning() != "" {
		t.Error("within something")
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		inner, outer string
		want         bool
	}{
		{"pkg:npm/@acme/*", "pkg:npm/@acme/*", true},
		{"pkg:npm/@acme/ui-*", "pkg:npm/@acme/*", true},
		{"pkg:npm/@acme/widget", "pkg:npm/@acme/*", true},
		{"pkg:npm/@acme/*", "pkg:npm/@acme*", true},
		{"pkg:npm/@acme*", "pkg:npm/@acme/*", false},
		{"pkg:npm/@acme/*", "pkg:npm/@acme/widget", false},
		{"pkg:npm/@acme/widget*", "pkg:npm/@acme/widget", false},
		{"pkg:npm/@acme/widget", "pkg:npm/@acme/widget*", true},
		{"pkg:npm/@acme/widget", "pkg:npm/@acme/widget", true},
		{"pkg:npm/@acme/widget", "pkg:npm/@acme/widget2", false},
		{"pkg:npm/@acme/*", "pkg:npm/*", true},
		{"pkg:npm/*", "pkg:npm/*", true},
		{"pkg:npm/*", "pkg:npm/@acme/*", false},
		{"pkg:cargo/acme-*", "pkg:npm/*", false},
	} {
		inner, outer := mustNamespace(t, tt.inner), mustNamespace(t, tt.outer)
		if got := inner.Within(outer); got != tt.want {
			t.Errorf("%s within %s: %v", inner, outer, got)
		}
	}
}

func TestLongest(t *testing.T) {
	patterns := []provenance.Namespace{
		mustNamespace(t, "pkg:npm/*"), mustNamespace(t, "pkg:npm/@acme/*"), mustNamespace(t, "pkg:npm/@acme/widget*"),
		mustNamespace(t, "pkg:npm/@acme/widget"), mustNamespace(t, "pkg:npm/@acme/ui-*"),
	}
	for _, tt := range []struct {
		name string
		want int
	}{{"@acme/widget", 3}, {"@acme/widgets", 2}, {"@acme/ui-kit", 4}, {"@acme/ui", 1}, {"@other/x", 0}} {
		c, err := provenance.NewCoordinate("npm", tt.name, "1.0.0", "")
		if err != nil {
			t.Fatal(err)
		}
		if i, ok := provenance.Longest(patterns, c); !ok || i != tt.want {
			t.Errorf("%s: pattern %d, %v, want %d", tt.name, i, ok, tt.want)
		}
		reversed := []provenance.Namespace{patterns[4], patterns[3], patterns[2], patterns[1], patterns[0]}
		if i, ok := provenance.Longest(reversed, c); !ok || i != 4-tt.want {
			t.Errorf("%s, patterns reversed: pattern %d, %v, want %d", tt.name, i, ok, 4-tt.want)
		}
	}
	if _, ok := provenance.Longest(patterns[1:], mustParse(t, "pkg:npm/x@1.0.0")); ok {
		t.Error("a pattern decides about a name that none covers")
	}
	if _, ok := provenance.Longest(nil, mustParse(t, "pkg:npm/x@1.0.0")); ok {
		t.Error("no pattern decides")
	}
}

func TestDuplicate(t *testing.T) {
	a, b := mustNamespace(t, "pkg:npm/@acme/widget"), mustNamespace(t, "pkg:npm/@acme/widget*")
	if n, dup := provenance.Duplicate([]provenance.Namespace{a, b}); dup {
		t.Errorf("%s is taken for a duplicate", n)
	}
	if n, dup := provenance.Duplicate([]provenance.Namespace{a, b, b, a}); !dup || n != b {
		t.Errorf("got %s, %v", n, dup)
	}
}

func TestWarning(t *testing.T) {
	for pattern, warns := range map[string]bool{
		"pkg:npm/@acme*": true, "pkg:npm/@acme-*": true, "pkg:npm/@*": true, "pkg:npm/@acme/*": false, "pkg:npm/@acme/ui*": false,
		"pkg:npm/acme*": true, "pkg:npm/acme-*": false, "pkg:npm/@acme/widget": false,
		"pkg:cargo/acme*": true, "pkg:cargo/acme-*": false,
		"pkg:hex/acme*": true, "pkg:hex/acme_*": false, "pkg:hex/acme/*": false,
		"pkg:pypi/acme*": true, "pkg:pypi/acme-*": false,
		"pkg:golang/github.com/acme*": true, "pkg:golang/github.com/acme-*": true, "pkg:golang/github.com/acme/*": false,
		"pkg:nuget/acme*": true, "pkg:nuget/acme.*": false,
		"pkg:maven/com.acme*": true, "pkg:maven/com.acme.*": false, "pkg:maven/com.acme/*": false,
		"pkg:oci/ghcr.io/acme*": true, "pkg:oci/ghcr.io/acme/*": false,
	} {
		if got := mustNamespace(t, pattern).Warning(); (got != "") != warns || warns && !strings.HasPrefix(got, pattern+" covers") {
			t.Errorf("%s: warning %q, want one: %v", pattern, got, warns)
		}
	}
}
