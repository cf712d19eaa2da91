package gate_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// listener is a public listener over a world. Each request takes the next fault, if there is one: a function that
// answers in its stead and reports whether it did.
type listener struct {
	*httptest.Server
	w *world

	mu       sync.Mutex
	faults   []func(http.ResponseWriter, *http.Request) bool
	requests []string
	status   []byte
	static   bool
}

func serve(t *testing.T, w *world) *listener {
	l := &listener{w: w}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *listener) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r.Method+" "+r.URL.Path)
	if len(l.faults) > 0 {
		f := l.faults[0]
		l.faults = l.faults[1:]
		if f(rw, r) {
			return
		}
	}
	path, ours := strings.CutPrefix(r.URL.Path, "/"+l.w.name)
	switch key, one := strings.CutPrefix(path, "/bundles/"); {
	case !ours:
		problem(rw, 404, "wrong-registry")
	case path == "/identity":
		rw.Write(provenance.EncodeEnvelopes(l.w.chain()))
	case path == "/status" && l.status != nil:
		rw.Write(l.status)
	case path == "/bundles:batch" && !l.static:
		l.batch(rw, r)
	case one && l.find(key) != "":
		rw.Write(l.w.bundles(l.find(key))[0])
	case l.static:
		http.NotFound(rw, r)
	default:
		problem(rw, 404, "not-found")
	}
}

func (l *listener) find(key string) string {
	for purl := range l.w.index {
		if c, err := provenance.ParseExpected(purl); err == nil {
			if h := c.Hash(); hex.EncodeToString(h[:]) == key {
				return purl
			}
		}
	}
	return ""
}

func problem(rw http.ResponseWriter, status int, code string) {
	rw.WriteHeader(status)
	fmt.Fprintf(rw, `{"type":"urn:countersign:error:%s","detail":"because %s","status":%d}`, code, code, status)
}

func (l *listener) batch(rw http.ResponseWriter, r *http.Request) {
	var w struct {
		Coordinates []string `json:"coordinates"`
		Purls       []string `json:"purls"`
	}
	if err := json.Unmarshal(must(io.ReadAll(r.Body)), &w); err != nil {
		problem(rw, 400, "malformed")
		return
	}
	for _, key := range w.Coordinates {
		purl := l.find(key)
		if reason := l.w.gone[purl]; reason != "" {
			fmt.Fprintf(rw, `{"coordinate":%q,"status":410,"problem":{"type":"urn:countersign:error:withdrawn","detail":%q}}`+"\n", key, reason)
		} else if list := l.w.bundles(purl); len(list) > 0 {
			fmt.Fprintf(rw, `{"coordinate":%q,"status":200,"bundle":%s}`+"\n", key, list[0])
		} else {
			fmt.Fprintf(rw, `{"coordinate":%q,"status":404,"problem":{"type":"urn:countersign:error:not-found","detail":"no"}}`+"\n", key)
		}
	}
	for _, purl := range w.Purls {
		var list []jsontext.Value
		for _, b := range l.w.bundles(purl) {
			list = append(list, b)
		}
		fmt.Fprintf(rw, `{"purl":%q,"bundles":%s}`+"\n", purl, must(json.Marshal(list)))
	}
}

func (l *listener) fail(faults ...func(http.ResponseWriter, *http.Request) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults, l.requests = faults, nil
}

func (l *listener) remote() *gate.Remote {
	return must(gate.NewRemote(l.URL+"/", &http.Client{Transport: http.DefaultTransport}, gate.Options{Patience: 300 * time.Millisecond, Pause: time.Millisecond}))
}

func answers(status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, _ *http.Request) bool {
		if status >= 300 && status < 400 {
			rw.Header().Set("Location", "https://elsewhere.example/")
		}
		rw.WriteHeader(status)
		io.WriteString(rw, body)
		return true
	}
}

func passes(http.ResponseWriter, *http.Request) bool { return false }

func TestRemote(t *testing.T) {
	w, _ := newScene()
	l := serve(t, w)
	files := append(all(w), lock("npm", entry(coordinate("npm", "@acme/widget", "9.9.9"), "x")))
	tells(t, "batches", checked(newGate(w.acme(), l.remote()), files...), "refused not-countersigned @acme/widget")
	if n := len(l.requests); n != 4 {
		t.Errorf("%d requests: %q", n, l.requests)
	}
	w.gone[widget.String()] = "malware"
	tells(t, "withdrawn", checked(newGate(w.acme(), l.remote()), files[0]), "refused withdrawn @acme/widget")
	delete(w.gone, widget.String())
	l.static = true
	tells(t, "a static export", checked(newGate(w.acme(), l.remote()), files[0], files[2]), "refused not-countersigned @acme/widget")
	tells(t, "a release of a static export", checked(newGate(w.acme(), l.remote()), files[1]), "unchecked unavailable acme-kit")
	other := newWorld("other.example")
	m := serve(t, other)
	tells(t, "of two registries", checked(newGate(w.acme(), m.remote(), l.remote()), files[0], files[2]), "refused not-countersigned @acme/widget")
	tells(t, "of another", checked(newGate(w.acme(), m.remote()), files[0]), "unchecked unavailable @acme/widget", "unchecked unavailable @acme/gadget")
}

