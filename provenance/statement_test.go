package provenance

import (
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The statement written by hand is the library's, byte for byte.
func TestStatementIsTheLibrarysEncoding(t *testing.T) {
	seed := sha256.Sum256([]byte("statement"))
	key := ed25519.NewKeyFromSeed(seed[:])
	for _, name := range []string{"widget.tgz", `quote " and \ and é and 
 and <&>`} {
		c, err := NewCoordinate("npm", "@acme/widget", "1.0.0", "")
		if err != nil {
			t.Fatal(err)
		}
		hex := "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
		p, err := Draft{Registry: "registry.example", Coordinate: c, FileName: name, Digests: Digests{"sha512": hex + hex, "sha256": hex, "dirHash": hex},
			SignedAt: time.Unix(1700000000, 0), Attributes: jsontext.Value(`{"x":[1,"\u00e9"]}`)}.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		cs := &Countersignature{Publication: p, Enrolment: digest([]byte("e")), Claim: Claim{Registry: "registry.example",
			Origin: "registry.example/countersign/1", Identity: digest([]byte("i")), Coordinate: c, At: time.Unix(1700000100, 5)}}
		got, err := cs.Statement()
		if err != nil {
			t.Fatal(err)
		}
		want, err := encodeStatement(p.Subject, countersignatureType, countersignaturePredicate{cs.Registry, cs.Origin, cs.Identity,
			c.String(), p.Envelope, cs.Enrolment, At(cs.At)})
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("%s\nis not\n%s", got, want)
		}
		if _, err := ParseEntry(got); err != nil {
			t.Fatal(err)
		}
	}
}
