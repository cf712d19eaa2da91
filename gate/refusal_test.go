package gate_test

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// story is a world, a place and a consumer, of which each case spoils one thing.
type story struct {
	w     *world
	s     *shelf
	more  string // in the pin
	entry string // the content that the lockfile has
	gate  func(*gate.Gate)
}

// alter changes the only bundle of the widget.
func (st *story) alter(change func(*provenance.Bundle)) {
	purl := widget.String()
	b := must(provenance.ParseBundle(st.s.bundles[purl][0]))
	change(b)
	st.s.bundles[purl] = [][]byte{b.JSON()}
}

// again logs another statement about the widget, which is then served.
func (st *story) again(change func(*provenance.Claim, *provenance.Envelope)) {
	w := st.w
	p := must(provenance.Draft{Registry: w.name, Coordinate: widget, FileName: "file", Digests: digestsOf("widget"), SignedAt: dayZero}.Sign(testKey("publisher")))
	claim := w.claim(widget)
	change(&claim, p.Envelope)
	statement, err := (&provenance.Countersignature{Claim: claim, Publication: p, Enrolment: w.certificate("publisher").PayloadDigest()}).Statement()
	w.index[widget.String()] = []int{w.add(must(statement, err))}
	st.s.bundles[widget.String()] = w.bundles(widget.String())
}

func (st *story) statuses(at time.Time, withdrawn []provenance.WithdrawnCoordinate, ended []provenance.EndedEnrolment) {
	st.gateStatus(st.w.status(at, withdrawn, ended))
	st.s.bundles[widget.String()] = st.w.bundles(widget.String())
}

func (st *story) gateStatus(data []byte) {
	st.gate = func(g *gate.Gate) { g.Statuses = [][]byte{data} }
}

