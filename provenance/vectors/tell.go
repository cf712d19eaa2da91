package main

import "strings"

// tell changes a story.
type tell func(*story)

func all(tells ...tell) tell {
	return func(s *story) {
		for _, t := range tells {
			t(s)
		}
	}
}

// What is signed.

func publication(e ...edit) tell {
	return func(s *story) { s.publication.payload = append(s.publication.payload, e...) }
}
func statement(e ...edit) tell { return func(s *story) { s.statement = append(s.statement, e...) } }
func enrolment(e ...edit) tell {
	return func(s *story) { s.enrolment.payload = append(s.enrolment.payload, e...) }
}
func identity(e ...edit) tell {
	return func(s *story) { s.identity.payload = append(s.identity.payload, e...) }
}

func publicationBytes(f func([]byte) []byte) tell { return func(s *story) { s.publication.bytes = f } }
func statementBytes(f func([]byte) []byte) tell   { return func(s *story) { s.statementBytes = f } }
func enrolmentBytes(f func([]byte) []byte) tell   { return func(s *story) { s.enrolment.bytes = f } }
func identityBytes(f func([]byte) []byte) tell    { return func(s *story) { s.identity.bytes = f } }

func publicationSigners(k ...key) tell { return func(s *story) { s.publication.signers = k } }
func enrolmentSigners(k ...key) tell   { return func(s *story) { s.enrolment.signers = k } }
func identitySigners(k ...key) tell    { return func(s *story) { s.identity.signers = k } }

func publicationType(t string) tell { return func(s *story) { s.publication.payloadType = t } }
func enrolmentType(t string) tell   { return func(s *story) { s.enrolment.payloadType = t } }
func identityType(t string) tell    { return func(s *story) { s.identity.payloadType = t } }

// predicate edits the predicate of the statement, published that of the publication.
func predicate(e ...edit) tell { return statement(within("predicate", e...)) }
func published(e ...edit) tell { return publication(within("predicate", e...)) }

// What is not.

func publicationEnvelope(e ...edit) tell {
	return func(s *story) { s.publication.envelope = append(s.publication.envelope, e...) }
}
func enrolmentEnvelope(e ...edit) tell {
	return func(s *story) { s.enrolment.envelope = append(s.enrolment.envelope, e...) }
}
func identityEnvelope(e ...edit) tell {
	return func(s *story) { s.identity.envelope = append(s.identity.envelope, e...) }
}
func bundle(e ...edit) tell                  { return func(s *story) { s.bundle = append(s.bundle, e...) } }
func bundleBytes(f func([]byte) []byte) tell { return func(s *story) { s.bundleBytes = f } }
func proofParts(f func(*proof)) tell         { return func(s *story) { s.proof = f } }
func proofBytes(f func(string) string) tell  { return func(s *story) { s.proofText = f } }
func noteBytes(f func(string) string) tell   { return func(s *story) { s.note = f } }
func heads(f func(*head)) tell               { return func(s *story) { s.head = f } }

// The log.

func entryAt(index, size int) tell { return func(s *story) { s.index, s.size = index, size } }
func grownTo(size int) tell        { return func(s *story) { s.grown = size } }
func signers(k ...key) tell        { return func(s *story) { s.lines = signedBy(k...) } }

// addLines adds signature lines after the log's own.
func addLines(more func(b *built, h head) []string) tell {
	return func(s *story) {
		own := s.lines
		s.lines = func(b *built, h head) []string { return append(own(b, h), more(b, h)...) }
	}
}

func bridged(f func(*built) object) tell { return func(s *story) { s.bridge = f } }

// version adds a version of the identity.
func version(change func(*built) []edit) tell {
	return func(s *story) { s.later = append(s.later, change) }
}

// plain is a change that needs nothing of the story.
func plain(e ...edit) func(*built) []edit { return func(*built) []edit { return e } }

// versionSigners says who signs version n > 1.
func versionSigners(n int, k ...key) tell {
	return versionDocument(n, func(d *document) { d.signers = k })
}

func versionDocument(n int, adjust func(*document)) tell {
	return func(s *story) {
		if s.laterDoc == nil {
			s.laterDoc = make(map[int]func(*document))
		}
		earlier := s.laterDoc[n]
		s.laterDoc[n] = func(d *document) {
			if earlier != nil {
				earlier(d)
			}
			adjust(d)
		}
	}
}

// The question.

func asks(e ...edit) tell { return func(s *story) { s.request = append(s.request, e...) } }

func ownIdentity(f func(*built) []any) tell { return func(s *story) { s.own = f } }
func enrolments(f func(*built) []any) tell  { return func(s *story) { s.enrolments = f } }
func bridges(f func(*built) []any) tell     { return func(s *story) { s.bridges = f } }

// coordinate tells the story about another file.
func coordinate(purl, file string, digests object) tell {
	kind, _, _ := strings.Cut(strings.TrimPrefix(purl, "pkg:"), "/")
	return func(s *story) {
		s.purl, s.file, s.digests = purl, file, digests
		s.namespaces = []string{namespaceOf[kind]}
	}
}

// twoDigests gives the story's file a sha512.
func twoDigests(s *story) { s.digests = append(sha256Of(s.file), sha512Of(s.file)...) }
