package provenance_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// vectorIndex is testdata/index.json; testdata/README.md says what its members mean.
type vectorIndex struct {
	Comment string       `json:"comment"`
	Lists   []vectorList `json:"lists"`
	Other   []struct {
		Code    provenance.Code `json:"code"`
		Comment string          `json:"comment"`
	} `json:"notExpressible"`
	Cases []vector `json:"cases"`
}

type vectorList struct {
	File    string `json:"file"`
	Comment string `json:"comment"`
}

type vector struct {
	Name    string        `json:"name"`
	Comment string        `json:"comment"`
	Request vectorRequest `json:"request"`
	Expect  vectorExpect  `json:"expect"`
}

type vectorRequest struct {
	Purl       string             `json:"purl"`
	AnyPurl    bool               `json:"anyPurl"`
	Digests    provenance.Digests `json:"digests"`
	Artifact   bool               `json:"artifact"`
	Bundle     string             `json:"bundle"`
	Pins       string             `json:"pins"`
	Identity   string             `json:"identity"`
	Enrolments string             `json:"enrolments"`
	Bridges    string             `json:"bridges"`
	Status     string             `json:"status"`
	Now        provenance.Time    `json:"now"`
	Fresh      bool               `json:"fresh"`
}

// vectorExpect has exactly one of its members.
type vectorExpect struct {
	Verified  *vectorResult   `json:"verified"`
	Refused   provenance.Code `json:"refused"`
	Unchecked bool            `json:"unchecked"`
	Error     bool            `json:"error"`
}

type vectorResult struct {
	Purl            string             `json:"purl"`
	Registry        string             `json:"registry"`
	Pin             string             `json:"pin"`
	Basis           provenance.Basis   `json:"basis"`
	Publisher       string             `json:"publisher"`
	Subject         provenance.Subject `json:"subject"`
	Attributes      string             `json:"attributes"` // JSON text, as it was signed
	SignedAt        provenance.Time    `json:"signedAt"`
	CountersignedAt provenance.Time    `json:"countersignedAt"`
	Origin          string             `json:"origin"`
	Index           uint64             `json:"index"`
	Size            uint64             `json:"size"`
	IdentityVersion uint64             `json:"identityVersion"`
	PublisherEnded  provenance.Time    `json:"publisherEnded"`
}

func TestVectors(t *testing.T) {
	index := readIndex(t)
	for _, v := range index.Cases {
		t.Run(v.Name, func(t *testing.T) { v.check(t) })
	}
}

// ask gives the answer. A status is judged before the bundle.
func (q *vectorRequest) ask(t *testing.T, v *provenance.Verifier) (*provenance.Result, error) {
	request, err := q.request(t)
	if err != nil {
		return nil, err
	}
	if q.Status != "" {
		pin := request.Pins.For(must(provenance.ParseExpected(q.Purl)))
		if request.Status, err = v.Status(readVector(t, q.Status), pin, request.Chain, request.Bridges); err != nil {
			return nil, err
		}
	}
	return v.Verify(request)
}

func (v *vector) check(t *testing.T) {
	result, err := v.Request.ask(t, provenance.NewVerifier())
	var refusal *provenance.Refusal
	var unchecked *provenance.Unchecked
	refused, unsure := errors.As(err, &refusal), errors.As(err, &unchecked)
	switch want := v.Expect; {
	case want.Verified != nil && err != nil:
		t.Errorf("%s\n%v, want verified", v.Comment, err)
	case want.Verified != nil:
		want.Verified.compare(t, result)
	case err == nil:
		t.Errorf("%s\nverified, want %+v", v.Comment, want)
	case want.Refused != "" && (!refused || refusal.Code != want.Refused), want.Unchecked && !unsure, want.Error && (refused || unsure):
		t.Errorf("%s\n%v, want %+v", v.Comment, err, want)
	}
}

