package agent_test

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"countersign.dev/agent"
)

// ladder is a tree with a proof for every step, so that making them is not measured.
func ladder(steps int) (heads []agent.Head, proofs [][]tlog.Hash) {
	a := newTree(steps+1, "a")
	for size := int64(1); size <= int64(steps); size++ {
		heads, proofs = append(heads, a.head(size)), append(proofs, a.proof(size, size+1))
	}
	return append(heads, a.head(int64(steps)+1)), proofs
}

// BenchmarkSignThroughSocket is the whole agent with a key in memory: client, socket, guard, durable watermark.
func BenchmarkSignThroughSocket(b *testing.B) {
	heads, proofs := ladder(b.N)
	_, socket := serve(b, newGuard(b, heads[0]))
	c := agent.Dial(socket)
	defer c.Close()
	_, err := c.Watermark(b.Context(), origin)
	must(b, err)
	b.ResetTimer()
	for i := range b.N {
		if _, _, err := c.Sign(b.Context(), origin, heads[i+1], proofs[i]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGuardSign is the guard alone.
func BenchmarkGuardSign(b *testing.B) {
	heads, proofs := ladder(b.N)
	g := newGuard(b, heads[0])
	b.ResetTimer()
	for i := range b.N {
		if _, err := g.Sign(b.Context(), heads[i+1].Size, heads[i+1].Root, proofs[i]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareSignAndWrite is what cannot be saved: one signature and one durable write of a sector, in turn.
func BenchmarkBareSignAndWrite(b *testing.B) {
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "sector"), os.O_RDWR|os.O_CREATE|unix.O_DSYNC, 0o600)
	must(b, err)
	defer f.Close()
	sector, text, key := bytes.Repeat([]byte{'x'}, 512), []byte(agent.Head{Size: 1}.Text(origin)), testKey(1)
	_, err = f.WriteAt(sector, 0)
	must(b, err)
	must(b, f.Sync())
	b.ResetTimer()
	for range b.N {
		ed25519.Sign(key, text)
		if _, err := f.WriteAt(sector, 0); err != nil {
			b.Fatal(err)
		}
	}
}
