package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"
)

// Client asks the agent behind one socket. It believes the agent's answers only as far as their form: the caller
// verifies signatures against the log's keys.
//
// Errors are *RefusedError, *StoppedError and ErrBusy as the guard gave them; any other error says that there was no
// answer, or not a proper one, and whether the agent acted is unknown. Asking for the same again is safe.
type Client struct {
	socket string
	http   *http.Client
}

// Dial returns a client of the agent at socketPath. It connects when first used, and again whenever it has to.
func Dial(socketPath string) *Client {
	var dialer net.Dialer
	return &Client{
		socket: socketPath,
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return dialer.DialContext(ctx, "unix", socketPath)
				},
				MaxIdleConnsPerHost:    4,
				IdleConnTimeout:        time.Minute,
				DisableCompression:     true,
				MaxResponseHeaderBytes: 8 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Watermark is the head the agent holds.
func (c *Client) Watermark(ctx context.Context, origin string) (Head, error) {
	var mark Head
	err := c.post(ctx, "watermark", &watermarkRequest{origin}, &mark)
	return mark, err
}

// Sign asks for the agent's signature over head, which extends its watermark by the consistency proof. The watermark
// returned is head.
func (c *Client) Sign(ctx context.Context, origin string, head Head, proof []tlog.Hash) ([64]byte, Head, error) {
	var a signAnswer
	err := c.post(ctx, "sign", &signRequest{origin, head.Size, head.Root, wire(proof)}, &a)
	if err != nil {
		return [64]byte{}, Head{}, err
	}
	if a.Watermark != head {
		return [64]byte{}, Head{}, fmt.Errorf("agent %s: asked to sign size %d, answered for size %d or another root", c.socket, head.Size, a.Watermark.Size)
	}
	return a.Signature, a.Watermark, nil
}

// Record has the agent hold a checkpoint that threshold keys signed, and returns its watermark, the checkpoint's head.
func (c *Client) Record(ctx context.Context, origin string, checkpoint []byte, proof []tlog.Hash) (Head, error) {
	var mark Head
	if err := c.post(ctx, "record", &recordRequest{origin, string(checkpoint), wire(proof)}, &mark); err != nil {
		return Head{}, err
	}
	if !bytes.HasPrefix(checkpoint, []byte(mark.Text(origin)+"\n")) {
		return Head{}, fmt.Errorf("agent %s: answered size %d or a root that the checkpoint does not have", c.socket, mark.Size)
	}
	return mark, nil
}

// Logs lists what the agent guards.
func (c *Client) Logs(ctx context.Context) ([]LogStatus, error) {
	var a logsAnswer
	err := c.call(ctx, http.MethodGet, "logs", nil, &a)
	return a.Logs, err
}

func (c *Client) post(ctx context.Context, operation string, request message, answer message) error {
	if err := request.check(); err != nil {
		return fmt.Errorf("agent %s: %s: %w", c.socket, operation, err)
	}
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("agent %s: %s: %w", c.socket, operation, err)
	}
	return c.call(ctx, http.MethodPost, operation, body, answer)
}

func (c *Client) call(ctx context.Context, method, operation string, body []byte, answer message) error {
	status, data, err := c.exchange(ctx, method, operation, body)
	if broken(err) {
		// The agent ended, or started again in place; then this waits for it.
		status, data, err = c.exchange(ctx, method, operation, body)
	}
	if err == nil && status == http.StatusOK {
		err = decode(data, answer)
	}
	if err != nil {
		return fmt.Errorf("agent %s: %s: %w", c.socket, operation, err)
	}
	if status != http.StatusOK {
		return c.problem(operation, status, data)
	}
	return nil
}

// broken reports whether a connection ended under a request. A connection that was refused is another matter.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// exchange sends a request and reads the answer.
func (c *Client) exchange(ctx context.Context, method, operation string, body []byte) (status int, data []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://agent/v1/"+operation, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	// An empty key is not sent; it tells net/http to repeat the request for every idle connection that turns out to be
	// dead.
	r.Header["Idempotency-Key"] = nil
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(data) > maxBody {
		err = errors.New("answer is over 64 KiB")
	}
	return resp.StatusCode, data, err
}

func (c *Client) problem(operation string, status int, data []byte) error {
	var p problem
	if err := decode(data, &p); err != nil {
		return fmt.Errorf("agent %s: %s: status %d: %w", c.socket, operation, status, err)
	}
	switch p.Code {
	case codeRefused:
		if err := p.Watermark.check(); err != nil {
			return fmt.Errorf("agent %s: %s: refused without a watermark: %w", c.socket, operation, err)
		}
		return &RefusedError{p.Message, p.Watermark}
	case codeStopped:
		return &StoppedError{Reason: p.Message}
	case codeBusy:
		return fmt.Errorf("agent %s: %s: %w", c.socket, operation, ErrBusy)
	}
	return fmt.Errorf("agent %s: %s: answered %.40q: %.400q", c.socket, operation, p.Code, p.Message)
}
