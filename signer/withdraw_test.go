package signer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// tryWithdraw asks to withdraw one coordinate and gives the outcome.
func (w *world) tryWithdraw(purl, reason string) signer.WithdrawalOutcome {
	w.t.Helper()
	out, problem := w.Withdraw(context.Background(), w.caller, []signer.WithdrawalRequest{{Purl: purl, Reason: reason}})
	if problem != nil {
		return signer.WithdrawalOutcome{Problem: problem}
	}
	return out[0]
}

// withdraw withdraws one that must be withdrawn now.
func (w *world) withdraw(purl, reason string) signer.WithdrawalOutcome {
	w.t.Helper()
	o := w.tryWithdraw(purl, reason)
	if o.Problem != nil || !o.Created {
		w.t.Fatalf("%s: %v, created %v", purl, o.Problem, o.Created)
	}
	return o
}

// withdrawUnsigned logs a withdrawal behind the service's back, in a log, and no head over it.
func (w *world) withdrawUnsigned(origin, purl, content string) {
	w.t.Helper()
	c, err := provenance.ParseCoordinate(purl)
	must(w.t, err)
	log, err := w.db.Log(origin)
	must(w.t, err)
	data, err := (&provenance.Withdrawal{Claim: provenance.Claim{Registry: registry, Origin: origin, Identity: w.identity.Envelope.PayloadDigest(),
		Coordinate: c, At: time.Now()}, Subject: provenance.Subject{Name: "package.tgz", Digest: digestsOf(content)}, Reason: "malware"}).Statement()
	must(w.t, err)
	_, err = log.Append(context.Background(), log.Epoch(), []ledger.Entry{{Data: data, State: true, Keys: []ledger.Key{{Hash: c.Hash(), Ordinal: ledger.Next}}}})
	must(w.t, err)
}

// audit compares everything in the ledger, as countersignd audit does.
func (w *world) audit() {
	w.t.Helper()
	must(w.t, signer.CheckState(w.db, registry))
	for _, origin := range w.db.Origins() {
		log, err := w.db.Log(origin)
		must(w.t, err)
		must(w.t, log.Check(context.Background(), signer.Keys, nil))
	}
}

// withdrawalsBody is what a back end sends.
func withdrawalsBody(t testing.TB, list ...signer.WithdrawalRequest) []byte {
	t.Helper()
	type element struct {
		Purl   string `json:"purl"`
		Reason string `json:"reason"`
	}
	var all []element
	for _, r := range list {
		all = append(all, element(r))
	}
	data, err := json.Marshal(map[string]any{"withdrawals": all})
	must(t, err)
	return data
}

// withdrawalAnswer is an element of the answer as a client reads it.
type withdrawalAnswer struct {
	Purl, Origin, WithdrawnAt, Reason string
	Status                            int
	Index                             uint64
	Problem                           problemDocument
}

func (s *site) withdrawals(list ...signer.WithdrawalRequest) []withdrawalAnswer {
	s.t.Helper()
	got := s.post(withdrawals, jsonType, withdrawalsBody(s.t, list...))
	if got.status != http.StatusOK {
		s.t.Fatalf("%d %s", got.status, got.body)
	}
	var out []withdrawalAnswer
	decode(s.t, got.body, &out)
	if len(out) != len(list) {
		s.t.Fatalf("%d answers to %d", len(out), len(list))
	}
	return out
}

const widget = "pkg:npm/%40acme/widget@1.0.0"

