package signer_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/signer"
)

// adminOf serves the world's admin socket to users and gives a client of it.
func adminOf(t *testing.T, w *world, book *logBook, uids ...int) *http.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.sock")
	handler, err := signer.NewAdminHandler([]*signer.Service{w.Service}, uids, bookLogger(book))
	must(t, err)
	l, err := signer.ListenAdmin(path)
	must(t, err)
	server := signer.NewServer(handler, nil, bookLogger(book))
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("the socket is for everybody: %v, %v", info.Mode(), err)
	}
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func operate(t *testing.T, client *http.Client, method, path, body string) *reply {
	t.Helper()
	req, err := http.NewRequest(method, "http://admin"+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", jsonType)
	return answer(t, client, req)
}

func TestAdmin(t *testing.T) {
	w := newWorld(t, 2, 3, nil)
	client := adminOf(t, w, new(logBook), os.Geteuid())
	status := func(got *reply) (s signer.Status) {
		t.Helper()
		if got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		decode(t, got.body, &s)
		return s
	}
	var all struct{ Registries []signer.Status }
	decode(t, operate(t, client, "GET", "/v1/state", "").body, &all)
	if len(all.Registries) != 1 || all.Registries[0].Registry != registry || len(all.Registries[0].Agents) != 3 || all.Registries[0].Frozen != "" {
		t.Fatalf("%+v", all)
	}
	const at = "/v1/registries/" + registry
	if s := status(operate(t, client, "POST", at+"/freeze", `{"reason":"audit"}`)); s.Frozen != "audit" {
		t.Errorf("%+v", s)
	}
	if out := w.send(w.submission("@acme/widget", "1.0.0", "content")); out.Problem == nil || out.Problem.Code() != signer.Frozen {
		t.Errorf("frozen, and it signs: %+v", out.Problem)
	}
	if s := status(operate(t, client, "POST", at+"/thaw", "")); s.Frozen != "" {
		t.Errorf("%+v", s)
	}
	if out := w.send(w.submission("@acme/widget", "1.0.0", "content")); out.Problem != nil {
		t.Error(out.Problem)
	}
	if s := status(operate(t, client, "POST", at+"/agents/b/drain", "")); s.Agents[1].Phase != "drained" {
		t.Errorf("%+v", s.Agents)
	}
	if s := status(operate(t, client, "POST", at+"/agents/b/return", "")); s.Agents[1].Phase == "drained" {
		t.Errorf("%+v", s.Agents)
	}
	for _, c := range []struct {
		method, path, body string
		code               signer.Code
		status             int
	}{
		{"POST", at + "/agents/nobody/drain", "", signer.NotFound, 404},
		{"POST", at + "/agents/nobody/return", "", signer.NotFound, 404},
		{"POST", at + "/agents/a/return", "", signer.Malformed, 409},
		{"POST", "/v1/registries/other.test/thaw", "", signer.WrongRegistry, 404},
		{"POST", at + "/freeze", `{}`, signer.Malformed, 400},
		{"POST", at + "/freeze", `{"reason":""}`, signer.Malformed, 400},
		{"POST", at + "/freeze", `{"reason":"` + strings.Repeat("x", 1001) + `"}`, signer.Malformed, 400},
		{"POST", at + "/freeze", `{"reason":"x","y":1}`, signer.Malformed, 400},
		{"GET", at + "/freeze", "", signer.Malformed, 405},
		{"GET", "/", "", signer.NotFound, 404},
	} {
		if p := operate(t, client, c.method, c.path, c.body).refused(t, c.code); p.Status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, p.Status, c.status)
		}
	}
	if w.Status().Frozen != "" {
		t.Error("a bad request froze it")
	}
}

// The operator is told how far a freeze went that will not outlast the process.
func TestAdminFreezeThatCannotBeKept(t *testing.T) {
	w := newWorld(t, 1, 1, func(c *signer.Config) { c.FreezeFile = "/nowhere/frozen" })
	got := operate(t, adminOf(t, w, new(logBook), os.Geteuid()), "POST", "/v1/registries/"+registry+"/freeze", `{"reason":"audit"}`)
	if p := got.problem(t); p.Status != http.StatusInternalServerError || p.Type != "about:blank" || !strings.Contains(p.Detail, "/nowhere/frozen") {
		t.Errorf("%+v", p)
	}
	if w.Status().Frozen != "audit" {
		t.Error("not frozen for now")
	}
}

func TestAdminPeers(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	const path = "/v1/registries/" + registry + "/freeze"
	book := new(logBook)
	p := operate(t, adminOf(t, w, book, os.Geteuid()+1), "POST", path, `{"reason":"audit"}`).refused(t, signer.CallerNotAuthorized)
	if !strings.Contains(p.Detail, "uid") || !strings.Contains(book.String(), "caller-not-authorized") {
		t.Errorf("%+v, log %s", p, book)
	}
	operate(t, adminOf(t, w, new(logBook)), "POST", path, `{"reason":"audit"}`).refused(t, signer.CallerNotAuthorized)
	// Over the network nobody is an operator, whatever the handler was told.
	handler, err := signer.NewAdminHandler([]*signer.Service{w.Service}, []int{os.Geteuid(), -1, 0}, w.config.Logger)
	must(t, err)
	address := listen(t, signer.NewServer(handler, nil, w.config.Logger))
	req, err := http.NewRequest("POST", "http://"+address+path, strings.NewReader(`{"reason":"audit"}`))
	must(t, err)
	req.Header.Set("Content-Type", jsonType)
	answer(t, http.DefaultClient, req).refused(t, signer.CallerNotAuthorized)
	if w.Status().Frozen != "" {
		t.Error("somebody froze it")
	}
}
