package provenance_test

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// extend signs the next version as change makes it, with keys, and asks whether the chain takes it. A version that
// cannot even be written counts as refused.
func (w *world) extend(change func(*provenance.Identity), keys ...ed25519.PrivateKey) error {
	id, err := w.draft(change).Sign(signers(keys...)...)
	if err != nil {
		return err
	}
	_, err = must(provenance.ParseChain(w.envelopes())).Extend(id.Envelope)
	return err
}

func nothing(*provenance.Identity) {}

// wantError is for errors whose text is not part of the format: some words of it say that it is the right one.
func wantError(t testing.TB, what string, err error, words string) {
	t.Helper()
	switch {
	case words == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case words != "" && err == nil:
		t.Errorf("%s: accepted, want %q", what, words)
	case words != "" && !strings.Contains(err.Error(), words):
		t.Errorf("%s: %v, want %q", what, err, words)
	}
}

func TestChainThreshold(t *testing.T) {
	w := newWorld(registry)
	a, b, c, stranger := w.root[0], w.root[1], w.root[2], testKey("stranger")
	for what, s := range map[string]struct {
		keys []ed25519.PrivateKey
		want string
	}{
		"two":                  {[]ed25519.PrivateKey{a, b}, ""},
		"other two":            {[]ed25519.PrivateKey{c, b}, ""},
		"three":                {[]ed25519.PrivateKey{a, b, c}, ""},
		"one":                  {[]ed25519.PrivateKey{a}, "1 signatures of a root that needs 2"},
		"one twice":            {[]ed25519.PrivateKey{a, a}, "two signatures by"},
		"a stranger":           {[]ed25519.PrivateKey{a, stranger}, "which is no root key"},
		"two and a stranger":   {[]ed25519.PrivateKey{a, b, stranger}, "which is no root key"},
		"two and the officer":  {[]ed25519.PrivateKey{a, b, w.officer}, "which is no root key"},
		"one and the log keys": {[]ed25519.PrivateKey{a, w.logKeys[0], w.logKeys[1]}, "which is no root key"},
		"none":                 {nil, "must all be there"},
	} {
		wantError(t, "next: "+what, w.extend(nothing, s.keys...), s.want)
		first := *w.versions[0]
		first.Issued = dayOne
		id, err := first.Sign(signers(s.keys...)...)
		if err == nil {
			_, err = provenance.ParseChain([]*provenance.Envelope{id.Envelope})
		}
		wantError(t, "first: "+what, err, s.want)
	}
}

// A bad signature is refused even where enough others are good.
func TestChainBadSignature(t *testing.T) {
	w := newWorld(registry)
	e := *must(w.draft(nothing).Sign(signers(w.root...)...)).Envelope
	e.Signatures = slices.Clone(e.Signatures)
	e.Signatures[2].Sig = flip(e.Signatures[2].Sig, 9, 1)
	_, err := must(provenance.ParseChain(w.envelopes())).Extend(&e)
	wantError(t, "third signature bad", err, "does not verify")
	e.Signatures[2].Sig, e.Signatures[1].Sig = e.Signatures[1].Sig, e.Signatures[2].Sig
	_, err = must(provenance.ParseChain(w.envelopes())).Extend(&e)
	wantError(t, "signatures under each other's ids", err, "does not verify")
}

