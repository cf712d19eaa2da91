package agent_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"

	"countersign.dev/agent"
)

func TestNewGuardRefuses(t *testing.T) {
	head := newTree(1, "a").head(1)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	identity := make(ed25519.PublicKey, 32)
	identity[0] = 1
	nonCanonical, err := hex.DecodeString("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
	must(t, err)
	tests := []struct {
		name, want string
		log        agent.Log
		signer     crypto.Signer
	}{
		{"threshold 0", "threshold 0 of 2", testLog(2, 0), testKey(1)},
		{"threshold over the keys", "threshold 3 of 2", testLog(2, 3), testKey(1)},
		{"no keys", "threshold 1 of 0", testLog(0, 1), testKey(1)},
		{"another's key", "not one of the log's", testLog(2, 1), testKey(3)},
		{"not Ed25519", "not an Ed25519 key", testLog(2, 1), p256},
		{"a key twice", "note key id", agent.Log{Origin: origin, Keys: []ed25519.PublicKey{public(1), public(2), public(1)}, Threshold: 1}, testKey(1)},
		{"short key", "canonical", agent.Log{Origin: origin, Keys: []ed25519.PublicKey{public(1), public(2)[:31]}, Threshold: 1}, testKey(1)},
		{"small order", "small order", agent.Log{Origin: origin, Keys: []ed25519.PublicKey{public(1), identity}, Threshold: 1}, testKey(1)},
		{"second encoding", "canonical", agent.Log{Origin: origin, Keys: []ed25519.PublicKey{public(1), nonCanonical}, Threshold: 1}, testKey(1)},
		{"origin", "is not <registry>", agent.Log{Origin: "registry.example/other/1", Keys: []ed25519.PublicKey{public(1)}, Threshold: 1}, testKey(1)},
		{"another log's state", "is of " + origin, agent.Log{Origin: "registry.example/countersign/2", Keys: []ed25519.PublicKey{public(1)}, Threshold: 1}, testKey(1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := agent.NewGuard(tt.log, tt.signer, openState(t, stateDir(t, head)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("NewGuard: %v, want %q", err, tt.want)
			}
		})
	}
}

// Two keys whose note key ids collide under the test origin, found by search. A checkpoint could not tell them apart.
func TestNewGuardRefusesCollidingKeyIDs(t *testing.T) {
	ids := map[[4]byte]ed25519.PublicKey{}
	point := edwards25519.NewIdentityPoint()
	for range 400_000 {
		point.Add(point, edwards25519.NewGeneratorPoint())
		key := ed25519.PublicKey(point.Bytes())
		sum := sha256.Sum256(slices.Concat([]byte(origin+"\n\x01"), key))
		id := [4]byte(sum[:])
		if other, ok := ids[id]; ok {
			log := agent.Log{Origin: origin, Keys: []ed25519.PublicKey{public(1), key, other}, Threshold: 1}
			_, err := agent.NewGuard(log, testKey(1), openState(t, stateDir(t, newTree(1, "a").head(1))))
			if err == nil || !strings.Contains(err.Error(), "note key id") {
				t.Fatalf("NewGuard: %v", err)
			}
			return
		}
		ids[id] = key
	}
	t.Fatal("no collision found")
}

func TestGuardOwnsItsState(t *testing.T) {
	state := openState(t, stateDir(t, newTree(1, "a").head(1)))
	guardOf(t, testKey(1), state)
	if _, err := agent.NewGuard(testLog(3, 2), testKey(1), state); err == nil {
		t.Fatal("two guards share one watermark")
	}
}

func TestOrigins(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 49)+".", 3) + strings.Repeat("a", 50)
	for _, good := range []string{origin, "localhost/countersign/0", "a-b.example.org/countersign/12", long + "/countersign/1"} {
		if err := agent.CheckOrigin(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "registry.example", "registry.example/countersign", "registry.example/countersign/", "registry.example/countersign/01",
		"registry.example/countersign/-1", "registry.example/countersign/1\n", "registry.example/countersign/1/2",
		"Registry.example/countersign/1", "registry..example/countersign/1", ".example/countersign/1", "registry.example./countersign/1",
		"-a.example/countersign/1", "a-.example/countersign/1", "../countersign/1", "../../etc/countersign/1", "a_b/countersign/1",
		"registry.example:443/countersign/1", "registry.example/Countersign/1", "räksmörgås.example/countersign/1", "a b/countersign/1",
		"registry.example/countersign/1+1", long + "a/countersign/1", strings.Repeat("a", 64) + "/countersign/1", "registry.example/countersign/" + strings.Repeat("1", 11),
	} {
		if agent.CheckOrigin(bad) == nil {
			t.Errorf("origin %q accepted", bad)
		}
	}
}

func TestParsePublicKey(t *testing.T) {
	text := agent.SPKI(public(1))
	key, err := agent.ParsePublicKey(text)
	if err != nil || !key.Equal(public(1)) {
		t.Fatal(err)
	}
	for i := range text {
		for _, bad := range []string{text[:i], text[:i] + "\n" + text[i:], text[:i] + "=" + text[i+1:]} {
			if key, err := agent.ParsePublicKey(bad); err == nil && bad != text {
				t.Fatalf("%q accepted as %x", bad, key)
			}
		}
	}
	if _, err := agent.ParsePublicKey(agent.SPKI(make([]byte, 32))); err == nil {
		t.Fatal("a point of small order accepted")
	}
}
