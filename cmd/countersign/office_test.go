package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
)

// adminListener imitates countersignd's admin socket.
type adminListener struct {
	mu         sync.Mutex
	registries []*registryState
}

// startOffice serves the admin socket of registries that are called so: office NAME…
func startOffice(s *scene, ts *testscript.TestScript, names []string) {
	dir := must(os.MkdirTemp("", "office")) // short: the name of a unix socket has at most 107 bytes
	ts.Defer(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "admin.sock")
	s.office = new(adminListener)
	for _, name := range names {
		s.office.registries = append(s.office.registries, &registryState{Registry: name, Identity: "sha256:1d", Version: 1, Expires: "2030-01-01T00:00:00Z",
			Origin: name + "/countersign/1", Size: 7, Checkpoint: 7, Threshold: 2,
			Agents: []agentState{{Name: "a", Phase: "active", Watermark: 7}, {Name: "b", Phase: "joining", Failure: "connection\x1b[2J refused"}}})
	}
	server := &http.Server{Handler: s.office}
	l := must(net.Listen("unix", socket))
	go server.Serve(l)
	ts.Defer(func() { server.Close() })
	ts.Setenv("SOCKET", socket)
}

func (a *adminListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method+r.URL.Path == "GET/v1/state" {
		w.Write(must(json.Marshal(map[string]any{"registries": a.registries, "newer": true})))
		return
	}
	rest, ok := strings.CutPrefix(r.Method+r.URL.Path, "POST/v1/registries/")
	name, action, _ := strings.Cut(rest, "/")
	for _, state := range a.registries {
		if ok && state.Registry == name {
			a.act(w, r, state, action)
			return
		}
	}
	answerProblem(w, refuse("wrong-registry", 404, fmt.Sprintf("there is no registry %q here", name)))
}

func (a *adminListener) act(w http.ResponseWriter, r *http.Request, state *registryState, action string) {
	switch action {
	case "freeze":
		var body struct {
			Reason string `json:"reason"`
		}
		if err := json.Unmarshal(must(io.ReadAll(r.Body)), &body); err != nil || body.Reason == "" || r.Header.Get("Content-Type") != "application/json" {
			answerProblem(w, refuse("malformed", 400, "reason is missing"))
			return
		}
		state.Frozen = body.Reason
	case "thaw":
		if state.Frozen == "disk" {
			answerProblem(w, &problem{Type: "about:blank", Title: "Internal Server Error", Status: 500, Detail: "remove frozen: read-only file system"})
			return
		}
		state.Frozen = ""
	case "agents/a/drain", "agents/b/drain":
		state.Agents[0].Phase = "drained"
	case "agents/a/return", "agents/b/return":
		state.Agents[0].Phase = "returning"
	default:
		answerProblem(w, refuse("not-found", 404, "no such agent"))
		return
	}
	w.Write(must(json.Marshal(state)))
}
