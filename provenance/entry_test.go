package provenance_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// entries are one of each kind.
func entries() map[string][]byte {
	w := richWorld()
	p := w.plan()
	p.claim.Origin = w.origin(2)
	subject := provenance.Subject{Name: "widget-1.2.3.tgz", Digest: p.draft.Digests}
	evidence := []provenance.Evidence{{Type: "application/x-manifest", Digest: "sha256:" + sha256Of("manifest")}}
	return map[string][]byte{
		"*provenance.Countersignature":  p.entry(),
		"*provenance.RegistryStatement": must((&provenance.RegistryStatement{Claim: p.claim, Subject: subject, Reason: "ingest", Evidence: evidence}).Statement()),
		"*provenance.Withdrawal":        must((&provenance.Withdrawal{Claim: p.claim, Subject: subject, Reason: "malware"}).Statement()),
		"*provenance.StatusStatement": must((&provenance.StatusStatement{Registry: w.name, Origin: w.origin(2), Identity: w.fingerprint(), Size: 7, At: dayTwo,
			Document: sha256.Sum256([]byte("document"))}).Statement()),
		"*provenance.Identity":     w.last().Envelope.JSON(),
		"*provenance.Enrolment":    p.enrolment().JSON(),
		"*provenance.EnrolmentEnd": end(w, p).Envelope.JSON(),
	}
}

// Every entry is read as what it is, and writing that again gives the same bytes.
func TestParseEntry(t *testing.T) {
	for kind, data := range entries() {
		got, err := provenance.ParseEntry(data)
		if err != nil || fmt.Sprintf("%T", got) != kind {
			t.Errorf("%s: read as %T, %v", kind, got, err)
			continue
		}
		if again := encodeEntry(got); !bytes.Equal(again, data) {
			t.Errorf("%s: written again as\n%s\nwas\n%s", kind, again, data)
		}
	}
}

// encodeEntry writes what ParseEntry read.
func encodeEntry(entry any) []byte {
	switch e := entry.(type) {
	case *provenance.Countersignature:
		return must(e.Statement())
	case *provenance.RegistryStatement:
		return must(e.Statement())
	case *provenance.Withdrawal:
		return must(e.Statement())
	case *provenance.StatusStatement:
		return must(e.Statement())
	case *provenance.Identity:
		return e.Envelope.JSON()
	case *provenance.Enrolment:
		return e.Envelope.JSON()
	case *provenance.EnrolmentEnd:
		return e.Envelope.JSON()
	}
	panic(fmt.Sprintf("entry is a %T", entry))
}

// Of every kind, no member can be missing, doubled, in another case, null or of another kind: the ledger would not open.
// What leaves an entry well-formed, though another one, is this and no more.
func TestParseEntryMutants(t *testing.T) {
	wellFormed := map[string][]string{
		"*provenance.RegistryStatement": {"removed /subject/0/digest/sha512", "removed /predicate/evidence/0", "doubled /predicate/evidence/0"},
		"*provenance.Withdrawal":        {"removed /subject/0/digest/sha512"},
		"*provenance.Identity":          {"removed /signatures/0", "removed /signatures/1"}, // they are the Chain's to count
	}
	for kind, data := range entries() {
		var accepted []string
		for _, m := range mutants(data) {
			if _, err := provenance.ParseEntry(m.data); err == nil {
				accepted = append(accepted, m.String())
			}
		}
		if !slices.Equal(accepted, wellFormed[kind]) {
			t.Errorf("%s: accepted with\n%q\nwant\n%q", kind, accepted, wellFormed[kind])
		}
	}
}

