//go:build soak

package test

import (
	"crypto"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// TestSoakLeak measures what SoftHSM leaks for each signature, which is why agents start again in place, and that the
// key keeps nothing.
func TestSoakLeak(t *testing.T) {
	tokens, m := softhsm.New(t), fault.New(t, softhsm.Module)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	generated.URI.ModulePath = m.Path
	key, err := hsm.Open(t.Context(), hsm.Config{URI: generated.URI, PublicKey: generated.PublicKey})
	must(t, err)
	defer key.Close()

	const signatures = 100_000
	signMany(t, key, signatures/5)
	before, goroutines := settledRSS(t), runtime.NumGoroutine()
	files, sessions := openFiles(t, os.Getpid()), openSessions(m)
	signMany(t, key, signatures)
	after := settledRSS(t)
	t.Logf("%d signatures: RSS from %d to %d KiB, %d bytes a signature", signatures, before, after, (after-before)*1024/signatures)
	for what, counts := range map[string][2]int{
		"goroutines": {goroutines, runtime.NumGoroutine()},
		"files":      {files, openFiles(t, os.Getpid())},
		"sessions":   {sessions, openSessions(m)},
	} {
		if counts[1] > counts[0]+1 {
			t.Errorf("%d %s before, %d after", counts[0], what, counts[1])
		}
	}
	if leak := (after - before) * 1024 / signatures; leak > 300 {
		t.Errorf("%d bytes a signature: the default of recycle_after reckons with 190", leak)
	}
}

func signMany(t *testing.T, key *hsm.Key, n int) {
	t.Helper()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range n / 4 {
				if _, err := key.SignMessage(nil, []byte("\x00soak"), crypto.Hash(0)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// settledRSS is in KiB, with what Go keeps for later given back.
func settledRSS(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	return ofProcess(t, os.Getpid(), "VmRSS:")
}

func openSessions(m *fault.Module) int {
	now, _ := m.Sessions()
	return now
}
