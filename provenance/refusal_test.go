package provenance_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// fault is the least that makes Verify give one answer.
type fault struct {
	code provenance.Code
	add  func(*plan)
}

// faults are in the order in which Verify looks for them. Those that need an artifact of their own are in
// TestVerifyUnchecked and TestVerifyMalformed.
var faults = []fault{
	{provenance.NotPinned, func(p *plan) { p.pin.namespace = "pkg:npm/@acme/other" }},
	{"unchecked", func(p *plan) { p.noStatus = true; also(p, func(b *provenance.Bundle) { b.Identity = nil }) }},
	{provenance.IdentityMismatch, func(p *plan) { p.noStatus = true; p.pin.identity = "sha256:" + sha256Of("another identity") }},
	{provenance.IdentityRollback, func(p *plan) { p.pin.more += "latest = {version = 9, sha256 = \"" + sha256Of("nine") + "\"}\n" }},
	{provenance.LogUnknown, func(p *plan) { p.log.origin = p.w.origin(9) }},
	{provenance.Malformed, func(p *plan) { p.spoilEntry = func(b []byte) []byte { return append(b, '!') } }},
	{provenance.BasisTooWeak, func(p *plan) { p.backfill = true }},
	{provenance.PurlMismatch, func(p *plan) { p.purl = "pkg:npm/%40acme/gadget@1.2.3" }},
	{provenance.StatementMismatch, func(p *plan) { p.claim.Identity = "sha256:" + sha256Of("another identity") }},
	{provenance.NamespaceNotBound, func(p *plan) {
		p.w.next(func(id *provenance.Identity) { id.Namespaces = namespaces("pkg:npm/@elsewhere/*") })
	}},
	{provenance.ArtifactDigestMismatch, func(p *plan) { p.digests = provenance.Digests{"sha256": sha256Of("another file")} }},
	{"unchecked", func(p *plan) { p.artifact, p.digests = true, provenance.Digests{"sha256": p.digests["sha256"]} }},
	{"unchecked", func(p *plan) { also(p, func(b *provenance.Bundle) { b.Enrolment = nil }) }},
	{provenance.EnrolmentInvalid, func(p *plan) { p.officer = testKey("stranger") }},
	{provenance.PublisherNotPinned, func(p *plan) { p.pin.more += "publishers = [\"" + fingerprint(testKey("stranger")) + "\"]\n" }},
	{provenance.PublicationSignatureInvalid, func(p *plan) {
		p.spoilPublication = func(e *provenance.Envelope) { e.Signatures[0].Sig[5] ^= 1 }
	}},
	{provenance.InclusionProofInvalid, func(p *plan) { p.spoilProof = func(pr *provenance.Proof) { pr.Hashes[0][0] ^= 1 } }},
	{provenance.CheckpointSignatureInvalid, func(p *plan) { p.signers = p.signers[:1] }},
	{provenance.KeyEnded, func(p *plan) { p.w.endTwo(1) }},
	{provenance.Excluded, func(p *plan) { exclude(p.w, 1, 100, "") }},
	{provenance.IdentityExpired, func(p *plan) { p.claim.At = yearEnd }},
	{provenance.Withdrawn, func(p *plan) {
		p.status = append(p.status, func(s *statusPlan) { s.withdraw(p.draft.Coordinate.String(), 6) })
	}},
	{provenance.EnrolmentEnded, func(p *plan) {
		p.status = append(p.status, func(s *statusPlan) {
			s.end(p.enrolment().PayloadDigest(), p.w.origin(1), 6, dayTwo)
		})
	}},
	{provenance.StatusTooOld, func(p *plan) {
		p.pin.more += "status_max_age = \"1h\"\n"
		p.status = append(p.status, func(s *statusPlan) { s.statement.At = dayTwo.Add(-time.Hour - time.Second) })
	}},
	{provenance.PolicyDenied, func(p *plan) { p.policy = func(*provenance.Result) error { return errors.New("not here") } }},
}

// also spoils the bundle after what other faults do to it.
func also(p *plan, spoil func(*provenance.Bundle)) {
	before := p.spoilBundle
	p.spoilBundle = func(b *provenance.Bundle) {
		if before != nil {
			before(b)
		}
		spoil(b)
	}
}

// exclude is a version that un-trusts entries of log 1.
func exclude(w *world, from, to uint64, publisher string) {
	w.next(func(id *provenance.Identity) { id.Excluded = append(id.Excluded, w.exclusion(from, to, publisher)) })
}

