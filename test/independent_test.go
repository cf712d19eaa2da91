package test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Independent eyes on a running appliance: nothing below reads an answer with our own code. The formats are C2SP's and
// in-toto's; the libraries are golang.org/x/mod/sumdb/{note,tlog} and go-securesystemslib; the rest is the openssl command.

// stranger's view of a bundle and of the documents in it.
type strangersBundle struct {
	Statement []byte // base64 in JSON
	Proof     string
	Enrolment dsse.Envelope
	Identity  []dsse.Envelope
}

type strangersStatement struct {
	Predicate struct {
		Publication dsse.Envelope
		Enrolment   string
	}
}

type strangersIdentity struct {
	Root struct{ Keys [][]byte } // base64 in JSON
	Logs []struct {
		Threshold int
		Keys      []struct{ PublicKey []byte }
	}
	Enrol struct{ Keys []struct{ PublicKey []byte } }
}

func read[T any](t testing.TB, data []byte) (v T) {
	t.Helper()
	must(t, json.Unmarshal(data, &v))
	return v
}

// vkeys are the verifiers of the file that the ceremony wrote for monitors.
func (a *appliance) vkeys() (all []note.Verifier) {
	a.t.Helper()
	for line := range strings.Lines(a.read("out/log.vkey")) {
		v, err := note.NewVerifier(strings.TrimSpace(line))
		must(a.t, err)
		all = append(all, v)
	}
	return all
}

// openHead verifies a checkpoint with x/mod's note and reads its tree.
func (a *appliance) openHead(signed []byte, threshold int) tlog.Tree {
	a.t.Helper()
	n, err := note.Open(signed, note.VerifierList(a.vkeys()...))
	if err != nil || len(n.Sigs) < threshold || len(n.UnverifiedSigs) > 0 {
		a.t.Fatalf("%v, %+v", err, n)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		a.t.Fatalf("checkpoint %q", n.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(a.t, err)
	root, err := tlog.ParseHash(lines[2])
	must(a.t, err)
	return tlog.Tree{N: size, Hash: root}
}

// A bundle's proof, with note and tlog alone (C2SP tlog-proof).
func TestIndependentProof(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	for i := range 5 {
		b := read[strangersBundle](t, a.published(fmt.Sprintf("1.0.%d", i)))
		head, checkpoint, ok := strings.Cut(b.Proof, "\n\n")
		lines := strings.Split(head, "\n")
		if !ok || lines[0] != "c2sp.org/tlog-proof@v1" {
			t.Fatalf("proof %q", b.Proof)
		}
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		must(t, err)
		var proof tlog.RecordProof
		for _, l := range lines[2:] {
			h, err := tlog.ParseHash(l)
			must(t, err)
			proof = append(proof, h)
		}
		tree := a.openHead([]byte(checkpoint), 2)
		must(t, tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(b.Statement)))
		if tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(append(b.Statement, ' '))) == nil {
			t.Fatal("another statement has the same proof")
		}
	}
}

// verifier is a dsse.Verifier of one key.
type verifier struct{ spki []byte }

func (v verifier) KeyID() (string, error) {
	sum := sha256.Sum256(v.spki)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func (v verifier) Public() crypto.PublicKey {
	key, err := x509.ParsePKIXPublicKey(v.spki)
	if err != nil {
		return nil
	}
	return key
}

func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if key, ok := v.Public().(ed25519.PublicKey); !ok || !ed25519.Verify(key, data, sig) {
		return errors.New("does not verify")
	}
	return nil
}

