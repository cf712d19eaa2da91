package lockfile_test

import (
	"strings"
	"testing"
)

// mavenLock is a lockfile with one dependency.
func mavenLock(dependency string) string {
	return "{\"artifactId\": \"app\", \"groupId\": \"com.acme\", \"version\": \"1\", \"lockFileVersion\": 1, \"dependencies\": [\n" +
		dependency + "]}\n"
}

const mavenDependency = `{"groupId": "com.acme", "artifactId": "lib", "version": "1.0", "checksumAlgorithm": "SHA-256", "checksum": "256:a"}`

func TestMavenLock(t *testing.T) {
	testReadings(t, "lockfile.json", []reading{
		{"as the plugin writes it", `{
  "artifactId": "app",
  "groupId": "com.acme",
  "version": "1",
  "pom": {
    "groupId": "com.acme", "artifactId": "app", "version": "1", "relativePath": "pom.xml", "checksumAlgorithm": "SHA-256", "checksum": "256:1",
    "parent": {"groupId": "com.acme", "artifactId": "parent", "version": "7", "resolved": "https://repo.example/parent-7.pom", "repositoryId": "central",
      "checksumAlgorithm": "SHA-256", "checksum": "256:2",
      "boms": [{"groupId": "com.acme", "artifactId": "bom", "version": "8", "checksumAlgorithm": "SHA-256", "checksum": "256:3"}]}
  },
  "lockFileVersion": 1,
  "dependencies": [
    {
      "groupId": "com.acme", "artifactId": "lib", "version": "1.0", "checksumAlgorithm": "SHA-256",
      "checksum": "256:a",
      "scope": "compile", "resolved": "https://repo.example/com/acme/lib/1.0/lib-1.0.jar", "selectedVersion": "1.0", "included": true,
      "id": "com.acme:lib:1.0",
      "parentPom": {"groupId": "com.acme", "artifactId": "parent", "version": "9", "checksumAlgorithm": "SHA-256", "checksum": "256:4", "parent": null},
      "children": [
        {"groupId": "org.dep", "artifactId": "dep", "version": "2.0", "classifier": "linux", "checksumAlgorithm": "SHA-512", "checksum": "512:b", "included": false, "children": []},
        {"groupId": "com.acme", "artifactId": "lib", "version": "1.0", "checksumAlgorithm": "SHA-256", "checksum": "256:a"}
      ],
      "boms": []
    },
    {"groupId": "org.dep", "artifactId": "site", "version": "1.0", "type": "war", "checksumAlgorithm": "SHA-256", "checksum": "256:c"},
    {"groupId": "org.dep", "artifactId": "old", "version": "1.0", "resolved": "https://repo.example/old-1.0.zip", "checksumAlgorithm": "SHA-256", "checksum": "256:d"},
    {"groupId": "org.dep", "artifactId": "tests", "version": "1.0", "type": "test-jar", "checksumAlgorithm": "SHA-256", "checksum": "256:e"}
  ],
  "mavenPlugins": [
    {"groupId": "org.plugin", "artifactId": "p", "version": "3.0", "checksumAlgorithm": "sha256", "checksum": "256:5",
     "dependencies": [{"groupId": "org.dep", "artifactId": "of-plugin", "version": "1.0", "checksumAlgorithm": "SHA-256", "checksum": "256:6"}]}
  ],
  "mavenExtensions": [{"groupId": "org.ext", "artifactId": "x", "version": "1.7", "checksumAlgorithm": "SHA-256", "checksum": "256:7", "dependencies": null}],
  "metaData": {"config": {"children": [{}]}}
}`, `
7 pkg:maven/com.acme/parent@7?type=pom <https://repo.example/parent-7.pom> sha256:2
9 pkg:maven/com.acme/bom@8?type=pom sha256:3
13 pkg:maven/com.acme/lib@1.0 <https://repo.example/com/acme/lib/1.0/lib-1.0.jar> sha256:a
18 pkg:maven/com.acme/parent@9?type=pom sha256:4
20 pkg:maven/org.dep/dep@2.0?classifier=linux sha512:b
25 pkg:maven/org.dep/site@1.0?type=war sha256:c
26 pkg:maven/org.dep/old@1.0?type=zip <https://repo.example/old-1.0.zip> sha256:d
27 pkg:maven/org.dep/tests@1.0?classifier=tests sha256:e
30 pkg:maven/org.plugin/p@3.0 sha256:5
31 pkg:maven/org.dep/of-plugin@1.0 sha256:6
33 pkg:maven/org.ext/x@1.7 sha256:7
`},
		{"what cannot be checked", mavenLock(strings.Join([]string{
			strings.Replace(mavenDependency, "256:a", "", 1),
			`{"groupId": "com.acme", "artifactId": "a", "version": "1.0"}`,
			`{"groupId": "com.acme", "artifactId": "b", "version": "1.0", "checksumAlgorithm": "SHA-1", "checksum": "0123456789abcdef0123456789abcdef01234567"}`,
			`{"groupId": "com.acme", "artifactId": "c", "version": "1.0", "checksumAlgorithm": "SHA3-256", "checksum": "256:a"}`,
			`{"groupId": "com.acme", "artifactId": "d", "version": "1.0-SNAPSHOT", "checksumAlgorithm": "SHA-256", "checksum": "256:a"}`,
			`{"groupId": "com.acme", "artifactId": "e", "checksumAlgorithm": "SHA-256", "checksum": "256:a", "boms": [{"relativePath": "../pom.xml"}]}`,
		}, ",\n")), `
2 pkg:maven/com.acme/lib@1.0 !no-digest
3 pkg:maven/com.acme/a@1.0 !no-digest
4 pkg:maven/com.acme/b@1.0 !weak-digest
5 pkg:maven/com.acme/c@1.0 !no-digest
6 com.acme:d sha256:a !name
7 com.acme:e sha256:a !not-locked
7 ../pom.xml <../pom.xml> !path
`},
		{"nothing", mavenLock(""), ""},
	})
}

