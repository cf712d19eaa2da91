package agent_test

import (
	"bytes"
	"strings"
	"testing"

	"countersign.dev/agent"
)

// A record that is accepted is the one encoding of its head.
func FuzzRecordDecode(f *testing.F) {
	a := newTree(4, "a")
	good := agent.EncodeRecord(origin, a.head(4))
	f.Add(good)
	f.Add(good[:511])
	f.Add(agent.EncodeRecord("registry.example/countersign/2", a.head(3)))
	f.Add(bytes.Replace(good, []byte("\n4\n"), []byte("\n5\n"), 1))
	f.Fuzz(func(t *testing.T, record []byte) {
		head, err := agent.DecodeRecord(record, origin)
		if err == nil && !bytes.Equal(agent.EncodeRecord(origin, head), record) {
			t.Fatalf("accepted a second encoding of size %d", head.Size)
		}
	})
}

// A checkpoint that is accepted begins with the one text of its head, and two keys of the log signed it.
func FuzzCheckpoint(f *testing.F) {
	a := newTree(9, "a")
	text := a.head(9).Text(origin)
	f.Add(checkpoint(text, origin, 2, 3))
	f.Add(checkpoint(text, origin, 1, 2, 3))
	f.Add(append(checkpoint(text, origin, 2, 3), signatureLine(text, "witness.example", testKey(4))...))
	f.Add(checkpoint(text, origin, 2, 2))
	f.Add(checkpoint(text+"extension\n", origin, 2, 3))
	g := newGuard(f, a.head(2))
	known := []string{}
	for k := 1; k <= 3; k++ {
		known = append(known, string(signatureLine(text, origin, testKey(k))))
	}
	f.Fuzz(func(t *testing.T, note []byte) {
		head, err := g.OpenCheckpoint(note)
		if err != nil {
			return
		}
		signed := 0
		for _, line := range known {
			signed += strings.Count(string(note), line)
		}
		if head != a.head(9) || !strings.HasPrefix(string(note), text+"\n") || signed < 2 {
			t.Fatalf("accepted %q", note)
		}
	})
}

// A request that is accepted is within its bounds.
func FuzzRequestDecode(f *testing.F) {
	a := newTree(9, "a")
	root := a.proof(8, 9)[0].String()
	f.Add([]byte(`{"origin":"` + origin + `","size":9,"root":"` + root + `","proof":["` + root + `"]}`))
	f.Add([]byte(`{"origin":"` + origin + `","checkpoint":"a\nb\n\n— x y\n","proof":[]}`))
	f.Add([]byte(`{"origin":"` + origin + `","size":9007199254740991,"root":"` + root + `","proof":[null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if name, head, proof, err := agent.DecodeSign(body); err == nil {
			if agent.CheckOrigin(name) != nil || head.Size < 1 || head.Size > agent.MaxSize || proof > 128 {
				t.Fatalf("accepted %q", body)
			}
		}
		if name, checkpoint, err := agent.DecodeRecordRequest(body); err == nil && (agent.CheckOrigin(name) != nil || checkpoint == "") {
			t.Fatalf("accepted %q", body)
		}
	})
}
