package provenance_test

import (
	"crypto/ed25519"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

// Draft.Sign holds what it signs to the rules that the registry will apply.
func TestDraftRules(t *testing.T) {
	sha, sha512 := sha256Of("x"), sha256Of("x")+sha256Of("y")
	digests := func(pairs ...string) provenance.Digests {
		d := provenance.Digests{"sha256": sha}
		for i := 0; i < len(pairs); i += 2 {
			d[pairs[i]] = pairs[i+1]
		}
		return d
	}
	attributes := func(s string) func(*provenance.Draft) {
		return func(d *provenance.Draft) { d.Attributes = jsontext.Value(s) }
	}
	ai := func(s string) func(*provenance.Draft) { return attributes(`{"aiGeneration":` + s + `}`) }
	for what, c := range map[string]struct {
		change func(*provenance.Draft)
		want   string
	}{
		"nothing":               {func(*provenance.Draft) {}, ""},
		"no registry":           {func(d *provenance.Draft) { d.Registry = "" }, "registry"},
		"registry with a port":  {func(d *provenance.Draft) { d.Registry = "registry.example:443" }, "registry"},
		"registry with a slash": {func(d *provenance.Draft) { d.Registry = "registry.example/x" }, "registry"},
		"registry with a dot":   {func(d *provenance.Draft) { d.Registry = "registry.example." }, "registry"},
		"registry, newline":     {func(d *provenance.Draft) { d.Registry = "registry.example\n" }, "registry"},
		"registry of 201 bytes": {func(d *provenance.Draft) { d.Registry = strings.Repeat("a.", 100) + "a" }, "registry"},
		"registry of 199 bytes": {func(d *provenance.Draft) { d.Registry = strings.Repeat("a.", 99) + "a" }, ""},
		"no coordinate":         {func(d *provenance.Draft) { d.Coordinate = provenance.Coordinate{} }, "purl"},
		"no time":               {func(d *provenance.Draft) { d.SignedAt = time.Time{} }, "signedAt"},
		"year 10000":            {func(d *provenance.Draft) { d.SignedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "time"},
		"no file name":          {func(d *provenance.Draft) { d.FileName = "" }, "name is missing"},
		"long file name":        {func(d *provenance.Draft) { d.FileName = strings.Repeat("x", 513) }, "name is missing or longer"},
		"invalid UTF-8":         {func(d *provenance.Draft) { d.FileName = "a\xff" }, "UTF-8"},
		"no digests":            {func(d *provenance.Draft) { d.Digests = nil }, "sha256 is missing"},
		"sha512 alone":          {func(d *provenance.Draft) { d.Digests = provenance.Digests{"sha512": sha512} }, "sha256 is missing"},
		"every digest": {func(d *provenance.Draft) {
			d.Digests = digests("sha512", sha512, "dirHash", sha, "goModHash", sha, "hexInner", sha, "nugetContentHash", sha512)
		}, ""},
		"sha1":            {func(d *provenance.Draft) { d.Digests = digests("sha1", sha[:40]) }, `"sha1" is not known`},
		"md5":             {func(d *provenance.Draft) { d.Digests = digests("md5", sha[:32]) }, `"md5" is not known`},
		"SHA256":          {func(d *provenance.Draft) { d.Digests = digests("SHA256", sha) }, `"SHA256" is not known`},
		"upper-case hex":  {func(d *provenance.Draft) { d.Digests = digests("sha256", strings.ToUpper(sha)) }, "lower-case hex"},
		"short sha256":    {func(d *provenance.Draft) { d.Digests = digests("sha256", sha[1:]) }, "lower-case hex"},
		"short sha512":    {func(d *provenance.Draft) { d.Digests = digests("sha512", sha) }, "lower-case hex"},
		"sha512, newline": {func(d *provenance.Draft) { d.Digests = digests("sha512", sha512[1:]+"\n") }, "lower-case hex"},
		"empty dirHash":   {func(d *provenance.Draft) { d.Digests = digests("dirHash", "") }, "lower-case hex"},
		"nine digests": {func(d *provenance.Draft) {
			d.Digests = digests("a", "", "b", "", "c", "", "d", "", "e", "", "f", "", "g", "", "h", "")
		}, "at most 8"},
		"attributes null":    {attributes(`null`), "attributes"},
		"attributes []":      {attributes(`[]`), "attributes"},
		"attributes text":    {attributes(`"x"`), "attributes"},
		"attributes none":    {func(d *provenance.Draft) { d.Attributes = nil }, ""},
		"any attribute":      {attributes(`{"x":{"y":[1,{"z":true}]},"X":"z"}`), ""},
		"doubled":            {attributes(`{"x":1,"x":1}`), "x"},
		"null within":        {attributes(`{"x":[null]}`), "null"},
		"a fraction":         {attributes(`{"x":1.5}`), "integer"},
		"too deep":           {attributes(`{"x":` + strings.Repeat("[", 14) + strings.Repeat("]", 14) + `}`), "nested deeper"},
		"not too deep":       {attributes(`{"x":` + strings.Repeat("[", 13) + strings.Repeat("]", 13) + `}`), ""},
		"not JSON":           {attributes(`{"x"}`), "attributes"},
		"24 KiB":             {attributes(`{"x":"` + strings.Repeat("x", provenance.MaxPublication) + `"}`), "at most 24576"},
		"ai none":            {ai(`{"extent":"none","tools":[],"reviewedBy":[]}`), ""},
		"ai reviewed":        {ai(`{"extent":"generated","tools":[{"name":"a","version":"1"}],"reviewedBy":["sha256:` + sha + `"]}`), ""},
		"ai re-cased":        {attributes(`{"aigeneration":{"extent":"none","tools":[],"reviewedBy":[]}}`), "write aiGeneration"},
		"ai text":            {ai(`"none"`), "aiGeneration"},
		"ai empty":           {ai(`{}`), "extent"},
		"ai other extent":    {ai(`{"extent":"full","tools":[],"reviewedBy":[]}`), "extent"},
		"ai no tools":        {ai(`{"extent":"none","reviewedBy":[]}`), "tools"},
		"ai no reviewers":    {ai(`{"extent":"none","tools":[]}`), "reviewedBy"},
		"ai unknown":         {ai(`{"extent":"none","tools":[],"reviewedBy":[],"model":"x"}`), "model"},
		"ai tool unnamed":    {ai(`{"extent":"none","tools":[{"version":"1"}],"reviewedBy":[]}`), "a name and a version"},
		"ai tool no vers.":   {ai(`{"extent":"none","tools":[{"name":"x"}],"reviewedBy":[]}`), "a name and a version"},
		"ai reviewed by two": {ai(`{"extent":"generated","tools":[],"reviewedBy":["sha256:` + sha + `","sha256:` + sha256Of("another") + `"]}`), ""},
		"ai reviewed twice":  {ai(`{"extent":"generated","tools":[],"reviewedBy":["sha256:` + sha + `","sha256:` + sha256Of("another") + `","sha256:` + sha + `"]}`), "twice"},
		"ai reviewer text":   {ai(`{"extent":"none","tools":[],"reviewedBy":["alice"]}`), "reviewedBy"},
	} {
		d := newWorld(registry).plan().draft
		c.change(&d)
		_, err := d.Sign(testKey("publisher"))
		wantError(t, what, err, c.want)
	}
}

// PyPI's subject is the file that the purl names, OCI's the image whose digest is the version.
func TestSubjectBelongsToCoordinate(t *testing.T) {
	d := newWorld(registry).plan().draft
	wheel := "acme_http-1.0-py3-none-any.whl"
	d.Coordinate = must(provenance.NewCoordinate("pypi", "acme-http", "1.0", wheel))
	_, err := d.Sign(testKey("publisher"))
	wantError(t, "pypi, another file", err, "is not the purl's file_name")
	d.FileName = wheel
	_, err = d.Sign(testKey("publisher"))
	wantError(t, "pypi", err, "")
	d.Coordinate = must(provenance.NewCoordinate("oci", "ghcr.io/acme/tool", "sha256:"+sha256Of("another image"), ""))
	_, err = d.Sign(testKey("publisher"))
	wantError(t, "oci, another image", err, "is not the digest in the purl")
	d.Coordinate = must(provenance.NewCoordinate("oci", "ghcr.io/acme/tool", "sha256:"+d.Digests["sha256"], ""))
	_, err = d.Sign(testKey("publisher"))
	wantError(t, "oci", err, "")
}

func TestPublicationReads(t *testing.T) {
	p := newWorld(registry).plan()
	pub := p.publication()
	ai, err := pub.AIGeneration()
	if err != nil || ai.Extent != "assisted" || ai.Tools[0] != (provenance.Tool{Name: "scribe", Version: "2"}) || len(ai.ReviewedBy) != 0 {
		t.Errorf("aiGeneration %+v, %v", ai, err)
	}
	if pub.Publisher() != fingerprint(p.publisher) || pub.Coordinate != p.draft.Coordinate || !maps.Equal(pub.Subject.Digest, p.draft.Digests) ||
		!pub.SignedAt.Equal(dayTwo) || pub.Registry != registry {
		t.Errorf("publication %+v", pub)
	}
	p.draft.Attributes = nil
	if ai, err := p.publication().AIGeneration(); ai != nil || err != nil {
		t.Errorf("without attributes: %+v, %v", ai, err)
	}
}

func TestEnrolmentRules(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*provenance.Enrolment)
		want   string
	}{
		"nothing":             {func(*provenance.Enrolment) {}, ""},
		"with an end":         {func(n *provenance.Enrolment) { n.NotAfter = dayTwo }, ""},
		"no registry":         {func(n *provenance.Enrolment) { n.Registry = "" }, "registry"},
		"no publisher":        {func(n *provenance.Enrolment) { n.Publisher = provenance.PublicKey{} }, "small order"},
		"no namespaces":       {func(n *provenance.Enrolment) { n.Namespaces = nil }, "0 namespaces"},
		"65 namespaces":       {func(n *provenance.Enrolment) { n.Namespaces = manyNamespaces(65) }, "65 namespaces"},
		"a namespace twice":   {func(n *provenance.Enrolment) { n.Namespaces = append(n.Namespaces, n.Namespaces[0]) }, "occurs twice"},
		"a whole ecosystem":   {func(n *provenance.Enrolment) { n.Namespaces[0] = must(provenance.ParsePinNamespace("pkg:npm/*")) }, "only a pin"},
		"not issued":          {func(n *provenance.Enrolment) { n.Issued = time.Time{} }, "issued is missing"},
		"ends when issued":    {func(n *provenance.Enrolment) { n.NotAfter = n.Issued }, "notAfter is not after issued"},
		"ends within seconds": {func(n *provenance.Enrolment) { n.NotAfter = n.Issued.Add(time.Second / 2) }, "notAfter is not after issued"},
		"ends before issued":  {func(n *provenance.Enrolment) { n.NotAfter = n.Issued.Add(-time.Hour) }, "notAfter is not after issued"},
	} {
		n := newWorld(registry).certificate()
		c.change(&n)
		_, err := n.Sign(testKey("officer"))
		wantError(t, what, err, c.want)
	}
}

