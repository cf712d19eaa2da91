package signer

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// NewServer makes the server of any of the listeners; tlsConfig is nil where another end terminates TLS, or for a unix
// socket. Its times and sizes keep a slow or hostile peer from holding on to what it does not use.
func NewServer(handler http.Handler, tlsConfig *tls.Config, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:   handler,
		TLSConfig: tlsConfig,
		// A header fits in one packet or a few: five seconds is a bad mobile network's worst. It bounds the TLS handshake too.
		ReadHeaderTimeout: 5 * time.Second,
		// The largest body is 16 MiB: 4.5 Mbit/s is asked of whoever sends one.
		ReadTimeout: 30 * time.Second,
		// Reading, then at most defaultDeadline in the queue and a signing timeout in the agents, then writing.
		WriteTimeout: 90 * time.Second,
		// Back ends keep their connections between publications; a proxy's usual minute is shorter.
		IdleTimeout: 2 * time.Minute,
		// A purl has 1 KiB at most, three times as much when escaped; no cookies, no tokens.
		MaxHeaderBytes: 16 << 10,
		HTTP2: &http.HTTP2Config{
			// With a 16 MiB body each a connection could otherwise hold gigabytes. A back end that needs more opens another.
			MaxConcurrentStreams: 100,
			// HTTP/2 has no header time limit of its own: a peer that is silent, or does not take its answers, is gone.
			SendPingTimeout:  30 * time.Second,
			PingTimeout:      15 * time.Second,
			WriteByteTimeout: 30 * time.Second,
		},
		ConnContext: withPeer,
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// TLSConfig is the signing listener's. Any client certificate will do for the handshake, which proves possession of its
// key; who that is, the handler decides by the key alone. So callers need no authority over certificates, only a key pair.
func TLSConfig(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS13,
		ClientAuth:   tls.RequireAnyClientCert,
		NextProtos:   []string{"h2", "http/1.1"},
		// Every connection proves the key anew.
		SessionTicketsDisabled: true,
	}
}
