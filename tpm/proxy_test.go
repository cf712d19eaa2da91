package tpm_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// proxy sits on the bus between this package and an emulator.
type proxy struct {
	path     string
	upstream string

	mu        sync.Mutex // guards what follows
	traffic   []exchange
	before    func(tpm2.TPMCC, transport.TPM)              // called with the TPM before a command is passed on
	tamper    func(code tpm2.TPMCC, command []byte)        // changes a command on its way
	interpose func(n int, command, response []byte) []byte // gives what to answer; nil for never, empty to hang up
}

type exchange struct{ command, response []byte }

func (e exchange) code() tpm2.TPMCC { return tpm2.TPMCC(binary.BigEndian.Uint32(e.command[6:])) }

func newProxy(t *testing.T, e *emulator) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{path: filepath.Join(dir, "sock"), upstream: e.socket()}
	listener, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		listener.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

func (p *proxy) serve(down net.Conn) {
	defer down.Close()
	up, err := net.Dial("unix", p.upstream)
	if err != nil {
		return
	}
	defer up.Close()
	for {
		command, err := frame(down)
		if err != nil {
			return
		}
		p.mu.Lock()
		n, before, tamper := len(p.traffic), p.before, p.tamper
		p.mu.Unlock()
		if before != nil {
			before(exchange{command: command}.code(), upstream{up})
		}
		if tamper != nil {
			tamper(exchange{command: command}.code(), command)
		}
		if _, err := up.Write(command); err != nil {
			return
		}
		response, err := frame(up)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.traffic = append(p.traffic, exchange{slices.Clone(command), slices.Clone(response)})
		if p.interpose != nil {
			response = p.interpose(n, command, response)
		}
		p.mu.Unlock()
		if response == nil {
			io.Copy(io.Discard, down) // until the other side gives up
			return
		}
		if _, err := down.Write(response); err != nil || len(response) == 0 {
			return
		}
	}
}

// upstream is a connection to the emulator as a transport.
type upstream struct{ net.Conn }

func (u upstream) Send(command []byte) ([]byte, error) {
	if _, err := u.Write(command); err != nil {
		return nil, err
	}
	return frame(u)
}

func frame(r io.Reader) ([]byte, error) {
	b := make([]byte, 10)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b[2:])-10)...)
	_, err := io.ReadFull(r, b[10:])
	return b, err
}

// record forgets what was and what to do, and answers with f from now on.
func (p *proxy) record(f func(n int, command, response []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traffic, p.before, p.tamper, p.interpose = nil, nil, nil, f
}

// meanwhile has f called before each command.
func (p *proxy) meanwhile(f func(tpm2.TPMCC, transport.TPM)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = f
}

// changing has f change commands.
func (p *proxy) changing(f func(tpm2.TPMCC, []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tamper = f
}

func (p *proxy) recorded() []exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.traffic)
}

// carried reports whether secret went over the bus.
func (p *proxy) carried(secret []byte) bool {
	return slices.ContainsFunc(p.recorded(), func(e exchange) bool {
		return contains(e.command, secret) || contains(e.response, secret)
	})
}
