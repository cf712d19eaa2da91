package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/signer"
)

// Whatever makes a signature takes a head and a proof: no text, no hash of one, no bytes. The one exception is what
// record takes, which makes no signature.
func TestInvariant5_NoSignatureOverGivenBytes(t *testing.T) {
	head := []reflect.Type{reflect.TypeFor[context.Context](), reflect.TypeFor[string](), reflect.TypeFor[agent.Head](), reflect.TypeFor[[]tlog.Hash]()}
	guard := []reflect.Type{head[0], reflect.TypeFor[uint64](), reflect.TypeFor[[32]byte](), head[3]}
	for _, tt := range []struct {
		of    reflect.Type
		takes []reflect.Type
	}{
		{reflect.TypeFor[signer.Agent](), head},
		{reflect.TypeFor[*agent.Client](), head},
		{reflect.TypeFor[*agent.Guard](), guard},
	} {
		makers := 0
		for i := range tt.of.NumMethod() {
			m := tt.of.Method(i)
			if !gives(m.Type, reflect.TypeFor[[64]byte]()) && !gives(m.Type, reflect.TypeFor[[]byte]()) {
				continue
			}
			makers++
			var takes []reflect.Type
			for i := range m.Type.NumIn() {
				if in := m.Type.In(i); in != tt.of {
					takes = append(takes, in)
				}
			}
			if m.Name != "Sign" || !reflect.DeepEqual(takes, tt.takes) {
				t.Errorf("%s.%s makes signatures from %v", tt.of, m.Name, takes)
			}
		}
		if makers != 1 {
			t.Errorf("%s has %d methods that make signatures", tt.of, makers)
		}
		if tt.of.Implements(reflect.TypeFor[crypto.Signer]()) {
			t.Errorf("%s signs bytes", tt.of)
		}
	}
}

func gives(fn, what reflect.Type) bool {
	for i := range fn.NumOut() {
		if fn.Out(i) == what {
			return true
		}
	}
	return false
}

// The agent's routes and what their requests carry, read from its source: a new one, or a new member, is looked at by a
// person who then changes this list.
func TestInvariant5_AgentRoutes(t *testing.T) {
	var routes []string
	requests := map[string][]string{}
	for _, name := range []string{"server.go", "wire.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "agent", name), nil, 0)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Handle" || f.Sel.Name == "HandleFunc") {
					routes = append(routes, n.Args[0].(*ast.BasicLit).Value)
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && strings.HasSuffix(n.Name.Name, "Request") {
					for _, f := range s.Fields.List {
						requests[n.Name.Name] = append(requests[n.Name.Name], fmt.Sprintf("%s %s", f.Names[0], f.Type))
					}
				}
			}
			return true
		})
	}
	want := []string{`"POST /v1/watermark"`, `"POST /v1/sign"`, `"POST /v1/record"`, `"GET /v1/logs"`, `"GET /v1/health"`, `"/"`} // "/" is for all others: not found
	if !slices.Equal(routes, want) {
		t.Errorf("routes %s", routes)
	}
	if want := map[string][]string{
		"watermarkRequest": {"Origin string"},
		"signRequest":      {"Origin string", "Size uint64", "Root hash", "Proof wireProof"},
		"recordRequest":    {"Origin string", "Checkpoint string", "Proof wireProof"},
	}; !reflect.DeepEqual(requests, want) {
		t.Errorf("requests %s", requests)
	}
}

// recorder keeps everything that a key is made to sign.
type recorder struct {
	ed25519.PrivateKey
	mu     sync.Mutex
	signed []string
}

func (r *recorder) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.mu.Lock()
	r.signed = append(r.signed, string(message))
	r.mu.Unlock()
	return r.PrivateKey.Sign(random, message, opts)
}

