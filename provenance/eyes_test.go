package provenance_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	tlogproof "github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Independent eyes: a bundle taken apart and verified without a line of ours, by golang.org/x/mod/sumdb/{note,tlog},
// transparency-dev/formats and go-securesystemslib. Only the order in which they are asked is written here.

// wire is a bundle as a stranger reads it.
type wire struct {
	Statement, Proof string
	Enrolment        dsse.Envelope
	Identity         []dsse.Envelope
	Bridge           struct {
		Origin     string
		From, To   struct{ Size, Root json.RawMessage }
		Hashes     [][]byte
		Checkpoint string
	}
}

func readWire(t *testing.T, bundle []byte) wire {
	t.Helper()
	var w wire
	if err := json.Unmarshal(bundle, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestProofByOtherEyes(t *testing.T) {
	p := newWorld(registry).plan()
	w := readWire(t, p.request().Bundle)
	var proof tlogproof.TLogProof
	if err := proof.Unmarshal([]byte(w.Proof)); err != nil {
		t.Fatal(err)
	}
	if string(proof.Marshal()) != w.Proof || proof.ExtraData != nil {
		t.Errorf("proof is spelled otherwise by transparency-dev/formats:\n%s\n%s", proof.Marshal(), w.Proof)
	}
	size, root := openNote(t, string(proof.Checkpoint), p.signers)
	var hashes tlog.RecordProof
	for _, h := range proof.Hashes {
		hashes = append(hashes, h)
	}
	leaf := tlog.RecordHash(must(base64.StdEncoding.DecodeString(w.Statement)))
	if err := tlog.CheckRecord(hashes, size, root, int64(proof.Index), leaf); err != nil {
		t.Error(err)
	}
}

func TestBridgeByOtherEyes(t *testing.T) {
	p := fullPlan(registry)
	w := readWire(t, p.request().Bundle)
	size, root := openNote(t, w.Bridge.Checkpoint, p.w.newKeys())
	var hashes tlog.TreeProof
	for _, h := range w.Bridge.Hashes {
		hashes = append(hashes, tlog.Hash(h))
	}
	var oldRoot, newRoot []byte
	if json.Unmarshal(w.Bridge.From.Root, &oldRoot) != nil || json.Unmarshal(w.Bridge.To.Root, &newRoot) != nil || !bytes.Equal(newRoot, root[:]) {
		t.Fatal("roots")
	}
	from := must(strconv.ParseInt(string(w.Bridge.From.Size), 10, 64))
	if err := tlog.CheckTree(hashes, size, root, from, tlog.Hash(oldRoot)); err != nil {
		t.Error(err)
	}
}

// openNote verifies a checkpoint with the verifier keys alone and reads it with tlog's own reader of its three lines.
func openNote(t *testing.T, signed string, keys []ed25519.PrivateKey) (int64, tlog.Hash) {
	t.Helper()
	origin, _, _ := strings.Cut(signed, "\n")
	for _, k := range keys {
		v, err := note.NewVerifier(publicKey(k).VKey(origin))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := note.Open([]byte(signed), note.VerifierList(v)); err != nil || len(n.Sigs) != 1 {
			t.Fatalf("%v\n%s", err, signed)
		}
	}
	lines := strings.Split(signed, "\n")
	return must(strconv.ParseInt(lines[1], 10, 64)), must(tlog.ParseHash(lines[2]))
}

func TestEnvelopesByOtherEyes(t *testing.T) {
	p := fullPlan(registry)
	w := readWire(t, p.request().Bundle)
	var statement struct {
		Predicate struct{ Publication dsse.Envelope }
	}
	if err := json.Unmarshal(must(base64.StdEncoding.DecodeString(w.Statement)), &statement); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		envelope  dsse.Envelope
		keys      []ed25519.PrivateKey
		threshold int
	}{
		"publication": {statement.Predicate.Publication, []ed25519.PrivateKey{p.publisher}, 1},
		"enrolment":   {w.Enrolment, []ed25519.PrivateKey{p.officer}, 1},
		"identity 1":  {w.Identity[0], p.w.root, 2},
		"identity 2":  {w.Identity[1], p.w.root, 2},
	} {
		var list []dsse.Verifier
		for _, k := range c.keys {
			list = append(list, stranger{k.Public().(ed25519.PublicKey), fingerprint(k)})
		}
		v := must(dsse.NewMultiEnvelopeVerifier(c.threshold, list...))
		if _, err := v.Verify(context.Background(), &c.envelope); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		c.envelope.PayloadType += "x"
		if _, err := v.Verify(context.Background(), &c.envelope); err == nil {
			t.Errorf("%s: verifies under another type", what)
		}
	}
}

// stranger is a dsse.Verifier over crypto/ed25519.
type stranger struct {
	key ed25519.PublicKey
	id  string
}

func (s stranger) KeyID() (string, error)   { return s.id, nil }
func (s stranger) Public() crypto.PublicKey { return s.key }

func (s stranger) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(s.key, data, sig) {
		return errors.New("does not verify")
	}
	return nil
}

func TestPAEByOtherEyes(t *testing.T) {
	e := newWorld(registry).plan().publication().Envelope
	if !bytes.Equal(e.PAE(), dsse.PAE(e.PayloadType, e.Payload)) {
		t.Errorf("PAE differs:\n%s\n%s", e.PAE(), dsse.PAE(e.PayloadType, e.Payload))
	}
}
