package ecosystem_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"countersign.dev/ecosystem"
)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	refName     = "org.opencontainers.image.ref.name"
	imageName   = "io.containerd.image.name"
)

// An image is the files of an OCI image layout.
type image map[string]string

func blobDigest(content string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
}

// add puts a blob into the layout and returns its descriptor.
func (l image) add(mediaType, content string) string {
	digest := blobDigest(content)
	l["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")] = content
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digest, len(content))
}

// point makes an index.json of one descriptor with annotations, key and value by turns.
func (l image) point(descriptor string, annotations ...string) {
	pairs := make(map[string]string)
	for i := 0; i < len(annotations); i += 2 {
		pairs[annotations[i]] = annotations[i+1]
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		panic(err)
	}
	l["index.json"] = `{"schemaVersion":2,"manifests":[` + strings.TrimSuffix(descriptor, "}") + `,"annotations":` + string(text) + `}]}`
}

func imageManifest(config string, layers ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, ociManifest, config, strings.Join(layers, ","))
}

func imageIndex(manifests ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ociIndex, strings.Join(manifests, ","))
}

// newImage makes an image of two layers, and returns its manifest.
func newImage(annotations ...string) (image, string) {
	l := image{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}
	config := l.add("application/vnd.oci.image.config.v1+json", `{"os":"linux"}`)
	manifest := imageManifest(config, l.add("application/vnd.oci.image.layer.v1.tar+gzip", "one"), l.add("application/vnd.oci.image.layer.v1.tar", "two"))
	l.point(l.add(ociManifest, manifest), annotations...)
	return l, manifest
}

// tar makes the tar of a layout, blobs first.
func (l image) tar() []byte {
	parts := [][]byte{dir("blobs/"), dir("blobs/sha256/")}
	for name, content := range l {
		if strings.HasPrefix(name, "blobs/") {
			parts = append(parts, file(name, content))
		}
	}
	for _, name := range []string{"index.json", "oci-layout"} {
		if content, ok := l[name]; ok {
			parts = append(parts, file(name, content))
		}
	}
	return tarOf(parts...)
}

