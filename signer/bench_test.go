package signer_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"

	"countersign.dev/signer"
)

// BenchmarkCountersign is the path without HTTP, in calls of 1000: admission, log, head, proofs, bundles.
func BenchmarkCountersign(b *testing.B) {
	w := newWorld(b, 2, 3, nil)
	const batch = 1000
	submissions := make([][]signer.Submission, 0, 16)
	n := 0
	fill := func() {
		submissions = submissions[:0]
		for range 8 {
			var list []signer.Submission
			for range batch {
				n++
				list = append(list, w.submission("@acme/widget", fmt.Sprintf("%d.0.0", n), "content"))
			}
			submissions = append(submissions, list)
		}
	}
	b.ReportAllocs()
	items := 0
	for b.Loop() {
		if len(submissions) == 0 {
			b.StopTimer()
			fill()
			b.StartTimer()
		}
		out, problem := w.Countersign(context.Background(), w.caller, submissions[0], false)
		if problem != nil || out[0].Problem != nil {
			b.Fatal(problem, out[0].Problem)
		}
		submissions = submissions[1:]
		items += batch
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(items), "ns/item")
}

// BenchmarkVerification is what each item costs at least.
func BenchmarkVerification(b *testing.B) {
	k := key("publisher")
	message := make([]byte, 1024)
	sig := ed25519.Sign(k, message)
	public := k.Public().(ed25519.PublicKey)
	for b.Loop() {
		if !ed25519.Verify(public, message, sig) {
			b.Fatal("verify")
		}
	}
}
