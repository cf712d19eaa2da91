package gate_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/gate"
	"countersign.dev/provenance"
)

func withCache(g *gate.Gate, folder string) *gate.Gate {
	g.Cache = &gate.Cache{Folder: folder}
	return g
}

// packs are the cache's files with bundles.
func packs(t *testing.T, folder string) []string {
	t.Helper()
	return must(filepath.Glob(filepath.Join(folder, "*", "[0-9a-f]*.pack")))
}

func all(*world) []*lockfile.File {
	return []*lockfile.File{lock("npm", entry(widget, "widget"), entry(coordinate("npm", "@acme/gadget", "2.0.0"), "gadget")),
		lock("pypi", entry(coordinate("pypi", "acme-kit", "1.0", "acme_kit-1.0.tar.gz"), "acme_kit-1.0.tar.gz", "acme_kit-1.0-py3-none-any.whl"))}
}

// What was verified once is verified again without a place; what was refused is asked for again.
func TestCache(t *testing.T) {
	w, s := newScene()
	folder := t.TempDir()
	tells(t, "cold", checked(withCache(newGate(w.acme(), s), folder), all(w)...))
	tells(t, "warm", checked(withCache(newGate(w.acme()), folder), all(w)...))
	s.asked = nil
	tells(t, "warm with a place", checked(withCache(newGate(w.acme(), s), folder), all(w)...))
	if len(s.asked) != 0 {
		t.Errorf("asked for %q", s.asked)
	}
	tells(t, "another digest", checked(withCache(newGate(w.acme()), folder), lock("npm", entry(widget, "evil"))), "refused artifact-digest-mismatch @acme/widget")
	tells(t, "not kept", checked(withCache(newGate(w.acme()), folder), lock("npm", entry(coordinate("npm", "@acme/widget", "3.0.0"), "x"))), "unchecked unavailable @acme/widget")
}

// A bundle that went stale is fetched again, once, and then is the one that is kept.
func TestCacheHeals(t *testing.T) {
	w, s := newScene()
	w.publish("publisher", coordinate("npm", "@acme/later", "1.0.0"), "later", "")
	folder := t.TempDir()
	tells(t, "cold", checked(withCache(newGate(w.acme(), w.shelf()), folder), all(w)...))
	w.publish("publisher", coordinate("npm", "@acme/last", "1.0.0"), "last", "")
	w.rotate()
	s = w.shelf()
	offline := newGate(w.acme(), &shelf{name: "identity only", chain: w.chain()})
	tells(t, "ended", checked(withCache(offline, folder), lock("npm", entry(widget, "widget"))), "refused key-ended @acme/widget")
	// The identity that was seen is kept: without it, the old bundle would pass again.
	tells(t, "rollback", checked(withCache(newGate(w.acme()), folder), lock("npm", entry(widget, "widget"))), "refused key-ended @acme/widget")
	tells(t, "again", checked(withCache(newGate(w.acme(), s), folder), all(w)...))
	tells(t, "warm", checked(withCache(newGate(w.acme()), folder), all(w)...))
	// Nor does a place with a shorter identity take it back.
	old, _ := newScene()
	tells(t, "an old mirror", checked(withCache(newGate(w.acme(), old.shelf()), t.TempDir()), lock("npm", entry(widget, "widget"))))
	tells(t, "an old mirror, known", checked(withCache(newGate(w.acme(), old.shelf()), folder), lock("npm", entry(widget, "widget"))))
	r := checked(withCache(newGate(w.acme(), old.shelf()), folder), lock("npm", entry(coordinate("npm", "@acme/old", "0.1.0"), "old")))
	tells(t, "an old mirror, not kept", r, "refused basis-too-weak @acme/old")
}

func TestCacheKeepsStatus(t *testing.T) {
	w, s := newScene()
	folder := t.TempDir()
	early := w.status(dayZero.AddDate(0, 0, 1), nil, nil)
	w.add(must((&provenance.Withdrawal{Claim: w.claim(widget), Subject: provenance.Subject{Name: "file", Digest: digestsOf("widget")}, Reason: "malware"}).Statement()))
	late := w.status(dayZero.AddDate(0, 0, 1), []provenance.WithdrawnCoordinate{{Purl: widget.String(), Origin: w.origin(), Index: uint64(len(w.entries) - 1),
		WithdrawnAt: provenance.At(dayZero), Reason: "malware"}}, nil)
	file := lock("npm", entry(widget, "widget"))
	s.statuses = [][]byte{early}
	tells(t, "early", checked(withCache(newGate(w.acme(), s), folder), file))
	s.statuses = [][]byte{late}
	tells(t, "late", checked(withCache(newGate(w.acme(), s), folder), file), "refused withdrawn @acme/widget")
	s.statuses = [][]byte{early}
	tells(t, "an old mirror", checked(withCache(newGate(w.acme(), s), folder), file), "refused withdrawn @acme/widget")
	tells(t, "offline", checked(withCache(newGate(w.acme()), folder), file), "refused withdrawn @acme/widget")
}

