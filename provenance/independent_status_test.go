package provenance_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// strangersStatus is a status that he verified.
type strangersStatus struct {
	strangerDocument
	origin  string
	index   uint64
	at      time.Time
	head    strangerHead
	bridges []*strangerBridge
	chain   []strangerIdentity
}

func (id *strangerIdentity) log(origin string) *strangerLog {
	for i := range id.Logs {
		if id.Logs[i].Origin == origin {
			return &id.Logs[i]
		}
	}
	return nil
}

// stands are three items of section 12.1: its head counts, not excluded, in time.
func (s *strangersStatus) stands(id *strangerIdentity) {
	s.head.counts(id.log(s.origin), s.bridges)
	for _, x := range id.Excluded {
		demand(x.Publisher != "" || x.Origin != s.origin || s.index < x.From || x.To != nil && s.index >= *x.To, "excluded")
	}
	demand(s.at.Before(id.Expires), "identity-expired")
}

type strangerPin struct{ registry, identity, latest, maxAge string }

// verifyStatus is section 12.1.
func verifyStatus(data []byte, pin strangerPin, own []strangerIdentity, bridges []*strangerBridge) *strangersStatus {
	var w strangerStatus
	readStrict(data, &w)
	demand(w.MediaType != nil && *w.MediaType == "application/vnd.countersign.status.v1+json" && w.Proof != nil, "malformed")
	entry, document := readBase64(w.Statement, 65535), readBase64(w.Document, 64<<20)
	head, note, ok := strings.Cut(*w.Proof, "\n\n")
	lines := strings.Split(head, "\n")
	demand(ok && len(lines) >= 2 && lines[0] == "c2sp.org/tlog-proof@v1" && strings.HasPrefix(lines[1], "index "), "malformed")
	index, err := strconv.ParseInt(lines[1][len("index "):], 10, 64)
	demand(err == nil, "malformed")
	var proof tlog.RecordProof
	for _, l := range lines[2:] {
		proof = append(proof, tlog.Hash(readBase64(&l, 32)))
	}
	s := &strangersStatus{index: uint64(index), bridges: append(bridges, w.Bridge)}
	var carried []strangerIdentity
	if w.Identity != nil {
		demand(len(*w.Identity) > 0, "malformed")
		if first := (*w.Identity)[0]; strangerSum(readBase64(first.Payload, 40960)) != pin.identity {
			panic(refusal("identity-mismatch"))
		}
		carried = readChain(*w.Identity)
	}
	s.chain = longest(pin.identity, carried, own)
	id := &s.chain[len(s.chain)-1]
	demand(id.Registry == pin.registry, "identity-mismatch")
	if pin.latest != "" {
		demand(slices.ContainsFunc(s.chain, func(v strangerIdentity) bool { return strangerSum(v.payload) == pin.latest }), "identity-rollback")
	}
	s.head = readCheckpoint(note)
	demand(id.log(s.head.origin) != nil, "log-unknown")
	st := readStatement(entry)
	p := st.Predicate
	s.origin, s.at = *p.Origin, readTime(*p.StatusAt)
	demand(strangerRegistry(s.origin) == *p.Registry && *p.Registry == pin.registry && *p.Identity == pin.identity && s.origin == s.head.origin && *p.Size <= s.index,
		"statement-mismatch")
	demand(index < s.head.tree.N && tlog.CheckRecord(proof, s.head.tree.N, s.head.tree.Hash, index, tlog.RecordHash(entry)) == nil, "inclusion-proof-invalid")
	s.stands(id)
	demand(strangerSum(document) == "sha256:"+st.Subject[0].Digest["sha256"], "artifact-digest-mismatch")
	s.readDocument(document)
	s.covers(id, *p.Registry, *p.Size)
	return s
}

// readStatement is section 7.
func readStatement(entry []byte) (st strangerStatement) {
	readStrict(entry, &st)
	p := st.Predicate
	demand(st.Type == "https://in-toto.io/Statement/v1" && st.PredicateType == "https://countersign.dev/status/v1" && len(st.Subject) == 1 && p.Registry != nil &&
		p.Origin != nil && p.Identity != nil && p.Size != nil && *p.Size > 0 && p.StatusAt != nil && strangerDigest.MatchString(*p.Identity), "malformed")
	subject := st.Subject[0]
	demand(subject.Name == "status" && len(subject.Digest) == 1 && strangerDigest.MatchString("sha256:"+subject.Digest["sha256"]), "malformed")
	return st
}

