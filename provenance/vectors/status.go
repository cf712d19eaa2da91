package main

const statusBundleType = vendorPrefix + "status.v1+json"

// statusStory is the status that the consumer has: what it lists, and where in the story's log its entry is.
type statusStory struct {
	withdrawals []any
	ended       func(*built) []any
	logs        func(*built) []any
	at          string
	size        int // covered
	index       int // of its entry
	head        int // size of the tree that proves it

	document      []edit
	documentBytes func([]byte) []byte // before it is committed to
	statement     []edit
	entryBytes    func([]byte) []byte
	heads         func(*head)
	lines         func(*built, head) []string
	note          func(string) string
	proof         func(*proof)
	bridge        func(*built) object
	wrapper       []edit
	wrapperBytes  func([]byte) []byte
}

// newStatus lists what has nothing to do with the story's package.
func newStatus() *statusStory {
	return &statusStory{
		withdrawals: []any{withdrawal("pkg:npm/%40acme/malware@6.6.6", origin, 4)},
		ended: func(*built) []any {
			return []any{endOf(digest([]byte("another enrolment")), "mallory", origin, 6, "2026-02-05T00:00:00Z")}
		},
		logs: func(b *built) []any { return []any{covered(b.origin, b.status.size)} },
		at:   "2026-02-28T23:00:00Z", size: 8, index: 9, head: 12,
		lines: signedBy(logKey),
	}
}

func covered(origin string, size int) object { return object{{"origin", origin}, {"size", size}} }

func withdrawal(purl, origin string, index int) object {
	return object{{"purl", purl}, {"origin", origin}, {"index", index}, {"withdrawnAt", "2026-02-04T00:00:00Z"}, {"reason", "contains malware"}}
}

func endOf(enrolment string, publisher key, origin string, index int, ended string) object {
	return object{{"enrolment", enrolment}, {"publisher", publisher.fingerprint()}, {"origin", origin}, {"index", index}, {"ended", ended}, {"reason", "key stolen"}}
}

// status gives the consumer a status with changes.
func status(changes ...func(*statusStory)) tell {
	return func(s *story) {
		if s.status == nil {
			s.status = newStatus()
		}
		for _, change := range changes {
			change(s.status)
		}
		s.grown = max(s.grown, s.status.head)
	}
}

func documentEdit(e ...edit) func(*statusStory) {
	return func(s *statusStory) { s.document = append(s.document, e...) }
}
func statusEdit(e ...edit) func(*statusStory) {
	return func(s *statusStory) { s.statement = append(s.statement, within("predicate", e...)) }
}
func wrapperEdit(e ...edit) func(*statusStory) {
	return func(s *statusStory) { s.wrapper = append(s.wrapper, e...) }
}
func statusProof(f func(*proof)) func(*statusStory) { return func(s *statusStory) { s.proof = f } }
func statusSigners(k ...key) func(*statusStory) {
	return func(s *statusStory) { s.lines = signedBy(k...) }
}
func withdraws(list ...any) func(*statusStory) {
	return func(s *statusStory) { s.withdrawals = list }
}
func ends(list func(*built) []any) func(*statusStory) {
	return func(s *statusStory) { s.ended = list }
}

// statusDocument makes the document, statusEntry the entry that commits to it.
func (b *built) statusDocument() []byte {
	s := b.status
	list := append([]any{}, s.withdrawals...)
	document := encode(object{{"registry", registry}, {"logs", s.logs(b)}, {"withdrawals", list}, {"endedEnrolments", s.ended(b)}}.edited(s.document))
	if s.documentBytes != nil {
		document = s.documentBytes(document)
	}
	return document
}

func (b *built) statusEntry() []byte {
	s := b.status
	entry := encode(object{{"_type", statementType}, {"subject", []any{object{{"name", "status"}, {"digest", object{{"sha256", hexSHA256(b.statusDocument())}}}}}},
		{"predicateType", typePrefix + "status/v1"}, {"predicate", object{{"registry", registry}, {"origin", b.origin}, {"identity", b.fingerprint()},
			{"size", s.size}, {"statusAt", s.at}}}}.edited(s.statement))
	if s.entryBytes != nil {
		entry = s.entryBytes(entry)
	}
	return entry
}

// statusFile is the status as it is served.
func (b *built) statusFile() []byte {
	s := b.status
	h := b.headAt(s.head)
	if s.heads != nil {
		s.heads(&h)
	}
	p := proof{header: proofHeader, index: string(appendJSON(nil, s.index)), hashes: inclusion(s.index, b.leaves[:s.head]), note: note(h, s.lines(b, h)...)}
	if s.note != nil {
		p.note = s.note(p.note)
	}
	if s.proof != nil {
		s.proof(&p)
	}
	o := object{{"mediaType", statusBundleType}, {"statement", b.statusEntry()}, {"proof", p.text()}, {"document", b.statusDocument()}, {"identity", b.identities()}}
	if s.bridge != nil {
		o = append(o, member{"bridge", s.bridge(b)})
	}
	data := encode(o.edited(s.wrapper))
	if s.wrapperBytes != nil {
		data = s.wrapperBytes(data)
	}
	return data
}