// Once withdrawn, every way to ask for the coordinate says so, when and why, before and after a restart; and nothing is
// stated about it again.
func TestWithdrawnEverywhere(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	good := s.submission("@acme/widget", "1.0.0", "content")
	s.submit(good)
	s.submit(s.submission("@acme/widget", "2.0.0", "content"))
	answers := s.withdrawals(signer.WithdrawalRequest{Purl: widget, Reason: "malware"}, signer.WithdrawalRequest{Purl: widget, Reason: "again"})
	first := answers[0]
	if first.Status != http.StatusCreated || first.Purl != widget || first.Origin != s.Origin() || first.Index != s.size()-1 || first.Reason != "malware" || first.WithdrawnAt == "" {
		t.Fatalf("%+v", first)
	}
	if again := answers[1]; again.Status != http.StatusOK || again.Index != first.Index || again.Reason != "malware" {
		t.Fatalf("%+v", again)
	}
	for _, when := range []func(){func() {}, func() { w.restart(); s = newSite(t, w, signer.Limits{}, nil) }} {
		when()
		query, list := "?purl="+url.QueryEscape(widget), []byte(`{"purls":["`+widget+`"]}`)
		gone := map[string]problemDocument{
			"the same publication": s.submit(good).refused(t, signer.Withdrawn),
			"another publication":  s.submit(s.publicationBy(s.publisher, "@acme/widget", "1.0.0", "content", func(d *provenance.Draft) { d.SignedAt = time.Now().Add(-time.Minute) })).refused(t, signer.Withdrawn),
			"other content":        s.submit(s.submission("@acme/widget", "1.0.0", "other")).refused(t, signer.Withdrawn),
			"a line of a batch":    lineOutcomes(t, s.post(batch, ndjsonType, wire(t, "", good)).body)[0].Problem,
			"a statement":          lineOutcomes(t, s.post(batch, ndjsonType, wire(t, "", s.backfill("1.0.0", "content"))).body)[0].Problem,
			"the back end's list":  s.do(s.client, http.MethodGet, s.signing+single+query, "", nil).refused(t, signer.Withdrawn),
			"the public list":      s.get("/"+registry+"/bundles"+query).refused(t, signer.Withdrawn),
			"the list by digest":   s.get("/"+registry+"/bundles"+query+"&digest=sha256:"+digestsOf("content")["sha256"]).refused(t, signer.Withdrawn),
			"the bundle":           s.get("/"+registry+"/bundles/"+nameOf(widget)).refused(t, signer.Withdrawn),
			"a line by coordinate": s.batchLines([]byte(`{"coordinates":["` + nameOf(widget) + `"]}`))[0].Problem,
			"a line by purl":       s.batchLines(list)[0].Problem,
		}
		for what, p := range gone {
			if p.Status != http.StatusGone || signer.CodeOf(p.Type) != signer.Withdrawn || p.Reason != "malware" || p.WithdrawnAt != first.WithdrawnAt || !strings.Contains(p.Detail, "malware") {
				t.Errorf("%s: %+v", what, p)
			}
		}
		s.unchanged(func() {
			if again := s.withdrawals(signer.WithdrawalRequest{Purl: widget, Reason: "once more"})[0]; again.Status != http.StatusOK || again.Index != first.Index || again.Reason != "malware" || again.WithdrawnAt != first.WithdrawnAt {
				t.Errorf("%+v", again)
			}
		})
		if got := s.get("/" + registry + "/bundles/" + nameOf("pkg:npm/%40acme/widget@2.0.0")); got.status != http.StatusOK {
			t.Errorf("another version: %d", got.status)
		}
	}
	w.stop()
	w.audit()
}

// publicLine is a line of the public batch.
type publicLine struct {
	Coordinate, Purl string
	Status           int
	Bundle           jsontext.Value
	Bundles          []jsontext.Value
	Problem          problemDocument
}

// batchLines asks the public listener's batch.
func (s *site) batchLines(body []byte) []publicLine {
	s.t.Helper()
	got := s.do(http.DefaultClient, http.MethodPost, s.public+"/"+registry+"/bundles:batch", jsonType, body)
	if got.status != http.StatusOK {
		s.t.Fatalf("%d %s", got.status, got.body)
	}
	var out []publicLine
	for line := range strings.Lines(string(got.body)) {
		var l publicLine
		decode(s.t, []byte(line), &l)
		out = append(out, l)
	}
	return out
}

