package signer_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

const registry = "registry.test"

// world is a registry whose keys are in memory: everything a ceremony makes, agents behind real guards, and a service.
type world struct {
	*signer.Service
	t         testing.TB
	dir       string
	root      ed25519.PrivateKey
	officer   ed25519.PrivateKey // the enrolment key
	publisher ed25519.PrivateKey
	identity  *provenance.Identity
	enrolment *provenance.Enrolment // the publisher's
	db        *ledger.DB
	guards    []*guardAgent
	caller    *signer.Caller
	config    signer.Config
	stop      func()
}

// key derives a key pair from a name, so that a failure can be looked at again.
func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(t testing.TB, k crypto.Signer) provenance.PublicKey {
	t.Helper()
	p, err := provenance.NewPublicKey(k.Public().(ed25519.PublicKey))
	must(t, err)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func namespaces(t testing.TB, patterns ...string) []provenance.Namespace {
	t.Helper()
	var out []provenance.Namespace
	for _, p := range patterns {
		ns, err := provenance.ParseNamespace(p)
		must(t, err)
		out = append(out, ns)
	}
	return out
}

// newWorld makes a registry with n agents of which m must sign, and starts its service. adjust may change the config.
func newWorld(t testing.TB, m, n int, adjust func(*signer.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), root: key("root"), officer: key("officer"), publisher: key("publisher")}
	w.config = signer.Config{Registry: registry, Logger: slog.New(slog.DiscardHandler), SignTimeout: 5 * time.Second,
		AgentTimeout: 2 * time.Second, FreezeFile: filepath.Join(w.dir, "frozen")}
	w.found(m, n)
	if adjust != nil {
		adjust(&w.config)
	}
	w.caller = &signer.Caller{Name: "backend", Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Publish, signer.Enrol, signer.Backfill, signer.Withdraw}}}}
	w.start()
	t.Cleanup(func() {
		w.stop()
		must(t, w.db.Close())
	})
	w.enrolment = w.enrol(w.publisher, "pkg:npm/@acme/*", "pkg:pypi/acme-*")
	return w
}

// found does what a ceremony does: keys, identity, log, first checkpoint, watermarks.
func (w *world) found(m, n int) {
	t := w.t
	log := w.newLog(1, m, n)
	var err error
	w.identity, err = provenance.Identity{Registry: registry, Version: 1,
		Root:       provenance.Root{Threshold: 1, Keys: []provenance.PublicKey{public(t, w.root)}},
		Logs:       []provenance.Log{log},
		Enrol:      []provenance.EnrolKey{{PublicKey: public(t, w.officer)}},
		Namespaces: namespaces(t, "pkg:npm/@acme/*", "pkg:pypi/acme-*"),
		Excluded:   []provenance.Exclusion{}, Issued: time.Now(), Expires: time.Now().Add(365 * 24 * time.Hour)}.Sign(w.root)
	must(t, err)
	w.db, err = ledger.Create(filepath.Join(w.dir, "ledger"))
	must(t, err)
	w.beginLog(log, w.identity)
}

// newLog makes the keys of log number of the registry, and their agents, which have no state yet.
func (w *world) newLog(number, m, n int) provenance.Log {
	log := provenance.Log{Origin: fmt.Sprintf("%s/countersign/%d", registry, number), Threshold: m}
	w.guards = nil
	for i := range n {
		k := key(fmt.Sprintf("log %d key %d", number, i))
		log.Keys = append(log.Keys, provenance.LogKey{PublicKey: public(w.t, k)})
		w.guards = append(w.guards, &guardAgent{name: string(rune('a' + i)), key: k})
	}
	return log
}

