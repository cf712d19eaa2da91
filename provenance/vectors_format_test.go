package provenance_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// page is docs/format.md: its text, and its named code blocks.
type page struct {
	text   string
	blocks map[string]string
}

var codeBlock = regexp.MustCompile("(?ms)^```(?:text|toml) ([^\n]+)\n(.*?)\n```$")

func readPage(t *testing.T) *page {
	t.Helper()
	data, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &page{string(data), make(map[string]string)}
	for _, m := range codeBlock.FindAllStringSubmatch(p.text, -1) {
		if _, twice := p.blocks[m[1]]; twice {
			t.Fatalf("two blocks are called %s", m[1])
		}
		p.blocks[m[1]] = m[2]
	}
	return p
}

func (p *page) block(t *testing.T, name string) string {
	t.Helper()
	b, ok := p.blocks[name]
	if !ok {
		t.Fatalf("docs/format.md has no block %q", name)
	}
	return b
}

// value is what follows a label in a block: "label value" or "label value of others".
func (p *page) value(t *testing.T, block, label string) string {
	t.Helper()
	for line := range strings.SplitSeq(p.block(t, block), "\n") {
		if rest, ok := strings.CutPrefix(line, label+" "); ok {
			v, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			return v
		}
	}
	t.Fatalf("block %q has no %q", block, label)
	return ""
}

// says compares a value of the page with what it should be.
func (p *page) says(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("docs/format.md: %s\n is %s\nnot %s", what, got, want)
	}
}

// mentions looks for a phrase whatever the line breaks.
func (p *page) mentions(t *testing.T, format string, args ...any) {
	t.Helper()
	phrase := fmt.Sprintf(format, args...)
	if !strings.Contains(strings.Join(strings.Fields(p.text), " "), phrase) {
		t.Errorf("docs/format.md does not say %q", phrase)
	}
}

