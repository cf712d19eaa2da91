package ecosystem

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"countersign.dev/provenance"
)

// A goModule is a module zip that the go command would take.
type goModule struct {
	module.Version
	zip   *zip.Reader
	goMod []byte
}

// readModule reads a zip as the module proxy protocol has it. The proxy calls it by its version alone, so that
// is all its name can be compared with.
func readModule(in *input) (provenance.Coordinate, error) {
	m, err := openModule(in)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	coordinate, err := claimed("module@version/", "golang", m.Path, m.Version.Version, "")
	if err != nil {
		return provenance.Coordinate{}, err
	}
	escaped, err := module.EscapeVersion(m.Version.Version)
	if err != nil {
		return provenance.Coordinate{}, err
	}
	return coordinate, in.mustBeCalled(escaped+".zip", m.Path+" "+m.Version.Version)
}

// moduleDigests returns what go.sum says of a module, its two h1 hashes.
func moduleDigests(in *input) (map[string]string, error) {
	m, err := openModule(in)
	if err != nil {
		return nil, err
	}
	var names []string
	files := make(map[string]*zip.File)
	for _, f := range m.zip.File {
		names = append(names, f.Name)
		files[f.Name] = f
	}
	dirHash, err := h1(names, func(name string) (io.ReadCloser, error) { return files[name].Open() })
	if err != nil {
		return nil, err
	}
	goModHash, err := h1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(m.goMod)), nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]string{"dirHash": dirHash, "goModHash": goModHash}, nil
}

// h1 is dirhash.Hash1 in hex.
func h1(names []string, open func(string) (io.ReadCloser, error)) (string, error) {
	sum, err := dirhash.Hash1(names, open)
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
	return hex.EncodeToString(raw), err
}

func openModule(in *input) (*goModule, error) {
	z, err := openZip(in, in.size)
	if err != nil {
		return nil, err
	}
	version, err := prefixVersion(z)
	if err != nil {
		return nil, err
	}
	checked, err := modzip.CheckZip(version, in.path)
	if len(checked.Invalid) > 0 {
		first := checked.Invalid[0] // of perhaps very many
		return nil, fmt.Errorf("zip entry %q: %v", first.Path, first.Err)
	}
	if err != nil {
		return nil, err
	}
	m := &goModule{Version: version, zip: z}
	return m, m.readGoMod()
}

// prefixVersion reads module and version from the prefix all files must have, module@version/.
func prefixVersion(z *zip.Reader) (module.Version, error) {
	if len(z.File) == 0 {
		return module.Version{}, errors.New("zip is empty")
	}
	name := z.File[0].Name
	path, rest, versioned := strings.Cut(name, "@")
	version, _, below := strings.Cut(rest, "/")
	if !versioned || !below {
		return module.Version{}, fmt.Errorf("%q is not below module@version/: no Go module; give --purl for another kind of zip", name)
	}
	return module.Version{Path: path, Version: version}, nil
}

// readGoMod reads go.mod, which must be of this module. Modules from before go.mod have the one that the go
// command makes up for them.
func (m *goModule) readGoMod() error {
	name := m.Path + "@" + m.Version.Version + "/go.mod"
	i := slices.IndexFunc(m.zip.File, func(f *zip.File) bool { return f.Name == name })
	if i < 0 {
		m.goMod = fmt.Appendf(nil, "module %s\n", modfile.AutoQuote(m.Path))
		return nil
	}
	file, err := m.zip.File[i].Open()
	if err != nil {
		return fmt.Errorf("open go.mod: %v", err)
	}
	defer file.Close()
	if m.goMod, err = io.ReadAll(io.LimitReader(file, modzip.MaxGoMod+1)); err != nil {
		return fmt.Errorf("read go.mod: %v", err)
	}
	mod, err := modfile.ParseLax("go.mod", m.goMod, nil)
	if err != nil {
		return fmt.Errorf("parse go.mod: %.200q", err.Error())
	}
	if mod.Module == nil || mod.Module.Mod.Path != m.Path {
		return fmt.Errorf("go.mod is not of module %s, which the zip says it is", m.Path)
	}
	return nil
}
