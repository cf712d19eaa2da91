package ecosystem_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/ecosystem"
)

// The corpus is made of good archives by structured mutation, the same each time.
const (
	malformed = 2000             // archives of each kind
	patience  = 20 * time.Second // for one of them; all of them are small
)

// A part is one file of an archive that is to be made.
type part struct {
	name, content string
	kind          byte // in a tar
}

// A recipe is a kind of archive: its parts, and what packs them.
type recipe struct {
	fileName string
	version  string // of the coordinate
	name     string // of the coordinate
	parts    []part
	pack     func([]part) []byte
}

func packTar(parts []part) []byte {
	var all [][]byte
	for _, p := range parts {
		all = append(all, tarEntry(p.name, p.kind, p.content))
	}
	return tarOf(all...)
}

func packTarball(parts []part) []byte { return gz(packTar(parts)) }

func packZip(parts []part) []byte {
	var all []rawEntry
	for _, p := range parts {
		all = append(all, rawEntry{name: p.name, content: p.content})
	}
	return rawZip(nil, all...)
}

func recipes() []recipe {
	f := func(name, content string) part { return part{name, content, '0'} }
	return []recipe{
		{"widget-1.0.0.tgz", "1.0.0", "widget", []part{f("package/package.json", widgetJSON), f("package/x.js", "x"), {"package/lib", "", '5'}, f("package/lib/package.json", `{"name":"evil"}`)}, packTarball},
		{crateName, "1.2.3", "acme-core", []part{f(crateTop+"Cargo.toml", cargoToml), f(crateTop+"Cargo.toml.orig", "[package]\nname = \"evil\"\n"), f(crateTop+"src/lib.rs", "")}, packTarball},
		{hexName, "1.2.3", "acme_billing", []part{f("VERSION", "3"), f("CHECKSUM", innerChecksum("3", hexMetadata, hexContents)), f("metadata.config", hexMetadata), f("contents.tar.gz", string(hexContents))}, packTar},
		{sdistName, "1", "acme-http", []part{{"acme_http-1.0.0", "", '5'}, f("acme_http-1.0.0/PKG-INFO", metadata), f("acme_http-1.0.0/acme.egg-info/PKG-INFO", evilPython)}, packTarball},
		{wheelName, "1", "acme-http", []part{f("acme_http/__init__.py", "x"), f(distInfo+"METADATA", metadata), f(distInfo+"RECORD", "")}, packZip},
		{"v1.2.3.zip", "v1.2.3", "example.com/m", []part{f("example.com/m@v1.2.3/go.mod", "module example.com/m\n"), f("example.com/m@v1.2.3/m.go", "package m")}, packZip},
		{nupkgName, "1.2.3", "acme.lib", []part{f("_rels/.rels", rels("/Acme.Lib.nuspec").content), f("Acme.Lib.nuspec", acmeNuspec), f("lib/a.dll", "MZ")}, packZip},
		{jarName, "1.0", "com.acme:lib", []part{f("META-INF/MANIFEST.MF", "x"), f(pomPath, pomOfOwn), f("META-INF/maven/com.acme/lib/pom.properties", properties)}, packZip},
	}
}

var partMutations = []func(r *rand.Rand, all []part) []part{
	func(r *rand.Rand, all []part) []part { i := r.IntN(len(all)); return slices.Delete(all, i, i+1) },
	func(r *rand.Rand, all []part) []part { return append(all, all[r.IntN(len(all))]) },
	func(r *rand.Rand, all []part) []part { slices.Reverse(all); return all },
	func(r *rand.Rand, all []part) []part { // another one of nearly the same name
		p := all[r.IntN(len(all))]
		p.name = oddName(r, p.name)
		p.content = strings.NewReplacer("acme", "evil", "widget", "evil", "Acme", "Evil", "1.0", "2.0").Replace(p.content)
		return append(all, p)
	},
	func(r *rand.Rand, all []part) []part {
		i := r.IntN(len(all))
		all[i].name = oddName(r, all[i].name)
		return all
	},
	func(r *rand.Rand, all []part) []part {
		all[r.IntN(len(all))].kind = []byte{0, '0', '1', '2', '3', '5', '7', 'g', 'x', 'L', 'K', 'S', 'V'}[r.IntN(13)]
		return all
	},
	func(r *rand.Rand, all []part) []part { // contents of one another
		i, j := r.IntN(len(all)), r.IntN(len(all))
		all[i].content, all[j].content = all[j].content, all[i].content
		return all
	},
	func(r *rand.Rand, all []part) []part {
		i := r.IntN(len(all))
		all[i].content = oddText(r, all[i].content)
		return all
	},
}

func oddName(r *rand.Rand, name string) string {
	return []string{
		strings.ToUpper(name), strings.ToLower(name), "./" + name, "/" + name, name + "/", name + ".", name + " ", name + "\u200b", name + "::$DATA",
		"x/../" + name, strings.Replace(name, "/", "//", 1), strings.Replace(name, "/", "\\", 1), "evil/" + name, name + "/x", strings.Repeat("a/", 40) + name, "",
	}[r.IntN(16)]
}

