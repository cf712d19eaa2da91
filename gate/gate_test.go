package gate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/gate"
	"countersign.dev/provenance"
)

var widget = coordinate("npm", "@acme/widget", "1.0.0")

func newScene() (*world, *shelf) {
	w := newWorld(theRegistry)
	w.publish("publisher", widget, "widget", `{"aiGeneration":{"extent":"assisted","tools":[{"name":"scribe","version":"2"}],"reviewedBy":[]},"zeal":1}`)
	w.publish("other", coordinate("npm", "@acme/gadget", "2.0.0"), "gadget", "")
	w.vouch(coordinate("npm", "@acme/old", "0.1.0"), "old")
	for _, f := range []string{"acme_kit-1.0.tar.gz", "acme_kit-1.0-py3-none-any.whl"} {
		w.publish("publisher", coordinate("pypi", "acme-kit", "1.0", f), f, "")
	}
	return w, w.shelf()
}

func TestCheckPasses(t *testing.T) {
	w, s := newScene()
	r := checked(newGate(w.acme(), s),
		lock("npm", entry(widget, "widget"), entry(coordinate("npm", "@acme/gadget", "2.0.0"), "gadget"), entry(coordinate("npm", "left-pad", "1.0.0"), "x")),
		lock("pypi", entry(coordinate("pypi", "acme-kit", "1.0", "acme_kit-1.0.tar.gz"), "acme_kit-1.0.tar.gz", "acme_kit-1.0-py3-none-any.whl")),
		lock("npm", entry(widget, "widget")))
	tells(t, "all good", r)
	want := gate.Summary{Entries: 5, Packages: 3, Verified: 4, Ignored: 1, Silent: 2,
		Publishers: []gate.Count{{publicKey(testKey("publisher")).Fingerprint(), 2}, {publicKey(testKey("other")).Fingerprint(), 1}},
		Generation: []gate.Generation{{Purl: widget.String(), Extent: "assisted", Tools: []string{"scribe 2"}, ReviewedBy: []string{}}},
		Attributes: []gate.Count{{"zeal", 1}}}
	if got := fmt.Sprintf("%+v", r.Summary); got != fmt.Sprintf("%+v", want) {
		t.Errorf("%s\nwant %+v", got, want)
	}
	if r.Status() != 0 || len(r.Notes) != 0 {
		t.Errorf("status %d, notes %q", r.Status(), r.Notes)
	}
	if n := strings.Count(strings.Join(s.asked, "\n"), "widget"); n != 1 {
		t.Errorf("a package that is in two lockfiles was asked for %d times", n)
	}
}

