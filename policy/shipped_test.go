package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"countersign.dev/policy"
)

// The policies that we ship keep what their examples say.
func TestShippedPolicies(t *testing.T) {
	paths, err := filepath.Glob("../deploy/policies/*.toml")
	if err != nil || len(paths) < 4 {
		t.Fatalf("found %d policies, %v", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(data, path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, f := range p.Test() {
			t.Errorf("%s: line %d: %s", path, f.Line, f.Message)
		}
	}
}
