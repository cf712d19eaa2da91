package gate_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// A pinned name is found in whatever spelling somebody's lockfile reaches for it.
func TestOtherSpellings(t *testing.T) {
	for what, c := range map[string]struct {
		pins  []string
		entry lockfile.Entry
		kind  string
		want  string
	}{
		"npm in capitals":        {[]string{"pkg:npm/@acme/*"}, entry(coordinate("npm", "@ACME/widget", "1.0.0"), "x"), "npm", "refused alias-of-other @ACME/widget"},
		"Go in capitals":         {[]string{"pkg:golang/acme.example/*"}, entry(coordinate("golang", "acme.example/Widget", "v1.0.0"), "x"), "golang", "refused not-countersigned acme.example/Widget"},
		"Go, host in capitals":   {[]string{"pkg:golang/github.com/acme/*"}, entry(coordinate("golang", "github.com/ACME/widget", "v1.0.0"), "x"), "golang", "refused alias-of-other github.com/ACME/widget"},
		"Maven in capitals":      {[]string{"pkg:maven/com.acme/*"}, mavenEntry("com.Acme", "lib"), "maven", "refused alias-of-other com.Acme:lib"},
		"a wider pin, a lie":     {[]string{"pkg:golang/github.com/*", "pkg:golang/github.com/acme/*"}, entry(coordinate("golang", "github.com/ACME/widget", "v1.0.0"), "x"), "golang", "refused alias-of-other github.com/ACME/widget"},
		"two pins, two names":    {[]string{"pkg:npm/JSONStream", "pkg:npm/jsonstream"}, entry(coordinate("npm", "JSONStream", "1.0.0"), "x"), "npm", "refused not-countersigned JSONStream"},
		"its own capitals":       {[]string{"pkg:npm/JSONStream"}, entry(coordinate("npm", "JSONStream", "1.0.0"), "x"), "npm", "refused not-countersigned JSONStream"},
		"another, no pin":        {[]string{"pkg:npm/@acme/*"}, entry(coordinate("npm", "JSONStream", "1.0.0"), "x"), "npm", ""},
		"Cargo, git, underscore": {[]string{"pkg:cargo/acme-core"}, troubled(provenance.Coordinate{}, "Acme_Core", lockfile.FromGit), "cargo", "refused from-git Acme_Core"},
		"Hex, another place":     {[]string{"pkg:hex/acme/billing"}, entry(coordinate("hex", "billing", "1.0.0"), "x"), "hex", "refused alias-of-other billing"},
		"Hex, any place":         {[]string{"pkg:hex/*", "pkg:hex/acme/billing"}, entry(coordinate("hex", "billing", "1.0.0"), "x"), "hex", "refused alias-of-other billing"},
		"Hex, both are pinned":   {[]string{"pkg:hex/billing", "pkg:hex/acme/billing"}, entry(coordinate("hex", "billing", "1.0.0"), "x"), "hex", "refused not-countersigned billing"},
		"Hex, not by name":       {[]string{"pkg:hex/acme/*"}, entry(coordinate("hex", "billing", "1.0.0"), "x"), "hex", ""},
		"Hex, its own":           {[]string{"pkg:hex/acme/billing"}, named(entry(coordinate("hex", "acme/billing", "1.0.0"), "x"), "billing"), "hex", "refused not-countersigned acme/billing"},
	} {
		w := newWorld(theRegistry)
		r := checked(newGate(w.pins(`default = "ignore"`, "", c.pins...), w.shelf()), lock(c.kind, c.entry))
		if c.want == "" {
			tells(t, what, r)
			continue
		}
		tells(t, what, r, c.want)
	}
}

func mavenEntry(group, artifact string) lockfile.Entry {
	c := must(provenance.ParseCoordinate(fmt.Sprintf("pkg:maven/%s/%s@1.0", group, artifact)))
	e := entry(c, "x")
	e.Name = group + ":" + artifact
	return e
}

// A release's answer may carry what nobody asked for: it is not kept.
func TestCacheTakesNoStowaways(t *testing.T) {
	w, s := newScene()
	kit := coordinate("pypi", "acme-kit", "1.0", "acme_kit-1.0.tar.gz")
	other := newWorld("other.example")
	other.publish("mallory", kit, "evil", "")
	release := kit.Release().String()
	s.bundles[release] = append(s.bundles[release], s.bundles[widget.String()]...)
	s.bundles[release] = append(s.bundles[release], other.bundles(kit.String())...)
	s.bundles[release] = append(s.bundles[release], []byte("{\"a\":\n1}"))
	folder := t.TempDir()
	one := lock("pypi", entry(kit, "acme_kit-1.0.tar.gz"))
	tells(t, "cold", checked(withCache(newGate(w.acme(), s), folder), one))
	data := must(os.ReadFile(packs(t, folder)[0]))
	if n := bytes.Count(data, []byte("mediaType")); n != 2 {
		t.Errorf("%d bundles are kept", n)
	}
	// The wheel was verified with the rest, so it is there without a place.
	tells(t, "the other file", checked(withCache(newGate(w.acme()), folder), lock("pypi", entry(kit, "acme_kit-1.0-py3-none-any.whl"))))
	// A file that is not kept may be a newer one of the release: offline, nobody can tell.
	more := entry(kit, "acme_kit-1.0.tar.gz", "acme_kit-1.0-cp313.whl")
	tells(t, "one more file, offline", checked(withCache(newGate(w.acme()), folder), lock("pypi", more)), "unchecked unavailable acme-kit")
	tells(t, "one more file", checked(withCache(newGate(w.acme(), s), folder), lock("pypi", more)), "refused artifact-digest-mismatch acme-kit")
}