// exclusion has no end where to is 0.
func (w *world) exclusion(from, to uint64, publisher string) provenance.Exclusion {
	x := provenance.Exclusion{Origin: w.origin(1), From: &from, Publisher: publisher, Reason: "stolen"}
	if to > 0 {
		x.To = &to
	}
	return x
}

const registry = "registry.example"

func TestVerifyAccepts(t *testing.T) {
	w := newWorld(registry)
	p := w.plan()
	var judged *provenance.Result
	p.policy = func(r *provenance.Result) error { judged = r; return nil }
	got, err := provenance.Verify(p.request())
	if err != nil || got != judged {
		t.Fatalf("%v; the policy judged %+v", err, judged)
	}
	if got.Purl != p.purl || got.Registry != registry || got.Basis != provenance.ByPublisher || got.Publisher != fingerprint(w.publisher) ||
		got.Subject.Digest["sha256"] != sha256Of("widget") || !got.SignedAt.Equal(dayTwo) || !got.CountersignedAt.Equal(dayTwo) ||
		got.Origin != w.origin(1) || got.Index != 3 || got.Size != 6 || got.IdentityVersion != 1 ||
		!strings.Contains(string(got.Attributes), "scribe") || got.Pin.Identity != w.fingerprint() {
		t.Errorf("result %+v", got)
	}
}

func TestVerifyRefusals(t *testing.T) {
	var reached []provenance.Code
	for _, f := range faults {
		p := newWorld(registry).plan()
		f.add(p)
		wantCode(t, string(f.code), p.verify(), f.code)
		if f.code != "unchecked" {
			reached = append(reached, f.code)
		}
	}
	if !slices.Equal(reached, provenance.Codes) {
		t.Errorf("refusals reached, in order:\n%v\nwant every code:\n%v", reached, provenance.Codes)
	}
}

// Of two faults the one that comes earlier in the order of checks is named, whatever the other is.
func TestVerifyOrder(t *testing.T) {
	for i, first := range faults {
		for _, second := range faults[i+1:] {
			p := newWorld(registry).plan()
			first.add(p)
			second.add(p)
			wantCode(t, string(first.code+" and "+second.code), p.verify(), first.code)
		}
	}
}

func TestVerifyOrderOfAll(t *testing.T) {
	for i := range faults {
		p := newWorld(registry).plan()
		for _, f := range faults[i:] {
			f.add(p)
		}
		wantCode(t, "everything from "+string(faults[i].code), p.verify(), faults[i].code)
	}
}

// A malformed wrapper is named after the pin and before everything that needs what is in it.
func TestVerifyMalformed(t *testing.T) {
	w := newWorld(registry)
	good := w.plan().request()
	for what, spoil := range map[string]func([]byte) []byte{
		"empty":             func([]byte) []byte { return nil },
		"not JSON":          func([]byte) []byte { return []byte("bundle") },
		"array":             func(b []byte) []byte { return []byte("[" + string(b) + "]") },
		"two documents":     func(b []byte) []byte { return append(slices.Clone(b), b...) },
		"truncated":         func(b []byte) []byte { return b[:len(b)-1] },
		"media type":        func(b []byte) []byte { return replaced(b, "bundle.v1+json", "bundle.v2+json") },
		"no proof":          func(b []byte) []byte { return replaced(b, "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2") },
		"extra data":        func(b []byte) []byte { return replaced(b, `\nindex `, `\nextra QUJD\nindex `) },
		"too long":          func(b []byte) []byte { return append(slices.Clone(b), make([]byte, provenance.MaxBundle)...) },
		"deep":              func([]byte) []byte { return []byte(strings.Repeat(`{"mediaType":`, 100_000)) },
		"checkpoint":        func(b []byte) []byte { return replaced(b, w.origin(1)+`\n6\n`, w.origin(1)+`\n06\n`) },
		"identity is empty": func(b []byte) []byte { return with(good, emptyIdentity(w)).Bundle },
	} {
		r := good
		r.Bundle = spoil(good.Bundle)
		if what == "identity is empty" {
			r.Bundle = replaced(r.Bundle, `}]}}`, `}]},"identity":[]}`)
		}
		_, err := provenance.Verify(r)
		wantCode(t, what, err, provenance.Malformed)
		r.Pins = pinPlan{"pkg:npm/other", registry, w.fingerprint(), ""}.parse()
		_, err = provenance.Verify(r)
		wantCode(t, what+", not pinned", err, provenance.NotPinned)
	}
}

func emptyIdentity(w *world) *provenance.Bundle {
	p := w.plan()
	also(p, func(b *provenance.Bundle) { b.Identity = nil })
	return p.bundle()
}

