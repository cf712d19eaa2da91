package provenance_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

var (
	pinnedIdentity = "sha256:" + sha256Of("identity")
	minimalPins    = "version = 1\n[[pin]]\nnamespace = \"pkg:npm/@acme/*\"\nregistry = \"registry.example\"\nidentity = \"" + pinnedIdentity + "\"\n"
)

func TestParsePins(t *testing.T) {
	p, err := provenance.ParsePins([]byte(minimalPins))
	if err != nil || p.Default != provenance.Reject || len(p.Pins) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	pin := p.Pins[0]
	if pin.Namespace.String() != "pkg:npm/@acme/*" || pin.Registry != registry || pin.Identity != pinnedIdentity || pin.Latest != nil ||
		pin.StatusMaxAge != 0 || pin.Publishers != nil || pin.Require != provenance.ByPublisher || pin.Mode != provenance.Enforce {
		t.Errorf("what is left out must mean the stricter choice: %+v", pin)
	}
	p, err = provenance.ParsePins([]byte(`# everything
version = 1
default = "report"

[[pin]]
namespace  = "pkg:npm/*"
registry   = "registry.example"
identity   = "` + pinnedIdentity + `"
latest     = {version = 3, sha256 = "` + sha256Of("three") + `"}
publishers = ["` + pinnedIdentity + `"]
require    = "publisher"
mode       = "report"
status_max_age = "72h"

[[pin]]
namespace = "pkg:golang/github.com/acme/tool"
registry  = "go.example"
identity  = "` + pinnedIdentity + `"
require   = "registry"
mode      = "enforce"

[pin.latest]
version = 1
sha256  = "` + sha256Of("one") + `"
`))
	if err != nil || p.Default != provenance.Report || len(p.Pins) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if pin := p.Pins[0]; pin.Latest.Version != 3 || pin.Latest.SHA256 != sha256Of("three") || len(pin.Publishers) != 1 || pin.StatusMaxAge != 72*time.Hour || pin.Mode != provenance.Report {
		t.Errorf("first pin %+v", pin)
	}
	if pin := p.Pins[1]; pin.Latest.Version != 1 || pin.Require != provenance.ByRegistry || pin.Mode != provenance.Enforce {
		t.Errorf("second pin %+v", pin)
	}
}

