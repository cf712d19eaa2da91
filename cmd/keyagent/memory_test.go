package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign.dev/agent"
)

// build makes keyagent as the Makefile does, with or without erasure by the runtime.
func build(t *testing.T, experiment string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyagent")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	cmd.Env = append(os.Environ(), "GOEXPERIMENT="+experiment, "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// needRoot is for what only root may look at.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("CI runs this test as root: only root can %s", what)
	}
	t.Skipf("only root can %s", what)
}

// After thousands of signatures an agent that was built to erase has the seed, and what crypto/ed25519 derives from it, in
// no memory that the kernel can read. The other one has each of them, which shows that they are looked for as they lie in
// memory; a third process shows that also the rest would be found.
func TestMemoryHoldsNoCopyOfTheSeed(t *testing.T) {
	needRoot(t, "read the memory of a process that hardened itself")
	for name, tt := range map[string]struct {
		experiment string
		erased     bool
	}{"erasing": {"runtimesecret", true}, "plain": {"noruntimesecret", false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealedSetup(t)
			pin, err := os.ReadFile(s.pinFile)
			must(t, err)
			planted := make([]byte, 16)
			rand.Read(planted)
			wanted := map[string][]byte{"PIN": bytes.TrimSpace(pin), "planted": fmt.Appendf(nil, "%x", planted), "public key": s.public()}
			maps.Copy(wanted, derived(s.emulator.seed))
			for name, n := range search(t, holding(t, wanted), wanted) {
				if n == 0 {
					t.Errorf("the search does not find the %s where it is", name)
				}
			}
			p := startProgram(t, []string{"PLANTED=" + string(wanted["planted"])}, build(t, tt.experiment), "--config", s.config)
			s.wait(t)
			wait, signatures := time.Minute, 2000
			if !tt.erased {
				wait, signatures = 0, 300
			}
			if found := searchSettled(t, p, wanted, wait); tt.erased && secrets(found) != 0 {
				t.Errorf("after the unlock: %v", found)
			}
			s.signMany(t, signatures)
			found := searchSettled(t, p, wanted, wait)
			t.Logf("after %d signatures: %v", signatures, found)
			if found["planted"] == 0 || found["public key"] == 0 || found["secret mappings"] != 1 {
				t.Errorf("the search does not find what is there: %v", found)
			}
			for _, name := range []string{"seed", "prefix", "scalar"} {
				if (found[name] == 0) != tt.erased {
					t.Errorf("erased: %t, but found the %s %d times", tt.erased, name, found[name])
				}
			}
			if tt.erased && secrets(found) != 0 {
				t.Errorf("found %v", found)
			}
			if out := p.output.String(); !strings.Contains(out, fmt.Sprintf("memory=memfd_secret copies_erased=%t", tt.erased)) {
				t.Errorf("the log does not say how the seed is kept:\n%s", out)
			}
			p.end(t)
		})
	}
}

// derived is what makes signatures, as crypto/ed25519 has it in memory: the scalar is kept in Montgomery's form.
func derived(seed []byte) map[string][]byte {
	digest := sha512.Sum512(seed)
	clamped := bytes.Clone(digest[:32])
	clamped[0] &= 248
	clamped[31] = clamped[31]&63 | 64
	slices.Reverse(clamped)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	scalar := new(big.Int).Lsh(new(big.Int).SetBytes(clamped), 256)
	montgomery := scalar.Mod(scalar, order).FillBytes(make([]byte, 32))
	slices.Reverse(montgomery)
	return map[string][]byte{"seed": seed, "prefix": digest[32:], "scalar": montgomery, "hash": digest[1:31]} // without the bits that are clamped
}

// holding is a process that has all of it in its memory.
func holding(t *testing.T, what map[string][]byte) *process {
	t.Helper()
	var list []string
	for _, b := range what {
		list = append(list, fmt.Sprintf("%x", b))
	}
	p := startProgram(t, []string{"KEYAGENT_TEST_HOLD=" + strings.Join(list, ",")}, os.Args[0])
	p.waitFor(t, "what it holds", func() bool { return strings.Contains(p.output.String(), "holding") })
	return p
}

// hold is such a process, until it is killed.
func hold(list string) {
	var held [][]byte
	for _, text := range strings.Split(list, ",") {
		b, err := hex.DecodeString(text)
		if err != nil {
			panic(err)
		}
		held = append(held, b)
	}
	fmt.Println("holding")
	time.Sleep(5 * time.Minute)
	runtime.KeepAlive(held)
}

func secrets(found map[string]int) int {
	return found["seed"] + found["prefix"] + found["scalar"] + found["hash"] + found["PIN"]
}

// searchSettled gives the collector so long.
func searchSettled(t *testing.T, p *process, wanted map[string][]byte, wait time.Duration) map[string]int {
	t.Helper()
	for end := time.Now().Add(wait); ; time.Sleep(time.Second) {
		if found := search(t, p, wanted); secrets(found) == 0 || time.Now().After(end) {
			return found
		}
	}
}

// signMany has the agent sign from several connections.
func (s *setup) signMany(t *testing.T, count int) {
	var group sync.WaitGroup
	const clients = 4
	for range clients {
		group.Go(func() {
			c := agent.Dial(s.socket)
			defer c.Close()
			for range count / clients {
				if err := s.sign(t.Context(), c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// search counts what is wanted in all of a process's memory that can be read, and the mappings that cannot be because
// they are secret.
func search(t *testing.T, p *process, wanted map[string][]byte) map[string]int {
	t.Helper()
	must(t, p.Process.Signal(syscall.SIGSTOP))
	defer p.Process.Signal(syscall.SIGCONT)
	p.waitFor(t, "the process to stop", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
		must(t, err)
		return bytes.Contains(status, []byte("State:\tT"))
	})
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.Process.Pid))
	must(t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.Process.Pid))
	must(t, err)
	defer mem.Close()
	found := map[string]int{}
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var access string
		if n, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access); n != 3 {
			t.Fatalf("%q: %v", line, err)
		}
		if access[0] != 'r' || strings.Contains(line, "[vvar") || strings.Contains(line, "[vsyscall]") {
			continue
		}
		data := make([]byte, to-from)
		_, err := mem.ReadAt(data, int64(from))
		switch secret := strings.Contains(line, "/secretmem"); {
		case secret && err != nil:
			found["secret mappings"]++
			continue
		case err != nil:
			t.Fatalf("%q: %v", line, err)
		}
		for name, what := range wanted {
			found[name] += bytes.Count(data, what)
		}
	}
	return found
}
