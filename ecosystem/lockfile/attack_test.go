package lockfile_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// The tests in this file are lockfiles that a client reads otherwise than they look. Each was seen to be installed from
// in another way than this package once read it, by the client itself or by the parser that it is made with.

// npmLock is a package-lock.json with one package.
func npmLock(fields string) string {
	return `{"lockfileVersion":3,"packages":{"":{},"node_modules/widget":{"version":"1.0.0",` + fields + `}}}`
}

// npm puts what a package was resolved to behind its name and an @, and resolves that.
func TestResolvedToAVersion(t *testing.T) {
	const line = "1 pkg:npm/widget@1.0.0 "
	for resolved, problem := range map[string]string{
		"2.0.0": "not-locked", "latest": "not-locked", ">=2": "not-locked", "evil/widget": "git", "a/b/c": "git",
		"./widget": "path", "/widget": "path", "~/widget": "path", "widget.tgz": "path", "file:widget": "path",
		"npm:evil@1.0.0": "url", "HTTPS://registry.example/x": "url",
	} {
		testReadings(t, "package-lock.json", []reading{
			{resolved, npmLock(`"resolved":"` + resolved + `"`), line + "<" + resolved + "> !" + problem + "\n"},
		})
	}
}

// Old clients read "dependencies", new ones "packages": digests by different algorithms may be those of different files.
func TestTwoAlgorithms(t *testing.T) {
	text := exampleText(t, "npm2/package-lock.json")
	other := "sha256-" + "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="
	start := strings.LastIndex(text, `"integrity": "sha512-`) + len(`"integrity": "`)
	end := start + strings.Index(text[start:], `"`)
	_, err := lockfile.Parse("package-lock.json", []byte(text[:start]+other+text[end:]))
	if err == nil || !strings.Contains(err.Error(), "which new clients read, and another in") {
		t.Errorf("digests by different algorithms: %v", err)
	}
}

func pnpmLock(resolution, more string) string {
	return "lockfileVersion: '9.0'\npackages:\n  widget@1.0.0:\n    resolution: {" + resolution + "}\n" + more
}

// pnpm takes a package from a folder only if its type says so, and a tarball without a scheme from the registry.
func TestPnpmRegistryInDisguise(t *testing.T) {
	const line = "3 pkg:npm/widget@1.0.0 "
	testReadings(t, "pnpm-lock.yaml", []reading{
		{"folder without a type", pnpmLock("directory: a", ""), line + "!no-digest\n"},
		{"folder with a type", pnpmLock("directory: a, type: directory", ""), line + "!path\n"},
		{"folder and tarball", pnpmLock("directory: a, tarball: 'https://x.example/a'", ""), line + "<https://x.example/a> !no-digest\n"},
		{"relative tarball", pnpmLock("tarball: evil/-/evil-1.0.0.tgz", ""), line + "<evil/-/evil-1.0.0.tgz> !no-digest\n"},
		{"file", pnpmLock("tarball: 'file:a.tgz'", ""), line + "<file:a.tgz> !path\n"},
	})
	testRefusals(t, "pnpm-lock.yaml", []refusal{
		{"snapshot of no package", pnpmLock("", "snapshots:\n  evil@1.0.0:\n    resolution: {}\n"), `line 6: the snapshot "evil@1.0.0" has a resolution`},
		{"snapshot with a name", pnpmLock("", "snapshots:\n  widget@1.0.0: {name: evil}\n"), `has a name`},
		{"snapshot with a version", pnpmLock("", "snapshots:\n  widget@1.0.0: {version: 2.0.0}\n"), `has a version`},
	})
}

// Yarn resolves again what has no URL, and takes a URL before it looks for a file.
func TestClassicResolved(t *testing.T) {
	const head = "# yarn lockfile v1\n\n"
	testReadings(t, "yarn.lock", []reading{
		{"nowhere", head + "widget@^1:\n  version \"1.0.0\"\n  integrity sha256-" + strings.Repeat("A", 43) + "=\n", "3 pkg:npm/widget@1.0.0 sha256:0 !not-locked\n"},
		{"file", head + "\"widget@file:./a.tgz\":\n  version \"1.0.0\"\n  resolved \"https://x.example/a.tgz\"\n", "3 pkg:npm/widget@1.0.0 <https://x.example/a.tgz> !url\n"},
		{"folder", head + "\"widget@file:./a\":\n  version \"1.0.0\"\n", "3 pkg:npm/widget@1.0.0 !path\n"},
	})
}