// Any damage to the cache costs a fetch, and nothing else.
func TestCacheDamaged(t *testing.T) {
	w, s := newScene()
	folder := t.TempDir()
	tells(t, "cold", checked(withCache(newGate(w.acme(), s), folder), all(w)...))
	var files []string
	filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if len(files) != 3 {
		t.Fatalf("files %q", files)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, file := range files {
		whole := must(os.ReadFile(file))
		for range 60 {
			data := bytes.Clone(whole)
			switch random.IntN(3) {
			case 0:
				data = data[:random.IntN(len(data))]
			case 1:
				data[random.IntN(len(data))] ^= byte(1 + random.IntN(255))
			default:
				data = append(data, data[:random.IntN(len(data))]...)
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			tells(t, "damaged "+filepath.Base(file), checked(withCache(newGate(w.acme(), s), copied), all(w)...))
			tells(t, "healed "+filepath.Base(file), checked(withCache(newGate(w.acme()), copied), all(w)...))
		}
		os.WriteFile(file, whole, 0o600)
	}
}

// Many runs share a cache, and merge what they left.
func TestCacheShared(t *testing.T) {
	w := newWorld(theRegistry)
	folder := t.TempDir()
	var files []*lockfile.File
	for i := range 24 {
		c := coordinate("npm", fmt.Sprintf("@acme/p%d", i), "1.0.0")
		w.publish("publisher", c, "content", "")
		files = append(files, lock("npm", entry(c, "content")))
	}
	var group sync.WaitGroup
	reports := make([]*gate.Report, len(files))
	for i := range files {
		s := w.shelf()
		group.Go(func() { reports[i] = checked(withCache(newGate(w.acme(), s), folder), files[i]) })
	}
	group.Wait()
	for _, r := range reports {
		tells(t, "at once", r)
		if len(r.Notes) > 0 {
			t.Errorf("notes %q", r.Notes)
		}
	}
	found := 0
	for _, f := range files {
		r := checked(withCache(newGate(w.acme()), folder), f)
		found += r.Summary.Verified
	}
	if found < len(files)*3/4 { // what two runs merge at the same time may be lost
		t.Errorf("%d of %d are kept", found, len(files))
	}
	for i := range 20 {
		c := coordinate("npm", fmt.Sprintf("@acme/q%d", i), "1.0.0")
		w.publish("publisher", c, "content", "")
		tells(t, "one more", checked(withCache(newGate(w.acme(), w.shelf()), folder), lock("npm", entry(c, "content"))))
	}
	if n := len(packs(t, folder)); n > 8 {
		t.Errorf("%d packs", n)
	}
	var list []lockfile.Entry
	for i := range 20 {
		list = append(list, entry(coordinate("npm", fmt.Sprintf("@acme/q%d", i), "1.0.0"), "content"))
	}
	tells(t, "merged", checked(withCache(newGate(w.acme()), folder), lock("npm", list...)))
}

// What a killed run left is removed when it is old, and never read.
func TestCacheLeftovers(t *testing.T) {
	w, s := newScene()
	folder := t.TempDir()
	tells(t, "cold", checked(withCache(newGate(w.acme(), s), folder), all(w)...))
	own := filepath.Dir(packs(t, folder)[0])
	old, fresh := filepath.Join(own, ".new-1.pack"), filepath.Join(own, ".new-2.pack")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	w.publish("publisher", coordinate("npm", "@acme/more", "1.0.0"), "more", "")
	tells(t, "more", checked(withCache(newGate(w.acme(), w.shelf()), folder), lock("npm", entry(coordinate("npm", "@acme/more", "1.0.0"), "more"))))
	if _, err := os.Stat(old); err == nil {
		t.Error("the old one is there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("one that may be in use was removed")
	}
}

// A cache that cannot be written is said, and the answer is the same.
func TestCacheUnwritable(t *testing.T) {
	w, s := newScene()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := checked(withCache(newGate(w.acme(), s), file), all(w)...)
	tells(t, "unwritable", r)
	if len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "cache") {
		t.Errorf("notes %q", r.Notes)
	}
}

// Whoever writes to the cache on purpose, with checksums that agree, gets nothing past Verify.
func TestCacheForged(t *testing.T) {
	w, s := newScene()
	folder := t.TempDir()
	tells(t, "cold", checked(withCache(newGate(w.acme(), s), folder), lock("npm", entry(widget, "widget"))))
	data := must(os.ReadFile(packs(t, folder)[0]))
	record, err := gate.Repack(data, func(bundle []byte) []byte {
		b := must(provenance.ParseBundle(bundle))
		b.Statement = bytes.ReplaceAll(b.Statement, []byte(digestsOf("widget")["sha256"]), []byte(digestsOf("evil")["sha256"]))
		return b.JSON()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packs(t, folder)[0], record, 0o600); err != nil {
		t.Fatal(err)
	}
	r := checked(withCache(newGate(w.acme()), folder), lock("npm", entry(widget, "widget")))
	if r.Summary.Refused != 1 {
		t.Errorf("%+v", r.Summary)
	}
	tells(t, "asked again", checked(withCache(newGate(w.acme(), s), folder), lock("npm", entry(widget, "widget"))))
}

func FuzzPack(f *testing.F) {
	w, s := newScene()
	folder := f.TempDir()
	checked(withCache(newGate(w.acme(), s), folder), all(w)...)
	data := must(os.ReadFile(must(filepath.Glob(filepath.Join(folder, "*", "[0-9a-f]*.pack")))[0]))
	f.Add(data)
	f.Add(data[len(data)-24:])
	f.Add([]byte("CSPACK1\n"))
	f.Fuzz(func(_ *testing.T, data []byte) { gate.ReadPack(data, widget.Hash()) })
}
