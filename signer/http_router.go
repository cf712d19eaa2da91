package signer

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// route is one operation of a listener. The path is as in docs/openapi.yaml; handlers read its variables with
// http.Request.PathValue, and nothing outside this file knows which router found them.
type route struct {
	method, path string
	serve        handler
}

// handler answers a request, or says why not.
type handler func(*exchange, *http.Request) *Problem

// newRouter makes the handler of a listener's routes. It is served with an *exchange as its http.ResponseWriter.
func newRouter(routes []route) http.Handler {
	router := mux.NewRouter().SkipClean(true) // a path is found as it is or not at all, never redirected
	byPath := make(map[string]*resource)
	for _, r := range routes {
		if byPath[r.path] == nil {
			byPath[r.path] = &resource{path: r.path, methods: make(map[string]handler)}
			router.Handle(strings.Replace(r.path, "{tile}", "{tile:.+}", 1), byPath[r.path])
		}
		byPath[r.path].add(r)
	}
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(*exchange).refuse(newProblem(NotFound, "there is nothing at this path"))
	})
	return router
}

// resource is what is at one path.
type resource struct {
	path    string
	methods map[string]handler
	allow   []string
}

func (s *resource) add(r route) {
	s.methods[r.method] = r.serve
	s.allow = append(s.allow, r.method)
	if r.method == http.MethodGet {
		s.methods[http.MethodHead] = r.serve
		s.allow = append(s.allow, http.MethodHead)
	}
	slices.Sort(s.allow)
}

func (s *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := w.(*exchange)
	x.route = s.path
	serve := s.methods[r.Method]
	if serve == nil {
		allow := strings.Join(s.allow, ", ")
		x.Header().Set("Allow", allow)
		x.refuse(newProblem(Malformed, fmt.Sprintf("method %.20q: this path takes %s", r.Method, allow)).as(http.StatusMethodNotAllowed))
		return
	}
	for name, value := range mux.Vars(r) {
		r.SetPathValue(name, value)
	}
	if problem := serve(x, r); problem != nil {
		x.refuse(problem)
	}
}
