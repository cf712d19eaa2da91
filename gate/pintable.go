package gate

import (
	"regexp"
	"strings"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// pinTable finds the pins that have a say about an entry.
type pinTable struct {
	pins *provenance.Pins
	keys []string // of each pin: type and name, in lower case, with the "*" of a prefix
}

func newPinTable(p *provenance.Pins) pinTable {
	t := pinTable{pins: p}
	for _, pin := range p.Pins {
		t.keys = append(t.keys, strings.ToLower(strings.TrimPrefix(pin.Namespace.String(), "pkg:")))
	}
	return t
}

// decide gives the pin that decides about an entry, how strictly, and the pin of the package that it installs: another
// one, or none, where a pinned name is an alias for it, or the same but for its case.
func (t pinTable) decide(ecosystem string, e *lockfile.Entry) (pin *provenance.Pin, mode provenance.Mode, installed *provenance.Pin) {
	installed = t.pins.For(e.Coordinate)
	pin, mode = installed, t.mode(installed)
	for _, named := range t.claimed(ecosystem, e, installed) {
		if named == installed || installed != nil && strings.EqualFold(named.Namespace.String(), installed.Namespace.String()) {
			continue
		}
		if pin == installed || named.Mode == provenance.Enforce && pin.Mode != provenance.Enforce {
			pin = named
		}
		if named.Mode == provenance.Enforce {
			mode = provenance.Enforce
		}
	}
	return pin, mode, installed
}

// claimed are the pins of the name under which an entry installs a package, and of the package's own name however it
// is capitalised, or in whichever Hex repository it is if no pin is of just this package.
func (t pinTable) claimed(ecosystem string, e *lockfile.Entry, installed *provenance.Pin) []*provenance.Pin {
	name := plainName(ecosystem, e.Name)
	if e.Coordinate.IsZero() {
		return t.named(ecosystem, name)
	}
	exact := e.Coordinate.MatchKey()
	own := strings.ToLower(exact)
	var all []*provenance.Pin
	anyRepository := ecosystem == "hex" && (installed == nil || strings.HasSuffix(installed.Namespace.String(), "*"))
	if anyRepository || own != exact {
		kind, path, _ := strings.Cut(own, "/")
		all = t.named(kind, path)
	}
	if ecosystem+"/"+name != own {
		all = append(all, t.named(ecosystem, name)...)
	}
	return all
}

// mode is that of a pin, or what the default of the pins file amounts to where there is none.
func (t pinTable) mode(p *provenance.Pin) provenance.Mode {
	switch {
	case p != nil:
		return p.Mode
	case t.pins.Default == provenance.Reject:
		return provenance.Enforce
	}
	return provenance.Report
}

// named are the pins that a name falls under, or overlaps where it is a pattern: of those that cover a whole name the
// one that decides, of a pattern all.
func (t pinTable) named(ecosystem, name string) []*provenance.Pin {
	key := ecosystem + "/" + name
	begin, _, pattern := strings.Cut(key, "*")
	var all []*provenance.Pin
	longest := 0
	for i, pinned := range t.keys {
		literal, prefix := strings.CutSuffix(pinned, "*")
		if ecosystem == "hex" && !strings.Contains(name, "/") {
			literal = withoutRepository(literal)
		}
		switch {
		case pattern && (strings.HasPrefix(literal, begin) || prefix && strings.HasPrefix(begin, literal)):
			all = append(all, &t.pins.Pins[i])
		case pattern || key != literal && !(prefix && strings.HasPrefix(key, literal)):
		case len(literal) > longest || len(literal) == longest && !prefix:
			all, longest = []*provenance.Pin{&t.pins.Pins[i]}, len(literal)
		}
	}
	return all
}

// withoutRepository is the package that a pin of a private Hex repository names, which somebody may have published in
// another. A pin of all that a repository has names none.
func withoutRepository(literal string) string {
	if i := strings.LastIndexByte(literal, '/'); i < len(literal)-1 {
		return "hex/" + literal[i+1:]
	}
	return literal
}

var separators = regexp.MustCompile(`[-_.]+`)

// plainName brings a name into the form of match keys as far as that can be done with one that may be none: it is better
// to find too many pins than too few.
func plainName(ecosystem, name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	switch ecosystem {
	case "pypi":
		name, _, _ = strings.Cut(name, "[")
		return strings.Trim(separators.ReplaceAllString(name, "-"), "- ")
	case "cargo":
		return strings.ReplaceAll(name, "_", "-")
	case "maven":
		group, rest, _ := strings.Cut(name, ":")
		artifact, _, _ := strings.Cut(rest, " ")
		artifact, _, _ = strings.Cut(artifact, ":")
		if strings.HasSuffix(group, "*") {
			return group
		}
		return group + "/" + artifact
	}
	return name
}