func oddText(r *rand.Rand, s string) string {
	if s == "" {
		return "x"
	}
	i := r.IntN(len(s))
	j := min(len(s), i+1+r.IntN(40))
	return []string{
		s[:i], s[:i] + s[j:], s[:j] + s[i:], s[:i] + "\x00" + s[i:], "\ufeff" + s, s + s, s[:i] + "\r" + s[i:], s[:i] + "\u2028" + s[i:],
		s[:i] + string(s[i]^1<<r.IntN(8)) + s[j:], s[:i] + strings.Repeat([]string{"[", "{", "<a>", `{"a":`}[r.IntN(4)], 1<<r.IntN(14)) + s[i:],
		strings.Replace(s, "acme", "\u0430cme", 1), strings.ToUpper(s),
	}[r.IntN(12)]
}

// TestMalformed reads thousands of malformed archives of each kind. None makes the reader panic or takes long, and what
// is accepted is the package that the file's name says, with the digests of the file.
func TestMalformed(t *testing.T) {
	for _, kind := range recipes() {
		t.Run(kind.fileName, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), kind.fileName)
			r := rand.New(rand.NewPCG(5, 6))
			if !kind.survives(t, path, kind.pack(kind.parts)) {
				t.Fatal("the archive to begin with is refused")
			}
			refused := 0
			for range malformed {
				if !kind.survives(t, path, kind.malform(r)) {
					refused++
				}
			}
			if refused < malformed/2 || refused == malformed {
				t.Errorf("of %d archives %d are refused: the corpus does not try much", malformed, refused)
			}
		})
	}
}

// malform changes the parts, or the bytes of the whole.
func (k recipe) malform(r *rand.Rand) []byte {
	parts := slices.Clone(k.parts)
	for n := r.IntN(3); n > 0 && len(parts) > 0; n-- {
		parts = partMutations[r.IntN(len(partMutations))](r, parts)
	}
	data := k.pack(parts)
	switch i := r.IntN(len(data)); r.IntN(8) {
	case 0:
		return data[:i]
	case 1:
		return append(data, data[:i]...)
	case 2:
		data[i] ^= 1 << r.IntN(8)
	case 3:
		return slices.Insert(data, i, make([]byte, 1+r.IntN(1024))...)
	case 4:
		return slices.Delete(data, i, min(len(data), i+1+r.IntN(600)))
	case 5: // a number somewhere
		copy(data[i:], []string{"\xff\xff\xff\xff", "\x00\x00\x00\x00", "77777777777", "\x80\x00\x00\x00\x00\x00\x00\x00\x7f"}[r.IntN(4)])
	}
	return data
}

// survives reads one malformed archive and reports whether it is accepted.
func (k recipe) survives(t *testing.T, path string, data []byte) (accepted bool) {
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("panic %v reading\n%q", p, data)
		}
	}()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	a, err := ecosystem.Read(path)
	if took := time.Since(start); took > patience {
		t.Errorf("took %s to read\n%.2000q", took, data)
	}
	if err != nil {
		if len(err.Error()) > 8000 {
			t.Errorf("an error of %d bytes: %.200s", len(err.Error()), err)
		}
		return false
	}
	sum := sha256.Sum256(data)
	if a.Digests["sha256"] != hex.EncodeToString(sum[:]) || a.Size != int64(len(data)) {
		t.Errorf("digests %v of a file of %x", a.Digests, sum)
	}
	if a.Coordinate.Version() != k.version || a.Coordinate.Name() != k.name && !strings.HasSuffix(k.fileName, ".jar") {
		t.Errorf("read as %s\n%q", a.Coordinate, data)
	}
	return true
}

// TestMalformedLayout is TestMalformed for images, of which the digest is the manifest's.
func TestMalformedLayout(t *testing.T) {
	l, manifest := newImage("io.containerd.image.name", "ghcr.io/acme/tool:1")
	good := l.tar()
	path := filepath.Join(t.TempDir(), "image.tar")
	r := rand.New(rand.NewPCG(7, 8))
	accepted := 0
	for range malformed {
		data := bytes.Clone(good)
		switch i := r.IntN(len(data)); r.IntN(4) {
		case 0:
			data = data[:i]
		case 1:
			data[i] ^= 1 << r.IntN(8)
		case 2: // a header or block elsewhere
			j := r.IntN(len(data) / 512)
			copy(data[i/512*512:], bytes.Clone(data[j*512:j*512+512]))
		case 3:
			data = slices.Delete(data, i, min(len(data), i+1+r.IntN(600)))
		}
		if r.IntN(2) == 0 {
			fixChecksums(data)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := ecosystem.Read(path)
		if err != nil {
			continue
		}
		accepted++
		sum := sha256.Sum256([]byte(manifest))
		if a.Coordinate.Version() != "sha256:"+hex.EncodeToString(sum[:]) || a.Digests["sha256"] != hex.EncodeToString(sum[:]) {
			t.Errorf("read as %s with %v", a.Coordinate, a.Digests)
		}
	}
	if accepted == 0 || accepted > malformed/2 {
		t.Errorf("%d of %d layouts are accepted", accepted, malformed)
	}
}