func TestVerifyUnchecked(t *testing.T) {
	for what, spoil := range map[string]func(*plan){
		"no identity":  func(p *plan) { also(p, func(b *provenance.Bundle) { b.Identity = nil }) },
		"no enrolment": func(p *plan) { also(p, func(b *provenance.Bundle) { b.Enrolment = nil }) },
		"another enrolment": func(p *plan) {
			p.spoilBundle = func(b *provenance.Bundle) {
				p.cert.Issued = p.cert.Issued.Add(time.Hour)
				b.Enrolment = p.enrolment()
			}
		},
		"a digest of the file that the program cannot compute": func(p *plan) {
			p.artifact, p.digests = true, provenance.Digests{"sha256": sha256Of("widget")}
		},
		"no digest of the file at all": func(p *plan) { p.artifact, p.digests = true, nil },
	} {
		p := newWorld(registry).plan()
		spoil(p)
		wantCode(t, what, p.verify(), "unchecked")
	}
}

// What the bundle leaves out may be at hand already.
func TestVerifyFromOwnStore(t *testing.T) {
	w := newWorld(registry)
	p := w.plan()
	p.spoilBundle = func(b *provenance.Bundle) { b.Identity, b.Enrolment = nil, nil }
	other := w.certificate()
	other.Issued = dayTwo
	p.spoilRequest = func(r *provenance.Request) {
		r.Chain = chainOf(w.envelopes())
		r.Enrolments = atHand(must(other.Sign(w.officer)).Envelope, p.enrolment())
	}
	wantCode(t, "own identity and enrolment", p.verify(), "verified")
}

func TestVerifyBadRequests(t *testing.T) {
	for what, spoil := range map[string]func(*provenance.Request){
		"no purl":          func(r *provenance.Request) { r.Purl = "" },
		"purl and any":     func(r *provenance.Request) { r.AnyPurl = true },
		"not a purl":       func(r *provenance.Request) { r.Purl = "@acme/widget@1.2.3" },
		"not canonical":    func(r *provenance.Request) { r.Purl = "pkg:npm/@acme/widget@1.2.3" },
		"no file_name":     func(r *provenance.Request) { r.Purl, r.Artifact = "pkg:pypi/acme-http@1", true },
		"fresh, no time":   func(r *provenance.Request) { r.Fresh, r.Now = true, time.Time{} },
		"no pins":          func(r *provenance.Request) { r.Pins = nil },
		"nothing whatever": func(r *provenance.Request) { *r = provenance.Request{} },
	} {
		p := newWorld(registry).plan()
		p.spoilRequest = spoil
		wantCode(t, what, p.verify(), "bad request")
	}
}

func TestVerifyAnyPurl(t *testing.T) {
	p := newWorld(registry).plan()
	p.spoilRequest = func(r *provenance.Request) { r.Purl, r.AnyPurl = "", true }
	r := p.request()
	got, err := provenance.Verify(r)
	wantCode(t, "any purl", err, "verified")
	if err == nil && got.Purl != p.purl {
		t.Errorf("purl %s, want %s", got.Purl, p.purl)
	}
	r.Pins = pinPlan{"pkg:pypi/*", registry, p.w.fingerprint(), ""}.parse()
	_, err = provenance.Verify(r)
	wantCode(t, "any purl, not pinned", err, provenance.NotPinned)
	for _, bundle := range []string{"", "{}", string(with(r, withdrawn(p)).Bundle)} {
		r.Bundle = []byte(bundle)
		_, err = provenance.Verify(r)
		wantCode(t, "any purl, "+bundle, err, provenance.Malformed)
	}
}

// withdrawn is a bundle whose proven entry says the opposite of what is asked.
func withdrawn(p *plan) *provenance.Bundle {
	p.spoilEntry = func([]byte) []byte {
		s := provenance.Withdrawal{Claim: p.claim, Subject: provenance.Subject{Name: "w", Digest: p.draft.Digests}, Reason: "bad"}
		return must(s.Statement())
	}
	return p.bundle()
}

func TestVerifyOtherEntries(t *testing.T) {
	w := newWorld(registry)
	p := w.plan()
	withdrawn(p)
	wantCode(t, "withdrawal", p.verify(), provenance.Malformed)
	p.spoilEntry = func([]byte) []byte { return entries()["*provenance.StatusStatement"] }
	wantCode(t, "status", p.verify(), provenance.Malformed)
	for what, e := range map[string]*provenance.Envelope{"identity": w.last().Envelope, "enrolment": p.enrolment()} {
		p.spoilEntry = func([]byte) []byte { return e.JSON() }
		wantCode(t, what, p.verify(), provenance.Malformed)
	}
}