// spoilt has the least that leads to each code.
var spoilt = map[provenance.Code]func(*story){
	provenance.NotPinned: func(st *story) {
		st.gate = func(g *gate.Gate) { g.Pins = st.w.pins("", "", "pkg:npm/@acme/other") }
	},
	provenance.IdentityMismatch: func(st *story) {
		st.alter(func(b *provenance.Bundle) { b.Identity = newWorld("other.example").chain() })
	},
	provenance.IdentityRollback: func(st *story) {
		st.more = fmt.Sprintf("latest = {version = 9, sha256 = %q}", strings.Repeat("9", 64))
	},
	provenance.LogUnknown: func(st *story) {
		other := newWorld("other.example")
		other.publish("publisher", widget, "widget", "")
		st.s.bundles[widget.String()] = other.bundles(widget.String())
		st.alter(func(b *provenance.Bundle) { b.Identity = nil })
	},
	provenance.Malformed: func(st *story) { st.s.bundles[widget.String()] = [][]byte{[]byte("{}")} },
	provenance.BasisTooWeak: func(st *story) {
		st.w.index[widget.String()] = nil
		st.w.vouch(widget, "widget")
		st.s.bundles[widget.String()] = st.w.bundles(widget.String())
	},
	provenance.PurlMismatch: func(st *story) {
		st.s.bundles[widget.String()] = st.w.bundles("pkg:npm/%40acme/gadget@2.0.0")
	},
	provenance.StatementMismatch: func(st *story) {
		st.again(func(c *provenance.Claim, _ *provenance.Envelope) {
			c.Identity = newWorld("other.example").fingerprint()
		})
	},
	provenance.NamespaceNotBound: func(st *story) {
		st.w.next(func(id *provenance.Identity) { id.Namespaces = id.Namespaces[1:] })
		st.s.chain = st.w.chain()
	},
	provenance.ArtifactDigestMismatch: func(st *story) { st.entry = "evil" },
	provenance.EnrolmentInvalid: func(st *story) {
		e := must(provenance.Enrolment{Registry: st.w.name, Publisher: publicKey(testKey("publisher")), Namespaces: st.w.last().Namespaces,
			Issued: dayZero}.Sign(testKey("nobody"))).Envelope
		st.w.certs["publisher"], st.w.byDigest[e.PayloadDigest()] = e, e
		st.again(func(*provenance.Claim, *provenance.Envelope) {})
	},
	provenance.PublisherNotPinned: func(st *story) {
		st.more = fmt.Sprintf("publishers = [%q]", publicKey(testKey("friend")).Fingerprint())
	},
	provenance.PublicationSignatureInvalid: func(st *story) {
		st.again(func(_ *provenance.Claim, e *provenance.Envelope) { e.Signatures[0].Sig[3] ^= 1 })
	},
	provenance.InclusionProofInvalid: func(st *story) { st.alter(func(b *provenance.Bundle) { b.Proof.Index-- }) },
	provenance.CheckpointSignatureInvalid: func(st *story) {
		st.w.keys, st.w.notes = []ed25519.PrivateKey{testKey("forger")}, make(map[int]string)
		st.s.bundles[widget.String()] = st.w.bundles(widget.String())
	},
	provenance.KeyEnded: func(st *story) {
		st.w.publish("publisher", coordinate("npm", "@acme/later", "1.0.0"), "later", "")
		st.w.rotate()
		st.s.chain = st.w.chain()
	},
	provenance.Excluded: func(st *story) {
		from, to := uint64(1), uint64(len(st.w.entries))
		st.w.next(func(id *provenance.Identity) {
			id.Excluded = []provenance.Exclusion{{Origin: st.w.origin(), From: &from, To: &to, Reason: "stolen"}}
		})
		st.s.chain = st.w.chain()
	},
	provenance.IdentityExpired: func(st *story) {
		st.again(func(c *provenance.Claim, _ *provenance.Envelope) { c.At = dayZero.AddDate(2, 0, 0) })
	},
	provenance.Withdrawn: func(st *story) {
		st.w.add(must((&provenance.Withdrawal{Claim: st.w.claim(widget), Subject: provenance.Subject{Name: "file", Digest: digestsOf("widget")}, Reason: "malware"}).Statement()))
		st.statuses(dayZero.AddDate(0, 0, 2), []provenance.WithdrawnCoordinate{{Purl: widget.String(), Origin: st.w.origin(), Index: uint64(len(st.w.entries) - 1),
			WithdrawnAt: provenance.At(dayZero), Reason: "malware"}}, nil)
	},
	provenance.EnrolmentEnded: func(st *story) {
		st.statuses(dayZero.AddDate(0, 0, 2), nil, []provenance.EndedEnrolment{{Enrolment: st.w.certificate("publisher").PayloadDigest(),
			Publisher: publicKey(testKey("publisher")).Fingerprint(), Origin: st.w.origin(), Index: 1, Ended: provenance.At(dayZero), Reason: "left"}})
	},
	provenance.StatusTooOld: func(st *story) {
		st.more = `status_max_age = "1h"`
		st.statuses(dayZero.AddDate(0, 0, 1), nil, nil)
	},
	provenance.PolicyDenied: func(st *story) {
		st.gate = func(g *gate.Gate) {
			g.Policies = []gate.Policy{func(*provenance.Result, time.Time) []gate.Ruling { return []gate.Ruling{{"no", "error", "no"}} }}
		}
	},
}

// Every code of Verify comes out of a check, and is refused.
func TestEveryCode(t *testing.T) {
	for _, code := range provenance.Codes {
		spoil := spoilt[code]
		if spoil == nil {
			t.Errorf("%s: no case", code)
			continue
		}
		w, s := newScene()
		st := &story{w: w, s: s, entry: "widget"}
		spoil(st)
		g := newGate(w.pins(`default = "reject"`, st.more, "pkg:npm/@acme/*"), s)
		if st.gate != nil {
			st.gate(g)
		}
		r := checked(g, lock("npm", entry(widget, st.entry)))
		tells(t, string(code), r, "refused "+string(code)+" @acme/widget")
		if len(r.Findings) == 1 && (r.Findings[0].Advice == "" || r.Findings[0].Detail == "") {
			t.Errorf("%s says too little: %+v", code, *r.Findings[0])
		}
	}
	if !slices.Contains(provenance.Codes, provenance.Withdrawn) {
		t.Error("the list of codes is not what it was")
	}
}

