package gate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// Options are how a remote place is called.
type Options struct {
	Patience time.Duration                        // how long a request is tried again; 0: a minute
	Pause    time.Duration                        // before the first time; 0: half a second
	Waiting  func(err error, pause time.Duration) // is told of every pause; may be nil
}

const (
	lastPause      = 15 * time.Second
	attemptTimeout = 2 * time.Minute
)

// caller sends requests, again where that may help. Once it has given up it does not begin anew.
type caller struct {
	client *http.Client
	Options

	mu   *sync.Mutex
	down *error
}

func newCaller(client *http.Client, o Options) caller {
	own := *client
	// What is asked for tells which private packages there are: only the one who was named hears it.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.Patience, o.Pause = cmp.Or(o.Patience, time.Minute), cmp.Or(o.Pause, 500*time.Millisecond)
	return caller{&own, o, new(sync.Mutex), new(error)}
}

// transient is a failure after which the same may be asked again, and when at the earliest.
type transient struct {
	error
	after time.Duration
}

func (t transient) Unwrap() error { return t.error }

// notServed is the answer that there is no such thing.
type notServed struct{ detail string }

func (n *notServed) Error() string { return n.detail }

// withdrawn is the answer that there was such a thing.
type withdrawn struct{ detail string }

func (w *withdrawn) Error() string { return "withdrawn: " + w.detail }

// patiently calls try until it succeeds, the answer is a definite no, or the time is up.
func (c *caller) patiently(ctx context.Context, try func(context.Context) error) error {
	c.mu.Lock()
	down := *c.down
	c.mu.Unlock()
	if down != nil {
		return down
	}
	end := time.Now().Add(c.Patience)
	for pause := c.Pause; ; pause = min(2*pause, lastPause) {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
			defer cancel()
			return try(ctx)
		}()
		var again transient
		if !errors.As(err, &again) {
			return err
		}
		wait := max(pause/2+rand.N(pause), again.after)
		if ctx.Err() != nil || time.Now().Add(wait).After(end) {
			err = again.error
			if ctx.Err() == nil {
				err = fmt.Errorf("%w; gave up after %s", err, c.Patience)
			}
			c.mu.Lock()
			*c.down = err
			c.mu.Unlock()
			return err
		}
		if c.Waiting != nil {
			c.Waiting(again.error, wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (c *caller) do(ctx context.Context, method, address string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "countersign")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.client.Do(request)
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // the address is said already
	}
	if err != nil {
		return nil, transient{err, 0}
	}
	return response, nil
}

// problem is an RFC 9457 problem document.
type problem struct {
	Type      string `json:"type"`
	Detail    string `json:"detail"`
	Title     string `json:"title"`
	Retryable bool   `json:"retryable"`
}

func (p *problem) code() string {
	code, _ := strings.CutPrefix(p.Type, "urn:countersign:error:")
	return code
}

func (p *problem) text() string { return cmp.Or(p.Detail, p.Title, p.Type) }

// answer is what a problem means for a package.
func (p *problem) answer() (Answer, error) {
	switch p.code() {
	case "not-found":
		return Answer{}, nil
	case "withdrawn":
		return Answer{Withdrawn: p.text()}, nil
	}
	if p.Retryable {
		return Answer{}, transient{errors.New(p.text()), 0}
	}
	return Answer{Err: errors.New(p.text())}, nil
}

// failure is what an answer other than 200 means. A place that knows no batches may still be a static export.
func (c *caller) failure(r *http.Response, batch bool) error {
	data, _ := io.ReadAll(io.LimitReader(r.Body, maxProblem))
	p := new(problem)
	ours := json.Unmarshal(data, p) == nil && strings.HasPrefix(p.Type, "urn:countersign:error:")
	text := "the answer is " + r.Status
	if ours {
		text += ": " + p.text()
	}
	switch s := r.StatusCode; {
	case s >= 500 && s != http.StatusNotImplemented || s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || ours && p.Retryable:
		return transient{errors.New(text), retryAfter(r.Header.Get("Retry-After"))}
	case s >= 300 && s < 400:
		return fmt.Errorf("it sends elsewhere, to %.200q: name that place itself", r.Header.Get("Location"))
	case batch && !ours && (s == http.StatusNotFound || s == http.StatusMethodNotAllowed || s == http.StatusNotImplemented || s == http.StatusForbidden):
		return errStatic
	case s == http.StatusGone:
		return &withdrawn{cmp.Or(p.text(), text)}
	case s == http.StatusNotFound:
		return &notServed{text}
	}
	return errors.New(text)
}

// retryAfter reads the header: seconds or a date.
func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < 1<<20 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
