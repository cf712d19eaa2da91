package provenance_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// forEach runs the cases of one of the lists in testdata.
func forEach[T any](t *testing.T, file string, check func(t *testing.T, c T)) {
	t.Helper()
	var l struct {
		Comment string `json:"comment"`
		Cases   []T    `json:"cases"`
	}
	decodeVector(t, readVector(t, file), &l)
	if len(l.Cases) == 0 {
		t.Fatal("no cases")
	}
	for i, c := range l.Cases {
		t.Run(fmt.Sprintf("%s/%d", file, i), func(t *testing.T) { check(t, c) })
	}
}

// accepted compares a verdict with the vector's; it reports whether there is more to compare.
func accepted(t *testing.T, what string, err error, want bool) bool {
	t.Helper()
	if (err == nil) != want {
		t.Errorf("%s: %v, want accepted: %v", what, err, want)
	}
	return err == nil && want
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s is %s, want %s", what, g, w)
	}
}

func TestVectorCoordinates(t *testing.T) {
	type made struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
		Version   string `json:"version"`
		File      string `json:"file"`
		Purl      string `json:"purl"`
		MatchKey  string `json:"matchKey"`
		SHA256    string `json:"sha256"`
	}
	forEach(t, "coordinates.json", func(t *testing.T, c made) {
		coordinate, err := provenance.NewCoordinate(c.Ecosystem, c.Name, c.Version, c.File)
		if accepted(t, fmt.Sprintf("%+v", c), err, c.Purl != "") {
			hash := coordinate.Hash()
			same(t, "purl", coordinate, c.Purl)
			same(t, "match key", coordinate.MatchKey(), c.MatchKey)
			same(t, "hash", hex.EncodeToString(hash[:]), c.SHA256)
			again, err := provenance.ParseCoordinate(c.Purl)
			same(t, "read again", fmt.Sprint(again == coordinate, err), "true <nil>")
		}
	})
	type read struct {
		Purl      string `json:"purl"`
		OK        bool   `json:"ok"`
		Canonical string `json:"canonical"`
	}
	forEach(t, "purls.json", func(t *testing.T, c read) {
		_, err := provenance.ParseCoordinate(c.Purl)
		accepted(t, c.Purl, err, c.OK)
		var canonical *provenance.CanonicalError
		if errors.As(err, &canonical); c.Canonical != "" && (canonical == nil || canonical.Canonical != c.Canonical) {
			t.Errorf("%s: %v, want %s", c.Purl, err, c.Canonical)
		} else if c.Canonical == "" && canonical != nil {
			t.Errorf("%s: %v, which means nothing", c.Purl, err)
		}
	})
}

func TestVectorNamespaces(t *testing.T) {
	type namespace struct {
		Pattern string   `json:"pattern"`
		OK      bool     `json:"ok"`
		InPins  bool     `json:"inPins"`
		Covers  []string `json:"covers"`
		Not     []string `json:"not"`
	}
	forEach(t, "namespaces.json", func(t *testing.T, c namespace) {
		_, err := provenance.ParseNamespace(c.Pattern)
		accepted(t, c.Pattern, err, c.OK)
		ns, err := provenance.ParsePinNamespace(c.Pattern)
		accepted(t, c.Pattern+" in pins", err, c.InPins)
		for i, purl := range append(c.Covers, c.Not...) {
			coordinate, err := provenance.ParseCoordinate(purl)
			if err != nil {
				t.Fatal(err)
			}
			same(t, c.Pattern+" covers "+purl, ns.Covers(coordinate), i < len(c.Covers))
		}
	})
}

func TestVectorKeys(t *testing.T) {
	type key struct {
		Name        string `json:"name"`
		OK          bool   `json:"ok"`
		PublicKey   string `json:"publicKey"`
		Seed        string `json:"seed"`
		Raw         string `json:"raw"`
		Fingerprint string `json:"fingerprint"`
		Origin      string `json:"origin"`
		NoteID      string `json:"noteID"`
	}
	forEach(t, "keys.json", func(t *testing.T, c key) {
		k, err := provenance.ParsePublicKey(c.PublicKey)
		if accepted(t, c.Name, err, c.OK) {
			same(t, "raw", hex.EncodeToString(k.Ed25519()), c.Raw)
			same(t, "fingerprint", k.Fingerprint(), c.Fingerprint)
			same(t, "note id", fmt.Sprintf("%08x", k.NoteID(c.Origin)), c.NoteID)
		}
	})
	type signature struct {
		Comment   string `json:"comment"`
		OK        bool   `json:"ok"`
		PublicKey string `json:"publicKey"`
		Message   string `json:"message"`
		Signature string `json:"signature"`
	}
	forEach(t, "signatures.json", func(t *testing.T, c signature) {
		k, err := provenance.ParsePublicKey(c.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		same(t, c.Comment, k.Verify(fromHex(t, c.Message), fromHex(t, c.Signature)), c.OK)
	})
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectorEncodings(t *testing.T) {
	type encoding struct {
		PayloadType string `json:"payloadType"`
		Payload     []byte `json:"payload"`
		PAE         []byte `json:"pae"`
	}
	forEach(t, "dsse.json", func(t *testing.T, c encoding) {
		e := provenance.Envelope{PayloadType: c.PayloadType, Payload: c.Payload}
		same(t, "pae", e.PAE(), c.PAE)
	})
}

func TestVectorTrees(t *testing.T) {
	type tree struct {
		Size        int64   `json:"size"`
		Root        []byte  `json:"root"`
		Inclusion   [][]any `json:"inclusion"`
		Consistency [][]any `json:"consistency"`
	}
	forEach(t, "trees.json", func(t *testing.T, c tree) {
		root, roots := tlog.Hash(c.Root), make([]tlog.Hash, c.Size+1)
		var stored hashes
		for i := range c.Size {
			h, err := tlog.StoredHashes(i, fmt.Appendf(nil, "entry %d", i), stored)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, h...)
			roots[i+1], _ = tlog.TreeHash(i+1, stored)
		}
		whole, err := tlog.TreeHash(c.Size, stored)
		same(t, "root", fmt.Sprint(whole, err), fmt.Sprint(root, nil))
		for i, proof := range c.Inclusion {
			err := tlog.CheckRecord(hashesOf(t, proof), c.Size, root, int64(i), tlog.RecordHash(fmt.Appendf(nil, "entry %d", i)))
			accepted(t, fmt.Sprintf("inclusion of %d in %d", i, c.Size), err, true)
		}
		for i, proof := range c.Consistency {
			err := tlog.CheckTree(hashesOf(t, proof), c.Size, root, int64(i+1), roots[i+1])
			accepted(t, fmt.Sprintf("consistency of %d with %d", i+1, c.Size), err, true)
		}
	})
}

// hashes is a tree's stored hashes in memory.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = h[x]
	}
	return out, nil
}

