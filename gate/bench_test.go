package gate_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// forest is a project with many dependencies, all countersigned, and a cache that has them.
type forest struct {
	w     *world
	n     int
	lock  string // path of a package-lock.json
	cache string
}

func newForest(t testing.TB, n int) *forest {
	t.Helper()
	f := &forest{w: newWorld(theRegistry), n: n, lock: filepath.Join(t.TempDir(), "package-lock.json"), cache: t.TempDir()}
	var b bytes.Buffer
	b.WriteString("{\n  \"name\": \"forest\",\n  \"lockfileVersion\": 3,\n  \"packages\": {\n    \"\": {\"name\": \"forest\"}")
	for i := range n {
		name := fmt.Sprintf("@acme/tree-%d", i)
		f.w.publish(fmt.Sprint("publisher ", i%50), coordinate("npm", name, "1.0.0"), name, `{"aiGeneration":{"extent":"none","tools":[],"reviewedBy":[]}}`)
		raw := must(hex.DecodeString(digestsOf(name)["sha512"]))
		fmt.Fprintf(&b, ",\n    \"node_modules/%s\": {\n      \"version\": \"1.0.0\",\n      \"resolved\": \"https://registry.example/%[1]s/-/x-1.0.0.tgz\",\n      \"integrity\": \"sha512-%s\"\n    }",
			name, base64.StdEncoding.EncodeToString(raw))
	}
	b.WriteString("\n  }\n}\n")
	if err := os.WriteFile(f.lock, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := f.check(0, f.w.shelf()); r.Summary.Verified != n {
		t.Fatalf("cold: %+v %q", r.Summary, r.Notes)
	}
	return f
}

// check reads the lockfile and checks it, as the command does.
func (f *forest) check(workers int, places ...gate.Place) *gate.Report {
	g := withCache(newGate(f.w.acme(), places...), f.cache)
	g.Workers = workers
	return checked(g, must(lockfile.Read(f.lock)))
}

// signed is a publisher's signature.
type signed struct {
	key                ed25519.PublicKey
	message, signature []byte
}

func (f *forest) signatures() (all []signed) {
	keys := make(map[string]ed25519.PublicKey)
	for i := range 50 {
		k := testKey(fmt.Sprint("publisher ", i))
		keys[publicKey(k).Fingerprint()] = k.Public().(ed25519.PublicKey)
	}
	for _, e := range f.w.entries {
		if c, ok := must(provenance.ParseEntry(e)).(*provenance.Countersignature); ok {
			envelope := c.Publication.Envelope
			all = append(all, signed{keys[c.Publication.Publisher()], envelope.PAE(), envelope.Signatures[0].Sig})
		}
	}
	return all
}

// bare verifies signatures and nothing else, on all cores.
func bare(all []signed) time.Duration {
	start := time.Now()
	var group sync.WaitGroup
	cores := runtime.GOMAXPROCS(0)
	for c := range cores {
		group.Go(func() {
			for i := c; i < len(all); i += cores {
				if !ed25519.Verify(all[i].key, all[i].message, all[i].signature) {
					panic("a signature does not verify")
				}
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

// A whole check of ten thousand dependencies with a warm cache, as a multiple of the bare signature verifications on the
// same cores: the median of runs between two of those each.
func BenchmarkCheckWarm(b *testing.B) {
	f := newForest(b, 10_000)
	signatures := f.signatures()
	var ratios, checks []float64
	var peak uint64
	for b.Loop() {
		floor := bare(signatures)
		stop := watchHeap(&peak)
		start := time.Now()
		if r := f.check(0); r.Summary.Verified != f.n {
			b.Fatalf("%+v", r.Summary)
		}
		check := time.Since(start)
		stop()
		floor = (floor + bare(signatures)) / 2 // before and after: the machine may have become busy between
		ratios, checks = append(ratios, float64(check)/float64(floor)), append(checks, float64(check.Milliseconds()))
	}
	b.ReportMetric(median(ratios), "x/bare")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-above")
	b.ReportMetric(median(checks), "ms/check")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// watchHeap finds the most that the heap holds beyond what it held.
func watchHeap(peak *uint64) (stop func()) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.HeapInuse
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&m)
				if m.HeapInuse > before {
					*peak = max(*peak, m.HeapInuse-before)
				}
			}
		}
	})
	return func() { close(done); group.Wait() }
}

// The answer is the same, byte for byte, on one core and on many, cold and warm.
func TestSameOnAllCores(t *testing.T) {
	f := newForest(t, 300)
	evil := must(os.ReadFile(f.lock))
	evil = bytes.Replace(evil, []byte(`tree-77": {`+"\n"+`      "version": "1.0.0"`), []byte(`tree-77": {`+"\n"+`      "version": "1.0.1"`), 1)
	evil = bytes.Replace(evil, []byte(`"integrity": "sha512-A`), []byte(`"integrity": "sha512-B`), 3)
	if err := os.WriteFile(f.lock, evil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := f.w.shelf()
	first := must(json.Marshal(f.check(1, s), json.Deterministic(true), jsontext.AllowInvalidUTF8(true)))
	if !bytes.Contains(first, []byte("not-countersigned")) || !bytes.Contains(first, []byte("artifact-digest-mismatch")) {
		t.Fatalf("nothing is refused: %.2000s", first)
	}
	for workers := range 9 {
		if again := must(json.Marshal(f.check(workers, s), json.Deterministic(true))); !bytes.Equal(first, again) {
			t.Errorf("on %d cores:\n%s\nnot\n%s", workers, again, first)
		}
	}
}
