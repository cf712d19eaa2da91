package provenance_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// statusPlan is the story of a status, in which a test changes what it wants before bundle tells it. Left alone it verifies.
type statusPlan struct {
	w         *world
	log       *testLog
	document  provenance.StatusDocument
	statement provenance.StatusStatement // Document is that of the document where it is zero
	index     int                        // of the entry
	signers   []ed25519.PrivateKey
	pin       pinPlan

	spoilDocument func([]byte) []byte // before it is committed to
	spoilEntry    func([]byte) []byte
	spoilBundle   func(*provenance.StatusBundle)
}

const malware = "pkg:npm/%40acme/malware@6.6.6"

// statusPlan withdraws a package and ends an enrolment, neither of them the plan's.
func (w *world) statusPlan() *statusPlan {
	at := provenance.At(dayTwo)
	return &statusPlan{
		w:   w,
		log: w.log.copy(),
		document: provenance.StatusDocument{
			Registry:    w.name,
			Logs:        []provenance.CoveredLog{{Origin: w.origin(1), Size: 9}},
			Withdrawals: []provenance.WithdrawnCoordinate{{Purl: malware, Origin: w.origin(1), Index: 4, WithdrawnAt: at, Reason: "malware"}},
			Ended: []provenance.EndedEnrolment{{Enrolment: "sha256:" + sha256Of("another enrolment"), Publisher: fingerprint(testKey("another")),
				Origin: w.origin(1), Index: 5, Ended: at, Reason: "left"}},
		},
		statement: provenance.StatusStatement{Registry: w.name, Origin: w.origin(1), Identity: w.fingerprint(), Size: 9, At: dayTwo},
		index:     10,
		signers:   w.logKeys[:2],
		pin:       pinPlan{"pkg:npm/*", w.name, w.fingerprint(), ""},
	}
}

// withdraw lists one more coordinate, behind the others.
func (s *statusPlan) withdraw(purl string, index uint64) {
	s.document.Withdrawals = append(s.document.Withdrawals, provenance.WithdrawnCoordinate{Purl: purl, Origin: s.w.origin(1), Index: index,
		WithdrawnAt: provenance.At(dayTwo), Reason: "contains malware"})
}

// end lists one more enrolment, behind the others.
func (s *statusPlan) end(enrolment, origin string, index uint64, ended time.Time) {
	s.document.Ended = append(s.document.Ended, provenance.EndedEnrolment{Enrolment: enrolment, Publisher: fingerprint(s.w.publisher), Origin: origin,
		Index: index, Ended: provenance.At(ended), Reason: "key stolen"})
}

func (s *statusPlan) bundle() *provenance.StatusBundle {
	document := must(s.document.JSON())
	if s.spoilDocument != nil {
		document = s.spoilDocument(document)
	}
	if s.statement.Document == [32]byte{} {
		s.statement.Document = sha256.Sum256(document)
	}
	entry := must(s.statement.Statement())
	if s.spoilEntry != nil {
		entry = s.spoilEntry(entry)
	}
	s.log.fill(s.index)
	s.log.add(entry)
	s.log.fill(s.index + 3)
	proof := s.log.proof(s.index, len(s.log.entries), s.signers...)
	b := &provenance.StatusBundle{Statement: entry, Proof: proof, Document: document, Identity: s.w.envelopes()}
	if s.spoilBundle != nil {
		s.spoilBundle(b)
	}
	return b
}

func (s *statusPlan) verify() (*provenance.Status, error) {
	return provenance.NewVerifier().Status(s.bundle().JSON(), &s.pin.parse().Pins[0], nil, nil)
}

// alsoStatus spoils the bundle after what other faults do to it.
func alsoStatus(s *statusPlan, spoil func(*provenance.StatusBundle)) {
	before := s.spoilBundle
	s.spoilBundle = func(b *provenance.StatusBundle) {
		if before != nil {
			before(b)
		}
		spoil(b)
	}
}

