package gate_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// The world of these tests: a registry with real keys, a log made with golang.org/x/mod/sumdb/tlog, and what it
// countersigned.

var dayZero = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const theRegistry = "registry.example"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicKey(k ed25519.PrivateKey) provenance.PublicKey {
	return must(provenance.NewPublicKey(k.Public().(ed25519.PublicKey)))
}

type world struct {
	name     string
	versions []*provenance.Identity
	keys     []ed25519.PrivateKey // that sign heads
	entries  [][]byte
	hashes   []tlog.Hash
	certs    map[string]*provenance.Envelope // by publisher
	byDigest map[string]*provenance.Envelope
	covered  uint64            // by the next status; 0: all that there is
	index    map[string][]int  // of statements, by expected purl
	gone     map[string]string // withdrawn purls
	notes    map[int]string    // signed heads, by size
}

func newWorld(name string) *world {
	w := &world{name: name, certs: make(map[string]*provenance.Envelope), byDigest: make(map[string]*provenance.Envelope), index: make(map[string][]int), gone: make(map[string]string),
		notes: make(map[int]string)}
	w.keys = []ed25519.PrivateKey{testKey(name + " log")}
	first := provenance.Identity{Registry: name, Version: 1,
		Root:  provenance.Root{Threshold: 1, Keys: []provenance.PublicKey{publicKey(testKey(name + " root"))}},
		Logs:  []provenance.Log{{Origin: w.origin(), Threshold: 1, Keys: []provenance.LogKey{{PublicKey: publicKey(w.keys[0])}}}},
		Enrol: []provenance.EnrolKey{{PublicKey: publicKey(testKey(name + " officer"))}}, Excluded: []provenance.Exclusion{},
		Issued: dayZero, Expires: dayZero.AddDate(1, 0, 0)}
	for _, n := range []string{"pkg:npm/@acme/*", "pkg:npm/p*", "pkg:pypi/acme-*", "pkg:maven/com.acme/*", "pkg:golang/acme.example/*"} {
		first.Namespaces = append(first.Namespaces, must(provenance.ParseNamespace(n)))
	}
	w.version(first)
	return w
}

func (w *world) origin() string { return w.name + "/countersign/1" }

func (w *world) fingerprint() string { return w.versions[0].Envelope.PayloadDigest() }

func (w *world) last() *provenance.Identity { return w.versions[len(w.versions)-1] }

func (w *world) version(id provenance.Identity) {
	signed := must(id.Sign([]crypto.Signer{testKey(w.name + " root")}...))
	w.versions = append(w.versions, signed)
	w.add(signed.Envelope.JSON())
}

// next signs a further version of the identity.
func (w *world) next(change func(*provenance.Identity)) {
	id := *w.last()
	id.Version, id.Previous = id.Version+1, id.Envelope.PayloadDigest()
	id.Logs = slices.Clone(id.Logs)
	for i := range id.Logs {
		id.Logs[i].Keys = slices.Clone(id.Logs[i].Keys)
	}
	change(&id)
	w.version(id)
}

// rotate ends the log's key at the present size and has another sign.
func (w *world) rotate() {
	end := w.head(len(w.entries))
	fresh := testKey(fmt.Sprint(w.name, " log ", len(w.versions)))
	w.next(func(id *provenance.Identity) {
		keys := id.Logs[0].Keys
		keys[len(keys)-1].Ended = &provenance.Anchor{Size: end.Size, Root: end.Root[:]}
		id.Logs[0].Keys = append(keys, provenance.LogKey{PublicKey: publicKey(fresh)})
	})
	w.keys, w.notes = []ed25519.PrivateKey{fresh}, make(map[int]string)
}

func (w *world) add(entry []byte) int {
	n := len(w.entries)
	stored := must(tlog.StoredHashes(int64(n), entry, w.reader()))
	w.entries, w.hashes = append(w.entries, entry), append(w.hashes, stored...)
	return n
}

func (w *world) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = w.hashes[at]
		}
		return out, nil
	})
}

func (w *world) head(size int) provenance.Head {
	return provenance.Head{Origin: w.origin(), Size: uint64(size), Root: must(tlog.TreeHash(int64(size), w.reader()))}
}

