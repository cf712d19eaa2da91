//go:build !race

// 64 MiB take minutes under the race detector, and race with nothing.

package signer_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// An answer does not grow for ever: past a size the lines that are left are not there, and the last one is whole.
func TestPublicBatchIsCutOff(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	attributes := []byte(`{"x":"` + strings.Repeat("x", 22<<10) + `"}`)
	for _, file := range []string{"acme_kit-1.0.0.tar.gz", "acme_kit-1.0.0.zip", "acme_kit-1.0.0-py3-none-any.whl"} {
		c, err := provenance.NewCoordinate("pypi", "acme-kit", "1.0.0", file)
		must(t, err)
		s.accepted(w.signed(provenance.Draft{Registry: registry, Coordinate: c, FileName: file, Digests: digestsOf(file), SignedAt: time.Now(), Attributes: attributes}, w.publisher))
	}
	const release = `"pkg:pypi/acme-kit@1"`
	got := s.do(http.DefaultClient, http.MethodPost, s.public+"/"+registry+"/bundles:batch", jsonType, []byte(`{"purls":[`+strings.Repeat(release+",", 999)+release+`]}`))
	lines := bytes.Split(bytes.TrimSuffix(got.body, []byte("\n")), []byte("\n"))
	for _, l := range lines {
		if n := bytes.Count(l, []byte(`"mediaType"`)); n != 3 || len(l) != len(lines[0]) {
			t.Fatalf("%d bundles in a line of %d bytes", n, len(l))
		}
	}
	// The limit is on the bundles; a line has less than 200 bytes around them.
	if n := 64<<20/len(lines[0]) + 1; len(lines) < n || len(lines) > 64<<20/(len(lines[0])-200)+1 {
		t.Errorf("%d lines of %d bytes, want %d", len(lines), len(lines[0]), n)
	}
}
