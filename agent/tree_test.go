package agent_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
)

const origin = "registry.example/countersign/1"

// tree is a log in memory.
type tree struct {
	hashes []tlog.Hash
	size   int64
}

func newTree(entries int, branch string) *tree { return new(tree).grow(entries, branch) }

// grow appends entries named after the branch: trees grown alike are equal.
func (t *tree) grow(entries int, branch string) *tree {
	for range entries {
		hashes, err := tlog.StoredHashes(t.size, fmt.Appendf(nil, "%s %d", branch, t.size), t)
		if err != nil {
			panic(err)
		}
		t.hashes = append(t.hashes, hashes...)
		t.size++
	}
	return t
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, i := range indexes {
		hashes = append(hashes, t.hashes[i])
	}
	return hashes, nil
}

func (t *tree) head(size int64) agent.Head {
	root, err := tlog.TreeHash(size, t)
	if err != nil {
		panic(err)
	}
	return agent.Head{Size: uint64(size), Root: root}
}

func (t *tree) proof(from, to int64) []tlog.Hash {
	p, err := tlog.ProveTree(to, from, t)
	if err != nil {
		panic(err)
	}
	return p
}

// testKey is the same key for the same number.
func testKey(n int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "throw-away test key %d", n))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(n int) ed25519.PublicKey { return testKey(n).Public().(ed25519.PublicKey) }

// testLog has keys 1 to n.
func testLog(keys, threshold int) agent.Log {
	log := agent.Log{Origin: origin, Threshold: threshold}
	for i := range keys {
		log.Keys = append(log.Keys, public(i+1))
	}
	return log
}

// stateDir holds a first watermark at head.
func stateDir(t testing.TB, head agent.Head) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	must(t, agent.CreateState(dir, origin, head))
	return dir
}

func openState(t testing.TB, dir string) *agent.State {
	t.Helper()
	state, err := agent.OpenState(dir, origin)
	must(t, err)
	t.Cleanup(func() { state.Close() })
	return state
}

// newGuard guards key 1 of a log of three keys and threshold two.
func newGuard(t testing.TB, head agent.Head) *agent.Guard {
	t.Helper()
	return guardOf(t, testKey(1), openState(t, stateDir(t, head)))
}

func guardOf(t testing.TB, signer crypto.Signer, state *agent.State) *agent.Guard {
	t.Helper()
	g, err := agent.NewGuard(testLog(3, 2), signer, state)
	must(t, err)
	return g
}

// checkpoint is a signed note over text by the keys, under the name.
func checkpoint(text, name string, keys ...int) []byte {
	out := []byte(text + "\n")
	for _, k := range keys {
		out = append(out, signatureLine(text, name, testKey(k))...)
	}
	return out
}

func signatureLine(text, name string, key ed25519.PrivateKey) []byte {
	signer := noteSigner{name, key}
	msg, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		panic(err)
	}
	return msg[len(text)+1:]
}

type noteSigner struct {
	name string
	key  ed25519.PrivateKey
}

func (s noteSigner) Name() string                    { return s.name }
func (s noteSigner) KeyHash() uint32                 { return s.verifier().KeyHash() }
func (s noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

func (s noteSigner) verifier() note.Verifier {
	vkey, err := note.NewEd25519VerifierKey(s.name, s.key.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		panic(err)
	}
	return v
}

// device is a signer whose Sign is a function.
type device struct {
	key  ed25519.PrivateKey
	sign func(message []byte) ([]byte, error)
}

func (d device) Public() crypto.PublicKey { return d.key.Public() }

func (d device) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != 0 {
		panic("not pure Ed25519")
	}
	return d.sign(message)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func statePath(dir string) string {
	return filepath.Join(dir, "registry.example_countersign_1.watermark")
}