// The registry's own status is fetched, kept, and used.
func TestRemoteStatus(t *testing.T) {
	w, _ := newScene()
	l := serve(t, w)
	w.add(must((&provenance.Withdrawal{Claim: w.claim(widget), Subject: provenance.Subject{Name: "file", Digest: digestsOf("widget")}, Reason: "malware"}).Statement()))
	l.status = w.status(dayZero.AddDate(0, 0, 1), []provenance.WithdrawnCoordinate{{Purl: widget.String(), Origin: w.origin(), Index: uint64(len(w.entries) - 1),
		WithdrawnAt: provenance.At(dayZero), Reason: "malware"}}, nil)
	tells(t, "fetched", checked(newGate(w.acme(), l.remote()), all(w)...), "refused withdrawn @acme/widget")
}

// What goes wrong on the way. The faults come after the identity and the status were fetched.
func TestRemoteFaults(t *testing.T) {
	whole := lock("npm", entry(widget, "widget"))
	down := "unchecked unavailable @acme/widget"
	cut := func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Length", "1000")
		io.WriteString(rw, `{"coordinate":"`)
		return true
	}
	slow := func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(50 * time.Millisecond)
		return false
	}
	hash := widget.Hash()
	key := hex.EncodeToString(hash[:])
	huge := func(rw http.ResponseWriter, _ *http.Request) bool {
		io.WriteString(rw, `{"coordinate":"`+key+`","bundle":"`)
		for range 100 {
			if _, err := io.WriteString(rw, strings.Repeat("x", 1<<20)); err != nil {
				break
			}
		}
		return true
	}
	line := func(body string) func(http.ResponseWriter, *http.Request) bool { return answers(200, body+"\n") }
	for what, c := range map[string]struct {
		faults []func(http.ResponseWriter, *http.Request) bool
		want   string
	}{
		"busy":              {list(answers(429, ""), answers(429, "")), ""},
		"broken":            {list(answers(500, ""), answers(503, "x"), answers(502, "")), ""},
		"broken for long":   {repeated(answers(500, ""), 1000), down},
		"cut off":           {list(cut), ""},
		"cut off for long":  {repeated(cut, 1000), down},
		"slow":              {list(slow), ""},
		"empty":             {list(answers(200, "")), ""},
		"huge":              {list(huge), down},
		"no JSON":           {repeated(line("<html>"), 1000), down},
		"elsewhere":         {list(answers(302, "")), down},
		"forbidden":         {list(answers(401, "")), down},
		"not asked":         {list(line(`{"coordinate":"` + strings.Repeat("0", 64) + `","bundle":{}}`)), down},
		"nothing in a line": {list(line(`{"coordinate":"` + key + `"}`)), down},
		"no bundle":         {list(line(`{"coordinate":"` + key + `","bundle":{}}`)), "refused malformed @acme/widget"},
		"a problem of ours": {list(line(`{"coordinate":"` + key + `","problem":{"type":"urn:countersign:error:frozen","detail":"no"}}`)), down},
		"a passing problem": {list(line(`{"coordinate":"` + key + `","problem":{"type":"urn:countersign:error:overloaded","detail":"no","retryable":true}}`)), ""},
		"not now":           {list(answers(429, `{"type":"urn:countersign:error:overloaded","detail":"no","retryable":true}`)), ""},
	} {
		w, _ := newScene()
		l := serve(t, w)
		l.fail(append(list(passes, passes), c.faults...)...)
		r := checked(newGate(w.acme(), l.remote()), whole)
		if c.want == "" {
			tells(t, what, r)
		} else {
			tells(t, what, r, c.want)
		}
		l.fail() // what is left over
	}
	w, _ := newScene()
	l := serve(t, w)
	l.Close()
	r := checked(newGate(w.acme(), l.remote()), whole)
	tells(t, "nobody", r, down)
	if len(r.Notes) != 1 || r.Status() != 2 {
		t.Errorf("%q", r.Notes)
	}
	l = serve(t, w)
	l.fail(repeated(answers(500, ""), 1000)...)
	tells(t, "another helps", checked(newGate(w.acme(), l.remote(), serve(t, w).remote()), whole))
}

