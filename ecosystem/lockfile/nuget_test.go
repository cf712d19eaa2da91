package lockfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

// hash is a contentHash of one digit.
func hash(digit string) string {
	raw, err := hex.DecodeString(sha512Of(digit))
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestNuGetLock(t *testing.T) {
	testReadings(t, "packages.lock.json", []reading{
		{"frameworks", `{
  "version": 2,
  "dependencies": {
    "net8.0": {
      "Newtonsoft.Json": {
        "type": "Direct",
        "requested": "[13.0.1, )",
        "resolved": "13.0.1",
        "contentHash": "` + hash("a") + `",
        "dependencies": {"System.Runtime": "4.3.0"}
      },
      "Acme.Core": {"type": "CentralTransitive", "requested": "[1.0.0, )", "resolved": "1.02.0.0-Beta+x", "contentHash": "` + hash("b") + `"},
      "acme.app": {"type": "Project", "dependencies": {"Acme.Core": "[1.0.0, )"}},
      "No.Hash": {"type": "Transitive", "resolved": "1.0.0"},
      "No.Version": {"type": "Direct", "requested": "[1.0.0, )"},
      "-Bad": {"type": "Direct", "resolved": "1.0.0", "contentHash": "` + hash("c") + `"}
    },
    "net8.0/win-x64": {
      "Newtonsoft.Json": {"type": "Direct", "resolved": "13.0.1", "contentHash": "` + hash("a") + `"}
    }
  }
}`, `
5 pkg:nuget/newtonsoft.json@13.0.1 nugetContentHash:a
12 pkg:nuget/acme.core@1.2.0-beta nugetContentHash:b
13 acme.app !path
14 pkg:nuget/no.hash@1.0.0 !no-digest
15 No.Version !not-locked
16 -Bad nugetContentHash:c !name
19 pkg:nuget/newtonsoft.json@13.0.1 nugetContentHash:a
`},
		{"nothing", `{"version": 1, "dependencies": {}}`, ""},
	})
}

func TestNuGetLockRefusals(t *testing.T) {
	in := func(packages string) string {
		return "{\"version\": 1, \"dependencies\": {\"net8.0\": {\n" + packages + "}}}"
	}
	one := `"A.B": {"type": "Direct", "resolved": "1.0.0", "contentHash": "` + hash("a") + `"}`
	testRefusals(t, "packages.lock.json", []refusal{
		{"later version", `{"version": 3, "dependencies": {}}`, `version "3" is not known`},
		{"no version", `{"dependencies": {}}`, "does not say its version"},
		{"no dependencies", `{"version": 1}`, "has no dependencies"},
		{"name twice", in(one + ",\n" + one), "duplicate"},
		{"name twice in other case", in(one + ",\n" + strings.ToLower(one)), "line 3: \"a.b\" is there already, in line 2"},
		{"other content in another framework", "{\"version\": 1, \"dependencies\": {\"net8.0\": {\n" + one + "},\n\"net9.0\": {" + strings.Replace(one, hash("a"), hash("b"), 1) + "}}}",
			"twice, in line 2 and in line 3, with different nugetContentHash"},
		{"short hash", in(strings.Replace(one, hash("a"), "YWJj", 1)), "line 2: \"A.B\": sha512 digest has 3 bytes, not 64"},
		{"hash that is no base64", in(strings.Replace(one, hash("a"), "!", 1)), "not base64"},
		{"hash that is no text", in(strings.Replace(one, `"`+hash("a")+`"`, "5", 1)), "want text"},
		{"unknown type", in(strings.Replace(one, "Direct", "Magic", 1)), "type \"Magic\", which is not known"},
		{"member in other case", in(strings.Replace(one, "contentHash", "ContentHash", 1)), "differs from \"contentHash\" by case"},
		{"member twice", in(`"A.B": {"type": "Direct", "type": "Project"}`), "duplicate"},
		{"dependencies in other case", `{"version": 1, "Dependencies": {}}`, "by case"},
		{"no object", "[]", "want an object"},
		{"package that is no object", in(`"A.B": 5`), "line 2: want an object"},
		{"more", "{\"version\": 1, \"dependencies\": {}} {}", ""},
		{"nothing", "", ""},
	})
	testCutOff(t, "packages.lock.json", in(one))
	testRefusals(t, "packages.lock.json", []refusal{{"deep", string(bytes.Repeat([]byte("["), 1<<20)), ""}})
}
