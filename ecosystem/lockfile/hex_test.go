package lockfile_test

import (
	"os"
	"strings"
	"testing"
)

const phoenix = `{:hex, :phoenix, "1.7.0", "256:a", [:mix], [{:plug, "~> 1.14", [hex: :plug, repo: "hexpm", optional: false]}], "hexpm", "256:b"}`

func TestMixLock(t *testing.T) {
	testReadings(t, "mix.lock", []reading{
		{"as Mix writes it", `%{
  "billing": {:hex, :billing, "2.0.1", "256:c", [:mix], [], "hexpm:acme", "256:d"},
  "forked": {:git, "https://git.acme.example/forked.git", "0123456789abcdef0123456789abcdef01234567", [tag: "v1"]},
  "phoenix": ` + phoenix + `,
}
`, `
2 pkg:hex/acme/billing@2.0.1 <hexpm:acme> hexInner:c+sha256:d
3 forked <https://git.acme.example/forked.git> !git
4 pkg:hex/phoenix@1.7.0 <hexpm> hexInner:a+sha256:b
`},
		{"older clients", `%{"a": {:hex, :a, "1.0.0"},
"b": {:hex, :b, "1.0.0", "256:b", [:mix]},
"c": {:hex, :c, "1.0.0", "256:c", [:rebar3, :make], []},
"d": {:hex, :d_package, "1.0.0", "256:d", nil, [], "other"}, "e": {:hex, :e, "1.0.0", nil, [], [], "hexpm", "256:e"}}`, `
1 pkg:hex/a@1.0.0 <hexpm> !no-digest
2 pkg:hex/b@1.0.0 <hexpm> hexInner:b
3 pkg:hex/c@1.0.0 <hexpm> hexInner:c
4 pkg:hex/other/d_package@1.0.0 <other> hexInner:d
4 pkg:hex/e@1.0.0 <hexpm> sha256:e
`},
		{"other sources", `%{
# a comment
a: {:path, "../a"}, "b": {:svn, "https://svn.example", "5"},
"c": {:hex, :C, "1.0.0", "256:a", [], [], "hexpm", "256:b"},
"d": {:hex, :d, "1.0", "256:a", [], [], "hexpm", "256:b"},}`, `
3 a <../a> !path
3 b <https://svn.example> !url
4 c <hexpm> hexInner:a+sha256:b !name
5 d <hexpm> hexInner:a+sha256:b !name
`},
		{"nothing", "%{\n}\n", ""},
		{"literals of all kinds", `%{"a": {:git, "u", nil, true, -5, :"q", [x: %{"k" => 1, k: {}}, "y": "\"}"]}}`, "1 a <u> !git\n"},
	})
}

func TestMixLockRefusals(t *testing.T) {
	in := func(value string) string { return "%{\n\"a\": " + value + ",\n}\n" }
	testRefusals(t, "mix.lock", []refusal{
		{"key twice", "%{\n\"a\": " + phoenix + ",\n\"a\": " + phoenix + "}", `line 3: "a" is there twice, first in line 2`},
		{"package twice", "%{\n\"a\": " + phoenix + ",\n\"b\": " + strings.Replace(phoenix, "256:b", "256:c", 1) + "}",
			"twice, in line 2 and in line 3, with different sha256"},
		{"code", in(`System.cmd("sh", [])`), "line 2: want a literal"},
		{"code in a string", in(`{:git, "#{File.read("x")}"}`), "line 2: a string has #{"},
		{"operator", in(phoenix + ` |> elem(0)`), "line 2: want a comma"},
		{"attribute", in(`@x`), "want a literal"},
		{"short digest", in(strings.Replace(phoenix, "256:b", "abcd", 1)), "line 2: \"a\": sha256 digest has 2 bytes"},
		{"short inner digest", in(strings.Replace(phoenix, "256:a", "abcd", 1)), "line 2: \"a\": sha256 digest has 2 bytes"},
		{"digest that is no text", in(strings.Replace(phoenix, `"256:b"`, ":b", 1)), "want the checksum as a string"},
		{"later tuple", in(strings.Replace(phoenix, "}", ", 5}", 2)), "what Hex writes"},
		{"nine elements", in(strings.TrimSuffix(phoenix, "}") + ", 5}"), "a tuple of 9 elements"},
		{"four elements", in(`{:hex, :a, "1.0.0", "256:a"}`), "a tuple of 4 elements"},
		{"name as a string", in(`{:hex, "a", "1.0.0"}`), "want the name as an atom"},
		{"escape in the version", in(`{:hex, :a, "1\u002e0.0"}`), "without escapes"},
		{"escape in a key", `%{"\u0061": {:hex, :a, "1.0.0"}}`, "a key has an escape"},
		{"escape in the repository", in(strings.Replace(phoenix, `"hexpm", "256`, `"\u0068expm", "256`, 1)), "want the repository as a string"},
		{"string key", `%{"a" => ` + phoenix + `}`, "want \"name\""},
		{"no tuple", in(`"1.0.0"`), "want a tuple"},
		{"tuple of something else", in(`{"hex", :a}`), "begins with :hex"},
		{"git without an address", in(`{:git, :a}`), "want a string behind :git"},
		{"list", "[a: 1]", "want a map"},
		{"more", "%{}\n%{}", "line 2: there is more behind the map"},
		{"no end", "%{\"a\": {:hex, :a", "line 1"},
		{"deep", in(strings.Repeat("[", 100) + strings.Repeat("]", 100)), "nested deeper"},
		{"wide", in("{" + strings.Repeat("1,", 100) + "}"), "a tuple of more than"},
		{"merge conflict", "%{\n<<<<<<< HEAD\n}", "line 2"},
		{"nothing", "", "want a map"},
	})
	testCutOff(t, "mix.lock", in(phoenix))
}

// What Mix 1.14 wrote, with entries of ours.
func TestMixLockByMix(t *testing.T) {
	text, err := os.ReadFile("testdata/mix-1.14.mix.lock")
	if err != nil {
		t.Fatal(err)
	}
	testReadings(t, "mix.lock", []reading{{"mix 1.14", string(text), `
2 dep <https://git.acme.example/dep> !git
3 pkg:hex/phoenix@1.7.0 <hexpm> hexInner:a+sha256:b
4 pkg:hex/acme/weird_app@1.0.0 <hexpm:acme> hexInner:c+sha256:d
`}})
}