// A hostile daemon sends an agent whatever it can think of: known and unknown routes, members that would carry text, and
// heads spelled to look like something else. The key signs checkpoints of its log, which extend each other, and nothing else.
func TestInvariant5_AgentSignsHeadsOnly(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.stop()
	key := &recorder{PrivateKey: w.guards[0].key}
	client := serveAgent(t, w.guards[0], key)
	origin, honest := w.guards[0].log.Origin, newTree(w.entries("next")...)
	head := honest.head()
	good := map[string]any{"origin": origin, "size": head.Size, "root": head.Root[:], "proof": hashes(honest.proof(w.guards[0].Guard.Watermark().Size))}

	random := rand.New(rand.NewPCG(5, 5))
	routes := []string{"sign", "record", "watermark", "logs", "health", "sign/raw", "raw", "sign?text=1", "key", "pin", ""}
	members := []string{"text", "message", "data", "payload", "note", "hash", "digest", "checkpoint", "Origin", "tbs", "context", "signature"}
	values := []any{"text\nto\nsign\n", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)), 7, -1, 1.5, 1 << 60, true, nil, []int{1}, map[string]any{},
		origin + "\n1\n", registry, "registry.test/countersign/2", []string{"x"}}
	accepted := 0
	for range 3000 {
		body := maps.Clone(good)
		for range random.IntN(3) {
			switch k := [...]string{"origin", "size", "root", "proof"}[random.IntN(4)]; random.IntN(3) {
			case 0:
				delete(body, k)
			case 1:
				body[k] = values[random.IntN(len(values))]
			default:
				body[members[random.IntN(len(members))]] = values[random.IntN(len(values))]
			}
		}
		method := [...]string{"POST", "POST", "POST", "GET", "PUT"}[random.IntN(5)]
		data, err := json.Marshal(body)
		must(t, err)
		if ask(t, client, method, routes[random.IntN(len(routes))], data) == http.StatusOK {
			accepted++
		}
	}
	for _, m := range members { // each beside an honest request
		for _, v := range values {
			body := maps.Clone(good)
			body[m] = v
			data, err := json.Marshal(body)
			must(t, err)
			ask(t, client, "POST", "sign", data)
		}
	}
	if ask(t, client, "POST", "sign", must1(json.Marshal(good))) != http.StatusOK {
		t.Fatal("the honest request was refused")
	}
	if len(key.signed) == 0 || accepted == 0 {
		t.Fatal("nothing was accepted: the attack did not reach the agent")
	}
	form := regexp.MustCompile(`^` + regexp.QuoteMeta(origin) + `\n[1-9][0-9]{0,15}\n[A-Za-z0-9+/]{43}=\n$`)
	for _, text := range key.signed {
		if !form.MatchString(text) || text != head.Text(origin) {
			t.Fatalf("the key signed %q", text)
		}
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func hashes(proof []tlog.Hash) []string {
	out := []string{}
	for _, h := range proof {
		out = append(out, h.String())
	}
	return out
}

// serveAgent runs the agent's server over its state with another signer, and gives a client of its socket.
func serveAgent(t *testing.T, g *guardAgent, key crypto.Signer) *http.Client {
	t.Helper()
	must(t, g.state.Close())
	state, err := agent.OpenState(g.dir, g.log.Origin)
	must(t, err)
	guard, err := agent.NewGuard(g.log, key, state)
	must(t, err)
	server, err := agent.NewServer(agent.Config{Guards: []*agent.Guard{guard}, AllowOwnUID: true})
	must(t, err)
	dir, err := os.MkdirTemp("", "agent") // short: the name of a unix socket has at most 107 bytes
	must(t, err)
	socket := filepath.Join(dir, "a.sock")
	l, err := agent.Listen(socket, agent.DefaultSocketMode)
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		must(t, server.Shutdown(context.Background()))
		must(t, <-done)
		must(t, state.Close())
		must(t, os.RemoveAll(dir))
	})
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}}
}

func ask(t testing.TB, client *http.Client, method, route string, body []byte) int {
	t.Helper()
	r, err := http.NewRequest(method, "http://agent/v1/"+route, bytes.NewReader(body))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	must(t, err)
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}