func list(all ...func(http.ResponseWriter, *http.Request) bool) []func(http.ResponseWriter, *http.Request) bool {
	return all
}

func repeated(f func(http.ResponseWriter, *http.Request) bool, n int) []func(http.ResponseWriter, *http.Request) bool {
	return slices.Repeat(list(f), n)
}

// A mirror that lies about the identity or with other packages' bundles is found out, and one beside it is believed.
func TestRemoteLies(t *testing.T) {
	w, _ := newScene()
	fake := newWorld("other.example")
	fake.name = theRegistry
	l := serve(t, fake)
	r := checked(newGate(w.acme(), l.remote()), lock("npm", entry(widget, "widget")))
	tells(t, "another identity", r, "refused not-countersigned @acme/widget")
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "not the pinned one") {
		t.Errorf("%q", r.Notes)
	}
	tells(t, "beside an honest one", checked(newGate(w.acme(), l.remote(), serve(t, w).remote()), lock("npm", entry(widget, "widget"))))
	gadget := w.bundles("pkg:npm/%40acme/gadget@2.0.0")[0]
	hash := widget.Hash()
	swapped := serve(t, w)
	swapped.fail(passes, passes, answers(200, fmt.Sprintf(`{"coordinate":"%x","bundle":%s}`+"\n", hash, gadget)))
	tells(t, "another package", checked(newGate(w.acme(), swapped.remote()), lock("npm", entry(widget, "widget"))), "refused purl-mismatch @acme/widget")
}

func TestRemoteAddress(t *testing.T) {
	for _, bad := range []string{"", "registry.example", "ftp://registry.example", "https://", "https://u:p@registry.example", "https://registry.example?x=1"} {
		if _, err := gate.NewRemote(bad, &http.Client{}, gate.Options{}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Many packages are asked for in few requests, of no more than a listener takes.
func TestRemoteBatches(t *testing.T) {
	w := newWorld(theRegistry)
	var entries []lockfile.Entry
	for i := range 2100 {
		entries = append(entries, entry(coordinate("npm", fmt.Sprintf("@acme/p%d", i), "1.0.0"), "x"))
	}
	l := serve(t, w)
	r := checked(newGate(w.acme(), l.remote()), lock("npm", entries...))
	if r.Summary.Refused != 2100 || len(l.requests) != 5 {
		t.Errorf("%d refused, requests %q", r.Summary.Refused, l.requests)
	}
}

// A folder is either kind of place.
func TestFolder(t *testing.T) {
	w, s := newScene()
	files := all(w)
	flat := t.TempDir()
	n := 0
	for purl, list := range s.bundles {
		if strings.Contains(purl, "kit@1?") || !strings.Contains(purl, "kit") {
			for _, b := range list {
				n++
				path := filepath.Join(flat, "below", fmt.Sprintf("%d.bundle.json", n))
				os.MkdirAll(filepath.Dir(path), 0o700)
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	os.WriteFile(filepath.Join(flat, "broken.bundle.json"), []byte("{"), 0o600)
	more := append(files, lock("npm", entry(coordinate("npm", "@acme/widget", "9.9.9"), "x")))
	tells(t, "flat", checked(newGate(w.acme(), &gate.Folder{Path: flat}), more...), "refused not-countersigned @acme/widget")

	export := t.TempDir()
	for purl, list := range s.bundles {
		if c := must(provenance.ParseExpected(purl)); !c.Partial() {
			hash := c.Hash()
			put(t, filepath.Join(export, theRegistry, "bundles", hex.EncodeToString(hash[:])), list[0])
		}
	}
	tells(t, "export", checked(newGate(w.acme(), &gate.Folder{Path: export}), more...), "refused not-countersigned @acme/widget")
	put(t, filepath.Join(export, theRegistry, "identity"), provenance.EncodeEnvelopes(w.chain()))
	put(t, filepath.Join(export, theRegistry, "status"), w.status(dayZero.AddDate(0, 0, 1), nil, nil))
	g := newGate(w.acme(), &gate.Folder{Path: export})
	g.StatusMaxAge = 48 * time.Hour
	tells(t, "with a status", checked(g, files...))
	tells(t, "no folder", checked(newGate(w.acme(), &gate.Folder{Path: filepath.Join(flat, "none")}), files[0]), "unchecked unavailable @acme/widget", "unchecked unavailable @acme/gadget")
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
