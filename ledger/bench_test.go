package ledger_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"countersign.dev/ledger"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// A workload makes entries like statements: about 1.5 KB of JSON, most of it base64, and a key that nobody has.
type workload struct {
	random *rand.ChaCha8
	data   [][]byte
	n      int
}

func newWorkload() *workload {
	w := &workload{random: rand.NewChaCha8([32]byte{1})}
	payload := make([]byte, 700)
	for range 8192 {
		w.random.Read(payload)
		w.data = append(w.data, fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a.tgz","digest":`+
			`{"sha256":"%x"}}],"predicateType":"https://countersign.dev/countersignature/v1","predicate":{"registry":"r.example",`+
			`"origin":"r.example/countersign/1","identity":"sha256:%x","purl":"pkg:npm/%%40acme/a@1.2.3","publication":{"payloadType":`+
			`"application/vnd.in-toto+json","payload":%q,"signatures":[{"keyid":"sha256:%x","sig":%q}]},"countersignedAt":"2026-01-01T00:00:00Z"}}`,
			payload[:32], payload[40:72], base64.StdEncoding.EncodeToString(payload[:450]), payload[450:482],
			base64.StdEncoding.EncodeToString(payload[500:564])))
	}
	return w
}

func (w *workload) batch(n int) []ledger.Entry {
	entries := make([]ledger.Entry, n)
	keys := make([]ledger.Key, n)
	for i := range entries {
		data := w.data[w.n%len(w.data)]
		binary.BigEndian.PutUint32(data[60:], uint32(w.n))
		w.random.Read(keys[i].Hash[:])
		entries[i] = ledger.Entry{Data: data, Keys: keys[i : i+1]}
		w.n++
	}
	return entries
}

// fill appends n entries to a new log.
func (w *workload) fill(b *testing.B, n int) *ledger.Log {
	db, err := ledger.Create(b.TempDir() + "/ledger")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	log, err := db.CreateLog("r.example", "r.example/countersign/1", ledger.Entry{Data: []byte("identity"), State: true})
	if err != nil {
		b.Fatal(err)
	}
	for ; n > 0; n -= 2000 {
		if _, err := log.Append(context.Background(), 1, w.batch(min(n, 2000))); err != nil {
			b.Fatal(err)
		}
	}
	return log
}

// A meter measures the processor time of all threads, background compaction included, in units of one Ed25519 verification on
// the same machine in the same seconds: that is what the countersigning path cannot avoid.
type meter struct {
	all, verifying time.Duration
	verifications  int
	key            ed25519.PublicKey
	message, sig   []byte
}

func newMeter(message []byte) *meter {
	key, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	return &meter{key: key, message: message, sig: ed25519.Sign(private, message), all: -cpu(unix.CLOCK_PROCESS_CPUTIME_ID)}
}

func cpu(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// verify is called now and then.
func (m *meter) verify() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m.verifying -= cpu(unix.CLOCK_THREAD_CPUTIME_ID)
	for range 20 {
		if !ed25519.Verify(m.key, m.message, m.sig) {
			panic("bad signature")
		}
		m.verifications++
	}
	m.verifying += cpu(unix.CLOCK_THREAD_CPUTIME_ID)
}

func (m *meter) report(b *testing.B) {
	m.all += cpu(unix.CLOCK_PROCESS_CPUTIME_ID) - m.verifying
	perOp := m.all.Seconds() / float64(b.N)
	b.ReportMetric(perOp*1e6, "cpu-us/op")
	b.ReportMetric(perOp/(m.verifying.Seconds()/float64(m.verifications)), "verifications/op")
}

// prefill is the size of the ledger that is not new. LEDGER_BENCH_PREFILL sets another.
func prefill() int {
	if n, err := strconv.Atoi(os.Getenv("LEDGER_BENCH_PREFILL")); err == nil {
		return n
	}
	return 200_000
}

// BenchmarkAppend counts entries: ns/op is per entry, fsync included; cpu-us/op is what an entry costs all cores, verifications/op
// the same in Ed25519 verifications.
func BenchmarkAppend(b *testing.B) {
	w := newWorkload()
	old := sync.OnceValue(func() *ledger.Log { return w.fill(b, prefill()) })
	for _, size := range []int{0, prefill()} {
		for _, s := range []shape{{1, true}, {100, true}, {500, false}, {500, true}, {1000, true}} {
			b.Run(fmt.Sprintf("prefilled=%d/batch=%d/proofs=%t", size, s.batch, s.proofs), func(b *testing.B) {
				log := old
				if size == 0 {
					log = func() *ledger.Log { return w.fill(b, 0) }
				}
				benchmarkAppend(b, w, log(), s)
			})
		}
	}
}

// A shape is how a benchmark appends: so many entries at once, and then a proof for each or not.
type shape struct {
	batch  int
	proofs bool
}

func benchmarkAppend(b *testing.B, w *workload, log *ledger.Log, s shape) {
	runtime.GC()
	b.ResetTimer()
	m := newMeter(bytes.Clone(w.data[0]))
	for i := 0; i < b.N; i += s.batch {
		entries := w.batch(min(s.batch, b.N-i))
		first, err := log.Append(context.Background(), 1, entries)
		if err != nil {
			b.Fatal(err)
		}
		for j := range entries {
			if !s.proofs {
				break
			}
			if _, err := log.InclusionProof(first+uint64(j), first+uint64(len(entries))); err != nil {
				b.Fatal(err)
			}
		}
		if i/s.batch%(20_000/s.batch) == 0 {
			m.verify()
		}
	}
	m.report(b)
}

// BenchmarkRead reads from a ledger that is not new.
func BenchmarkRead(b *testing.B) {
	w := newWorkload()
	log := w.fill(b, prefill())
	size := log.Size()
	root, err := log.Root(size)
	if err == nil {
		err = log.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: size, Root: root, Note: []byte("note")})
	}
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, r := range []struct {
		name string
		read func() error
	}{
		{"proof of a new entry", func() error { return second(log.InclusionProof(size-1-random.Uint64N(1000), size)) }},
		{"proof of any entry", func() error { return second(log.InclusionProof(random.Uint64N(size), size)) }},
		{"consistency proof", func() error { return second(log.ConsistencyProof(size-1000, size)) }},
		{"entry", func() error { return second(log.Entry(random.Uint64N(size))) }},
		{"look up an absent key", func() error { return second(log.Lookup(w.batch(1)[0].Keys[0].Hash)) }},
		{"tile of level 0", func() error { return second(log.Tile(tlog.Tile{H: 8, N: random.Int64N(int64(size / 256)), W: 256})) }},
		{"tile of level 1", func() error { return second(log.Tile(tlog.Tile{H: 8, L: 1, N: 0, W: 256})) }},
		{"entry bundle", func() error { return second(log.EntryBundle(random.Int64N(int64(size/256)), 256)) }},
	} {
		b.Run(r.name, func(b *testing.B) {
			for range b.N {
				if err := r.read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