func TestEnrolmentEndRules(t *testing.T) {
	good := provenance.EnrolmentEnd{Registry: registry, Enrolment: "sha256:" + sha256Of("x"), Reason: "left", Ended: dayTwo}
	for what, c := range map[string]struct {
		change func(*provenance.EnrolmentEnd)
		want   string
	}{
		"nothing":      {func(*provenance.EnrolmentEnd) {}, ""},
		"no registry":  {func(n *provenance.EnrolmentEnd) { n.Registry = "" }, "registry"},
		"no enrolment": {func(n *provenance.EnrolmentEnd) { n.Enrolment = "" }, "enrolment end: enrolment"},
		"no reason":    {func(n *provenance.EnrolmentEnd) { n.Reason = "" }, "reason"},
		"long reason":  {func(n *provenance.EnrolmentEnd) { n.Reason = strings.Repeat("x", 1025) }, "reason"},
		"no time":      {func(n *provenance.EnrolmentEnd) { n.Ended = time.Time{} }, "ended is missing"},
		"above 8 KiB":  {func(n *provenance.EnrolmentEnd) { n.Reason = strings.Repeat("x", 9000) }, "at most 8192"},
	} {
		n := good
		c.change(&n)
		got, err := n.Sign(testKey("officer"))
		wantError(t, what, err, c.want)
		if err == nil && (got.Enrolment != n.Enrolment || got.Reason != n.Reason || !got.Ended.Equal(n.Ended) || got.Registry != n.Registry) {
			t.Errorf("%s: read back as %+v", what, got)
		}
	}
}

