package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"countersign.dev/provenance"
)

const pinsUsage = `usage: countersign pins add REGISTRY --from URL [--namespace PATTERN …]
                            [--require publisher|registry]
                            [--mode enforce|report] [--file FILE]
                            [--fingerprint SHA256 [--yes]]
       countersign pins add REGISTRY --identity FILE …
       countersign pins show [FILE]
       countersign pins init --from-lock [--out FILE] [LOCKFILE|FOLDER …]

pins makes and shows the file in which you decide whose word counts for which
names. A team keeps it in its repository, as .countersign/pins.toml.

  add   pin a registry
  show  print the pins for people
  init  propose a file from what your lockfiles have

add shows the registry's identity with some groups of its fingerprint left out,
and asks for them. Take them from where the registry publishes its fingerprint
or from somebody who works there, by another way than the identity came. Who
could give you a false identity could also give you a false fingerprint with it.

  --from         the registry's public listener, or a mirror of it. Only https,
                 or http to this machine
  --identity     instead, the registry's identity.json
  --namespace    pin these names only; without it, all that the registry speaks
                 for
  --require      accept only what a publisher signed (publisher, if left out),
                 or the registry's word alone too
  --mode         what check does about a refusal: fail (enforce, if left out) or
                 only say it
  --file         the pins file, .countersign/pins.toml if not given
  --fingerprint  the fingerprint as you got it elsewhere, all of it: nothing
                 is left out, and no part is asked for
  --yes          do not ask whether to write either; for scripts

The pins are added at the end of the file; nothing else in it changes. With each
goes the newest version of the identity, so that no older one counts any more.

init asks nothing and pins nothing: it lists in comments what looks private,
because it came from elsewhere than the ecosystem's public registry, and what
to do next. FOLDER is where a project is, the present one if not given.

  --from-lock  read lockfiles
  --out        a file to make, instead of standard output

Worked examples:

  countersign pins init --from-lock --out pins.proposed.toml .
  countersign pins add registry.example --from https://registry.example \
    --namespace 'pkg:npm/@acme/*'
  countersign pins add registry.example --identity identity.json \
    --file ci/pins.toml --yes --fingerprint "$FINGERPRINT"
  countersign pins show

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

const pinsFile = ".countersign/pins.toml"

func pins(args []string, t terminal) error {
	todo := map[string]func([]string, terminal) error{"add": addPins, "show": showPins, "init": initPins}
	if len(args) == 0 {
		return misused("say what to do: add, show or init")
	}
	run, known := todo[args[0]]
	if !known {
		if _, err := parse(newFlags("pins"), args); err != nil {
			return err
		}
		return misused("%q is not add, show or init", args[0])
	}
	return run(args[1:], t)
}

// pinned is a pins file as it stands.
type pinned struct {
	*provenance.Pins
	path string
	text []byte // nil: there is no such file yet
}

func readPinned(path string) (*pinned, error) {
	text, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	p, err := provenance.ParsePins(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &pinned{p, path, text}, nil
}

// place says where pin i is, for people. Where the file does not spell its pins as [[pin]], there is no line to name.
func (p *pinned) place(i int) string {
	var starts []int
	for n, line := range strings.Split(string(p.text), "\n") {
		code, _, _ := strings.Cut(line, "#")
		if strings.Join(strings.Fields(code), "") == "[[pin]]" {
			starts = append(starts, n+1)
		}
	}
	if len(starts) != len(p.Pins.Pins) {
		return fmt.Sprintf("%s, pin %d", p.path, i+1)
	}
	return fmt.Sprintf("%s:%d", p.path, starts[i])
}

func showPins(args []string, t terminal) error {
	operands, err := parse(newFlags("pins show"), args)
	if err != nil {
		return err
	}
	path := pinsFile
	if len(operands) > 0 {
		if path, err = one(operands, "pins file"); err != nil {
			return err
		}
	}
	p, err := readPinned(path)
	if errors.Is(err, fs.ErrNotExist) {
		return hint(err, "countersign pins add makes it")
	}
	if err != nil {
		return err
	}
	p.say(t)
	return nil
}

func (p *pinned) say(t terminal) {
	t.field("file", "%s, %s", filepath.Clean(p.path), counted(len(p.Pins.Pins), "pin"))
	t.field("default", "%s", map[provenance.Mode]string{
		provenance.Reject: `"reject": names that no pin covers are refused`,
		provenance.Report: `"report": names that no pin covers are listed, not refused`,
		provenance.Ignore: `"ignore": names that no pin covers are only counted`,
	}[p.Default])
	for i := range p.Pins.Pins {
		t.say("")
		p.sayPin(t, i)
	}
}

func (p *pinned) sayPin(t terminal, i int) {
	pin := &p.Pins.Pins[i]
	t.field("namespace", "%s", pin.Namespace)
	t.field("registry", "%s", pin.Registry)
	sayFingerprint(t, pin.Identity, nil)
	if l := pin.Latest; l != nil {
		t.field("not before", "version %d, payload sha256:%s", l.Version, l.SHA256)
	}
	if len(pin.Publishers) > 0 {
		t.field("publishers", "only these")
		for _, id := range pin.Publishers {
			t.field("", "%s", id)
		}
	}
	t.field("require", "%s", map[provenance.Basis]string{
		provenance.ByPublisher: `"publisher": a publisher signed and the registry countersigned`,
		provenance.ByRegistry:  `"registry": the registry's word alone is enough`,
	}[pin.Require])
	t.field("mode", "%s", map[provenance.Mode]string{
		provenance.Enforce: `"enforce": what is refused fails a check`,
		provenance.Report:  `"report": what is refused is listed, and passes`,
	}[pin.Mode])
	t.field("at", "%s", p.place(i))
	if warning := pin.Namespace.Warning(); warning != "" {
		t.warn("%s", warning)
	}
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if stem, ok := strings.CutSuffix(thing, "y"); ok {
		thing = stem + "ie"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
