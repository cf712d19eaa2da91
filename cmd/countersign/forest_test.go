package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/provenance"
)

// forest is a project with many dependencies, all countersigned, and a public listener that has them.
type forest struct {
	t   testing.TB
	dir string
	url string
}

func newForest(t testing.TB, n int) *forest {
	t.Helper()
	r := anHour()
	f := &forest{t: t, dir: t.TempDir()}
	publisher := testKey("publisher")
	certificate := must(provenance.Enrolment{Registry: r.name, Publisher: publicKey(publisher), Namespaces: namespaces("pkg:npm/@acme/*"),
		Issued: time.Now().Add(-time.Minute)}.Sign(r.officer))
	r.enrol(certificate.Envelope)
	indexes := make(map[string]int)
	for i := range n {
		c, digests := tree(i)
		p := must(provenance.Draft{Registry: r.name, Coordinate: c, FileName: "tree.tgz", Digests: digests, SignedAt: time.Now()}.Sign(publisher))
		key := c.Hash()
		indexes[hex.EncodeToString(key[:])] = r.state(p, certificate.Digest(), time.Now())
	}
	note := r.note(len(r.entries))
	mux := http.NewServeMux()
	mux.HandleFunc("/"+r.name+"/identity", func(w http.ResponseWriter, _ *http.Request) { w.Write(provenance.EncodeEnvelopes(r.chain())) })
	mux.HandleFunc("/"+r.name+"/bundles:batch", func(w http.ResponseWriter, request *http.Request) {
		var wanted struct{ Coordinates []string }
		data, _ := io.ReadAll(request.Body)
		json.Unmarshal(data, &wanted, json.MatchCaseInsensitiveNames(true))
		for _, key := range wanted.Coordinates {
			index, known := indexes[key]
			if !known {
				fmt.Fprintf(w, `{"coordinate":%q,"problem":{"type":"urn:countersign:error:not-found","detail":"no"}}`+"\n", key)
				continue
			}
			b := &provenance.Bundle{Statement: r.entries[index], Identity: r.chain(), Enrolment: certificate.Envelope, Proof: &provenance.Proof{Index: uint64(index),
				Hashes: must(tlog.ProveRecord(int64(len(r.entries)), int64(index), r.reader())), Checkpoint: note}}
			fmt.Fprintf(w, `{"coordinate":%q,"bundle":%s}`+"\n", key, b.JSON())
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	f.save(".countersign/pins.toml", fmt.Appendf(nil, "version = 1\ndefault = \"ignore\"\n[[pin]]\nnamespace = \"pkg:npm/@acme/*\"\nregistry = %q\nidentity = %q\n", r.name, r.fingerprint()))
	f.lock("package-lock.json", 0, n)
	return f
}

func (f *forest) save(name string, data []byte) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func tree(i int) (provenance.Coordinate, provenance.Digests) {
	name := fmt.Sprintf("@acme/tree-%d", i)
	a, b := sha256.Sum256([]byte(name)), sha512.Sum512([]byte(name))
	return must(provenance.NewCoordinate("npm", name, "1.0.0", "")), provenance.Digests{"sha256": hex.EncodeToString(a[:]), "sha512": hex.EncodeToString(b[:])}
}

// lock writes a lockfile of the trees from first up to end.
func (f *forest) lock(name string, first, end int) {
	b := bytes.NewBufferString("{\"name\": \"forest\", \"lockfileVersion\": 3, \"packages\": {\n\"\": {\"name\": \"forest\"}")
	for i := first; i < end; i++ {
		c, digests := tree(i)
		fmt.Fprintf(b, ",\n\"node_modules/%s\": {\"version\": \"1.0.0\", \"resolved\": \"https://registry.example/%[1]s/-/x-1.0.0.tgz\", \"integrity\": \"sha512-%s\"}",
			c.Name(), base64.StdEncoding.EncodeToString(must(hex.DecodeString(digests["sha512"]))))
	}
	f.save(name, append(b.Bytes(), "\n}}\n"...))
}

// command is a check by the real program.
func (f *forest) command(args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(binaries, "countersign"), append([]string{"check", "--cache", filepath.Join(f.dir, "cache")}, args...)...)
	c.Dir, c.Env = f.dir, append(os.Environ(), "HOME="+f.dir)
	return c
}

// check runs one to its end, and gives its exit status, its output and its peak resident memory in bytes. The kernel's
// own account of a child that ended counts the memory of the parent that started it, so it is looked at while it lives.
func (f *forest) check(args ...string) (status int, out string, peak int) {
	f.t.Helper()
	var text bytes.Buffer
	c := f.command(args...)
	c.Stdout, c.Stderr = &text, &text
	if err := c.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	for {
		select {
		case <-ended:
			return c.ProcessState.ExitCode(), text.String(), peak
		case <-time.After(2 * time.Millisecond):
			peak = max(peak, highWater(c.Process.Pid))
		}
	}
}

// highWater is the most bytes that a process had resident so far, 0 if it is none any more.
func highWater(pid int) (kept int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, line, _ := bytes.Cut(data, []byte("VmHWM:"))
	fmt.Sscan(string(line), &kept)
	return kept << 10
}

// Processes that share a cache are killed at any moment, two at once. Afterwards it serves, or is filled again; it never
// passes what is bad, and what was half written does not pile up.
func TestKilledChecks(t *testing.T) {
	const n, rounds = 240, 40
	f := newForest(t, n)
	f.lock("first.json", 0, n*2/3)
	f.lock("second.json", n/3, n)
	f.save("evil.json", bytes.Replace(must(os.ReadFile(filepath.Join(f.dir, "package-lock.json"))), []byte("sha512-A"), []byte("sha512-B"), 1))
	begin := time.Now()
	if status, out, _ := f.check("--from", f.url); status != 0 {
		t.Fatalf("%d: %s", status, out)
	}
	whole := time.Since(begin)
	var killed atomic.Int64
	for round := range rounds {
		if round%10 == 0 {
			os.RemoveAll(filepath.Join(f.dir, "cache"))
		}
		var group sync.WaitGroup
		for _, lockfile := range []string{"first.json", "second.json"} {
			c, wait := f.command("--from", f.url, "--as", "package-lock.json", lockfile), rand.N(whole*5/4)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(wait, func() { c.Process.Kill() })
			group.Go(func() {
				if c.Wait(); c.ProcessState.ExitCode() < 0 {
					killed.Add(1)
				}
			})
		}
		group.Wait()
		if status, out, _ := f.check("--offline"); status != 0 && status != 2 {
			t.Fatalf("round %d: %d: %s", round, status, out)
		}
		if status, out, _ := f.check("--offline", "--as", "package-lock.json", "evil.json"); status == 0 {
			t.Fatalf("round %d, what is bad: %s", round, out)
		}
		if left := must(filepath.Glob(filepath.Join(f.dir, "cache", "*", ".new-*"))); len(left) > 32+2 {
			t.Errorf("round %d: %d temporary files", round, len(left))
		}
		if round%5 != 4 {
			continue
		}
		for _, args := range [][]string{{"--from", f.url}, {"--offline"}} {
			if status, out, _ := f.check(args...); status != 0 {
				t.Fatalf("round %d %q: %d: %s", round, args, status, out)
			}
		}
	}
	if killed.Load() < rounds/4 {
		t.Errorf("only %d of %d were killed", killed.Load(), 2*rounds)
	}
	if files := must(filepath.Glob(filepath.Join(f.dir, "cache", "*", "*"))); len(files) > 8+3+2 {
		t.Errorf("left are %q", files)
	}
}

// A check needs memory for each dependency, but no more than that: not its bundle, which has some thousand bytes.
func TestCheckMemory(t *testing.T) {
	const few, many = 500, 6500
	f := newForest(t, many)
	f.lock("few.json", 0, few)
	for _, place := range [][]string{{"--from", f.url}, {"--offline"}} {
		var peaks [2]int
		for i, lockfile := range []string{"few.json", "package-lock.json"} {
			status, out, peak := f.check(append(place, "--as", "package-lock.json", lockfile)...)
			if status != 0 {
				t.Fatalf("%d: %s", status, out)
			}
			peaks[i] = peak
		}
		each := (peaks[1] - peaks[0]) / (many - few)
		t.Logf("%s: %d MiB for %d, %d MiB for %d, %d bytes each", place[0], peaks[0]>>20, few, peaks[1]>>20, many, each)
		if peaks[0] == 0 || each < 0 || each > 16<<10 {
			t.Errorf("%s: %d bytes each", place[0], each)
		}
	}
}