var strangerPurl = regexp.MustCompile(`^pkg:(npm/%40[a-z]+/[a-z-]+@[0-9.]+|pypi/[a-z-]+@[0-9.]+\?file_name=[A-Za-z0-9._-]+)$`)

// readDocument is section 11.2.
func (s *strangersStatus) readDocument(data []byte) {
	d := &s.strangerDocument
	readStrict(data, d)
	demand(d.Registry != nil && d.Logs != nil && len(*d.Logs) > 0 && d.Withdrawals != nil && d.Ended != nil && s.spelled() == string(data), "malformed")
	for i, l := range *d.Logs {
		demand(l.Size > 0 && strangerRegistry(l.Origin) == *d.Registry && (i == 0 || strangerNumber((*d.Logs)[i-1].Origin) < strangerNumber(l.Origin)), "malformed")
	}
	var before [2]int
	seen := make(map[string]bool)
	place := func(origin string, index uint64, name, at, reason string) {
		log := slices.IndexFunc(*d.Logs, func(l struct {
			Origin string `json:"origin"`
			Size   uint64 `json:"size"`
		}) bool {
			return l.Origin == origin
		})
		demand(log >= 0 && index >= 1 && index < (*d.Logs)[log].Size && slices.Compare(before[:], []int{log, int(index)}) < 0, "malformed")
		before = [2]int{log, int(index)}
		demand(!seen[name] && reason != "" && len(reason) <= 1024, "malformed")
		seen[name] = true
		readTime(at)
	}
	for _, w := range *d.Withdrawals {
		place(w.Origin, w.Index, w.Purl, w.WithdrawnAt, w.Reason)
		demand(strangerPurl.MatchString(w.Purl), "malformed")
	}
	before = [2]int{}
	for _, e := range *d.Ended {
		place(e.Origin, e.Index, e.Enrolment, e.Ended, e.Reason)
		demand(strangerDigest.MatchString(e.Enrolment) && strangerDigest.MatchString(e.Publisher), "malformed")
	}
}

// spelled is the document in its one spelling.
func (s *strangersStatus) spelled() string {
	quote := func(text string) string {
		for _, r := range text {
			demand(r >= ' ' && r != '\\' && r != '"', "a text that this test cannot write")
		}
		return `"` + text + `"`
	}
	join := func(n int, each func(i int) string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = each(i)
		}
		return strings.Join(all, ",")
	}
	return `{"registry":` + quote(*s.Registry) + `,"logs":[` + join(len(*s.Logs), func(i int) string {
		l := (*s.Logs)[i]
		return fmt.Sprintf(`{"origin":%s,"size":%d}`, quote(l.Origin), l.Size)
	}) + `],"withdrawals":[` + join(len(*s.Withdrawals), func(i int) string {
		w := (*s.Withdrawals)[i]
		return fmt.Sprintf(`{"purl":%s,"origin":%s,"index":%d,"withdrawnAt":%s,"reason":%s}`, quote(w.Purl), quote(w.Origin), w.Index, quote(w.WithdrawnAt), quote(w.Reason))
	}) + `],"endedEnrolments":[` + join(len(*s.Ended), func(i int) string {
		e := (*s.Ended)[i]
		return fmt.Sprintf(`{"enrolment":%s,"publisher":%s,"origin":%s,"index":%d,"ended":%s,"reason":%s}`, quote(e.Enrolment), quote(e.Publisher), quote(e.Origin), e.Index,
			quote(e.Ended), quote(e.Reason))
	}) + `]}`
}

// covers are the last two items of section 12.1.
func (s *strangersStatus) covers(id *strangerIdentity, registry string, size uint64) {
	covered := make(map[string]uint64)
	for _, l := range *s.Logs {
		covered[l.Origin] = l.Size
	}
	demand(*s.Registry == registry && covered[s.origin] == size, "statement-mismatch")
	for origin := range covered {
		demand(id.log(origin) != nil, "log-unknown")
	}
	for _, l := range id.Logs {
		n, ok := covered[l.Origin]
		switch {
		case l.Origin == s.origin:
		case ok:
			demand(l.Closed != nil && l.Closed.Size == n, "statement-mismatch")
		default:
			demand(strangerNumber(l.Origin) > strangerNumber(s.origin), "statement-mismatch")
		}
	}
}

// strangersClaim is what step 7 needs of a bundle that passed the steps before.
type strangersClaim struct {
	purl, origin, enrolment string
	index                   uint64
	at                      time.Time
	chain                   []strangerIdentity
}