// pip splits options as a shell does, and knows more files than those beside.
func TestPipHides(t *testing.T) {
	const hashed = "foo==1.0 --hash=sha256:256:a "
	testRefusals(t, "requirements.txt", []refusal{
		{"quoted include", `--pre "-r" evil.txt`, "without quotes"},
		{"quoted include, joined", `--pre '-revil.txt'`, "without quotes"},
		{"escaped include", `--pre \-r evil.txt`, "without quotes"},
		{"quoted editable", `--no-index '-e' git+https://x.example/y`, "without quotes"},
		{"quoted name of a file", `-r "evil.txt"`, "without quotes"},
		{"equals sign", `-r=evil.txt`, "without quotes"},
		{"hash in quotes", `foo==1.0 --global-option "a --hash=sha256:256:a --global-option b"`, "without quotes"},
		{"hash in other quotes", `foo==1.0 --global-option 'a --hash=sha256:256:a --global-option b'`, "without quotes"},
		{"escaped space", hashed + `--global-option a\ --hash`, "without quotes"},
		{"variable", "-r ${HOME}.txt", "only files"},
		{"absolute", "-r /evil.txt", "only files"},
		{"URL without slashes", "-r file:evil.txt", "only files"},
		{"two", "-r a.txt -r b.txt", "only files"},
		{"of Windows", `-r a\b.txt`, "without quotes"},
		{"encoding behind a carriage return", "#\rcoding: utf-7\n# x+AAo-evil==1.0\n" + hashed, `line 1: encoding "utf-7"`},
		{"encoding in line two", "\n#\rcoding=unicode_escape\n# x\\nevil==1.0\n" + hashed, `line 2: encoding "unicode_escape"`},
	})
	testReadings(t, "requirements.txt", []reading{
		{"encoding in line three", "\n\n# coding: utf-7\n" + hashed, "4 pkg:pypi/foo@1 sha256:a\n"},
		{"URL without slashes, by a name", "foo @ git+ssh:x.example/y", "1 foo <git+ssh:x.example/y> !git\n"},
		{"URL without slashes, of a file", "foo @ https:x.example/y.whl", "1 foo <https:x.example/y.whl> !url\n"},
		{"file without slashes", "foo @ file:y.whl", "1 foo <file:y.whl> !path\n"},
		{"quotes in a marker", `foo==1.0 ; python_version > "3" --hash=sha256:256:a`, "1 pkg:pypi/foo@1 sha256:a\n"},
	})
}

func TestUVSources(t *testing.T) {
	one := func(source string) string {
		return "version = 1\n[[package]]\nname = \"a\"\nversion = \"1\"\nsource = " + source + "\nsdist = { hash = \"sha256:256:a\" }\n"
	}
	testReadings(t, "uv.lock", []reading{
		{"registry in capitals", one(`{ registry = "HTTPS://x.example" }`), "2 pkg:pypi/a@1 <HTTPS://x.example> sha256:a\n"},
		{"folder", one(`{ registry = "../x" }`), "2 pkg:pypi/a@1 <../x> sha256:a !path\n"},
		{"URL of a folder", one(`{ registry = "file:///x" }`), "2 pkg:pypi/a@1 <file:///x> sha256:a !path\n"},
		{"part of a repository", one(`{ git = "https://x.example", subdirectory = "y" }`), "2 pkg:pypi/a@1 <https://x.example> sha256:a !git\n"},
	})
	testRefusals(t, "uv.lock", []refusal{
		{"two sources", one(`{ git = "https://x.example", url = "https://y.example" }`), "is not alone"},
		{"two and a folder", one(`{ git = "https://x.example", url = "https://y.example", subdirectory = "z" }`), "is not alone"},
		{"three", one(`{ git = "https://x.example", subdirectory = "y", path = "z" }`), "is not alone"},
		{"old name", strings.Replace(one(`{ registry = "x" }`), "package", "distribution", 1), "old name of [[package]]"},
	})
}

