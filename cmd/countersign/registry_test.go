package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/provenance"
)

// registry is a whole registry in memory: root, officer, log keys of which two sign, and a log made with
// golang.org/x/mod/sumdb/tlog. It countersigns as a real one does, without agents.
type registry struct {
	name       string
	root       ed25519.PrivateKey
	officer    ed25519.PrivateKey
	signers    []ed25519.PrivateKey // of the newest head
	versions   []*provenance.Identity
	entries    [][]byte
	hashes     []tlog.Hash
	enrolments map[string]*provenance.Enrolment // by digest
	ended      map[string]bool                  // digests
	statements map[string]int                   // index by purl
}

// must is for the parts of a scenario that are not under test.
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

func namespaces(patterns ...string) []provenance.Namespace { return must(parseNamespaces(patterns)) }

func newRegistry(name string, issued, expires time.Time) *registry {
	r := &registry{name: name, root: testKey(name + " root"), officer: testKey(name + " officer"),
		enrolments: make(map[string]*provenance.Enrolment), ended: make(map[string]bool), statements: make(map[string]int)}
	log := provenance.Log{Origin: r.origin(), Threshold: 2}
	for _, key := range []string{"a", "b", "c"} {
		k := testKey(name + " log " + key)
		r.signers = append(r.signers, k)
		log.Keys = append(log.Keys, provenance.LogKey{PublicKey: publicKey(k)})
	}
	r.signers = r.signers[:2]
	first := provenance.Identity{Registry: name, Version: 1, Root: provenance.Root{Threshold: 1, Keys: []provenance.PublicKey{publicKey(r.root)}},
		Logs: []provenance.Log{log}, Enrol: []provenance.EnrolKey{{PublicKey: publicKey(r.officer)}},
		Namespaces: namespaces("pkg:npm/@acme/*", "pkg:npm/tiny", "pkg:pypi/acme-*", "pkg:golang/example.com/*", "pkg:maven/com.acme/*"),
		Excluded:   []provenance.Exclusion{}, Issued: issued, Expires: expires}
	r.version(first)
	return r
}

func (r *registry) origin() string { return r.name + "/countersign/1" }

func (r *registry) fingerprint() string { return r.versions[0].Envelope.PayloadDigest() }

func (r *registry) chain() []*provenance.Envelope {
	var out []*provenance.Envelope
	for _, id := range r.versions {
		out = append(out, id.Envelope)
	}
	return out
}

// version signs and logs a version of the identity.
func (r *registry) version(id provenance.Identity) {
	signed := must(id.Sign(r.root))
	r.versions = append(r.versions, signed)
	r.add(signed.Envelope.JSON())
}

// next is the draft of another version.
func (r *registry) next() provenance.Identity {
	id := *r.versions[len(r.versions)-1]
	id.Version, id.Previous = id.Version+1, id.Envelope.PayloadDigest()
	return id
}

// rotate ends the two signing keys of the log at its present size and has two new ones sign.
func (r *registry) rotate() {
	head := r.head(len(r.entries))
	id := r.next()
	log := id.Logs[0]
	log.Keys = append([]provenance.LogKey(nil), log.Keys...)
	for i := range 2 {
		log.Keys[i].Ended = &provenance.Anchor{Size: head.Size, Root: head.Root[:]}
		r.signers[i] = testKey(fmt.Sprint(r.name, " new log ", i))
		log.Keys = append(log.Keys, provenance.LogKey{PublicKey: publicKey(r.signers[i])})
	}
	id.Logs = []provenance.Log{log}
	r.version(id)
}

// add appends an entry and gives its index.
func (r *registry) add(entry []byte) int {
	n := len(r.entries)
	stored := must(tlog.StoredHashes(int64(n), entry, r.reader()))
	r.entries, r.hashes = append(r.entries, entry), append(r.hashes, stored...)
	return n
}

func (r *registry) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, at := range indexes {
			out = append(out, r.hashes[at])
		}
		return out, nil
	})
}

func (r *registry) head(size int) provenance.Head {
	return provenance.Head{Origin: r.origin(), Size: uint64(size), Root: must(tlog.TreeHash(int64(size), r.reader()))}
}

func (r *registry) note(size int) string {
	h := r.head(size)
	var signatures []provenance.KeySignature
	for _, k := range r.signers {
		signatures = append(signatures, provenance.KeySignature{Key: publicKey(k), Signature: ed25519.Sign(k, []byte(h.Text()))})
	}
	return provenance.SignedNote(h, signatures)
}