func TestStatusAccepts(t *testing.T) {
	w := newWorld(registry)
	got, err := w.statusPlan().verify()
	if err != nil {
		t.Fatal(err)
	}
	if got.Registry != registry || got.Identity != w.fingerprint() || got.Origin != w.origin(1) || got.Index != 10 || got.Size != 9 || !got.At.Equal(dayTwo) {
		t.Errorf("status %+v", got)
	}
	if c, ok := got.Withdrawn(malware); !ok || c.Purl != malware || c.Index != 4 || c.Reason != "malware" {
		t.Errorf("withdrawn: %+v, %t", c, ok)
	}
	if e, ok := got.Ended("sha256:" + sha256Of("another enrolment")); !ok || e.Index != 5 || e.Reason != "left" {
		t.Errorf("ended: %+v, %t", e, ok)
	}
	if _, ok := got.Withdrawn("pkg:npm/%40acme/widget@1.2.3"); ok {
		t.Error("what is not listed is withdrawn")
	}
	if _, ok := got.Ended("sha256:" + sha256Of("")); ok {
		t.Error("what is not listed has ended")
	}
}

// What a registry, or whoever broke into it, may sign, and what a mirror may send.
var statusFaults = []struct {
	what string
	want provenance.Code
	add  func(*statusPlan)
}{
	{"no identity", "unchecked", func(s *statusPlan) { alsoStatus(s, func(b *provenance.StatusBundle) { b.Identity = nil }) }},
	{"another identity", provenance.IdentityMismatch, func(s *statusPlan) { s.pin.identity = "sha256:" + sha256Of("another identity") }},
	{"the pinned registry's name", provenance.IdentityMismatch, func(s *statusPlan) { s.pin.registry = "other.example" }},
	{"rolled back", provenance.IdentityRollback, func(s *statusPlan) {
		s.pin.more += "latest = {version = 9, sha256 = \"" + sha256Of("nine") + "\"}\n"
	}},
	{"a checkpoint that is none", provenance.Malformed, func(s *statusPlan) {
		alsoStatus(s, func(b *provenance.StatusBundle) { b.Proof.Checkpoint += "\n" })
	}},
	{"an unknown log", provenance.LogUnknown, func(s *statusPlan) { s.log.origin = s.w.origin(9) }},
	{"an entry of no form", provenance.Malformed, func(s *statusPlan) { s.spoilEntry = func(b []byte) []byte { return append(b, '!') } }},
	{"an entry of another kind", provenance.Malformed, func(s *statusPlan) {
		s.spoilEntry = func([]byte) []byte { return s.w.plan().entry() }
	}},
	{"a withdrawal", provenance.Malformed, func(s *statusPlan) {
		s.spoilEntry = func([]byte) []byte { return entries()["*provenance.Withdrawal"] }
	}},
	{"the statement of another registry", provenance.StatementMismatch, func(s *statusPlan) {
		s.statement.Registry, s.statement.Origin = "other.example", "other.example/countersign/1"
	}},
	{"the statement with the log of another registry", provenance.StatementMismatch, func(s *statusPlan) { s.statement.Origin = "other.example/countersign/1" }},
	{"the statement of another identity", provenance.StatementMismatch, func(s *statusPlan) { s.statement.Identity = "sha256:" + sha256Of("x") }},
	{"the statement of another log", provenance.StatementMismatch, func(s *statusPlan) { s.statement.Origin = s.w.origin(2) }},
	{"more covered than came before", provenance.StatementMismatch, func(s *statusPlan) { s.statement.Size, s.document.Logs[0].Size = 11, 11 }},
	{"not in the log", provenance.InclusionProofInvalid, func(s *statusPlan) {
		alsoStatus(s, func(b *provenance.StatusBundle) { b.Proof.Hashes[0][0] ^= 1 })
	}},
	{"at another index", provenance.InclusionProofInvalid, func(s *statusPlan) {
		alsoStatus(s, func(b *provenance.StatusBundle) { b.Proof.Index-- })
	}},
	{"too few signatures", provenance.CheckpointSignatureInvalid, func(s *statusPlan) { s.signers = s.signers[:1] }},
	{"a stranger's signature", provenance.CheckpointSignatureInvalid, func(s *statusPlan) { s.signers = testKeys("stranger")[:2] }},
	{"ended keys", provenance.KeyEnded, func(s *statusPlan) { s.w.endTwo(1) }},
	{"excluded", provenance.Excluded, func(s *statusPlan) { exclude(s.w, 10, 11, "") }},
	{"made when the identity expired", provenance.IdentityExpired, func(s *statusPlan) { s.statement.At = yearEnd }},
	{"another document", provenance.ArtifactDigestMismatch, func(s *statusPlan) {
		alsoStatus(s, func(b *provenance.StatusBundle) { b.Document = []byte("{}") })
	}},
	{"a document of no form", provenance.Malformed, func(s *statusPlan) { s.spoilDocument = func(b []byte) []byte { return append(b, '!') } }},
	{"a document in another spelling", provenance.Malformed, func(s *statusPlan) { s.spoilDocument = func(b []byte) []byte { return append(b, '\n') } }},
	{"a document of another registry", provenance.StatementMismatch, func(s *statusPlan) {
		s.document = newWorld("other.example").statusPlan().document
	}},
	{"a document of another size", provenance.StatementMismatch, func(s *statusPlan) { s.document.Logs[0].Size = 8 }},
	{"a document without the log", provenance.StatementMismatch, func(s *statusPlan) {
		s.document = provenance.StatusDocument{Registry: s.w.name, Logs: []provenance.CoveredLog{{Origin: s.w.origin(2), Size: 9}}}
	}},
	{"a document with an unknown log", provenance.LogUnknown, func(s *statusPlan) {
		s.document.Logs = append(s.document.Logs, provenance.CoveredLog{Origin: s.document.Registry + "/countersign/3", Size: 9})
	}},
}

