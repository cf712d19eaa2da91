package main

import (
	"strconv"
)

const (
	registry   = "registry.example"
	origin     = registry + "/countersign/1"
	nextOrigin = registry + "/countersign/2"

	publisher key = "publisher"
	rootKey   key = "root-a"
	enrolKey  key = "enrol-a"
	logKey    key = "log-a"

	statementType = "https://in-toto.io/Statement/v1"
	typePrefix    = "https://countersign.dev/"
	inTotoPayload = "application/vnd.in-toto+json"
	vendorPrefix  = "application/vnd.countersign."
	bundleType    = vendorPrefix + "bundle.v1+json"
	proofHeader   = "c2sp.org/tlog-proof@v1"

	signedAt        = "2026-02-03T11:59:30Z"
	countersignedAt = "2026-02-03T12:00:00Z"
	now             = "2026-03-01T00:00:00Z"
)

// story is everything that a vector may tell differently.
type story struct {
	purl, file  string
	namespaces  []string // of identity, enrolment and pins
	digests     object
	attributes  any
	signedAt    string
	publication document
	enrolment   document

	predicate      string // type of the statement's predicate, by default countersignature/v1
	statement      []edit
	statementBytes func([]byte) []byte
	entry          func(*built) []byte // what is logged in place of the statement

	identity document                  // version 1
	later    []func(*built) []edit     // versions 2, 3… as changes of the payload before
	laterDoc map[int]func(d *document) // and how those versions are signed
	origin   string
	index    int
	size     int
	grown    int // entries in the log at the time of asking; at least size

	head      func(*head) // before it is signed
	lines     func(*built, head) []string
	note      func(string) string
	proof     func(*proof)
	proofText func(string) string
	bridge    func(*built) object

	bundle      []edit
	bundleBytes func([]byte) []byte

	status         *statusStory // that the consumer has, nil for none
	publisherEnded string       // what it says about the publisher

	pins       func(*built) []pin
	own        func(*built) []any // the consumer's own chain
	enrolments func(*built) []any
	bridges    func(*built) []any
	request    []edit
}

// document is a payload on its way into a DSSE envelope.
type document struct {
	payloadType string
	payload     []edit              // before it is signed
	bytes       func([]byte) []byte // the same, for what is not JSON any more
	signers     []key
	envelope    []edit // after it is signed
}

type sealed struct {
	wire    object // the envelope
	members object // of the payload
	payload []byte
}

func (d document) seal(payload object) sealed {
	s := sealed{members: payload.edited(d.payload)}
	s.payload = encode(s.members)
	if d.bytes != nil {
		s.payload = d.bytes(s.payload)
	}
	var signatures []any
	for _, k := range d.signers {
		signatures = append(signatures, signature(k, k.sign(pae(d.payloadType, s.payload))))
	}
	s.wire = object{{"payloadType", d.payloadType}, {"payload", s.payload}, {"signatures", signatures}}.edited(d.envelope)
	return s
}

func (s sealed) digest() string { return digest(s.payload) }

func signature(k key, sig []byte) object { return object{{"keyid", k.fingerprint()}, {"sig", sig}} }

// pae is DSSE's pre-authentication encoding.
func pae(payloadType string, payload []byte) []byte {
	return []byte("DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " " + string(payload))
}

// newStory is the story in which everything is right: an npm package, one key per role, five entries in the log.
func newStory() *story {
	return &story{
		purl: "pkg:npm/%40acme/widget@1.2.3", file: "widget-1.2.3.tgz",
		namespaces:  []string{namespaceOf["npm"]},
		digests:     sha256Of("widget-1.2.3.tgz"),
		attributes:  object{},
		signedAt:    signedAt,
		publication: document{payloadType: inTotoPayload, signers: []key{publisher}},
		enrolment:   document{payloadType: vendorPrefix + "enrolment.v1+json", signers: []key{enrolKey}},
		identity:    document{payloadType: vendorPrefix + "identity.v1+json", signers: []key{rootKey}},
		predicate:   "countersignature/v1",
		origin:      origin, index: 3, size: 5,
		lines: signedBy(logKey),
		pins:  everyPin,
	}
}

// The digests of a file whose content is "content of NAME" and a line feed.

func sha256Of(name string) object {
	return object{{"sha256", hexSHA256([]byte("content of " + name + "\n"))}}
}
func sha512Of(name string) object {
	return object{{"sha512", hexSHA512([]byte("content of " + name + "\n"))}}
}

// namespaceOf covers the files of the stories, by purl type.
var namespaceOf = map[string]string{
	"npm": "pkg:npm/@acme/*", "cargo": "pkg:cargo/acme-*", "hex": "pkg:hex/acme/*", "pypi": "pkg:pypi/acme-*", "golang": "pkg:golang/example.com/acme/*",
	"nuget": "pkg:nuget/acme.*", "maven": "pkg:maven/com.acme/*", "oci": "pkg:oci/registry.example/*",
}

func (s *story) identityPayload() object {
	return object{
		{"registry", registry}, {"version", 1}, {"root", rootOf(1, rootKey)},
		{"logs", []any{logOf(origin, 1, active(logKey))}},
		{"enrol", object{{"keys", []any{active(enrolKey)}}}},
		{"namespaces", texts(s.namespaces...)}, {"excluded", []any{}},
		{"issued", "2026-01-05T09:00:00Z"}, {"expires", "2028-01-05T09:00:00Z"},
	}
}

func rootOf(threshold int, keys ...key) object {
	list := []any{}
	for _, k := range keys {
		list = append(list, k.spki())
	}
	return object{{"threshold", threshold}, {"keys", list}}
}

// logOf gives a log; keys are active or ended ones.
func logOf(origin string, threshold int, keys ...any) object {
	return object{{"origin", origin}, {"threshold", threshold}, {"keys", keys}}
}

func active(k key) object { return object{{"publicKey", k.spki()}} }

func ended(k key, anchor object) object { return object{{"publicKey", k.spki()}, {"ended", anchor}} }

func endedEnrol(k key) object { return object{{"publicKey", k.spki()}, {"ended", true}} }

func (s *story) enrolmentPayload() object {
	return object{
		{"registry", registry}, {"publisher", publisher.spki()}, {"namespaces", texts(s.namespaces...)},
		{"issued", "2026-01-06T10:00:00Z"}, {"notAfter", "2027-01-06T10:00:00Z"},
	}
}

func (s *story) subject() object { return object{{"name", s.file}, {"digest", s.digests}} }

// inToto is an in-toto statement about the story's file.
func (s *story) inToto(predicateType string, predicate object) object {
	return object{{"_type", statementType}, {"subject", []any{s.subject()}}, {"predicateType", typePrefix + predicateType}, {"predicate", predicate}}
}

func (s *story) publicationPayload() object {
	return s.inToto("publication/v1", object{{"registry", registry}, {"purl", s.purl}, {"signedAt", s.signedAt}, {"attributes", s.attributes}})
}

// filler is what else is in the log: the registry's statements about other files.
func (b *built) filler(i int) []byte {
	name := "filler-" + strconv.Itoa(i)
	s := &story{file: name + "-1.0.0.tgz", digests: sha256Of(name)}
	return encode(s.inToto("registry-statement/v1", object{{"registry", registry}, {"origin", b.origin}, {"identity", b.fingerprint()},
		{"purl", "pkg:npm/%40acme/" + name + "@1.0.0"}, {"reason", "backfill"}, {"evidence", []any{}}, {"countersignedAt", "2026-02-01T00:00:00Z"}}))
}
