package strict_test

import (
	"reflect"
	"strings"
	"testing"

	"countersign.dev/strict"
)

type settings struct {
	Name   string            `toml:"name"`
	Size   uint64            `toml:"size"`
	Small  int               `toml:"small"`
	On     bool              `toml:"on"`
	List   []string          `toml:"list"`
	Table  table             `toml:"table"`
	Tables []table           `toml:"tables"`
	Named  map[string]table  `toml:"named"`
	Flat   map[string]string `toml:"flat"`
}

type table struct {
	Key string `toml:"key"`
	N   uint64 `toml:"n"`
}

func TestTOMLAccepts(t *testing.T) {
	text := "name = 'x' # a comment\r\nsize = 9_007_199_254_740_991\nsmall = 0x10\non = true\nlist = [\n \"a\",\n 'b',\n]\n" +
		"table.key = \"k\"\n[[tables]]\nkey = \"\"\"\none\"\"\"\n[[tables]]\n[named.\"a.b\"]\nn = 3\n[flat]\nc-d = \"e\"\n"
	want := settings{Name: "x", Size: strict.MaxInteger, Small: 16, On: true, List: []string{"a", "b"}, Table: table{Key: "k"},
		Tables: []table{{Key: "one"}, {}}, Named: map[string]table{"a.b": {N: 3}}, Flat: map[string]string{"c-d": "e"}}
	var got settings
	if err := strict.TOML([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// Each error names the line, counted from 1, and the key.
func TestTOMLRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":              {"name = 'x'\n\nother = 1\n", []string{"line 3", `unknown key "other"`}},
		"unknown key in a table":   {"[table]\nkey = 'x'\nkeys = 'x'\n", []string{"line 3", `"table.keys"`}},
		"unknown in a list":        {"[[tables]]\n[[tables]]\nx = 1\n", []string{"line 3", `"tables.x"`}},
		"unknown inline":           {"table = {key = 'x',\n x = 1}\n", []string{"line 1", `"table.x"`}}, // where the value begins,
		"unknown dotted":           {"table.x.y = 1\n", []string{"line 1", "table.x"}},
		"unknown table":            {"name = 'x'\n[other]\n", []string{"line 2", `"other"`}},
		"key in capitals":          {"size = 1\nName = 'x'\n", []string{"line 2", `"Name"`, "lower case"}},
		"key in a table":           {"[table]\nKEY = 'x'\n", []string{"line 2", `"table.KEY"`}},
		"two cases of a key":       {"name = 'x'\nNAME = 'y'\n", []string{"line 2", `"NAME"`}},
		"a long s":                 {"\"li\u017ft\" = []\n", []string{"line 1", "lower case"}},
		"a Kelvin sign":            {"[table]\n\"\u212aey\" = 'x'\n", []string{"line 2", "lower case"}},
		"a name with capitals":     {"[named.A]\nn = 1\n", []string{"line 1", `"named.A"`}},
		"key twice":                {"name = 'x'\nname = 'x'\n", []string{"line 2"}},
		"table twice":              {"[table]\n[table]\n", []string{"line 2"}},
		"table and list":           {"[table]\n[[table]]\n", []string{"line 2"}},
		"negative, unsigned":       {"on = true\nsize = -1\n", []string{"line 2", `"size"`, "between"}},
		"negative, signed":         {"small = -1\n", []string{"line 1", `"small"`}},
		"negative in a list":       {"[[tables]]\nn = 1\n[[tables]]\nkey = 'x'\nn = -1\n", []string{`"tables.n"`}},
		"2^53":                     {"size = 9007199254740992\n", []string{"line 1", `"size"`}},
		"2^64":                     {"size = 18446744073709551616\n", []string{"line 1"}},
		"fraction":                 {"size = 1.0\n", []string{"line 1"}},
		"number as text":           {"size = '1'\n", []string{"line 1"}},
		"text as number":           {"name = 1\n", []string{"line 1"}},
		"flag as number":           {"on = 1\n", []string{"line 1"}},
		"text for a list":          {"list = 'a'\n", []string{"line 1"}},
		"a list of two kinds":      {"list = ['a', 1]\n", []string{"line 1"}},
		"no value":                 {"\nname =\n", []string{"line 2"}},
		"no quotes":                {"name = x\n", []string{"line 1"}},
		"unclosed":                 {"name = 'x\n", []string{"line 1"}},
		"invalid UTF-8":            {"name = '\xff'\n", []string{"line 1"}},
		"a NUL":                    {"name = '\x00'\n", []string{"line 1"}},
		"lone carriage return":     {"name = 'x'\rsize = 1\n", []string{"line 1"}},
		"leading zero":             {"size = 01\n", []string{"line 1"}},
		"unknown, many lines long": {"name = 'x'\nx = [\n1,\n2,\n]\non = true\n", []string{"line 2", `"x"`}},
		"unknown after a long one": {"list = [\n'a',\n'b',\n]\nx = \"\"\"\n\n\"\"\"\n", []string{"line 5", `"x"`}},
		"unknown in the last line": {"name = 'x'\nx = 1", []string{"line 2", `"x"`}},
		"unknown after many lines": {strings.Repeat("[[tables]]\nkey = 'x'\n", 5000) + "x = 1\n", []string{"line 10001", `"tables.x"`}},
	} {
		var v settings
		err := strict.TOML([]byte(c.text), &v)
		if err == nil {
			t.Errorf("%s: accepted as %+v", what, v)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, want %q", what, err, word)
			}
		}
	}
}

// Nothing that is accepted has a key that struct tags match only by folding, or a number out of range.
func FuzzTOML(f *testing.F) {
	for _, s := range []string{"name = 'x'\nsize = 1\n", "[table]\nkey = 'x'\n", "[[tables]]\nn = 1\n[[tables]]\n", "Name = 'x'", "size = -1", "\"li\u017ft\" = []",
		"[named.a]\nn = 2\n", "flat = {a = 'b'}\n", "table.key = 'x'\n", "x = 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v settings
		if strict.TOML(data, &v) != nil {
			return
		}
		if v.Size > strict.MaxInteger || v.Small < 0 || v.Table.N > strict.MaxInteger {
			t.Fatalf("a number out of range: %+v", v)
		}
		if strings.ContainsAny(string(data), "\x00\xff") {
			t.Fatalf("accepted with bytes that are not text: %q", data)
		}
	})
}
