package provenance_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"countersign.dev/provenance"
)

// headWorld has a log of 20 entries, two keys of which were ended at size 5.
func headWorld() *world {
	w := newWorld(registry)
	w.log.fill(20)
	w.endTwo(5)
	return w
}

// closedWorld has log 1 closed at size 10, where log 2 begins.
func closedWorld() *world {
	w := newWorld(registry)
	w.log.fill(20)
	closed := anchor(w.log.head(10))
	w.next(func(id *provenance.Identity) {
		id.Logs[0].Closed = closed
		id.Logs = append(id.Logs, w.logOf(2, testKeys(registry+" log 2")))
	})
	return w
}

// counts asks the last version about a head of log 1.
func (w *world) counts(note string, bridges ...*provenance.Bridge) error {
	return w.last().Log(w.origin(1)).Counts(checkpoint(note), bridges)
}

func TestHeadSignatures(t *testing.T) {
	w := headWorld()
	ended, other, new := w.logKeys[:2], w.logKeys[2], w.newKeys()
	// Head 7 is no anchor.
	for what, c := range map[string]struct {
		keys []ed25519.PrivateKey
		want provenance.Code
	}{
		"two active":               {[]ed25519.PrivateKey{other, new[0]}, "verified"},
		"three active":             {[]ed25519.PrivateKey{other, new[0], new[1]}, "verified"},
		"two active and an ended":  {[]ed25519.PrivateKey{ended[0], other, new[0]}, "verified"},
		"one active":               {new[:1], provenance.CheckpointSignatureInvalid},
		"one active and an ended":  {[]ed25519.PrivateKey{ended[0], new[0]}, provenance.KeyEnded},
		"both ended":               {ended, provenance.KeyEnded},
		"a lone ended key":         {ended[:1], provenance.CheckpointSignatureInvalid},
		"a stranger":               {[]ed25519.PrivateKey{testKey("stranger")}, provenance.CheckpointSignatureInvalid},
		"two active, one stranger": {[]ed25519.PrivateKey{other, new[0], testKey("stranger")}, provenance.CheckpointSignatureInvalid},
		"one active, twice":        {[]ed25519.PrivateKey{new[0], new[0]}, provenance.Malformed},
		"two active, one twice":    {[]ed25519.PrivateKey{new[0], other, new[0]}, provenance.Malformed},
		"an officer and a root":    {[]ed25519.PrivateKey{w.officer, w.root[0]}, provenance.CheckpointSignatureInvalid},
	} {
		wantCode(t, what, w.counts(w.log.note(7, c.keys...)), c.want)
	}
	wantCode(t, "a witness alone", w.counts(w.log.head(7).Text()+"\n"+witness), provenance.CheckpointSignatureInvalid)
	wantCode(t, "two active, a witness", w.counts(w.log.note(7, new...)+witness), "verified")
}

// A lone ended key of a log with threshold 1 proves nothing either.
func TestLoneEndedKey(t *testing.T) {
	w := newWorld(registry)
	w.next(func(id *provenance.Identity) {
		id.Logs[0].Threshold = 1
		id.Logs[0].Keys[0].Ended = anchor(w.log.head(1))
	})
	w.log.fill(9)
	wantCode(t, "ended", w.counts(w.log.note(7, w.logKeys[0])), provenance.KeyEnded)
	wantCode(t, "active", w.counts(w.log.note(7, w.logKeys[1])), "verified")
	wantCode(t, "bridge to its head", w.counts(w.log.note(7, w.logKeys[0]), w.log.bridge(7, 9, w.logKeys[0])), provenance.KeyEnded)
}

// Lines that are there must be good, even on a head that needs none of them.
func TestHeadBadLines(t *testing.T) {
	w := headWorld()
	bridge := w.log.bridge(7, 12, w.newKeys()...)
	for _, size := range []int{5, 7} { // an anchor, and a head with a bridge
		good := w.log.note(size, w.logKeys[:2]...)
		wantCode(t, "good lines", w.counts(good, bridge), "verified")
		wantCode(t, "no lines but a witness's", w.counts(w.log.head(size).Text()+"\n"+witness, bridge), "verified")
		wantCode(t, "a stranger's", w.counts(w.log.note(size, testKey("stranger")), bridge), provenance.CheckpointSignatureInvalid)
		wantCode(t, "another head's", w.counts(moveLines(w.log.head(size), w.log.note(6, w.logKeys[0])), bridge), provenance.CheckpointSignatureInvalid)
		wantCode(t, "one twice", w.counts(good+good[strings.Index(good, "— "):], bridge), provenance.Malformed)
	}
}

