package ecosystem

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"countersign.dev/provenance"
)

// A hexPackage is the outer tar of a Hex package, of version 3: four files.
type hexPackage struct {
	version, checksum, metadata document
	inner                       string // the inner checksum, in hex; "" until contents.tar.gz was read
}

// readHex reads what mix hex.build makes. The package does not say of which repository it is: that of an
// organisation has to be given.
func readHex(in *input) (provenance.Coordinate, error) {
	// Which files there are inside does not matter here, but they must be the same for everybody.
	h, err := openHex(in, func(contents io.Reader) error {
		return walkTarball(contents, func(tarEntry, io.Reader) error { return nil })
	})
	if err != nil {
		return provenance.Coordinate{}, err
	}
	properties, err := parseErlang(string(h.metadata.data))
	if err != nil {
		return provenance.Coordinate{}, fmt.Errorf("metadata.config: %v", err)
	}
	name, named := properties["name"].(erlangBinary)
	version, versioned := properties["version"].(erlangBinary)
	if !named || !versioned || name.escaped || version.escaped {
		return provenance.Coordinate{}, errors.New("metadata.config lacks a name or version in plain text")
	}
	coordinate, err := claimed("metadata.config", "hex", name.text, version.text, "")
	if err != nil {
		return provenance.Coordinate{}, err
	}
	if strings.Contains(name.text, "/") {
		return provenance.Coordinate{}, fmt.Errorf("metadata.config: name %q has a repository in it", name.text)
	}
	return coordinate, in.mustBeCalled(name.text+"-"+version.text+".tar", name.text+" "+version.text)
}

// hexDigests returns the inner checksum, which mix.lock has beside the sha256 of the file.
func hexDigests(in *input) (map[string]string, error) {
	h, err := openHex(in, func(contents io.Reader) error {
		_, err := io.Copy(io.Discard, contents)
		return err
	})
	if err != nil {
		return nil, err
	}
	return map[string]string{"hexInner": h.inner}, nil
}

// openHex reads the four files and holds CHECKSUM to them. The contents are read once, by contents.
func openHex(in *input, contents func(io.Reader) error) (*hexPackage, error) {
	h := &hexPackage{
		version:  document{name: "VERSION", limit: 32},
		checksum: document{name: "CHECKSUM", limit: 128},
		metadata: document{name: "metadata.config", limit: 1 << 20}, // as in Hex itself
	}
	err := walkTar(&meter{r: in.stream(), limit: maxUnpacked}, func(e tarEntry, body io.Reader) error {
		if e.kind != typeFile {
			return fmt.Errorf("%q is not a regular file", e.name)
		}
		if h.inner != "" {
			return fmt.Errorf("%q comes after contents.tar.gz, which Hex puts last", e.name)
		}
		return h.visit(e.name, body, contents)
	})
	if err != nil {
		return nil, err
	}
	if h.inner == "" {
		return nil, errors.New("there is no contents.tar.gz: no Hex package")
	}
	if want := string(h.checksum.data); strings.ToUpper(h.inner) != want {
		return nil, fmt.Errorf("CHECKSUM is %.80q, but that of the contents is %q", want, strings.ToUpper(h.inner))
	}
	return h, nil
}

func (h *hexPackage) visit(name string, body io.Reader, contents func(io.Reader) error) error {
	if name == "contents.tar.gz" {
		return h.sum(body, contents)
	}
	for _, d := range []*document{&h.version, &h.checksum, &h.metadata} {
		if d.name != name {
			continue
		}
		if d.data != nil {
			return fmt.Errorf("%s is there twice", name)
		}
		return d.take(body)
	}
	return fmt.Errorf("%q does not belong in a Hex package", name)
}

// sum computes the inner checksum: SHA-256 of three of the files, one after the other.
func (h *hexPackage) sum(body io.Reader, contents func(io.Reader) error) error {
	for _, d := range []*document{&h.version, &h.checksum, &h.metadata} {
		if err := d.found("front of contents.tar.gz"); err != nil {
			return err
		}
	}
	if v := string(h.version.data); v != "3" {
		return fmt.Errorf("VERSION is %q, want 3", v)
	}
	sum := sha256.New()
	sum.Write(h.version.data)
	sum.Write(h.metadata.data)
	if err := contents(io.TeeReader(body, sum)); err != nil {
		return fmt.Errorf("contents.tar.gz: %w", err)
	}
	h.inner = hex.EncodeToString(sum.Sum(nil))
	return nil
}
