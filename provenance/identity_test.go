package provenance_test

import (
	"crypto/ed25519"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// What a version of an identity must be by itself, whoever signed it.
func TestIdentityRules(t *testing.T) {
	end := anchor(newWorld(registry).log.head(1))
	number := func(n uint64) *uint64 { return &n }
	for what, c := range map[string]struct {
		change func(w *world, id *provenance.Identity)
		want   string
	}{
		"nothing":                 {func(*world, *provenance.Identity) {}, ""},
		"no registry":             {func(_ *world, id *provenance.Identity) { id.Registry = "" }, "registry"},
		"registry in upper case":  {func(_ *world, id *provenance.Identity) { id.Registry = "Registry.example" }, "registry"},
		"version 0":               {func(_ *world, id *provenance.Identity) { id.Version = 0 }, "version is missing"},
		"version beyond 2^53":     {func(_ *world, id *provenance.Identity) { id.Version = 1 << 53 }, "2^53-1"},
		"version 1 with previous": {func(_ *world, id *provenance.Identity) { id.Version = 1 }, "previous"},
		"previous not a digest":   {func(_ *world, id *provenance.Identity) { id.Previous = strings.ToUpper(id.Previous) }, "previous"},
		"no issued":               {func(_ *world, id *provenance.Identity) { id.Issued = time.Time{} }, "issued and expires"},
		"no expires":              {func(_ *world, id *provenance.Identity) { id.Expires = time.Time{} }, "issued and expires"},
		"expires at once":         {func(_ *world, id *provenance.Identity) { id.Expires = id.Issued }, "expires is not after issued"},

		"root threshold 0":             {func(_ *world, id *provenance.Identity) { id.Root.Threshold = 0 }, "root: threshold"},
		"root threshold negative":      {func(_ *world, id *provenance.Identity) { id.Root.Threshold = -1 }, "not an integer"},
		"root threshold above keys":    {func(_ *world, id *provenance.Identity) { id.Root.Threshold = 4 }, "root: threshold"},
		"root threshold beyond int":    {func(_ *world, id *provenance.Identity) { id.Root.Threshold = math.MaxInt }, "2^53-1"},
		"no root keys":                 {func(_ *world, id *provenance.Identity) { id.Root.Keys = nil }, "root: threshold"},
		"a root key twice":             {func(_ *world, id *provenance.Identity) { id.Root.Keys[2] = id.Root.Keys[0] }, "occurs twice"},
		"the zero key":                 {func(_ *world, id *provenance.Identity) { id.Root.Keys[2] = provenance.PublicKey{} }, "small order"},
		"a root key signs heads":       {func(_ *world, id *provenance.Identity) { id.Logs[0].Keys[1].PublicKey = id.Root.Keys[2] }, "occurs twice"},
		"a root key enrols":            {func(_ *world, id *provenance.Identity) { id.Enrol[0].PublicKey = id.Root.Keys[2] }, "occurs twice"},
		"a log key enrols":             {func(_ *world, id *provenance.Identity) { id.Enrol[0].PublicKey = id.Logs[0].Keys[0].PublicKey }, "occurs twice"},
		"an ended key in another role": {func(_ *world, id *provenance.Identity) { endAndEnrol(id, end) }, "occurs twice"},
		"an officer twice":             {func(_ *world, id *provenance.Identity) { id.Enrol = append(id.Enrol, id.Enrol[0]) }, "occurs twice"},
		"no officer":                   {func(_ *world, id *provenance.Identity) { id.Enrol = nil }, "enrol: at least one key"},

		"no logs":                    {func(_ *world, id *provenance.Identity) { id.Logs = nil }, "0 open logs"},
		"two open logs":              {func(w *world, id *provenance.Identity) { id.Logs = append(id.Logs, w.logOf(2, testKeys("2"))) }, "2 open logs"},
		"all logs closed":            {func(_ *world, id *provenance.Identity) { id.Logs[0].Closed = end }, "0 open logs"},
		"a log twice":                {func(w *world, id *provenance.Identity) { closeAndRepeat(w, id, end) }, "occurs twice"},
		"a key in two logs":          {func(w *world, id *provenance.Identity) { closeAndShare(w, id, end) }, "occurs twice"},
		"origin of another registry": {func(_ *world, id *provenance.Identity) { id.Logs[0].Origin = "other.example/countersign/1" }, "origin does not begin"},
		"origin of no form":          {func(_ *world, id *provenance.Identity) { id.Logs[0].Origin = registry + "/1" }, "origin"},
		"log threshold 0":            {func(_ *world, id *provenance.Identity) { id.Logs[0].Threshold = 0 }, "threshold 0 of 3"},
		"log threshold above keys":   {func(_ *world, id *provenance.Identity) { id.Logs[0].Threshold = 4 }, "threshold 4 of 3"},
		"threshold above active":     {func(_ *world, id *provenance.Identity) { endKeys(id, end, 2) }, "threshold 2 of 1"},
		"no active key":              {func(_ *world, id *provenance.Identity) { id.Logs[0].Threshold = 1; endKeys(id, end, 3) }, "threshold 1 of 0"},
		"no log keys":                {func(_ *world, id *provenance.Identity) { id.Logs[0].Keys = nil }, "threshold 2 of 0"},
		"ended at size 0":            {func(_ *world, id *provenance.Identity) { endKeys(id, &provenance.Anchor{Root: end.Root}, 1) }, "anchor"},
		"ended without root":         {func(_ *world, id *provenance.Identity) { endKeys(id, &provenance.Anchor{Size: 1}, 1) }, "anchor"},
		"ended with a short root": {func(_ *world, id *provenance.Identity) {
			endKeys(id, &provenance.Anchor{Size: 1, Root: end.Root[1:]}, 1)
		}, "anchor"},
		"closed without root":    {func(w *world, id *provenance.Identity) { closeAndOpen(w, id, &provenance.Anchor{Size: 1}) }, "anchor"},
		"closed, another opened": {func(w *world, id *provenance.Identity) { closeAndOpen(w, id, end) }, ""},

		"no namespaces":     {func(_ *world, id *provenance.Identity) { id.Namespaces = nil }, "0 namespaces"},
		"a namespace twice": {func(_ *world, id *provenance.Identity) { id.Namespaces = append(id.Namespaces, id.Namespaces[0]) }, "occurs twice"},
		"65 namespaces":     {func(_ *world, id *provenance.Identity) { id.Namespaces = manyNamespaces(65) }, "65 namespaces"},
		"64 namespaces":     {func(_ *world, id *provenance.Identity) { id.Namespaces = manyNamespaces(64) }, ""},
		"a whole ecosystem": {func(_ *world, id *provenance.Identity) {
			id.Namespaces[0] = must(provenance.ParsePinNamespace("pkg:npm/*"))
		}, "only a pin"},
		"excluded is missing": {func(_ *world, id *provenance.Identity) { id.Excluded = nil }, ""}, // written as an empty list; see below

		"excluded from an unknown log": {func(w *world, id *provenance.Identity) {
			id.Excluded = []provenance.Exclusion{{Origin: w.origin(9), From: number(1), Reason: "x"}}
		}, "is not in the identity"},
		"excluded without from": {func(w *world, id *provenance.Identity) {
			id.Excluded = []provenance.Exclusion{{Origin: w.origin(1), Reason: "x"}}
		}, "null"},
		"excluded nothing": {func(w *world, id *provenance.Identity) {
			id.Excluded = []provenance.Exclusion{{Origin: w.origin(1), From: number(5), To: number(5), Reason: "x"}}
		}, "to is not after from"},
		"excluded without reason": {func(w *world, id *provenance.Identity) {
			id.Excluded = []provenance.Exclusion{{Origin: w.origin(1), From: number(0)}}
		}, "reason"},
		"excluded with a long reason": {func(w *world, id *provenance.Identity) {
			id.Excluded = []provenance.Exclusion{{Origin: w.origin(1), From: number(0), Reason: strings.Repeat("x", 1025)}}
		}, "reason"},
		"excluded nobody known": {func(w *world, id *provenance.Identity) {
			id.Excluded = []provenance.Exclusion{{Origin: w.origin(1), From: number(0), Publisher: "mallory", Reason: "x"}}
		}, "publisher"},
		"evidence about no key":   {func(_ *world, id *provenance.Identity) { id.Evidence = []provenance.KeyEvidence{{Digest: id.Previous}} }, "evidence: key"},
		"evidence without digest": {func(_ *world, id *provenance.Identity) { id.Evidence = []provenance.KeyEvidence{{Key: id.Previous}} }, "evidence: digest"},
		"too long":                {func(_ *world, id *provenance.Identity) { id.Evidence = make([]provenance.KeyEvidence, 2000) }, "at most 40960"},
	} {
		w := newWorld(registry)
		wantError(t, what, w.extend(func(id *provenance.Identity) { c.change(w, id) }, w.root[:2]...), c.want)
	}
}

func endKeys(id *provenance.Identity, at *provenance.Anchor, n int) {
	for i := range n {
		id.Logs[0].Keys[i].Ended = at
	}
}

func endAndEnrol(id *provenance.Identity, at *provenance.Anchor) {
	endKeys(id, at, 1)
	id.Enrol[0].PublicKey = id.Logs[0].Keys[0].PublicKey
}

func closeAndOpen(w *world, id *provenance.Identity, at *provenance.Anchor) {
	id.Logs[0].Closed = at
	id.Logs = append(id.Logs, w.logOf(2, testKeys("second log")))
}

func closeAndRepeat(w *world, id *provenance.Identity, at *provenance.Anchor) {
	closeAndOpen(w, id, at)
	id.Logs[1].Origin = id.Logs[0].Origin
}

func closeAndShare(w *world, id *provenance.Identity, at *provenance.Anchor) {
	closeAndOpen(w, id, at)
	id.Logs[1].Keys[0] = id.Logs[0].Keys[0]
}

func manyNamespaces(n int) []provenance.Namespace {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("pkg:npm/@acme%d/*", i))
	}
	return namespaces(list...)
}

