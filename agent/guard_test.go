package agent_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
)

// Invariant 5: what the key signs is the checkpoint text, built by the guard.
func TestInvariant5GuardBuildsTheText(t *testing.T) {
	a := newTree(7, "a")
	var signed []string
	d := device{testKey(1), func(m []byte) ([]byte, error) {
		signed = append(signed, string(m))
		return ed25519.Sign(testKey(1), m), nil
	}}
	g := guardOf(t, d, openState(t, stateDir(t, a.head(3))))
	sig, err := g.Sign(t.Context(), 7, a.head(7).Root, a.proof(3, 7))
	must(t, err)
	want := "registry.example/countersign/1\n7\n" + tlog.Hash(a.head(7).Root).String() + "\n"
	if !slices.Equal(signed, []string{want}) {
		t.Fatalf("signed %q, want %q", signed, want)
	}
	if !ed25519.Verify(public(1), []byte(want), sig[:]) {
		t.Fatal("signature does not verify")
	}
	line := signatureLine(want, origin, testKey(1))
	if _, err := note.Open([]byte(want+"\n"+string(line)), note.VerifierList(noteSigner{origin, testKey(1)}.verifier())); err != nil {
		t.Fatalf("note.Open: %v", err)
	}
}

// Invariant 3: from every watermark to every size of a small log, honest proofs are signed and everything else a
// hostile daemon can say about the same sizes is refused, with the watermark in the answer.
func TestInvariant3OneHistory(t *testing.T) {
	const last = 12
	honest, forked := newTree(last, "a"), newTree(last, "b")
	for from := int64(1); from <= last; from++ {
		for to := from; to <= last; to++ {
			g := newGuard(t, honest.head(from))
			for name, attack := range attacks(honest, forked, from, to) {
				_, err := g.Sign(t.Context(), attack.head.Size, attack.head.Root, attack.proof)
				wantRefused(t, name, err, honest.head(from))
			}
			sig, err := g.Sign(t.Context(), uint64(to), honest.head(to).Root, honest.proof(from, to))
			must(t, err)
			again, err := g.Sign(t.Context(), uint64(to), honest.head(to).Root, nil)
			if err != nil || again != sig {
				t.Fatalf("%d to %d, same head again: %v", from, to, err)
			}
			if g.Watermark() != honest.head(to) {
				t.Fatalf("watermark %v, want size %d", g.Watermark(), to)
			}
		}
	}
}

// A guard sees hashes, not entries, so a hostile daemon can make up the right half of a tree and prove it. Sizes have a
// bound all the same.
func TestSizeLimit(t *testing.T) {
	mark := newTree(4, "a").head(4)
	g := newGuard(t, mark)
	invented, proof := mark, []tlog.Hash(nil)
	for invented.Size < 1<<53 {
		right := tlog.Hash{byte(len(proof) + 1)}
		proof = append(proof, right)
		invented = agent.Head{Size: 2 * invented.Size, Root: tlog.NodeHash(invented.Root, right)}
	}
	must(t, tlog.CheckTree(proof, int64(invented.Size), invented.Root, 4, mark.Root))
	_, err := g.Sign(t.Context(), invented.Size, invented.Root, proof)
	wantRefused(t, "2^53", err, mark)
	if !strings.Contains(err.Error(), "2^53-1") {
		t.Fatal(err)
	}
}

type attack struct {
	head  agent.Head
	proof []tlog.Hash
}

