package signer_test

import (
	"net/http"
	"strings"
	"testing"

	"countersign.dev/signer"
)

func TestPublicBatchByPurl(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	lines := s.batchLines([]byte(`{"purls":["` + widget + `","` + widget + `"]}`))
	if len(lines) != 2 || len(lines[1].Bundles) != 1 || lines[0].Status != http.StatusOK {
		t.Fatalf("%+v", lines)
	}
	must(t, s.verify(lines[1].Bundles[0], widget, "content"))
	path := s.public + "/" + registry + "/bundles:batch"
	ask := func(body string) *reply {
		return s.do(http.DefaultClient, http.MethodPost, path, jsonType, []byte(body))
	}
	for _, bad := range []string{`{"purls":[]}`, `{"purls":"x"}`, `{"purls":["x"],"coordinates":[]}`, `{"purls":[],"coordinates":["` + nameOf(widget) + `"]}`,
		`{"purls":["x"],"coordinates":["` + nameOf(widget) + `"]}`, `{"purls":["\ud800"]}`} {
		ask(bad).refused(t, signer.Malformed)
	}
	ask(`{"purls":["`+strings.Repeat(`x","`, 1000)+`x"]}`).refused(t, signer.TooLarge)
	long := "pkg:npm/" + strings.Repeat("x", 1010)
	if got := s.batchLines([]byte(`{"purls":["` + strings.Repeat(long+`","`, 999) + long + `"]}`)); len(got) != 1000 {
		t.Errorf("%d lines", len(got))
	}
}
