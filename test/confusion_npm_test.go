package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestConfusionNPM(t *testing.T) {
	s := openShop(t)
	s.npm(s.acme, s.acmeURL, "@acme/widget", map[string]string{"1.0.0": "ours", "1.1.0": "ours"})
	for _, version := range []string{"1.0.0", "1.1.0"} {
		s.countersigned(s.artifact(s.acme["/@acme/widget/-/widget-"+version+".tgz"], "acme-widget-"+version+".tgz"))
	}
	s.npm(s.public, s.publicURL, "left", map[string]string{"1.3.0": "anybody's"})

	manifest := `{"name": "app", "version": "1.0.0", "dependencies": {"@acme/widget": "^1.0.0", "left": "*"}}`
	scoped := "registry=" + s.publicURL + "/\n@acme:registry=" + s.acmeURL + "/\n"
	forgotten := "registry=" + s.publicURL + "/\n"
	install := func(name, manifest, npmrc string) string {
		folder := s.project(name, map[string]string{"package.json": manifest, ".npmrc": npmrc})
		s.client(folder, nil, "npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0", "--cache", t.TempDir())
		return folder
	}
	honest := install("npm-honest", manifest, scoped)
	s.locked(honest, "package-lock.json", s.acmeURL+"/@acme/widget/-/widget-1.1.0.tgz")
	s.passes(honest)

	// The stranger's version is higher, and in range.
	s.npm(s.public, s.publicURL, "@acme/widget", map[string]string{"1.99.0": "theirs"})
	attacked := install("npm-attacked", manifest, forgotten)
	s.locked(attacked, "package-lock.json", s.publicURL+"/@acme/widget/-/widget-1.99.0.tgz")
	s.refusesProject(attacked, "not-countersigned", "confusion", "@acme/widget", "1.99.0", strings.TrimPrefix(s.publicURL, "http://"))

	// The same version as Acme's, with other content.
	s.npm(s.public, s.publicURL, "@acme/widget", map[string]string{"1.1.0": "theirs"})
	same := install("npm-same-version", manifest, forgotten)
	s.locked(same, "package-lock.json", s.publicURL+"/@acme/widget/-/widget-1.1.0.tgz")
	s.refusesProject(same, "artifact-digest-mismatch", "confusion", "@acme/widget")

	// Another package under Acme's name, by an alias in a pull request.
	s.npm(s.public, s.publicURL, "evil", map[string]string{"9.0.0": "theirs"})
	alias := install("npm-alias", strings.Replace(manifest, "^1.0.0", "npm:evil@9.0.0", 1), scoped)
	s.locked(alias, "package-lock.json", `"name": "evil"`)
	s.refusesProject(alias, "@acme/widget", "evil")

	s.swapped(honest)
}