// In Elixir all keywords in a tuple are one list, so this is no lock, and Hex resolves again.
func TestMixKeywordsInATuple(t *testing.T) {
	testRefusals(t, "mix.lock", []refusal{
		{"keywords", `%{"plug": {:hex, :plug, "1.0.0", a: "256:a", b: 1}}`, "a keyword in a tuple"},
		{"quoted keywords", `%{"plug": {:hex, :plug, "1.0.0", "a": "256:a", "b": 1}}`, "a keyword in a tuple"},
	})
}

func TestGradleRules(t *testing.T) {
	file := func(configuration string) string {
		return gradleHead + "<configuration>" + configuration + "</configuration></verification-metadata>"
	}
	testReadings(t, "verification-metadata.xml", []reading{
		{"regular expression in capitals", file(`<trusted-artifacts><trust group="^com[.]acme.*" regex="TRUE"/></trusted-artifacts>`), "3 com.acme*:* !no-digest\n"},
		{"a rule beside those below", file(`<verify-signatures>TRUE</verify-signatures><trusted-keys><trusted-key id="a" group="com.acme"><trusting group="x"/></trusted-key></trusted-keys>`),
			"3 x:* !no-digest\n3 com.acme:* !no-digest\n"},
		{"signatures behind much space", file(`<verify-signatures>` + strings.Repeat(" ", 100) + `true</verify-signatures><trusted-keys><trusted-key id="a" group="com.acme"/></trusted-keys>`),
			"3 com.acme:* !no-digest\n"},
	})
}

// BuildKit finds the syntax directive, an image that builds the file as it likes, in more places than old clients did.
func TestSyntaxDirective(t *testing.T) {
	const from = "FROM alpine@sha256:256:a\n"
	for title, head := range map[string]string{
		"behind a shebang": "#!/bin/x\n# syntax=evil/x\n", "form feed": "#\fsyntax\f=\fevil/x\n", "vertical tab": "#\vsyntax=evil/x\n",
		"no-break space": "#\u00a0syntax=evil/x\n", "next line": "#\u0085syntax=evil/x\n", "carriage return": "# syntax =\revil/x\n",
	} {
		f, err := lockfile.Parse("Dockerfile", []byte(digests(head+from)))
		if err != nil {
			t.Errorf("%s: %v", title, err)
			continue
		}
		if len(f.Entries) != 2 || f.Entries[0].Name != "docker.io/evil/x" {
			t.Errorf("%s: read\n%s", title, shown(f))
		}
	}
	testRefusals(t, "Dockerfile", []refusal{
		{"escape behind a shebang", "#!/bin/x\n# escape=`\n" + from, "at the very top"},
	})
}

// Programs decode a tagged key, and differ about a merge key that comes last.
func TestYAMLThatIsReadDifferently(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nx: &x {image: evil}\nspec:\n  containers:\n"
	testRefusals(t, "pod.yaml", []refusal{
		{"tagged key", pod + "  - !!binary aW1hZ2U=: evil\n", "has a tag"},
		{"tagged text", pod + "  - image: !!binary ZXZpbA==\n", "want text"},
		{"merge key behind", pod + "  - image: alpine@sha256:256:a\n    <<: *x\n", "line 6: image is merged from elsewhere too"},
		{"merge keys behind", pod + "  - image: alpine@sha256:256:a\n    <<: [{a: b}, *x]\n", "line 6: image is merged from elsewhere too"},
	})
	testReadings(t, "pod.yaml", []reading{
		{"merge key in front", pod + "  - <<: *x\n    image: alpine@sha256:256:a\n", "3 docker.io/library/evil !no-digest\n7 " + ofHub("a") + "\n"},
		{"merge key of something else", pod + "  - image: alpine@sha256:256:a\n    <<: {a: b}\n", "3 docker.io/library/evil !no-digest\n6 " + ofHub("a") + "\n"},
		{"quoted, so no merge key", pod + "  - image: alpine@sha256:256:a\n    \"<<\": {image: b}\n", "3 docker.io/library/evil !no-digest\n6 " + ofHub("a") + "\n7 docker.io/library/b !no-digest\n"},
		{"custom resources", "apiVersion: x/v1\nkind: Task\nspec:\n  image: {repository: acme/a, tag: b}\n  steps: [{image: c}]\n  container: {image: d}\n  image2: e\n",
			"4 acme/a !not-locked\n5 docker.io/library/c !no-digest\n6 docker.io/library/d !no-digest\n"},
	})
}