func TestParseEntryRefusals(t *testing.T) {
	all := entries()
	statement, envelope := string(all["*provenance.Countersignature"]), string(all["*provenance.Enrolment"])
	for what, data := range map[string]string{
		"nothing":                   "",
		"null":                      "null",
		"a number":                  "1",
		"an array":                  "[" + envelope + "]",
		"an empty object":           "{}",
		"no known type":             `{"predicateType":"https://countersign.dev/other/v1"}`,
		"both types":                `{"predicateType":"https://countersign.dev/countersignature/v1","payloadType":"application/vnd.countersign.identity.v1+json"}`,
		"types of other kinds":      `{"predicateType":1}`,
		"a publication by itself":   strings.ReplaceAll(envelope, "application/vnd.countersign.enrolment.v1+json", "application/vnd.in-toto+json"),
		"a space before":            " " + envelope,
		"a space within":            strings.Replace(envelope, ",", ", ", 1),
		"a newline after":           envelope + "\n",
		"members in another order":  string(reversed(envelope)),
		"a letter escaped":          strings.Replace(envelope, `"payload"`, `"p\u0061yload"`, 1),
		"two entries":               envelope + envelope,
		"two statements":            statement + statement,
		"another _type":             strings.Replace(statement, "in-toto.io/Statement/v1", "in-toto.io/Statement/v0.1", 1),
		"no subject":                strings.Replace(statement, `"subject":[{`, `"subject":[],"x":[{`, 1),
		"two subjects":              strings.Replace(statement, `"subject":[`, `"subject":[{"name":"x","digest":{"sha256":"`+sha256Of("x")+`"}},`, 1),
		"origin of another":         strings.Replace(statement, `"origin":"registry.example/`, `"origin":"other.example/`, 1),
		"purl in another spelling":  strings.Replace(statement, `"purl":"pkg:npm/%40acme`, `"purl":"pkg:npm/@acme`, 1),
		"identity of no form":       strings.Replace(statement, `"identity":"sha256:`, `"identity":"sha256-`, 1),
		"enrolment of no form":      strings.Replace(statement, `"enrolment":"sha256:`, `"enrolment":"SHA256:`, 1),
		"a time with a fraction":    strings.Replace(statement, `"countersignedAt":"2026-03-03T12:00:00Z"`, `"countersignedAt":"2026-03-03T12:00:00.000Z"`, 1),
		"a time in another zone":    strings.Replace(statement, `"countersignedAt":"2026-03-03T12:00:00Z"`, `"countersignedAt":"2026-03-03T12:00:00-00:00"`, 1),
		"another reason to ingest":  strings.Replace(string(all["*provenance.RegistryStatement"]), `"ingest"`, `"trust me"`, 1),
		"evidence of no type":       strings.Replace(string(all["*provenance.RegistryStatement"]), `"application/x-manifest"`, `""`, 1),
		"evidence of a long type":   strings.Replace(string(all["*provenance.RegistryStatement"]), `x-manifest`, strings.Repeat("x", 257), 1),
		"nine pieces of evidence":   strings.Replace(string(all["*provenance.RegistryStatement"]), `"evidence":[`, `"evidence":[`+strings.Repeat(`{"type":"x","digest":"sha256:`+sha256Of("x")+`"},`, 8), 1),
		"a withdrawal, no reason":   strings.Replace(string(all["*provenance.Withdrawal"]), `"malware"`, `""`, 1),
		"a withdrawal, long reason": strings.Replace(string(all["*provenance.Withdrawal"]), `malware`, strings.Repeat("x", 1025), 1),
	} {
		if got, err := provenance.ParseEntry([]byte(data)); err == nil {
			t.Errorf("%s: accepted as %T", what, got)
		}
	}
}

func reversed(document string) []byte {
	n := parseNode([]byte(document))
	for i, j := 0, len(n.members)-1; i < j; i, j = i+1, j-1 {
		n.members[i], n.members[j] = n.members[j], n.members[i]
	}
	return n.json()
}

// An entry has at most 65,535 bytes, on the bytes that are logged.
func TestEntrySize(t *testing.T) {
	w := newWorld(registry)
	p := w.plan()
	long := &provenance.Withdrawal{Claim: p.claim, Subject: provenance.Subject{Name: "x", Digest: p.draft.Digests}}
	short := len(must(long.Statement()))
	long.Reason = strings.Repeat("x", provenance.MaxEntry-short)
	if data, err := long.Statement(); err != nil || len(data) != 65535 {
		t.Errorf("%d bytes: %v", len(data), err)
	}
	long.Reason += "x"
	if data, err := long.Statement(); err == nil {
		t.Errorf("%d bytes are written", len(data))
	}
	_, err := provenance.ParseEntry(make([]byte, 65536))
	wantError(t, "65,536 bytes", err, "at most 65535")

	// The largest publication and certificate still fit.
	p.draft.Attributes = []byte(`{"x":"` + strings.Repeat("x", provenance.MaxPublication-580) + `"}`)
	if n := len(p.publication().Envelope.Payload); n < provenance.MaxPublication-100 {
		t.Errorf("the publication has only %d bytes", n)
	}
	if n := len(p.entry()); n < provenance.MaxPublication || n > provenance.MaxEntry {
		t.Errorf("the largest statement has %d bytes", n)
	}
	wantCode(t, "the largest publication", p.verify(), "verified")
}

