package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/gate"
	"countersign.dev/provenance"
)

const checkUsage = `usage: countersign check [--pins FILE] [--from URL …] [--bundles DIR …]
                         [--offline] [--cache DIR] [--policy FILE …]
                         [--status FILE …] [--status-max-age TIME]
                         [--mode report] [--json | --sarif FILE]
                         [LOCKFILE|FOLDER …]

check decides whether what your lockfiles name may be installed: it looks up
the countersignature of every dependency that your pins cover and verifies it
against the digest in the lockfile. It needs no package file, and runs no code
of any package. In CI, run it before anything is installed.

A FOLDER is searched for lockfiles; the present one if nothing is named. Left
out are folders of installed packages and of what was built, as node_modules,
vendor and target. Lockfiles of a kind that --as does not know, as bun.lock,
are not seen: what they name is not checked.

Install by what was checked, as npm ci does: what may change the lockfile may
install something else.

  --pins       which registry you trust for which names; .countersign/pins.toml
               if not given. countersign pins add makes one
  --from       a public listener of a registry, or a mirror of it, as its URL
               without the registry's name. SSL_CERT_FILE names an authority of
               your own
  --bundles    a folder of NAME.bundle.json files, or a static export of a
               public listener
  --offline    use no network: the cache and --bundles only
  --cache      where bundles are kept between runs; a folder of your user's
               cache folder if not given
  --policy     your own rules, on what was verified; .countersign/policy.toml
               if that is there. countersign policy explains
  --status     a registry's status document, which lists what it withdrew;
               with --from, the newest is fetched
  --status-max-age  refuse what no status as young as this speaks for: 72h. It
               makes the status_max_age of pins stricter, never laxer
  --mode       report: say everything, refuse nothing
  --refuse-paths  also refuse folders of your project under pinned names
  --as         the format of the files named, where their names do not say it
  --timeout    how long one request is tried again, 1m if not given
  --json       one JSON object on standard output
  --sarif      SARIF 2.1.0 for code scanning, into FILE; - is standard output

A mirror, a folder and the cache are believed as little as anybody: everything
is verified against your pins. What was refused from one place is asked for
again at the next, so that only what is bad everywhere is bad.

Where to begin: pin the names that are yours, with default = "ignore" in the
pins file. From then on, nobody else's package gets in under one of your names.
Then say default = "report", pin more, and end with "reject".

Worked examples:

  countersign check --from https://registry.example

  countersign check --pins pins.toml --from https://registry.example \
    --mode report --sarif check.sarif package-lock.json

  countersign check --pins pins.toml --offline package-lock.json

What the answers mean:

  refused    the lockfile must not be installed. Each says why, by a code, and
             what to do
  unchecked  a place could not be asked, or nothing says what is needed
  reported   would be one of the two, but for "report" in your pins file or
             --mode; or a folder of your own project
  noted      verified, and a warning or note of your policy

With --json the object is

  {"lockfiles":[{"path":…,"format":…,"entries":…}],
   "findings":[{"verdict":…,"code":…,"purl":…,"name":…,"ecosystem":…,
     "spots":[{"lockfile":…,"line":…}],"registry":…,"mode":…,"rule":…,
     "severity":…,"detail":…,"advice":…,"confusion":…,"source":…,
     "expected":[…],"countersigned":[…]}],
   "summary":{"entries":…,"packages":…,"verified":…,"refused":…,"unchecked":…,
     "reported":…,"ignored":…,"publishers":[{"name":…,"packages":…}],
     "registryOnly":…,"ended":…,"generation":[{"purl":…,"extent":…,"tools":[…],
     "reviewedBy":[…]}],"silent":…,"attributes":[{"name":…,"packages":…}]},
   "notes":[…],"error":…,"status":…}

where entries is the sum of verified, refused, unchecked, reported and ignored,
and status is the exit status. error is there, and nothing else, if nothing was
checked. confusion is true where it looks like an attack
by a package of the same name from elsewhere. Names stay; new ones may come.

Exit status: 0 nothing is refused or unchecked, 1 something is refused, 2
something could not be checked and nothing is refused, or wrong arguments. What
no pin covers is ignored, reported or refused, as default in the pins file says.
`

// checkFlags are the arguments of check.
type checkFlags struct {
	pins, cache, mode, sarif, as      string
	from, bundles, policies, statuses list
	offline, json, refusePaths        bool
	statusMaxAge, timeout             time.Duration
	files                             []string
}

const policyFile = ".countersign/policy.toml"