// A new root needs the old one's threshold and its own; a key in both counts for both.
func TestChainRootRotation(t *testing.T) {
	w := newWorld(registry)
	fresh := testKeys("new root")
	rotate := func(threshold int, keys ...ed25519.PrivateKey) func(*provenance.Identity) {
		return func(id *provenance.Identity) {
			id.Root = provenance.Root{Threshold: threshold, Keys: publicKeys(keys...)}
		}
	}
	all := rotate(2, fresh...)
	wantError(t, "both roots", w.extend(all, w.root[0], w.root[1], fresh[0], fresh[1]), "")
	wantError(t, "old root alone", w.extend(all, w.root...), "0 signatures of a root that needs 2")
	wantError(t, "new root alone", w.extend(all, fresh...), "0 signatures of a root that needs 2")
	wantError(t, "one short of the old", w.extend(all, w.root[0], fresh[0], fresh[1]), "1 signatures of a root that needs 2")
	wantError(t, "one short of the new", w.extend(all, w.root[0], w.root[1], fresh[0]), "1 signatures of a root that needs 2")

	kept := rotate(2, w.root[0], w.root[1], fresh[0])
	wantError(t, "two keys in both", w.extend(kept, w.root[0], w.root[1]), "")
	wantError(t, "one key in both, one of each", w.extend(kept, w.root[0], w.root[2], fresh[0]), "")
	wantError(t, "one key in both, one of the old", w.extend(kept, w.root[0], w.root[2]), "1 signatures of a root that needs 2")
	wantError(t, "one key in both, one of the new", w.extend(kept, w.root[0], fresh[0]), "1 signatures of a root that needs 2")
	wantError(t, "threshold raised", w.extend(rotate(3, w.root...), w.root[0], w.root[1]), "2 signatures of a root that needs 3")
	wantError(t, "threshold lowered", w.extend(rotate(1, w.root...), w.root[0]), "1 signatures of a root that needs 2")
	wantError(t, "threshold lowered, two sign", w.extend(rotate(1, w.root...), w.root[0], w.root[1]), "")
}

func TestChainSuccession(t *testing.T) {
	for what, c := range map[string]struct {
		change func(w *world, id *provenance.Identity)
		want   string
	}{
		"unchanged":          {func(*world, *provenance.Identity) {}, ""},
		"version skipped":    {func(_ *world, id *provenance.Identity) { id.Version++ }, "does not follow version"},
		"version repeated":   {func(_ *world, id *provenance.Identity) { id.Version-- }, "does not follow version"},
		"version 1 again":    {func(_ *world, id *provenance.Identity) { id.Version, id.Previous = 1, "" }, "does not follow version"},
		"no previous":        {func(_ *world, id *provenance.Identity) { id.Previous = "" }, "previous belongs in every version"},
		"another previous":   {func(w *world, id *provenance.Identity) { id.Previous = w.fingerprint() }, "previous is not the digest"},
		"issued the same":    {func(_ *world, id *provenance.Identity) { id.Issued = dayOne }, ""},
		"issued before":      {func(_ *world, id *provenance.Identity) { id.Issued = dayOne.Add(-time.Second) }, "issued is before"},
		"expires before":     {func(_ *world, id *provenance.Identity) { id.Expires = yearEnd.Add(-time.Hour) }, ""},
		"another registry":   {func(w *world, id *provenance.Identity) { moveRegistry(w, id) }, "registry changed"},
		"log vanished":       {func(w *world, id *provenance.Identity) { id.Logs = id.Logs[1:] }, "log registry.example/countersign/1 is missing"},
		"log reopened":       {func(w *world, id *provenance.Identity) { swapClosed(w, id) }, "cannot be opened again"},
		"log key vanished":   {func(_ *world, id *provenance.Identity) { id.Logs[1].Keys = id.Logs[1].Keys[:3] }, "is missing"},
		"ended key vanished": {func(_ *world, id *provenance.Identity) { id.Logs[1].Keys = id.Logs[1].Keys[1:] }, "is missing"},
		"ended key revived":  {func(_ *world, id *provenance.Identity) { id.Logs[1].Keys[0].Ended = nil }, "was ended and cannot come back"},
		"another key ended":  {func(w *world, id *provenance.Identity) { id.Logs[1].Keys[1].Ended = anchor(w.log.head(1)) }, ""},
		"officer revived":    {func(_ *world, id *provenance.Identity) { id.Enrol[0].Ended = false }, "must stay in the list as ended"},
		"officer vanished":   {func(_ *world, id *provenance.Identity) { id.Enrol = id.Enrol[1:] }, "must stay in the list as ended"},
		"officer dropped":    {func(_ *world, id *provenance.Identity) { id.Enrol = append(id.Enrol[:1:1], id.Enrol[2:]...) }, ""},
	} {
		w := richWorld()
		wantError(t, what, w.extend(func(id *provenance.Identity) { c.change(w, id) }, w.root[:2]...), c.want)
	}
}