// A certificate holds from issued, up to and without notAfter, for what its namespaces cover.
func TestCertificateAtVerification(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*plan)
		want   provenance.Code
	}{
		"issued that second":       {func(p *plan) { p.cert.Issued = dayTwo }, "verified"},
		"issued a second later":    {func(p *plan) { p.cert.Issued = dayTwo.Add(time.Second) }, provenance.EnrolmentInvalid},
		"ended a second later":     {func(p *plan) { p.cert.NotAfter = dayTwo.Add(time.Second) }, "verified"},
		"ended that second":        {func(p *plan) { p.cert.NotAfter = dayTwo }, provenance.EnrolmentInvalid},
		"for another name":         {func(p *plan) { p.cert.Namespaces = namespaces("pkg:npm/@acme/gadget") }, provenance.EnrolmentInvalid},
		"for the name":             {func(p *plan) { p.cert.Namespaces = namespaces("pkg:npm/@acme/widget") }, "verified"},
		"for another ecosystem":    {func(p *plan) { p.cert.Namespaces = namespaces("pkg:pypi/acme-*") }, provenance.EnrolmentInvalid},
		"for another registry":     {func(p *plan) { p.cert.Registry = "other.example" }, provenance.EnrolmentInvalid},
		"for another publisher":    {func(p *plan) { p.cert.Publisher = publicKey(testKey("second publisher")) }, provenance.EnrolmentInvalid},
		"by an ended officer":      {func(p *plan) { endOfficer(p.w) }, provenance.EnrolmentInvalid},
		"signed again by another":  {func(p *plan) { endOfficer(p.w); p.officer = testKey("officer 2") }, "verified"},
		"old and new, both there":  {bothOfficers, "verified"},
		"one that is none besides": {unusable, "verified"},
		"the publisher as officer": {func(p *plan) { p.officer = p.publisher }, provenance.EnrolmentInvalid},
		"the log's key as officer": {func(p *plan) { p.officer = p.w.logKeys[0] }, provenance.EnrolmentInvalid},
		"the root as officer":      {func(p *plan) { p.officer = p.w.root[0] }, provenance.EnrolmentInvalid},
		"the log's key publishes":  {func(p *plan) { p.setPublisher(p.w.logKeys[0]) }, provenance.EnrolmentInvalid},
		"the root's key publishes": {func(p *plan) { p.setPublisher(p.w.root[2]) }, provenance.EnrolmentInvalid},
		"the officer publishes":    {func(p *plan) { p.setPublisher(p.w.officer) }, provenance.EnrolmentInvalid},
		"somebody else publishes":  {func(p *plan) { p.setPublisher(testKey("second publisher")) }, "verified"},
	} {
		p := newWorld(registry).plan()
		c.change(p)
		wantCode(t, what, p.verify(), c.want)
	}
}