func hashesOf(t *testing.T, proof []any) []tlog.Hash {
	t.Helper()
	var out []tlog.Hash
	for _, h := range proof[1:] {
		hash, err := tlog.ParseHash(h.(string))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, hash)
	}
	return out
}

func TestVectorNotes(t *testing.T) {
	type checkpoint struct {
		Comment string `json:"comment"`
		OK      bool   `json:"ok"`
		Note    string `json:"note"`
		Origin  string `json:"origin"`
		Size    uint64 `json:"size"`
		Root    []byte `json:"root"`
	}
	forEach(t, "checkpoints.json", func(t *testing.T, c checkpoint) {
		cp, err := provenance.ParseCheckpoint(c.Note)
		if accepted(t, c.Comment, err, c.OK) && (cp.Origin != c.Origin || cp.Size != c.Size || !bytes.Equal(cp.Root[:], c.Root)) {
			t.Errorf("%s: says %v", c.Comment, cp.Head)
		}
	})
	type proof struct {
		Comment    string   `json:"comment"`
		OK         bool     `json:"ok"`
		Proof      string   `json:"proof"`
		Index      uint64   `json:"index"`
		Hashes     []string `json:"hashes"`
		Checkpoint string   `json:"checkpoint"`
	}
	forEach(t, "proofs.json", func(t *testing.T, c proof) {
		p, err := provenance.ParseProof(c.Proof)
		if accepted(t, c.Comment, err, c.OK) {
			same(t, "index", p.Index, c.Index)
			same(t, "hashes", []tlog.Hash(p.Hashes), c.Hashes)
			same(t, "checkpoint", p.Checkpoint, c.Checkpoint)
		}
	})
}

func TestVectorTexts(t *testing.T) {
	type document struct {
		Comment string `json:"comment"`
		OK      bool   `json:"ok"`
		Text    string `json:"text"`
		Base64  []byte `json:"base64"`
	}
	forEach(t, "json.json", func(t *testing.T, c document) {
		var v any
		accepted(t, c.Comment, strict.JSON(append([]byte(c.Text), c.Base64...), &v), c.OK)
	})
	type text struct {
		Kind string `json:"kind"`
		Text string `json:"text"`
		OK   bool   `json:"ok"`
	}
	forEach(t, "texts.json", func(t *testing.T, c text) {
		accepted(t, fmt.Sprintf("%s %q", c.Kind, c.Text), parseText(t, c.Kind, c.Text), c.OK)
	})
	type pins struct {
		Comment string `json:"comment"`
		OK      bool   `json:"ok"`
		TOML    string `json:"toml"`
	}
	forEach(t, "pins.json", func(t *testing.T, c pins) {
		_, err := provenance.ParsePins([]byte(c.TOML))
		accepted(t, c.Comment, err, c.OK)
	})
}

func parseText(t *testing.T, kind, text string) error {
	switch kind {
	case "registry":
		return provenance.CheckRegistry(text)
	case "origin":
		_, _, err := provenance.ParseOrigin(text)
		return err
	case "time":
		return new(provenance.Time).UnmarshalText([]byte(text))
	case "base64":
		_, err := provenance.ParseEnvelope(fmt.Appendf(nil, `{"payloadType":"x","payload":%q,"signatures":[{"keyid":"sha256:%064d","sig":"%s=="}]}`,
			text, 0, strings.Repeat("A", 86)))
		return err
	}
	t.Fatalf("a text of no known kind, %q", kind)
	return nil
}

func TestVectorEntries(t *testing.T) {
	type entry struct {
		Comment string `json:"comment"`
		Kind    string `json:"kind"`
		Entry   string `json:"entry"`
	}
	kinds := map[string]string{"countersignature": "*provenance.Countersignature", "registry-statement": "*provenance.RegistryStatement", "withdrawal": "*provenance.Withdrawal",
		"identity": "*provenance.Identity", "enrolment": "*provenance.Enrolment", "enrolment-end": "*provenance.EnrolmentEnd",
		"status": "*provenance.StatusStatement"}
	forEach(t, "entries.json", func(t *testing.T, c entry) {
		v, err := provenance.ParseEntry([]byte(c.Entry))
		if accepted(t, c.Comment+c.Kind, err, c.Kind != "") {
			same(t, "kind", fmt.Sprintf("%T", v), kinds[c.Kind])
		}
	})
}
