package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"countersign.dev/policy"
)

const reviewed = `version = 1

[[rule]]
name = "reviewed-ai"
message = "generated code that nobody reviewed"
allow = 'ai.extent != "generated" || size(ai.reviewedBy) > 0'
`

func TestParseAccepts(t *testing.T) {
	for what, text := range map[string]string{
		"the least":            reviewed,
		"every key":            strings.Replace(reviewed, "message", "severity = \"note\"\nnamespace = [\"pkg:npm/*\", 'pkg:cargo/acme-*']\nmessage", 1),
		"in lines":             "version = 1\n[[rule]]\nname = 'a'\nmessage = 'm'\nallow = '''\nai.declared\n  && true // a comment\n'''\n",
		"keys in quotes":       "version = 1\n[[ rule ]] # first\n\"name\" = 'a'\n'message' = 'm'\n\"allow\" = \"true\"\n",
		"carriage returns":     strings.ReplaceAll(reviewed, "\n", "\r\n"),
		"a long chain":         rule(strings.Repeat(`purl == "a" || `, 100) + "true"),
		"one loop":             rule(`attributes.l.all(x, x.matches("^[a-z]+$"))`),
		"people in a list":     rule(`ai.reviewedBy.exists(r, r in attributes["com.example.team"])`),
		"map and filter":       rule(`ai.tools.map(t, t.name).filter(n, n != "scribe").size() == 0`),
		"every variable":       rule(`purl + pinNamespace + registry + basis + publisher != "" && !publisherEnded && signedAt < countersignedAt && now > signedAt`),
		"every field of ai":    rule(`ai.declared && ai.extent == "none" && ai.tools.all(t, t.name + t.version != "") && ai.reviewedBy == [publisher]`),
		"a list of attributes": rule(`"a" in [attributes.x, attributes.y["b"]]`),
	} {
		if _, err := policy.Parse([]byte(text), "p.toml"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// rule is a policy whose only rule has an expression that begins in line 5, column 12.
func rule(expression string) string {
	return "version = 1\n[[rule]]\nname = 'a'\nmessage = 'm'\nallow = '''" + expression + "'''\n"
}

// Whatever is wrong is said with its line, and with its column where CEL knows it.
func TestParseRefuses(t *testing.T) {
	second := reviewed + "[[rule]]\nname = \"b\"\nmessage = \"m\"\n"
	example := reviewed + "[[example]]\n"
	for what, c := range map[string]struct{ text, want string }{
		"no TOML":            {"version = ", "p.toml: line 1: "},
		"unknown key":        {reviewed + "colour = 'red'\n", `p.toml: line 7: unknown key "rule.colour"`},
		"unknown in example": {example + "purls = 'x'\n", `p.toml: line 8: unknown key "example.purls"`},
		"capital key":        {strings.Replace(reviewed, "name", "Name", 1), "p.toml: line 4: "},
		"no version":         {strings.Replace(reviewed, "version = 1", "", 1), "p.toml: write version = 1"},
		"another version":    {strings.Replace(reviewed, "= 1", "= 2", 1), "p.toml: write version = 1"},
		"no rule":            {"version = 1\n", "p.toml: no rule"},
		"rules in a row":     {"version = 1\nrule = [{name = 'a', message = 'm', allow = 'true'}]\n", "p.toml: write each rule as [[rule]]"},
		"examples in a row":  {"version = 1\nexample = [{purl = 'a'}]\n[[rule]]\nname = 'a'\nmessage = 'm'\nallow = 'true'\n", "each example as [[example]]"},
		"too many rules":     {"version = 1\n" + strings.Repeat("[[rule]]\n", 101), "p.toml: more than 100 rules"},
		"too long a file":    {reviewed + strings.Repeat("#", policy.MaxFile), "p.toml: more than 262144 bytes"},
		"no name":            {strings.Replace(reviewed, "name = \"reviewed-ai\"\n", "", 1), "p.toml: line 3, column 1: a rule needs a name"},
		"a name of words":    {strings.Replace(reviewed, "reviewed-ai", "reviewed AI", 1), "p.toml: line 4, column 8: a rule needs a name"},
		"a long name":        {strings.Replace(reviewed, "reviewed-ai", strings.Repeat("a", 65), 1), "p.toml: line 4, column 8: a rule needs a name"},
		"a name twice":       {second[:len(second)-len("name = \"b\"\nmessage = \"m\"\n")] + "name = \"reviewed-ai\"\nmessage = \"m\"\nallow = 'true'\n", `p.toml: line 8, column 8: rule "reviewed-ai" is there twice`},
		"a severity":         {reviewed + "severity = \"fatal\"\n", `p.toml: line 7, column 12: severity is "fatal": write`},
		"an empty severity":  {reviewed + "severity = ''\n", `p.toml: line 7, column 12: severity is "": write`},
		"no message":         {strings.Replace(reviewed, "message = \"generated code that nobody reviewed\"\n", "", 1), "p.toml: line 3, column 1: a rule needs a message"},
		"a blank message":    {strings.Replace(reviewed, "generated code that nobody reviewed", " ", 1), "p.toml: line 5, column 11: a rule needs a message"},
		"a long message":     {strings.Replace(reviewed, "generated code", strings.Repeat("a", 1000), 1), "p.toml: line 5, column 11: the message is longer"},
		"a namespace":        {reviewed + "namespace = [\"npm/*\"]\n", "p.toml: line 7, column 13: namespace \"npm/*\": does not begin with pkg:"},
		"no namespaces":      {reviewed + "namespace = []\n", "p.toml: line 7, column 13: empty: leave it out"},
		"no expression":      {second, "p.toml: line 7, column 1: a rule needs an expression"},
		"a blank expression": {second + "allow = ' '\n", "p.toml: line 10, column 9: a rule needs an expression"},

		"syntax":                  {rule("purl =="), "p.toml: line 5, column 19: Syntax error"},
		"assignment":              {rule(`purl = "a"`), "p.toml: line 5, column 17: Syntax error"},
		"an unknown name":         {rule("atributes.x == 1"), "p.toml: line 5, column 12: undeclared reference to 'atributes' (did you mean 'attributes'?)"},
		"an unknown field":        {rule("ai.extend == 'none'"), "p.toml: line 5, column 14: undefined field 'extend'"},
		"an unknown field within": {rule("ai.tools.all(t, t.nam == 'a')"), "p.toml: line 5, column 29: undefined field 'nam'"},
		"a reserved name":         {rule("namespace == 'x'"), "p.toml: line 5, column 12: reserved identifier: namespace"},
		"an unknown function":     {rule("purl.lower() == 'a'"), "p.toml: line 5, column 22: undeclared reference to 'lower'"},
		"types":                   {rule("purl == 1"), "p.toml: line 5, column 17: found no matching overload for '_==_' applied to '(string, int)'"},
		"time and number":         {rule("now - countersignedAt > 3"), "p.toml: line 5, column 34: found no matching overload"},
		"a text":                  {rule("purl"), "p.toml: line 5, column 9: the expression gives a string, not a bool"},
		"an attribute":            {rule("attributes.x"), "p.toml: line 5, column 9: the expression gives a dyn, not a bool"},
		"a later line":            {rule("\n\npurl == 'a' &&\n  ai.extent == 'generatd'\n"), `p.toml: line 8, column 16: ai.extent is never "generatd": it is one of none, assisted, generated`},
		"a word":                  {rule(`basis != "publish"`), `p.toml: line 5, column 21: basis is never "publish": it is one of publisher, registry`},
		"a word on the left":      {rule(`"publish" == basis`), `p.toml: line 5, column 12: basis is never "publish"`},
		"a word in a list":        {rule(`ai.extent in ["none", "some"]`), `p.toml: line 5, column 34: ai.extent is never "some"`},
		"ai among attributes":     {rule(`attributes.aiGeneration.extent == "none"`), "p.toml: line 5, column 22: write ai, whose fields have types"},
		"ai by index":             {rule(`attributes["aiGeneration"].extent == "none"`), "p.toml: line 5, column 23: write ai, whose fields have types"},
		"ai asked for":            {rule(`has(attributes.aiGeneration)`), "p.toml: line 5, column 15: write ai, whose fields have types"},
		"a duration":              {rule(`now - countersignedAt > duration("3d")`), "p.toml: line 5, column 45: invalid duration argument"},
		"a timestamp":             {rule(`now > timestamp("2026-01-01")`), "p.toml: line 5, column 28: invalid timestamp argument"},
		"a time zone":             {rule(`now.getHours("Europe/Berlin") == 1`), "p.toml: line 5, column 24: found no matching overload for 'getHours'"},
		"a regular expression":    {rule(`purl.matches("(")`), "p.toml: line 5, column 25: invalid matches argument"},
		"a large expression":      {rule(`purl.matches("(x{300})")`), "p.toml: line 5, column 25: regex program size"},
		"an expression's bomb":    {rule(`purl.matches("((x{100}){100}){100}")`), "p.toml: line 5, column 25: "},
		"a regexp of a publisher": {rule(`purl.matches(attributes.x)`), "p.toml: line 5, column 35: the regular expression must be written here"},
		"a function of it":        {rule(`matches(purl, attributes.x)`), "p.toml: line 5, column 36: the regular expression must be written here"},
		"mixed lists":             {rule(`purl in [1, "a"]`), "p.toml: line 5, column "},
		"no types":                {rule("dyn(purl) == 1"), "p.toml: line 5, column 15: undeclared reference to 'dyn'"},
		"ai made":                 {rule(`ai{extent: "none"} == ai`), "p.toml: line 5, column 14: ai cannot be made here"},
		"loops in loops":          {rule("attributes.l.all(x, attributes.m.all(y, x == y))"), "p.toml: line 5, column 9: the expression may take too many steps"},
		"loops over people":       {rule("ai.tools.all(t, ai.tools.all(u, t.name == u.name))"), "p.toml: line 5, column 9: the expression may take too many steps"},
		"type":                    {rule("type(purl) == string"), "p.toml: line 5, column 16: undeclared reference to 'type'"},
		"CEL's own names":         {rule("[1].all(x, __result__)"), "p.toml: line 5, column 23: undeclared reference"},
		"four loops":              {rule("[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))"), "p.toml: line 5, column 52: comprehension exceeds nesting limit"},
		"deep nesting":            {rule(strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60)), "p.toml: line 5, column 9: expression recursion limit exceeded: 50"},
		"a long expression":       {rule("true" + strings.Repeat(" ", policy.MaxExpression)), "p.toml: line 5, column 9: expression code point size exceeds limit"},
		"lists of lists":          {rule("[[1]].size() == 1"), "p.toml: line 5, column 13: a list holds texts, numbers"},
		"a map of lists":          {rule(`{"a": [1]}.size() == 1`), "p.toml: line 5, column 18: a list holds texts, numbers"},
		"a list put together":     {rule("[attributes.a + attributes.a].size() == 1"), "a list holds texts, numbers"},
		"a list in a choice":      {rule("[true ? attributes.a : [attributes.a]].size() == 1"), "a list holds texts, numbers"},
		"a list of a loop":        {rule("attributes.l.map(x, [x]).size() == 1"), "a list holds texts, numbers"},

		"a purl":                  {example + "purl = 'pkg:npm/@acme/x@1.0.0'\n", "p.toml: line 8, column 8: "},
		"a partial purl":          {example + "purl = 'pkg:pypi/x@1'\n", "p.toml: line 8, column 8: "},
		"a pattern":               {example + "namespace = 'npm'\n", "p.toml: line 8, column 13: "},
		"another's pattern":       {example + "namespace = 'pkg:cargo/*'\n", "p.toml: line 8, column 13: it does not cover pkg:npm/example@1.0.0"},
		"a registry":              {example + "registry = 'https://x'\n", "p.toml: line 8, column 12: "},
		"a basis":                 {example + "basis = 'hearsay'\n", `p.toml: line 8, column 9: basis is "hearsay": write`},
		"a publisher":             {example + "publisher = 'acme'\n", "p.toml: line 8, column 13: not a key's fingerprint"},
		"attributes":              {example + "attributes = '{'\n", "p.toml: line 8, column 14: "},
		"attributes: a list":      {example + "attributes = '[]'\n", "p.toml: line 8, column 14: not one JSON object"},
		"attributes: more":        {example + "attributes = '{}{}'\n", "p.toml: line 8, column 14: not one JSON object"},
		"attributes: twice":       {example + "attributes = '{\"a\":1,\"a\":1}'\n", "p.toml: line 8, column 14: "},
		"attributes: null":        {example + "attributes = '{\"a\":null}'\n", "p.toml: line 8, column 14: null is not a value here"},
		"attributes: fraction":    {example + "attributes = '{\"a\":1.5}'\n", "p.toml: line 8, column 14: a number is not an integer"},
		"attributes: deep":        {example + "attributes = '{\"a\":" + strings.Repeat("[", 16) + strings.Repeat("]", 16) + "}'\n", "p.toml: line 8, column 14: nested deeper than 16"},
		"attributes: long":        {example + "attributes = '{\"a\":\"" + strings.Repeat("x", 24<<10) + "\"}'\n", "p.toml: line 8, column 14: 24584 bytes, at most 24576"},
		"attributes: an extent":   {example + "attributes = '{\"aiGeneration\":{\"extent\":\"some\",\"tools\":[],\"reviewedBy\":[]}}'\n", "p.toml: line 8, column 14: aiGeneration: extent"},
		"registry and publisher":  {example + "basis = 'registry'\npublisher = 'x'\n", "p.toml: line 9, column 13: publisher has no meaning"},
		"registry and attributes": {example + "basis = 'registry'\nattributes = '{}'\n", "p.toml: line 9, column 14: attributes has no meaning"},
		"registry and signed_at":  {example + "basis = 'registry'\nsigned_at = 2026-01-01T00:00:00Z\n", "p.toml: line 9, column 13: signed_at has no meaning"},
		"registry and ended":      {example + "basis = 'registry'\npublisher_ended = true\n", "p.toml: line 9, column 19: publisher_ended has no meaning"},
		"local time":              {example + "now = 2026-01-01T00:00:00\n", "p.toml: line 8, column 7: write the time in UTC"},
		"a date":                  {example + "countersigned_at = 2026-01-01\n", "p.toml: line 8, column 20: write the time in UTC"},
		"a time zone's time":      {example + "signed_at = 2026-01-01T00:00:00+01:00\n", "p.toml: line 8, column 13: write the time in UTC"},
		"a part of a second":      {example + "now = 2026-01-01T00:00:00.5Z\n", "p.toml: line 8, column 7: write the time in UTC"},
		"time as text":            {example + "now = '2026-01-01T00:00:00Z'\n", "p.toml: line 8, column 7: write the time in UTC"},
		"an unknown rule":         {example + "violates = ['other']\n", `p.toml: line 8, column 12: there is no rule "other"`},
		"the second example":      {example + "[[example]]\nviolates = ['other']\n", `p.toml: line 9, column 12: there is no rule "other"`},
	} {
		_, err := policy.Parse([]byte(c.text), "p.toml")
		if err == nil {
			t.Errorf("%s: accepted", what)
		} else if s := err.Error(); !strings.HasPrefix(s, "p.toml: ") || !strings.Contains(s, c.want) || strings.Contains(s, "container") || len(s) > 400 {
			t.Errorf("%s: %s\nwant %s", what, s, c.want)
		}
	}
}

// The place of a mistake is found in every spelling of a TOML string.
func TestPlaces(t *testing.T) {
	for what, c := range map[string]struct {
		allow string
		want  string
	}{
		"literal":              {`'wrong'`, "line 5, column 10"},
		"basic":                {`"wrong"`, "line 5, column 10"},
		"after blanks":         {"   \t 'true && wrong'", "line 5, column 23"},
		"escaped quotes":       {`"purl == \"a\" || wrong"`, "line 5, column 27"},
		"an escaped letter":    {`"purl == \"\u00e4\" || wrong"`, "line 5, column 32"},
		"a long escape":        {`"purl == \"\U0001F600\" || wrong"`, "line 5, column 36"},
		"a letter of Europe":   {`"purl == 'ä' || wrong"`, "line 5, column 25"},
		"beyond the BMP":       {`"purl == '😀' || wrong"`, "line 5, column 25"},
		"an escaped line":      {`"true\n && wrong"`, "line 5, column 20"},
		"an escaped tab":       {`"\twrong"`, "line 5, column 12"},
		"many lines":           {"'''\ntrue\n  && wrong\n'''", "line 7, column 6"},
		"many lines, no first": {"'''true\n  && wrong'''", "line 6, column 6"},
		"many basic lines":     {"\"\"\"\ntrue\n  && wrong\n\"\"\"", "line 7, column 6"},
		"a line continued":     {"\"\"\"\ntrue \\\n\n   && wrong\"\"\"", "line 8, column 7"},
		"quotes within":        {"'''purl == '' || wrong'''", "line 5, column 26"},
		"carriage returns":     {"'''\r\ntrue\r\n  && wrong\r\n'''", "line 7, column 6"},
		"the last of all":      {`'wrong'`, "line 5, column 10"},
	} {
		before := "# [[rule]] allow = 'wrong'\nversion = 1 # '''\n[[rule]]\nname = 'a'\nallow = "
		for _, after := range []string{"\nmessage = \"m '''\"\n", "# '''\nmessage = '''\nm\"'''\nnamespace = [ # ]\n  \"pkg:npm/*\", # '\n]\n"} {
			_, err := policy.Parse([]byte(before+c.allow+after), "p")
			if want := fmt.Sprintf("p: %s: undeclared reference to 'wrong'", c.want); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
	}
}

// A value of several lines, with what looks like keys in it, hides nothing that comes after it.
func TestPlacesAfterLists(t *testing.T) {
	text := "version = 1\n[[rule]]\nnamespace = [ # ]\n  \"pkg:npm/a*\", # '\n  'pkg:npm/b*',\n]\nname = 'a'\nmessage = \"\"\"\nallow = 'x'\n[[rule]]\"\"\"\nallow = 'wrong'\n"
	if _, err := policy.Parse([]byte(text), "p"); err == nil || err.Error() != "p: line 11, column 10: undeclared reference to 'wrong'" {
		t.Error(err)
	}
}
