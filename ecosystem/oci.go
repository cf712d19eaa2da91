package ecosystem

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"countersign.dev/provenance"
)

// Limits on images. Registries accept manifests of 4 MiB.
const (
	maxManifest    = 4 << 20
	maxManifests   = 64 << 20 // bytes, in one layout
	maxDescriptors = 20_000   // in one layout
	maxImageDepth  = 4        // indexes inside one another, and the manifest
)

var (
	indexTypes = []string{
		"application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
	}
	manifestTypes = []string{
		"application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json",
	}
	// Annotations by which tools say what an image in a layout is called.
	nameAnnotations = []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"}
)

// readImage reads the digest from the manifest and the repository from the layout, if its writer has put it
// there. Only the manifest's digest and what that covers is the image; the repository is where it is to be.
func readImage(in *input) (provenance.Coordinate, error) {
	if in.size > maxManifest {
		return provenance.Coordinate{}, fmt.Errorf("larger than %d bytes, which no manifest is", maxManifest)
	}
	data, err := io.ReadAll(in.stream())
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if _, err := parseManifestOf(data, ""); err != nil {
		return provenance.Coordinate{}, err
	}
	digest := digestOf(data)
	if in.repository == "" {
		return provenance.Coordinate{}, fmt.Errorf("the image is %s but does not say in which repository: give --purl, as pkg:oci/NAME@%s?repository_url=HOST/NAME", digest, digest)
	}
	return claimed("the layout's name", "oci", in.repository, digest, "")
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// A descriptor refers to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// hex returns the digest's digits.
func (d descriptor) hex() (string, error) {
	digits, ok := strings.CutPrefix(d.Digest, "sha256:")
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != sha256.Size || digits != strings.ToLower(digits) {
		return "", fmt.Errorf("digest %.80q: want sha256: and 64 lower-case hex digits", d.Digest)
	}
	return digits, nil
}

// An imageManifest is that of an image, with config and layers, or an index, with manifests.
type imageManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config"`
	Layers        []descriptor `json:"layers"`
	Manifests     []descriptor `json:"manifests"`
}

func (m *imageManifest) index() bool { return m.Manifests != nil }

// parseManifestOf reads a manifest or index. One that is both, or says to be the other, would be one image to
// one program and another to the next.
func parseManifestOf(data []byte, mediaType string) (*imageManifest, error) {
	var m imageManifest
	if err := decodeImage(data, &m); err != nil {
		return nil, fmt.Errorf("manifest: %v", err)
	}
	image := m.Config != nil || m.Layers != nil
	switch {
	case m.SchemaVersion != 2:
		return nil, errors.New("no image manifest or index of schema version 2")
	case image == m.index():
		return nil, errors.New("manifest: want either config and layers, or manifests")
	case image && (m.Config == nil || m.Layers == nil):
		return nil, errors.New("manifest lacks config or layers")
	}
	types := manifestTypes
	if m.index() {
		types = indexTypes
	}
	for _, said := range []string{m.MediaType, mediaType} {
		if said != "" && !slices.Contains(types, said) || m.MediaType != "" && mediaType != "" && m.MediaType != mediaType {
			return nil, fmt.Errorf("manifest is not the %q that it is said to be", said)
		}
	}
	return &m, nil
}

// decodeImage decodes JSON in which names are read alike by those who heed their case and those who do not.
func decodeImage[T any](data []byte, v *T) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	var lenient T
	if err := json.Unmarshal(data, &lenient, json.MatchCaseInsensitiveNames(true)); err != nil {
		return err
	}
	if !reflect.DeepEqual(*v, lenient) {
		return errors.New("a name differs from a known one by its case")
	}
	return nil
}

// repositoryOf returns what a descriptor's annotations call the image, without tag or digest; "" if they do not.
func repositoryOf(d descriptor) (string, error) {
	var repository string
	for _, key := range nameAnnotations {
		name, _, _ := strings.Cut(d.Annotations[key], "@")
		slash := strings.LastIndexByte(name, '/')
		if slash < 0 {
			continue // a tag alone
		}
		if i := strings.IndexByte(name[slash:], ':'); i >= 0 {
			name = name[:slash+i]
		}
		if repository != "" && name != repository {
			return "", fmt.Errorf("the layout calls the image both %q and %q", repository, name)
		}
		repository = name
	}
	return repository, nil
}

// openImage opens the manifest that path is, or that is laid out there.
func openImage(path string) (*input, error) {
	l, err := openLayout(path)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return openFile(path)
	}
	defer l.Close()
	in, err := l.image()
	if err != nil {
		return nil, fmt.Errorf("OCI image layout %s: %v", path, err)
	}
	return in, nil
}

// image checks the layout and returns the manifest of its one image.
func (l *layout) image() (*input, error) {
	var version struct {
		Version string `json:"imageLayoutVersion"`
	}
	data, err := l.read(layoutFile, maxManifest)
	if err == nil {
		err = decodeImage(data, &version)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %v", layoutFile, err)
	}
	if version.Version != "1.0.0" {
		return nil, fmt.Errorf("%s has version %q, want 1.0.0", layoutFile, version.Version)
	}
	if data, err = l.read(indexFile, maxManifest); err != nil {
		return nil, fmt.Errorf("%s: %v", indexFile, err)
	}
	index, err := parseManifestOf(data, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %v", indexFile, err)
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("%s has %d manifests: make a layout of one image", indexFile, len(index.Manifests))
	}
	root := index.Manifests[0]
	if data, err = l.manifest(root, 1); err != nil {
		return nil, err
	}
	repository, err := repositoryOf(root)
	if err != nil {
		return nil, err
	}
	return &input{
		ReaderAt: bytes.NewReader(data), Closer: io.NopCloser(nil), size: int64(len(data)),
		path: l.path, name: l.name, repository: repository,
	}, nil
}

// manifest reads a manifest and checks all that it refers to.
func (l *layout) manifest(d descriptor, depth int) ([]byte, error) {
	if depth > maxImageDepth {
		return nil, fmt.Errorf("indexes nested deeper than %d", maxImageDepth)
	}
	digits, err := d.hex()
	if err != nil {
		return nil, err
	}
	data, err := l.read(blobFolder+digits, maxManifest)
	if err != nil {
		return nil, err
	}
	if l.manifests += len(data); l.manifests > maxManifests {
		return nil, fmt.Errorf("manifests have more than %d bytes", maxManifests)
	}
	if digestOf(data) != d.Digest || int64(len(data)) != d.Size {
		return nil, fmt.Errorf("%s does not have the digest and size it should have", d.Digest)
	}
	m, err := parseManifestOf(data, d.MediaType)
	if err != nil {
		return nil, fmt.Errorf("%s: %v", d.Digest, err)
	}
	return data, l.parts(m, depth)
}

func (l *layout) parts(m *imageManifest, depth int) error {
	parts := append(slices.Clone(m.Manifests), m.Layers...)
	if m.Config != nil {
		parts = append(parts, *m.Config)
	}
	if l.descriptors += len(parts); l.descriptors > maxDescriptors {
		return fmt.Errorf("more than %d blobs", maxDescriptors)
	}
	for i, d := range parts {
		var err error
		if i < len(m.Manifests) {
			_, err = l.manifest(d, depth+1)
		} else {
			err = l.blob(d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