// attacks are heads and proofs that a guard at honest.head(from) must refuse.
func attacks(honest, forked *tree, from, to int64) map[string]attack {
	good := honest.proof(from, to)
	list := map[string]attack{
		"fork at the same size":           {forked.head(from), nil},
		"fork with the fork's proof":      {forked.head(to), forked.proof(from, to)},
		"fork with the honest proof":      {forked.head(to), good},
		"zero root":                       {agent.Head{Size: uint64(to)}, good},
		"size 0":                          {agent.Head{Size: 0, Root: honest.head(to).Root}, good},
		"size 0, empty tree":              {agent.Head{Size: 0, Root: sha256.Sum256(nil)}, nil},
		"over 2^53-1":                     {agent.Head{Size: 1 << 53, Root: honest.head(to).Root}, good},
		"size that is negative as int64":  {agent.Head{Size: 1<<64 - 1, Root: honest.head(to).Root}, good},
		"size beyond by its proof's size": {agent.Head{Size: 1<<53 - 1, Root: honest.head(to).Root}, good},
	}
	if from > 1 {
		list["rollback"] = attack{honest.head(from - 1), nil}
		list["rollback with its proof"] = attack{honest.head(from - 1), honest.proof(from-1, from)}
	}
	if to > from {
		list["empty proof"] = attack{honest.head(to), nil}
		list["truncated proof"] = attack{honest.head(to), good[:len(good)-1]}
		list["proof without its first hash"] = attack{honest.head(to), good[1:]}
		list["proof and one hash more"] = attack{honest.head(to), append(slices.Clone(good), tlog.Hash{})}
		list["huge proof"] = attack{honest.head(to), make([]tlog.Hash, 100_000)}
		for i := range good {
			bad := slices.Clone(good)
			bad[i][31] ^= 1
			list["flipped proof "+string(rune('a'+i))] = attack{honest.head(to), bad}
		}
	}
	// A proof from another watermark is refused where it differs from the right one.
	for w := int64(1); w <= to; w++ {
		if other := honest.proof(w, to); to > from && !slices.Equal(other, good) {
			list["proof for watermark "+string(rune('a'+w))] = attack{honest.head(to), other}
		}
	}
	return list
}

func wantRefused(t *testing.T, name string, err error, mark agent.Head) {
	t.Helper()
	var refused *agent.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("%s: %v, want a refusal", name, err)
	}
	if refused.Watermark != mark {
		t.Fatalf("%s: refusal carries watermark %d, want %d", name, refused.Watermark.Size, mark.Size)
	}
}

// Invariant 3: a valid old head after a newer one is a rollback, for Sign and for Record.
func TestInvariant3OldHeadAfterNewer(t *testing.T) {
	a := newTree(9, "a")
	g := newGuard(t, a.head(3))
	_, err := g.Sign(t.Context(), 6, a.head(6).Root, a.proof(3, 6))
	must(t, err)
	_, err = g.Sign(t.Context(), 9, a.head(9).Root, a.proof(6, 9))
	must(t, err)
	_, err = g.Sign(t.Context(), 6, a.head(6).Root, a.proof(3, 6))
	wantRefused(t, "sign", err, a.head(9))
	_, err = g.Record(t.Context(), checkpoint(a.head(6).Text(origin), origin, 1, 2), a.proof(3, 6))
	wantRefused(t, "record", err, a.head(9))
}

// Invariant 3: the watermark is durable before the signature leaves, so a write that fails lets nothing out.
func TestInvariant3NothingLeavesBeforeTheWrite(t *testing.T) {
	a := newTree(5, "a")
	state := openState(t, stateDir(t, a.head(2)))
	wrote, ended := make(chan struct{}), make(chan error)
	state.BreakWrites(func() error { <-wrote; return nil })
	g := guardOf(t, testKey(1), state)
	go func() {
		_, err := g.Sign(t.Context(), 5, a.head(5).Root, a.proof(2, 5))
		ended <- err
	}()
	select {
	case <-ended:
		t.Fatal("a signature left before the watermark was written")
	case <-time.After(50 * time.Millisecond):
	}
	if g.Watermark() != a.head(2) {
		t.Fatal("the watermark claims what is not on disk")
	}
	close(wrote)
	must(t, <-ended)
}

