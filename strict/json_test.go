package strict_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/strict"
)

// document has a member of each kind.
type document struct {
	Name   string         `json:"name"`
	Count  uint64         `json:"count,omitzero"`
	Done   bool           `json:"done,omitzero"`
	Parts  []part         `json:"parts,omitzero"`
	Free   map[string]any `json:"free,omitzero"`
	Nested *part          `json:"nested,omitzero"`
}

type part struct {
	ID int `json:"id"`
}

// raw keeps a part of a document as text.
type raw struct {
	Free jsontext.Value `json:"free"`
}

func TestJSONAccepts(t *testing.T) {
	for text, want := range map[string]document{
		`{}`:                            {},
		` { "name" : "x" } ` + "\r\n\t": {Name: "x"},
		`{"name":"\u0041\n\ud83d\ude00","count":9007199254740991}`: {Name: "A\n😀", Count: strict.MaxInteger},
		`{"done":false,"count":0,"parts":[]}`:                      {Parts: []part{}},
		`{"parts":[{"id":1},{}],"nested":{"id":2}}`:                {Parts: []part{{1}, {0}}, Nested: &part{2}},
		`{"n\u0061me":"x"}`:                                        {Name: "x"},
		`{"free":{"a":{"A":[1,true,"x"]}}}`:                        {Free: map[string]any{"a": map[string]any{"A": []any{1.0, true, "x"}}}},
		`{"name":"` + "\u2028\x7f" + `"}`:                          {Name: "\u2028\x7f"},
	} {
		var got document
		if err := strict.JSON([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// Every leniency of some reader of JSON, and a word of the error that says it is refused for that.
func TestJSONRefuses(t *testing.T) {
	deep := func(n int) string {
		return `{"free":{"a":` + strings.Repeat("[", n-2) + strings.Repeat("]", n-2) + `}}`
	}
	for what, c := range map[string]struct{ text, want string }{
		"nothing":                   {"", "empty document"},
		"white space":               {" \n", "empty document"},
		"unknown name":              {`{"name":"x","other":1}`, `"/other"`},
		"unknown name within":       {`{"parts":[{"id":1,"x":1}]}`, `"/parts/0/x"`},
		"name in capitals":          {`{"Name":"x"}`, `"/Name"`},
		"name in other capitals":    {`{"NAME":"x"}`, `"/NAME"`},
		"name with a long s":        {`{"part\u017f":[]}`, "part"},
		"name with a dash":          {`{"na-me":"x"}`, "na-me"},
		"name doubled":              {`{"name":"x","name":"x"}`, "duplicate"},
		"name doubled, escaped":     {`{"name":"x","n\u0061me":"x"}`, "duplicate"},
		"name doubled, within":      {`{"free":{"a":1,"a":1}}`, "duplicate"},
		"name doubled, deep within": {`{"free":{"a":[{"b":1,"b":2}]}}`, "duplicate"},
		"null":                      {`{"name":null}`, "null"},
		"null alone":                {`null`, "null"},
		"null within":               {`{"free":{"a":[null]}}`, "null"},
		"null for an object":        {`{"nested":null}`, "null"},
		"trailing data":             {`{} {}`, "document"},
		"trailing comma":            {`{"name":"x",}`, ""},
		"trailing comma in a list":  {`{"parts":[{},]}`, ""},
		"trailing garbage":          {`{}x`, ""},
		"trailing NUL":              {"{}\x00", ""},
		"truncated":                 {`{"name":"x"`, ""},
		"comment":                   {`{/**/"name":"x"}`, ""},
		"line comment":              {"{}//", ""},
		"byte order mark":           {"\ufeff{}", ""},
		"single quotes":             {`{'name':'x'}`, ""},
		"bare name":                 {`{name:"x"}`, ""},
		"form feed":                 {"{\f}", ""},
		"hard space":                {"{\u00a0}", ""},
		"invalid UTF-8":             {"{\"name\":\"\xff\"}", "UTF-8"},
		"invalid UTF-8 in a name":   {"{\"free\":{\"\xff\":1}}", "UTF-8"},
		"truncated UTF-8":           {"{\"name\":\"\xe2\x82\"}", "UTF-8"},
		"overlong UTF-8":            {"{\"name\":\"\xc0\x80\"}", "UTF-8"},
		"UTF-8 of a surrogate":      {"{\"name\":\"\xed\xa0\x80\"}", "UTF-8"},
		"lone surrogate":            {`{"name":"\ud83d"}`, ""},
		"second surrogate alone":    {`{"name":"\ude00"}`, ""},
		"surrogate and a letter":    {`{"name":"\ud83dx"}`, ""},
		"raw newline in a string":   {"{\"name\":\"\n\"}", ""},
		"raw tab in a string":       {"{\"name\":\"\t\"}", ""},
		"unknown escape":            {`{"name":"\x41"}`, ""},
		"escaped apostrophe":        {`{"name":"\'"}`, ""},
		"half an escape":            {`{"name":"\u00"}`, ""},
		"fraction":                  {`{"count":1.5}`, "integer"},
		"fraction of zero":          {`{"count":1.0}`, "integer"},
		"exponent":                  {`{"count":1e0}`, "integer"},
		"negative":                  {`{"count":-1}`, "integer"},
		"negative in a signed one":  {`{"nested":{"id":-1}}`, "integer"},
		"negative zero":             {`{"count":-0}`, "integer"},
		"leading zero":              {`{"count":01}`, ""},
		"leading plus":              {`{"count":+1}`, ""},
		"leading point":             {`{"count":.5}`, ""},
		"hexadecimal":               {`{"count":0x1}`, ""},
		"underscore":                {`{"count":1_0}`, ""},
		"2^53":                      {`{"count":9007199254740992}`, "integer"},
		"2^64":                      {`{"count":18446744073709551616}`, "integer"},
		"a long number":             {`{"count":` + strings.Repeat("9", 5000) + `}`, "integer"},
		"a fraction anywhere":       {`{"free":{"a":[1.5]}}`, "integer"},
		"NaN":                       {`{"count":NaN}`, ""},
		"Infinity":                  {`{"count":Infinity}`, ""},
		"number as text":            {`{"count":"1"}`, "/count"},
		"text as number":            {`{"name":1}`, "/name"},
		"flag as number":            {`{"done":1}`, "/done"},
		"flag as text":              {`{"done":"true"}`, "/done"},
		"capital flag":              {`{"done":True}`, ""},
		"object for a list":         {`{"parts":{}}`, "/parts"},
		"list for an object":        {`{"nested":[]}`, "/nested"},
		"a list for it all":         {`[]`, "document"},
		"text for it all":           {`"{}"`, "document"},
		"17 levels":                 {deep(17), "nested deeper than 16 levels"},
		"100,000 levels":            {strings.Repeat("[", 100_000), "nested deeper"},
	} {
		var v document
		err := strict.JSON([]byte(c.text), &v)
		if err == nil {
			t.Errorf("%s: accepted as %+v", what, v)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	var v document
	if err := strict.JSON([]byte(deep(16)), &v); err != nil {
		t.Errorf("16 levels: %v", err)
	}
}

// What is kept as text is held to the same rules.
func TestJSONRefusesWithinText(t *testing.T) {
	for _, text := range []string{`{"a":1,"a":1}`, `{"a":[{"b":1,"b":2}]}`, `null`, `[null]`, `1.0`, `{"a":-1}`, `1e3`, `"\ud800"`, "\"\xff\"", `9007199254740992`,
		strings.Repeat("[", 16) + strings.Repeat("]", 16)} {
		var v raw
		if err := strict.JSON([]byte(`{"free":`+text+`}`), &v); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
	var v raw
	if err := strict.JSON([]byte(`{"free":{"a\"n\\":["null","1.5","\\",[[]],{}]}}`), &v); err != nil {
		t.Errorf("quotes and backslashes: %v", err)
	}
}

// Errors are for the author of the document: no Go types, no package names, no line breaks, and never the whole document.
func TestJSONErrors(t *testing.T) {
	for _, text := range []string{`{"count":"1"}`, `{"nested":{"id":"x"}}`, `{"name":"x"`, `{"x":1}`, `[1]`, "{\"name\":\"\xff\"}",
		`{"` + strings.Repeat("x", 10_000) + `":1}`, `{"free":{"` + strings.Repeat("x", 10_000) + `":null}}`, `{"count":` + strings.Repeat("1", 10_000) + `}`} {
		var v document
		err := strict.JSON([]byte(text), &v)
		if err == nil {
			t.Errorf("%.60s: accepted", text)
			continue
		}
		for _, word := range []string{"Go ", "strict_test", "json:", "jsontext", "\n"} {
			if strings.Contains(err.Error(), word) {
				t.Errorf("%.60s: error says %q: %v", text, word, err)
			}
		}
		if len(err.Error()) > 400 {
			t.Errorf("%.60s: error of %d bytes", text, len(err.Error()))
		}
	}
}

// Absent members leave what is there: the caller checks what must be there.
func TestJSONLeavesAbsentMembers(t *testing.T) {
	v := document{Name: "before", Count: 7}
	if err := strict.JSON([]byte(`{"count":8}`), &v); err != nil || v.Name != "before" || v.Count != 8 {
		t.Errorf("%+v, %v", v, err)
	}
}

// What strict.JSON accepts, encoding/json reads as the same values: no second meaning is left.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"name":"x","count":1,"done":true,"parts":[{"id":1}],"free":{"a":[1,"b",{}]},"nested":{"id":0}}`,
		`{"name":"\ud83d\ude00\u0000\/"}`, `{"Name":"x"}`, `{"free":{"a":1,"A":2}}`, `[[1]]`, `"x"`, `9007199254740991`, `{"count":1e3}`, ` {}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var free, other any
		if err := strict.JSON(data, &free); err == nil {
			if err := json.Unmarshal(data, &other); err != nil {
				t.Fatalf("encoding/json refuses what is accepted: %v", err)
			}
			if !reflect.DeepEqual(free, other) {
				t.Fatalf("read as %#v, by encoding/json as %#v", free, other)
			}
		}
		for _, v := range []any{new(any), new(document), new(raw), new(jsontext.Value)} {
			if err := strict.JSON(data, v); err == nil && strict.Scan(data) != nil {
				t.Fatalf("the quick look let through as %T what is refused: %v", v, strict.Scan(data))
			}
		}
		var typed, lenient document
		if err := strict.JSON(data, &typed); err == nil {
			if free == nil {
				t.Fatal("accepted as a document, refused as a value")
			}
			if err := json.Unmarshal(data, &lenient); err != nil {
				t.Fatalf("encoding/json refuses what is accepted: %v", err)
			}
			if !reflect.DeepEqual(typed, lenient) {
				t.Fatalf("read as %+v, by encoding/json as %+v", typed, lenient)
			}
		}
	})
}