// A file's digests must all be computed; of a lockfile's, one that covers the whole file is enough.
func TestVerifyDigests(t *testing.T) {
	sha256, sha512 := sha256Of("widget"), sha256Of("w")+sha256Of("idget")
	for what, c := range map[string]struct {
		digests  provenance.Digests
		artifact bool
		want     provenance.Code
	}{
		"file, both":                 {provenance.Digests{"sha256": sha256, "sha512": sha512}, true, "verified"},
		"file, more than asked":      {provenance.Digests{"sha256": sha256, "sha512": sha512, "dirHash": sha256}, true, "verified"},
		"file, sha512 wrong":         {provenance.Digests{"sha256": sha256, "sha512": sha256 + sha256}, true, provenance.ArtifactDigestMismatch},
		"file, sha256 wrong":         {provenance.Digests{"sha256": sha512[:64], "sha512": sha512}, true, provenance.ArtifactDigestMismatch},
		"file, sha512 only":          {provenance.Digests{"sha512": sha512}, true, "unchecked"},
		"lockfile, sha512 only":      {provenance.Digests{"sha512": sha512}, false, "verified"},
		"lockfile, one wrong":        {provenance.Digests{"sha256": sha256, "sha512": sha256 + sha256}, false, provenance.ArtifactDigestMismatch},
		"lockfile, none":             {nil, false, provenance.ArtifactDigestMismatch},
		"lockfile, none in common":   {provenance.Digests{"dirHash": sha256}, false, provenance.ArtifactDigestMismatch},
		"lockfile, sha1 only":        {provenance.Digests{"sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}, false, provenance.ArtifactDigestMismatch},
		"lockfile, empty sha256":     {provenance.Digests{"sha256": ""}, false, provenance.ArtifactDigestMismatch},
		"lockfile, upper-case":       {provenance.Digests{"sha256": strings.ToUpper(sha256)}, false, provenance.ArtifactDigestMismatch},
		"lockfile, sha256 truncated": {provenance.Digests{"sha256": sha256[:63]}, false, provenance.ArtifactDigestMismatch},
	} {
		p := newWorld(registry).plan()
		p.digests, p.artifact = c.digests, c.artifact
		wantCode(t, what, p.verify(), c.want)
	}
}

// go.mod is one file of a Go module: its hash says nothing about the rest.
func TestVerifyGoModHashAlone(t *testing.T) {
	w := newWorld(registry)
	w.next(func(id *provenance.Identity) { id.Namespaces = namespaces("pkg:golang/go.acme.example/*") })
	p := w.plan()
	p.setCoordinate(must(provenance.NewCoordinate("golang", "go.acme.example/x", "v1.0.0", "")))
	p.cert.Namespaces = namespaces("pkg:golang/go.acme.example/x")
	p.pin.namespace = "pkg:golang/go.acme.example/*"
	p.draft.Digests = provenance.Digests{"sha256": sha256Of("zip"), "dirHash": sha256Of("dir"), "goModHash": sha256Of("go.mod")}
	p.digests = provenance.Digests{"goModHash": sha256Of("go.mod")}
	wantCode(t, "goModHash alone", p.verify(), provenance.ArtifactDigestMismatch)
	p.digests["dirHash"] = sha256Of("dir")
	wantCode(t, "go.sum's two", p.verify(), "verified")
}

// On PyPI a version has many files, and a lockfile lists digests without saying which file each is of.
func TestVerifyPartialPurl(t *testing.T) {
	p := newWorld(registry).plan()
	wheel := "acme_http-1.0-py3-none-any.whl"
	p.setCoordinate(must(provenance.NewCoordinate("pypi", "acme-http", "1.0", wheel)))
	p.draft.FileName, p.cert.Namespaces, p.pin.namespace = wheel, namespaces("pkg:pypi/acme-http"), "pkg:pypi/acme-*"
	p.purl = "pkg:pypi/acme-http@1"
	wantCode(t, "without file_name", p.verify(), "verified")
	p.purl = "pkg:pypi/acme-http@2"
	wantCode(t, "another version", p.verify(), provenance.PurlMismatch)
	p.purl = must(provenance.NewCoordinate("pypi", "acme-http", "1.0", "acme_http-1.0.tar.gz")).String()
	wantCode(t, "another file", p.verify(), provenance.PurlMismatch)
}
