package signer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// nameOf is where the public listener has the bundle of a purl.
func nameOf(purl string) string {
	sum := sha256.Sum256([]byte(purl))
	return hex.EncodeToString(sum[:])
}

func TestPublicBundle(t *testing.T) {
	s := newSite(t, newWorld(t, 2, 3, nil), signer.Limits{}, nil)
	const purl = "pkg:npm/%40acme/widget@1.0.0"
	path := "/" + registry + "/bundles/" + nameOf(purl)
	s.get(path).refused(t, signer.NotFound)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	got := s.get(path)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != provenance.BundleType || got.header.Get("Cache-Control") != "public, max-age=60" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	must(t, s.verify(got.body, purl, "content"))
	if len(got.header.Values("Set-Cookie")) != 0 || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", got.header)
	}
	for tag, want := range map[string]int{got.header.Get("ETag"): 304, "W/" + got.header.Get("ETag"): 304, `"x", ` + got.header.Get("ETag"): 304, "*": 304, `"x"`: 200, "": 200} {
		req, err := http.NewRequest(http.MethodGet, s.public+path, nil)
		must(t, err)
		req.Header.Set("If-None-Match", tag)
		if again := answer(t, http.DefaultClient, req); again.status != want || want == 304 && len(again.body) != 0 {
			t.Errorf("If-None-Match %s: %d with %d bytes, want %d", tag, again.status, len(again.body), want)
		}
	}
	head := s.do(http.DefaultClient, http.MethodHead, s.public+"/healthz", "", nil)
	if head.status != http.StatusOK || len(head.body) != 0 {
		t.Errorf("HEAD: %d %q", head.status, head.body)
	}
	for _, bad := range []string{strings.ToUpper(nameOf(purl)), nameOf(purl)[1:], nameOf(purl) + "0", "x"} {
		answer(t, http.DefaultClient, request(t, s.public+"/"+registry+"/bundles/"+bad)).refused(t, signer.NotFound)
	}
	s.get("/other.test/bundles/"+nameOf(purl)).refused(t, signer.WrongRegistry)
}

func request(t testing.TB, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	must(t, err)
	return req
}

// Only a coordinate's own name finds its bundle, not the names under which the ledger keeps other things.
func TestPublicBundleHasOneName(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(pypi(w, "acme_kit-1.0.0.tar.gz", "sdist"))
	for _, hidden := range []string{"release\npkg:pypi/acme-kit@1.0.0", "release\npkg:pypi/acme-kit@1", "enrolment\n" + w.enrol(w.publisher, "pkg:npm/@acme/*").Digest()} {
		s.get("/"+registry+"/bundles/"+nameOf(hidden)).refused(t, signer.NotFound)
	}
}

func pypi(w *world, file, content string) signer.Submission {
	c, err := provenance.NewCoordinate("pypi", "acme-kit", "1.0.0", file)
	must(w.t, err)
	p, err := provenance.Draft{Registry: registry, Coordinate: c, FileName: file, Digests: digestsOf(content), SignedAt: time.Now()}.Sign(w.publisher)
	must(w.t, err)
	return signer.Submission{Publication: p.Envelope, Observed: signer.Observed{Digests: digestsOf(content), Size: 7}}
}

func TestPublicFind(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(pypi(w, "acme_kit-1.0.0.tar.gz", "sdist"))
	s.submit(pypi(w, "acme_kit-1.0.0-py3-none-any.whl", "wheel"))
	find := func(purl, digest string) int {
		query := "?purl=" + url.QueryEscape(purl)
		if digest != "" {
			query += "&digest=" + url.QueryEscape(digest)
		}
		var public, signing []jsontext.Value
		got := s.get("/" + registry + "/bundles" + query)
		must(t, json.Unmarshal(got.body, &public))
		must(t, json.Unmarshal(s.do(s.client, http.MethodGet, s.signing+single+query, "", nil).body, &signing))
		if len(public) != len(signing) {
			t.Errorf("%s: %d bundles for everyone, %d for the back end", purl, len(public), len(signing))
		}
		return len(public)
	}
	for purl, want := range map[string]int{"pkg:pypi/acme-kit@1": 2, "pkg:pypi/acme-kit@1?file_name=acme_kit-1.0.0.tar.gz": 1, "pkg:pypi/acme-kit@2": 0, "pkg:npm/%40acme/x@1.0.0": 0} {
		if got := find(purl, ""); got != want {
			t.Errorf("%s: %d bundles, want %d", purl, got, want)
		}
	}
	if got := find("pkg:pypi/acme-kit@1", "sha256:"+digestsOf("wheel")["sha256"]); got != 1 {
		t.Errorf("by digest: %d bundles", got)
	}
	s.get("/"+registry+"/bundles?purl=pkg:pypi/Acme-Kit@1").refused(t, signer.CoordinateNotCanonical)
	s.get("/"+registry+"/bundles").refused(t, signer.Malformed)
	s.get("/"+registry+"/bundles?purl=x&extra=y").refused(t, signer.Malformed)
	s.get("/"+registry+"/bundles?purl="+url.QueryEscape("pkg:pypi/acme-kit@1")+"&digest=nonsense").refused(t, signer.Malformed)
}

