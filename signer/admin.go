package signer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"

	"countersign.dev/strict"
)

// office is the admin listener: what an operator sees and does, on the unix socket of ListenAdmin.
//
//	GET  /v1/state
//	POST /v1/registries/{registry}/freeze                 {"reason": "…"}
//	POST /v1/registries/{registry}/thaw
//	POST /v1/registries/{registry}/agents/{agent}/drain
//	POST /v1/registries/{registry}/agents/{agent}/return
//
// Each answers with the state that it led to.
type office struct {
	services map[string]*Service
	order    []*Service
}

// NewAdminHandler serves operators: processes of these users that come through a unix socket and NewServer's server.
func NewAdminHandler(services []*Service, uids []int, logger *slog.Logger) (http.Handler, error) {
	all, err := byRegistry(services)
	if err != nil {
		return nil, err
	}
	o := &office{all, services}
	return &edge{"admin", defaultDeadline, logger, operators(uids, newRouter(o.routes()))}, nil
}

func (o *office) routes() []route {
	const registry = "/v1/registries/{registry}"
	return []route{
		{http.MethodGet, "/v1/state", o.state},
		{http.MethodPost, registry + "/freeze", o.freeze},
		{http.MethodPost, registry + "/thaw", o.act(func(s *Service, _ *http.Request) error { return s.Thaw() })},
		{http.MethodPost, registry + "/agents/{agent}/drain", o.act(func(s *Service, r *http.Request) error { return s.DrainAgent(r.PathValue("agent")) })},
		{http.MethodPost, registry + "/agents/{agent}/return", o.act(func(s *Service, r *http.Request) error { return s.ReturnAgent(r.PathValue("agent")) })},
	}
}

func (o *office) state(x *exchange, _ *http.Request) *Problem {
	all := make([]Status, len(o.order))
	for i, s := range o.order {
		all[i] = s.Status()
	}
	x.answer(http.StatusOK, jsonType, encode(map[string][]Status{"registries": all}))
	return nil
}

func (o *office) freeze(x *exchange, r *http.Request) *Problem {
	data, problem := x.body(r, jsonType, maxSingle)
	if problem != nil {
		return problem
	}
	reason, problem := decodeReason(data)
	if problem != nil {
		return problem
	}
	return o.act(func(s *Service, _ *http.Request) error { return s.Freeze(reason) })(x, r)
}

const maxReason = 1000 // bytes; callers are shown it

func decodeReason(data []byte) (string, *Problem) {
	var w struct {
		Reason string `json:"reason"`
	}
	if err := strict.JSON(data, &w); err != nil {
		return "", newProblem(Malformed, err.Error())
	}
	if w.Reason == "" || len(w.Reason) > maxReason {
		return "", newProblem(Malformed, fmt.Sprintf("reason is missing or longer than %d bytes", maxReason))
	}
	return w.Reason, nil
}

// act does something to a registry and answers with its state. The operator is told in full why it did not work.
func (o *office) act(do func(*Service, *http.Request) error) handler {
	return func(x *exchange, r *http.Request) *Problem {
		s := o.services[r.PathValue("registry")]
		if s == nil {
			return newProblem(WrongRegistry, fmt.Sprintf("there is no registry %.200q here", r.PathValue("registry")))
		}
		switch err := do(s, r); {
		case errors.Is(err, errNoAgent):
			return newProblem(NotFound, fmt.Sprintf("registry %s has no agent %.200q", s.Registry, r.PathValue("agent")))
		case errors.As(err, new(*fs.PathError)):
			return &Problem{Type: "about:blank", Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError,
				Detail: err.Error()}
		case err != nil:
			return newProblem(Malformed, err.Error()).as(http.StatusConflict)
		}
		x.answer(http.StatusOK, jsonType, encode(s.Status()))
		return nil
	}
}