// Members that a Go value cannot leave out: the payload is changed as text and signed by the root.
func TestIdentityTexts(t *testing.T) {
	w := richWorld()
	payload := string(w.last().Envelope.Payload)
	for what, c := range map[string]struct{ old, new, want string }{
		"unchanged":                  {`"version":2`, `"version":2`, ""},
		"no excluded":                {`,"excluded":[]`, ``, "excluded is missing"},
		"not ended":                  {`"ended":true`, `"ended":false`, "leave it out"},
		"excluded, publisher empty":  {`"excluded":[]`, `"excluded":[{"origin":"registry.example/countersign/1","from":0,"publisher":"","reason":"x"}]`, "leave it out"},
		"excluded, publisher absent": {`"excluded":[]`, `"excluded":[{"origin":"registry.example/countersign/1","from":0,"reason":"x"}]`, ""},
		"ended by an anchor":         {`"ended":true`, `"ended":{"size":1,"root":"` + strings.Repeat("A", 43) + `="}`, "does not belong here"},
		"closed is true":             {`"closed":{`, `"closed":true,"x":{`, "does not belong here"},
		"version as text":            {`"version":2`, `"version":"2"`, "does not belong here"},
		"version with a fraction":    {`"version":2`, `"version":2.0`, "integer"},
		"version with an exponent":   {`"version":2`, `"version":2e0`, "integer"},
		"negative version":           {`"version":2`, `"version":-2`, "integer"},
		"issued in another zone":     {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02T13:00:00+01:00"`, "time"},
		"issued with +00:00":         {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02T12:00:00+00:00"`, "time"},
		"issued with a fraction":     {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02T12:00:00.0Z"`, "time"},
		"issued with a comma":        {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02T12:00:00,5Z"`, "time"},
		"issued in lower case":       {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02t12:00:00z"`, "time"},
		"issued with a space":        {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02 12:00:00Z"`, "time"},
		"issued on 30 February":      {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-02-30T12:00:00Z"`, "time"},
		"issued at 24:00":            {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02T24:00:00Z"`, "time"},
		"issued in a leap second":    {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-03-02T12:00:60Z"`, "time"},
		"issued on one digit":        {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"2026-3-2T12:00:00Z"`, "time"},
		"issued as a number":         {`"issued":"2026-03-02T12:00:00Z"`, `"issued":1772452800`, "must be string"},
		"issued in the year 1":       {`"issued":"2026-03-02T12:00:00Z"`, `"issued":"0001-01-01T00:00:00Z"`, "issued and expires"},
		"an empty previous":          {`"previous":"` + w.fingerprint() + `"`, `"previous":""`, "previous"},
		"previous not a digest":      {`"previous":"sha256:`, `"previous":"sha512:`, "previous"},
		"a namespace percent-coded":  {`"pkg:npm/@acme/*"`, `"pkg:npm/%40acme/*"`, "canonical"},
		"a namespace with a version": {`"pkg:npm/@acme/*"`, `"pkg:npm/@acme/x@1"`, "namespace"},
	} {
		e := &provenance.Envelope{PayloadType: w.last().Envelope.PayloadType, Payload: replaced([]byte(payload), c.old, c.new)}
		resign(e, w.root[:2], w.root[:2])
		_, err := provenance.ParseIdentity(e)
		wantError(t, what, err, c.want)
	}
}

// In the first version previous is left out, not empty; in a certificate notAfter, in a bridge the checkpoint.
func TestOptionalMembersAreLeftOut(t *testing.T) {
	w := newWorld(registry)
	reword := func(e *provenance.Envelope, old, new string, keys ...ed25519.PrivateKey) *provenance.Envelope {
		out := &provenance.Envelope{PayloadType: e.PayloadType, Payload: replaced(e.Payload, old, new)}
		resign(out, keys, keys)
		return out
	}
	_, err := provenance.ParseChain([]*provenance.Envelope{reword(w.last().Envelope, `"version":1`, `"version":1,"previous":""`, w.root[:2]...)})
	wantError(t, "previous", err, "leave it out")
	cert := w.plan().enrolment()
	_, err = provenance.ParseEnrolment(reword(cert, `"issued":`, `"notAfter":"0001-01-01T00:00:00Z","issued":`, w.officer))
	wantError(t, "notAfter", err, "leave it out")
	_, err = provenance.ParseEnrolment(reword(cert, `"issued":`, "\n\t\"issued\" : ", w.officer))
	wantError(t, "white space", err, "")
	w.log.fill(9)
	_, err = provenance.ParseBridge(replaced(w.log.bridge(3, 9).JSON(), `"hashes":`, `"checkpoint":"","hashes":`))
	wantError(t, "checkpoint", err, "leave it out")
}

func TestIdentityLookups(t *testing.T) {
	w := richWorld()
	id := w.last()
	if id.Open().Origin != w.origin(2) || id.Log(w.origin(1)) == nil || id.Log(w.origin(3)) != nil {
		t.Error("logs")
	}
	if n := len(id.Open().Active()); n != 3 {
		t.Errorf("%d active keys, want 3", n)
	}
	for name, want := range map[string]bool{registry + " root C": true, registry + " log 1 A": true, registry + " log 2 A": true,
		registry + " officer": true, "officer 2": true, registry + " publisher": false} {
		if id.Holds(publicKey(testKey(name))) != want {
			t.Errorf("holds %s: %t", name, !want)
		}
	}
}

// Exclusions are half-open, and a publisher's leave others alone.
func TestExclusions(t *testing.T) {
	w := newWorld(registry)
	for what, c := range map[string]struct {
		from, to  uint64
		publisher string
		want      provenance.Code
	}{
		"all before":              {0, 3, "", "verified"},
		"up to it":                {0, 4, "", provenance.Excluded},
		"it alone":                {3, 4, "", provenance.Excluded},
		"all after":               {4, 0, "", "verified"},
		"from it for ever":        {3, 0, "", provenance.Excluded},
		"everything for ever":     {0, 0, "", provenance.Excluded},
		"its publisher":           {0, 0, fingerprint(w.publisher), provenance.Excluded},
		"its publisher, after it": {4, 0, fingerprint(w.publisher), "verified"},
		"another publisher":       {0, 0, fingerprint(testKey("stranger")), "verified"},
	} {
		w := newWorld(registry)
		exclude(w, c.from, c.to, c.publisher)
		wantCode(t, what, w.plan().verify(), c.want)
	}
	w.next(func(id *provenance.Identity) {
		id.Logs[0].Closed = anchor(w.log.head(1))
		id.Logs = append(id.Logs, w.logOf(2, testKeys("second log")))
		id.Excluded = append(id.Excluded, provenance.Exclusion{Origin: w.origin(2), From: new(uint64), Reason: "the other log"})
	})
	if got := w.last().Excludes(w.origin(1), 3, ""); got != "" {
		t.Errorf("an exclusion in log 2 excludes in log 1: %s", got)
	}
}

func TestExpiry(t *testing.T) {
	w := newWorld(registry)
	for what, c := range map[string]struct {
		at, now time.Time
		fresh   bool
		want    provenance.Code
	}{
		"before, read later":         {yearEnd.Add(-time.Second), yearEnd.AddDate(9, 0, 0), false, "verified"},
		"before, read later, fresh":  {yearEnd.Add(-time.Second), yearEnd.AddDate(9, 0, 0), true, provenance.IdentityExpired},
		"before, read before, fresh": {dayTwo, yearEnd.Add(-time.Second), true, "verified"},
		"before, read on it, fresh":  {dayTwo, yearEnd, true, provenance.IdentityExpired},
		"on it":                      {yearEnd, dayTwo, false, provenance.IdentityExpired},
		"after":                      {yearEnd.Add(time.Second), dayTwo, false, provenance.IdentityExpired},
	} {
		p := w.plan()
		p.claim.At = c.at
		p.spoilRequest = func(r *provenance.Request) { r.Now, r.Fresh = c.now, c.fresh }
		wantCode(t, what, p.verify(), c.want)
	}
	// A renewed identity makes old statements good again, and a shortened one un-trusts them.
	p := w.plan()
	p.claim.At = yearEnd
	w.next(func(id *provenance.Identity) { id.Expires = yearEnd.AddDate(1, 0, 0) })
	wantCode(t, "renewed", p.verify(), "verified")
	w.next(func(id *provenance.Identity) { id.Expires = dayTwo })
	wantCode(t, "shortened", w.plan().verify(), provenance.IdentityExpired)
}

// Signature lines name keys by 32 bits. Two keys with the same 32 would make one key's line ambiguous.
func TestNoteKeyCollision(t *testing.T) {
	w := newWorld(registry)
	one, two := publicKey(testKey("collision 19001")), publicKey(testKey("collision 28137")) // found by trying
	if one.NoteID(w.origin(1)) != two.NoteID(w.origin(1)) {
		t.Fatal("the keys do not collide")
	}
	collide := func(id *provenance.Identity) {
		id.Logs[0].Keys = append(id.Logs[0].Keys, provenance.LogKey{PublicKey: one}, provenance.LogKey{PublicKey: two})
	}
	wantError(t, "in one log", w.extend(collide, w.root[:2]...), "same note key id")
	w = closedWorld()
	apart := func(id *provenance.Identity) {
		id.Logs[0].Keys = append(id.Logs[0].Keys, provenance.LogKey{PublicKey: one})
		id.Logs[1].Keys = append(id.Logs[1].Keys, provenance.LogKey{PublicKey: two})
	}
	wantError(t, "in two logs", w.extend(apart, w.root[:2]...), "")
}