// richWorld has a closed log, an open one with an ended key, and three officers, the first of them ended.
func richWorld() *world {
	w := newWorld(registry)
	end := anchor(w.log.head(1))
	w.next(func(id *provenance.Identity) {
		id.Issued = dayOne
		id.Logs[0].Closed = end
		second := w.logOf(2, append(testKeys(registry+" log 2"), testKey("fourth")))
		second.Keys[0].Ended = end
		id.Logs = append(id.Logs, second)
		id.Enrol = append(id.Enrol, provenance.EnrolKey{PublicKey: publicKey(testKey("officer 2"))},
			provenance.EnrolKey{PublicKey: publicKey(testKey("officer 3"))})
		id.Enrol[0].Ended = true
	})
	return w
}

func moveRegistry(w *world, id *provenance.Identity) {
	id.Registry = "other.example"
	for i := range id.Logs {
		id.Logs[i].Origin = strings.Replace(id.Logs[i].Origin, w.name, "other.example", 1)
	}
}

func swapClosed(w *world, id *provenance.Identity) {
	id.Logs[0].Closed, id.Logs[1].Closed = nil, anchor(w.log.head(1))
}

func TestChainOrder(t *testing.T) {
	w := richWorld()
	w.next(nothing)
	v := w.envelopes()
	for what, list := range map[string][]*provenance.Envelope{
		"nothing": nil, "second first": {v[1]}, "first twice": {v[0], v[0]}, "one missing": {v[0], v[2]},
		"unordered": {v[0], v[2], v[1]}, "backwards": {v[2], v[1], v[0]}, "last twice": {v[0], v[1], v[2], v[2]}, "an absent one": {v[0], nil},
	} {
		if _, err := provenance.ParseChain(list); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	c := must(provenance.ParseChain(v))
	if c.Last().Version != 3 || c.Fingerprint() != w.fingerprint() || !slices.Equal(c.Envelopes(), v) {
		t.Errorf("chain ends with %d, is %s", c.Last().Version, c.Fingerprint())
	}
	for version, want := range map[uint64]bool{0: false, 1: false, 2: true, 3: false, 4: false} {
		if c.Contains(version, v[1].PayloadDigest()) != want {
			t.Errorf("contains version 2 as %d: %t", version, !want)
		}
	}
}

// Extend leaves the shorter chain as it is: two ways to go on from it do not disturb each other.
func TestChainExtendSharesNothing(t *testing.T) {
	w := newWorld(registry)
	c := must(provenance.ParseChain(w.envelopes()))
	one := must(w.draft(nothing).Sign(signers(w.root[:2]...)...))
	two := must(w.draft(func(id *provenance.Identity) { id.Issued = dayTwo }).Sign(signers(w.root[:2]...)...))
	first := must(c.Extend(one.Envelope))
	second := must(c.Extend(two.Envelope))
	if c.Last().Version != 1 || !first.Last().Issued.Equal(dayZero) || !second.Last().Issued.Equal(dayTwo) {
		t.Error("chains share their versions")
	}
	if _, err := first.Longer(second); err == nil {
		t.Error("two versions 2 agree")
	}
}

func TestChainLonger(t *testing.T) {
	w := newWorld(registry)
	short := must(provenance.ParseChain(w.envelopes()))
	w.next(nothing)
	w.next(nothing)
	long := must(provenance.ParseChain(w.envelopes()))
	for _, pair := range [][2]*provenance.Chain{{short, long}, {long, short}, {long, long}} {
		if got, err := pair[0].Longer(pair[1]); err != nil || got != long {
			t.Errorf("longer of %d and %d: %v", pair[0].Last().Version, pair[1].Last().Version, err)
		}
	}
	w.versions = w.versions[:1]
	w.next(func(id *provenance.Identity) { id.Issued = dayTwo })
	branch := must(provenance.ParseChain(w.envelopes()))
	for _, pair := range [][2]*provenance.Chain{{branch, long}, {long, branch}} {
		_, err := pair[0].Longer(pair[1])
		wantError(t, "two histories", err, "its root keys signed both")
	}
	other := must(provenance.ParseChain(newWorld("other.example").envelopes()))
	if _, err := other.Longer(long); err == nil {
		t.Error("chains of two registries agree")
	}
}

// The consumer's own chain and the bundle's: the longer decides, a fork is a hard error, and latest stops a rollback.
func TestVerifyChains(t *testing.T) {
	w := newWorld(registry)
	old := w.envelopes()
	exclude(w, 3, 4, "")
	last := w.envelopes()
	w.versions = w.versions[:1]
	w.next(func(id *provenance.Identity) { id.Issued = dayTwo })
	fork := w.envelopes()
	other := newWorld("other.example").envelopes()
	latest := "latest = {version = 2, sha256 = \"" + strings.TrimPrefix(last[1].PayloadDigest(), "sha256:") + "\"}"
	for what, c := range map[string]struct {
		bundle, own []*provenance.Envelope
		more        string
		want        provenance.Code
	}{
		"old in the bundle":                {old, nil, "", "verified"},
		"old in the bundle, new at hand":   {old, last, "", provenance.Excluded},
		"new in the bundle, old at hand":   {last, old, "", provenance.Excluded},
		"new at hand alone":                {nil, last, "", provenance.Excluded},
		"a fork":                           {last, fork, "", provenance.IdentityMismatch},
		"another registry's at hand":       {old, other, "", provenance.IdentityMismatch},
		"another registry's in the bundle": {other, old, "", provenance.IdentityMismatch},
		"a broken one in the bundle":       {last[1:], old, "", provenance.IdentityMismatch},
		"old, latest pinned":               {old, nil, latest, provenance.IdentityRollback},
		"fork, latest pinned":              {fork, nil, latest, provenance.IdentityRollback},
		"new, latest pinned":               {last, nil, latest, provenance.Excluded},
		"old and new, latest pinned":       {old, last, latest, provenance.Excluded},
	} {
		p := w.plan()
		p.pin.more = c.more
		p.spoilBundle = func(b *provenance.Bundle) { b.Identity = c.bundle }
		p.spoilRequest = func(r *provenance.Request) { r.Chain = chainOf(c.own) }
		wantCode(t, what, p.verify(), c.want)
	}
}

// chainOf is a consumer's own chain; nil for none.
func chainOf(envelopes []*provenance.Envelope) *provenance.Chain {
	if envelopes == nil {
		return nil
	}
	return must(provenance.ParseChain(envelopes))
}

// The pin's registry is held to the identity's even though the fingerprint already decides.
func TestVerifyPinnedRegistry(t *testing.T) {
	p := newWorld(registry).plan()
	p.pin.registry = "other.example"
	wantCode(t, "another registry's name", p.verify(), provenance.IdentityMismatch)
}

// A mirror's own chain, however long, is refused by its fingerprint before any of its signatures is verified.
func TestVerifyForeignChainIsNotVerified(t *testing.T) {
	p := newWorld(registry).plan()
	foreign := *newWorld("other.example").versions[0].Envelope
	foreign.Signatures = []provenance.Signature{{KeyID: fingerprint(testKey("stranger")), Sig: make([]byte, 64)}}
	p.spoilBundle = func(b *provenance.Bundle) { b.Identity = []*provenance.Envelope{&foreign} }
	err := p.verify()
	wantCode(t, "foreign chain", err, provenance.IdentityMismatch)
	wantError(t, "foreign chain", err, "pinned is "+p.w.fingerprint())
}
