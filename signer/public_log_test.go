package signer_test

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

const logPath = "/" + registry + "/logs/1"

// c2spClient reads a log as any client of C2SP tlog-tiles would: with x/mod's note and tlog, and nothing of ours.
type c2spClient struct {
	s    *site
	tree tlog.Tree
	seen map[string]bool // tiles that were fetched
}

// open fetches the checkpoint and verifies it with as many keys as the log's threshold.
func openLog(t *testing.T, s *site, threshold int) *c2spClient {
	t.Helper()
	var verifiers []note.Verifier
	for _, g := range s.guards {
		v, err := note.NewVerifier(public(t, g.key).VKey(s.Origin()))
		must(t, err)
		verifiers = append(verifiers, v)
	}
	got := s.get(logPath + "/checkpoint")
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/plain; charset=utf-8" || got.header.Get("Cache-Control") != "public, max-age=2" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	n, err := note.Open(got.body, note.VerifierList(verifiers...))
	must(t, err)
	if len(n.Sigs) != threshold || len(n.UnverifiedSigs) != 0 {
		t.Fatalf("%d signatures, %d of unknown keys", len(n.Sigs), len(n.UnverifiedSigs))
	}
	var c c2spClient
	var origin, root string
	_, err = fmt.Sscanf(n.Text, "%s\n%d\n%s\n", &origin, &c.tree.N, &root)
	must(t, err)
	c.tree.Hash, err = tlog.ParseHash(root)
	must(t, err)
	if origin != s.Origin() {
		t.Fatalf("origin %s", origin)
	}
	c.s, c.seen = s, make(map[string]bool)
	return &c
}

func (c *c2spClient) Height() int { return 8 }

func (c *c2spClient) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles spells a tile's path as C2SP does: without the height that x/mod's paths have.
func (c *c2spClient) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := c.fetch(path)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func (c *c2spClient) fetch(path string) ([]byte, error) {
	got := c.s.get(logPath + "/" + path)
	if got.status != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s", path, got.status, got.body)
	}
	if got.header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
		return nil, fmt.Errorf("%s: headers %v", path, got.header)
	}
	c.seen[path] = true
	return got.body, nil
}

// entries fetches all entry bundles and cuts them up.
func (c *c2spClient) entries(t *testing.T) (all [][]byte) {
	t.Helper()
	for n := int64(0); n*256 < c.tree.N; n++ {
		width := min(256, c.tree.N-n*256)
		data, err := c.fetch(strings.Replace(tlog.Tile{H: 8, L: -1, N: n, W: int(width)}.Path(), "tile/8/data/", "tile/entries/", 1))
		must(t, err)
		for range width {
			size := int(binary.BigEndian.Uint16(data))
			all, data = append(all, data[2:2+size]), data[2+size:]
		}
		if len(data) != 0 {
			t.Fatalf("entry bundle %d has %d bytes too many", n, len(data))
		}
	}
	return all
}

