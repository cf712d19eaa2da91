package lockfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"countersign.dev/provenance"
)

var (
	goMod = format{
		name:      "go.mod",
		ecosystem: "golang",
		match:     called("go.mod"),
		read:      readGoMod,
	}
	// goSum is another name for the two files, for those who give it. What is used of it is for go.mod to say.
	goSum = format{
		name:      "go.sum",
		ecosystem: "golang",
		match:     called("go.sum"),
		named:     true,
		read: func(s *source) (list, error) {
			mod, err := s.beside("go.mod")
			if err != nil {
				return list{}, fmt.Errorf("which of its modules are used is in go.mod: %v", err)
			}
			l, err := readGoMod(mod)
			for i := range l.entries {
				l.entries[i].Line = 0 // which is that of go.mod
			}
			return l, err
		},
	}
)

// noGoMod is what an old version of the go command wrote for a go.mod that it could not read. It has ignored it since.
const noGoMod = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="

// A goBuild is what go.mod and go.sum together say about a build. Where the two do not suffice to know what the go
// command would select, it has more modules rather than fewer.
//
// From go 1.17 on, go.mod requires every module that provides a package to the main module or its tests, in the
// selected version; the go command refuses to build when it does not. So these are the entries, as they are what "go mod
// download" downloads. go.sum has further lines, of other versions that were looked at in between, which are passed
// over. Before go 1.17, indirect requirements may be missing. What is selected is then in go.sum, of one version or
// several; all those that the requirements allow are entries.
//
// A module of which go.sum has only the hash of its go.mod is passed over as well: its version counts in the selection
// but nothing is downloaded of it, and the go command refuses a package of it for want of a hash.
//
// Neither file covers go.work, the folder vendor, and the Go toolchain that a toolchain line may ask for.
type goBuild struct {
	list
	mod      *modfile.File
	sums     map[goSumKey]string // in hex
	excluded map[module.Version]bool
	replaced map[module.Version]module.Version // the version is "" for all of them

	done, downloads map[module.Version]bool
}

// A goSumKey is a module of which go.sum has the hash, or that of its go.mod.
type goSumKey struct {
	module.Version
	goMod bool
}

// readGoMod reads go.mod, and go.sum beside it. A module without dependencies has none.
func readGoMod(s *source) (list, error) {
	var text []byte
	sums, err := s.beside("go.sum")
	switch {
	case err == nil:
		text = sums.text
	case !errors.Is(err, fs.ErrNotExist):
		return list{}, fmt.Errorf("go.sum: %v", err)
	}
	return readGoBuild(s.text, text)
}

func readGoBuild(mod, sum []byte) (list, error) {
	b := &goBuild{done: make(map[module.Version]bool), downloads: make(map[module.Version]bool)}
	err := checkSize(mod, bytes.Count(mod, []byte("\n")))
	if err != nil {
		return list{}, err
	}
	if b.mod, err = modfile.Parse("go.mod", mod, nil); err != nil {
		return list{}, fmt.Errorf("%.300s", err.Error())
	}
	if b.mod.Module == nil {
		return list{}, errors.New("it names no module: is it cut?")
	}
	if b.sums, err = parseGoSum(string(sum)); err != nil {
		return list{}, fmt.Errorf("go.sum: %v", err)
	}
	if err := b.readDirectives(); err != nil {
		return list{}, err
	}
	err = b.build()
	return b.list, err
}

// parseGoSum refuses two hashes of one thing: the go command could take either.
func parseGoSum(text string) (map[goSumKey]string, error) {
	sums := make(map[goSumKey]string)
	number := 0
	for line := range strings.Lines(text) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %d: want module, version and hash", number)
		}
		if fields[2] == noGoMod {
			continue
		}
		release, ofGoMod := strings.CutSuffix(fields[1], "/go.mod")
		key := goSumKey{module.Version{Path: fields[0], Version: release}, ofGoMod}
		value, ok := strings.CutPrefix(fields[2], "h1:")
		if !ok {
			return nil, fmt.Errorf("line %d: hash %.100q does not begin with h1:", number, fields[2])
		}
		sum, err := fromBase64("sha256", value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %v", number, err)
		}
		if before, twice := sums[key]; twice && before != sum.value {
			return nil, fmt.Errorf("line %d: %s %s is there twice, with different hashes", number, fields[0], fields[1])
		}
		if sums[key] = sum.value; len(sums) > 2*maxEntries {
			return nil, fmt.Errorf("more than %d lines", 2*maxEntries)
		}
	}
	return sums, nil
}

