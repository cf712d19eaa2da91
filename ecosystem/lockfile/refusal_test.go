package lockfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// edited is an example with one part of it replaced.
func edited(t *testing.T, example, before, after string) []byte {
	t.Helper()
	text := alone(t, example)
	if !strings.Contains(text, before) {
		t.Fatalf("%s has no %q", example, before)
	}
	return []byte(strings.Replace(text, before, after, 1))
}

// alone is an example without the file that it includes.
func alone(t testing.TB, example string) string {
	return strings.Replace(exampleText(t, example), "\n-r more/base.txt\nnohash", "\nnohash", 1)
}

func exampleText(t testing.TB, example string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(example)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEditedIsRefused changes a lockfile in one place so that clients could read it differently, or none could.
func TestEditedIsRefused(t *testing.T) {
	for _, tt := range []struct{ example, before, after, says string }{
		{"npm3/package-lock.json", `"lockfileVersion": 3`, `"lockfileVersion": 4`, `version "4" is not known`},
		{"npm3/package-lock.json", `"lockfileVersion": 3`, `"lockfileVersion": "3"`, `is not known`},
		{"npm3/package-lock.json", `"lockfileVersion": 3,`, ``, `does not say its version`},
		{"npm3/package-lock.json", `"requires": true`, `"lockfileVersion": 1`, `duplicate`},
		{"npm3/package-lock.json", `"packages": {`, `"packages": {}, "package": {`, ``},
		{"npm3/package-lock.json", `"packages": {`, `"packages": [], "package": {`, `want an object`},
		{"npm3/package-lock.json", `"packages": {`, `"package": {`, `has no "packages"`},
		{"npm3/package-lock.json", `"version": "1.2.3",`, `"version": "1.2.3", "version": "1.2.4",`, `duplicate`},
		{"npm3/package-lock.json", `"version": "1.2.3",`, `"version": 1,`, `line 16`},
		{"npm3/package-lock.json", `"node_modules/old"`, `"node_modules/other"`, `duplicate`},
		{"npm3/package-lock.json", `"name": "elsewhere",`, ``, `line 83: "packages/elsewhere": it has no name`},
		{"npm3/package-lock.json", `"node_modules/old"`, `"node_modules/x/../@acme/old"`, `line 64: "node_modules/x/../@acme/old" is not the plain name`},
		{"npm3/package-lock.json", `"node_modules/old"`, `"node_modules\\@acme/old"`, `is not the plain name`},
		{"npm3/package-lock.json", `"packages": {`, `"dependencies": {}, "packages": {`, `as only version 2 has`},
		{"npm1/npm-shrinkwrap.json", `"dependencies": {`, `"packages": {}, "dependencies": {`, `as only version 2 has`},
		{"npm3/package-lock.json", `"integrity": "sha512-`, `"integrity": "md6-`, `algorithm "md6" is not known`},
		{"npm3/package-lock.json", `"integrity": "sha512-`, `"integrity": "sha3-512-`, `sha3 digest`},
		{"npm3/package-lock.json", `"integrity": "sha512-`, `"integrity": "sha512-AAAA`, `has 67 bytes, not 64`},
		{"npm3/package-lock.json", `"integrity": "sha512-`, `"integrity": "sha256-`, `has 64 bytes, not 32`},
		{"npm3/package-lock.json", `"integrity": "sha512-`, `"integrity": "sha512-?`, `is not base64`},
		{"npm3/package-lock.json", `==",`, `==?opt",`, ``},
		{"npm3/package-lock.json", `"link": true`, `"link": "true"`, `line 76`},
		{"npm3/package-lock.json", `"resolved": "packages/w"`, `"resolved": 7`, `line 76`},
		{"npm3/package-lock.json", "}\n}\n", "}\n} {}", `after`},
		{"npm3/package-lock.json", "\n  }\n}\n", "\n", `EOF`},
		{"npm3/package-lock.json", `plain-1.0.0.tgz`, "plain\x00", `NUL`},
		{"npm3/package-lock.json", `plain-1.0.0.tgz`, "plain\xff", `UTF-8`},
		{"npm3/package-lock.json", `plain-1.0.0.tgz`, `plain\ud800`, `surrogate`},
		{"npm1/npm-shrinkwrap.json", `npm:@acme/plain@2.0.0`, `npm:@acme/plain`, `is not npm:name@version`},
		{"npm1/npm-shrinkwrap.json", `"dependencies": {`, `"dependencies": 7, "x": {`, `want an object`},
		{"npm2/package-lock.json", `"integrity"`, `"no-integrity"`, `one thing in line 6, which new clients read, and another in line 15`},
		{"npm2/package-lock.json", `"version": "1.2.3", "int`, `"version": "1.2.4", "int`, `node_modules/@acme/widget`},
		{"npm2/package-lock.json", `"resolved": "git+https://git.example/bygit.git#0123"`, `"resolved": "https://registry.example/x.tgz"`, `node_modules/bygit`},
		{"npm2/package-lock.json", `byurl.tgz", "integrity": "`, `byurl.tgz", "none": "`, `node_modules/byurl`},
		{"npm2/package-lock.json", `"link": true`, `"link": false`, ``},

		{"pnpm9/pnpm-lock.yaml", `lockfileVersion: '9.0'`, `lockfileVersion: '10.0'`, `version "10.0" is not known`},
		{"pnpm9/pnpm-lock.yaml", `lockfileVersion: '9.0'`, ``, `does not say its version`},
		{"pnpm9/pnpm-lock.yaml", `lockfileVersion: '9.0'`, "lockfileVersion: '9.0'\nlockfileVersion: '9.0'", `line 2: key "lockfileVersion" is there already, in line 1`},
		{"pnpm9/pnpm-lock.yaml", `nodigest@1.0.0:`, `plain@1.0.0:`, `is there already`},
		{"pnpm9/pnpm-lock.yaml", `packages:`, `packages: &anchor`, `anchor`},
		{"pnpm9/pnpm-lock.yaml", `resolution: {}`, `resolution: {<<: {integrity: x}}`, `merge key`},
		{"pnpm9/pnpm-lock.yaml", `specifier: ^1.2.0`, `specifier: !!str ^1.2.0`, `tag`},
		{"pnpm9/pnpm-lock.yaml", `resolution: {}`, `resolution: {? [a, b] : c}`, `not plain text`},
		{"pnpm9/pnpm-lock.yaml", `autoInstallPeers`, "# \u2028autoInstallPeers", `line 4: a character that ends the line`},
		{"pnpm9/pnpm-lock.yaml", `autoInstallPeers: true`, "x: [", `line`},
		{"pnpm9/pnpm-lock.yaml", `{integrity: sha512-`, `{integrity: sha1-`, `not 20`},
		{"pnpm9/pnpm-lock.yaml", "settings:", "---\nsettings:", `does not say its version`},
		{"pnpm6/pnpm-lock.yaml", `    dev: false`, `    name: evil`, `line 13: "/@acme/widget@1.2.3(plain@1.0.0)": it has the name "evil"`},
		{"pnpm9/pnpm-lock.yaml", `    engines:`, "    version: 1.2.4\n    engines:", `version "1.2.4", not those of its key`},
		{"pnpm6/pnpm-lock.yaml", `resolution: {integrity: sha512-`, `resolution: {integrity: sha512-AAAA`, `line 13`},

		{"classic/yarn.lock", `# yarn lockfile v1`, `# yarn lockfile v2`, `neither`},
		{"classic/yarn.lock", `# yarn lockfile v1`, "# yarn lockfile v1\n__metadata:\n  version: 8", `marks of both`},
		{"classic/yarn.lock", `nodigest@1.0.0:`, `old@1.0.0:`, `is there already, in line 33`},
		{"classic/yarn.lock", `  version "1.2.3"`, "  version \"1.2.3\"\n  version \"1.2.4\"", `line 7: field "version" is there twice`},
		{"classic/yarn.lock", `  version "1.2.3"`, `   version "1.2.3"`, `line 6: unexpected indentation`},
		{"classic/yarn.lock", `  version "1.2.3"`, "\tversion \"1.2.3\"", `line 6`},
		{"classic/yarn.lock", `  version "1.2.3"`, `  version "1.2.3`, `closed quotes`},
		{"classic/yarn.lock", `  version "1.2.3"`, `  version "1.2.3" x`, `want a field and its value`},
		{"classic/yarn.lock", `  version "1.2.3"`, `  version "1.2.3"x`, `want a space`},
		{"classic/yarn.lock", `    plain "^1.0.0"`, `    plain`, `want a name and a range`},
		{"classic/yarn.lock", `nodigest@1.0.0:`, `<<<<<<< HEAD`, `want patterns and a colon`},
		{"classic/yarn.lock", `old-1.0.0.tgz#`, `old-1.0.0.tgz#0`, `is not hex`},
		{"classic/yarn.lock", `old-1.0.0.tgz#`, `old-1.0.0.tgz#00`, `has 21 bytes`},
		{"classic/yarn.lock", `integrity sha512-`, `integrity sha512`, `is not algorithm-base64`},

		{"berry/yarn.lock", `  version: 8`, `  version: 11`, `version "11" is not known`},
		{"berry/yarn.lock", `  version: 8`, `  version: 3`, `version "3" is not known`},
		{"berry/yarn.lock", `__metadata:`, "__metadata: {}\n__metadata:", `is there already`},
		{"berry/yarn.lock", `resolution: "plain@npm:1.0.0"`, `resolution: "plain"`, `has no resolution`},
		{"berry/yarn.lock", `"byurl@https`, "---\n\"byurl@https", `2 YAML documents`},

		{"pip/requirements.txt", `--no-binary :all:`, `--no-binary :all: -r other.txt`, `line of its own`},
		{"pip/requirements.txt", `--no-binary :all:`, `--pre -e ./other`, `line of its own`},
		{"pip/requirements.txt", `--no-binary :all:`, `--unknown x`, `"--unknown" is not known`},
		{"pip/requirements.txt", `--no-binary :all:`, `-c constraints.txt`, `compile everything into one file`},
		{"pip/requirements.txt", `--no-binary :all:`, `-cconstraints.txt`, `compile everything into one file`},
		{"pip/requirements.txt", `--no-binary :all:`, `-r https://files.example/x.txt`, `only files`},
		{"pip/requirements.txt", `--no-binary :all:`, `--requirement=missing.txt`, `missing.txt`},
		{"pip/requirements.txt", `--no-binary :all:`, "# x\u2028evil==1.0", `line 3: a character that ends the line for pip only`},
		{"pip/requirements.txt", `--no-binary :all:`, "evil\u00a0==1.0", `line 3: not plain ASCII`},
		{"pip/requirements.txt", `# via shop`, "# \xff", `is not UTF-8`},
		{"pip/requirements.txt", `coding: utf-8`, `coding: utf-7`, `encoding "utf-7"`},
		{"pip/requirements.txt", `--hash=sha256:`, `--hash=md5:`, `is not sha256:, sha384: or sha512:`},
		{"pip/requirements.txt", `--hash=sha256:`, `--hash=sha256:00`, `has 33 bytes, not 32`},
		{"pip/requirements.txt", `--hash=sha256:`, `--hash=sha256:0`, `is not hex`},
		{"pip/requirements.txt", `--hash=sha256:`, `--hush=sha256:`, `"--hush" of "Acme.HTTP" is not known`},
		{"pip/requirements.txt", `nohash==1.0`, `acme_http==1.0 --hash=sha256:` + strings.Repeat("0", 64), `is there twice, in line 4 and in line 10`},

		{"poetry2/poetry.lock", `lock-version = "2.1"`, `lock-version = "3.0"`, `version "3.0" is not known`},
		{"poetry2/poetry.lock", `lock-version = "2.1"`, ``, `does not say its version`},
		{"poetry2/poetry.lock", `lock-version = "2.1"`, `lock-version = 2`, `key "lock-version": want text`},
		{"poetry2/poetry.lock", `name = "acme-http"`, "name = \"acme-http\"\nname = \"b\"", `line 5`},
		{"poetry2/poetry.lock", `name = "acme-http"`, `Name = "acme-http"`, `line 3: "": a package without a name`},
		{"poetry2/poetry.lock", `name = "acme-http"`, `name = 1`, `key "name": want text`},
		{"poetry2/poetry.lock", `hash = "sha256:`, `hash = "sha256-`, `is not algorithm:hex`},
		{"poetry2/poetry.lock", `hash = "sha256:`, `hash = "blake2b:`, `is not known`},
		{"poetry2/poetry.lock", `hash = "sha256:`, `hash = "sha256:00`, `line 3: "acme-http": sha256 digest has 33 bytes`},
		{"poetry2/poetry.lock", `files = []`, `files = 7`, `want an array of tables`},
		{"poetry2/poetry.lock", `files = []`, `files = [7]`, `want an array of tables`},
		{"poetry2/poetry.lock", `type = "legacy"`, `type = 7`, `want text`},
		{"poetry2/poetry.lock", "url = \"https://pypi.example/simple\"\n", "", `is there twice, in line 42 and in line 53`},
		{"uv/uv.lock", `version = 1`, `version = 2`, `version "2" is not known`},
		{"uv/uv.lock", `version = 1`, `version = "1"`, `not a number`},
		{"uv/uv.lock", `version = 1`, ``, `does not say its version`},
		{"uv/uv.lock", `registry = "https://pypi.example/simple" }`, `registry = "https://pypi.example/simple", editable = "." }`, `is not alone`},
		{"uv/uv.lock", `source = {`, `source = 7 #`, `want a table`},
		{"uv/uv.lock", `name = "bygit"`, `name = ""`, `without a name`},
		{"pylock/pylock.toml", `lock-version = "1.0"`, `lock-version = "1.1"`, `version "1.1" is not known`},
		{"pylock/pylock.toml", `vcs = {`, "wheels = []\nvcs = {", `it has both vcs and wheels`},
		{"pylock/pylock.toml", `sha512 = "`, `sha512 = "00`, `has 65 bytes`},
		{"pylock/pylock.toml", `sha512 = "`, `blake3 = "`, `is not known`},
		{"pylock/pylock.toml", `hashes = {}`, `hashes = 7`, `want a table`},
	} {
		text := edited(t, tt.example, tt.before, tt.after)
		_, err := lockfile.Parse(filepath.Base(tt.example), text)
		if err == nil && tt.says != "" || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s with %q: %v\nwant an error with %q", tt.example, tt.after, err, tt.says)
		}
		if err != nil && !strings.HasPrefix(err.Error(), filepath.Base(tt.example)) && !strings.Contains(tt.after, "\x00") && !strings.Contains(tt.after, "\xff") {
			t.Errorf("%s with %q: the error does not name the file: %v", tt.example, tt.after, err)
		}
	}
}