// What two packs have of one release counts together.
func TestCacheJoinsPacks(t *testing.T) {
	w, s := newScene()
	kit := coordinate("pypi", "acme-kit", "1.0", "acme_kit-1.0.tar.gz")
	release, folder := kit.Release().String(), t.TempDir()
	for _, f := range []string{"acme_kit-1.0.tar.gz", "acme_kit-1.0-py3-none-any.whl"} {
		s.bundles[release] = w.bundles(coordinate("pypi", "acme-kit", "1.0", f).String())
		tells(t, f, checked(withCache(newGate(w.acme(), s), folder), lock("pypi", entry(kit, f))))
	}
	tells(t, "both", checked(withCache(newGate(w.acme()), folder), lock("pypi", entry(kit, "acme_kit-1.0.tar.gz", "acme_kit-1.0-py3-none-any.whl"))))
}

// A cache that others can change could be set back to an older identity and status: it is not used.
func TestCacheOfOthers(t *testing.T) {
	w, s := newScene()
	file := lock("npm", entry(widget, "widget"))
	for what, expose := range map[string]func(folder, own string){
		"for everybody": func(folder, _ string) { os.Chmod(folder, 0o777) },
		"below":         func(_, own string) { os.Chmod(own, 0o777) },
		"a link": func(folder, own string) {
			os.Rename(own, folder+".moved")
			os.Symlink(folder+".moved", own)
		},
	} {
		folder := filepath.Join(t.TempDir(), "cache")
		tells(t, what+" before", checked(withCache(newGate(w.acme(), s), folder), file))
		expose(folder, filepath.Dir(packs(t, folder)[0]))
		r := checked(withCache(newGate(w.acme()), folder), file)
		tells(t, what, r, "unchecked unavailable @acme/widget")
		if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "the cache is not used: ") {
			t.Errorf("%s: notes %q", what, r.Notes)
		}
		tells(t, what+", with a place", checked(withCache(newGate(w.acme(), s), folder), file))
	}
}

// Nothing in the cache or a folder of bundles can block whoever opens it.
func TestPipes(t *testing.T) {
	w, s := newScene()
	folder, bundles := t.TempDir(), t.TempDir()
	files := all(w)
	tells(t, "cold", checked(withCache(newGate(w.acme(), s), folder), files...))
	own := filepath.Dir(packs(t, folder)[0])
	for _, path := range []string{filepath.Join(own, "fffffffffffffff0-00000000.pack"), filepath.Join(own, "status-1.json"), filepath.Join(own, "identity-0.json"),
		filepath.Join(own, "enrolments-0.json"), filepath.Join(bundles, "x.bundle.json")} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("/dev/zero", filepath.Join(bundles, "y.bundle.json"))
	os.Symlink(bundles, filepath.Join(bundles, "loop"))
	done := make(chan *gate.Report, 1)
	go func() { done <- checked(withCache(newGate(w.acme(), &gate.Folder{Path: bundles}), folder), files...) }()
	select {
	case r := <-done:
		tells(t, "warm", r)
	case <-time.After(2 * time.Minute):
		t.Fatal("it hangs")
	}
}

// A folder full of bundles for one name costs bounded memory; one that cannot be read is no proof that nothing is in it.
func TestFolderHostile(t *testing.T) {
	w, _ := newScene()
	bundle := w.bundles(widget.String())[0]
	folder := t.TempDir()
	for i := range 30 {
		put(t, filepath.Join(folder, fmt.Sprintf("%d.bundle.json", i)), append(bytes.Clone(bundle), bytes.Repeat([]byte(" "), 1<<20)...))
	}
	tells(t, "full", checked(newGate(w.acme(), &gate.Folder{Path: folder}), lock("npm", entry(widget, "widget"))), "unchecked unavailable @acme/widget")
}