// readDirectives reads exclude and replace, and refuses what is there twice and different.
func (b *goBuild) readDirectives() error {
	b.excluded = make(map[module.Version]bool)
	for _, x := range b.mod.Exclude {
		b.excluded[x.Mod] = true
	}
	b.replaced = make(map[module.Version]module.Version)
	for _, r := range b.mod.Replace {
		if before, twice := b.replaced[r.Old]; twice && before != r.New {
			return fmt.Errorf("line %d: %s is replaced twice, differently", r.Syntax.Start.Line, r.Old.Path)
		}
		b.replaced[r.Old] = r.New
	}
	required := make(map[string]string)
	for _, r := range b.mod.Require {
		if before, twice := required[r.Mod.Path]; twice && before != r.Mod.Version {
			return fmt.Errorf("line %d: %s is required twice, in different versions", r.Syntax.Start.Line, r.Mod.Path)
		}
		required[r.Mod.Path] = r.Mod.Version
	}
	return nil
}

// build lists what the go command downloads.
func (b *goBuild) build() error {
	for _, r := range b.mod.Require {
		if err := b.require(r.Mod, r.Syntax.Start.Line); err != nil {
			return err
		}
	}
	if b.mod.Go != nil && version.Compare("go"+b.mod.Go.Version, "go1.17") >= 0 {
		return nil
	}
	for _, r := range b.mod.Replace {
		if err := b.require(r.Old, r.Syntax.Start.Line); err != nil {
			return err
		}
	}
	return b.indirect()
}

// require adds a module or, if go.mod replaces it, says so and adds what it does so with.
func (b *goBuild) require(m module.Version, line int) error {
	every := module.Version{Path: m.Path}
	if b.done[m] {
		return nil
	}
	b.done[m], b.done[every] = true, true
	replacement, replaced := b.replaced[m]
	if !replaced {
		replacement, replaced = b.replaced[every]
	}
	e := Entry{Name: m.Path, Line: line, Source: replacement.Path}
	switch {
	case b.excluded[m]:
		e.problem(NotLocked, "go.mod excludes the version that it requires: run go mod tidy")
	case !replaced:
		return b.download(m, line)
	case replacement.Version == "":
		e.problem(FromPath, "go.mod replaces it with the folder %.200s", replacement.Path)
	case replacement.Path == m.Path:
		return b.download(replacement, line)
	default:
		e.problem(FromURL, "go.mod replaces it with %.200s %s", replacement.Path, replacement.Version)
	}
	e.is("golang", m.Path, m.Version)
	if err := b.add(e); err != nil || replacement.Version == "" {
		return err
	}
	return b.download(replacement, line)
}

// download adds a module that is not replaced, if anything of it is downloaded.
func (b *goBuild) download(m module.Version, line int) error {
	if b.downloads[m] {
		return nil
	}
	b.downloads[m] = true
	e := Entry{Name: m.Path, Line: line}
	e.is("golang", m.Path, m.Version)
	if !b.locked(&e, m) {
		return nil
	}
	return b.add(e)
}

// locked gives e its hashes. It reports whether m is downloaded, or would be without a hash.
func (b *goBuild) locked(e *Entry, m module.Version) bool {
	zip, mod := b.sums[goSumKey{m, false}], b.sums[goSumKey{m, true}]
	if zip == "" {
		e.problem(NoDigest, "go.sum does not have it: run go mod tidy")
		return mod == ""
	}
	file := provenance.Digests{"dirHash": zip}
	if mod != "" {
		file["goModHash"] = mod
	}
	e.Files = []provenance.Digests{file}
	return true
}

// indirect adds what may be selected beside the versions that go.mod requires: the modules that go.sum has a hash of
// and that are no lower, as selection goes for the highest.
func (b *goBuild) indirect() error {
	lowest := make(map[string]string)
	for _, r := range b.mod.Require {
		lowest[r.Mod.Path] = r.Mod.Version
	}
	var more []module.Version
	for key := range b.sums {
		_, ofVersion := b.replaced[key.Version]
		_, ofEvery := b.replaced[module.Version{Path: key.Path}]
		higher := semver.Compare(key.Version.Version, lowest[key.Path]) >= 0
		if !key.goMod && higher && !ofVersion && !ofEvery && !b.excluded[key.Version] {
			more = append(more, key.Version)
		}
	}
	slices.SortFunc(more, func(a, b module.Version) int { // what go.sum has need not be a version
		return cmp.Or(cmp.Compare(a.Path, b.Path), semver.Compare(a.Version, b.Version), cmp.Compare(a.Version, b.Version))
	})
	for _, m := range more {
		if err := b.download(m, 0); err != nil {
			return err
		}
	}
	return nil
}
