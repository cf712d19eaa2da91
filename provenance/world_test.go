package provenance_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// The world of these tests: registries with a root of three (two sign), logs with three keys (two sign), one enrolment
// key and one publisher, all from fixed seeds. Nothing in it is random, so a failure repeats.

// testKey is the key of a name: the same in every run.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func testKeys(prefix string) []ed25519.PrivateKey {
	return []ed25519.PrivateKey{testKey(prefix + " A"), testKey(prefix + " B"), testKey(prefix + " C")}
}

func publicKey(k ed25519.PrivateKey) provenance.PublicKey {
	p, err := provenance.NewPublicKey(k.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return p
}

func publicKeys(keys ...ed25519.PrivateKey) []provenance.PublicKey {
	var out []provenance.PublicKey
	for _, k := range keys {
		out = append(out, publicKey(k))
	}
	return out
}

func fingerprint(k ed25519.PrivateKey) string { return publicKey(k).Fingerprint() }

func signers(keys ...ed25519.PrivateKey) []crypto.Signer {
	var out []crypto.Signer
	for _, k := range keys {
		out = append(out, k)
	}
	return out
}

// must is for the parts of a scenario that are not under test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func sha256Of(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

func namespaces(patterns ...string) []provenance.Namespace {
	var out []provenance.Namespace
	for _, p := range patterns {
		out = append(out, must(provenance.ParseNamespace(p)))
	}
	return out
}

var (
	dayZero = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // the identity is issued
	dayOne  = dayZero.AddDate(0, 0, 1)                     // certificates
	dayTwo  = dayZero.AddDate(0, 0, 2)                     // publications and countersignatures
	yearEnd = dayZero.AddDate(1, 0, 0)                     // the identity expires
)

// world is one registry: its keys, its identity so far, its logs.
type world struct {
	name      string
	root      []ed25519.PrivateKey
	logKeys   []ed25519.PrivateKey // of log 1
	officer   ed25519.PrivateKey   // signs enrolments
	publisher ed25519.PrivateKey
	versions  []*provenance.Identity
	log       *testLog // log 1; entry 0 is identity version 1
}

func newWorld(name string) *world {
	w := &world{name: name, root: testKeys(name + " root"), logKeys: testKeys(name + " log 1"),
		officer: testKey(name + " officer"), publisher: testKey(name + " publisher")}
	first := provenance.Identity{
		Registry:   name,
		Version:    1,
		Root:       provenance.Root{Threshold: 2, Keys: publicKeys(w.root...)},
		Logs:       []provenance.Log{w.logOf(1, w.logKeys)},
		Enrol:      []provenance.EnrolKey{{PublicKey: publicKey(w.officer)}},
		Namespaces: namespaces("pkg:npm/@acme/*", "pkg:pypi/acme-*"),
		Excluded:   []provenance.Exclusion{},
		Issued:     dayZero,
		Expires:    yearEnd,
	}
	w.versions = []*provenance.Identity{must(first.Sign(signers(w.root[:2]...)...))}
	w.log = newLog(w.origin(1), w.logKeys)
	w.log.add(w.last().Envelope.JSON())
	return w
}

func (w *world) origin(n int) string { return fmt.Sprintf("%s/countersign/%d", w.name, n) }

// logOf is a log of an identity in which two of the keys must sign.
func (w *world) logOf(n int, keys []ed25519.PrivateKey) provenance.Log {
	l := provenance.Log{Origin: w.origin(n), Threshold: 2}
	for _, k := range publicKeys(keys...) {
		l.Keys = append(l.Keys, provenance.LogKey{PublicKey: k})
	}
	return l
}

func (w *world) last() *provenance.Identity { return w.versions[len(w.versions)-1] }

func (w *world) fingerprint() string { return w.versions[0].Envelope.PayloadDigest() }

func (w *world) envelopes() []*provenance.Envelope {
	var out []*provenance.Envelope
	for _, id := range w.versions {
		out = append(out, id.Envelope)
	}
	return out
}

// draft is the next version as change makes it, not yet signed. It shares nothing with the version before it.
func (w *world) draft(change func(*provenance.Identity)) provenance.Identity {
	id := *w.last()
	id.Version, id.Previous = id.Version+1, w.last().Envelope.PayloadDigest()
	id.Root.Keys, id.Enrol = slices.Clone(id.Root.Keys), slices.Clone(id.Enrol)
	id.Logs, id.Excluded = slices.Clone(id.Logs), slices.Clone(id.Excluded)
	for i := range id.Logs {
		id.Logs[i].Keys = slices.Clone(id.Logs[i].Keys)
	}
	change(&id)
	return id
}

// next signs a further version with two root keys.
func (w *world) next(change func(*provenance.Identity)) {
	w.versions = append(w.versions, must(w.draft(change).Sign(signers(w.root[:2]...)...)))
}

// endTwo is a version that ends two keys of log 1 at the head of size, adds two others, and changes what more does.
func (w *world) endTwo(size int, more ...func(*provenance.Identity)) {
	end := anchor(w.log.head(size))
	w.next(func(id *provenance.Identity) {
		for _, change := range more {
			change(id)
		}
		l := &id.Logs[0]
		l.Keys[0].Ended, l.Keys[1].Ended = end, end
		for _, k := range w.newKeys() {
			l.Keys = append(l.Keys, provenance.LogKey{PublicKey: publicKey(k)})
		}
	})
}

// newKeys are the keys that endTwo adds.
func (w *world) newKeys() []ed25519.PrivateKey { return testKeys(w.name + " new log 1")[:2] }

func anchor(h provenance.Head) *provenance.Anchor {
	return &provenance.Anchor{Size: h.Size, Root: h.Root[:]}
}

// code is what Verify answered, in one word: a refusal's code, or one of the others.
func code(err error) provenance.Code {
	var r *provenance.Refusal
	var u *provenance.Unchecked
	switch {
	case err == nil:
		return "verified"
	case errors.As(err, &r):
		return r.Code
	case errors.As(err, &u):
		return "unchecked"
	}
	return "bad request"
}

func wantCode(t testing.TB, what string, err error, want provenance.Code) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

func mustCoordinate(purl string) provenance.Coordinate { return must(provenance.ParseCoordinate(purl)) }
