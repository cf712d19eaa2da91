package agent_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestRecord(t *testing.T) {
	a := newTree(9, "a")
	dir := stateDir(t, a.head(2))
	state := openState(t, dir)
	g := guardOf(t, testKey(1), state)
	note := checkpoint(a.head(9).Text(origin), origin, 2, 3)
	for range 2 {
		head, err := g.Record(t.Context(), note, a.proof(2, 9))
		if err != nil || head != a.head(9) || g.Watermark() != head {
			t.Fatalf("Record: %v, %v", head, err)
		}
	}
	must(t, state.Close())
	if g := guardOf(t, testKey(1), openState(t, dir)); g.Watermark() != a.head(9) {
		t.Fatalf("after a restart: watermark %d, want 9", g.Watermark().Size)
	}
}

// Invariant 2: nobody below the threshold can push a watermark.
func TestInvariant2RecordRefuses(t *testing.T) {
	a, b := newTree(9, "a"), newTree(9, "b")
	text := a.head(9).Text(origin)
	other := "registry.example/countersign/2"
	good := a.proof(2, 9)
	long := strings.Replace(text, "\n9\n", "\n09\n", 1)
	tests := map[string]struct {
		note  []byte
		proof []tlog.Hash
	}{
		"m-1 signatures":             {checkpoint(text, origin, 2), good},
		"one key twice":              {checkpoint(text, origin, 2, 2), good},
		"threshold and one twice":    {checkpoint(text, origin, 2, 3, 2), good},
		"a stranger's key":           {checkpoint(text, origin, 2, 4), good},
		"a witness line only":        {checkpoint(text, "witness.example", 2), good},
		"m-1 and a witness":          {append(checkpoint(text, origin, 2), signatureLine(text, "witness.example", testKey(3))...), good},
		"no signature":               {[]byte(text + "\n"), good},
		"no note":                    {[]byte(text), good},
		"empty":                      {nil, good},
		"a bad signature among good": {append(checkpoint(text, origin, 2, 3), signatureLine(b.head(9).Text(origin), origin, testKey(1))...), good},
		"signatures of another head": {append([]byte(text+"\n"), checkpoint(b.head(9).Text(origin), origin, 2, 3)[len(b.head(9).Text(origin))+1:]...), good},
		"another origin":             {checkpoint(a.head(9).Text(other), other, 2, 3), good},
		"another origin in the text": {checkpoint(a.head(9).Text(other), origin, 2, 3), good},
		"extension line":             {checkpoint(text+"more\n", origin, 2, 3), good},
		"leading zero":               {checkpoint(long, origin, 2, 3), good},
		"plus sign":                  {checkpoint(strings.Replace(text, "\n9\n", "\n+9\n", 1), origin, 2, 3), good},
		"huge size":                  {checkpoint(strings.Replace(text, "\n9\n", "\n9007199254740992\n", 1), origin, 2, 3), good},
		"size 0":                     {checkpoint(strings.Replace(text, "\n9\n", "\n0\n", 1), origin, 2, 3), good},
		"URL-safe root":              {checkpoint(origin+"\n9\n"+strings.Repeat("_", 43)+"=\n", origin, 2, 3), good},
		"short root":                 {checkpoint(origin+"\n9\nAAAA\n", origin, 2, 3), good},
		"root with spare bits":       {checkpoint(origin+"\n9\n"+strings.Repeat("A", 42)+"B=\n", origin, 2, 3), good},
		"signature with spare bits":  {spareBits(checkpoint(text, origin, 2, 3)), good},
		"no proof":                   {checkpoint(text, origin, 2, 3), nil},
		"proof for another mark":     {checkpoint(text, origin, 2, 3), a.proof(5, 9)},
		"signed fork, own proof":     {checkpoint(b.head(9).Text(origin), origin, 2, 3), b.proof(2, 9)},
		"signed fork, same size":     {checkpoint(b.head(2).Text(origin), origin, 2, 3), nil},
		"signed older head":          {checkpoint(a.head(1).Text(origin), origin, 2, 3), a.proof(1, 2)},
	}
	g := newGuard(t, a.head(2))
	for name, tt := range tests {
		_, err := g.Record(t.Context(), tt.note, tt.proof)
		wantRefused(t, name, err, a.head(2))
	}
	// The control: a witness's line and one by a key that is not counted do no harm beside enough signatures.
	note := append(checkpoint(text, origin, 2, 3, 4), signatureLine(text, "witness.example", testKey(5))...)
	if _, err := g.Record(t.Context(), note, good); err != nil {
		t.Fatal(err)
	}
}

// spareBits changes the last signature's base64 so that it still decodes to the same bytes.
func spareBits(note []byte) []byte {
	s := string(note)
	i := strings.LastIndex(s, "=") - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return []byte(s[:i] + string(alphabet[strings.IndexByte(alphabet, s[i])|1]) + s[i+1:])
}

// Every byte of a checkpoint and of its proof matters.
func TestRecordMutations(t *testing.T) {
	a := newTree(9, "a")
	g := newGuard(t, a.head(2))
	good, proof := checkpoint(a.head(9).Text(origin), origin, 2, 3), a.proof(2, 9)
	for i := range good {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			bad := slices.Clone(good)
			bad[i] ^= flip
			_, err := g.Record(t.Context(), bad, proof)
			wantRefused(t, string(bad), err, a.head(2))
		}
		_, err := g.Record(t.Context(), good[:i], proof)
		wantRefused(t, "truncated", err, a.head(2))
	}
	for i := range proof {
		for b := range proof[i] {
			bad := slices.Clone(proof)
			bad[i][b] ^= 1
			_, err := g.Record(t.Context(), good, bad)
			wantRefused(t, "proof", err, a.head(2))
		}
	}
	if _, err := g.Record(t.Context(), good, proof); err != nil {
		t.Fatal(err)
	}
}
