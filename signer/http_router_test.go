package signer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The router is a detail of one file; everywhere else there is net/http.
func TestRouterIsInOneFile(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	var using []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		if !strings.HasSuffix(name, "_test.go") && bytes.Contains(text, []byte(`"github.com/gorilla/`)) {
			using = append(using, name)
		}
	}
	if len(using) != 1 || using[0] != "http_router.go" {
		t.Errorf("gorilla/mux is imported by %v", using)
	}
}