// What is wrong with one entry, and what is said of it.
func TestCheckRefuses(t *testing.T) {
	evil := coordinate("npm", "evil", "1.0.0")
	for what, c := range map[string]struct {
		ecosystem string
		entry     lockfile.Entry
		want      string
		confusion bool
	}{
		"not countersigned":          {"npm", entry(coordinate("npm", "@acme/widget", "9.9.9"), "x"), "refused not-countersigned @acme/widget", true},
		"another content":            {"npm", entry(widget, "evil"), "refused artifact-digest-mismatch @acme/widget", true},
		"one content more":           {"npm", entry(widget, "widget", "evil"), "refused artifact-digest-mismatch @acme/widget", true},
		"one hash more":              {"pypi", entry(coordinate("pypi", "acme-kit", "1.0", "acme_kit-1.0.tar.gz"), "acme_kit-1.0.tar.gz", "evil"), "refused artifact-digest-mismatch acme-kit", true},
		"the registry's word alone":  {"npm", entry(coordinate("npm", "@acme/old", "0.1.0"), "old"), "refused basis-too-weak @acme/old", false},
		"an alias of another":        {"npm", named(entry(evil, "x"), "@acme/widget"), "refused alias-of-other @acme/widget", true},
		"an alias in capitals":       {"npm", named(entry(evil, "x"), "@ACME/widget"), "refused alias-of-other @ACME/widget", true},
		"no digest":                  {"npm", troubled(widget, "@acme/widget", lockfile.NoDigest), "refused no-digest @acme/widget", false},
		"a weak digest":              {"npm", troubled(widget, "@acme/widget", lockfile.WeakDigest), "refused weak-digest @acme/widget", false},
		"from git":                   {"npm", troubled(widget, "@acme/widget", lockfile.FromGit), "refused from-git @acme/widget", true},
		"from a URL":                 {"npm", troubled(widget, "@acme/widget", lockfile.FromURL), "refused from-url @acme/widget", true},
		"not locked":                 {"npm", troubled(provenance.Coordinate{}, "@acme/widget", lockfile.NotLocked), "refused not-locked @acme/widget", false},
		"a bad name":                 {"npm", troubled(provenance.Coordinate{}, "@Acme/widget ", lockfile.BadName), "refused name-not-canonical @Acme/widget ", true},
		"a bad name on PyPI":         {"pypi", troubled(provenance.Coordinate{}, "Acme.Kit", lockfile.NotLocked), "refused not-locked Acme.Kit", false},
		"a rule for the group":       {"maven", troubled(provenance.Coordinate{}, "com.acme:*", lockfile.NoDigest), "refused no-digest com.acme:*", false},
		"a rule for all":             {"maven", troubled(provenance.Coordinate{}, "*:*", lockfile.NoDigest), "refused no-digest *:*", false},
		"a rule for groups":          {"maven", troubled(provenance.Coordinate{}, "com.*:*", lockfile.NoDigest), "refused no-digest com.*:*", false},
		"a rule for one":             {"maven", troubled(provenance.Coordinate{}, "com.acme:lib lib.jar", lockfile.NoDigest), "refused no-digest com.acme:lib lib.jar", false},
		"a rule for names":           {"maven", troubled(provenance.Coordinate{}, "com.acme:li*", lockfile.NoDigest), "refused no-digest com.acme:li*", false},
		"a rule for another group":   {"maven", troubled(provenance.Coordinate{}, "com.acmex:*", lockfile.NoDigest), "", false},
		"a rule for a group's alike": {"maven", troubled(provenance.Coordinate{}, "org.*:*", lockfile.NoDigest), "", false},
		"a folder":                   {"npm", troubled(widget, "@acme/widget", lockfile.FromPath), "reported from-path @acme/widget", false},
		"an archive":                 {"npm", from(troubled(widget, "@acme/widget", lockfile.FromPath), "file:x.TGZ"), "refused from-path @acme/widget", true},
		"a folder with a dot":        {"npm", from(troubled(widget, "@acme/widget", lockfile.FromPath), "file:../x.y"), "reported from-path @acme/widget", false},
		"a file":                     {"npm", withFiles(troubled(widget, "@acme/widget", lockfile.FromPath)), "refused from-path @acme/widget", true},
		"an alias of its own":        {"npm", named(entry(widget, "widget"), "@acme/widget-old"), "", false},
		"another's alias":            {"npm", named(entry(widget, "widget"), "widget"), "", false},
		"git, not pinned":            {"npm", troubled(evil, "evil", lockfile.FromGit), "", false},
	} {
		w, s := newScene()
		r := checked(newGate(w.acme(), s), lock(c.ecosystem, c.entry))
		if c.want == "" {
			tells(t, what, r)
			continue
		}
		tells(t, what, r, c.want)
		if len(r.Findings) == 1 && (r.Findings[0].Confusion != c.confusion || r.Findings[0].Advice == "" || r.Findings[0].Detail == "") {
			t.Errorf("%s: %+v", what, r.Findings[0])
		}
	}
}

// What is in the file of a countersigned package is countersigned with it, if the same registry speaks for both.
func TestInside(t *testing.T) {
	inside := func(c provenance.Coordinate, name string) lockfile.Entry {
		e := troubled(c, name, lockfile.NoDigest)
		e.Within = 1
		return e
	}
	gadget, evil := coordinate("npm", "@acme/gadget", "1.0.0"), coordinate("npm", "evil", "1.0.0")
	for what, c := range map[string]struct {
		outer, inner lockfile.Entry
		want         []string
	}{
		"both its own":            {entry(widget, "widget"), inside(gadget, "@acme/gadget"), nil},
		"in another file":         {entry(widget, "evil"), inside(gadget, "@acme/gadget"), []string{"refused artifact-digest-mismatch @acme/widget"}},
		"in a stranger's":         {entry(evil, "x"), inside(gadget, "@acme/gadget"), []string{"refused no-digest @acme/gadget"}},
		"in one without a digest": {troubled(widget, "@acme/widget", lockfile.NoDigest), inside(gadget, "@acme/gadget"), []string{"refused no-digest @acme/widget", "refused no-digest @acme/gadget"}},
		"an alias":                {entry(widget, "widget"), inside(evil, "@acme/gadget"), []string{"refused no-digest @acme/gadget"}},
	} {
		w, s := newScene()
		r := checked(newGate(w.acme(), s), lock("npm", c.outer, c.inner))
		tells(t, what, r, c.want...)
		if c.want == nil && r.Summary.Verified != 2 {
			t.Errorf("%s: %d entries verified", what, r.Summary.Verified)
		}
	}
}

func named(e lockfile.Entry, name string) lockfile.Entry {
	e.Name = name
	return e
}

func troubled(c provenance.Coordinate, name string, p lockfile.Problem) lockfile.Entry {
	return lockfile.Entry{Coordinate: c, Name: name, Line: 3, Problem: p, Detail: "a detail"}
}

