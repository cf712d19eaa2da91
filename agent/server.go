package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	operationTime = 30 * time.Second // longer than any hardware call that will still succeed
	answerTime    = time.Second      // to write answers to requests that wait no longer
	silence       = 100 * time.Millisecond
	nobody        = 65534 // the kernel's stand-in for every user it cannot name
)

// Config says what a server serves and to whom.
type Config struct {
	Guards      []*Guard
	AllowUIDs   []int
	AllowOwnUID bool         // a demonstration: daemon and agent under one uid protect nothing from each other
	Logger      *slog.Logger // nil: discard
}

// Server answers the agent protocol for its guards.
type Server struct {
	guards map[string]*Guard // by origin
	order  []*Guard
	allow  []int
	log    *slog.Logger
	http   *http.Server

	abandon context.CancelFunc // ends the wait of every request
	silent  sync.Map           // net.Conn: has sent nothing yet
}

// NewServer refuses two guards of one log or with one key, and a configuration that nobody, or everybody, could use.
func NewServer(c Config) (*Server, error) {
	s := &Server{guards: map[string]*Guard{}, order: slices.Clone(c.Guards), log: c.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.admitGuards(); err != nil {
		return nil, err
	}
	var err error
	if s.allow, err = allowed(c.AllowUIDs, c.AllowOwnUID); err != nil {
		return nil, err
	}
	base, abandon := context.WithCancel(context.Background())
	s.abandon = abandon
	s.http = &http.Server{
		Handler:           s.handler(),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withPeer,
		ConnState:         s.track,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      operationTime + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.http.RegisterOnShutdown(s.closeSilent)
	return s, nil
}

// track knows the connections that have sent nothing.
func (s *Server) track(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.silent.Store(c, nil)
	} else {
		s.silent.Delete(c)
	}
}

// closeSilent keeps connections that a client made and does not need from holding up Shutdown, as net/http does for five
// seconds in case a request is on its way. A client of ours sends at once, or asks again.
func (s *Server) closeSilent() {
	time.Sleep(silence)
	s.silent.Range(func(c, _ any) bool {
		c.(net.Conn).Close()
		return true
	})
}

func (s *Server) admitGuards() error {
	if len(s.order) == 0 {
		return errors.New("agent has no log to guard")
	}
	keys := map[string]bool{}
	for _, g := range s.order {
		if s.guards[g.log.Origin] != nil {
			return fmt.Errorf("log %s has two guards in one agent", g.log.Origin)
		}
		if keys[string(g.key)] {
			return fmt.Errorf("log %s: its key guards another log: one key, one log", g.log.Origin)
		}
		s.guards[g.log.Origin] = g
		keys[string(g.key)] = true
	}
	return nil
}

func allowed(uids []int, own bool) ([]int, error) {
	self := os.Geteuid()
	for _, uid := range uids {
		switch {
		case uid < 0 || uid == nobody:
			return nil, fmt.Errorf("allowed uid %d stands for no one user", uid)
		case uid == self && !own:
			return nil, fmt.Errorf("allowed uid %d is the agent's own: run the daemon as another user, or allow the own uid for a demonstration", uid)
		}
	}
	if own {
		uids = append(slices.Clone(uids), self)
	}
	if len(uids) == 0 {
		return nil, errors.New("no uid is allowed to ask this agent")
	}
	return slices.Clone(uids), nil
}

// Serve answers on l until Shutdown. It returns nil after a Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve agent: %w", err)
	}
	return nil
}

// Shutdown takes no new request, answers those in flight, and then waits for hardware calls whose caller went away.
// Afterwards the guards refuse everything and their states may be closed. When ctx ends first, what still waits is
// answered that the agent is busy.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.abandon()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
		defer cancel()
		if s.http.Shutdown(last) != nil {
			s.http.Close()
		}
	}
	for _, g := range s.order {
		err = errors.Join(err, g.close(ctx))
	}
	return err
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/watermark", s.operation(s.watermark))
	mux.Handle("POST /v1/sign", s.operation(s.sign))
	mux.Handle("POST /v1/record", s.operation(s.record))
	mux.Handle("GET /v1/logs", s.operation(s.logs))
	mux.Handle("GET /v1/health", s.operation(s.health))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &requestError{http.StatusNotFound, codeMalformed, "no such operation"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if uid := peer(r.Context()); !slices.Contains(s.allow, uid) {
			w.Header().Set("Connection", "close")
			s.refuse(w, r, &requestError{http.StatusForbidden, codeForbidden, fmt.Sprintf("uid %d may not ask this agent", uid)})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// operation wires a function from a request's body to the answer's.
func (s *Server) operation(op func(ctx context.Context, body []byte) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), operationTime)
		defer cancel()
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			s.refuse(w, r, unreadable(err))
			return
		}
		answer, err := op(ctx, body)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		s.answer(w, http.StatusOK, answer)
	})
}