func TestMavenLockRefusals(t *testing.T) {
	testRefusals(t, "lockfile.json", []refusal{
		{"other version", strings.Replace(mavenLock(""), `Version": 1`, `Version": 2`, 1), `version "2" is not known`},
		{"no version", `{"dependencies": []}`, "does not say its version"},
		{"other file of this name", `{"lockFileVersion": 1}`, "has no dependencies"},
		{"two contents", mavenLock(mavenDependency + ",\n" + strings.Replace(mavenDependency, "256:a", "256:b", 1)), "twice, in line 2 and in line 3, with different sha256"},
		{"short checksum", mavenLock(strings.Replace(mavenDependency, "256:a", "abcd", 1)), "line 2: \"com.acme:lib\": sha256 digest has 2 bytes, not 32"},
		{"checksum that is no hex", mavenLock(strings.Replace(mavenDependency, "256:a", "xyz", 1)), "not hex"},
		{"member twice", mavenLock(strings.Replace(mavenDependency, `"version"`, `"artifactId"`, 1)), "duplicate"},
		{"member in other case", mavenLock(strings.Replace(mavenDependency, `"version"`, `"Version"`, 1)), "by case"},
		{"tree in other case", mavenLock(strings.Replace(mavenDependency, `"version"`, `"Children": [], "version"`, 1)), "by case"},
		{"array that is none", strings.Replace(mavenLock(""), "[\n]", "{}", 1), "want an array"},
		{"dependency that is no object", mavenLock("5"), "line 2: want an object"},
		{"deep", mavenLock(strings.Repeat(`{"groupId":"a","artifactId":"b","version":"1","children":[`, 100) + strings.Repeat("]}", 100)), "nested deeper"},
		{"long line of parents", mavenLock(`{"groupId":"a","artifactId":"b","version":"1","parentPom":` + strings.Repeat(`{"groupId":"a","artifactId":"b","version":"1","parent":`, 100) + "null" + strings.Repeat("}", 101)), "nested deeper"},
		{"nothing", "", ""},
	})
	testCutOff(t, "lockfile.json", mavenLock(mavenDependency))
}
