package hsm_test

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/remote"
)

// signers is how many goroutines sign at once, and how many sessions they have.
const signers = 8

// BenchmarkSign signs a checkpoint.
func BenchmarkSign(b *testing.B) {
	b.Run("crypto/ed25519", func(b *testing.B) {
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		for b.Loop() {
			if _, err := key.Sign(nil, []byte(checkpointText), crypto.Hash(0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("SoftHSM", func(b *testing.B) {
		tokens := softhsm.New(b)
		benchmarkSign(b, tokens.Key(tokens.Token("registry"), "log-1"))
	})
	b.Run("p11-kit", func(b *testing.B) {
		benchmarkSign(b, remote.New(b).Key("log-1"))
	})
}

// way is a way to sign a checkpoint and to verify the signature.
type way struct {
	name string
	sign func() error
	took []time.Duration // for some signatures
}

// benchmarkSign compares, in turn within one run, the binding, which crosses into C three times and asks for the size
// first, which over a socket is a round trip; this package's one crossing; and a Key, which does that in a goroutine of
// its own under a time limit.
func benchmarkSign(b *testing.B, generated hsm.GeneratedKey) {
	key, err := hsm.Open(b.Context(), hsm.Config{URI: generated.URI, PublicKey: generated.PublicKey, Sessions: signers})
	if err != nil {
		b.Fatal(err)
	}
	defer key.Close()
	message := []byte(checkpointText)
	binding := bound(b, generated)
	for _, n := range []int{1, signers} {
		b.Run(fmt.Sprintf("%d at once", n), func(b *testing.B) {
			ways := []*way{
				{name: "binding", sign: binding},
				{name: "crossing", sign: func() error { _, err := key.SignPlainly(message); return err }},
				{name: "key", sign: func() error { _, err := key.Sign(nil, message, crypto.Hash(0)); return err }},
			}
			for b.Loop() {
				for _, w := range ways {
					w.run(b, n)
				}
			}
			for _, w := range ways {
				b.ReportMetric(w.micros(n), w.name+"-us")
			}
			b.ReportMetric(ways[0].micros(n)/ways[1].micros(n), "binding/crossing")
			b.ReportMetric(ways[0].micros(n)/ways[2].micros(n), "binding/key")
			b.ReportMetric(0, "ns/op")
		})
	}
}

const turns = 4 // signatures of one goroutine before it is another way's turn

func (w *way) run(b *testing.B, n int) {
	var group sync.WaitGroup
	start := time.Now()
	for range n {
		group.Go(func() {
			for range turns {
				if err := w.sign(); err != nil {
					b.Error(w.name, err)
				}
			}
		})
	}
	group.Wait()
	w.took = append(w.took, time.Since(start))
}

// micros is the median time for one signature.
func (w *way) micros(n int) float64 {
	slices.Sort(w.took)
	return float64(w.took[len(w.took)/2].Nanoseconds()) / 1000 / float64(n*turns)
}

// bound signs as the binding does, with what a login by others opens.
func bound(b *testing.B, generated hsm.GeneratedKey) func() error {
	ctx := pkcs11.New(generated.URI.ModulePath)
	slot := slotOf(b, ctx, generated.URI.Serial)
	sessions, private := make(chan pkcs11.SessionHandle, signers), pkcs11.ObjectHandle(0)
	for range signers {
		s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		found, e := findPrivate(ctx, s, generated.ID)
		if err := errors.Join(err, e); err != nil || len(found) != 1 {
			b.Fatalf("%d private keys: %v", len(found), err)
		}
		private = found[0]
		sessions <- s
	}
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(ckmEdDSA, nil)}
	return func() error {
		s := <-sessions
		defer func() { sessions <- s }()
		if err := ctx.SignInit(s, mechanism, private); err != nil {
			return err
		}
		signature, err := ctx.Sign(s, []byte(checkpointText))
		if err == nil && !ed25519.Verify(generated.PublicKey, []byte(checkpointText), signature) {
			err = errors.New("wrong signature")
		}
		return err
	}
}

const ckmEdDSA = 0x1057

func slotOf(b *testing.B, ctx *pkcs11.Ctx, serial string) uint {
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		b.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err == nil && info.SerialNumber == serial {
			return slot
		}
	}
	b.Fatalf("no token with serial %s", serial)
	return 0
}

func findPrivate(ctx *pkcs11.Ctx, s pkcs11.SessionHandle, id []byte) ([]pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}
	if err := ctx.FindObjectsInit(s, template); err != nil {
		return nil, err
	}
	found, _, err := ctx.FindObjects(s, 2)
	return found, errors.Join(err, ctx.FindObjectsFinal(s))
}