func (l image) write(t testing.TB, folder string) string {
	t.Helper()
	for name, content := range l {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestImage(t *testing.T) {
	for _, s := range []struct {
		name        string
		annotations []string
		repository  string
	}{
		{"with a tag", []string{refName, "ghcr.io/acme/tool:1.0"}, "ghcr.io/acme/tool"},
		{"without", []string{refName, "ghcr.io/acme/tool"}, "ghcr.io/acme/tool"},
		{"with a port", []string{refName, "registry.example:5000/acme/tool:1.0"}, "registry.example:5000/acme/tool"},
		{"with a digest", []string{refName, "ghcr.io/acme/tool@" + blobDigest("")}, "ghcr.io/acme/tool"},
		{"by containerd", []string{imageName, "docker.io/library/tool:1.0", refName, "1.0"}, "docker.io/library/tool"},
		{"both", []string{imageName, "ghcr.io/acme/tool:1.0", refName, "ghcr.io/acme/tool:latest"}, "ghcr.io/acme/tool"},
	} {
		t.Run(s.name, func(t *testing.T) {
			l, manifest := newImage(s.annotations...)
			digest := blobDigest(manifest)
			want := "pkg:oci/tool@" + digest + "?repository_url=" + s.repository
			for _, path := range []string{write(t, "any name.tar", l.tar()), l.write(t, t.TempDir())} {
				a, err := ecosystem.Read(path)
				if err != nil {
					t.Fatal(err)
				}
				if a.Coordinate.String() != want || "sha256:"+a.Digests["sha256"] != digest ||
					a.Digests["sha512"] != sha512Of([]byte(manifest)) || len(a.Digests) != 2 || a.Size != int64(len(manifest)) {
					t.Errorf("read as %+v, want %s", a, want)
				}
			}
		})
	}
}

// The digests of a layout are those of the manifest in it, whatever it is called; so a manifest alone has them too.
func TestImageDigests(t *testing.T) {
	l, manifest := newImage()
	for _, path := range []string{
		write(t, "x.tar", l.tar()), l.write(t, t.TempDir()), write(t, "manifest.json", []byte(manifest)), write(t, "x", []byte(manifest)),
	} {
		digests, size, err := ecosystem.Digests(path, "oci")
		if err != nil || size != int64(len(manifest)) || "sha256:"+digests["sha256"] != blobDigest(manifest) || digests["sha512"] != sha512Of([]byte(manifest)) {
			t.Errorf("%s: %v, %d, %v", path, digests, size, err)
		}
	}
}

// An image without a name is refused with the purl that is missing all but its name.
func TestNamelessImage(t *testing.T) {
	for _, annotations := range [][]string{nil, {refName, "1.0"}, {refName, ""}} {
		l, manifest := newImage(annotations...)
		want := "give --purl, as pkg:oci/NAME@" + blobDigest(manifest) + "?repository_url=HOST/NAME"
		for _, path := range []string{write(t, "x.tar", l.tar()), l.write(t, t.TempDir()), write(t, "manifest.json", []byte(manifest))} {
			if _, err := ecosystem.Read(path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", path, err, want)
			}
		}
	}
}

// An index over the images of several platforms is an image too.
func TestImageOfManyPlatforms(t *testing.T) {
	l, manifest := newImage()
	arm := imageManifest(l.add("", `{"os":"linux","architecture":"arm64"}`), l.add("", "two"))
	index := imageIndex(l.add(ociManifest, manifest), l.add(ociManifest, arm), l.add(ociManifest, arm))
	l.point(l.add(ociIndex, index), refName, "ghcr.io/acme/tool:1.0")
	testSamples := func(want string) {
		a, err := ecosystem.Read(write(t, "x.tar", l.tar()))
		if err != nil || "sha256:"+a.Digests["sha256"] != blobDigest(want) {
			t.Errorf("got %+v, %v", a, err)
		}
	}
	testSamples(index)
	outer := imageIndex(l.add(ociIndex, index))
	l.point(l.add(ociIndex, outer), refName, "ghcr.io/acme/tool:1.0")
	testSamples(outer)
	l["blobs/sha256/"+strings.TrimPrefix(blobDigest(arm), "sha256:")] = arm + " "
	if _, err := ecosystem.Read(write(t, "x.tar", l.tar())); err == nil || !strings.Contains(err.Error(), "does not have the digest") {
		t.Errorf("wrong image of one platform: %v", err)
	}
}

func TestHostileImage(t *testing.T) {
	path := func(content string) string {
		return "blobs/sha256/" + strings.TrimPrefix(blobDigest(content), "sha256:")
	}
	names := []string{refName, "ghcr.io/acme/tool:1.0"}
	config := `{"mediaType":"","digest":"` + blobDigest(`{"os":"linux"}`) + `","size":14}`
	manifestOf := func(text string) func(image, string) {
		return func(l image, _ string) { l.point(l.add(ociManifest, text), names...) }
	}
	said := func(mediaType, text string) func(image, string) {
		return func(l image, _ string) { l.point(l.add(mediaType, text), names...) }
	}
	for _, h := range []struct {
		name   string
		change func(l image, manifest string)
		reason string
	}{
		{"no index", func(l image, _ string) { delete(l, "index.json") }, "index.json"},
		{"layout of another version", func(l image, _ string) { l["oci-layout"] = `{"imageLayoutVersion":"2.0.0"}` }, `version "2.0.0", want 1.0.0`},
		{"layout that is no JSON", func(l image, _ string) { l["oci-layout"] = `x` }, "oci-layout"},
		{"layout in capitals", func(l image, _ string) { l["oci-layout"] = `{"ImageLayoutVersion":"1.0.0"}` }, "by its case"},
		{"index that is no JSON", func(l image, _ string) { l["index.json"] = `x` }, "index.json"},
		{"no image", func(l image, _ string) { l["index.json"] = imageIndex() }, "has 0 manifests"},
		{"two images", func(l image, m string) {
			l["index.json"] = imageIndex(l.add(ociManifest, m), l.add(ociManifest, imageManifest(config)))
		}, "has 2 manifests"},
		{"index is an image", func(l image, m string) { l["index.json"] = m }, "index.json"},
		{"index twice", func(l image, _ string) {
			l["index.json"] = strings.Replace(l["index.json"], `"manifests"`, `"manifests":[],"manifests"`, 1)
		}, "duplicate"},
		{"index in two cases", func(l image, _ string) {
			l["index.json"] = strings.Replace(l["index.json"], `"manifests"`, `"Manifests":[],"manifests"`, 1)
		}, "duplicate"},
		{"two names", func(l image, m string) {
			l.point(l.add(ociManifest, m), imageName, "ghcr.io/acme/a", refName, "ghcr.io/acme/b")
		}, "calls the image both"},
		{"short name", func(l image, m string) { l.point(l.add(ociManifest, m), refName, "acme/tool:1.0") }, "want host/path"},
		{"name in capitals", func(l image, m string) { l.point(l.add(ociManifest, m), refName, "ghcr.io/Acme/tool:1.0") }, "lower-case"},
		{"look-alike", func(l image, m string) { l.point(l.add(ociManifest, m), refName, "ghcr.io/\u0430cme/tool:1.0") }, "its letters are Cyrillic and Latin"},
		{"no manifest", func(l image, m string) { delete(l, path(m)) }, path("")[:13]},
		{"another manifest", func(l image, m string) { l[path(m)] = m + " " }, "digest and size"},
		{"another manifest of that size", func(l image, m string) { l[path(m)] = strings.Replace(m, "+gzip", "+zstd", 1) }, "digest and size"},
		{"manifest of another size", func(l image, m string) { l["index.json"] = strings.Replace(l["index.json"], `"size":`, `"size":1`, 1) }, "digest and size"},
		{"no layer", func(l image, _ string) { delete(l, path("one")) }, strings.TrimPrefix(path("one"), "blobs/sha256/")},
		{"no config", func(l image, _ string) { delete(l, path(`{"os":"linux"}`)) }, strings.TrimPrefix(path(`{"os":"linux"}`), "blobs/sha256/")},
		{"another layer", func(l image, _ string) { l[path("one")] = "One" }, "is not the digest"},
		{"longer layer", func(l image, _ string) { l[path("one")] = "one and more" }, "has 12 bytes, not 3"},
		{"another config", func(l image, _ string) { l[path(`{"os":"linux"}`)] = `{"os":"l1nux"}` }, "is not the digest"},
		{"image and index", manifestOf(strings.TrimSuffix(imageManifest(config), "}") + `,"manifests":[]}`), "want either"},
		{"neither", manifestOf(`{"schemaVersion":2}`), "want either"},
		{"no layers", manifestOf(`{"schemaVersion":2,"config":` + config + `}`), "lacks config or layers"},
		{"no config at all", manifestOf(`{"schemaVersion":2,"layers":[]}`), "lacks config or layers"},
		{"version 1", manifestOf(`{"schemaVersion":1,"config":` + config + `,"layers":[]}`), "schema version 2"},
		{"index said to be an image", said(ociManifest, imageIndex()), "is said to be"},
		{"image said to be an index", said(ociIndex, imageManifest(config)), "is said to be"},
		{"said to be of Docker", said("application/vnd.docker.distribution.manifest.v2+json", imageManifest(config)), "is said to be"},
		{"of another type", said("application/vnd.oci.artifact.manifest.v1+json", `{"schemaVersion":2,"config":`+config+`,"layers":[]}`), "is said to be"},
		{"members in two cases", manifestOf(strings.TrimSuffix(imageManifest(config), "}") + `,"Layers":[` + config + `]}`), "duplicate"},
		{"members in another case", manifestOf(`{"schemaVersion":2,"Config":` + config + `,"layers":[],"config":null}`), "duplicate"},
		{"member of a descriptor in another case", manifestOf(imageManifest(strings.Replace(config, "digest", "Digest", 1))), "by its case"},
		{"members twice", manifestOf(strings.TrimSuffix(imageManifest(config), "}") + `,"layers":[]}`), "duplicate"},
		{"trailing data", manifestOf(imageManifest(config) + "{}"), "after top-level value"},
		{"invalid UTF-8", manifestOf(imageManifest(config) + "\xff"), "manifest"},
		{"other digest", manifestOf(imageManifest(strings.Replace(config, "sha256", "sha512", 1))), "want sha256:"},
		{"digest in capitals", manifestOf(imageManifest(strings.Replace(config, blobDigest(`{"os":"linux"}`), "sha256:"+strings.ToUpper(blobDigest(`{"os":"linux"}`)[7:]), 1))), "want sha256:"},
		{"digest with a path", manifestOf(imageManifest(`{"digest":"sha256:../../../../etc/passwd","size":1}`)), "want sha256:"},
		{"short digest", manifestOf(imageManifest(`{"digest":"sha256:00","size":1}`)), "want sha256:"},
		{"negative size", manifestOf(imageManifest(strings.Replace(config, ":14}", ":-1}", 1))), "has 14 bytes, not -1"},
		{"megabytes of manifest", manifestOf(imageManifest(config) + strings.Repeat(" ", 4<<20)), "larger than"},
		{"many blobs", manifestOf(imageManifest(config, strings.Split(strings.Repeat(config+";", 20_001)+config, ";")...)), "more than 20000 blobs"},
		{"deep", func(l image, m string) {
			for range 4 {
				m = imageIndex(l.add("", m))
			}
			l.point(l.add(ociIndex, m), names...)
		}, "nested deeper"},
		{"many manifests", func(l image, m string) {
			large := l.add(ociManifest, m+strings.Repeat(" ", 4_000_000))
			l.point(l.add(ociIndex, imageIndex(strings.Split(strings.Repeat(large+";", 17)+large, ";")...)), names...)
		}, "manifests have more than"},
	} {
		t.Run(h.name, func(t *testing.T) {
			l, manifest := newImage(names...)
			h.change(l, manifest)
			for _, path := range []string{write(t, "x.tar", l.tar()), l.write(t, t.TempDir())} {
				if a, err := ecosystem.Read(path); err == nil || !strings.Contains(err.Error(), h.reason) {
					t.Errorf("%s: got %v, %v, want %q", path, a.Coordinate, err, h.reason)
				}
				// The same holds where the coordinate is given, except for what is about the name.
				if _, _, err := ecosystem.Digests(path, "oci"); err == nil && !strings.Contains(h.name, "name") && h.name != "look-alike" {
					t.Errorf("%s has digests", path)
				}
			}
		})
	}
}

func TestHostileLayoutTar(t *testing.T) {
	l, _ := newImage(refName, "ghcr.io/acme/tool:1.0")
	with := func(parts ...[]byte) []byte {
		return tarOf(append(parts, bytes.TrimRight(l.tar(), "\x00"), make([]byte, 512))...)
	}
	for _, h := range []struct {
		name   string
		data   []byte
		reason string
	}{
		{"manifest for Docker", with(file("manifest.json", "[]")), `"manifest.json" does not belong`},
		{"Hex package", with(file("metadata.config", "")), `Hex package`},
		{"index twice", with(file("index.json", "{}")), `"index.json" is there twice`},
		{"index in capitals", with(file("INDEX.JSON", "{}")), "does not belong"},
		{"blob of another kind", with(file("blobs/sha512/x", "")), "does not belong"},
		{"blob with another name", with(file("blobs/sha256/x", "")), "does not belong"},
		{"directory", with(dir("x")), "does not belong"},
		{"link", with(symlink("blobs/x", "/etc")), "does not belong"},
		{"above", with(file("../oci-layout", "")), `".."`},
		{"from the current directory", with(file("./oci-layout", "")), `"."`},
	} {
		testRefusals(t, []refusal{{h.name, "x.tar", h.data, h.reason}})
	}
}

func TestHostileLayoutDirectory(t *testing.T) {
	for _, h := range []struct {
		name   string
		change func(folder string) error
		reason string
	}{
		{"manifest for Docker", func(f string) error { return os.WriteFile(filepath.Join(f, "manifest.json"), nil, 0o600) }, "does not belong"},
		{"no layout", func(f string) error { return os.Remove(filepath.Join(f, "oci-layout")) }, "oci-layout"},
		{"linked index", func(f string) error {
			return errors.Join(os.Rename(filepath.Join(f, "index.json"), filepath.Join(f, "blobs", "x")), os.Symlink("blobs/x", filepath.Join(f, "index.json")))
		}, "not a regular file"},
		{"blobs elsewhere", func(f string) error {
			elsewhere := filepath.Join(t.TempDir(), "x")
			return errors.Join(os.Rename(filepath.Join(f, "blobs"), elsewhere), os.Symlink(elsewhere, filepath.Join(f, "blobs")))
		}, "escapes"},
		{"large index", func(f string) error { return os.Truncate(filepath.Join(f, "index.json"), 5<<20) }, "larger than"},
		{"empty", func(f string) error { return errors.Join(os.RemoveAll(f), os.Mkdir(f, 0o700)) }, "oci-layout"},
	} {
		t.Run(h.name, func(t *testing.T) {
			l, _ := newImage(refName, "ghcr.io/acme/tool:1.0")
			folder := l.write(t, filepath.Join(t.TempDir(), "image"))
			if err := h.change(folder); err != nil {
				t.Fatal(err)
			}
			if _, err := ecosystem.Read(folder); err == nil || !strings.Contains(err.Error(), h.reason) {
				t.Errorf("got %v, want %q", err, h.reason)
			}
		})
	}
}

func TestNoManifest(t *testing.T) {
	testRefusals(t, []refusal{
		{"other JSON", "package.json", []byte(widgetJSON), "schema version 2"},
		{"no JSON", "x.json", []byte("x"), "manifest"},
		{"megabytes", "x.json", make([]byte, 5<<20), "larger than"},
	})
}

// Layers of gigabytes are hashed, not held.
func TestMemoryOfImage(t *testing.T) {
	const size, limit = 64_000_000, 4 << 20
	l, _ := newImage()
	sum := sha256.New()
	io.CopyN(sum, zeros{}, size)
	digest := fmt.Sprintf("%x", sum.Sum(nil))
	layer := fmt.Sprintf(`{"digest":"sha256:%s","size":%d}`, digest, size)
	l.point(l.add(ociManifest, imageManifest(l.add("", "{}"), layer)), refName, "ghcr.io/acme/tool")
	path := write(t, "x.tar", append(tarHeader("blobs/sha256/"+digest, '0', size), l.tar()...))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The layer is a hole in the file.
	if _, err = f.WriteAt(l.tar(), 512+(size+511)&^511); err == nil {
		_, err = f.WriteAt(make([]byte, len(l.tar())), 512)
	}
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = ecosystem.Read(path)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > limit {
		t.Errorf("reading allocated %d bytes, want at most %d", got, limit)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func FuzzImage(f *testing.F) {
	_, manifest := newImage()
	f.Add(manifest)
	f.Add(`{"schemaVersion":2,"config":{"digest":"` + blobDigest("two") + `","size":3,"x":[null,1e9]},"layers":[]}`)
	f.Add(`{"schemaVersion":2,"manifests":[{"digest":"` + blobDigest(manifest) + `","size":` + fmt.Sprint(len(manifest)) + `}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		l, first := newImage()
		l.add("", first)
		l.point(l.add("", text), refName, "ghcr.io/acme/tool")
		a, ok := tryRead(t, "x.tar", l.tar())
		if !ok {
			return
		}
		// encoding/json matches names without regard to case, and lets the last of two win.
		type blob struct {
			Digest string
			Size   int
		}
		var seen struct {
			Config            blob
			Layers, Manifests []blob
		}
		if err := json.Unmarshal([]byte(text), &seen); err != nil {
			t.Fatalf("read %q as %s: %v", text, a.Coordinate, err)
		}
		for _, b := range append(append(seen.Layers, seen.Manifests...), seen.Config) {
			content, ok := l["blobs/sha256/"+strings.TrimPrefix(b.Digest, "sha256:")]
			if !ok && !reflect.DeepEqual(b, blob{}) || len(content) != b.Size {
				t.Errorf("read %q, which names %+v", text, b)
			}
		}
	})
}

func FuzzLayoutTar(f *testing.F) {
	l, _ := newImage(refName, "ghcr.io/acme/tool")
	f.Add(l.tar())
	f.Add(bytes.Join([][]byte{pax('x', "path", "oci-layout"), file("x", "{}"), l.tar()}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		fixChecksums(data)
		a, ok := tryRead(t, "x.tar", data)
		if !ok || a.Coordinate.Type() != "oci" {
			return
		}
		wanted := a.Digests["sha256"]
		for r := tar.NewReader(bytes.NewReader(data)); ; {
			h, err := r.Next()
			if err != nil {
				t.Fatalf("archive/tar does not find the manifest %s: %v", wanted, err)
			}
			if h.Name != "blobs/sha256/"+wanted {
				continue
			}
			if content, err := io.ReadAll(r); err != nil || blobDigest(string(content)) != "sha256:"+wanted {
				t.Errorf("archive/tar reads another %s: %v", wanted, err)
			}
			return
		}
	})
}
