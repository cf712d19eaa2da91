package policy_test

import (
	"crypto/ed25519"
	"os"
	"testing"

	"countersign.dev/policy"
)

// A judgement beside the verification of one signature, of which there are several per package.
func BenchmarkJudge(b *testing.B) {
	shipped := must(os.ReadFile("../deploy/policies/no-unreviewed-ai.toml"))
	age := must(os.ReadFile("../deploy/policies/minimum-age.toml"))
	for name, p := range map[string]*policy.Policy{
		"no attributes":    must(policy.Parse(age, "p")),
		"no-unreviewed-ai": must(policy.Parse(shipped, "p")),
		"attributes":       must(policy.Parse([]byte(rule(`attributes["com.example.build"].level >= 3 && ai.extent != "none"`)), "p")),
	} {
		b.Run(name, func(b *testing.B) {
			r := published(full)
			for b.Loop() {
				p.Judge(r, now)
			}
		})
	}
	b.Run("one Ed25519 verification", func(b *testing.B) {
		public, private, _ := ed25519.GenerateKey(nil)
		message := make([]byte, 1000)
		signature := ed25519.Sign(private, message)
		for b.Loop() {
			if !ed25519.Verify(public, message, signature) {
				b.Fatal("does not verify")
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			must(policy.Parse(shipped, "p"))
		}
	})
}