// The envelopes in a bundle, with go-securesystemslib alone: the publisher's by the key it made, the enrolment by the key
// that the identity names, the identity by its root.
func TestIndependentEnvelopes(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	b := read[strangersBundle](t, a.published("1.0.0"))
	s := read[strangersStatement](t, b.Statement)
	payload, err := b.Identity[0].DecodeB64Payload()
	must(t, err)
	id := read[strangersIdentity](t, payload)
	publisher, err := x509.MarshalPKIXPublicKey(a.publisher.Public())
	must(t, err)
	for name, tt := range map[string]struct {
		envelope dsse.Envelope
		key      []byte
	}{
		"publication": {s.Predicate.Publication, publisher},
		"enrolment":   {b.Enrolment, id.Enrol.Keys[0].PublicKey},
		"identity":    {b.Identity[0], id.Root.Keys[0]},
	} {
		v, err := dsse.NewEnvelopeVerifier(verifier{tt.key})
		must(t, err)
		if accepted, err := v.Verify(context.Background(), &tt.envelope); err != nil || len(accepted) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		other, err := dsse.NewEnvelopeVerifier(verifier{id.Logs[0].Keys[0].PublicKey})
		must(t, err)
		if _, err := other.Verify(context.Background(), &tt.envelope); err == nil {
			t.Errorf("%s: verifies with another key", name)
		}
	}
	enrolment, err := b.Enrolment.DecodeB64Payload()
	must(t, err)
	if sum := sha256.Sum256(enrolment); s.Predicate.Enrolment != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Error("the statement refers to another enrolment")
	}
	if len(id.Logs[0].Keys) != 3 || id.Logs[0].Threshold != 2 {
		t.Errorf("log %+v", id.Logs[0])
	}
}

func (a *appliance) openssl(args ...string) ([]byte, error) {
	a.t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		a.t.Fatal("the openssl command is missing: run make deps")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = a.dir
	return cmd.CombinedOutput()
}

// signedAs reports whether openssl takes a raw signature of a message by a key.
func (a *appliance) signedAs(spki, message, signature []byte) bool {
	a.t.Helper()
	a.write("ossl/key.der", string(spki))
	a.write("ossl/message", string(message))
	a.write("ossl/signature", string(signature))
	out, err := a.openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", "ossl/key.der", "-in", "ossl/message", "-sigfile", "ossl/signature")
	switch {
	case err == nil:
		return true
	case bytes.Contains(out, []byte("Verification Failure")):
		return false
	}
	a.t.Fatalf("openssl: %v\n%s", err, out)
	return false
}

// Raw signatures and fingerprints, with the openssl command: the publisher's over the envelope's PAE, the tokens' over the
// checkpoint's three lines.
func TestIndependentOpenSSL(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	b := read[strangersBundle](t, a.published("1.0.0"))
	p := read[strangersStatement](t, b.Statement).Predicate.Publication
	spki, err := a.openssl("pkey", "-pubin", "-in", "publisher.pub", "-outform", "DER")
	must(t, err)
	payload, err := base64.StdEncoding.DecodeString(p.Payload)
	must(t, err)
	sig, err := base64.StdEncoding.DecodeString(p.Signatures[0].Sig)
	must(t, err)
	pae := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(p.PayloadType), p.PayloadType, len(payload), payload)
	if !a.signedAs(spki, pae, sig) || a.signedAs(spki, append(pae, ' '), sig) {
		t.Error("publication: openssl disagrees")
	}
	a.write("ossl/publisher.der", string(spki))
	sum, err := a.openssl("dgst", "-sha256", "-r", "ossl/publisher.der")
	must(t, err)
	if print, _, _ := strings.Cut(string(sum), " "); p.Signatures[0].KeyID != "sha256:"+print {
		t.Errorf("fingerprint %s, openssl has %s", p.Signatures[0].KeyID, print)
	}

	identity, err := b.Identity[0].DecodeB64Payload()
	must(t, err)
	_, checkpoint, _ := strings.Cut(b.Proof, "\n\n")
	text, lines, _ := strings.Cut(checkpoint, "\n\n")
	good := 0
	for line := range strings.Lines(lines) {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(line, "— "+origin+" ")))
		must(t, err)
		for _, k := range read[strangersIdentity](t, identity).Logs[0].Keys {
			if a.signedAs(k.PublicKey, []byte(text+"\n"), raw[4:]) {
				good++
			}
		}
	}
	if good != 2 {
		t.Errorf("openssl verifies %d of the checkpoint's signatures", good)
	}
}

// monitor is a C2SP tlog-tiles client of one log, as tlog.TileReader.
type monitor struct {
	t      testing.TB
	prefix string
	tiles  map[string]bool // that were read
}