// The log as a stranger sees it: the checkpoint verifies, the tiles hash to its root, every entry is where its leaf is.
func TestC2SPWalk(t *testing.T) {
	s := newSite(t, newWorld(t, 2, 3, nil), signer.Limits{}, nil)
	var all [][]byte
	for i := range 600 {
		all = append(all, wire(t, "", s.backfill(fmt.Sprint(i, ".0.0"), "content")))
	}
	s.post(batch, ndjsonType, joined(all...))
	s.submit(s.submission("@acme/widget", "0.0.1", "content"))
	early := openLog(t, s, 2)
	s.submit(s.submission("@acme/widget", "0.0.2", "content"))
	c := openLog(t, s, 2)
	if c.tree.N != early.tree.N+1 || c.tree.N < 600 {
		t.Fatalf("sizes %d and %d", early.tree.N, c.tree.N)
	}
	reader := tlog.TileHashReader(c.tree, c) // verifies every tile against the root
	root, err := tlog.TreeHash(c.tree.N, reader)
	must(t, err)
	if root != c.tree.Hash {
		t.Error("the tiles have another root")
	}
	entries := c.entries(t)
	if int64(len(entries)) != c.tree.N {
		t.Fatalf("%d entries in a log of %d", len(entries), c.tree.N)
	}
	// From the entries alone, without any tile.
	var stored []tlog.Hash
	hashes := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, e := range entries {
		more, err := tlog.StoredHashes(int64(i), e, hashes)
		must(t, err)
		stored = append(stored, more...)
		if _, err := provenance.ParseEntry(e); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		proof, err := tlog.ProveRecord(c.tree.N, int64(i), reader)
		must(t, err)
		must(t, tlog.CheckRecord(proof, c.tree.N, c.tree.Hash, int64(i), tlog.RecordHash(e)))
	}
	if root, err = tlog.TreeHash(c.tree.N, hashes); err != nil || root != c.tree.Hash {
		t.Errorf("the entries have root %v, %v", root, err)
	}
	proof, err := tlog.ProveTree(c.tree.N, early.tree.N, reader)
	must(t, err)
	must(t, tlog.CheckTree(proof, c.tree.N, c.tree.Hash, early.tree.N, early.tree.Hash))
	for _, want := range []string{"tile/0/000", "tile/1/000.p/2", "tile/entries/000"} {
		if !c.seen[want] {
			t.Errorf("%s was not fetched: %v", want, c.seen)
		}
	}
	// The partial tile of an earlier checkpoint is still there.
	_, err = c.fetch(strings.Replace(tlog.Tile{H: 8, L: 0, N: early.tree.N / 256, W: int(early.tree.N % 256)}.Path(), "tile/8/", "tile/", 1))
	must(t, err)
}

func TestPublicTilePaths(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	for _, path := range []string{"0/000", "0/001.p/1", "0/000.p/200", "0/000.p/0", "0/000.p/256", "0/000.p/01", "00/000.p/1", "-1/000.p/1", "64/000.p/1",
		"0/0.p/1", "0/0000.p/1", "0/x000/000.p/1", "data/000.p/1", "8/0/000.p/1", "entries/000", "entries/001.p/1", "entries/000.p/200", "entries", "0", "0/",
		"entries/000.p/1/x", "0/000.p/1/", "0//000.p/1", "0/x999/x999/x999/x999/x999/x999/999.p/1", "entries/x999/x999/x999/x999/x999/x999/999", "1/000.p/1"} {
		answer(t, http.DefaultClient, request(t, s.public+logPath+"/tile/"+path)).refused(t, signer.NotFound)
	}
	for _, log := range []string{"2", "01", "+1", "x", "18446744073709551616", "-1"} {
		answer(t, http.DefaultClient, request(t, s.public+"/"+registry+"/logs/"+log+"/checkpoint")).refused(t, signer.NotFound)
		answer(t, http.DefaultClient, request(t, s.public+"/"+registry+"/logs/"+log+"/tile/0/000.p/1")).refused(t, signer.NotFound)
		answer(t, http.DefaultClient, request(t, s.public+"/"+registry+"/logs/"+log+"/bridge?from=1")).refused(t, signer.NotFound)
	}
	s.get("/other.test/logs/1/checkpoint").refused(t, signer.WrongRegistry)
}

func TestPublicBridge(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{}, nil)
	early := openLog(t, s, 1)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	c := openLog(t, s, 1)
	for from := int64(1); from <= c.tree.N; from++ {
		b, err := provenance.ParseBridge(s.get(fmt.Sprintf("%s/bridge?from=%d", logPath, from)).body)
		must(t, err)
		if int64(b.To.Size) != c.tree.N || b.To.Root != c.tree.Hash || b.Checkpoint == nil {
			t.Errorf("the bridge from %d leads to %+v", from, b.To)
		}
		if from == early.tree.N && b.From.Root != early.tree.Hash {
			t.Errorf("it begins at root %v, the checkpoint's was %v", b.From.Root, early.tree.Hash)
		}
	}
	for from, code := range map[string]signer.Code{"0": signer.NotFound, fmt.Sprint(c.tree.N + 1): signer.NotFound, "": signer.Malformed, "x": signer.Malformed, "-1": signer.Malformed} {
		s.get(logPath+"/bridge?from="+from).refused(t, code)
	}
	s.get(logPath+"/bridge").refused(t, signer.Malformed)
}
