package signer

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-json-experiment/json"
)

// edge is what every listener has around its routes: request ids, a deadline, one log line per request, and the answer to
// a handler that panicked.
type edge struct {
	listener string // its name in the log
	deadline time.Duration
	logger   *slog.Logger
	routes   http.Handler
}

// exchange is one request and its answer. Handlers write to it, and return the problem if there is one.
type exchange struct {
	http.ResponseWriter
	id      string // in the answer, in problem documents and in the log
	route   string // the template that matched, "" for none: paths and queries name private packages, so they are not logged
	client  *client
	status  int      // 0 until the header is written
	problem *Problem // what went wrong, of several the worst
	items   int      // in a request that has many
	unknown int      // requests or items of which nobody knows what became
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, id: rand.Text()}
	w.Header().Set("X-Request-Id", x.id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithTimeout(r.Context(), e.deadline)
	defer cancel()
	defer e.finish(x, r, time.Now())
	e.routes.ServeHTTP(x, r.WithContext(ctx))
}

// finish logs the request. After a panic nobody knows how far the work went, so there is no problem document: a 5xx
// without one says just that. An answer that had begun is broken off rather than ended as if it were whole.
func (e *edge) finish(x *exchange, r *http.Request, start time.Time) {
	crash := recover()
	begun := x.status != 0
	if crash != nil && !begun {
		x.indeterminate()
	}
	e.log(x, r, time.Since(start), crash)
	if crash != nil && begun {
		panic(http.ErrAbortHandler)
	}
}

func (e *edge) log(x *exchange, r *http.Request, took time.Duration, crash any) {
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("request", x.id), slog.String("method", r.Method), slog.String("route", x.route),
		slog.Int("status", x.status), slog.Duration("took", took)}
	if x.client != nil {
		attrs = append(attrs, slog.String("caller", x.client.Name))
	}
	if x.items > 0 {
		attrs = append(attrs, slog.Int("items", x.items))
	}
	if x.unknown > 0 {
		level = slog.LevelError
		attrs = append(attrs, slog.Int("unknown", x.unknown))
	}
	if x.problem != nil {
		attrs = append(attrs, slog.String("code", string(x.problem.code)))
	}
	if x.problem != nil && x.problem.Status >= 500 {
		level = slog.LevelError
		attrs = append(attrs, slog.String("detail", x.problem.Detail), slog.Any("cause", x.problem.cause))
	}
	if crash != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("panic", fmt.Sprint(crash)), slog.String("stack", string(debug.Stack())))
	}
	e.logger.LogAttrs(r.Context(), level, e.listener+" request", attrs...)
}

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// answer writes a whole answer.
func (x *exchange) answer(status int, contentType string, body []byte) {
	x.Header().Set("Content-Type", contentType)
	x.WriteHeader(status)
	x.Write(body)
}

// refuse answers with a problem document.
func (x *exchange) refuse(p *Problem) {
	if p.After > 0 {
		x.Header().Set("Retry-After", fmt.Sprint(p.After))
	}
	x.Header().Set("Cache-Control", "no-store")
	x.answer(p.Status, "application/problem+json", encode(x.own(p)))
}

// own is the problem with this request's id. The problem itself may be of other requests too and stays as it is.
func (x *exchange) own(p *Problem) *Problem {
	if x.problem == nil || x.problem.Status < p.Status {
		x.problem = p
	}
	own := *p
	own.RequestID = x.id
	return &own
}

// indeterminate answers that nobody knows what became of the request: 500 without a problem document.
func (x *exchange) indeterminate() {
	x.unknown = max(x.unknown, 1)
	x.Header().Del("Content-Type")
	x.WriteHeader(http.StatusInternalServerError)
}

// encode is for types of this package, which have no value that JSON cannot say.
func encode(v any) []byte {
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic("signer: " + err.Error())
	}
	return data
}
