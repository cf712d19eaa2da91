package signer_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"countersign.dev/signer"
)

// processor is how much processor time this process has used: unlike the time of day it is comparable on a busy machine.
func processor(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// verification is the processor time of one Ed25519 verification of a message like a publication's.
func verification(t testing.TB, message []byte) time.Duration {
	t.Helper()
	const rounds = 2000
	k := key("publisher")
	public, sig := k.Public().(ed25519.PublicKey), ed25519.Sign(k, message)
	start := processor(t)
	for range rounds {
		if !ed25519.Verify(public, message, sig) {
			t.Fatal("verify")
		}
	}
	return (processor(t) - start) / rounds
}

// BenchmarkVerify is what each item costs at least.
func BenchmarkVerify(b *testing.B) {
	message := make([]byte, 700)
	k := key("publisher")
	public, sig := k.Public().(ed25519.PublicKey), ed25519.Sign(k, message)
	for b.Loop() {
		if !ed25519.Verify(public, message, sig) {
			b.Fatal("verify")
		}
	}
}

// measure runs f for b.N bodies that are ready before the clock starts, and reports what an item costs: in time, in
// processor time (client, server and agents together), and the latter in verifications.
func measure(b *testing.B, s *site, items int, body func(i int) []byte, f func(body func() []byte)) {
	bodies := make([][]byte, b.N)
	for i := range bodies {
		bodies[i] = body(i)
	}
	message := s.submission("@acme/widget", "0.0.0", "content").Publication.PAE()
	unit := verification(b, message)
	var next atomic.Int64
	start, before := processor(b), s.Status().Counts
	b.ReportAllocs()
	b.ResetTimer()
	f(func() []byte { return bodies[next.Add(1)-1] })
	b.StopTimer()
	used := processor(b) - start
	unit = (unit + verification(b, message)) / 2
	n := float64(b.N * items)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/item")
	b.ReportMetric(float64(used.Nanoseconds())/n, "cpu-ns/item")
	b.ReportMetric(float64(used)/n/float64(unit), "xverify")
	after := s.Status().Counts
	b.ReportMetric(float64(after.Entries-before.Entries)/float64(after.Checkpoints-before.Checkpoints), "items/op")
}

// send posts a body and throws the answer away.
func send(b *testing.B, s *site, path, contentType string, body []byte) {
	resp, err := s.client.Post(s.signing+path, contentType, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode >= 300 || n == 0 {
		b.Error(resp.StatusCode, n, err)
	}
}

// BenchmarkHTTPBatch is calls of 100 new publications, from request to bundles, over TLS on loopback, with agents 1 of 1
// whose keys are in memory and whose watermarks are on disk.
func BenchmarkHTTPBatch(b *testing.B) {
	const lines = 100
	w := newWorld(b, 1, 1, nil)
	s := newSite(b, w, signer.Limits{Bulk: 100}, nil)
	body := func(i int) []byte {
		var all [][]byte
		for n := range lines {
			all = append(all, wire(b, "r", w.submission("@acme/widget", fmt.Sprintf("%d.%d.0", i, n), "content")))
		}
		return joined(all...)
	}
	b.Run("alone", func(b *testing.B) {
		made := 0
		measure(b, s, lines, func(int) []byte { made++; return body(1_000_000*b.N + made) }, func(next func() []byte) {
			for range b.N {
				send(b, s, batch, ndjsonType, next())
			}
		})
	})
	b.Run("8 at once", func(b *testing.B) {
		made := 0
		measure(b, s, lines, func(int) []byte { made++; return body(2_000_000_000 + 1_000_000*b.N + made) }, func(next func() []byte) {
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					send(b, s, batch, ndjsonType, next())
				}
			})
		})
	})
}

// BenchmarkHTTPSingle is one new publication per request: alone, where the time is that of the disk's flushes, and many at
// once, which share them.
func BenchmarkHTTPSingle(b *testing.B) {
	w := newWorld(b, 1, 1, nil)
	s := newSite(b, w, signer.Limits{}, nil)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers, " at once"), func(b *testing.B) {
			body := func(i int) []byte {
				return wire(b, "", w.submission("@acme/widget", fmt.Sprintf("%d.%d.%d", callers, b.N, i), "content"))
			}
			measure(b, s, 1, body, func(next func() []byte) {
				if callers == 1 {
					for range b.N {
						send(b, s, single, jsonType, next())
					}
					return
				}
				b.SetParallelism(callers / 2)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						send(b, s, single, jsonType, next())
					}
				})
			})
		})
	}
}

// BenchmarkHTTPRepeat is the same publication again: what a retry costs.
func BenchmarkHTTPRepeat(b *testing.B) {
	w := newWorld(b, 1, 1, nil)
	s := newSite(b, w, signer.Limits{}, nil)
	body := wire(b, "", w.submission("@acme/widget", "1.0.0", "content"))
	for b.Loop() {
		send(b, s, single, jsonType, body)
	}
}