func (w *world) note(size int) string {
	if known := w.notes[size]; known != "" {
		return known
	}
	h := w.head(size)
	var signatures []provenance.KeySignature
	for _, k := range w.keys {
		signatures = append(signatures, provenance.KeySignature{Key: publicKey(k), Signature: ed25519.Sign(k, []byte(h.Text()))})
	}
	w.notes[size] = provenance.SignedNote(h, signatures)
	return w.notes[size]
}

func (w *world) proof(index int) *provenance.Proof {
	size := len(w.entries)
	return &provenance.Proof{Index: uint64(index), Hashes: must(tlog.ProveRecord(int64(size), int64(index), w.reader())), Checkpoint: w.note(size)}
}

func digestsOf(content string) provenance.Digests {
	a, b := sha256.Sum256([]byte(content)), sha512.Sum512([]byte(content))
	return provenance.Digests{"sha256": hex.EncodeToString(a[:]), "sha512": hex.EncodeToString(b[:])}
}

// coordinate is of ecosystem, name, version and, where there are four, file.
func coordinate(parts ...string) provenance.Coordinate {
	return must(provenance.NewCoordinate(parts[0], parts[1], parts[2], strings.Join(parts[3:], "")))
}

// certificate is a publisher's, made at first use.
func (w *world) certificate(publisher string) *provenance.Envelope {
	if known := w.certs[publisher]; known != nil {
		return known
	}
	e := must(provenance.Enrolment{Registry: w.name, Publisher: publicKey(testKey(publisher)), Namespaces: w.last().Namespaces,
		Issued: dayZero}.Sign(testKey(w.name + " officer")))
	w.certs[publisher], w.byDigest[e.Envelope.PayloadDigest()] = e.Envelope, e.Envelope
	w.add(e.Envelope.JSON())
	return e.Envelope
}

// publish countersigns a file.
func (w *world) publish(publisher string, c provenance.Coordinate, content, attributes string) {
	d := provenance.Draft{Registry: w.name, Coordinate: c, FileName: cmp.Or(c.FileName(), "file"), Digests: digestsOf(content), SignedAt: dayZero}
	if attributes != "" {
		d.Attributes = []byte(attributes)
	}
	w.log(c, must((&provenance.Countersignature{Claim: w.claim(c), Publication: must(d.Sign(testKey(publisher))),
		Enrolment: w.certificate(publisher).PayloadDigest()}).Statement()))
}

func (w *world) claim(c provenance.Coordinate) provenance.Claim {
	return provenance.Claim{Registry: w.name, Origin: w.origin(), Identity: w.fingerprint(), Coordinate: c, At: dayZero.AddDate(0, 0, 1)}
}

// vouch logs the registry's word alone.
func (w *world) vouch(c provenance.Coordinate, content string) {
	w.log(c, must((&provenance.RegistryStatement{Claim: w.claim(c), Subject: provenance.Subject{Name: "file", Digest: digestsOf(content)},
		Reason: "backfill", Evidence: []provenance.Evidence{}}).Statement()))
}

func (w *world) log(c provenance.Coordinate, statement []byte) {
	i := w.add(statement)
	w.index[c.String()] = append(w.index[c.String()], i)
	if r := c.Release(); r != c {
		w.index[r.String()] = append(w.index[r.String()], i)
	}
}

func (w *world) chain() []*provenance.Envelope {
	var out []*provenance.Envelope
	for _, id := range w.versions {
		out = append(out, id.Envelope)
	}
	return out
}

// bundle is a complete one of the entry, under the newest head.
func (w *world) bundle(index int) *provenance.Bundle {
	b := &provenance.Bundle{Statement: w.entries[index], Proof: w.proof(index), Identity: w.chain()}
	if c, ok := must(provenance.ParseEntry(w.entries[index])).(*provenance.Countersignature); ok {
		b.Enrolment = w.byDigest[c.Enrolment]
	}
	return b
}

// bundles are those of an expected purl.
func (w *world) bundles(purl string) (out [][]byte) {
	for _, i := range w.index[purl] {
		out = append(out, w.bundle(i).JSON())
	}
	return out
}