func TestStatusRefusals(t *testing.T) {
	for _, f := range statusFaults {
		s := newWorld(registry).statusPlan()
		f.add(s)
		_, err := s.verify()
		wantCode(t, f.what, err, f.want)
	}
}

// Of two faults the one that comes earlier in the order of checks is named: nothing of the document is read before the
// registry's commitment to it is proved.
func TestStatusOrder(t *testing.T) {
	for i, first := range statusFaults {
		for _, second := range statusFaults[i+1:] {
			s := newWorld(registry).statusPlan()
			first.add(s)
			second.add(s)
			_, err := s.verify()
			wantCode(t, first.what+" and "+second.what, err, first.want)
		}
	}
}

func TestStatusWithoutPin(t *testing.T) {
	_, err := provenance.NewVerifier().Status(newWorld(registry).statusPlan().bundle().JSON(), nil, nil, nil)
	wantCode(t, "no pin", err, "bad request")
}

// The consumer's own chain, and bridges at hand, serve a status as they serve a bundle.
func TestStatusFromOwnStore(t *testing.T) {
	w := newWorld(registry)
	s := w.statusPlan()
	s.spoilBundle = func(b *provenance.StatusBundle) { b.Identity = nil }
	data, pin := s.bundle().JSON(), &s.pin.parse().Pins[0]
	_, err := provenance.NewVerifier().Status(data, pin, chainOf(w.envelopes()), nil)
	wantCode(t, "own chain", err, "verified")
	w.endTwo(1)
	_, err = provenance.NewVerifier().Status(data, pin, chainOf(w.envelopes()), nil)
	wantCode(t, "own chain, keys ended", err, provenance.KeyEnded)
	s.log.fill(20)
	bridge := s.log.bridge(13, 20, w.newKeys()...)
	_, err = provenance.NewVerifier().Status(data, pin, chainOf(w.envelopes()), []*provenance.Bridge{bridge})
	wantCode(t, "bridge at hand", err, "verified")
	b := must(provenance.ParseStatusBundle(data))
	b.Bridge = bridge
	_, err = provenance.NewVerifier().Status(b.JSON(), pin, chainOf(w.envelopes()), nil)
	wantCode(t, "bridge in the bundle", err, "verified")
	b.Bridge = s.log.bridge(12, 20, w.newKeys()...)
	_, err = provenance.NewVerifier().Status(b.JSON(), pin, chainOf(w.envelopes()), []*provenance.Bridge{bridge})
	wantCode(t, "bridge at hand, another in the bundle", err, "verified")
	_, err = provenance.NewVerifier().Status(data, pin, chainOf(newWorld("other.example").envelopes()), nil)
	wantCode(t, "another registry's chain", err, provenance.IdentityMismatch)
}

// secondLog closes log 1 at its size now and opens log 2, which it gives with the new version as its first entry.
func (w *world) secondLog(l *testLog) *testLog {
	closed := anchor(l.head(len(l.entries)))
	w.next(func(id *provenance.Identity) {
		id.Logs[0].Closed = closed
		id.Logs = append(id.Logs, w.logOf(2, testKeys(w.name+" log 2")))
	})
	second := newLog(w.origin(2), testKeys(w.name+" log 2"))
	second.add(w.last().Envelope.JSON())
	return second
}