// The entry repeats the subject of the statement that it withdraws: of the one that consumers were given.
func TestWithdrawnSubject(t *testing.T) {
	signed := func(w *world) {
		d := w.unsigned("@acme/widget", "1.0.0", "content")
		d.FileName = "signed.tgz"
		w.accepted(w.signed(d, w.publisher))
	}
	stated := func(w *world) { w.accepted(w.statement(widget, "content")) }
	for name, tt := range map[string]struct {
		before []func(*world)
		want   string
	}{
		"a publication":            {[]func(*world){signed}, "signed.tgz"},
		"a statement":              {[]func(*world){stated}, "package.tgz"},
		"a publication of the two": {[]func(*world){stated, signed}, "signed.tgz"},
		"in whatever order":        {[]func(*world){signed, stated}, "signed.tgz"},
		"one that is excluded":     {[]func(*world){signed, func(w *world) { w.exclude(w.Status().Size-1, int64(w.Status().Size), "") }}, "signed.tgz"},
		"one that is excluded or not": {[]func(*world){stated, signed, func(w *world) {
			w.exclude(w.Status().Size-1, int64(w.Status().Size), public(w.t, w.publisher).Fingerprint())
		}}, "package.tgz"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			for _, do := range tt.before {
				do(w)
			}
			o := w.withdraw(widget, "takedown")
			if o.Entry.Subject.Name != tt.want || o.Entry.Subject.Digest["sha256"] != digestsOf("content")["sha256"] || o.Entry.Coordinate.String() != widget {
				t.Errorf("%+v", o.Entry)
			}
			if o.Entry.Registry != registry || o.Entry.Origin != w.Origin() || time.Since(o.Entry.At) > time.Hour {
				t.Errorf("%+v", o.Entry)
			}
		})
	}
}

