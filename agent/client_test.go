package agent_test

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
)

// The client does not trust the agent: whatever a hostile one answers is an error, not a crash or a full memory.
func TestClientOfHostileAgent(t *testing.T) {
	a := newTree(9, "a")
	root := func(h agent.Head) string { return tlog.Hash(h.Root).String() }
	sig := base64.StdEncoding.EncodeToString(ed25519.Sign(testKey(1), nil))
	mark := func(h agent.Head) string { return fmt.Sprintf(`{"size":%d,"root":"%s"}`, h.Size, root(h)) }
	ok := "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	conflict := "HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n"
	for name, answer := range map[string]string{
		"nothing":             "",
		"noise":               "\x00\x01\x02",
		"no body":             ok,
		"null":                ok + `null`,
		"empty object":        ok + `{}`,
		"no signature":        ok + `{"watermark":` + mark(a.head(9)) + `}`,
		"zero signature":      ok + `{"signature":"` + base64.StdEncoding.EncodeToString(make([]byte, 64)) + `","watermark":` + mark(a.head(9)) + `}`,
		"short signature":     ok + `{"signature":"AAAA","watermark":` + mark(a.head(9)) + `}`,
		"no watermark":        ok + `{"signature":"` + sig + `"}`,
		"another watermark":   ok + `{"signature":"` + sig + `","watermark":` + mark(a.head(8)) + `}`,
		"unknown member":      ok + `{"signature":"` + sig + `","watermark":` + mark(a.head(9)) + `,"more":1}`,
		"unknown inner":       ok + `{"signature":"` + sig + `","watermark":{"size":9,"root":"` + root(a.head(9)) + `","more":1}}`,
		"twice":               ok + `{"signature":"` + sig + `","signature":"` + sig + `","watermark":` + mark(a.head(9)) + `}`,
		"two documents":       ok + `{"signature":"` + sig + `","watermark":` + mark(a.head(9)) + `}{}`,
		"endless":             ok + strings.Repeat(" ", 200_000),
		"over 64 KiB":         ok + `{"signature":"` + sig + `","watermark":` + mark(a.head(9)) + `}` + strings.Repeat(" ", 64<<10),
		"endless headers":     "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 50_000) + "\r\n{}",
		"redirect":            "HTTP/1.1 307 Elsewhere\r\nLocation: http://agent/v1/logs\r\nConnection: close\r\n\r\n",
		"refused, bare":       conflict + `{"code":"refused","message":"no"}`,
		"refused, size 0":     conflict + `{"code":"refused","message":"no","watermark":{"size":0,"root":"` + root(a.head(9)) + `"}}`,
		"unknown code":        conflict + `{"code":"surprise","message":"boo"}`,
		"no code":             conflict + `{"message":"boo"}`,
		"problem with a list": conflict + `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			c := agent.Dial(fakeAgent(t, answer))
			defer c.Close()
			_, _, err := c.Sign(t.Context(), origin, a.head(9), nil)
			if refused, stopped := new(agent.RefusedError), new(agent.StoppedError); err == nil || errors.As(err, &refused) || errors.As(err, &stopped) {
				t.Errorf("Sign: %v", err)
			}
			if _, err := c.Logs(t.Context()); err == nil {
				t.Error("Logs: no error")
			}
		})
	}
	c := agent.Dial(fakeAgent(t, ok+mark(a.head(8))))
	if _, err := c.Record(t.Context(), origin, checkpoint(a.head(9).Text(origin), origin, 2, 3), nil); err == nil {
		t.Error("Record: the agent holds another head, and the client believes it")
	}
	c = agent.Dial(fakeAgent(t, conflict+`{"code":"refused","message":"no","watermark":`+mark(a.head(8))+`}`))
	_, _, err := c.Sign(t.Context(), origin, a.head(9), nil)
	wantRefused(t, "control", err, a.head(8))
}

// An agent that starts again in place may take a connection with it. The request is sent once more, and only once.
func TestClientRepeatsABrokenRequest(t *testing.T) {
	a := newTree(9, "a")
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"size\":9,\"root\":\"%s\"}", tlog.Hash(a.head(9).Root))
	for name, tt := range map[string]struct {
		answers []string
		asked   int
		good    bool
	}{
		"broken once":      {[]string{"", answer}, 2, true},
		"broken in a body": {[]string{strings.Replace(answer, "Connection: close", "Content-Length: 500", 1), answer}, 2, true},
		"broken twice":     {[]string{"", "", answer}, 2, false},
		"noise":            {[]string{"\x00\x01", answer}, 1, false},
	} {
		asked := 0
		c := agent.Dial(scriptedAgent(t, func() string { asked++; return tt.answers[asked-1] }))
		if mark, err := c.Watermark(t.Context(), origin); (err == nil) != tt.good || tt.good && mark != a.head(9) || asked != tt.asked {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
		}
		c.Close()
	}
}

// fakeAgent reads a request and writes the same bytes whatever it says.
func fakeAgent(t *testing.T, answer string) string {
	t.Helper()
	return scriptedAgent(t, func() string { return answer })
}

func scriptedAgent(t *testing.T, answer func() string) string {
	t.Helper()
	path := socketPath(t)
	l, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, answer())
			c.Close()
		}
	}()
	return path
}