// What a lockfile says is inside the file of another package, npm does not fetch: check relies on that.
func TestConfusionNPMBundle(t *testing.T) {
	s := openShop(t)
	s.npm(s.acme, s.acmeURL, "@acme/app", map[string]string{"1.0.0": "ours"})
	s.npm(s.public, s.publicURL, "evil", map[string]string{"9.0.0": "theirs"})
	app, evil := s.acme["/@acme/app/-/app-1.0.0.tgz"], s.public["/evil/-/evil-9.0.0.tgz"]
	for name, source := range map[string]string{"named": fmt.Sprintf(`"resolved": "%s/evil/-/evil-9.0.0.tgz", "integrity": %q,`, s.publicURL, integrity(evil)), "unnamed": ""} {
		folder := s.project("npm-bundle-"+name, map[string]string{
			".npmrc":       "registry=" + s.publicURL + "/\n@acme:registry=" + s.acmeURL + "/\n",
			"package.json": `{"name": "app", "version": "1.0.0", "dependencies": {"@acme/app": "1.0.0"}}`,
			"package-lock.json": fmt.Sprintf(`{"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
"": {"name": "app", "version": "1.0.0", "dependencies": {"@acme/app": "1.0.0"}},
"node_modules/@acme/app": {"version": "1.0.0", "resolved": "%s/@acme/app/-/app-1.0.0.tgz", "integrity": %q, "dependencies": {"evil": "9.0.0"}, "bundleDependencies": ["evil"]},
"node_modules/@acme/app/node_modules/evil": {"version": "9.0.0", %s "inBundle": true}}}`, s.acmeURL, integrity(app), source),
		})
		s.client(folder, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0", "--cache", t.TempDir())
		for _, place := range []string{"node_modules/evil", "node_modules/@acme/app/node_modules/evil"} {
			if _, err := os.Stat(filepath.Join(folder, place)); err == nil {
				t.Errorf("%s: npm installed %s, which no digest covers", name, place)
			}
		}
		if _, err := os.Stat(filepath.Join(folder, "node_modules/@acme/app/package.json")); err != nil {
			t.Error(err)
		}
	}
}

// swapped hands valid bundles to packages that they are not of.
func (s *shop) swapped(honest string) {
	s.npm(s.acme, s.acmeURL, "@acme/gadget", map[string]string{"1.1.0": "ours too"})
	s.countersigned(s.artifact(s.acme["/@acme/gadget/-/gadget-1.1.0.tgz"], "acme-gadget-1.1.0.tgz"))
	offline := func(bundles string) (string, int) {
		return s.run("countersign", "check", "--pins", s.pins, "--offline", "--bundles", s.path(bundles), "--cache", s.t.TempDir(), honest)
	}
	give := func(folder, from, to string) {
		data := s.read(from)
		s.write(filepath.Join(folder, to), data)
	}
	give("bundles-good", "acme-widget-1.1.0.tgz.bundle.json", "acme-widget-1.1.0.tgz.bundle.json")
	if out, status := offline("bundles-good"); status != 0 {
		s.t.Errorf("the right bundle: status %d\n%s", status, out)
	}
	// Under the name by which a static export finds the bundle of version 1.1.0.
	key := filepath.Join(registry, "bundles", purlKey("pkg:npm/%40acme/widget@1.1.0"))
	for name, from := range map[string]string{"another package": "acme-gadget-1.1.0.tgz.bundle.json", "an older version": "acme-widget-1.0.0.tgz.bundle.json"} {
		folder := "bundles-" + strings.ReplaceAll(name, " ", "-")
		give(folder, from, key)
		if out, status := offline(folder); status == 0 || !strings.Contains(out, "@acme/widget") {
			s.t.Errorf("%s: status %d\n%s", name, status, out)
		}
	}
}

// npm publishes the versions of a package, each a file with one line; what was there of the name is replaced.
func (s *shop) npm(on shelf, url, name string, versions map[string]string) {
	base := name[strings.LastIndex(name, "/")+1:]
	all := make(map[string]any)
	var latest string
	for _, version := range slices.Sorted(maps.Keys(versions)) {
		latest = version
		manifest := fmt.Sprintf(`{"name": %q, "version": %q, "main": "index.js"}`, name, version)
		data := tarball(s.t, map[string]string{"package/package.json": manifest, "package/index.js": "// " + versions[version] + "\n"})
		path := fmt.Sprintf("/%s/-/%s-%s.tgz", name, base, version)
		on[path] = data
		all[version] = map[string]any{"name": name, "version": version, "dist": map[string]string{"tarball": url + path, "integrity": integrity(data), "shasum": shasum(data)}}
	}
	packument, err := json.Marshal(map[string]any{"name": name, "dist-tags": map[string]string{"latest": latest}, "versions": all})
	must(s.t, err)
	on["/"+strings.Replace(name, "/", "%2f", 1)] = packument
	on["/"+name] = packument
}

func tarball(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		must(t, w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(files[path]))}))
		_, err := w.Write([]byte(files[path]))
		must(t, err)
	}
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

func integrity(data []byte) string {
	sum := sha512.Sum512(data)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func shasum(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

func purlKey(purl string) string { return sha256Hex([]byte(purl)) }