func TestComposeContexts(t *testing.T) {
	build := func(contexts string) string {
		return "services:\n  a:\n    build:\n      additional_contexts: " + contexts + "\n      dockerfile_inline: FROM alpine@sha256:256:a\n"
	}
	testReadings(t, "compose.yaml", []reading{
		{"mapping", build("{alpine: docker-image://evil}"), "4 docker.io/library/evil !no-digest\n5 " + ofHub("a") + "\n"},
		{"list", build(`["alpine=docker-image://evil@sha256:256:b"]`), "4 " + strings.Replace(ofHub("b"), "alpine", "evil", -1) + "\n5 " + ofHub("a") + "\n"},
		{"image called service", build("{a: docker-image://service:1}"), "4 docker.io/library/service !no-digest\n5 " + ofHub("a") + "\n"},
		{"others", build("{a: service:b, c: ./d, e: https://f.example/service}"), "4 ./d !path\n4 https://f.example/service !url\n5 " + ofHub("a") + "\n"},
	})
	testRefusals(t, "compose.yaml", []refusal{
		{"tagged type", "services: {a: {volumes: [{type: !!binary aW1hZ2U=, source: evil}]}}\n", "a type with a tag"},
		{"context that is no text", build("{a: [b]}"), "additional_contexts: want text"},
	})
}

// An include whose name only looks like that of a harmless file beside.
func TestIncludeByAnotherName(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{`"evil.txt"`, "${HOME}.txt", "=evil.txt", "a.txt -r b.txt", "evil.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("a==1.0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{`"evil.txt"`, "${HOME}.txt", "a.txt -r b.txt", "evil.txt"} {
		file := filepath.Join(dir, "requirements.txt")
		if err := os.WriteFile(file, []byte("-r "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := lockfile.Read(file)
		if plain := name == "evil.txt"; plain != (err == nil) || plain && !slices.ContainsFunc(f.Entries, func(e lockfile.Entry) bool { return e.Name == "a" }) {
			t.Errorf("-r %s: %v", name, err)
		}
	}
}

// What go.sum calls a version need not be one. Two that are compared as equal still have one order.
func TestOrderOfVersions(t *testing.T) {
	var sum strings.Builder
	for i := range 20 {
		sum.WriteString("x.example/a v1.0.0+" + strings.Repeat("a", i+1) + " h1:a\n")
	}
	var first string
	for range 20 {
		f, err := lockfile.ParseGo([]byte("module m\ngo 1.16\n"), []byte(sums(sum.String())))
		if err != nil {
			t.Fatal(err)
		}
		if first = cmp.Or(first, describe(f)); describe(f) != first {
			t.Fatalf("read\n%safter\n%s", describe(f), first)
		}
	}
}

// A requirement that begins oddly is no option.
func TestPipOddBeginning(t *testing.T) {
	testReadings(t, "requirements.txt", []reading{{"equals sign", "==1.0", "1 ==1.0 <==1.0> !path\n"}})
}

// A name that looks like a known one is none of the ecosystem's, and the detail says which letter is to blame.
func TestLookAlikes(t *testing.T) {
	for _, name := range []string{"w\u0456dget", "\u051dіdg\u0435t", "wid\u200bget", "w\uff49dget"} {
		text := strings.Replace(npmLock(`"integrity":"sha256-`+strings.Repeat("A", 43)+`="`), "widget", name, 1)
		f, err := lockfile.Parse("package-lock.json", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if e := f.Entries[0]; e.Problem != lockfile.BadName || !e.Coordinate.IsZero() {
			t.Errorf("%q: %s %s", name, e.Problem, e.Detail)
		} else {
			t.Log(e.Detail)
		}
	}
}
