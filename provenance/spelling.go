package provenance

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"countersign.dev/strict"
)

// spelling reads a document in the one spelling in which this package writes it, without a JSON decoder. It is for what
// consumers read ten thousand times over. Whatever differs, be it by a space, makes it fail, and the strict decoder
// decides: it alone refuses, and what is read here it would read the same.
type spelling struct {
	rest string
	bad  bool
}

// skip goes past a text that must come next.
func (s *spelling) skip(text string) {
	rest, ok := strings.CutPrefix(s.rest, text)
	if s.rest = rest; !ok {
		s.bad = true
	}
}

// follows goes past a text if it comes next.
func (s *spelling) follows(text string) (ok bool) {
	s.rest, ok = strings.CutPrefix(s.rest, text)
	return ok
}

// text reads a string of printable ASCII without escapes, behind its opening quote.
func (s *spelling) text() string {
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text
		case c == '\\' || c < ' ' || c > '~':
			s.bad = true
			return ""
		}
	}
	s.bad = true
	return ""
}

// bytes reads base64 like text.
func (s *spelling) bytes() []byte {
	text, rest, ok := strings.Cut(s.rest, `"`) // the decoder sees to the alphabet
	raw, err := strictBase64.DecodeString(text)
	if s.rest = rest; !ok || err != nil || strictBase64.EncodedLen(len(raw)) != len(text) {
		s.bad = true
	}
	return raw
}

// statementBegin is what our statements begin with.
const statementBegin = `{"_type":"` + statementType + `","subject":[{"name":"`

// subject reads a statement from behind its beginning up to its predicate.
func (s *spelling) subject(predicateType string) Subject {
	subject := Subject{Name: s.text(), Digest: make(Digests, 2)}
	s.skip(`,"digest":{"`)
	for !s.bad {
		name := s.text()
		s.skip(`:"`)
		if _, twice := subject.Digest[name]; twice {
			s.bad = true
		}
		subject.Digest[name] = s.text()
		if !s.follows(`,"`) {
			break
		}
	}
	s.skip(`}}],"predicateType":"`)
	s.skip(predicateType)
	s.skip(`","predicate":{"registry":"`)
	return subject
}

// time reads a time like text.
func (s *spelling) time() (t Time) {
	if t.UnmarshalText([]byte(s.text())) != nil {
		s.bad = true
	}
	return t
}

// envelope reads one with a single signature.
func (s *spelling) envelope() *Envelope {
	e := new(Envelope)
	s.skip(`{"payloadType":"`)
	e.PayloadType = s.text()
	s.skip(`,"payload":"`)
	e.Payload = s.bytes()
	s.skip(`,"signatures":[{"keyid":"`)
	signature := Signature{KeyID: s.text()}
	s.skip(`,"sig":"`)
	signature.Sig = s.bytes()
	s.skip(`}]}`)
	e.Signatures = []Signature{signature}
	return e
}

// countersignature reads what Countersignature.Statement writes, from behind the statement's beginning.
func (s *spelling) countersignature() (subject Subject, w countersignaturePredicate, ok bool) {
	if subject = s.subject(countersignatureType); s.bad {
		return subject, w, false
	}
	w.Registry = s.text()
	s.skip(`,"origin":"`)
	w.Origin = s.text()
	s.skip(`,"identity":"`)
	w.Identity = s.text()
	s.skip(`,"purl":"`)
	w.Purl = s.text()
	s.skip(`,"publication":`)
	w.Publication = s.envelope()
	s.skip(`,"enrolment":"`)
	w.Enrolment = s.text()
	s.skip(`,"countersignedAt":"`)
	w.CountersignedAt = s.time()
	return subject, w, !s.bad && s.rest == `}}`
}

// publication reads what Draft.Sign writes. The attributes are what is left, and not looked into but for their depth:
// they are the caller's to decode strictly.
func (s *spelling) publication() (subject Subject, w publicationPredicate, ok bool) {
	s.skip(statementBegin)
	subject = s.subject(publicationType)
	w.Registry = s.text()
	s.skip(`,"purl":"`)
	w.Purl = s.text()
	s.skip(`,"signedAt":"`)
	w.SignedAt = s.time()
	s.skip(`,"attributes":`)
	attributes, ended := strings.CutSuffix(s.rest, `}}`)
	w.Attributes = []byte(attributes)
	bare := strings.HasPrefix(attributes, `{`) && strings.HasSuffix(attributes, `}`)
	shallow := strings.Count(attributes, `{`)+strings.Count(attributes, `[`) <= strict.MaxDepth/2
	return subject, w, !s.bad && ended && bare && shallow
}

// spelledBundle reads what Bundle.JSON writes where it has a statement and a proof alone. It does not copy the document.
func spelledBundle(data []byte) (statement []byte, proof string, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"mediaType":"`+BundleType+`","statement":"`))
	if !ok {
		return nil, "", false
	}
	encoded, rest, ok := bytes.Cut(rest, []byte(`","proof":"`))
	text, whole := bytes.CutSuffix(rest, []byte(`"}`))
	if !ok || !whole || !feedsAlone(text) {
		return nil, "", false
	}
	statement, err := decodeBase64(encoded)
	return statement, string(bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))), err == nil
}

// feedsAlone reports whether text is that of a JSON string whose only escapes are line feeds.
func feedsAlone(text []byte) bool {
	for i, c := range text {
		if c < ' ' || c == '"' || c == '\\' && (i+1 == len(text) || text[i+1] != 'n') {
			return false
		}
	}
	return utf8.Valid(text)
}