// step7 answers when the publisher ended, "" if the status does not say so.
func (s *strangersStatus) step7(c strangersClaim, pin strangerPin, now time.Time) (ended string) {
	chain := longest(pin.identity, s.chain, c.chain)
	last := &chain[len(chain)-1]
	demand(c.at.Before(last.Expires), "identity-expired") // the end of step 6
	if len(chain) > len(s.chain) {
		s.stands(last)
	}
	for _, w := range *s.Withdrawals {
		demand(w.Purl != c.purl, "withdrawn")
	}
	for _, e := range *s.Ended {
		if e.Enrolment != c.enrolment {
			continue
		}
		place := cmp.Or(cmp.Compare(strangerNumber(c.origin), strangerNumber(e.Origin)), cmp.Compare(c.index, e.Index))
		demand(place < 0 && c.at.Before(readTime(e.Ended)), "enrolment-ended")
		ended = e.Ended
	}
	if pin.maxAge != "" {
		limit, err := time.ParseDuration(pin.maxAge)
		demand(err == nil && now.Sub(s.at) <= limit && s.at.Sub(now) <= 5*time.Minute, "status-too-old")
	}
	return ended
}

type strangersCase struct {
	Name    string
	Request struct{ Bundle, Pins, Identity, Bridges, Status, Now string }
	Expect  struct {
		Refused   string
		Unchecked bool
		Verified  *struct{ PublisherEnded string }
	}
}

func (c *strangersCase) file(t *testing.T, name string) []byte {
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (c *strangersCase) decode(t *testing.T, name string, v any) {
	if data := c.file(t, name); data != nil {
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
}

// pin takes the lines of a pins file with one pin apart.
func (c *strangersCase) pin(t *testing.T) strangerPin {
	file := string(c.file(t, c.Request.Pins))
	value := func(key string) string {
		m := regexp.MustCompile(`(?m)` + key + ` = "([^"]*)"`).FindStringSubmatch(file)
		if m == nil {
			return ""
		}
		return m[1]
	}
	p := strangerPin{value("^registry"), value("^identity"), "", value("^status_max_age")}
	if sum := value("sha256"); sum != "" {
		p.latest = "sha256:" + sum
	}
	return p
}

// claim reads a bundle that is believed.
func (c *strangersCase) claim(t *testing.T) (claim strangersClaim) {
	var b struct {
		Statement []byte
		Proof     string
		Identity  []strangerEnvelope
	}
	c.decode(t, c.Request.Bundle, &b)
	var s struct {
		Predicate struct {
			Purl, Origin, Enrolment string
			CountersignedAt         time.Time
		}
	}
	if err := json.Unmarshal(b.Statement, &s); err != nil {
		t.Fatal(err)
	}
	claim = strangersClaim{s.Predicate.Purl, s.Predicate.Origin, s.Predicate.Enrolment, 0, s.Predicate.CountersignedAt, readChain(b.Identity)}
	if _, err := fmt.Sscanf(b.Proof, "c2sp.org/tlog-proof@v1\nindex %d\n", &claim.index); err != nil {
		t.Fatal(err)
	}
	return claim
}

// answer is verified, unchecked or a code.
func (c *strangersCase) answer(t *testing.T) (answer, ended string) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(refusal)
			if !ok {
				panic(r)
			}
			answer = string(code)
		}
	}()
	var own []strangerEnvelope
	var bridges []*strangerBridge
	c.decode(t, c.Request.Identity, &own)
	c.decode(t, c.Request.Bridges, &bridges)
	now, err := time.Parse(time.RFC3339, c.Request.Now)
	if err != nil {
		t.Fatal(err)
	}
	pin := c.pin(t)
	s := verifyStatus(c.file(t, c.Request.Status), pin, readChain(own), bridges)
	return "verified", s.step7(c.claim(t), pin, now)
}

func TestIndependentStatus(t *testing.T) {
	var index struct{ Cases []strangersCase }
	new(strangersCase).decode(t, "index.json", &index)
	asked := make(map[string]int)
	for _, c := range index.Cases {
		if c.Request.Status == "" || c.Request.Now == "" {
			continue
		}
		want, wantEnded := cmp.Or(c.Expect.Refused, "verified"), ""
		switch {
		case c.Expect.Unchecked:
			want = "unchecked"
		case c.Expect.Verified != nil:
			wantEnded = c.Expect.Verified.PublisherEnded
		}
		if got, ended := c.answer(t); got != want || ended != wantEnded {
			t.Errorf("%s: %s %s, want %s %s", c.Name, got, ended, want, wantEnded)
		}
		asked[want]++
	}
	if len(asked) < 14 || asked["verified"] < 20 || asked["malformed"] < 60 {
		t.Errorf("only %v", asked)
	}
}
