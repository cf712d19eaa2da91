package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"countersign.dev/provenance"
)

// pinFlags are the arguments of pins add.
type pinFlags struct {
	registry, from, identity, file, fingerprint string
	namespaces                                  list
	require, mode                               string
	yes                                         bool
}

func (f *pinFlags) add(flags *flag.FlagSet) {
	flags.StringVar(&f.from, "from", "", "")
	flags.StringVar(&f.identity, "identity", "", "")
	flags.StringVar(&f.file, "file", pinsFile, "")
	flags.StringVar(&f.fingerprint, "fingerprint", "", "")
	flags.Var(&f.namespaces, "namespace", "")
	flags.StringVar(&f.require, "require", string(provenance.ByPublisher), "")
	flags.StringVar(&f.mode, "mode", string(provenance.Enforce), "")
	flags.BoolVar(&f.yes, "yes", false, "")
}

var wholeFingerprint = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// check holds the arguments together. A fingerprint may be written in the groups in which it is shown.
func (f *pinFlags) check(operands []string, flags *flag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if given["fingerprint"] {
		digits := strings.ToLower(strings.Join(strings.Fields(f.fingerprint), ""))
		f.fingerprint = "sha256:" + strings.TrimPrefix(digits, "sha256:")
	}
	name, err := one(operands, "registry")
	if err == nil {
		f.registry, err = registryName(name)
	}
	switch {
	case err != nil:
		return err
	case given["from"] == given["identity"]:
		return misused("give either --from or --identity: where the registry's identity is to be had")
	case given["fingerprint"] && !wholeFingerprint.MatchString(f.fingerprint):
		return misused("--fingerprint is not all of a fingerprint: sha256: and 64 hex digits")
	case f.yes && !given["fingerprint"]:
		return misused("--yes needs --fingerprint: a pin that nobody compared protects from nobody")
	case f.file == "":
		return misused("--file is empty")
	case f.require != string(provenance.ByPublisher) && f.require != string(provenance.ByRegistry):
		return misused("--require %q is not publisher or registry", f.require)
	case f.mode != string(provenance.Enforce) && f.mode != string(provenance.Report):
		return misused("--mode %q is not enforce or report", f.mode)
	}
	return nil
}

func addPins(args []string, t terminal) error {
	flags := newFlags("pins add")
	f := pinFlags{}
	f.add(flags)
	operands, err := parse(flags, args)
	if err == nil {
		err = f.check(operands, flags)
	}
	if err != nil {
		return err
	}
	file, err := readPinned(f.file)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = &pinned{new(provenance.Pins), f.file, nil}, nil
	}
	if err != nil {
		return err
	}
	chain, err := f.chain()
	if err != nil {
		return err
	}
	pins, err := f.pins(chain)
	if err != nil {
		return err
	}
	if err := file.admits(pins, len(f.namespaces) > 0, t); err != nil {
		return err
	}
	if err := f.confirm(chain, pins, t); err != nil {
		return err
	}
	if err := file.append(pins, chain); err != nil {
		return err
	}
	for i := range pins {
		t.field("pinned", "%s", pins[i].Namespace)
	}
	t.field("wrote", "%s", f.file)
	return nil
}

// chain gets the registry's identity, verified in itself. Whose it is shows the fingerprint alone.
func (f *pinFlags) chain() (*provenance.Chain, error) {
	var chain *provenance.Chain
	var err error
	if f.identity != "" {
		chain, err = readIdentity(f.identity)
	} else {
		chain, err = fetchIdentity(f.from, f.registry)
	}
	if err != nil {
		return nil, err
	}
	if of := chain.Last().Registry; of != f.registry {
		return nil, fmt.Errorf("the identity is of registry %s, not of %s", of, f.registry)
	}
	if f.fingerprint != "" && f.fingerprint != chain.Fingerprint() {
		return nil, hint(fmt.Errorf("the identity's fingerprint is %s, not the one in --fingerprint: nothing was pinned", chain.Fingerprint()),
			"one of the two is not the registry's: find out which, before anything is installed")
	}
	return chain, nil
}

// pins are those to write: of the namespaces asked for, or of all that the registry speaks for.
func (f *pinFlags) pins(chain *provenance.Chain) ([]provenance.Pin, error) {
	id := chain.Last()
	chosen := id.Namespaces
	if len(f.namespaces) > 0 {
		chosen = nil
	}
	for _, pattern := range f.namespaces {
		ns, err := provenance.ParsePinNamespace(pattern)
		var c *provenance.CanonicalError
		switch {
		case errors.As(err, &c):
			return nil, hint(misuse{err}, "write --namespace '%s'", c.Canonical)
		case err != nil:
			return nil, hint(misuse{err}, "a pattern is like pkg:npm/left-pad or pkg:npm/@acme/*")
		case slices.Contains(chosen, ns):
			return nil, misused("--namespace %s is there twice", ns)
		case !slices.ContainsFunc(id.Namespaces, ns.Within):
			return nil, hint(fmt.Errorf("%s does not speak for all of %s: a pin would refuse every package of it", id.Registry, ns),
				"its namespaces: %s", joined(id.Namespaces))
		}
		chosen = append(chosen, ns)
	}
	latest := provenance.Latest{Version: id.Version, SHA256: strings.TrimPrefix(id.Envelope.PayloadDigest(), "sha256:")}
	var pins []provenance.Pin
	for _, ns := range chosen {
		pins = append(pins, provenance.Pin{Namespace: ns, Registry: id.Registry, Identity: chain.Fingerprint(), Latest: &latest,
			Require: provenance.Basis(f.require), Mode: provenance.Mode(f.mode)})
	}
	return pins, nil
}

