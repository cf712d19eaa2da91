package main

import (
	"strconv"
)

// built is a story carried out.
type built struct {
	*story
	chain       []sealed // versions of the identity
	enrolled    sealed
	publication sealed
	logged      []byte   // the entry that the bundle is about
	leaves      [][]byte // hashes of the log's entries
}

func (s *story) build() *built {
	b := &built{story: s}
	b.chain = []sealed{s.identity.seal(s.identityPayload())}
	b.enrolled = s.enrolment.seal(s.enrolmentPayload())
	b.publication = s.publication.seal(s.publicationPayload())
	b.logged = s.logEntry(b)
	b.leaves = b.log()
	for i, change := range s.later {
		b.chain = append(b.chain, b.next(i+2, change(b)))
	}
	return b
}

func (s *story) logEntry(b *built) []byte {
	if s.entry != nil {
		return s.entry(b)
	}
	entry := encode(s.inToto(s.predicate, b.predicateMembers()).edited(s.statement))
	if s.statementBytes != nil {
		entry = s.statementBytes(entry)
	}
	return entry
}

func (b *built) predicateMembers() object {
	p := object{{"registry", registry}, {"origin", b.origin}, {"identity", b.fingerprint()}, {"purl", b.purl}}
	switch b.predicate {
	case "registry-statement/v1":
		return append(p, object{{"reason", "backfill"}, {"evidence", []any{object{{"type", "https://example.com/publish-log/v1"},
			{"digest", digest([]byte("a publish log"))}}}}, {"countersignedAt", countersignedAt}}...)
	case "withdrawal/v1":
		return append(p, object{{"reason", "contains malware"}, {"withdrawnAt", countersignedAt}}...)
	}
	return append(p, object{{"publication", b.publication.wire}, {"enrolment", b.enrolled.digest()}, {"countersignedAt", countersignedAt}}...)
}

// log gives the hashes of the entries: the identity, the enrolment, others, and at its index the story's own.
func (b *built) log() [][]byte {
	var leaves [][]byte
	for i := range max(b.size, b.grown) {
		entry := b.filler(i)
		switch i {
		case b.index:
			entry = b.logged
		case 0:
			entry = encode(b.chain[0].wire)
		case 1:
			entry = encode(b.enrolled.wire)
		}
		if b.status != nil && i == b.status.index && i != b.index {
			entry = b.statusEntry()
		}
		leaves = append(leaves, leafHash(entry))
	}
	return leaves
}

// next makes a version of the identity from the one before.
func (b *built) next(version int, change []edit) sealed {
	last := b.chain[len(b.chain)-1]
	payload := object{}
	for _, m := range last.members {
		if m.name == "previous" {
			continue
		}
		payload = append(payload, m)
		if m.name == "version" {
			payload = append(payload, member{"previous", last.digest()})
		}
	}
	payload = payload.edited([]edit{set("version", version), set("issued", "2026-02-"+strconv.Itoa(10+version)+"T09:00:00Z")})
	doc := document{payloadType: b.identity.payloadType, signers: []key{rootKey}, payload: change}
	if adjust := b.laterDoc[version]; adjust != nil {
		adjust(&doc)
	}
	return doc.seal(payload)
}

// fingerprint is what a consumer pins.
func (b *built) fingerprint() string { return b.chain[0].digest() }

func (b *built) root(size int) []byte { return treeHash(b.leaves[:size]) }

func (b *built) headAt(size int) head { return head{b.origin, strconv.Itoa(size), b.root(size)} }

// anchor is the head of a size as an identity writes it.
func (b *built) anchor(size int) object { return object{{"size", size}, {"root", b.root(size)}} }

// bridgeTo leads from the bundle's head to a newer one; with no keys it has no checkpoint.
func (b *built) bridgeTo(size int, keys ...key) object {
	w := object{{"origin", b.origin}, {"from", b.anchor(b.size)}, {"to", b.anchor(size)}, {"hashes", hashList(consistency(b.size, b.leaves[:size]))}}
	if len(keys) > 0 {
		h := b.headAt(size)
		w = append(w, member{"checkpoint", note(h, signedBy(keys...)(b, h)...)})
	}
	return w
}

func hashList(hashes [][]byte) []any {
	out := []any{}
	for _, h := range hashes {
		out = append(out, h)
	}
	return out
}

// signedBy gives the signature lines of the log's keys.
func signedBy(keys ...key) func(*built, head) []string {
	return func(_ *built, h head) (lines []string) {
		for _, k := range keys {
			lines = append(lines, k.signs(h, h.origin))
		}
		return lines
	}
}

func (b *built) proofText() string {
	h := b.headAt(b.size)
	if b.head != nil {
		b.head(&h)
	}
	p := proof{header: proofHeader, index: strconv.Itoa(b.index), note: note(h, b.lines(b, h)...)}
	if b.index < b.size {
		p.hashes = inclusion(b.index, b.leaves[:b.size])
	}
	if b.note != nil {
		p.note = b.note(p.note)
	}
	if b.proof != nil {
		b.proof(&p)
	}
	if b.story.proofText != nil {
		return b.story.proofText(p.text())
	}
	return p.text()
}

func (b *built) bundleFile() []byte {
	o := object{{"mediaType", bundleType}, {"statement", b.logged}, {"proof", b.proofText()},
		{"enrolment", b.enrolled.wire}, {"identity", b.identities()}}
	if b.bridge != nil {
		o = append(o, member{"bridge", b.bridge(b)})
	}
	data := encode(o.edited(b.bundle))
	if b.bundleBytes != nil {
		data = b.bundleBytes(data)
	}
	return data
}

func (b *built) identities() []any {
	var list []any
	for _, v := range b.chain {
		list = append(list, v.wire)
	}
	return list
}

// verified is the answer to a story in which everything is right.
func (b *built) verified() object {
	answer := object{{"purl", b.purl}, {"registry", registry}, {"pin", b.decidingPin()}, {"basis", "publisher"},
		{"publisher", publisher.fingerprint()}, {"subject", b.subject()}, {"attributes", string(encode(b.attributes))}, {"signedAt", b.signedAt},
		{"countersignedAt", countersignedAt}, {"origin", b.origin}, {"index", b.index}, {"size", b.size}, {"identityVersion", len(b.chain)}}
	if b.predicate == "registry-statement/v1" {
		answer = answer.edited([]edit{set("basis", "registry"), drop("publisher"), drop("attributes"), drop("signedAt")})
	}
	if b.publisherEnded != "" {
		answer = append(answer, member{"publisherEnded", b.publisherEnded})
	}
	return answer
}
