// Package softhsm gives tests real PKCS#11 tokens: SoftHSM with a token
// directory of its own, filled through package hsm as a ceremony would. It is
// for tests only; nothing that ships imports it.
//
// SoftHSM reads its configuration when a process's first key is opened, and
// again only after the last was closed. So the keys open in one process at one
// time come from one Tokens, and tests with it cannot run in parallel. Child
// processes are told by SOFTHSM2_CONF in their environment.
package softhsm

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"countersign.dev/hsm"
)

// Module is where Debian's package softhsm2 puts the library.
const Module = "/usr/lib/softhsm/libsofthsm2.so"

// Tokens is a directory of tokens that lives as long as the test.
type Tokens struct {
	Config string // the file SOFTHSM2_CONF names
	dir    string
	t      testing.TB
}

// New makes an empty token directory and points SOFTHSM2_CONF at it.
func New(t testing.TB) *Tokens {
	t.Helper()
	if _, err := os.Stat(Module); err != nil {
		t.Fatalf("SoftHSM is not installed (%v): run make deps", err)
	}
	dir := t.TempDir()
	s := &Tokens{Config: filepath.Join(dir, "softhsm2.conf"), dir: dir, t: t}
	if err := os.Mkdir(s.tokenDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("softhsm2.conf", fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", s.tokenDir()))
	s.use()
	return s
}

// use makes this directory the one the library reads when it starts next.
func (s *Tokens) use() { s.t.Setenv("SOFTHSM2_CONF", s.Config) }

// Token makes a token with random PINs. The URI has token, serial, module-path
// and pin-source.
func (s *Tokens) Token(label string) hsm.URI {
	s.t.Helper()
	s.use()
	before := s.count()
	officer, user := s.write(label+".so-pin", rand.Text()), s.write(label+".pin", rand.Text())
	serial, err := hsm.InitToken(s.t.Context(), Module, label, officer, user)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.count() != before+1 {
		s.t.Fatal("the token went to another directory: a key of another test is still open in this process")
	}
	return hsm.URI{Token: label, Serial: serial, ModulePath: Module, PINFile: user}
}

// Key makes a key on a token of Token. Its URI opens it.
func (s *Tokens) Key(token hsm.URI, label string) hsm.GeneratedKey {
	s.t.Helper()
	s.use()
	token.Object = label
	key, err := hsm.GenerateKey(s.t.Context(), token, hsm.KeyOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// Open opens a key of Key until the test ends.
func (s *Tokens) Open(key hsm.GeneratedKey) *hsm.Key {
	s.t.Helper()
	s.use()
	k, err := hsm.Open(s.t.Context(), hsm.Config{URI: key.URI, PublicKey: key.PublicKey})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := k.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return k
}

func (s *Tokens) tokenDir() string { return filepath.Join(s.dir, "tokens") }

func (s *Tokens) count() int {
	entries, err := os.ReadDir(s.tokenDir())
	if err != nil {
		s.t.Fatal(err)
	}
	return len(entries)
}

func (s *Tokens) write(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}
