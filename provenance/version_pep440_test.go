package provenance_test

import (
	"strings"
	"testing"

	"countersign.dev/provenance"
)

// TestPEP440 lists versions with all their spellings; versions on different lines are different.
func TestPEP440(t *testing.T) {
	lines := map[string][]string{
		"0":         {"0", "0.0", "00", "v0", "0!0.0.0"},
		"1":         {"1", "1.0", "1.0.0", "v1.0", "V1", "01", "1.00", "0!1", "00!1.0"},
		"10":        {"10", "10.0"},
		"1.0.1":     {"1.0.1", "1.00.01", "1.0.1.0"},
		"1.10":      {"1.10", "1.10.0"},
		"1.1":       {"1.1"},
		"1!2":       {"1!2.0", "01!2", "v1!2.0.0"},
		"1!0":       {"1!0", "1!0.0"},
		"1a1":       {"1.0a1", "1.0alpha1", "1.0-alpha-1", "1.0_a_1", "1.0.ALPHA.1", "1a01"},
		"1a0":       {"1.0a", "1.0alpha", "1a0", "1.0-a"},
		"1b2":       {"1.0b2", "1.0.beta-2", "1BETA2"},
		"1rc3":      {"1.0rc3", "1.0c3", "1.0-pre3", "1.0_preview_3", "1.0RC3"},
		"1.post1":   {"1.0.post1", "1.0-post1", "1.0post1", "1.0-1", "1-01", "1.0.rev1", "1.0-r1", "1.0_POST_1"},
		"1.post0":   {"1.0.post", "1.0-post", "1.0r", "1-0"},
		"1.dev0":    {"1.0.dev0", "1.0.dev", "1.0-dev", "1.0dev", "1.0_DEV-0"},
		"1a2.post3": {"1.0a2.post3", "1.0a2-3", "1.0-a2-r3"},
		"1a2.dev4":  {"1.0a2.dev4"},
		"1.post3.dev4": {
			"1.0.post3.dev4", "1.0-3.dev4", "1.0rev3-dev4"},
		"1!1.2a3.post4.dev5+x.6": {"1!1.2.0a3.post4.dev5+X-06", "v01!1.2alpha3-4_dev_5+x_6"},
		"1+local.1":              {"1.0+local.1", "1+LOCAL-01", "1.0.0+local_1"},
		"1+local1":               {"1+local1"},
		"1+0a":                   {"1.0+0a", "1+0A"},
		"1+0":                    {"1+0", "1.0+00"},
		"20260101":               {"20260101", "20260101.0"},
	}
	seen := map[string]string{}
	for canonical, versions := range lines {
		for _, v := range versions {
			c, err := provenance.NewCoordinate("pypi", "foo", v, "foo-"+v+".tar.gz")
			if err != nil || c.Version() != canonical {
				t.Errorf("%s: got %q, %v, want %s", v, c.Version(), err, canonical)
			}
			if other, dup := seen[v]; dup {
				t.Errorf("%s is under %s and %s", v, canonical, other)
			}
			seen[v] = canonical
		}
	}
}

func TestPEP440Refusals(t *testing.T) {
	for _, v := range []string{
		"", "x", "1.", ".1", "1..0", "1.0.x", "1.0-", "1.0+", "1.0+a+b", "1.0+-a", "1.0+a-", "1.0+a..b", "1!", "!1", "1!2!3",
		"1.0a1a2", "1.0gamma1", "1.0.post1.post2", "1.0.dev1.post1", "1.0-1-2", "1.0--1", "vv1", "=1.0", "==1.0", "1.*", "1,0", "-1", "1.0/2",
		"dev", "2004d", "1.0_1", "1.0 ", "1.0.po\u017ft1", "1.0\u212a",
	} {
		c, err := provenance.NewCoordinate("pypi", "foo", v, "foo-1.tar.gz")
		if err == nil || !strings.Contains(err.Error(), "pypi version") {
			t.Errorf("%q: got %v, %v", v, c, err)
		}
	}
}