// Invariant 9: what cannot be explained stops the guard for good.
func TestInvariant9Latches(t *testing.T) {
	a := newTree(5, "a")
	good := func(m []byte) ([]byte, error) { return ed25519.Sign(testKey(1), m), nil }
	tests := map[string]struct {
		sign  func([]byte) ([]byte, error)
		write error
	}{
		"write fails":     {good, errors.New("input/output error")},
		"wrong key":       {func(m []byte) ([]byte, error) { return ed25519.Sign(testKey(2), m), nil }, nil},
		"short signature": {func(m []byte) ([]byte, error) { return ed25519.Sign(testKey(1), m)[:63], nil }, nil},
		"long signature":  {func(m []byte) ([]byte, error) { return append(ed25519.Sign(testKey(1), m), 0), nil }, nil},
		"no signature":    {func([]byte) ([]byte, error) { return nil, nil }, nil},
		"both fail":       {func([]byte) ([]byte, error) { return nil, errors.New("device error") }, errors.New("input/output error")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			state := openState(t, stateDir(t, a.head(2)))
			if tt.write != nil {
				state.BreakWrites(func() error { return tt.write })
			}
			g := guardOf(t, device{testKey(1), tt.sign}, state)
			for range 2 {
				sig, err := g.Sign(t.Context(), 5, a.head(5).Root, a.proof(2, 5))
				wantStopped(t, err)
				if sig != [64]byte{} {
					t.Fatal("a signature left a stopped guard")
				}
			}
			mark := g.Watermark()
			_, err := g.Sign(t.Context(), mark.Size, mark.Root, nil)
			wantStopped(t, err)
			_, err = g.Record(t.Context(), checkpoint(a.head(5).Text(origin), origin, 2, 3), a.proof(2, 5))
			wantStopped(t, err)
		})
	}
}

func wantStopped(t *testing.T, err error) {
	t.Helper()
	if stopped := new(agent.StoppedError); !errors.As(err, &stopped) {
		t.Fatalf("%v, want stopped", err)
	}
}

// Invariant 9: a signer that says it is stopped stops the guard, which gives the signer's reason, and asks it no more.
func TestInvariant9SignerStops(t *testing.T) {
	a := newTree(5, "a")
	calls := 0
	stop := &agent.StoppedError{Reason: "the token refused the PIN"}
	d := device{testKey(1), func([]byte) ([]byte, error) { calls++; return nil, fmt.Errorf("C_Login: %w", stop) }}
	g := guardOf(t, d, openState(t, stateDir(t, a.head(2))))
	_, socket := serve(t, g)
	c := agent.Dial(socket)
	defer c.Close()
	for range 2 {
		_, _, err := c.Sign(t.Context(), origin, a.head(5), a.proof(2, 5))
		if stopped := new(agent.StoppedError); !errors.As(err, &stopped) || stopped.Reason != stop.Reason {
			t.Fatalf("Sign: %v", err)
		}
	}
	logs, err := c.Logs(t.Context())
	if err != nil || logs[0].Stopped != stop.Reason || calls != 1 {
		t.Fatalf("Logs: %+v, %v; the device was asked %d times", logs, err, calls)
	}
}

// ill is a device that tells how it is.
type ill struct {
	device
	health error
}

func (i *ill) Health() error { return i.health }

func TestHealth(t *testing.T) {
	a := newTree(5, "a")
	d := &ill{device: device{testKey(1), func(m []byte) ([]byte, error) { return ed25519.Sign(testKey(1), m), nil }}}
	_, socket := serve(t, guardOf(t, d, openState(t, stateDir(t, a.head(2)))))
	c := agent.Dial(socket)
	defer c.Close()
	logs, err := c.Logs(t.Context())
	if err != nil || logs[0].Device != "up" {
		t.Fatalf("Logs: %+v, %v", logs, err)
	}
	if status, body := raw(t, socket, "GET", "/v1/health", ""); status != 200 {
		t.Fatalf("health: %d %s", status, body)
	}
	d.health = errors.New("recovering since 13:04:05: CKR_DEVICE_REMOVED")
	if logs, err = c.Logs(t.Context()); err != nil || logs[0].Device != d.health.Error() || logs[0].Stopped != "" {
		t.Fatalf("Logs: %+v, %v", logs, err)
	}
	status, body := raw(t, socket, "GET", "/v1/health", "")
	if status != 503 || body != `{"code":"failed","message":"recovering since 13:04:05: CKR_DEVICE_REMOVED"}` {
		t.Fatalf("health: %d %s", status, body)
	}
	if _, err := c.Watermark(t.Context(), origin); err != nil {
		t.Fatalf("Watermark without a device: %v", err)
	}
}