// moved is a status in log 2, after log 1 was closed at size 12.
func moved(t testing.TB) (*world, *statusPlan) {
	t.Helper()
	w := newWorld(registry)
	w.log.fill(12)
	second := w.secondLog(w.log)
	s := w.statusPlan()
	s.log, s.signers, s.statement.Origin, s.statement.Size = second, second.keys[:2], w.origin(2), 3
	s.document.Logs = []provenance.CoveredLog{{Origin: w.origin(1), Size: 12}, {Origin: w.origin(2), Size: 3}}
	return w, s
}

func TestStatusOfSeveralLogs(t *testing.T) {
	_, s := moved(t)
	_, err := s.verify()
	wantCode(t, "both logs", err, "verified")
	for what, c := range map[string]struct {
		logs func(*world) []provenance.CoveredLog
		want provenance.Code
	}{
		"the closed one left out": {func(w *world) []provenance.CoveredLog { return []provenance.CoveredLog{{Origin: w.origin(2), Size: 3}} }, provenance.StatementMismatch},
		"the closed one beyond its anchor": {func(w *world) []provenance.CoveredLog {
			return []provenance.CoveredLog{{Origin: w.origin(1), Size: 13}, {Origin: w.origin(2), Size: 3}}
		}, provenance.StatementMismatch},
		"the closed one short of its anchor": {func(w *world) []provenance.CoveredLog {
			return []provenance.CoveredLog{{Origin: w.origin(1), Size: 11}, {Origin: w.origin(2), Size: 3}}
		}, provenance.StatementMismatch},
	} {
		w, s := moved(t)
		s.document.Logs = c.logs(w)
		s.document.Withdrawals, s.document.Ended = nil, nil
		_, err := s.verify()
		wantCode(t, what, err, c.want)
	}
}

// A status from before its log was closed still stands where a bridge leads to the anchor, and covers less.
func TestStatusFromBeforeTheMove(t *testing.T) {
	w := newWorld(registry)
	s := w.statusPlan()
	data := s.bundle().JSON()
	s.log.fill(15)
	w.secondLog(s.log)
	pin, chain := &s.pin.parse().Pins[0], chainOf(w.envelopes())
	_, err := provenance.NewVerifier().Status(data, pin, chain, nil)
	wantCode(t, "log closed", err, provenance.KeyEnded)
	old, err := provenance.NewVerifier().Status(data, pin, chain, []*provenance.Bridge{s.log.bridge(13, 15)})
	wantCode(t, "log closed, bridge to the anchor", err, "verified")
	_, m := moved(t)
	recent, err := m.verify()
	if err != nil || !recent.Supersedes(old) || old.Supersedes(recent) || old.Supersedes(old) {
		t.Errorf("%v: the status of the newer log must supersede the other, and none itself", err)
	}
	later := w.statusPlan()
	later.statement.Size, later.document.Logs[0].Size = 10, 10
	w.versions = w.versions[:1]
	if more, err := later.verify(); err != nil || !more.Supersedes(old) || old.Supersedes(more) {
		t.Errorf("%v: the status of the larger size must supersede the other", err)
	}
}

// The statement and the document are read back as they were written.
func TestStatusStatement(t *testing.T) {
	s := provenance.StatusStatement{Registry: registry, Origin: registry + "/countersign/1", Identity: "sha256:" + sha256Of("x"), Size: 7, At: dayTwo,
		Document: sha256.Sum256([]byte("document"))}
	data := must(s.Statement())
	got, err := provenance.ParseEntry(data)
	if st, ok := got.(*provenance.StatusStatement); err != nil || !ok || *st != s {
		t.Errorf("read back as %+v, %v", got, err)
	}
	for what, text := range map[string]string{
		"another name":        string(replaced(data, `"name":"status"`, `"name":"Status"`)),
		"a second digest":     string(replaced(data, `"sha256":`, `"sha512":"`+sha256Of("x")+sha256Of("y")+`","sha256":`)),
		"size 0":              string(replaced(data, `"size":7`, `"size":0`)),
		"a fraction":          string(replaced(data, `"size":7`, `"size":7.0`)),
		"a purl":              string(replaced(data, `"size":7`, `"size":7,"purl":"pkg:npm/x@1.0.0"`)),
		"of another registry": string(replaced(data, `"origin":"registry.example/`, `"origin":"other.example/`)),
		"another version":     string(replaced(data, `/status/v1`, `/status/v2`)),
	} {
		if got, err := provenance.ParseEntry([]byte(text)); err == nil {
			t.Errorf("%s: accepted as %+v", what, got)
		}
	}
}