// setPublisher enrols another key and signs with it.
func (p *plan) setPublisher(key ed25519.PrivateKey) {
	p.publisher, p.cert.Publisher = key, publicKey(key)
}

func endOfficer(w *world) {
	w.next(func(id *provenance.Identity) {
		id.Enrol[0].Ended = true
		id.Enrol = append(id.Enrol, provenance.EnrolKey{PublicKey: publicKey(testKey("officer 2"))})
	})
}

// bothOfficers has the ended officer's envelope in the bundle and the new one's, around the same payload, at hand.
func bothOfficers(p *plan) {
	endOfficer(p.w)
	again := must(p.cert.Sign(testKey("officer 2"))).Envelope
	p.spoilRequest = func(r *provenance.Request) { r.Enrolments = atHand(again) }
}

// unusable has an envelope at hand around the same payload that is no certificate: it bears two signatures.
func unusable(p *plan) {
	e := *p.enrolment()
	keys := []ed25519.PrivateKey{p.w.officer, p.publisher}
	resign(&e, keys, keys)
	p.spoilRequest = func(r *provenance.Request) { r.Enrolments = atHand(&e) }
}

// atHand is certificates as a consumer keeps them.
func atHand(list ...*provenance.Envelope) map[string][]*provenance.Envelope {
	byDigest := make(map[string][]*provenance.Envelope)
	for _, e := range list {
		byDigest[e.PayloadDigest()] = append(byDigest[e.PayloadDigest()], e)
	}
	return byDigest
}

func TestPinnedPublishers(t *testing.T) {
	w := newWorld(registry)
	p := w.plan()
	mine, other := `"`+fingerprint(w.publisher)+`"`, `"sha256:`+sha256Of("x")+`"`
	for list, want := range map[string]provenance.Code{mine: "verified", other + "," + mine: "verified", other: provenance.PublisherNotPinned} {
		p.pin.more = "publishers = [" + list + "]"
		wantCode(t, list, w.planWith(p.pin).verify(), want)
	}
}

func (w *world) planWith(pin pinPlan) *plan {
	p := w.plan()
	p.pin = pin
	return p
}
