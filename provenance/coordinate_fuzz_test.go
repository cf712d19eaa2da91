package provenance_test

import (
	"errors"
	"testing"

	"countersign.dev/provenance"
)

func FuzzParseCoordinate(f *testing.F) {
	for _, files := range spellings {
		for _, file := range files {
			f.Add(file.purl)
		}
	}
	for _, purl := range []string{
		"", "pkg:", "pkg:npm/@acme/widget@1.2.3", "pkg:npm/%40acme%2fwidget@1.2.3", "pkg:npm/%2540acme/x@1.0.0", "pkg:npm/%@1",
		"pkg:pypi/Foo_Bar@1.0?file_name=foo_bar-1.0.tar.gz", "pkg:maven/a/b@1?type=jar&classifier=x", "pkg:maven/a/b@1?classifier=.&type=tar.gz",
		"pkg:oci/t@sha256:?repository_url=a.b:443/t", "pkg://NPM//x@1.0.0?#", "pkg:cargo/\u212a@1.0.0", "pkg:hex/hexpm%3Ahexpm/x@1.0.0",
	} {
		f.Add(purl)
	}
	f.Fuzz(func(t *testing.T, purl string) {
		c, err := provenance.ParseCoordinate(purl)
		if err == nil {
			if c.String() != purl {
				t.Fatalf("%q is accepted, its coordinate is %s", purl, c)
			}
			wellFormed(t, c)
		}
		if expected, expectedErr := provenance.ParseExpected(purl); err == nil && (expectedErr != nil || expected != c) {
			t.Fatalf("%q is not acceptable as an expectation: %v", purl, expectedErr)
		}
		var wrong *provenance.CanonicalError
		if errors.As(err, &wrong) {
			if c, err := provenance.ParseCoordinate(wrong.Canonical); err != nil || wrong.Canonical == purl {
				t.Fatalf("%q: told to write %s, which gives %v, %v", purl, wrong.Canonical, c, err)
			}
		}
	})
}

func FuzzNewCoordinate(f *testing.F) {
	for ecosystem, files := range spellings {
		for _, file := range files {
			for _, in := range file.inputs {
				f.Add(ecosystem, in[0], in[1], in[2])
			}
		}
	}
	f.Fuzz(func(t *testing.T, ecosystem, name, version, file string) {
		c, err := provenance.NewCoordinate(ecosystem, name, version, file)
		if err != nil {
			if !c.IsZero() {
				t.Fatalf("%s comes with the error %v", c, err)
			}
			return
		}
		wellFormed(t, c)
	})
}

func FuzzParseNamespace(f *testing.F) {
	for _, pattern := range []string{
		"", "pkg:", "pkg:*", "pkg:npm/*", "pkg:npm/@acme/*", "pkg:npm/@acme*", "pkg:npm/left-pad", "pkg:npm/%40acme/*", "pkg:cargo/acme_*",
		"pkg:hex/acme/*", "pkg:hex/hexpm/*", "pkg:pypi/Acme_*", "pkg:golang/github.com/acme/*", "pkg:golang/gopkg.in/yaml*", "pkg:nuget/Acme.*",
		"pkg:maven/com.acme.*", "pkg:maven/com.acme:lib", "pkg:oci/ghcr.io/acme/*", "pkg:oci/ghcr.io:443*", "pkg:oci/ghcr.io:443/*", "pkg:npm/**",
	} {
		f.Add(pattern, "pkg:npm/%40acme/widget@1.0.0")
	}
	for _, files := range spellings {
		f.Add("pkg:oci/localhost:*", files[0].purl)
	}
	f.Fuzz(func(t *testing.T, pattern, purl string) {
		n, err := provenance.ParsePinNamespace(pattern)
		c, _ := provenance.ParseCoordinate(purl)
		if err != nil {
			var wrong *provenance.CanonicalError
			if errors.As(err, &wrong) {
				mustNamespace(t, wrong.Canonical)
			}
			if n.Covers(c) {
				t.Fatalf("%q is refused and covers %s", pattern, c)
			}
			return
		}
		if n.String() != pattern || !n.Within(n) {
			t.Fatalf("%q is accepted as %s", pattern, n)
		}
		if i, ok := provenance.Longest([]provenance.Namespace{n}, c); i != 0 || ok != n.Covers(c) {
			t.Fatalf("%s covers %s: %v", n, c, ok)
		}
		if c.IsZero() {
			return
		}
		if exact := mustNamespace(t, "pkg:"+c.MatchKey()); n.Covers(c) != exact.Within(n) {
			t.Fatalf("%s covers %s: %v", n, c, n.Covers(c))
		}
	})
}

func BenchmarkParseCoordinate(b *testing.B) {
	for kind, purl := range map[string]string{
		"npm":    "pkg:npm/%40acme/widget@1.2.3",
		"cargo":  "pkg:cargo/serde-json@1.0.0",
		"pypi":   "pkg:pypi/foo-bar@1.0.1?file_name=foo_bar-1.0.1-cp312-cp312-manylinux_2_17_x86_64.whl",
		"golang": "pkg:golang/github.com/BurntSushi/toml@v1.6.0",
		"nuget":  "pkg:nuget/newtonsoft.json@13.0.3",
		"maven":  "pkg:maven/com.acme/lib@1.0?classifier=sources",
		"oci":    "pkg:oci/tool@" + digestA + "?repository_url=ghcr.io/acme/tool",
	} {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := provenance.ParseCoordinate(purl); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