func from(e lockfile.Entry, source string) lockfile.Entry {
	e.Source = source
	return e
}

func withFiles(e lockfile.Entry) lockfile.Entry {
	e.Files = []provenance.Digests{digestsOf("x")}
	return e
}

// What a finding says of what was found, and of what the registry has.
func TestFindingSays(t *testing.T) {
	w, s := newScene()
	r := checked(newGate(w.acme(), s), lock("npm", entry(widget, "evil")), lock("npm", entry(widget, "evil")))
	tells(t, "twice", r, "refused artifact-digest-mismatch @acme/widget")
	f := r.Findings[0]
	want := gate.Finding{Verdict: gate.Refused, Code: "artifact-digest-mismatch", Purl: "pkg:npm/%40acme/widget@1.0.0", Registry: theRegistry,
		Source: "https://packages.example/@acme/widget", Mode: provenance.Enforce}
	if f.Code != want.Code || f.Purl != want.Purl || f.Registry != want.Registry || f.Source != want.Source || f.Mode != want.Mode {
		t.Errorf("%+v", f)
	}
	if len(f.Spots) != 2 || f.Spots[0] != (gate.Spot{Lockfile: "npm.lock", Line: 7}) {
		t.Errorf("spots %v", f.Spots)
	}
	if len(f.Expected) != 1 || f.Expected[0] != "sha512:"+digestsOf("evil")["sha512"] {
		t.Errorf("expected %q", f.Expected)
	}
	if len(f.Countersigned) != 1 || !strings.Contains(f.Countersigned[0], "sha512:"+digestsOf("widget")["sha512"]) {
		t.Errorf("countersigned %q", f.Countersigned)
	}
}

// What the modes and the default make of one refusal each.
func TestModes(t *testing.T) {
	bad, far := entry(widget, "evil"), entry(coordinate("npm", "left-pad", "1.0.0"), "x")
	alias := named(entry(coordinate("npm", "left-pad", "1.0.0"), "x"), "@acme/widget")
	for what, c := range map[string]struct {
		head, pin string
		entry     lockfile.Entry
		whole     provenance.Mode
		want      string
		status    int
	}{
		"enforce":                       {`default = "ignore"`, "", bad, "", "refused artifact-digest-mismatch @acme/widget", 1},
		"report":                        {`default = "ignore"`, `mode = "report"`, bad, "", "reported artifact-digest-mismatch @acme/widget", 0},
		"the whole run reports":         {`default = "ignore"`, "", bad, provenance.Report, "reported artifact-digest-mismatch @acme/widget", 0},
		"the whole run cannot enforce":  {`default = "ignore"`, `mode = "report"`, bad, provenance.Enforce, "reported artifact-digest-mismatch @acme/widget", 0},
		"no pin, reject":                {"", "", far, "", "refused not-pinned left-pad", 1},
		"no pin, report":                {`default = "report"`, "", far, "", "reported not-pinned left-pad", 0},
		"no pin, ignore":                {`default = "ignore"`, "", far, "", "", 0},
		"no pin, git, reject":           {"", "", troubled(coordinate("npm", "x", "1.0.0"), "x", lockfile.FromGit), "", "refused from-git x", 1},
		"no pin, git, report":           {`default = "report"`, "", troubled(coordinate("npm", "x", "1.0.0"), "x", lockfile.FromGit), "", "reported from-git x", 0},
		"no pin, folder, reject":        {"", "", troubled(coordinate("npm", "x", "1.0.0"), "x", lockfile.FromPath), "", "reported from-path x", 0},
		"a reported alias, ignored far": {`default = "ignore"`, `mode = "report"`, alias, "", "reported alias-of-other @acme/widget", 0},
		"a reported alias, refused far": {"", `mode = "report"`, alias, "", "refused alias-of-other @acme/widget", 1},
	} {
		w, s := newScene()
		g := newGate(w.pins(c.head, c.pin, "pkg:npm/@acme/*"), s)
		g.Mode = c.whole
		r := checked(g, lock("npm", c.entry))
		if c.want == "" {
			tells(t, what, r)
		} else {
			tells(t, what, r, c.want)
		}
		if r.Status() != c.status {
			t.Errorf("%s: status %d, want %d", what, r.Status(), c.status)
		}
	}
}