func TestParsePinsRefusals(t *testing.T) {
	pin := func(line string) string { return minimalPins + line + "\n" }
	change := func(old, new string) string { return string(replaced([]byte(minimalPins), old, new)) }
	other := `"sha256:` + sha256Of("x") + `"`
	for what, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "write version = 1"},
		"no version":          {change("version = 1\n", ""), "write version = 1"},
		"version 2":           {change("version = 1", "version = 2"), "write version = 1"},
		"version 0":           {change("version = 1", "version = 0"), "write version = 1"},
		"version as text":     {change("version = 1", `version = "1"`), "line 1"},
		"version 1.0":         {change("version = 1", `version = 1.0`), "line 1"},
		"version twice":       {change("version = 1", "version = 1\nversion = 1"), "line 2"},
		"not TOML":            {change("version = 1", "version: 1"), "line 1"},
		"JSON":                {`{"version": 1}`, "line 1"},
		"invalid UTF-8":       {change("registry.example", "registry\xff"), "line 4"},
		"a NUL":               {change("registry.example", "registry\x00"), "line 4"},
		"default of no kind":  {"default = \"enforce\"\n" + minimalPins, `default is "enforce"`},
		"default in capitals": {"default = \"Ignore\"\n" + minimalPins, `default is "Ignore"`},
		"default empty":       {"default = \"\"\n" + minimalPins, `default is ""`},
		"default as a flag":   {"default = true\n" + minimalPins, "line 1"},
		"unknown key":         {"pinns = 1\n" + minimalPins, `line 1: unknown key "pinns"`},
		"unknown key in pin":  {pin(`ignore = true`), `line 6: unknown key "pin.ignore"`},
		"unknown in latest":   {pin(`latest = {version = 1, sha256 = "` + sha256Of("") + `", sha512 = ""}`), `line 6: unknown key "pin.latest.sha512"`},
		"unknown table":       {pin("[other]"), `line 6: unknown key "other"`},
		"unknown in 2nd pin":  {pin("[[pin]]\nnamespace = \"pkg:npm/x\"\nwhat = 1"), `line 8: unknown key "pin.what"`},
		"pin as a table":      {change("[[pin]]", "[pin]"), "line 2"},
		"key in capitals":     {change("registry =", "Registry ="), `line 4: key "pin.Registry"`},
		"table in capitals":   {change("[[pin]]", "[[Pin]]"), `line 2: key "Pin"`},
		"key twice, re-cased": {pin(`Mode = "report"`), `line 6: key "pin.Mode"`},
		"key with a long s":   {pin("\"regi\u017ftry\" = \"evil.example\""), "line 6"},
		"key with a Kelvin":   {pin("\"\u212aey\" = 1"), "line 6"},

		"no namespace":               {change("namespace = \"pkg:npm/@acme/*\"\n", ""), "pin 1: namespace"},
		"namespace not canonical":    {change("@acme", "%40acme"), "pin 1"},
		"namespace of no type":       {change("pkg:npm/@acme/*", "*"), "pin 1: namespace"},
		"namespace with two stars":   {change("@acme/*", "*/*"), "pin 1: namespace"},
		"namespace twice":            {minimalPins + strings.TrimPrefix(minimalPins, "version = 1\n"), "namespace pkg:npm/@acme/* is pinned twice"},
		"no registry":                {change("registry = \"registry.example\"\n", ""), "pin 1: registry"},
		"registry with a scheme":     {change("registry.example", "https://registry.example"), "pin 1: registry"},
		"no identity":                {change("identity = \""+pinnedIdentity+"\"\n", ""), "pin 1: identity"},
		"identity without prefix":    {change("sha256:", ""), "pin 1: identity"},
		"identity of another hash":   {change("sha256:", "sha512:"), "pin 1: identity"},
		"identity in capitals":       {change(pinnedIdentity, "sha256:"+strings.ToUpper(sha256Of("identity"))), "pin 1: identity"},
		"identity a digit short":     {change(pinnedIdentity, pinnedIdentity[:70]), "pin 1: identity"},
		"identity a digit long":      {change(pinnedIdentity, pinnedIdentity+"0"), "pin 1: identity"},
		"identity with a newline":    {change(pinnedIdentity, pinnedIdentity+`\n`), "pin 1: identity"},
		"latest without version":     {pin(`latest = {sha256 = "` + sha256Of("") + `"}`), "pin 1: latest"},
		"latest without sha256":      {pin(`latest = {version = 1}`), "pin 1: latest"},
		"latest with a prefix":       {pin(`latest = {version = 1, sha256 = ` + other + `}`), "pin 1: latest"},
		"latest negative":            {pin(`latest = {version = -1, sha256 = "` + sha256Of("") + `"}`), "line 6"},
		"latest empty":               {pin(`latest = {}`), "pin 1: latest"},
		"publishers empty":           {pin(`publishers = []`), "publishers is empty"},
		"publishers not a list":      {pin(`publishers = ` + other), "line 6"},
		"publishers not a digest":    {pin(`publishers = ["alice"]`), "publishers"},
		"publishers, a mixed list":   {pin(`publishers = [1, ` + other + `]`), "line 6"},
		"publishers with registry":   {pin("require = \"registry\"\npublishers = [" + other + "]"), "publishers has no meaning"},
		"require of no kind":         {pin(`require = "nobody"`), `require is "nobody"`},
		"require empty":              {pin(`require = ""`), `require is ""`},
		"mode empty":                 {pin(`mode = ""`), `mode is ""`},
		"require in capitals":        {pin(`require = "Publisher"`), `require is "Publisher"`},
		"mode of no kind":            {pin(`mode = "ignore"`), `mode is "ignore"`},
		"mode for the default":       {pin(`mode = "reject"`), `mode is "reject"`},
		"status age of five digits":  {pin(`status_max_age = "99999s"`), ""},
		"status age of six digits":   {pin(`status_max_age = "100000s"`), "status_max_age"},
		"status age empty":           {pin(`status_max_age = ""`), "status_max_age"},
		"status age a number":        {pin(`status_max_age = 72`), "line 6"},
		"status age 0":               {pin(`status_max_age = "0h"`), "status_max_age"},
		"status age negative":        {pin(`status_max_age = "-1h"`), "status_max_age"},
		"status age in days":         {pin(`status_max_age = "3d"`), "status_max_age"},
		"status age in ms":           {pin(`status_max_age = "5ms"`), "status_max_age"},
		"status age a fraction":      {pin(`status_max_age = "1.5h"`), "status_max_age"},
		"status age of two parts":    {pin(`status_max_age = "1h30m"`), "status_max_age"},
		"status age too long":        {pin(`status_max_age = "100000h"`), "status_max_age"},
		"status age, newline":        {pin(`status_max_age = "72h\n"`), "status_max_age"},
		"status age for all":         {"status_max_age = \"72h\"\n" + minimalPins, `unknown key "status_max_age"`},
		"second pin bad":             {pin("[[pin]]\nnamespace = \"pkg:npm/x\""), "pin 2: registry"},
		"a pin that is a list entry": {"version = 1\npin = [1]\n", "line 2"},
	} {
		_, err := provenance.ParsePins([]byte(c.text))
		wantError(t, what, err, c.want)
	}
}