// Everything that is not withdrawn, and why; nothing of it is logged.
func TestWithdrawRefuses(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	narrow, key1 := valid(t, "narrow")
	publisher, key2 := valid(t, "publisher")
	s := newSite(t, w, signer.Limits{}, nil,
		&signer.Caller{Name: "narrow", Keys: []string{key1}, Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Withdraw}, Namespaces: namespaces(t, "pkg:npm/@acme/gadget")},
			{Registry: registry, Roles: []signer.Role{signer.Publish}}}},
		&signer.Caller{Name: "publisher", Keys: []string{key2}, Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Publish, signer.Enrol, signer.Backfill}}}})
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	s.submit(s.submission("@acme/gadget", "1.0.0", "content"))
	for _, file := range []string{"acme_kit-1.0.0.tar.gz", "acme_kit-1.0.0-py3-none-any.whl"} {
		c, err := provenance.NewCoordinate("pypi", "acme-kit", "1.0.0", file)
		must(t, err)
		s.accepted(w.signed(provenance.Draft{Registry: registry, Coordinate: c, FileName: file, Digests: digestsOf(file), SignedAt: time.Now()}, w.publisher))
	}
	s.unchanged(func() {
		for name, tt := range map[string]struct {
			purl, reason string
			code         signer.Code
			says         string
		}{
			"nothing there":     {"pkg:npm/%40acme/widget@9.9.9", "malware", signer.NotFound, "nothing is countersigned as pkg:npm/%40acme/widget@9.9.9"},
			"another namespace": {"pkg:npm/left-pad@1.0.0", "malware", signer.NotFound, ""},
			"not canonical":     {"pkg:npm/@acme/widget@1.0.0", "malware", signer.CoordinateNotCanonical, widget},
			"no purl":           {"", "malware", signer.Malformed, ""},
			"no version":        {"pkg:npm/%40acme/widget", "malware", signer.Malformed, ""},
			"no reason":         {widget, "", signer.Malformed, "reason"},
			"reason too long":   {widget, strings.Repeat("x", 1025), signer.Malformed, "1024"},
			"a release":         {"pkg:pypi/acme-kit@1", "malware", signer.Malformed, "acme_kit-1.0.0.tar.gz"},
			"nothing of it":     {"pkg:pypi/acme-kit@2", "malware", signer.NotFound, ""},
		} {
			a := s.withdrawals(signer.WithdrawalRequest{Purl: tt.purl, Reason: tt.reason})[0]
			if status, _ := signer.StatusOf(tt.code); signer.CodeOf(a.Problem.Type) != tt.code || a.Status != status || !strings.Contains(a.Problem.Detail, tt.says) || a.Purl != tt.purl || a.Index != 0 {
				t.Errorf("%s: %+v", name, a)
			}
		}
		release := s.withdrawals(signer.WithdrawalRequest{Purl: "pkg:pypi/acme-kit@1", Reason: "malware"})[0].Problem
		want := []string{"pkg:pypi/acme-kit@1?file_name=acme_kit-1.0.0.tar.gz", "pkg:pypi/acme-kit@1?file_name=acme_kit-1.0.0-py3-none-any.whl"}
		if !slices.Equal(release.Coordinates, want) {
			t.Errorf("%q", release.Coordinates)
		}
		good := withdrawalsBody(t, signer.WithdrawalRequest{Purl: widget, Reason: "malware"})
		client := clientOf(t, narrow)
		var out []withdrawalAnswer
		decode(t, s.do(client, http.MethodPost, s.signing+withdrawals, jsonType, good).body, &out)
		if signer.CodeOf(out[0].Problem.Type) != signer.CallerNotAuthorized {
			t.Errorf("%+v", out)
		}
		s.do(clientOf(t, publisher), http.MethodPost, s.signing+withdrawals, jsonType, good).refused(t, signer.CallerNotAuthorized)
		for _, roles := range [][]signer.Role{nil, {signer.Publish, signer.Enrol, signer.Backfill}} {
			caller := &signer.Caller{Name: "other", Grants: []signer.Grant{{Registry: registry, Roles: roles}}}
			if _, problem := w.Withdraw(t.Context(), caller, nil); problem == nil || problem.Code() != signer.CallerNotAuthorized {
				t.Error(problem)
			}
		}
		s.post("/v1/registries/other.test/withdrawals", jsonType, good).refused(t, signer.WrongRegistry)
		for _, bad := range []string{"", "{}", "[]", `{"withdrawals":[]}`, `{"withdrawals":[{"purl":"x","reason":"y","more":1}]}`, `{"withdrawals":[{"purl":"x","reason":"y"}],"more":1}`, `{"withdrawals":"x"}`} {
			s.post(withdrawals, jsonType, []byte(bad)).refused(t, signer.Malformed)
		}
		s.post(withdrawals, "text/plain", good).refused(t, signer.Malformed)
		s.post(withdrawals+"?x=y", jsonType, good).refused(t, signer.Malformed)
		s.post(withdrawals, jsonType, withdrawalsBody(t, make([]signer.WithdrawalRequest, signer.MaxLines+1)...)).refused(t, signer.TooLarge)
		must(t, s.Freeze("an audit"))
		if a := s.withdrawals(signer.WithdrawalRequest{Purl: widget, Reason: "malware"})[0]; signer.CodeOf(a.Problem.Type) != signer.Frozen || a.Status != http.StatusServiceUnavailable {
			t.Errorf("%+v", a)
		}
		must(t, s.Thaw())
	})
	ok := signer.WithdrawalRequest{Purl: "pkg:npm/%40acme/gadget@1.0.0", Reason: strings.Repeat("x", 1024)}
	var out []withdrawalAnswer
	decode(t, s.do(clientOf(t, narrow), http.MethodPost, s.signing+withdrawals, jsonType, withdrawalsBody(t, ok)).body, &out)
	if out[0].Status != http.StatusCreated {
		t.Errorf("%+v", out)
	}
	if got := s.withdrawals(signer.WithdrawalRequest{Purl: "pkg:pypi/acme-kit@1?file_name=acme_kit-1.0.0.tar.gz", Reason: "malware"})[0]; got.Status != http.StatusCreated {
		t.Errorf("%+v", got)
	}
	w.stop()
	w.audit()
}