// beginLog puts the log into the ledger, the identity that opens it as its entry 0, with its first checkpoint and the
// agents' first watermarks.
func (w *world) beginLog(log provenance.Log, identity *provenance.Identity) {
	t := w.t
	entry := identity.Envelope.JSON()
	l, err := w.db.CreateLog(registry, log.Origin, ledger.Entry{Data: entry, State: true})
	must(t, err)
	head := agent.Head{Size: 1, Root: tlog.RecordHash(entry)}
	var signatures []provenance.KeySignature
	for i, g := range w.guards {
		g.dir, g.log = filepath.Join(w.dir, "agent-"+g.name), agentLog(log)
		must(t, os.MkdirAll(g.dir, 0o700))
		must(t, agent.CreateState(g.dir, log.Origin, head))
		g.open(t)
		sig, err := g.Guard.Sign(context.Background(), head.Size, head.Root, nil)
		must(t, err)
		if i < log.Threshold {
			signatures = append(signatures, provenance.KeySignature{Key: log.Keys[i].PublicKey, Signature: sig[:]})
		}
	}
	note := provenance.SignedNote(provenance.Head{Origin: log.Origin, Size: 1, Root: head.Root}, signatures)
	must(t, l.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: 1, Root: head.Root, Note: []byte(note)}))
	w.config.Agents = nil
	for _, g := range w.guards {
		w.config.Agents = append(w.config.Agents, signer.AgentConfig{Name: g.name, Key: public(t, g.key), Agent: g})
	}
}

func agentLog(log provenance.Log) agent.Log {
	l := agent.Log{Origin: log.Origin, Threshold: log.Threshold}
	for _, k := range log.Keys {
		l.Keys = append(l.Keys, k.PublicKey.Ed25519())
	}
	return l
}

// start runs a service over the world's ledger; stop ends it.
func (w *world) start() {
	var err error
	w.config.DB = w.db
	w.Service, err = signer.New(w.config)
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Service.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error("run:", err)
		}
	})
}

// reopen closes and opens the stopped world's ledger, with do in between.
func (w *world) reopen(do func(dir string)) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "ledger")
	must(w.t, w.db.Close())
	if do != nil {
		do(dir)
	}
	var err error
	w.db, err = ledger.Open(dir)
	must(w.t, err)
}

// restart stops the service and starts another over the same ledger.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.reopen(nil)
	w.start()
}

func (w *world) enrol(publisher ed25519.PrivateKey, patterns ...string) *provenance.Enrolment {
	w.t.Helper()
	e, err := provenance.Enrolment{Registry: registry, Publisher: public(w.t, publisher), Namespaces: namespaces(w.t, patterns...),
		Issued: time.Now().Add(-time.Minute)}.Sign(w.officer)
	must(w.t, err)
	out, problem := w.Enrol(context.Background(), w.caller, []*provenance.Envelope{e.Envelope})
	if problem != nil {
		w.t.Fatal(problem)
	}
	if out[0].Problem != nil {
		w.t.Fatal(out[0].Problem)
	}
	return e
}

func digestsOf(content string) provenance.Digests {
	sum := sha256.Sum256([]byte(content))
	return provenance.Digests{"sha256": hex.EncodeToString(sum[:])}
}

// submission is a publication of content as name@version, and what the back end observed.
func (w *world) submission(name, version, content string) signer.Submission {
	w.t.Helper()
	return w.signed(w.unsigned(name, version, content), w.publisher)
}

// unsigned is what the publisher of content as name@version is about to sign.
func (w *world) unsigned(name, version, content string) provenance.Draft {
	w.t.Helper()
	return provenance.Draft{Registry: registry, Coordinate: w.npm(name, version), FileName: "package.tgz", Digests: digestsOf(content), SignedAt: time.Now()}
}

func (w *world) npm(name, version string) provenance.Coordinate {
	w.t.Helper()
	c, err := provenance.NewCoordinate("npm", name, version, "")
	must(w.t, err)
	return c
}

// signed is a submission of the draft by a publisher's key, of whose file the back end observed the same.
func (w *world) signed(d provenance.Draft, publisher ed25519.PrivateKey) signer.Submission {
	w.t.Helper()
	p, err := d.Sign(publisher)
	must(w.t, err)
	return signer.Submission{Publication: p.Envelope, Observed: signer.Observed{Digests: d.Digests, Size: 7}}
}

