package tpm_test

import (
	"testing"

	"countersign.dev/tpm"
)

func BenchmarkUnseal(b *testing.B) {
	f := newFixture(b)
	for b.Loop() {
		if _, _, err := tpm.Unseal(b.Context(), f.config); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	f := newFixture(b)
	key, err := tpm.Open(b.Context(), f.config)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 200)
	for b.Loop() {
		if _, err := key.Sign(nil, message, hashless{}); err != nil {
			b.Fatal(err)
		}
	}
}