// Each answer is about the purl at its place; a release of very many files is not all told.
func TestWithdrawAnswersInOrder(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	for i := range 102 {
		file := fmt.Sprintf("acme_kit-1.0.0-py%d-none-any.whl", i)
		c, err := provenance.NewCoordinate("pypi", "acme-kit", "1.0.0", file)
		must(t, err)
		s.accepted(w.signed(provenance.Draft{Registry: registry, Coordinate: c, FileName: file, Digests: digestsOf(file), SignedAt: time.Now()}, w.publisher))
	}
	purls := []string{"x", widget, "pkg:pypi/acme-kit@1", widget}
	var list []signer.WithdrawalRequest
	for _, purl := range purls {
		list = append(list, signer.WithdrawalRequest{Purl: purl, Reason: "malware"})
	}
	got := s.withdrawals(list...)
	for i, want := range []int{http.StatusBadRequest, http.StatusCreated, http.StatusBadRequest, http.StatusOK} {
		if got[i].Purl != purls[i] || got[i].Status != want {
			t.Errorf("%d: %+v", i, got[i])
		}
	}
	if p := got[2].Problem; len(p.Coordinates) != 100 || !strings.HasSuffix(p.Detail, " and 2 more") {
		t.Errorf("%d coordinates: %s", len(p.Coordinates), p.Detail)
	}
}

// A caller that may only withdraw can read what it may withdraw, no more.
func TestWithdrawRoleReads(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	narrow, fingerprint := valid(t, "narrow")
	s := newSite(t, w, signer.Limits{}, nil, &signer.Caller{Name: "narrow", Keys: []string{fingerprint},
		Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Withdraw}, Namespaces: namespaces(t, "pkg:npm/@acme/widget")}}})
	get := func(purl string) *reply {
		return s.do(clientOf(t, narrow), http.MethodGet, s.signing+single+"?purl="+url.QueryEscape(purl), "", nil)
	}
	if got := get(widget); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	get("pkg:npm/%40acme/gadget@1.0.0").refused(t, signer.CallerNotAuthorized)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	body := withdrawalsBody(t, signer.WithdrawalRequest{Purl: widget, Reason: "malware"})
	var out []withdrawalAnswer
	decode(t, s.do(clientOf(t, narrow), http.MethodPost, s.signing+withdrawals, jsonType, body).body, &out)
	if out[0].Status != http.StatusCreated {
		t.Errorf("%+v", out)
	}
}

// An identity that expired, or that excludes all that will be logged, does not withdraw either.
func TestWithdrawNeedsAnIdentity(t *testing.T) {
	for name, change := range map[string]func(*world){
		"expired":  func(w *world) { w.later(366 * 24 * time.Hour) },
		"excluded": func(w *world) { w.exclude(w.Status().Size, -1, "") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
			change(w)
			before := w.Status().Size
			if o := w.tryWithdraw(widget, "malware"); o.Problem == nil || o.Problem.Code() != signer.Frozen || w.Status().Size != before {
				t.Error(o.Problem)
			}
		})
	}
}

// What the registry no longer has a namespace for it can still take back.
func TestWithdrawWithoutNamespace(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	w.stop()
	w.succeed(func(id *provenance.Identity) { id.Namespaces = namespaces(t, "pkg:pypi/acme-*") })
	w.start()
	until(t, "signed to the end", func() bool { return w.Status().Checkpoint == w.Status().Size })
	w.refused(w.submission("@acme/widget", "2.0.0", "content"), signer.NamespaceNotBound)
	w.withdraw(widget, "takedown")
}

