package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/agent"
	"countersign.dev/ledger"
	"countersign.dev/signer"
)

// grace is how long requests under way may take to end after a signal.
const grace = 20 * time.Second

// listener is one address and what is served on it.
type listener struct {
	net.Listener
	server *http.Server
}

// gcPercent lets the heap grow to five times what is live before it is collected. Little is live here, some tens of
// megabytes, and nearly all that a request allocates dies with it: collecting less often saves a tenth of the processor time.
const gcPercent = 400

// serve runs until a signal, or until nobody knows what is durable any more.
func (c *config) serve(ctx context.Context, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	db, err := ledger.Open(c.Ledger)
	if err != nil {
		return err
	}
	services, err := c.services(db, log)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	listeners, err := c.listen(services, log)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = operate(ctx, services, listeners, log)
	if errors.Is(err, errUnfinished) {
		log.Warn("requests were cut off")
		return nil // their handlers may still read the ledger: it is left as a crash would leave it
	}
	return errors.Join(err, db.Close())
}

func (c *config) services(db *ledger.DB, log *slog.Logger) ([]*signer.Service, error) {
	var services []*signer.Service
	for _, r := range c.Registry {
		sc := signer.Config{Registry: r.Name, DB: db, FreezeFile: r.FreezeFile, DrainFile: r.drainFile, MaxAge: time.Duration(r.MaxAge), QueueShare: r.QueueShare,
			MaxBatch: r.MaxBatch, SignTimeout: time.Duration(r.SignTimeout), AgentTimeout: time.Duration(r.AgentTimeout),
			StatusInterval: time.Duration(*r.StatusInterval), Logger: log}
		for _, a := range r.Agent {
			sc.Agents = append(sc.Agents, signer.AgentConfig{Name: a.Name, Key: a.PublicKey, Agent: agent.Dial(a.Socket)})
		}
		s, err := signer.New(sc)
		if err != nil {
			return nil, err
		}
		services = append(services, s)
	}
	return services, nil
}

// listen opens every listener before anything is served.
func (c *config) listen(services []*signer.Service, log *slog.Logger) (all []listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				l.Close()
			}
		}
	}()
	callers, err := c.callers()
	if err != nil {
		return nil, err
	}
	uids, err := c.adminUIDs()
	if err != nil {
		return nil, err
	}
	signing, err := signer.NewSigningHandler(services, callers, signer.Limits{}, log)
	if err != nil {
		return nil, err
	}
	cert, err := certificate(c.Signing.Certificate, c.Signing.Key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	add := func(l net.Listener, err error, handler http.Handler, tlsConfig *tls.Config) error {
		if err != nil {
			return err
		}
		all = append(all, listener{l, signer.NewServer(handler, tlsConfig, log)})
		return nil
	}
	l, err := net.Listen("tcp", c.Signing.Listen)
	if err := add(l, err, signing, signer.TLSConfig(cert)); err != nil {
		return all, fmt.Errorf("signing: %w", err)
	}
	if c.Public != nil {
		if err := c.listenPublic(services, log, add); err != nil {
			return all, fmt.Errorf("public: %w", err)
		}
	}
	admin, err := signer.NewAdminHandler(services, uids, log)
	if err != nil {
		return all, err
	}
	l, err = signer.ListenAdmin(c.Admin.Socket)
	if err := add(l, err, admin, nil); err != nil {
		return all, fmt.Errorf("admin: %w", err)
	}
	return all, nil
}

func (c *config) listenPublic(services []*signer.Service, log *slog.Logger, add func(net.Listener, error, http.Handler, *tls.Config) error) error {
	public := slices.DeleteFunc(slices.Clone(services), func(s *signer.Service) bool { return !slices.Contains(c.Public.Registries, s.Registry) })
	handler, err := signer.NewPublicHandler(public, log)
	if err != nil {
		return err
	}
	var tlsConfig *tls.Config
	if c.Public.Certificate != "" {
		cert, err := certificate(c.Public.Certificate, c.Public.Key)
		if err != nil {
			return err
		}
		tlsConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	l, err := net.Listen("tcp", c.Public.Listen)
	return add(l, err, handler, tlsConfig)
}

// operate runs services and listeners until ctx ends or one of them fails. Then every request under way gets its answer:
// the services finish what they logged and refuse what they did not, while the servers take nothing new.
func operate(ctx context.Context, services []*signer.Service, listeners []listener, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(services)+len(listeners))
	var running sync.WaitGroup
	for _, s := range services {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				failed <- err
			}
		})
	}
	for _, l := range listeners {
		running.Go(func() {
			if err := l.serve(); err != nil {
				failed <- fmt.Errorf("%s: %w", l.Addr(), err)
			}
		})
		log.Info("listening", "address", l.Addr().String())
	}
	if err := ready(); err != nil {
		failed <- err
	}
	var err error
	select {
	case <-ctx.Done():
		log.Info("shutting down")
	case err = <-failed:
	}
	cancel()
	shutdown := shutDown(context.WithoutCancel(ctx), listeners)
	running.Wait()
	return cmp.Or(err, shutdown)
}

// errUnfinished: requests were still under way when the grace was over.
var errUnfinished = errors.New("requests did not end in time")

// shutDown ends all listeners at once, and cuts off what is under way after the grace.
func shutDown(ctx context.Context, listeners []listener) error {
	limited, stop := context.WithTimeout(ctx, grace)
	defer stop()
	var ending sync.WaitGroup
	var unfinished atomic.Bool
	for _, l := range listeners {
		ending.Go(func() {
			if l.server.Shutdown(limited) != nil {
				unfinished.Store(true)
				l.server.Close()
			}
		})
	}
	ending.Wait()
	if unfinished.Load() {
		return errUnfinished
	}
	return nil
}

func (l listener) serve() error {
	err := http.ErrServerClosed
	if l.server.TLSConfig != nil {
		err = l.server.ServeTLS(l.Listener, "", "")
	} else {
		err = l.server.Serve(l.Listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// ready tells systemd that the listeners are open (sd_notify(3)).
func ready() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}