var digestText = regexp.MustCompile(`(sha512-|sha256-|sha256:|sha512:|sha256 = "|sha512 = ")[A-Za-z0-9+/]{20}`)

// TestEveryDigestCounts changes one character of each digest, one after the other: each makes another lockfile or none.
// Those of entries that are not checked by them, the client does not look at either.
func TestEveryDigestCounts(t *testing.T) {
	unused := map[string]int{"npm3/package-lock.json": 4, "berry/yarn.lock": 0}
	for _, example := range examples {
		text := alone(t, example)
		base := filepath.Base(example)
		original, err := lockfile.Parse(base, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		ignored, digests := 0, digestText.FindAllStringIndex(text, -1)
		for _, at := range digests {
			last := "0"
			if text[at[1]-1] == '0' {
				last = "1"
			}
			f, err := lockfile.Parse(base, []byte(text[:at[1]-1]+last+text[at[1]:]))
			if err == nil && reflect.DeepEqual(f, original) {
				ignored++
			}
		}
		if ignored != unused[example] || len(digests) == 0 && example != "berry/yarn.lock" {
			t.Errorf("%s: of %d digests, %d can be changed without effect", example, len(digests), ignored)
		}
	}
}

// TestOneSpelling: bits of the last character that no byte needs must be zero, or one digest would have many spellings.
func TestOneSpelling(t *testing.T) {
	const last = "AQgw"
	text := exampleText(t, "npm3/package-lock.json")
	i := strings.Index(text, `=="`) - 1
	if !strings.Contains(last, text[i:i+1]) {
		t.Fatalf("the last character of an integrity is %q", text[i])
	}
	_, err := lockfile.Parse("package-lock.json", []byte(text[:i]+string(text[i]+1)+text[i+1:]))
	if err == nil || !strings.Contains(err.Error(), "is not base64") {
		t.Errorf("another spelling of a digest: %v", err)
	}
}

// TestProblem changes a lockfile so that one entry has a problem.
func TestProblem(t *testing.T) {
	for _, tt := range []struct {
		example, before, after, name string
		want                         lockfile.Problem
	}{
		{"npm3/package-lock.json", `node_modules/@acme/alias`, `node_modules/@acme/ali as`, "@acme/ali as", lockfile.BadName},
		{"npm3/package-lock.json", `"version": "2.0.0"`, `"version": "2.0"`, "@acme/alias", lockfile.BadName},
		{"npm3/package-lock.json", `https://registry.example/plain/-/plain-2.0.0.tgz`, `github:acme/plain`, "@acme/alias", lockfile.FromGit},
		{"npm3/package-lock.json", `https://registry.example/plain/-/plain-2.0.0.tgz`, `git@git.example:acme/plain.git`, "@acme/alias", lockfile.FromGit},
		{"npm3/package-lock.json", `https://registry.example/plain/-/plain-2.0.0.tgz`, `../plain`, "@acme/alias", lockfile.FromPath},
		{"npm3/package-lock.json", `https://registry.example/plain/-/plain-2.0.0.tgz`, `ipfs:plain`, "@acme/alias", lockfile.FromURL},
		{"npm3/package-lock.json", `"inBundle": true`, `"bundled": true`, "bundled", lockfile.NoDigest},
		{"pnpm9/pnpm-lock.yaml", `, type: git`, ``, "bygit2", lockfile.FromGit},
		{"pnpm9/pnpm-lock.yaml", `'@acme/widget@1.2.3':`, `'@acme/widget@latest':`, "@acme/widget", lockfile.FromURL},
		{"pnpm9/pnpm-lock.yaml", `tarball: https://npm.example/download/elsewhere/1.0.0/x`, `tarball: https://npm.example/x, gitHosted: true`, "elsewhere", lockfile.FromGit},
		{"pnpm9/pnpm-lock.yaml", `tarball: https://npm.example/download/elsewhere/1.0.0/x`, `tarball: https://gitlab.com/a/b/-/archive/c.tgz`, "elsewhere", lockfile.FromGit},
		{"pnpm9/pnpm-lock.yaml", `tarball: https://npm.example/download/elsewhere/1.0.0/x`, `tarball: https://bitbucket.org/a/b/get/c.tgz`, "elsewhere", lockfile.FromGit},
		{"classic/yarn.lock", `nodigest@1.0.0:`, `nodigest@acme/nodigest:`, "nodigest", lockfile.FromGit},
		{"classic/yarn.lock", `nodigest@1.0.0:`, `nodigest@https://git.example/x.git#1:`, "nodigest", lockfile.FromGit},
		{"classic/yarn.lock", `https://registry.example/nodigest/-/nodigest-1.0.0.tgz`, `https://codeload.github.com/a/b/tar.gz/c`, "nodigest", lockfile.FromGit},
		{"classic/yarn.lock", `nodigest@1.0.0:`, `"nodigest@link:../x":`, "nodigest", lockfile.FromURL},
		{"berry/yarn.lock", `"byurl@https://files.example/byurl.tgz"`, `"byurl@portal:../x"`, "byurl", lockfile.FromURL},
		{"berry/yarn.lock", `resolution: "byurl@https://files.example/byurl.tgz"`, `resolution: "byurl@portal:../x"`, "byurl", lockfile.FromPath},
		{"berry/yarn.lock", `resolution: "byurl@https://files.example/byurl.tgz"`, `resolution: "byurl@unknown"`, "byurl", lockfile.NotLocked},
		{"pip/requirements.txt", `nohash==1.0`, `nohash==${VERSION}`, "nohash", lockfile.NotLocked},
		{"pip/requirements.txt", `nohash==1.0`, `nohash @ file:///x/nohash.whl`, "nohash", lockfile.FromPath},
		{"pip/requirements.txt", `nohash==1.0`, `nohash @ git+https://git.example/x`, "nohash", lockfile.FromGit},
		{"poetry2/poetry.lock", `type = "legacy"`, `type = "unheard-of"`, "indexed", lockfile.FromURL},
		{"poetry2/poetry.lock", `version = "1.0.0"`, `version = "one"`, "acme-http", lockfile.BadName},
		{"poetry2/poetry.lock", `version = "1.0.0"`, ``, "acme-http", lockfile.NotLocked},
		{"uv/uv.lock", `source = { registry = "https://pypi.example/simple" }`, ``, "acme-http", lockfile.NotLocked},
		{"uv/uv.lock", `virtual = "."`, `virtual = "shop"`, "shop", lockfile.FromPath},
		{"pylock/pylock.toml", `sha256 = "`, `sha1 = "0000000000000000000000000000000000000000", sha256 = "`, "acme-http", lockfile.WeakDigest},
	} {
		f, err := lockfile.Parse(filepath.Base(tt.example), edited(t, tt.example, tt.before, tt.after))
		if err != nil {
			t.Errorf("%s with %q: %v", tt.example, tt.after, err)
			continue
		}
		wellFormed(t, f)
		i := slices.IndexFunc(f.Entries, func(e lockfile.Entry) bool { return e.Name == tt.name })
		if i < 0 || f.Entries[i].Problem != tt.want {
			t.Errorf("%s with %q: want %s of %s\n%s", tt.example, tt.after, tt.want, tt.name, describe(f))
		}
	}
}

// TestTruncated cuts the examples in many places: what is left is refused, or well-formed.
func TestTruncated(t *testing.T) {
	for _, example := range examples {
		text := exampleText(t, example)
		refused := 0
		for i := 0; i < len(text); i += 3 {
			f, err := lockfile.Parse(filepath.Base(example), []byte(text[:i]))
			if err != nil {
				refused++
				continue
			}
			wellFormed(t, f)
		}
		if refused == 0 {
			t.Errorf("%s: no beginning of it is refused", example)
		}
	}
}

func keys(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestBombs reads texts that are made to be much more work than they are long.
func TestBombs(t *testing.T) {
	const n = 1 << 20
	deepTree := strings.Repeat(`{"dependencies":{"a":`, 5000) + strings.Repeat("}", 10000)
	deepNPM := `{"lockfileVersion":1,"dependencies":` + strings.Repeat(`{"a":{"version":"1.0.0","dependencies":`, 100) + "{}" + strings.Repeat("}}", 100) + "}"
	for name, tt := range map[string]struct{ base, text string }{
		"json brackets":    {"package-lock.json", strings.Repeat("[", n)},
		"json depth":       {"package-lock.json", `{"lockfileVersion":1,"dependencies":` + deepTree + `}`},
		"npm depth":        {"package-lock.json", deepNPM},
		"yaml brackets":    {"pnpm-lock.yaml", "a: " + strings.Repeat("[", n)},
		"yaml flow":        {"pnpm-lock.yaml", "a: [" + strings.Repeat("a,", 2*n) + "]"},
		"yaml depth":       {"pnpm-lock.yaml", "a: " + strings.Repeat("{a: ", 100) + "b" + strings.Repeat("}", 100)},
		"yaml lines":       {"pnpm-lock.yaml", strings.Repeat("-\n", 2*n)},
		"yaml aliases":     {"pnpm-lock.yaml", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nlockfileVersion: '9.0'\n"},
		"yaml documents":   {"yarn.lock", "__metadata:\n  version: 8\n" + strings.Repeat("---\na: b\n", 1000)},
		"yaml size":        {"pnpm-lock.yaml", "lockfileVersion: '9.0'\n#" + strings.Repeat("x", 17*n)},
		"toml brackets":    {"uv.lock", "a = " + strings.Repeat("[", n)},
		"toml inline":      {"uv.lock", "a = " + strings.Repeat("{a=", n/4)},
		"toml dots":        {"poetry.lock", strings.Repeat("a.", n) + "a = 1"},
		"toml long header": {"poetry.lock", "[" + strings.Repeat("k", 100_000) + "]\n" + keys(2000, "k%d = 1\n")},
		"toml long key":    {"pylock.toml", "x = { " + strings.Repeat("k", 100_000) + " = { " + keys(2000, "k%d = 1, ") + "a = 1 } }\n"},
		"toml quoted key":  {"pylock.toml", `"` + strings.Repeat("k", 100_000) + `" = [ {` + keys(2000, "k%d = 1, ") + "a = 1 } ]\n"},
		"toml long path":   {"uv.lock", "a = " + strings.Repeat("{ "+strings.Repeat("k", 5000)+" = ", 20) + "{ " + keys(2000, "k%d = 1, ") + "a = 1" + strings.Repeat("}", 21) + "\n"},
		"toml dotted key":  {"uv.lock", keys(2000, "k%d."+strings.Repeat("k", 2000)+strings.Repeat(".k", 20)+" = 1\n")},
		"toml values":      {"uv.lock", "version = 1\na = [" + strings.Repeat("1,", 2*n) + "]"},
		"file size":        {"package-lock.json", `{"a":"` + strings.Repeat("x", 64*n) + `"}`},
		"pip digests":      {"requirements.txt", "a==1 " + strings.Repeat("--hash=sha256:"+strings.Repeat("0", 64)+" ", 6000)},
	} {
		if _, err := lockfile.Parse(tt.base, []byte(tt.text)); err == nil {
			t.Errorf("%s is read", name)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	for _, name := range []string{"poetry.lock", "pylock.toml", "uv.lock"} {
		if _, err := lockfile.Parse(name, []byte(keys(100_000, "[[package]]\nname = \"p%d\"\n"))); err == nil || strings.Contains(err.Error(), "together") {
			t.Errorf("many short keys: %v", err) // that the version is missing
		}
	}
	if _, err := lockfile.Parse("requirements.txt", []byte(strings.Repeat("a\n", 200_001))); err == nil || !strings.Contains(err.Error(), "200000 entries") {
		t.Errorf("200,001 entries: %v", err)
	}
}