// send submits one and gives its outcome.
func (w *world) send(sub signer.Submission) signer.Outcome {
	w.t.Helper()
	out, problem := w.Countersign(context.Background(), w.caller, []signer.Submission{sub}, false)
	if problem != nil {
		return signer.Outcome{Problem: problem}
	}
	return out[0]
}

// accepted sends one that must be countersigned, and gives its bundle.
func (w *world) accepted(sub signer.Submission) []byte {
	w.t.Helper()
	out := w.send(sub)
	if out.Problem != nil {
		w.t.Fatal(out.Problem)
	}
	return out.Bundle
}

// refused sends one that must be refused with a code, and nothing logged.
func (w *world) refused(sub signer.Submission, code signer.Code) *signer.Problem {
	w.t.Helper()
	before := w.Status().Size
	out := w.send(sub)
	if out.Problem == nil || out.Problem.Code() != code || out.Bundle != nil || out.Problem.Logged {
		w.t.Fatalf("want %s and nothing logged: %+v", code, out.Problem)
	}
	if after := w.Status().Size; after != before {
		w.t.Fatalf("%s, and %d entries were logged", code, after-before)
	}
	return out.Problem
}

// verify holds a bundle to the pin of this world's registry.
func (w *world) verify(bundle []byte, purl, content string) error {
	w.t.Helper()
	pins, err := provenance.ParsePins(fmt.Appendf(nil, "version = 1\n[[pin]]\nnamespace = 'pkg:npm/@acme/*'\nregistry = %q\nidentity = %q\n",
		registry, w.identity.Envelope.PayloadDigest()))
	must(w.t, err)
	_, err = provenance.Verify(provenance.Request{Purl: purl, Digests: digestsOf(content), Bundle: bundle, Pins: pins, Now: time.Now()})
	return err
}

// guardAgent is an agent without its socket: the guard and its durable state are the real ones.
type guardAgent struct {
	*agent.Guard
	name  string
	key   ed25519.PrivateKey
	dir   string // of the state
	log   agent.Log
	state *agent.State
	fault func(ctx context.Context, op string) error // nil: none
}

// open starts the agent from its state on disk.
func (g *guardAgent) open(t testing.TB) {
	t.Helper()
	var err error
	until(t, "nobody holds the watermark", func() bool { // a call that was left may still write it
		g.state, err = agent.OpenState(g.dir, g.log.Origin)
		return err == nil || !strings.Contains(err.Error(), "in use by another agent")
	})
	must(t, err)
	g.Guard, err = agent.NewGuard(g.log, g.key, g.state)
	must(t, err)
}

func (g *guardAgent) trip(ctx context.Context, op string) error {
	if g.fault == nil {
		return nil
	}
	return g.fault(ctx, op)
}

func (g *guardAgent) Watermark(ctx context.Context, _ string) (agent.Head, error) {
	if err := g.trip(ctx, "watermark"); err != nil {
		return agent.Head{}, err
	}
	return g.Guard.Watermark(), nil
}

func (g *guardAgent) Sign(ctx context.Context, _ string, head agent.Head, proof []tlog.Hash) ([64]byte, agent.Head, error) {
	if err := g.trip(ctx, "sign"); err != nil {
		return [64]byte{}, agent.Head{}, err
	}
	sig, err := g.Guard.Sign(ctx, head.Size, head.Root, proof)
	return sig, head, err
}

func (g *guardAgent) Record(ctx context.Context, _ string, checkpoint []byte, proof []tlog.Hash) (agent.Head, error) {
	if err := g.trip(ctx, "record"); err != nil {
		return agent.Head{}, err
	}
	return g.Guard.Record(ctx, checkpoint, proof)
}

// wrongSigner is an agent whose signatures can be made bad.
type wrongSigner struct {
	*guardAgent
	bad atomic.Bool
}

func (g *wrongSigner) Sign(ctx context.Context, origin string, head agent.Head, proof []tlog.Hash) ([64]byte, agent.Head, error) {
	sig, mark, err := g.guardAgent.Sign(ctx, origin, head, proof)
	if g.bad.Load() {
		sig[0] ^= 1
	}
	return sig, mark, err
}