// admits refuses what is pinned already. A narrower pin decides before a wider one, so a registry could speak for a part
// of what is another's by claiming it; that is done only if the part was named.
func (p *pinned) admits(pins []provenance.Pin, named bool, t terminal) error {
	for _, pin := range pins {
		for i, before := range p.Pins.Pins {
			switch {
			case before.Namespace == pin.Namespace:
				return hint(fmt.Errorf("%s is pinned already, to %s: %s", pin.Namespace, before.Registry, p.place(i)),
					"nothing was pinned; --namespace names those to pin, or change that pin by hand")
			case before.Identity == pin.Identity || !pin.Namespace.Within(before.Namespace):
			case named:
				t.warn("%s is a part of %s, which is pinned to %s: the new pin decides about it (%s)", pin.Namespace, before.Namespace, before.Registry, p.place(i))
			default:
				return hint(fmt.Errorf("%s claims %s, a part of %s, which is pinned to %s: %s", pin.Registry, pin.Namespace, before.Namespace, before.Registry, p.place(i)),
					"nothing was pinned; if %s is to decide about that part, name it with --namespace", pin.Registry)
			}
		}
	}
	return nil
}

// confirm shows what is about to be trusted, and has it compared.
func (f *pinFlags) confirm(chain *provenance.Chain, pins []provenance.Pin, t terminal) error {
	var hidden []int
	if f.fingerprint == "" {
		hidden = hide(chain.Fingerprint())
	}
	sayCandidate(t, chain, hidden)
	for _, pin := range pins {
		t.field("to be pinned", "%s, require %s, mode %s", pin.Namespace, pin.Require, pin.Mode)
	}
	for _, pin := range pins {
		if warning := pin.Namespace.Warning(); warning != "" {
			t.warn("%s", warning)
		}
	}
	if id := chain.Last(); id.Expires.Before(time.Now()) {
		t.warn("this identity has expired: whoever gave it to you may hold back a newer one")
	}
	switch {
	case f.yes:
		return nil
	case f.fingerprint == "":
		return compare(chain.Fingerprint(), hidden, t)
	}
	answer, err := ask(t, fmt.Sprintf("Write this to %s? Type yes: ", plain(f.file)))
	if err == nil && strings.TrimSpace(answer) != "yes" {
		err = errors.New("not confirmed: nothing was pinned")
	}
	return err
}

// sayCandidate shows an identity. The digest of its payload is left out: that of version 1 is the fingerprint.
func sayCandidate(t terminal, chain *provenance.Chain, hidden []int) {
	id := chain.Last()
	t.field("registry", "%s", id.Registry)
	sayFingerprint(t, chain.Fingerprint(), hidden)
	t.field("version", "%d, issued %s", id.Version, provenance.At(id.Issued))
	t.field("expires", "%s", provenance.At(id.Expires))
	for i, ns := range id.Namespaces {
		t.field([]string{"speaks for", ""}[min(i, 1)], "%s", ns)
	}
	sayKeys(t, id)
}

// append writes the pins at the end of the file, which is made if it is not there.
func (p *pinned) append(pins []provenance.Pin, chain *provenance.Chain) error {
	text := p.text
	if text == nil {
		text = []byte(newPins)
	}
	before, err := provenance.ParsePins(text)
	if err != nil {
		return err
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(slices.Clip(text), '\n')
	}
	text = append(slices.Clip(text), pinBlocks(pins, chain)...)
	after, err := provenance.ParsePins(text)
	if err != nil || after.Default != before.Default || !reflect.DeepEqual(after.Pins, append(before.Pins, pins...)) {
		return hint(fmt.Errorf("%s is written in a way to which nothing can be added: %v", p.path, cmp.Or(err, errors.New("its pins would change"))),
			"write its pins as [[pin]] tables")
	}
	if p.text == nil {
		if err := os.MkdirAll(filepath.Dir(p.path), 0o755); err != nil {
			return err
		}
		return writeNew(p.path, text, 0o644)
	}
	return p.replace(text)
}

// replace changes the file at once and as a whole, unless somebody else did meanwhile.
func (p *pinned) replace(text []byte) error {
	path, err := filepath.EvalSymlinks(p.path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	now, err := readDocument(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, p.text) {
		return hint(fmt.Errorf("%s changed meanwhile: nothing was pinned", p.path), "do it again")
	}
	return fill(path, text, info.Mode())
}