// moveLines puts the signature lines of a note under another head.
func moveLines(h provenance.Head, note string) string {
	return h.Text() + note[strings.Index(note, "\n\n")+1:]
}

func TestHeadAnchors(t *testing.T) {
	w := headWorld()
	wantCode(t, "the ended keys' anchor", w.counts(w.log.note(5, w.logKeys[:2]...)), "verified")
	wantCode(t, "a smaller head of theirs", w.counts(w.log.note(4, w.logKeys[:2]...)), provenance.KeyEnded)
	fork := w.log.copy()
	fork.entries, fork.hashes = nil, nil
	fork.add([]byte("fork"))
	fork.fill(20)
	wantCode(t, "the anchor's size with another root", w.counts(fork.note(5, w.logKeys[:2]...)), provenance.KeyEnded)

	w = closedWorld()
	fork.origin = w.origin(2)
	second := w.last().Log(w.origin(2))
	other := w.log.copy()
	other.origin = w.origin(2) // the same entries, so the same root
	err := second.Counts(checkpoint(other.note(10, testKeys(registry + " log 2")[0])), nil)
	wantCode(t, "the anchor of another log", err, provenance.CheckpointSignatureInvalid)
	err = second.Counts(checkpoint(w.log.note(10, w.logKeys...)), nil)
	wantCode(t, "a head of another log", err, provenance.CheckpointSignatureInvalid)
}

func TestClosedLog(t *testing.T) {
	w := closedWorld()
	wantCode(t, "the anchor", w.counts(w.log.note(10, w.logKeys[0])), "verified")
	wantCode(t, "the anchor, a witness alone", w.counts(w.log.head(10).Text()+"\n"+witness), "verified")
	wantCode(t, "an earlier head, all keys", w.counts(w.log.note(9, w.logKeys...)), provenance.KeyEnded)
	wantCode(t, "a later head, all keys", w.counts(w.log.note(11, w.logKeys...)), provenance.KeyEnded)
	wantCode(t, "an earlier head, bridge to the anchor", w.counts(w.log.note(9, w.logKeys...), w.log.bridge(9, 10)), "verified")
	wantCode(t, "an earlier head, bridge to a later one", w.counts(w.log.note(9, w.logKeys...), w.log.bridge(9, 11, w.logKeys...)), provenance.KeyEnded)
}

