package provenance

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Head is the state of a log: its first Size entries have the RFC 6962 tree hash Root.
type Head struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
}

// Text is the C2SP tlog-checkpoint that is signed: exactly three lines.
func (h Head) Text() string {
	return h.Origin + "\n" + strconv.FormatUint(h.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(h.Root[:]) + "\n"
}

// Checkpoint is a head with the signature lines that a C2SP signed note carries.
type Checkpoint struct {
	Head
	lines []noteLine
}

// noteLine is one signature line: the name and id of a key, and its signature.
type noteLine struct {
	name string
	id   uint32
	sig  []byte
}

const maxCheckpoint = 16 << 10

// ParseCheckpoint reads a signed note whose text is a three-line checkpoint. It verifies no signature. There is one
// spelling for every checkpoint: lines end in one newline, numbers have no leading zeros, base64 is canonical.
func ParseCheckpoint(note string) (*Checkpoint, error) {
	if len(note) > maxCheckpoint {
		return nil, fmt.Errorf("checkpoint: more than %d bytes", maxCheckpoint)
	}
	text, signatures, ok := strings.Cut(note, "\n\n")
	if !ok {
		return nil, errors.New("checkpoint: no blank line before the signatures")
	}
	head, err := parseHead(text + "\n")
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	lines, err := parseNoteLines(signatures)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return &Checkpoint{head, lines}, nil
}

func parseHead(text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return Head{}, errors.New("not exactly three lines: origin, size, root")
	}
	h := Head{Origin: lines[0]}
	if _, _, err := ParseOrigin(h.Origin); err != nil {
		return h, err
	}
	var err error
	if h.Size, err = strconv.ParseUint(lines[1], 10, 53); err != nil {
		return h, errors.New("size is not a number below 2^53")
	}
	root, err := decodeBase64([]byte(lines[2]))
	if err != nil || len(root) != tlog.HashSize {
		return h, errors.New("root is not the base64 of 32 bytes")
	}
	copy(h.Root[:], root)
	if h.Text() != text {
		return h, errors.New("not in its one spelling")
	}
	return h, nil
}

func parseNoteLines(s string) ([]noteLine, error) {
	body, ok := strings.CutSuffix(s, "\n")
	if !ok {
		return nil, errors.New("the last line has no newline, or there is no signature")
	}
	var lines []noteLine
	for _, line := range strings.Split(body, "\n") {
		name, sig, ok := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		if !ok || !strings.HasPrefix(line, "— ") || !validKeyName(name) {
			return nil, fmt.Errorf("signature line %.60q is not like a signed note's", line)
		}
		raw, err := decodeBase64([]byte(sig))
		if err != nil || len(raw) < 5 {
			return nil, fmt.Errorf("signature line %.60q has no key id and signature", line)
		}
		lines = append(lines, noteLine{name, binary.BigEndian.Uint32(raw), raw[4:]})
	}
	if len(lines) > maxSignatures {
		return nil, fmt.Errorf("more than %d signatures", maxSignatures)
	}
	return lines, nil
}

// validKeyName is C2SP signed-note's rule, and refuses the control characters that it bans from notes altogether.
func validKeyName(s string) bool {
	banned := func(r rune) bool { return r < ' ' || r == '+' || unicode.IsSpace(r) }
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, banned)
}

// SignedNote joins a head and raw Ed25519 signatures of its text into a signed note. It verifies nothing.
func SignedNote(h Head, signatures []KeySignature) string {
	var b strings.Builder
	b.WriteString(h.Text())
	b.WriteByte('\n')
	for _, s := range signatures {
		raw := binary.BigEndian.AppendUint32(nil, s.Key.NoteID(h.Origin))
		raw = append(raw, s.Signature...)
		b.WriteString("— " + h.Origin + " " + base64.StdEncoding.EncodeToString(raw) + "\n")
	}
	return b.String()
}

// KeySignature is a raw Ed25519 signature and the key that made it.
type KeySignature struct {
	Key       PublicKey
	Signature []byte
}

// signers verifies every line under the log's own name. All must be by keys of the log and good; lines under other
// names are witnesses' and say nothing here.
func (l *Log) signers(cp *Checkpoint) (active, ended int, err error) {
	byID := make(map[uint32]LogKey)
	for _, k := range l.Keys {
		byID[k.PublicKey.NoteID(l.Origin)] = k
	}
	text, seen := []byte(cp.Text()), make(map[uint32]bool)
	for _, line := range cp.lines {
		if line.name != l.Origin {
			continue
		}
		key, known := byID[line.id]
		switch {
		case seen[line.id]:
			return 0, 0, refuse(Malformed, "checkpoint: two signatures by note key %08x", line.id)
		case !known:
			return 0, 0, refuse(CheckpointSignatureInvalid, "note key %08x is not of log %s", line.id, l.Origin)
		case len(line.sig) != ed25519.SignatureSize || !key.PublicKey.Verify(text, line.sig):
			return 0, 0, refuse(CheckpointSignatureInvalid, "signature by note key %08x does not verify", line.id)
		}
		seen[line.id] = true
		if key.Ended == nil {
			active++
		} else {
			ended++
		}
	}
	return active, ended, nil
}

// anchored reports whether h is a head that the root vouches for.
func (l *Log) anchored(h Head) bool {
	is := func(a *Anchor) bool { return a != nil && a.Size == h.Size && string(a.Root) == string(h.Root[:]) }
	for _, k := range l.Keys {
		if is(k.Ended) {
			return true
		}
	}
	return is(l.Closed)
}

// Counts decides whether a head is the log's: (a) the log is open and enough keys that are not ended signed it, or
// (b) the identity anchors it, or (c) a bridge proves it a prefix of a head for which (a) or (b) holds. Whichever it is,
// the signature lines that are there must be good.
func (l *Log) Counts(cp *Checkpoint, bridges []*Bridge) error {
	return NewVerifier().counts(l, cp, bridges)
}

// counts is Log.Counts by a Verifier, which remembers whose signatures it verified.
func (v *Verifier) counts(l *Log, cp *Checkpoint, bridges []*Bridge) error {
	if cp.Origin != l.Origin {
		return refuse(CheckpointSignatureInvalid, "checkpoint is of log %s, the statement is in %s", cp.Origin, l.Origin)
	}
	active, ended, err := v.signers(l, cp)
	if err != nil {
		return err
	}
	if l.stands(cp.Head, active) {
		return nil
	}
	for _, b := range bridges {
		if b.From == cp.Head && v.reaches(l, b) {
			return nil
		}
	}
	if active+ended >= l.Threshold {
		return refuse(KeyEnded, "the head of size %d is signed by keys that were ended, or its log is closed: "+
			"refresh the bundle from the registry or fetch the bridge from size %d", cp.Size, cp.Size)
	}
	return refuse(CheckpointSignatureInvalid, "%d signatures by keys of log %s, it needs %d", active, l.Origin, l.Threshold)
}

// stands is (a) or (b) for a head that so many keys signed which are not ended.
func (l *Log) stands(h Head, active int) bool {
	return l.Closed == nil && active >= l.Threshold || l.anchored(h)
}

// reaches reports whether the far end of a bridge counts and the bridge is a proof.
func (v *Verifier) reaches(l *Log, b *Bridge) bool {
	if b.To.Origin != l.Origin || b.prove() != nil {
		return false
	}
	if b.Checkpoint == nil {
		return l.anchored(b.To)
	}
	active, _, err := v.signers(l, b.Checkpoint)
	return err == nil && b.Checkpoint.Head == b.To && l.stands(b.To, active)
}