// A status that was written by another run while this one was at work is not replaced by an older one.
func TestOlderStatusNeverWins(t *testing.T) {
	w, s := newScene()
	early := w.status(dayZero.AddDate(0, 0, 1), nil, nil)
	w.add(must((&provenance.Withdrawal{Claim: w.claim(widget), Subject: provenance.Subject{Name: "file", Digest: digestsOf("widget")}, Reason: "malware"}).Statement()))
	late := w.status(dayZero.AddDate(0, 0, 1), []provenance.WithdrawnCoordinate{{Purl: widget.String(), Origin: w.origin(), Index: uint64(len(w.entries) - 1),
		WithdrawnAt: provenance.At(dayZero), Reason: "malware"}}, nil)
	file := lock("npm", entry(widget, "widget"))
	folder := t.TempDir()
	slow := &meanwhile{shelf: s, do: func() {
		quick := w.shelf()
		quick.statuses = [][]byte{late}
		tells(t, "the quick one", checked(withCache(newGate(w.acme(), quick), folder), file), "refused withdrawn @acme/widget")
	}}
	s.statuses = [][]byte{early}
	tells(t, "the slow one", checked(withCache(newGate(w.acme(), slow), folder), file))
	tells(t, "afterwards", checked(withCache(newGate(w.acme()), folder), file), "refused withdrawn @acme/widget")

	// In any order and number, at once.
	folder = t.TempDir()
	tells(t, "kept", checked(withCache(newGate(w.acme(), w.shelf()), folder), file))
	var group sync.WaitGroup
	for i := range 12 {
		place := w.shelf()
		place.statuses = [][]byte{[][]byte{early, late}[i%2]}
		group.Go(func() { checked(withCache(newGate(w.acme(), place), folder), file) })
	}
	group.Wait()
	tells(t, "offline", checked(withCache(newGate(w.acme()), folder), file), "refused withdrawn @acme/widget")
	files := must(filepath.Glob(filepath.Join(folder, "*", "*")))
	if len(files) != 4 { // one pack of many or several, but one of each other kind after a run alone
		kinds := make(map[string]int)
		for _, f := range files {
			kind, _, _ := strings.Cut(filepath.Base(f), "-")
			kinds[kind]++
		}
		if kinds["identity"] != 1 || kinds["enrolments"] != 1 || kinds["status"] != 1 {
			t.Errorf("left are %q", files)
		}
	}
}

// meanwhile does something before it answers.
type meanwhile struct {
	*shelf
	do func()
}

func (m *meanwhile) Find(ctx context.Context, reg *gate.Registry, wanted []provenance.Coordinate, give func(int, gate.Answer)) {
	m.do()
	m.shelf.Find(ctx, reg, wanted, give)
}

// Certificates that two runs learnt at once are both kept: bundles in the cache do without.
func TestCacheKeepsAllCertificates(t *testing.T) {
	w := newWorld(theRegistry)
	folder := t.TempDir()
	var files []*lockfile.File
	for i := range 16 {
		c := coordinate("npm", fmt.Sprintf("@acme/p%d", i), "1.0.0")
		w.publish(fmt.Sprint("publisher ", i), c, "content", "")
		files = append(files, lock("npm", entry(c, "content")))
	}
	var group sync.WaitGroup
	for i := range files {
		s := w.shelf()
		group.Go(func() { checked(withCache(newGate(w.acme(), s), folder), files[i]) })
	}
	group.Wait()
	tells(t, "offline", checked(withCache(newGate(w.acme()), folder), files...))
}

// As many publishers as packages: time must not grow with their square.
func TestManyPublishers(t *testing.T) {
	w := newWorld(theRegistry)
	const n = 2000
	var entries []lockfile.Entry
	for i := range n {
		c := coordinate("npm", fmt.Sprintf("@acme/p%d", i), "1.0.0")
		w.publish(fmt.Sprint("publisher ", i), c, "content", "")
		entries = append(entries, entry(c, "content"))
	}
	s := w.shelf()
	folder := t.TempDir()
	for _, run := range []string{"cold", "warm"} {
		var places []gate.Place
		if run == "cold" {
			places = append(places, s)
		}
		before := mallocs()
		r := checked(withCache(newGate(w.acme(), places...), folder), lock("npm", entries...))
		if r.Summary.Verified != n {
			t.Fatalf("%s: %+v", run, r.Summary)
		}
		if each := (mallocs() - before) / n; each > 80<<10 {
			t.Errorf("%s: %d KiB are allocated for each", run, each>>10)
		}
	}
}

// mallocs is how many bytes were ever allocated.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A registry in which nothing happens says so again: the later word for it is the one that is young.
func TestStatusSaidAgain(t *testing.T) {
	w, s := newScene()
	w.covered = uint64(len(w.entries))
	first, again := w.status(dayZero, nil, nil), w.status(dayZero.AddDate(0, 0, 2), nil, nil)
	for _, statuses := range [][][]byte{{first, again}, {again, first}} {
		s.statuses = statuses
		g := newGate(w.acme(), s)
		g.StatusMaxAge = time.Hour
		tells(t, "said again", checked(g, lock("npm", entry(widget, "widget"))))
	}
}
