package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"countersign.dev/provenance"
)

const (
	firstPause     = 500 * time.Millisecond
	lastPause      = 15 * time.Second
	attemptTimeout = 90 * time.Second // of one request; the service's own limit
	maxProblem     = 64 << 10
)

// serviceFlags name the signing listener and who asks.
type serviceFlags struct {
	server, registry, cert, key, ca string
	timeout                         time.Duration
}

func addServiceFlags(flags *flag.FlagSet) *serviceFlags {
	f := new(serviceFlags)
	flags.StringVar(&f.server, "server", "", "")
	flags.StringVar(&f.registry, "registry", "", "")
	flags.StringVar(&f.cert, "cert", "", "")
	flags.StringVar(&f.key, "key", "", "")
	flags.StringVar(&f.ca, "ca", "", "")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "")
	return f
}

// service is the signing listener of one registry.
type service struct {
	client   *http.Client
	url      string // of the registry, without a slash at the end
	registry string
	timeout  time.Duration // of one call with all its attempts
	note     func(format string, args ...any)
}

func (f *serviceFlags) open(verb string, t terminal) (*service, error) {
	if err := provenance.CheckRegistry(f.registry); err != nil {
		return nil, misuse{err}
	}
	u, err := url.Parse(f.server)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, hint(misused("--server %q is not an https URL", f.server), "for example https://countersign.internal:8443")
	}
	if f.timeout <= 0 {
		return nil, misused("--timeout %s leaves no time", f.timeout)
	}
	config, err := f.tls()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	return &service{
		client: &http.Client{Transport: transport,
			// A redirection would send the publication, and prove the caller, to somebody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		url:      strings.TrimSuffix(f.server, "/") + "/v1/registries/" + f.registry,
		registry: f.registry,
		timeout:  f.timeout,
		note:     func(format string, args ...any) { t.note(verb+": "+format, args...) },
	}, nil
}

func (f *serviceFlags) tls() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("TLS client certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}}
	if f.ca == "" {
		return config, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", f.ca)
	}
	return config, nil
}

// transient is a failure after which the same bytes may be sent again, and when at the earliest.
type transient struct {
	error
	after time.Duration
}

func (r transient) Unwrap() error { return r.error }

// post sends body, the same bytes each time, until read is content with the answer, the answer is a definite no, or the
// time is up. read says with a transient error that there is more to get by sending again.
func (s *service) post(path, contentType string, body func() []byte, read func(status int, body io.Reader) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	var reason error // why the last attempt failed that was not cut short by the end of the time
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := s.attempt(ctx, path, contentType, body(), read)
		var again transient
		if !errors.As(err, &again) {
			return err
		}
		if reason == nil || ctx.Err() == nil {
			reason = err
		}
		wait := max(pause/2+rand.N(pause), again.after)
		if end, _ := ctx.Deadline(); time.Until(end) < wait {
			return hint(unanswered{fmt.Errorf("%w; gave up after %s", reason, s.timeout)}, "%s", patience(reason))
		}
		s.note("%v; sending it again in %s", err, wait.Round(100*time.Millisecond))
		time.Sleep(wait)
	}
}

// patience says what to do about waiting in vain.
func patience(err error) string {
	const again = "sending the same again is always safe; --timeout waits longer"
	var p *problem
	if errors.As(err, &p) && advice[p.code()] != "" {
		return advice[p.code()] + "; " + again
	}
	return again
}

// unanswered is the end of waiting for an answer: what was sent may or may not be logged.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

func (s *service) attempt(ctx context.Context, path, contentType string, body []byte, read func(int, io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := s.client.Do(request)
	if err != nil {
		return connection(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusCreated {
		return read(response.StatusCode, response.Body)
	}
	return refusal(response)
}

// connection sorts errors of the transport: who is at the other end does not change by asking again.
func connection(err error) error {
	var urlError *url.Error
	if errors.As(err, &urlError) {
		err = urlError.Err // the URL is the caller's own
	}
	var certificate *tls.CertificateVerificationError
	var alert *net.OpError
	switch {
	case errors.As(err, &certificate):
		return hint(err, "--ca names the authority of the service's certificate")
	case errors.As(err, &alert) && alert.Op == "remote error":
		return hint(err, "the service did not accept --cert")
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("no answer in time")
	}
	return transient{err, 0}
}

// refusal makes an error of any answer that is not the one wanted.
func refusal(r *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxProblem))
	p := parseProblem(data)
	after := retryAfter(r.Header.Get("Retry-After"))
	switch {
	case err == nil && p != nil && p.Retryable:
		return transient{p, max(after, time.Duration(p.RetryAfter)*time.Second)}
	case err == nil && p != nil:
		return p.hinted()
	case r.StatusCode >= 500 || r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout:
		return transient{fmt.Errorf("the answer is %s without a reason", r.Status), after}
	}
	return hint(fmt.Errorf("the answer is %s without a reason", r.Status), "is the signing listener of countersignd at --server?")
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

// readAnswer reads a whole answer of bounded length.
func readAnswer(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, transient{fmt.Errorf("the answer broke off: %w", err), 0}
	case int64(len(data)) > limit:
		return nil, suspect(fmt.Errorf("it is longer than %d bytes", limit))
	}
	return data, nil
}
