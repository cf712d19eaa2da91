package signer_test

import (
	"fmt"
	"testing"

	"countersign.dev/signer"
)

func TestCountersign(t *testing.T) {
	for _, rule := range [][2]int{{1, 1}, {2, 3}, {1, 2}} {
		t.Run(fmt.Sprintf("%d of %d", rule[0], rule[1]), func(t *testing.T) {
			w := newWorld(t, rule[0], rule[1], nil)
			sub := w.submission("@acme/widget", "1.0.0", "content")
			first := w.send(sub)
			if first.Problem != nil || !first.Created {
				t.Fatal(first.Problem)
			}
			if err := w.verify(first.Bundle, "pkg:npm/%40acme/widget@1.0.0", "content"); err != nil {
				t.Fatal(err)
			}
			again := w.send(sub)
			if again.Problem != nil || again.Created {
				t.Fatal("the same publication again was not the same countersignature", again.Problem)
			}
			other := w.send(w.submission("@acme/widget", "1.0.0", "other"))
			if other.Problem == nil || other.Problem.Code() != signer.CoordinateConflict {
				t.Fatal(other.Problem)
			}
		})
	}
}
