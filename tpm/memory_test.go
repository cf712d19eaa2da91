package tpm_test

import (
	"bufio"
	"crypto"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"countersign.dev/tpm"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be a process that may lock no memory.
func TestMain(m *testing.M) {
	if os.Getenv("TPM_TEST_MEMLOCK") != "" {
		if err := keepWithoutLocks(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestSecretPage(t *testing.T) {
	for _, tt := range []struct {
		hidden, locked bool
		kind           string
	}{{true, true, "memfd_secret"}, {true, false, "memfd_secret"}, {false, true, "mlock"}} {
		kind, page, free, err := tpm.NewSecretPage(tt.hidden, tt.locked)
		if err != nil || kind != tt.kind || len(page) != os.Getpagesize() {
			t.Fatalf("%+v: %s, %d bytes, %v", tt, kind, len(page), err)
		}
		copy(page, "a secret")
		flags := mappingFlags(t, &page[0])
		for _, want := range map[string][]string{"memfd_secret": {"lo", "dc"}, "mlock": {"lo", "dd", "wf"}}[kind] {
			if !strings.Contains(flags, " "+want) {
				t.Errorf("%s: the mapping has the flags %q, want %s", kind, flags, want)
			}
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		_, err = mem.ReadAt(make([]byte, 8), int64(uintptr(unsafe.Pointer(&page[0]))))
		mem.Close()
		if readable := err == nil; readable != (kind == "mlock") {
			t.Errorf("%s: read through the kernel: %v", kind, err)
		}
		var alias []byte // a second view of the page; there is none of the other kind
		if kind == "memfd_secret" {
			at, err := unix.MremapPtr(unsafe.Pointer(&page[0]), 0, nil, uintptr(len(page)), unix.MREMAP_MAYMOVE)
			if err != nil {
				t.Fatal(err)
			}
			alias = unsafe.Slice((*byte)(at), len(page))
		}
		if err := free(); err != nil {
			t.Error(err)
		}
		if kind == "memfd_secret" {
			if alias[0] != 0 {
				t.Errorf("%s: freed and not wiped", kind)
			}
			if err := unix.MunmapPtr(unsafe.Pointer(&alias[0]), uintptr(len(alias))); err != nil {
				t.Error(err)
			}
		}
	}
	_, _, _, err := tpm.NewSecretPage(false, false)
	if err == nil || !strings.Contains(err.Error(), "LimitMEMLOCK") {
		t.Fatalf("without any memory to hide it in: %v", err)
	}
}

// mappingFlags are the VmFlags of the mapping that p is in.
func mappingFlags(t *testing.T, p *byte) string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			at := uintptr(unsafe.Pointer(p))
			inside = from <= at && at < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && inside {
			return flags + " "
		}
	}
	t.Fatal("the page is in no mapping")
	return ""
}

// A process that may lock no memory gets no page: the seed does not go to
// ordinary memory.
func TestNothingLockedNothingKept(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "TPM_TEST_MEMLOCK=0")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "LimitMEMLOCK") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// keepWithoutLocks gives up the capability to lock memory and the limit for it.
func keepWithoutLocks() error {
	runtime.LockOSThread()
	none := [2]unix.CapUserData{}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{}); err != nil {
		return err
	}
	kind, _, _, err := tpm.NewSecretPage(true, true)
	if err == nil {
		return errors.New("got a page by " + kind)
	}
	fmt.Println(err)
	return nil
}

// A faulty seed signs once, and what it signed stays here.
func TestFaultySeedEndsTheKey(t *testing.T) {
	f := newFixture(t)
	key, err := tpm.Open(t.Context(), f.config)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	if err := key.Err(); err != nil {
		t.Fatal(err)
	}
	if flags := mappingFlags(t, key.SeedPage()); strings.Contains(flags, " wr ") || !strings.Contains(flags, " rd ") || !strings.Contains(flags, " dc ") {
		t.Errorf("the seed's page has the flags %s: it can be written, or is inherited", flags)
	}
	if err := key.Spoil(); err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign(nil, []byte("m"), crypto.Hash(0))
	if !errors.Is(err, tpm.ErrStopped) || signature != nil {
		t.Fatalf("%x, %v", signature, err)
	}
	<-key.Ended()
	key.Spoil() // right again
	if _, again := key.Sign(nil, []byte("m"), crypto.Hash(0)); !errors.Is(again, tpm.ErrStopped) || !errors.Is(key.Err(), tpm.ErrStopped) {
		t.Fatalf("%v, %v", again, key.Err())
	}
	if err := key.Close(); err != nil || !errors.Is(key.Err(), tpm.ErrStopped) {
		t.Fatalf("after Close: %v, %v", err, key.Err())
	}
}