// A device error is not a reason to stop: the watermark has moved, and the same head is signed when the device is back.
func TestDeviceErrorIsRetried(t *testing.T) {
	a := newTree(5, "a")
	broken := errors.New("device removed")
	calls := 0
	d := device{testKey(1), func(m []byte) ([]byte, error) {
		if calls++; calls == 1 {
			return nil, broken
		}
		return ed25519.Sign(testKey(1), m), nil
	}}
	dir := stateDir(t, a.head(2))
	g := guardOf(t, d, openState(t, dir))
	if _, err := g.Sign(t.Context(), 5, a.head(5).Root, a.proof(2, 5)); !errors.Is(err, broken) {
		t.Fatalf("Sign: %v, want %v", err, broken)
	}
	_, err := g.Sign(t.Context(), 5, newTree(5, "b").head(5).Root, nil)
	wantRefused(t, "fork after the failure", err, a.head(5))
	if _, err := g.Sign(t.Context(), 5, a.head(5).Root, a.proof(2, 5)); err != nil {
		t.Fatalf("same request again: %v", err)
	}
}

// A hung device holds the guard and one goroutine; callers leave at their own deadline, with "busy".
func TestHungDevice(t *testing.T) {
	a := newTree(5, "a")
	release, entered := make(chan struct{}), make(chan struct{}, 100)
	d := device{testKey(1), func(m []byte) ([]byte, error) {
		entered <- struct{}{}
		<-release
		return ed25519.Sign(testKey(1), m), nil
	}}
	g := guardOf(t, d, openState(t, stateDir(t, a.head(2))))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := g.Sign(ctx, 5, a.head(5).Root, a.proof(2, 5))
			if !errors.Is(err, agent.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Sign on a hung device: %v", err)
			}
		})
	}
	wg.Wait()
	if n := len(entered); n != 1 {
		t.Fatalf("%d calls reached the device, want 1", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := g.Record(ctx, checkpoint(a.head(5).Text(origin), origin, 2, 3), a.proof(2, 5)); !errors.Is(err, agent.ErrBusy) {
		t.Fatalf("Record on a hung device: %v", err)
	}
	if g.Watermark() != a.head(5) {
		t.Fatal("the watermark was written while the device hangs; it should be seen")
	}
	close(release)
	if _, err := g.Sign(t.Context(), 5, a.head(5).Root, nil); err != nil {
		t.Fatalf("after the device came back: %v", err)
	}
}

// Invariant 3 under concurrency: of two forks offered at once, one is signed, whatever the order.
func TestInvariant3Concurrent(t *testing.T) {
	trunk := newTree(4, "a")
	left, right := newTree(4, "a").grow(20, "left"), newTree(4, "a").grow(20, "right")
	g := newGuard(t, trunk.head(4))
	signed := map[*tree]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for size := int64(5); size <= 24; size++ {
		for _, branch := range []*tree{left, right} {
			wg.Go(func() {
				for from := int64(4); from < size; from++ {
					if _, err := g.Sign(t.Context(), uint64(size), branch.head(size).Root, branch.proof(from, size)); err == nil {
						mu.Lock()
						signed[branch]++
						mu.Unlock()
					}
				}
			})
		}
	}
	wg.Wait()
	if signed[left] > 0 && signed[right] > 0 {
		t.Fatalf("one key signed two histories: %d and %d heads", signed[left], signed[right])
	}
	if signed[left]+signed[right] == 0 {
		t.Fatal("nothing was signed")
	}
}

func TestSignWithEndedContext(t *testing.T) {
	a := newTree(5, "a")
	g := newGuard(t, a.head(2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if _, err := g.Sign(ctx, 5, a.head(5).Root, a.proof(2, 5)); !errors.Is(err, agent.ErrBusy) {
			t.Fatalf("Sign: %v", err)
		}
	}
	if _, err := g.Sign(t.Context(), 2, a.head(2).Root, nil); err != nil {
		t.Fatalf("an ended context moved the watermark: %v", err)
	}
}