// A withdrawal stands whatever the identity excludes. In a closed log it counts up to the anchor; one after that is no
// reason not to withdraw again.
func TestWithdrawalIsForGood(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	sub := w.submission("@acme/widget", "1.0.0", "content")
	w.accepted(sub)
	w.accepted(w.submission("@acme/widget", "2.0.0", "content"))
	o := w.withdraw(widget, "malware")
	w.exclude(o.Ref.Index, int64(o.Ref.Index+1), "")
	w.refused(sub, signer.Withdrawn)
	if again := w.tryWithdraw(widget, "malware"); again.Problem != nil || again.Created || again.Ref != o.Ref {
		t.Errorf("%+v", again)
	}
	w.stop()
	w.nextLog(1, 1)
	w.withdrawUnsigned(registry+"/countersign/1", "pkg:npm/%40acme/widget@2.0.0", "content")
	w.reopen(nil)
	w.start()
	if again := w.tryWithdraw(widget, "malware"); again.Problem != nil || again.Created || again.Ref != o.Ref {
		t.Errorf("%+v", again)
	}
	if next := w.withdraw("pkg:npm/%40acme/widget@2.0.0", "malware"); next.Ref.Origin != registry+"/countersign/2" {
		t.Errorf("%+v", next.Ref)
	}
	w.restart()
	w.refused(sub, signer.Withdrawn)
	w.stop()
	w.audit()
}