func check(args []string, t terminal) error {
	flags := newFlags("check")
	f := checkFlags{}
	flags.StringVar(&f.pins, "pins", pinsFile, "")
	flags.StringVar(&f.cache, "cache", "", "")
	flags.StringVar(&f.mode, "mode", "", "")
	flags.StringVar(&f.sarif, "sarif", "", "")
	flags.StringVar(&f.as, "as", "", "")
	flags.Var(&f.from, "from", "")
	flags.Var(&f.bundles, "bundles", "")
	flags.Var(&f.policies, "policy", "")
	flags.Var(&f.statuses, "status", "")
	flags.BoolVar(&f.offline, "offline", false, "")
	flags.BoolVar(&f.json, "json", false, "")
	flags.BoolVar(&f.refusePaths, "refuse-paths", false, "")
	flags.DurationVar(&f.statusMaxAge, "status-max-age", 0, "")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "")
	operands, err := parse(flags, args)
	if err != nil {
		return err
	}
	p := newProgress(t)
	defer p.end()
	g, err := f.prepare(operands, flags, t, p)
	if err != nil {
		return errors.Join(asMisuse(err), f.failJSON(err, t))
	}
	report := f.run(g)
	p.end()
	return f.tell(report, g.Mode, t)
}

// prepare reads everything that the answer depends on, but for what is in the lockfiles.
func (f *checkFlags) prepare(operands []string, flags *flag.FlagSet, t terminal, p *progress) (*gate.Gate, error) {
	if err := f.check(flags); err != nil {
		return nil, err
	}
	g, err := f.gate(t, p)
	if err != nil {
		return nil, err
	}
	f.files, err = lockfilesIn(operands)
	return g, err
}

// asMisuse makes of an error before anything was checked one that gives exit status 2.
func asMisuse(err error) error {
	var m misuse
	if errors.As(err, &m) {
		return err
	}
	return undecided{err}
}

func (f *checkFlags) check(flags *flag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case f.mode != "" && f.mode != string(provenance.Report) && f.mode != string(provenance.Enforce):
		return misused("--mode %q is neither report nor enforce", f.mode)
	case f.json && f.sarif == "-":
		return misused("--json and --sarif - both want standard output")
	case given["status-max-age"] && f.statusMaxAge <= 0:
		return misused("--status-max-age %s: no status is that young", f.statusMaxAge)
	case f.timeout <= 0:
		return misused("--timeout %s leaves no time", f.timeout)
	}
	for _, known := range lockfile.Formats() {
		if f.as == known {
			return nil
		}
	}
	if f.as != "" {
		return hint(misused("--as %q is no format", f.as), "one of: %s", strings.Join(lockfile.Formats(), ", "))
	}
	return nil
}

// lockfilesIn are the files that are named and those in the folders that are, each once, by paths without dots.
func lockfilesIn(operands []string) ([]string, error) {
	found, err := lockfiles(operands)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, hint(err, "name the lockfiles, or make the folder readable")
	}
	if err != nil {
		return nil, hint(err, "name the lockfile, with --as FORMAT if its name does not say what it is")
	}
	var files []string
	seen := make(map[string]bool)
	for _, file := range found {
		if file = filepath.Clean(file); !seen[file] {
			seen[file] = true
			files = append(files, file)
		}
	}
	return files, nil
}

// run reads the lockfiles and checks them.
func (f *checkFlags) run(g *gate.Gate) *gate.Report {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	type bad struct {
		path string
		err  error
	}
	var good []*lockfile.File
	var unreadable []bad
	for _, path := range f.files {
		file, err := f.read(path)
		if err != nil {
			unreadable = append(unreadable, bad{path, err})
			continue
		}
		good = append(good, file)
	}
	report := g.Check(ctx, good)
	for _, b := range unreadable {
		report.Unreadable(b.path, b.err, g.Mode)
	}
	return report
}

func (f *checkFlags) read(path string) (*lockfile.File, error) {
	if f.as != "" {
		return lockfile.ReadAs(path, f.as)
	}
	return lockfile.Read(path)
}

// tell says what was found, in the way that was asked for.
func (f *checkFlags) tell(r *gate.Report, mode provenance.Mode, t terminal) error {
	status := r.Status()
	var err error
	switch f.sarif {
	case "":
	case "-":
		err = writeSARIF(t.out, r)
	default:
		err = saveSARIF(f.sarif, r)
	}
	switch {
	case f.json:
		err = errors.Join(err, reportJSON(t, r, status))
	case f.sarif != "-":
		sayReport(t, r, mode)
	}
	if err != nil {
		return undecided{err}
	}
	for _, note := range r.Notes {
		t.note("check: %s", note)
	}
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

// failJSON says with --json that there is no report, and why.
func (f *checkFlags) failJSON(failure error, t terminal) error {
	if !f.json || f.sarif == "-" {
		return nil
	}
	nothing := &gate.Gate{Pins: new(provenance.Pins)}
	return writeReport(t, jsonReport{nothing.Check(context.Background(), nil), failure.Error(), 2})
}

func reportJSON(t terminal, r *gate.Report, status int) error {
	return writeReport(t, jsonReport{r, "", status})
}

type jsonReport struct {
	*gate.Report
	Error  string `json:"error,omitzero"`
	Status int    `json:"status"`
}

func writeReport(t terminal, r jsonReport) error {
	data, err := encodeJSON(r)
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	_, err = fmt.Fprintf(t.out, "%s\n", data)
	return err
}