// The pin with the longest literal part decides; an exact one before a prefix; their order in the file means nothing.
func TestPinPrecedence(t *testing.T) {
	patterns := []string{"pkg:npm/*", "pkg:npm/@acme/*", "pkg:npm/@acme/wid*", "pkg:npm/@acme/widget*", "pkg:npm/@acme/widget", "pkg:pypi/acme-*"}
	write := func(patterns []string) *provenance.Pins {
		text := "version = 1\n"
		for i, p := range patterns {
			text += fmt.Sprintf("[[pin]]\nnamespace = %q\nregistry = \"r%d.example\"\nidentity = %q\n", p, i, pinnedIdentity)
		}
		return must(provenance.ParsePins([]byte(text)))
	}
	backwards := make([]string, len(patterns))
	for i, p := range patterns {
		backwards[len(patterns)-1-i] = p
	}
	for purl, want := range map[string]string{
		"pkg:npm/left-pad@1.0.0":            "pkg:npm/*",
		"pkg:npm/%40acme/gadget@1.0.0":      "pkg:npm/@acme/*",
		"pkg:npm/%40acme/wide@1.0.0":        "pkg:npm/@acme/wid*",
		"pkg:npm/%40acme/widget@1.0.0":      "pkg:npm/@acme/widget",
		"pkg:npm/%40acme/widget-x@1.0.0":    "pkg:npm/@acme/widget*",
		"pkg:npm/%40acme-evil/widget@1.0.0": "pkg:npm/*",
		"pkg:cargo/acme@1.0.0":              "",
	} {
		for _, list := range [][]string{patterns, backwards} {
			got := ""
			if pin := write(list).For(mustCoordinate(purl)); pin != nil {
				got = pin.Namespace.String()
			}
			if got != want {
				t.Errorf("%s: pinned by %q, want %q", purl, got, want)
			}
		}
	}
}

// Dependency confusion: a public registry that somebody pins for everything cannot speak for a private scope.
func TestPinnedScopeIsNotThePublicRegistrys(t *testing.T) {
	public, private := newWorld("public.example"), newWorld(registry)
	p := public.plan()
	p.spoilRequest = func(r *provenance.Request) {
		r.Pins = must(provenance.ParsePins(fmt.Appendf(nil, "version = 1\n[[pin]]\nnamespace = \"pkg:npm/*\"\nregistry = %q\nidentity = %q\n"+
			"[[pin]]\nnamespace = \"pkg:npm/@acme/*\"\nregistry = %q\nidentity = %q\n",
			public.name, public.fingerprint(), private.name, private.fingerprint())))
	}
	wantCode(t, "the public registry's @acme/widget", p.verify(), provenance.IdentityMismatch)
}