func unreadable(err error) error {
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return &requestError{http.StatusRequestEntityTooLarge, codeMalformed, "the request is over 64 KiB"}
	}
	return &requestError{http.StatusBadRequest, codeMalformed, "the request could not be read"}
}

// requestError is a refusal by the server, before any guard.
type requestError struct {
	status        int
	code, message string
}

func (e *requestError) Error() string { return e.message }

// guard decodes a request and finds its guard.
func (s *Server) guard(body []byte, m message, origin *string) (*Guard, error) {
	if err := decode(body, m); err != nil {
		return nil, &requestError{http.StatusBadRequest, codeMalformed, err.Error()}
	}
	if g := s.guards[*origin]; g != nil {
		return g, nil
	}
	return nil, &requestError{http.StatusNotFound, codeUnknownOrigin, "this agent has no key of that log"}
}

func (s *Server) watermark(_ context.Context, body []byte) (any, error) {
	var r watermarkRequest
	g, err := s.guard(body, &r, &r.Origin)
	if err != nil {
		return nil, err
	}
	mark, stop := g.position()
	if stop != nil {
		return nil, stop
	}
	return mark, nil
}

func (s *Server) sign(ctx context.Context, body []byte) (any, error) {
	var r signRequest
	g, err := s.guard(body, &r, &r.Origin)
	if err != nil {
		return nil, err
	}
	sig, err := g.Sign(ctx, r.Size, r.Root, r.Proof.hashes())
	if err != nil {
		return nil, err
	}
	return &signAnswer{sig, Head{r.Size, r.Root}}, nil
}

func (s *Server) record(ctx context.Context, body []byte) (any, error) {
	var r recordRequest
	g, err := s.guard(body, &r, &r.Origin)
	if err != nil {
		return nil, err
	}
	head, err := g.Record(ctx, []byte(r.Checkpoint), r.Proof.hashes())
	if err != nil {
		return nil, err
	}
	return head, nil
}

func (s *Server) logs(context.Context, []byte) (any, error) {
	var a logsAnswer
	for _, g := range s.order {
		a.Logs = append(a.Logs, g.status())
	}
	return &a, nil
}

func (s *Server) health(context.Context, []byte) (any, error) {
	a := &healthAnswer{Status: "ok", Goroutines: runtime.NumGoroutine()}
	for _, g := range s.order {
		if _, stop := g.position(); stop != nil {
			return nil, stop
		}
		if err := g.health(); err != nil {
			return nil, &requestError{http.StatusServiceUnavailable, codeFailed, err.Error()}
		}
		a.Signatures += g.signatures.Load()
	}
	return a, nil
}

// refuse is the one place that turns an error into an answer, and logs it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, p := explain(err)
	level := slog.LevelWarn
	if p.Code == codeStopped || p.Code == codeFailed {
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "refused", "operation", r.URL.Path, "uid", peer(r.Context()), "code", p.Code, "error", err)
	s.answer(w, status, p)
}

func explain(err error) (status int, p *problem) {
	var request *requestError
	var refused *RefusedError
	var stopped *StoppedError
	switch {
	case errors.As(err, &request):
		return request.status, &problem{Code: request.code, Message: request.message}
	case errors.As(err, &refused):
		return http.StatusConflict, &problem{codeRefused, refused.Reason, refused.Watermark}
	case errors.As(err, &stopped):
		return http.StatusServiceUnavailable, &problem{Code: codeStopped, Message: stopped.Reason}
	case errors.Is(err, ErrBusy):
		return http.StatusServiceUnavailable, &problem{Code: codeBusy, Message: ErrBusy.Error()}
	}
	return http.StatusBadGateway, &problem{Code: codeFailed, Message: "the hardware gave no signature"}
}

func (s *Server) answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		s.log.Error("encode answer", "error", err)
		status, data = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(data)
}

func (g *Guard) status() LogStatus {
	mark, stop := g.position()
	l := LogStatus{
		Origin:    g.log.Origin,
		PublicKey: spki(g.key),
		Threshold: g.log.Threshold,
		Watermark: mark,
	}
	for i, key := range g.log.Keys {
		id := fmt.Sprintf("%08x", g.ids[i])
		l.KeyIDs = append(l.KeyIDs, id)
		if g.key.Equal(key) {
			l.KeyID = id
		}
	}
	if stop != nil {
		l.Stopped = cmp.Or(stop.Reason, "stopped")
	}
	if p, ok := g.signer.(patient); ok {
		l.Device = "up"
		if err := p.Health(); err != nil {
			l.Device = err.Error()
		}
	}
	return l
}