// The largest identity fits in an entry.
func TestLargestIdentityFits(t *testing.T) {
	w := newWorld(registry)
	id := *w.last()
	room := (provenance.MaxIdentity - len(id.Envelope.Payload) - len(`,"evidence":[]`)) / len(`{"key":"sha256:","digest":"sha256:"},`+sha256Of("")+sha256Of(""))
	for range room {
		id.Evidence = append(id.Evidence, provenance.KeyEvidence{Key: fingerprint(w.officer), Digest: "sha256:" + sha256Of("x")})
	}
	signed, err := id.Sign(signers(w.root...)...)
	if err != nil || len(signed.Envelope.Payload) < provenance.MaxIdentity-1024 {
		t.Fatalf("the identity is not the largest: %v", err)
	}
	if n := len(signed.Envelope.JSON()); n > provenance.MaxEntry {
		t.Errorf("its entry has %d bytes", n)
	}
	_, err = provenance.ParseEntry(signed.Envelope.JSON())
	wantError(t, "the largest identity", err, "")
}

// What a registry states by itself is read back whole, and Check holds it to the same rules before it is made.
func TestRegistryStatement(t *testing.T) {
	p := newWorld(registry).plan()
	good := provenance.RegistryStatement{Claim: p.claim, Subject: provenance.Subject{Name: "x", Digest: p.draft.Digests}, Reason: "backfill",
		Evidence: []provenance.Evidence{{Type: "x", Digest: "sha256:" + sha256Of("x")}}}
	got, err := provenance.ParseEntry(must(good.Statement()))
	if err != nil || !reflect.DeepEqual(got, &good) {
		t.Errorf("read back as %+v, %v", got, err)
	}
	for what, change := range map[string]func(*provenance.RegistryStatement){
		"reason":    func(s *provenance.RegistryStatement) { s.Reason = "" },
		"evidence":  func(s *provenance.RegistryStatement) { s.Evidence = nil },
		"digest":    func(s *provenance.RegistryStatement) { s.Evidence = []provenance.Evidence{{Type: "x"}} },
		"sha256":    func(s *provenance.RegistryStatement) { s.Subject.Digest = nil },
		"file name": func(s *provenance.RegistryStatement) { s.Subject.Name = "" },
	} {
		s := good
		change(&s)
		if s.Check() == nil {
			t.Errorf("without %s: Check accepts", what)
		}
		if _, err := provenance.ParseEntry(must(s.Statement())); err == nil && what != "evidence" { // written as an empty list
			t.Errorf("without %s: ParseEntry accepts", what)
		}
	}
}

// A strict consumer does not take the registry's word alone; one who does may still ask for both names.
func TestBasis(t *testing.T) {
	p := newWorld(registry).plan()
	p.backfill = true
	wantCode(t, "publisher required", p.verify(), provenance.BasisTooWeak)
	p.pin.more = `require = "registry"`
	got, err := provenance.Verify(p.request())
	wantCode(t, "registry required", err, "verified")
	if got.Basis != provenance.ByRegistry || got.Publisher != "" || got.Attributes != nil || !got.SignedAt.Equal(time.Time{}) || got.Subject.Name == "" {
		t.Errorf("result %+v", got)
	}
	p.backfill = false
	got, err = provenance.Verify(p.request())
	wantCode(t, "registry required, publisher there", err, "verified")
	if got.Basis != provenance.ByPublisher || got.Publisher != fingerprint(p.publisher) {
		t.Errorf("result %+v", got)
	}
	// A publisher's signature that is there must be good even where none is required.
	p.spoilPublication = func(e *provenance.Envelope) { e.Signatures[0].Sig[0] ^= 1 }
	wantCode(t, "registry required, publisher's bad", p.verify(), provenance.PublicationSignatureInvalid)
}

// An entry is JSON that any reader reads the same way.
func TestEntriesAreOrdinaryJSON(t *testing.T) {
	for kind, data := range entries() {
		var any map[string]any
		if err := json.Unmarshal(data, &any); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		var compact bytes.Buffer
		if json.Compact(&compact, data); !bytes.Equal(compact.Bytes(), data) {
			t.Errorf("%s is not compact", kind)
		}
	}
}