// A publication and the withdrawal of what it states, in one batch in either order and many at once: whatever comes
// first, afterwards the coordinate is withdrawn, and entries are logged once.
func TestWithdrawRaces(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.AgentTimeout, c.SignTimeout = time.Minute, time.Minute })
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	hold := make(chan struct{})
	o.set(func(context.Context, string) error { <-hold; return nil })
	before := s.size()
	var group sync.WaitGroup
	group.Go(func() { s.send(s.submission("@acme/blocker", "1.0.0", "content")) })
	waitUntil(t, "the first is being signed", func() bool { return s.size() == before+1 })
	const versions = 40
	results := make([]signer.WithdrawalOutcome, 2*versions)
	for i := range versions {
		sub := s.submission("@acme/racer", fmt.Sprintf("1.0.%d", i), "content")
		purl := fmt.Sprintf("pkg:npm/%%40acme/racer@1.0.%d", i)
		group.Go(func() { s.send(sub) })
		for j := range 2 {
			group.Go(func() {
				for { // until there is something to withdraw
					r := s.tryWithdraw(purl, fmt.Sprint("reason ", j))
					if r.Problem == nil || r.Problem.Code() != signer.NotFound {
						results[2*i+j] = r
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	waitUntil(t, "work waits", func() bool { return s.Status().Queue >= versions })
	close(hold)
	group.Wait()
	for i := range versions {
		a, b := results[2*i], results[2*i+1]
		if a.Problem != nil || b.Problem != nil || a.Created == b.Created || a.Ref != b.Ref || a.Entry.Reason != b.Entry.Reason {
			t.Fatalf("%+v, %+v", a, b)
		}
		s.refused(s.submission("@acme/racer", fmt.Sprintf("1.0.%d", i), "content"), signer.Withdrawn)
	}
	if want := before + 1 + 2*versions; s.size() != want {
		t.Errorf("%d entries, want %d", s.size(), want)
	}
	s.stop()
	s.audit()
}

// What is in one batch with the publication that it withdraws comes after it.
func TestWithdrawInOneBatch(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.AgentTimeout, c.SignTimeout = time.Minute, time.Minute })
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	hold := make(chan struct{})
	o.set(func(context.Context, string) error { <-hold; return nil })
	before := s.size()
	var group sync.WaitGroup
	group.Go(func() { s.send(s.submission("@acme/blocker", "1.0.0", "content")) })
	waitUntil(t, "the first is being signed", func() bool { return s.size() == before+1 })
	var created, same signer.WithdrawalOutcome
	var repeated signer.Outcome
	queued := 0
	queue := func(f func()) {
		queued++
		group.Go(f)
		waitUntil(t, "it waits", func() bool { return s.Status().Queue == queued })
	}
	queue(func() { created = s.tryWithdraw(widget, "first") })
	queue(func() { same = s.tryWithdraw(widget, "second") })
	queue(func() { repeated = s.send(s.publicationBy(s.publisher, "@acme/gadget", "1.0.0", "content", nil)) })
	close(hold)
	group.Wait()
	if !created.Created || same.Problem != nil || same.Created || same.Ref != created.Ref || same.Entry.Reason != "first" || repeated.Problem != nil {
		t.Errorf("%+v, %+v, %v", created, same, repeated.Problem)
	}
}

// An answer is given when a head covers the withdrawal; until then it is logged, and the same again gets it.
func TestWithdrawUnavailable(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) { c.SignTimeout = 100 * time.Millisecond })
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	o.set(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
	r := signer.WithdrawalRequest{Purl: widget, Reason: "malware"}
	if a := s.withdrawals(r)[0]; a.Status != http.StatusServiceUnavailable || !a.Problem.Logged || !a.Problem.Retryable {
		t.Fatalf("%+v", a)
	}
	if got := s.get("/" + registry + "/bundles/" + nameOf(widget)); got.status != http.StatusOK {
		t.Errorf("nobody sees beyond the checkpoint: %d", got.status)
	}
	o.set(nil)
	waitUntil(t, "it is withdrawn", func() bool { a := s.withdrawals(r)[0]; return a.Status == http.StatusOK && a.Index == s.size()-1 })
	s.get("/"+registry+"/bundles/"+nameOf(widget)).refused(t, signer.Withdrawn)
}

// Where nobody knows what became of one, nothing is said of any.
func TestWithdrawUnknown(t *testing.T) {
	entry := &provenance.Withdrawal{Reason: "x"}
	rec := signer.AnswerWithdrawals([]signer.WithdrawalOutcome{{Purl: "a", Entry: entry, Created: true}, {Purl: "b", Unknown: true}})
	if rec.Code != http.StatusInternalServerError || rec.Body.Len() != 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// A release is what is left of it, and gone when all of it is.
func TestWithdrawnRelease(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	files := []string{"acme_kit-1.0.0.tar.gz", "acme_kit-1.0.0-py3-none-any.whl"}
	for _, file := range files {
		c, err := provenance.NewCoordinate("pypi", "acme-kit", "1.0.0", file)
		must(t, err)
		s.accepted(w.signed(provenance.Draft{Registry: registry, Coordinate: c, FileName: file, Digests: digestsOf(file), SignedAt: time.Now()}, w.publisher))
	}
	const release = "pkg:pypi/acme-kit@1"
	path := "/" + registry + "/bundles?purl=" + url.QueryEscape(release)
	byDigest := func(file string) string { return path + "&digest=sha256:" + digestsOf(file)["sha256"] }
	count := func(path string) int {
		var list []jsontext.Value
		must(t, json.Unmarshal(s.get(path).body, &list))
		return len(list)
	}
	lines := s.batchLines([]byte(`{"purls":["` + release + `","` + release + `?file_name=` + files[0] + `","pkg:pypi/acme-kit@2","pkg:pypi/Acme-Kit@1","x"]}`))
	var told []string
	for _, l := range lines {
		told = append(told, fmt.Sprint(l.Purl, " ", l.Status, signer.CodeOf(l.Problem.Type), len(l.Bundles)))
	}
	want := []string{release + " 2002", release + "?file_name=" + files[0] + " 2001", "pkg:pypi/acme-kit@2 2000", "pkg:pypi/Acme-Kit@1 422coordinate-not-canonical0", "x 400malformed0"}
	if !slices.Equal(told, want) {
		t.Errorf("%q, want %q", told, want)
	}

	w.withdraw(release+"?file_name="+files[0], "malware")
	if n := count(path); n != 1 {
		t.Errorf("%d files are left", n)
	}
	if n := count(byDigest(files[1])); n != 1 {
		t.Errorf("%d files are left", n)
	}
	s.get(byDigest(files[0])).refused(t, signer.Withdrawn)
	if n := count(byDigest("neither")); n != 0 {
		t.Errorf("%d files", n)
	}
	if l := s.batchLines([]byte(`{"purls":["` + release + `"]}`)); len(l[0].Bundles) != 1 {
		t.Errorf("%+v", l)
	}
	w.withdraw(release+"?file_name="+files[1], "malware")
	s.get(path).refused(t, signer.Withdrawn)
	if l := s.batchLines([]byte(`{"purls":["` + release + `"]}`)); signer.CodeOf(l[0].Problem.Type) != signer.Withdrawn {
		t.Errorf("%+v", l)
	}
}