// Every rule of the document's form.
func TestStatusDocumentRefusals(t *testing.T) {
	w := newWorld(registry)
	at := provenance.At(dayTwo)
	second := provenance.CoveredLog{Origin: w.origin(2), Size: 4}
	withdraw := func(purl, origin string, index uint64) func(*provenance.StatusDocument) {
		return func(d *provenance.StatusDocument) {
			d.Withdrawals = append(d.Withdrawals, provenance.WithdrawnCoordinate{Purl: purl, Origin: origin, Index: index, WithdrawnAt: at, Reason: "x"})
		}
	}
	end := func(digest, origin string, index uint64) func(*provenance.StatusDocument) {
		return func(d *provenance.StatusDocument) {
			d.Ended = append(d.Ended, provenance.EndedEnrolment{Enrolment: digest, Publisher: digest, Origin: origin, Index: index, Ended: at, Reason: "x"})
		}
	}
	x, other := "pkg:npm/x@1.0.0", "sha256:"+sha256Of("x")
	for what, c := range map[string]struct {
		change func(*provenance.StatusDocument)
		want   string
	}{
		"nothing":                    {func(*provenance.StatusDocument) {}, ""},
		"empty lists":                {func(d *provenance.StatusDocument) { d.Withdrawals, d.Ended = nil, nil }, ""},
		"a second log":               {func(d *provenance.StatusDocument) { d.Logs = append(d.Logs, second) }, ""},
		"a later withdrawal":         {withdraw(x, w.origin(1), 8), ""},
		"a later end":                {end(other, w.origin(1), 8), ""},
		"no registry":                {func(d *provenance.StatusDocument) { d.Registry = "" }, "registry"},
		"no logs":                    {func(d *provenance.StatusDocument) { d.Logs = nil }, "logs"},
		"a log of no form":           {func(d *provenance.StatusDocument) { d.Logs[0].Origin = "x" }, "logs"},
		"a log of another":           {func(d *provenance.StatusDocument) { d.Logs[0].Origin = "other.example/countersign/1" }, "not a log of"},
		"an empty log":               {func(d *provenance.StatusDocument) { d.Logs[0].Size = 0 }, "size"},
		"an endless log":             {func(d *provenance.StatusDocument) { d.Logs[0].Size = 1 << 53 }, "size"},
		"a log twice":                {func(d *provenance.StatusDocument) { d.Logs = append(d.Logs, d.Logs[0]) }, "order of numbers"},
		"logs out of order":          {func(d *provenance.StatusDocument) { d.Logs = []provenance.CoveredLog{second, d.Logs[0]} }, "order of numbers"},
		"a withdrawal twice":         {withdraw(malware, w.origin(1), 8), "is there twice"},
		"a withdrawal out of order":  {withdraw(x, w.origin(1), 3), "not in its place"},
		"two at one place":           {withdraw(x, w.origin(1), 4), "not in its place"},
		"a withdrawal beyond":        {withdraw(x, w.origin(1), 9), "not covered"},
		"a withdrawal of no log":     {withdraw(x, w.origin(2), 1), "not one of logs"},
		"a withdrawal as entry 0":    {func(d *provenance.StatusDocument) { d.Withdrawals[0].Index = 0 }, "not covered"},
		"a withdrawal, no reason":    {func(d *provenance.StatusDocument) { d.Withdrawals[0].Reason = "" }, "reason"},
		"a withdrawal, long reason":  {func(d *provenance.StatusDocument) { d.Withdrawals[0].Reason = strings.Repeat("x", 1025) }, "reason"},
		"a withdrawal, no time":      {func(d *provenance.StatusDocument) { d.Withdrawals[0].WithdrawnAt = provenance.Time{} }, "withdrawnAt"},
		"a purl not canonical":       {func(d *provenance.StatusDocument) { d.Withdrawals[0].Purl = "pkg:npm/@acme/x@1.0.0" }, "canonical"},
		"a purl without a file name": {func(d *provenance.StatusDocument) { d.Withdrawals[0].Purl = "pkg:pypi/acme@1" }, "file_name"},
		"an end twice":               {end("sha256:"+sha256Of("another enrolment"), w.origin(1), 8), "is there twice"},
		"an end out of order":        {end(other, w.origin(1), 5), "not in its place"},
		"an end beyond":              {end(other, w.origin(1), 9), "not covered"},
		"an end of no log":           {end(other, w.origin(3), 1), "not one of logs"},
		"an end, no reason":          {func(d *provenance.StatusDocument) { d.Ended[0].Reason = "" }, "reason"},
		"an end, no time":            {func(d *provenance.StatusDocument) { d.Ended[0].Ended = provenance.Time{} }, "ended"},
		"an end of no enrolment":     {func(d *provenance.StatusDocument) { d.Ended[0].Enrolment = "x" }, "enrolment"},
		"an end of nobody":           {func(d *provenance.StatusDocument) { d.Ended[0].Publisher = "x" }, "publisher"},
		"back to the first log": {func(d *provenance.StatusDocument) {
			d.Logs = append(d.Logs, second)
			withdraw(x, w.origin(2), 1)(d)
			withdraw("pkg:npm/y@1.0.0", w.origin(1), 8)(d)
		}, "comes too late"},
		"on in the second log": {func(d *provenance.StatusDocument) {
			d.Logs = append(d.Logs, second)
			withdraw(x, w.origin(2), 1)(d)
			withdraw("pkg:npm/y@1.0.0", w.origin(2), 3)(d)
		}, ""},
	} {
		d := w.statusPlan().document
		c.change(&d)
		data, err := d.JSON()
		wantError(t, what, err, c.want)
		if err == nil {
			again, err := provenance.ParseStatusDocument(data)
			if err != nil || fmt.Sprint(again.Logs, again.Withdrawals, again.Ended) != fmt.Sprint(d.Logs, d.Withdrawals, d.Ended) {
				t.Errorf("%s: read back as %+v, %v", what, again, err)
			}
		}
	}
}

