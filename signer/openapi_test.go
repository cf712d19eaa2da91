package signer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// description is docs/openapi.yaml, to which all exchanges of the tests are held.
type description struct {
	doc    *openapi3.T
	router routers.Router
}

var describe = sync.OnceValues(func() (*description, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("../docs/openapi.yaml")
	if err != nil {
		return nil, err
	}
	d := &description{doc: doc}
	// The tests' servers are elsewhere, and a tile's path has slashes, which OpenAPI cannot say.
	local, err := openapi3.NewLoader().LoadFromFile("../docs/openapi.yaml")
	if err != nil {
		return nil, err
	}
	local.Servers = nil
	for path, item := range local.Paths.Map() {
		item.Servers = nil
		if with := strings.Replace(path, "{tile}", "{tile:.+}", 1); with != path {
			local.Paths.Delete(path)
			local.Paths.Set(with, item)
		}
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", decodeLines)
	openapi3filter.RegisterBodyDecoder(provenance.BundleType, openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder(provenance.StatusBundleType, openapi3filter.JSONBodyDecoder)
	d.router, err = gorillamux.NewRouter(local)
	return d, err
})

// decodeLines reads NDJSON as the array that the description makes of it.
func decodeLines(body io.Reader, header http.Header, schema *openapi3.SchemaRef, enc openapi3filter.EncodingFn) (any, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	array := "[" + strings.ReplaceAll(strings.TrimSuffix(string(data), "\n"), "\n", ",") + "]"
	return openapi3filter.JSONBodyDecoder(strings.NewReader(array), header, schema, enc)
}

// hold checks an exchange: the answer always, the request if all of it succeeded.
func (d *description) hold(t testing.TB, req *http.Request, sent []byte, status int, header http.Header, got []byte) {
	t.Helper()
	if req.Method == http.MethodHead {
		return // goes with GET, and has no body to describe
	}
	route, params, err := d.router.FindRoute(req)
	if err != nil {
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusForbidden {
			return // not a route of ours either
		}
		t.Errorf("%s %s answered %d but is not described: %v", req.Method, req.URL.Path, status, err)
		return
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true}
	again := req.Clone(context.Background())
	again.Body = io.NopCloser(bytes.NewReader(sent))
	input := &openapi3filter.RequestValidationInput{Request: again, PathParams: params, Route: route, Options: options}
	if status < 300 && !bytes.Contains(got, []byte(`"problem":`)) {
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			t.Errorf("%s %s succeeded with a request that is not as described: %v", req.Method, req.URL.Path, err)
		}
	}
	response := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: header, Options: options}
	response.SetBodyBytes(got)
	if err := openapi3filter.ValidateResponse(context.Background(), response); err != nil {
		t.Errorf("%s %s: the answer %d is not as described: %v", req.Method, req.URL.Path, status, err)
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	d, err := describe()
	must(t, err)
	must(t, d.doc.Validate(context.Background(), openapi3.EnableExamplesValidation()))
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	d, err := describe()
	must(t, err)
	var described []string
	for path, item := range d.doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	served := signer.Routes()
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described:\n%s\nserved:\n%s", strings.Join(described, "\n"), strings.Join(served, "\n"))
	}
}

// The codes are in the schema and, with the same status and retryability, in the table for people.
func TestOpenAPIHasEveryProblem(t *testing.T) {
	d, err := describe()
	must(t, err)
	var described []signer.Code
	for _, v := range d.doc.Components.Schemas["Problem"].Value.Properties["type"].Value.Enum {
		described = append(described, signer.CodeOf(v.(string)))
	}
	slices.Sort(described)
	if !slices.Equal(described, signer.Codes()) {
		t.Errorf("described %v, in use %v", described, signer.Codes())
	}
	for _, code := range signer.Codes() {
		status, retryable := signer.StatusOf(code)
		yes := map[bool]string{true: "yes", false: "no"}[retryable]
		if line := fmt.Sprintf("| `%s` | %d | %s |", code, status, yes); !strings.Contains(d.doc.Info.Description, line) {
			t.Errorf("the description has no row %q", line)
		}
	}
}