func (want *vectorResult) compare(t *testing.T, r *provenance.Result) {
	got := vectorResult{r.Purl, r.Registry, r.Pin.Namespace.String(), r.Basis, r.Publisher, r.Subject, string(r.Attributes), provenance.Time{Time: r.SignedAt},
		provenance.At(r.CountersignedAt), r.Origin, r.Index, r.Size, r.IdentityVersion, provenance.Time{Time: r.PublisherEnded}}
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", *want); a != b {
		t.Errorf("says %s\nwant %s", a, b)
	}
}

// request gives the question, or the answer that what the consumer keeps has already.
func (q *vectorRequest) request(t *testing.T) (provenance.Request, error) {
	r := provenance.Request{Purl: q.Purl, AnyPurl: q.AnyPurl, Digests: q.Digests, Artifact: q.Artifact,
		Bundle: readVector(t, q.Bundle), Now: q.Now.Time, Fresh: q.Fresh}
	var err error
	if r.Pins, err = provenance.ParsePins(readVector(t, q.Pins)); err != nil {
		t.Fatal(err)
	}
	if q.Identity != "" {
		if r.Chain, err = provenance.ParseChain(vectorEnvelopes(t, q.Identity)); err != nil {
			return r, &provenance.Refusal{Code: provenance.IdentityMismatch, Detail: err.Error()}
		}
	}
	if q.Enrolments != "" {
		r.Enrolments = atHand(vectorEnvelopes(t, q.Enrolments)...)
	}
	if q.Bridges != "" {
		var list []jsontext.Value
		decodeVector(t, readVector(t, q.Bridges), &list)
		for _, raw := range list {
			b, err := provenance.ParseBridge(raw)
			if err != nil {
				t.Fatal(err)
			}
			r.Bridges = append(r.Bridges, b)
		}
	}
	return r, nil
}

func vectorEnvelopes(t *testing.T, name string) []*provenance.Envelope {
	list, err := provenance.ParseEnvelopes(readVector(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestVectorsAreComplete holds the vectors to what they promise: every refusal code, one expectation each, no file too many.
func TestVectorsAreComplete(t *testing.T) {
	index := readIndex(t)
	codes, names, files := make(map[provenance.Code]bool), make(map[string]bool), map[string]bool{"index.json": true, "README.md": true}
	for _, l := range index.Lists {
		files[l.File] = true
	}
	for _, v := range index.Cases {
		if names[v.Name] {
			t.Errorf("two vectors are called %s", v.Name)
		}
		names[v.Name], codes[v.Expect.Refused] = true, true
		r := v.Request
		for _, name := range []string{r.Bundle, r.Pins, r.Identity, r.Enrolments, r.Bridges, r.Status} {
			files[name] = true
		}
	}
	for _, o := range index.Other {
		codes[o.Code] = true
	}
	for _, code := range provenance.Codes {
		if !codes[code] {
			t.Errorf("no vector is refused with %s", code)
		}
	}
	checkFiles(t, files)
}

func checkFiles(t *testing.T, known map[string]bool) {
	total := int64(0)
	err := fs.WalkDir(os.DirFS("testdata"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path != "fuzz" {
			return err
		}
		if path == "fuzz" { // the corpora of the fuzz tests are no vectors
			return fs.SkipDir
		}
		info, err := d.Info()
		total += info.Size()
		if !known[path] {
			t.Errorf("testdata/%s belongs to no vector", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > 4<<20 {
		t.Errorf("the vectors have %d bytes together, more than anyone wants to download", total)
	}
}

func readIndex(t *testing.T) *vectorIndex {
	t.Helper()
	index := new(vectorIndex)
	decodeVector(t, readVector(t, "index.json"), index)
	if len(index.Cases) == 0 {
		t.Fatal("no vectors")
	}
	return index
}

func readVector(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decodeVector(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := strict.JSON(data, v); err != nil {
		t.Fatal(err)
	}
}