func TestPublicWithdrawn(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	const purl = "pkg:npm/%40acme/widget@1.0.0"
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	w.withdrawUnsigned(w.Origin(), purl, "content")
	if got := s.get("/" + registry + "/bundles/" + nameOf(purl)); got.status != http.StatusOK {
		t.Errorf("nobody sees beyond the checkpoint: %d", got.status)
	}
	s.submit(s.submission("@acme/widget", "2.0.0", "content"))
	s.get("/"+registry+"/bundles/"+nameOf(purl)).refused(t, signer.Withdrawn)
	s.get("/"+registry+"/bundles?purl="+url.QueryEscape(purl)).refused(t, signer.Withdrawn)
	got := s.do(s.client, http.MethodGet, s.signing+single+"?purl="+url.QueryEscape(purl), "", nil)
	if p := got.refused(t, signer.Withdrawn); p.Status != http.StatusGone || !strings.Contains(p.Detail, "malware") {
		t.Errorf("%+v", p)
	}
}

func TestPublicBatch(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	s.submit(s.submission("@acme/widget", "2.0.0", "content"))
	w.withdraw("pkg:npm/%40acme/widget@2.0.0", "content")
	s.submit(s.submission("@acme/widget", "3.0.0", "content"))
	names := []string{nameOf("pkg:npm/%40acme/widget@1.0.0"), nameOf("nothing"), nameOf("pkg:npm/%40acme/widget@2.0.0"), nameOf("pkg:npm/%40acme/widget@1.0.0")}
	path := s.public + "/" + registry + "/bundles:batch"
	ask := func(body string) *reply {
		return s.do(http.DefaultClient, http.MethodPost, path, jsonType, []byte(body))
	}
	got := ask(`{"coordinates":["` + strings.Join(names, `","`) + `"]}`)
	var told []string
	for line := range bytes.Lines(got.body) {
		var o struct {
			Coordinate string
			Status     int
			Bundle     jsontext.Value
			Problem    problemDocument
		}
		decode(t, line, &o)
		told = append(told, fmt.Sprint(o.Coordinate, o.Status, signer.CodeOf(o.Problem.Type)))
		if o.Status == http.StatusOK {
			must(t, s.verify(o.Bundle, "pkg:npm/%40acme/widget@1.0.0", "content"))
		}
	}
	want := []string{names[0] + "200", names[1] + "404not-found", names[2] + "410withdrawn", names[3] + "200"}
	if !slices.Equal(told, want) {
		t.Errorf("%s, want %s", told, want)
	}
	for _, bad := range []string{"", "{}", `{"coordinates":[]}`, `{"coordinates":["x"]}`, `{"coordinates":[null]}`, `{"coordinates":["` + names[0] + `"],"x":1}`} {
		ask(bad).refused(t, signer.Malformed)
	}
	ask(`{"coordinates":["`+strings.Repeat(names[0]+`","`, 1000)+names[0]+`"]}`).refused(t, signer.TooLarge)
	ask(strings.Repeat(" ", signer.MaxAsked+1)).refused(t, signer.TooLarge)
	s.do(http.DefaultClient, http.MethodPost, path, "text/plain", []byte("{}")).refused(t, signer.Malformed)
	s.do(http.DefaultClient, http.MethodGet, path, "", nil).refused(t, signer.Malformed)
	s.do(http.DefaultClient, http.MethodDelete, s.public+"/"+registry+"/identity", "", nil).refused(t, signer.Malformed)
}

func TestPublicIdentity(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	envelopes, err := provenance.ParseEnvelopes(s.get("/" + registry + "/identity").body)
	must(t, err)
	chain, err := provenance.ParseChain(envelopes)
	must(t, err)
	if chain.Fingerprint() != w.identity.Envelope.PayloadDigest() {
		t.Error("another identity")
	}
	s.get("/other.test/identity").refused(t, signer.WrongRegistry)
}

// Readiness has one word for each reason, and no more.
func TestPublicHealth(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.SignTimeout = 100 * time.Millisecond })
	readiness := func() string {
		got := s.get("/readyz")
		var w struct{ Registries map[string]string }
		decode(t, got.body, &w)
		if why := w.Registries[registry]; (why == "ready") != (got.status == http.StatusOK) {
			t.Errorf("%s with status %d", why, got.status)
		}
		return w.Registries[registry]
	}
	is := func(want string) {
		t.Helper()
		waitUntil(t, "readiness is "+want, func() bool { return readiness() == want })
		if got := s.get("/healthz"); got.status != http.StatusOK || string(got.body) != "ok\n" {
			t.Errorf("%s, and health is %d %q", want, got.status, got.body)
		}
	}
	is("ready")
	must(t, s.Freeze("secret reason"))
	is("frozen")
	must(t, s.Thaw())
	is("ready")
	o.set(func(context.Context, string) error { return errors.New("secret") })
	s.submit(s.submission("@acme/widget", "1.0.0", "content")).refused(t, signer.SigningUnavailable)
	is("stalled")
	o.set(nil)
	is("ready")
	must(t, s.DrainAgent("a"))
	is("agents")
	must(t, s.ReturnAgent("a"))
	is("ready")
	s.stop()
	is("closing")
}

// The identity's expiry shows before anybody is refused by it.
func TestPublicReadinessKnowsExpiry(t *testing.T) {
	start := time.Now()
	w := newWorld(t, 1, 1, nil)
	w.stop()
	w.config.Now = func() (time.Time, time.Duration) {
		return time.Now().Round(0).Add(366 * 24 * time.Hour), time.Since(start)
	}
	w.start()
	s := newSite(t, w, signer.Limits{}, nil)
	if got := s.get("/readyz"); got.status != http.StatusServiceUnavailable || !strings.Contains(string(got.body), `"expired"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestPublicUnknownPaths(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	for _, path := range []string{"/", "/x", "/" + registry, "/" + registry + "/", "/" + registry + "/bundles/", "/" + registry + "/logs/1", "/" + registry + "//identity"} {
		resp, err := http.Get(s.public + path)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		resp.Body.Close()
		(&reply{resp.StatusCode, resp.Header, body}).refused(t, signer.NotFound)
	}
}
