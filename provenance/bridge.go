package provenance

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/strict"
)

const maxHashes = 64 // a tree of 2^53 entries has proofs of at most 54 hashes, consistency proofs one more

// Bridge is an RFC 6962 consistency proof from an old head to a newer one of the same log.
type Bridge struct {
	From, To   Head
	Hashes     tlog.TreeProof
	Checkpoint *Checkpoint // To with its signatures; nil where To is an anchor
	note       string
}

type bridgeWire struct {
	Origin     string        `json:"origin"`
	From       *wireHead     `json:"from"`
	To         *wireHead     `json:"to"`
	Hashes     []base64Bytes `json:"hashes"`
	Checkpoint string        `json:"checkpoint,omitzero"`
}

type wireHead struct {
	Size uint64      `json:"size"`
	Root base64Bytes `json:"root"`
}

// NewBridge joins a proof and the signed note of the newer head; note is "" where the newer head is an anchor.
func NewBridge(from, to Head, proof tlog.TreeProof, note string) (*Bridge, error) {
	if from.Origin != to.Origin {
		return nil, errors.New("bridge: cannot lead from one log to another")
	}
	return (&Bridge{From: from, To: to, Hashes: proof, note: note}).wire().bridge()
}

// ParseBridge checks the shape and the proof, but not whether the newer head counts.
func ParseBridge(data []byte) (*Bridge, error) {
	var w bridgeWire
	if err := strict.JSON(data, &w); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b, err := w.bridge()
	if err != nil {
		return nil, err
	}
	if err := whole(data, w); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	return b, nil
}

func (w *bridgeWire) bridge() (*Bridge, error) {
	if _, _, err := ParseOrigin(w.Origin); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	if w.From == nil || w.To == nil || w.Hashes == nil || len(w.Hashes) > maxHashes {
		return nil, fmt.Errorf("bridge: from, to and at most %d hashes must be there", maxHashes)
	}
	b := &Bridge{From: Head{Origin: w.Origin, Size: w.From.Size}, To: Head{Origin: w.Origin, Size: w.To.Size}, note: w.Checkpoint}
	if !asHash(&b.From.Root, w.From.Root) || !asHash(&b.To.Root, w.To.Root) {
		return nil, fmt.Errorf("bridge: a root is not 32 bytes")
	}
	b.Hashes = make(tlog.TreeProof, len(w.Hashes))
	for i, h := range w.Hashes {
		if !asHash(&b.Hashes[i], h) {
			return nil, fmt.Errorf("bridge: hash %d is not 32 bytes", i)
		}
	}
	if w.Checkpoint != "" {
		var err error
		if b.Checkpoint, err = ParseCheckpoint(w.Checkpoint); err != nil {
			return nil, fmt.Errorf("bridge: %w", err)
		}
		if b.Checkpoint.Head != b.To {
			return nil, errors.New("bridge: the checkpoint is not the head that the bridge leads to")
		}
	}
	return b, b.prove()
}

func asHash(h *tlog.Hash, b []byte) bool { return len(b) == copy(h[:], b) && len(b) == len(h) }

// prove checks the consistency proof.
func (b *Bridge) prove() error {
	if b.From.Size == 0 || b.From.Size > b.To.Size {
		return fmt.Errorf("bridge: cannot lead from size %d to size %d", b.From.Size, b.To.Size)
	}
	if tlog.CheckTree(b.Hashes, int64(b.To.Size), b.To.Root, int64(b.From.Size), b.From.Root) != nil {
		return fmt.Errorf("bridge: the proof from size %d to size %d does not hold", b.From.Size, b.To.Size)
	}
	return nil
}

// JSON is the compact wire form.
func (b *Bridge) JSON() []byte {
	data, err := encode(b.wire())
	if err != nil {
		panic("provenance: bridge: " + err.Error()) // numbers, base64, and a note that was parsed
	}
	return data
}

func (b *Bridge) wire() *bridgeWire {
	w := &bridgeWire{Origin: b.From.Origin, From: &wireHead{b.From.Size, b.From.Root[:]}, To: &wireHead{b.To.Size, b.To.Root[:]},
		Hashes: make([]base64Bytes, len(b.Hashes)), Checkpoint: b.note}
	for i, h := range b.Hashes {
		w.Hashes[i] = h[:]
	}
	return w
}