func (r *registry) bridge(from int) *provenance.Bridge {
	to := len(r.entries)
	return must(provenance.NewBridge(r.head(from), r.head(to), must(tlog.ProveTree(int64(to), int64(from), r.reader())), r.note(to)))
}

// bundle proves the entry under the newest head.
func (r *registry) bundle(index int) *provenance.Bundle {
	size := len(r.entries)
	b := &provenance.Bundle{Statement: r.entries[index], Identity: r.chain(), Proof: &provenance.Proof{Index: uint64(index),
		Hashes: must(tlog.ProveRecord(int64(size), int64(index), r.reader())), Checkpoint: r.note(size)}}
	if c, ok := must(provenance.ParseEntry(r.entries[index])).(*provenance.Countersignature); ok {
		b.Enrolment = r.enrolments[c.Enrolment].Envelope
	}
	return b
}

// enrol logs a certificate, or the end of one, and reports whether it is new.
func (r *registry) enrol(e *provenance.Envelope) (digest string, created bool, refusal *problem) {
	if !r.versions[len(r.versions)-1].Enrols(e) {
		return "", false, refuse("enrolment-invalid", 422, "not signed by an enrolment key")
	}
	if end, err := provenance.ParseEnrolmentEnd(e); err == nil {
		if r.enrolments[end.Enrolment] == nil {
			return "", false, refuse("not-found", 404, "no such enrolment is logged")
		}
		created = !r.ended[end.Enrolment]
		r.ended[end.Enrolment] = true
		return end.Enrolment, created, nil
	}
	c := must(provenance.ParseEnrolment(e))
	created = r.enrolments[c.Digest()] == nil
	r.enrolments[c.Digest()] = c
	if created {
		r.add(e.JSON())
	}
	return c.Digest(), created, nil
}

// countersign logs a publication as a real registry would at that time.
func (r *registry) countersign(e *provenance.Envelope, observed provenance.Digests, at time.Time) (index int, created bool, refusal *problem) {
	p, err := provenance.ParsePublication(e)
	if err != nil {
		return 0, false, refuse("malformed", 400, err.Error())
	}
	for name, value := range p.Subject.Digest {
		if observed[name] != value {
			return 0, false, refuse("digest-disagreement", 422, name)
		}
	}
	if i, bound := r.statements[p.Coordinate.String()]; bound {
		before := must(provenance.ParseEntry(r.entries[i])).(*provenance.Countersignature).Publication
		switch {
		case before.Envelope.PayloadDigest() == e.PayloadDigest():
			return i, false, nil
		case before.Subject.Digest["sha256"] == p.Subject.Digest["sha256"]:
			conflict := refuse("publication-conflict", 409, "countersigned under another publication")
			conflict.Existing = before.Envelope.PayloadDigest()
			return 0, false, conflict
		}
		conflict := refuse("coordinate-conflict", 409, "a version's content never changes")
		conflict.Existing = "sha256:" + before.Subject.Digest["sha256"]
		return 0, false, conflict
	}
	for digest, c := range r.enrolments {
		if !r.ended[digest] && c.CoversAt(p.Coordinate, at) && e.SignedBy(c.Publisher) {
			index = r.state(p, digest, at)
			return index, true, nil
		}
	}
	return 0, false, refuse("publisher-not-enrolled", 403, "no enrolment covers "+p.Coordinate.String())
}

// state logs the countersignature, and another entry after it.
func (r *registry) state(p *provenance.Publication, enrolment string, at time.Time) int {
	c := provenance.Countersignature{Claim: r.claim(p.Coordinate, at), Publication: p, Enrolment: enrolment}
	index := r.add(must(c.Statement()))
	r.statements[p.Coordinate.String()] = index
	r.add(fmt.Appendf(nil, "another entry after %d", index))
	return index
}

func (r *registry) claim(c provenance.Coordinate, at time.Time) provenance.Claim {
	return provenance.Claim{Registry: r.name, Origin: r.origin(), Identity: r.fingerprint(), Coordinate: c, At: at}
}

// vouch logs the registry's word alone.
func (r *registry) vouch(c provenance.Coordinate, digests provenance.Digests, at time.Time) int {
	s := provenance.RegistryStatement{Claim: r.claim(c, at), Subject: provenance.Subject{Name: "file", Digest: digests}, Reason: "backfill",
		Evidence: []provenance.Evidence{{Type: "scan", Digest: r.fingerprint()}}}
	return r.add(must(s.Statement()))
}

func refuse(code string, status int, detail string) *problem {
	return &problem{Type: problemType + code, Title: "a title", Status: status, Detail: detail, RequestID: "REQ1"}
}
