package provenance_test

import (
	"crypto/ed25519"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/provenance"
)

// testLog is an append-only log in memory, made with golang.org/x/mod/sumdb/tlog and nothing of ours.
type testLog struct {
	origin  string
	keys    []ed25519.PrivateKey
	entries [][]byte
	hashes  []tlog.Hash
}

func newLog(origin string, keys []ed25519.PrivateKey) *testLog {
	return &testLog{origin: origin, keys: keys}
}

// add appends an entry and gives its index.
func (l *testLog) add(entry []byte) int {
	n := len(l.entries)
	stored := must(tlog.StoredHashes(int64(n), entry, l.reader()))
	l.entries, l.hashes = append(l.entries, entry), append(l.hashes, stored...)
	return n
}

// fill appends entries that mean nothing, up to size.
func (l *testLog) fill(size int) {
	for len(l.entries) < size {
		l.add(fmt.Appendf(nil, "entry %d", len(l.entries)))
	}
}

// copy is a log with the same entries that grows on its own.
func (l *testLog) copy() *testLog {
	c := *l
	c.entries, c.hashes = c.entries[:len(c.entries):len(c.entries)], c.hashes[:len(c.hashes):len(c.hashes)]
	return &c
}

func (l *testLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = l.hashes[at]
		}
		return out, nil
	})
}

func (l *testLog) head(size int) provenance.Head {
	return provenance.Head{Origin: l.origin, Size: uint64(size), Root: must(tlog.TreeHash(int64(size), l.reader()))}
}

// note is the head of size, signed by keys.
func (l *testLog) note(size int, keys ...ed25519.PrivateKey) string {
	return signHead(l.head(size), keys...)
}

func signHead(h provenance.Head, keys ...ed25519.PrivateKey) string {
	var signatures []provenance.KeySignature
	for _, k := range keys {
		signatures = append(signatures, provenance.KeySignature{Key: publicKey(k), Signature: ed25519.Sign(k, []byte(h.Text()))})
	}
	return provenance.SignedNote(h, signatures)
}

// proofUnder is proof with a head that is already signed.
func (l *testLog) proofUnder(note string, index, size int) *provenance.Proof {
	return &provenance.Proof{Index: uint64(index), Hashes: must(tlog.ProveRecord(int64(size), int64(index), l.reader())), Checkpoint: note}
}

// proof says that entry index is in the tree of size, whose head keys signed.
func (l *testLog) proof(index, size int, keys ...ed25519.PrivateKey) *provenance.Proof {
	return l.proofUnder(l.note(size, keys...), index, size)
}

// bridge leads from one head to another, which keys signed; without keys the other must be an anchor.
func (l *testLog) bridge(from, to int, keys ...ed25519.PrivateKey) *provenance.Bridge {
	note := ""
	if len(keys) > 0 {
		note = l.note(to, keys...)
	}
	return must(provenance.NewBridge(l.head(from), l.head(to), l.consistency(from, to), note))
}

func (l *testLog) consistency(from, to int) tlog.TreeProof {
	return must(tlog.ProveTree(int64(to), int64(from), l.reader()))
}

// witness is a signature line under another name, which verification ignores.
const witness = "— witness.example/w1 AAAAAPu1rmrIMIv/5G5U7C0nqYd0m+9I5jKwGQgVpHvRzVcyCkZ2RPKcqeeW7Dk3OXLAXJkTGjC1qjYAfLGvTxDmnQE=\n"