// status makes and logs a status document.
func (w *world) status(at time.Time, withdrawals []provenance.WithdrawnCoordinate, ended []provenance.EndedEnrolment) []byte {
	size := cmp.Or(w.covered, uint64(len(w.entries)))
	document := must((&provenance.StatusDocument{Registry: w.name, Logs: []provenance.CoveredLog{{Origin: w.origin(), Size: size}},
		Withdrawals: append([]provenance.WithdrawnCoordinate{}, withdrawals...), Ended: append([]provenance.EndedEnrolment{}, ended...)}).JSON())
	i := w.add(must((&provenance.StatusStatement{Registry: w.name, Origin: w.origin(), Identity: w.fingerprint(), Size: size, At: at,
		Document: sha256.Sum256(document)}).Statement()))
	return (&provenance.StatusBundle{Statement: w.entries[i], Proof: w.proof(i), Document: document, Identity: w.chain()}).JSON()
}

// pins is a pins file with one pin per namespace; more is put into each.
func (w *world) pins(head, more string, namespaces ...string) *provenance.Pins {
	text := "version = 1\n" + head + "\n"
	for _, n := range namespaces {
		text += fmt.Sprintf("[[pin]]\nnamespace = %q\nregistry = %q\nidentity = %q\n%s\n", n, w.name, w.fingerprint(), more)
	}
	return must(provenance.ParsePins([]byte(text)))
}

// acme are the pins that most tests have.
func (w *world) acme() *provenance.Pins {
	return w.pins(`default = "ignore"`, "", "pkg:npm/@acme/*", "pkg:pypi/acme-*", "pkg:maven/com.acme/*", "pkg:golang/acme.example/*")
}

// entry is one of a lockfile, with the sha512 of each content.
func entry(c provenance.Coordinate, contents ...string) lockfile.Entry {
	e := lockfile.Entry{Coordinate: c.Release(), Name: c.Name(), Line: 7, Source: "https://packages.example/" + c.Name()}
	for _, content := range contents {
		name := "sha512"
		if c.Type() == "pypi" {
			name = "sha256"
		}
		e.Files = append(e.Files, provenance.Digests{name: digestsOf(content)[name]})
	}
	return e
}

func lock(ecosystem string, entries ...lockfile.Entry) *lockfile.File {
	return &lockfile.File{Path: ecosystem + ".lock", Format: ecosystem + " test", Ecosystem: ecosystem, Entries: entries}
}

// shelf is a place that gives what a test puts there.
type shelf struct {
	name     string
	bundles  map[string][][]byte // by expected purl
	answers  map[string]gate.Answer
	chain    []*provenance.Envelope
	statuses [][]byte
	asked    []string
}

// shelf is one with everything that the registry countersigned.
func (w *world) shelf() *shelf {
	s := &shelf{name: "shelf", bundles: make(map[string][][]byte), answers: make(map[string]gate.Answer), chain: w.chain()}
	for purl := range w.index {
		s.bundles[purl] = w.bundles(purl)
	}
	return s
}

func (s *shelf) String() string { return s.name }

func (s *shelf) Introduce(_ context.Context, reg *gate.Registry) ([][]byte, error) {
	reg.Meet(s.chain)
	return s.statuses, nil
}

func (s *shelf) Find(_ context.Context, _ *gate.Registry, wanted []provenance.Coordinate, give func(int, gate.Answer)) {
	for i, c := range wanted {
		s.asked = append(s.asked, c.String())
		a, special := s.answers[c.String()]
		if !special {
			a.Bundles = s.bundles[c.String()]
		}
		give(i, a)
	}
}

// newGate asks the places in order.
func newGate(pins *provenance.Pins, places ...gate.Place) *gate.Gate {
	return &gate.Gate{Pins: pins, Places: places, Now: dayZero.AddDate(0, 0, 2)}
}

func checked(g *gate.Gate, files ...*lockfile.File) *gate.Report {
	return g.Check(context.Background(), files)
}

// tells holds a report to its findings, "verdict code name", and to its own arithmetic.
func tells(t *testing.T, what string, r *gate.Report, want ...string) {
	t.Helper()
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%s %s %s", f.Verdict, f.Code, f.Name))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
		for _, f := range r.Findings {
			t.Logf("%s: %s", f.Code, f.Detail)
		}
		t.Logf("%q", r.Notes)
	}
	s := r.Summary
	if sum := s.Verified + s.Refused + s.Unchecked + s.Reported + s.Ignored; sum != s.Entries {
		t.Errorf("%s: %d entries, and %d accounted for: %+v", what, s.Entries, sum, s)
	}
}