// An alias between two pins: the stricter decides, whichever it is of.
func TestAliasBetweenPins(t *testing.T) {
	w, s := newScene()
	for _, modes := range [][2]string{{"enforce", "report"}, {"report", "enforce"}} {
		text := "version = 1\ndefault = \"ignore\"\n"
		for i, n := range []string{"pkg:npm/@acme/*", "pkg:npm/pinned"} {
			text += fmt.Sprintf("[[pin]]\nnamespace = %q\nregistry = %q\nidentity = %q\nmode = %q\n", n, w.name, w.fingerprint(), modes[i])
		}
		pins := must(provenance.ParsePins([]byte(text)))
		r := checked(newGate(pins, s), lock("npm", named(entry(coordinate("npm", "pinned", "1.0.0"), "x"), "@acme/widget")))
		tells(t, strings.Join(modes[:], " and "), r, "refused alias-of-other @acme/widget")
	}
	g := newGate(w.acme(), s)
	g.RefusePaths = true
	tells(t, "refused paths", checked(g, lock("npm", troubled(widget, "@acme/widget", lockfile.FromPath))), "refused from-path @acme/widget")
}

func TestPolicies(t *testing.T) {
	w, s := newScene()
	g := newGate(w.acme(), s)
	g.Policies = []gate.Policy{func(r *provenance.Result, now time.Time) []gate.Ruling {
		if !now.Equal(g.Now) {
			t.Errorf("now is %s", now)
		}
		if r.Purl != widget.String() {
			return []gate.Ruling{{"hint", "warning", "not the widget"}}
		}
		return []gate.Ruling{{"no-ai", "error", "generated"}, {"never", "error", "no"}, {"info", "note", "so"}}
	}}
	files := []*lockfile.File{lock("npm", entry(widget, "widget"), entry(coordinate("npm", "@acme/gadget", "2.0.0"), "gadget"))}
	r := checked(g, files...)
	tells(t, "rules", r, "refused policy-denied @acme/widget", "refused policy-denied @acme/widget", "noted policy-note @acme/widget", "noted policy-note @acme/gadget")
	if r.Summary.Refused != 1 || r.Summary.Verified != 1 || r.Findings[0].Rule != "no-ai" || r.Findings[3].Severity != "warning" || r.Status() != 1 {
		t.Errorf("%+v %+v", r.Summary, r.Findings[0])
	}
	g.Mode = provenance.Report
	r = checked(g, files...)
	if r.Summary.Reported != 1 || r.Status() != 0 {
		t.Errorf("reported: %+v", r.Summary)
	}
}

// Places that have nothing, cannot be asked, lie or withdraw.
func TestPlaces(t *testing.T) {
	broken := gate.Answer{Err: fmt.Errorf("no route")}
	for what, c := range map[string]struct {
		first, second *gate.Answer // nil: the bundle
		want          string
	}{
		"the first has it":                  {nil, &broken, ""},
		"the second has it":                 {&gate.Answer{}, nil, ""},
		"the first is down":                 {&broken, nil, ""},
		"the first lies":                    {&gate.Answer{Bundles: [][]byte{[]byte("{}")}}, nil, ""},
		"the first is of another registry":  {&gate.Answer{Skipped: true}, &gate.Answer{}, "refused not-countersigned @acme/widget"},
		"both are":                          {&gate.Answer{Skipped: true}, &gate.Answer{Skipped: true}, "unchecked unavailable @acme/widget"},
		"neither has it":                    {&gate.Answer{}, &gate.Answer{}, "refused not-countersigned @acme/widget"},
		"one has it not, the other is down": {&gate.Answer{}, &broken, "unchecked unavailable @acme/widget"},
		"both are down":                     {&broken, &broken, "unchecked unavailable @acme/widget"},
		"withdrawn":                         {&gate.Answer{Withdrawn: "malware"}, nil, "refused withdrawn @acme/widget"},
		"a lie, and down":                   {&gate.Answer{Bundles: [][]byte{[]byte("{}")}}, &broken, "refused malformed @acme/widget"},
	} {
		w, first := newScene()
		second := w.shelf()
		for s, a := range map[*shelf]*gate.Answer{first: c.first, second: c.second} {
			if a != nil {
				s.answers[widget.String()] = *a
			}
		}
		r := checked(newGate(w.acme(), first, second), lock("npm", entry(widget, "widget")))
		if c.want == "" {
			tells(t, what, r)
		} else {
			tells(t, what, r, c.want)
		}
	}
	w, _ := newScene()
	r := checked(newGate(w.acme()), lock("npm", entry(widget, "widget")))
	tells(t, "no place", r, "unchecked unavailable @acme/widget")
	if r.Status() != 2 {
		t.Errorf("status %d", r.Status())
	}
	r = checked(newGate(w.acme(), &shelf{name: "empty"}), lock("npm", entry(widget, "widget"), troubled(widget, "@acme/widget", lockfile.FromGit)))
	tells(t, "both", r, "refused not-countersigned @acme/widget", "refused from-git @acme/widget")
	r.Unreadable("x.lock", fmt.Errorf("broken"), "")
	if r.Status() != 1 || r.Findings[2].Code != gate.UnreadableFile {
		t.Errorf("status %d, %+v", r.Status(), r.Findings[2])
	}
}