func (m *monitor) get(path string) []byte {
	m.t.Helper()
	r, err := http.Get(m.prefix + path)
	must(m.t, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	must(m.t, err)
	if r.StatusCode != http.StatusOK {
		m.t.Fatalf("%s: %s\n%s", path, r.Status, data)
	}
	return data
}

// path is a tile's in tlog-tiles; Go's checksum database has the height in it, and calls entries data.
func path(t tlog.Tile) string {
	return "/" + strings.Replace(strings.Replace(t.Path(), "tile/8/", "tile/", 1), "tile/data/", "tile/entries/", 1)
}

func (m *monitor) Height() int { return 8 }

func (m *monitor) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		m.tiles[path(t)] = true
		all = append(all, m.get(path(t)))
	}
	return all, nil
}

func (m *monitor) SaveTiles([]tlog.Tile, [][]byte) {}

// walk reads the whole log and holds every entry to the head, by way of tiles that tlog authenticates.
func (m *monitor) walk(tree tlog.Tree) (entries [][]byte) {
	m.t.Helper()
	var leaves []int64
	for n := int64(0); n*256 < tree.N; n++ {
		width := min(tree.N-n*256, 256)
		bundle := m.get(path(tlog.Tile{H: 8, L: -1, N: n, W: int(width)}))
		for range width {
			size := int(binary.BigEndian.Uint16(bundle))
			entries, bundle = append(entries, bundle[2:2+size]), bundle[2+size:]
			leaves = append(leaves, tlog.StoredHashIndex(0, int64(len(leaves))))
		}
		if len(bundle) > 0 {
			m.t.Fatalf("%d bytes are left in entry bundle %d", len(bundle), n)
		}
	}
	hashes, err := tlog.TileHashReader(tree, m).ReadHashes(leaves)
	must(m.t, err)
	for i, e := range entries {
		if tlog.RecordHash(e) != hashes[i] {
			m.t.Fatalf("entry %d is not under the head", i)
		}
	}
	return entries
}

// The log, read from the public listener as any C2SP client would: every entry under a signed head, heads that extend each
// other, full and partial tiles on two levels, and in it what was countersigned.
func TestIndependentWalk(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	m := &monitor{t, a.public + "/" + registry + "/logs/1", map[string]bool{}}
	var before tlog.Tree
	var seen [][]byte
	for round, n := range []int{0, 1, 3, 250, 300, 1} {
		a.batch(round, n)
		tree := a.openHead(m.get("/checkpoint"), 2)
		entries := m.walk(tree)
		if tree.N != before.N+int64(n) && round > 0 || len(entries) != int(tree.N) {
			t.Fatalf("size %d after %d and %d more", tree.N, before.N, n)
		}
		if before.N > 0 {
			if !slices.EqualFunc(seen, entries[:before.N], bytes.Equal) {
				t.Fatal("an entry has changed")
			}
			proof, err := tlog.ProveTree(tree.N, before.N, tlog.TileHashReader(tree, m))
			must(t, err)
			must(t, tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash))
		}
		before, seen = tree, entries
	}
	for _, tile := range []string{"/tile/0/000", "/tile/0/001", "/tile/1/000.p/2"} {
		if !m.tiles[tile] {
			t.Errorf("tile %s was not needed: the walk was too short", tile)
		}
	}
	bundle := read[strangersBundle](t, a.published("9.9.9"))
	tree := a.openHead(m.get("/checkpoint"), 2)
	if !slices.ContainsFunc(m.walk(tree), func(e []byte) bool { return bytes.Equal(e, bundle.Statement) }) {
		t.Error("what was countersigned is not in the log")
	}
}

// batch has n versions countersigned in one call.
func (a *appliance) batch(round, n int) {
	a.t.Helper()
	if n == 0 {
		return
	}
	var lines []string
	for i := range n {
		single := a.request("@acme/batch", fmt.Sprintf("%d.0.%d", round, i), "content")
		lines = append(lines, fmt.Sprintf(`{"ref":"%d",%s`, i, single[1:]))
	}
	status, answer := a.post(a.t.Context(), "/countersignatures:batch", "application/x-ndjson", []byte(strings.Join(lines, "\n")))
	if status != http.StatusOK || strings.Count(string(answer), `"status":201`) != n {
		a.t.Fatalf("batch: %d %.500s", status, answer)
	}
}