// What is missing is no pass: the identity, the enrolment, a status that the pin wants.
func TestUnchecked(t *testing.T) {
	for what, spoil := range map[string]func(*story){
		"identity": func(st *story) {
			st.s.chain = nil
			st.alter(func(b *provenance.Bundle) { b.Identity = nil })
		},
		"enrolment":       func(st *story) { st.alter(func(b *provenance.Bundle) { b.Enrolment = nil }) },
		"a status of":     func(st *story) { st.more = `status_max_age = "1h"` },
		"a status of reg": func(st *story) { st.gate = func(g *gate.Gate) { g.StatusMaxAge = time.Hour } },
	} {
		w, s := newScene()
		st := &story{w: w, s: s}
		spoil(st)
		g := newGate(w.pins(`default = "reject"`, st.more, "pkg:npm/@acme/*"), s)
		if st.gate != nil {
			st.gate(g)
		}
		r := checked(g, lock("npm", entry(widget, "widget")))
		tells(t, what, r, "unchecked unavailable @acme/widget")
		if r.Status() != 2 || !strings.Contains(r.Findings[0].Detail, strings.TrimSuffix(what, " reg")) {
			t.Errorf("%s: status %d, %+v", what, r.Status(), *r.Findings[0])
		}
	}
}

// The newest status counts, wherever it comes from; one that does not verify is said and not used; a limit of the run
// makes those of pins stricter, never laxer.
func TestStatus(t *testing.T) {
	w, s := newScene()
	early := w.status(dayZero.AddDate(0, 0, 1), nil, nil)
	w.add(must((&provenance.Withdrawal{Claim: w.claim(widget), Subject: provenance.Subject{Name: "file", Digest: digestsOf("widget")}, Reason: "malware"}).Statement()))
	late := w.status(dayZero.AddDate(0, 0, 1), []provenance.WithdrawnCoordinate{{Purl: widget.String(), Origin: w.origin(), Index: uint64(len(w.entries) - 1),
		WithdrawnAt: provenance.At(dayZero), Reason: "malware"}}, nil)
	other := newWorld("other.example").status(dayZero, nil, nil)
	files := lock("npm", entry(widget, "widget"))
	run := func(served, handed [][]byte, more string, limit time.Duration) *gate.Report {
		s.statuses = served
		g := newGate(w.pins(`default = "reject"`, more, "pkg:npm/@acme/*"), s)
		g.Statuses, g.StatusMaxAge = handed, limit
		return checked(g, files)
	}
	withdrawn := "refused withdrawn @acme/widget"
	tells(t, "served", run([][]byte{late}, nil, "", 0), withdrawn)
	tells(t, "handed", run([][]byte{early}, [][]byte{late, early}, "", 0), withdrawn)
	tells(t, "the other order", run([][]byte{late}, [][]byte{early}, "", 0), withdrawn)
	tells(t, "of another registry", run([][]byte{early}, [][]byte{other}, "", 0))
	r := run([][]byte{early[:len(early)-2]}, nil, "", 0)
	if tells(t, "broken", r); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "not taken") {
		t.Errorf("notes %q", r.Notes)
	}
	tells(t, "young enough", run([][]byte{early}, nil, `status_max_age = "25h"`, 48*time.Hour))
	tells(t, "stricter", run([][]byte{early}, nil, `status_max_age = "25h"`, time.Hour), "refused status-too-old @acme/widget")
	tells(t, "not laxer", run([][]byte{early}, nil, `status_max_age = "1h"`, 48*time.Hour), "refused status-too-old @acme/widget")
}