func TestBridges(t *testing.T) {
	w := headWorld()
	ended, active, stranger := w.logKeys[:2], w.newKeys(), testKey("stranger")
	from := w.log.note(7, ended...)
	good := w.log.bridge(7, 12, active...)
	spoiled := func(change func(*provenance.Bridge)) *provenance.Bridge {
		b := *good
		change(&b)
		return &b
	}
	foreign := newWorld("other.example").log
	foreign.fill(20)
	for what, c := range map[string]struct {
		bridge *provenance.Bridge
		want   provenance.Code
	}{
		"to a signed head":            {good, "verified"},
		"to the same head":            {w.log.bridge(7, 7, active...), "verified"},
		"to an unsigned head":         {w.log.bridge(7, 12), provenance.KeyEnded},
		"to an unsigned head, itself": {w.log.bridge(7, 7), provenance.KeyEnded},
		"to too few signatures":       {w.log.bridge(7, 12, active[0]), provenance.KeyEnded},
		"to ended keys":               {w.log.bridge(7, 12, ended...), provenance.KeyEnded},
		"to an ended and an active":   {w.log.bridge(7, 12, ended[0], active[0]), provenance.KeyEnded},
		"to one key twice":            {w.log.bridge(7, 12, active[0], active[0]), provenance.KeyEnded},
		"to a stranger among others":  {w.log.bridge(7, 12, active[0], active[1], stranger), provenance.KeyEnded},
		"from another head":           {w.log.bridge(6, 12, active...), provenance.KeyEnded},
		"of another log":              {foreign.bridge(7, 12, active...), provenance.KeyEnded},
		"a step that leads to a step": {w.log.bridge(7, 9), provenance.KeyEnded},
		"with another proof":          {spoiled(func(b *provenance.Bridge) { b.Hashes = w.log.consistency(6, 12) }), provenance.KeyEnded},
		"with a hash too many":        {spoiled(func(b *provenance.Bridge) { b.Hashes = append(b.Hashes[:len(b.Hashes):len(b.Hashes)], b.Hashes[0]) }), provenance.KeyEnded},
		"with no proof":               {spoiled(func(b *provenance.Bridge) { b.Hashes = nil }), provenance.KeyEnded},
		"with another head's note":    {spoiled(func(b *provenance.Bridge) { b.Checkpoint = checkpoint(w.log.note(13, active...)) }), provenance.KeyEnded},
		"to another root":             {spoiled(func(b *provenance.Bridge) { b.To.Root[0] ^= 1 }), provenance.KeyEnded},
		"to a size beyond integers":   {spoiled(func(b *provenance.Bridge) { b.To.Size = 1 << 63 }), provenance.KeyEnded},
		"to another log":              {spoiled(func(b *provenance.Bridge) { b.To.Origin = w.origin(2) }), provenance.KeyEnded},
	} {
		wantCode(t, what, w.counts(from, c.bridge), c.want)
	}
	wantCode(t, "two steps", w.counts(from, w.log.bridge(7, 9), w.log.bridge(9, 12, active...)), provenance.KeyEnded)
	wantCode(t, "a useless one before a good one", w.counts(from, w.log.bridge(6, 12, active...), good), "verified")
	wantCode(t, "to an anchor, from below", w.counts(w.log.note(3, ended...), w.log.bridge(3, 5)), "verified")
	wantCode(t, "to an anchor with a note", w.counts(w.log.note(3, ended...), w.log.bridge(3, 5, ended...)), "verified")
	wantCode(t, "to an anchor with a bad note", w.counts(w.log.note(3, ended...), w.log.bridge(3, 5, stranger)), provenance.KeyEnded)
}

// ParseBridge refuses what cannot be a proof.
func TestBadBridges(t *testing.T) {
	w := headWorld()
	keys := w.newKeys()
	head, note := w.log.head, w.log.note
	for what, build := range map[string]func() (*provenance.Bridge, error){
		"backwards": func() (*provenance.Bridge, error) {
			return provenance.NewBridge(head(12), head(7), w.log.consistency(7, 12), note(7, keys...))
		},
		"from nothing": func() (*provenance.Bridge, error) {
			return provenance.NewBridge(provenance.Head{Origin: w.origin(1)}, head(7), nil, note(7, keys...))
		},
		"a proof of others": func() (*provenance.Bridge, error) {
			return provenance.NewBridge(head(6), head(12), w.log.consistency(7, 12), note(12, keys...))
		},
		"the note of another head": func() (*provenance.Bridge, error) {
			return provenance.NewBridge(head(7), head(12), w.log.consistency(7, 12), note(13, keys...))
		},
		"not a note": func() (*provenance.Bridge, error) {
			return provenance.NewBridge(head(7), head(12), w.log.consistency(7, 12), "a note")
		},
		"a note in invalid UTF-8": func() (*provenance.Bridge, error) {
			return provenance.NewBridge(head(7), head(12), w.log.consistency(7, 12), note(12, keys...)+"— \xff AAAAAAAAAAAA\n")
		},
		"not an origin": func() (*provenance.Bridge, error) {
			h, to := head(7), head(12)
			h.Origin, to.Origin = "log", "log"
			return provenance.NewBridge(h, to, w.log.consistency(7, 12), note(12, keys...))
		},
		"two logs": func() (*provenance.Bridge, error) {
			to := head(12)
			to.Origin = w.origin(2)
			return provenance.NewBridge(head(7), to, w.log.consistency(7, 12), "")
		},
	} {
		if b, err := build(); err == nil {
			t.Errorf("%s: accepted as %s", what, b.JSON())
		}
	}
}