func hashed(parts ...[]byte) []byte {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return sum[:]
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// signs makes the signature of one of the page's keys.
func (p *page) signs(t *testing.T, key string, message []byte) []byte {
	t.Helper()
	return ed25519.Sign(ed25519.NewKeyFromSeed(fromHex(t, p.value(t, "key "+key, "seed"))), message)
}

// envelope makes the compact envelope of a payload, signed by one of the page's keys.
func (p *page) envelope(t *testing.T, payloadType, payload, key string) string {
	t.Helper()
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	return fmt.Sprintf(`{"payloadType":"%s","payload":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}`, payloadType,
		base64Of([]byte(payload)), p.value(t, "key "+key, "fingerprint"), base64Of(p.signs(t, key, []byte(pae))))
}

// TestFormatKeys recomputes section 14.1, from names to fingerprints.
func TestFormatKeys(t *testing.T) {
	p := readPage(t)
	for _, name := range []string{"publisher", "enrol-a", "root-a", "log-a"} {
		block := "key " + name
		seed := hashed([]byte("countersign test vector key: " + name))
		public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
		der := append(fromHex(t, "302a300506032b6570032100"), public...)
		p.says(t, name+" seed", p.value(t, block, "seed"), hex.EncodeToString(seed))
		p.says(t, name+" public", p.value(t, block, "public"), hex.EncodeToString(public))
		p.says(t, name+" spki", p.value(t, block, "spki"), base64Of(der))
		p.says(t, name+" fingerprint", p.value(t, block, "fingerprint"), "sha256:"+hex.EncodeToString(hashed(der)))
	}
	p.mentions(t, "`302a300506032b6570032100 ‖ key`")
}

// TestFormatPublication recomputes sections 14.2 to 14.4.
func TestFormatPublication(t *testing.T) {
	p := readPage(t)
	purl, payload := p.value(t, "coordinate", "purl"), p.block(t, "publication-payload")
	p.says(t, "hash of the purl", p.value(t, "coordinate", "sha256"), hex.EncodeToString(hashed([]byte(purl))))
	coordinate, err := provenance.ParseCoordinate(purl)
	if err != nil {
		t.Fatal(err)
	}
	p.says(t, "match key", p.value(t, "coordinate", "match key"), coordinate.MatchKey())
	file := p.value(t, "file-digest", "sha256")
	p.says(t, "digest of the file", file, hex.EncodeToString(hashed([]byte(p.block(t, "file")+"\n"))))
	p.says(t, "publication payload", payload, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"widget-1.2.3.tgz","digest":{"sha256":"`+file+
		`"}}],"predicateType":"https://countersign.dev/publication/v1","predicate":{"registry":"registry.example","purl":"`+purl+
		`","signedAt":"2026-02-03T11:59:30Z","attributes":{}}}`)
	const payloadType = "application/vnd.in-toto+json"
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	p.says(t, "PAE", p.block(t, "publication-pae"), pae)
	p.says(t, "publication signature", p.value(t, "publication-signature", "base64"), base64Of(p.signs(t, "publisher", []byte(pae))))
	p.says(t, "publication envelope", p.block(t, "publication-envelope"), p.envelope(t, payloadType, payload, "publisher"))
	p.mentions(t, "The payload, %d bytes", len(payload))
	p.mentions(t, "%d is the length of the payload type, %d that of the payload", len(payloadType), len(payload))
}

// TestFormatDocuments recomputes sections 14.5 to 14.7.
func TestFormatDocuments(t *testing.T) {
	p := readPage(t)
	enrolment, identity := p.block(t, "enrolment-payload"), p.block(t, "identity-payload")
	for _, d := range []struct{ name, payloadType, payload, key, digest string }{
		{"enrolment", "application/vnd.countersign.enrolment.v1+json", enrolment, "enrol-a", "enrolment-digest"},
		{"identity", "application/vnd.countersign.identity.v1+json", identity, "root-a", "identity-fingerprint"},
	} {
		p.says(t, d.name+" digest", p.block(t, d.digest), "sha256:"+hex.EncodeToString(hashed([]byte(d.payload))))
		p.says(t, d.name+" envelope", p.block(t, d.name+"-envelope"), p.envelope(t, d.payloadType, d.payload, d.key))
		p.mentions(t, "`DSSEv1 %d %s %d `", len(d.payloadType), d.payloadType, len(d.payload))
	}
	for _, k := range []string{"root-a", "log-a", "enrol-a"} {
		if !strings.Contains(identity, p.value(t, "key "+k, "spki")) {
			t.Errorf("docs/format.md: the identity does not have %s", k)
		}
	}
	if !strings.Contains(enrolment, p.value(t, "key publisher", "spki")) {
		t.Error("docs/format.md: the enrolment is not for the publisher")
	}
	statement := p.block(t, "statement")
	p.says(t, "statement", statement, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"widget-1.2.3.tgz","digest":{"sha256":"`+p.value(t, "file-digest", "sha256")+
		`"}}],"predicateType":"https://countersign.dev/countersignature/v1","predicate":{"registry":"registry.example","origin":"registry.example/countersign/1","identity":"`+
		p.block(t, "identity-fingerprint")+`","purl":"`+p.value(t, "coordinate", "purl")+`","publication":`+p.block(t, "publication-envelope")+
		`,"enrolment":"`+p.block(t, "enrolment-digest")+`","countersignedAt":"2026-02-03T12:00:00Z"}}`)
	p.mentions(t, "What is logged: %d bytes", len(statement))
}

// TestFormatTree recomputes sections 14.8 to 14.10.
func TestFormatTree(t *testing.T) {
	p := readPage(t)
	nodes := make(map[string][]byte)
	for _, name := range []string{"leaf-0", "leaf-1", "leaf-2", "leaf-3", "leaf-4", "node-0-1", "node-2-3", "node-0-3", "root"} {
		nodes[name] = fromHex(t, p.value(t, "tree", name))
	}
	for name, entry := range map[string]string{"leaf-0": "identity-envelope", "leaf-1": "enrolment-envelope", "leaf-3": "statement"} {
		p.says(t, name, hex.EncodeToString(nodes[name]), hex.EncodeToString(hashed([]byte{0}, []byte(p.block(t, entry)))))
	}
	for _, n := range [][3]string{{"node-0-1", "leaf-0", "leaf-1"}, {"node-2-3", "leaf-2", "leaf-3"}, {"node-0-3", "node-0-1", "node-2-3"}, {"root", "node-0-3", "leaf-4"}} {
		p.says(t, n[0], hex.EncodeToString(nodes[n[0]]), hex.EncodeToString(hashed([]byte{1}, nodes[n[1]], nodes[n[2]])))
	}

	const origin = "registry.example/countersign/1"
	text := origin + "\n5\n" + base64Of(nodes["root"]) + "\n"
	p.says(t, "checkpoint text", p.block(t, "checkpoint-text")+"\n", text)
	public := fromHex(t, p.value(t, "key log-a", "public"))
	input := append([]byte(origin+"\n\x01"), public...)
	id := hashed(input)[:4]
	p.says(t, "note key input", p.value(t, "note-key", "input"), hex.EncodeToString(input))
	p.says(t, "note key hash", p.value(t, "note-key", "sha256"), hex.EncodeToString(hashed(input)))
	p.says(t, "note key id", p.value(t, "note-key", "id"), hex.EncodeToString(id))
	p.says(t, "vkey", p.value(t, "note-key", "vkey"), origin+"+"+hex.EncodeToString(id)+"+"+base64Of(append([]byte{1}, public...)))
	sig := p.signs(t, "log-a", []byte(text))
	p.says(t, "checkpoint signature", p.value(t, "checkpoint-signature", "hex"), hex.EncodeToString(sig))
	p.says(t, "checkpoint line", p.value(t, "checkpoint-signature", "base64"), base64Of(append(id, sig...)))
	p.says(t, "checkpoint", p.block(t, "checkpoint")+"\n", text+"\n— "+origin+" "+p.value(t, "checkpoint-signature", "base64")+"\n")
	p.says(t, "proof", p.block(t, "proof")+"\n", "c2sp.org/tlog-proof@v1\nindex 3\n"+base64Of(nodes["leaf-2"])+"\n"+base64Of(nodes["node-0-1"])+"\n"+
		base64Of(nodes["leaf-4"])+"\n\n"+p.block(t, "checkpoint")+"\n")
}

// TestFormatBundle recomputes sections 14.11 and 14.12, compares them with the test vector, and asks for the answer.
func TestFormatBundle(t *testing.T) {
	p := readPage(t)
	proof, err := json.Marshal(p.block(t, "proof") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	bundle := `{"mediaType":"application/vnd.countersign.bundle.v1+json","statement":"` + base64Of([]byte(p.block(t, "statement"))) + `","proof":` + string(proof) +
		`,"enrolment":` + p.block(t, "enrolment-envelope") + `,"identity":[` + p.block(t, "identity-envelope") + `]}`
	p.says(t, "bundle", p.value(t, "bundle", "sha256"), hex.EncodeToString(hashed([]byte(bundle))))
	p.mentions(t, "one JSON document of %d bytes", len(bundle))
	p.says(t, "bundle of the vector", bundle, string(readVector(t, "bundles/valid-npm.json")))
	p.says(t, "pins", p.block(t, "pins")+"\n", string(readVector(t, "pins/registry.toml")))

	pins, err := provenance.ParsePins([]byte(p.block(t, "pins")))
	if err != nil {
		t.Fatal(err)
	}
	result, err := provenance.Verify(provenance.Request{Purl: p.value(t, "coordinate", "purl"), Digests: provenance.Digests{"sha256": p.value(t, "file-digest", "sha256")},
		Artifact: true, Bundle: []byte(bundle), Pins: pins, Now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil || result.Publisher != p.value(t, "key publisher", "fingerprint") {
		t.Errorf("the worked example: %+v, %v", result, err)
	}
}

var codeRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|")

// TestFormatTables holds tables of the page to the code: refusal codes in their order, limits, digest names.
func TestFormatTables(t *testing.T) {
	p := readPage(t)
	_, section, _ := strings.Cut(p.text, "\n## 13 ")
	section, _, _ = strings.Cut(section, "\n## ")
	var codes []provenance.Code
	for _, m := range codeRow.FindAllStringSubmatch(section, -1) {
		codes = append(codes, provenance.Code(m[1]))
	}
	p.says(t, "codes", fmt.Sprint(codes), fmt.Sprint(provenance.Codes))
	for what, n := range map[string]int{"publication payload": provenance.MaxPublication, "enrolment payload, enrolment end payload": provenance.MaxEnrolment,
		"identity payload": provenance.MaxIdentity, "log entry": provenance.MaxEntry, "bundle": provenance.MaxBundle,
		"status document": provenance.MaxStatusDocument, "status": provenance.MaxStatusBundle} {
		p.mentions(t, "| %s | %d bytes |", what, n)
	}
	p.mentions(t, "evidence in a registry statement | %d |", provenance.MaxDigests)
	p.mentions(t, "| namespaces in an identity or enrolment | %d |", provenance.MaxNamespaces)
	p.mentions(t, "| purl, namespace pattern | %d bytes |", provenance.MaxPurl)
	for name, digits := range map[string]int{"sha256": 64, "sha512": 128, "dirHash": 64, "goModHash": 64, "hexInner": 64, "nugetContentHash": 128} {
		p.mentions(t, "| `%s` | %d |", name, digits)
		d := provenance.Digests{"sha256": strings.Repeat("0", 64), name: strings.Repeat("0", digits)}
		if err := d.Check(); err != nil {
			t.Errorf("docs/format.md has the digest %s, the code has not: %v", name, err)
		}
	}
}
