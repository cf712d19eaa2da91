package provenance

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// Proof is a C2SP tlog-proof without extra data: entry Index is in the tree whose head the checkpoint names.
type Proof struct {
	Index      uint64
	Hashes     tlog.RecordProof // leaf sibling first
	Checkpoint string           // the signed note, verbatim
}

// String is the tlog-proof file.
func (p *Proof) String() string { return string(p.append(make([]byte, 0, 1024))) }

func (p *Proof) append(b []byte) []byte {
	b = append(b, proofHeader+"index "...)
	b = append(strconv.AppendUint(b, p.Index, 10), '\n')
	for _, h := range p.Hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), p.Checkpoint...)
}

// ParseProof accepts exactly what String writes.
func ParseProof(s string) (*Proof, error) {
	head, note, ok := strings.Cut(s, "\n\n")
	rest, isProof := strings.CutPrefix(head+"\n", proofHeader)
	if !ok || !isProof || !utf8.ValidString(s) {
		return nil, errors.New("proof: not a c2sp.org/tlog-proof@v1")
	}
	lines := strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
	number, ok := strings.CutPrefix(lines[0], "index ")
	p := &Proof{Checkpoint: note}
	var err error
	if p.Index, err = strconv.ParseUint(number, 10, 53); !ok || err != nil {
		return nil, errors.New("proof: no index")
	}
	if len(lines)-1 > maxHashes {
		return nil, fmt.Errorf("proof: more than %d hashes", maxHashes)
	}
	p.Hashes = make(tlog.RecordProof, len(lines)-1)
	for i, line := range lines[1:] {
		raw, err := decodeBase64([]byte(line))
		if err != nil || !asHash(&p.Hashes[i], raw) {
			return nil, fmt.Errorf("proof: hash %d is not the base64 of 32 bytes", i)
		}
	}
	if strconv.FormatUint(p.Index, 10) != number { // all else has one spelling
		return nil, errors.New("proof: index is not in its one spelling")
	}
	return p, nil
}

// includes checks that the entry is where the proof says, in the tree of the head.
func (p *Proof) includes(entry []byte, h Head) bool {
	if p.Index >= h.Size {
		return false
	}
	return tlog.CheckRecord(p.Hashes, int64(h.Size), h.Root, int64(p.Index), tlog.RecordHash(entry)) == nil
}