func TestStatusSizes(t *testing.T) {
	_, err := provenance.ParseStatusDocument(make([]byte, provenance.MaxStatusDocument+1))
	wantError(t, "a document too large", err, "at most 67108864")
	_, err = provenance.ParseStatusBundle(make([]byte, provenance.MaxStatusBundle+1))
	wantError(t, "a status too large", err, "at most 100663296")
	d := newWorld(registry).statusPlan().document
	d.Withdrawals, d.Logs[0].Size = nil, 1<<20
	for i := range uint64(60_000) {
		d.Withdrawals = append(d.Withdrawals, provenance.WithdrawnCoordinate{Purl: fmt.Sprintf("pkg:npm/malware-%d@1.0.0", i), Origin: d.Logs[0].Origin,
			Index: 1 + i, WithdrawnAt: provenance.At(dayTwo), Reason: strings.Repeat("x", 1024)})
	}
	d.Ended = nil
	_, err = d.JSON()
	wantError(t, "a document too large to be written", err, "at most 67108864")
}

// A list may be long: what takes the square of their length would be felt here.
func TestLargeStatus(t *testing.T) {
	const n = 20_000
	s := newWorld(registry).statusPlan()
	s.document.Withdrawals, s.document.Ended, s.document.Logs[0].Size = nil, nil, 2*n+2
	for i := range uint64(n) {
		s.withdraw(fmt.Sprintf("pkg:npm/%%40acme/malware-%d@6.6.6", i), 1+2*i)
		s.end("sha256:"+sha256Of(fmt.Sprint(i)), s.w.origin(1), 2+2*i, dayTwo)
	}
	data, err := s.document.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := provenance.ParseStatusDocument(data); err != nil || len(d.Withdrawals) != n || len(d.Ended) != n {
		t.Errorf("%v", err)
	}
	s.document.Withdrawals[n-1].Purl = s.document.Withdrawals[0].Purl
	_, err = s.document.JSON()
	wantError(t, "the last like the first", err, "is there twice")
}
