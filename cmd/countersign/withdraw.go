package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

const withdrawUsage = `usage: countersign withdraw --server URL --registry HOST --cert FILE --key FILE
                            [--ca FILE] [--timeout DURATION] [--yes]
                            --reason TEXT {--purl PURL | --file LIST}

withdraw takes versions back for good: malware, a takedown. It is an entry in
the registry's log. From then on the registry gives no bundle of the version and
countersigns nothing under its name again, and the registry's status lists it:
consumers who have a status refuse it, also when a mirror still has its bundle.
There is no way to undo it; a good version is published under a new number.

  --server       the signing listener of countersignd
  --cert, --key  the TLS client certificate by whose key the service knows you;
                 it needs the role withdraw
  --ca           who issued the service's certificate, if not the system's
  --timeout      of each request with all its repetitions; 2m0s
  --purl         the version, as it was published. Of a PyPI release each file
                 is one, with ?file_name=
  --file         many: a purl in each line, with empty lines and lines that
                 begin with # left out; - is the standard input, with --yes
  --reason       why, for everybody to read, at most 1024 bytes
  --yes          do not ask; otherwise the purl must be typed back, or how many
                 they are

A worked example:

  countersign withdraw --server https://countersign.internal:8443 \
    --registry registry.example --cert client.crt --key client.key --ca ca.crt \
    --purl pkg:npm/%40acme/widget@1.2.3 --yes \
    --reason 'malware: stolen publisher key, advisory 2026-17'

Sending the same again is always safe: what was withdrawn before stays as it is,
with its first reason. The new status comes a few seconds later.

Exit status: 0 all are withdrawn, 1 not all, 2 wrong arguments.
`

func withdrawPurls(args []string, t terminal) error {
	flags := newFlags("withdraw")
	where := addServiceFlags(flags)
	purl, file, reason := flags.String("purl", "", ""), flags.String("file", "", ""), flags.String("reason", "", "")
	yes := flags.Bool("yes", false, "")
	operands, err := parse(flags, args, "server", "registry", "cert", "key", "reason")
	if err == nil {
		err = none(operands)
	}
	switch {
	case err != nil:
		return err
	case (*purl == "") == (*file == ""):
		return misused("give one of --purl and --file")
	case *file == "-" && !*yes:
		return misused("--file - leaves nobody to ask: give --yes")
	case len(*reason) > maxReason:
		return misused("--reason has %d bytes, at most %d are allowed", len(*reason), maxReason)
	}
	service, err := where.open("withdraw", t)
	if err != nil {
		return err
	}
	purls := []string{*purl}
	if *file != "" {
		if purls, err = readPurls(*file, t); err != nil {
			return err
		}
	} else if _, err := provenance.ParseExpected(*purl); err != nil {
		return misuse{err}
	}
	if !*yes {
		if err := confirmWithdrawal(purls, where.registry, *reason, t); err != nil {
			return err
		}
	}
	return service.withdraw(purls, *reason, t)
}

const (
	maxReason    = 1024     // bytes
	maxPurlsFile = 64 << 20 // bytes
)

// readPurls reads a list, each purl once.
func readPurls(file string, t terminal) ([]string, error) {
	in := t.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPurlsFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxPurlsFile:
		return nil, fmt.Errorf("%s is longer than %d bytes", file, maxPurlsFile)
	}
	var purls []string
	seen := make(map[string]bool)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		purl := strings.TrimSpace(line)
		if purl == "" || purl[0] == '#' || seen[purl] {
			continue
		}
		if _, err := provenance.ParseExpected(purl); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, n, err)
		}
		seen[purl] = true
		purls = append(purls, purl)
	}
	if len(purls) == 0 {
		return nil, fmt.Errorf("%s names no purl", file)
	}
	return purls, nil
}

// maxListed is how many purls are shown to whoever confirms.
const maxListed = 20

// confirmWithdrawal shows what is about to go, and has it typed back.
func confirmWithdrawal(purls []string, registry, reason string, t terminal) error {
	t.field("registry", "%s", registry)
	for _, purl := range purls[:min(len(purls), maxListed)] {
		t.field("to withdraw", "%s", purl)
	}
	if more := len(purls) - maxListed; more > 0 {
		t.field("", "and %d more", more)
	}
	t.field("reason", "%s", reason)
	want, what := purls[0], "the purl"
	if len(purls) > 1 {
		want, what = fmt.Sprint(len(purls)), "how many they are"
	}
	answer, err := ask(t, fmt.Sprintf("There is no way to undo it. Type %s: ", what))
	if err != nil || strings.TrimSpace(answer) != want {
		return hint(errors.New("not confirmed: nothing was withdrawn"), "a script gives --yes")
	}
	return nil
}

// withdraw sends as few requests as the limits allow, one after the other. One that is not answered ends it.
func (s *service) withdraw(purls []string, reason string, t terminal) error {
	var refused error
	for len(purls) > 0 {
		w := &withdrawal{purls: purls[:min(len(purls), maxLines)]}
		purls = purls[len(w.purls):]
		body, err := w.body(reason)
		if err != nil {
			return err
		}
		err = s.post("/withdrawals", "application/json", func() []byte { return body }, w.read)
		if failure := w.tell(t); failure != nil {
			refused = failure
		}
		if err != nil && len(purls) > 0 {
			err = fmt.Errorf("%d more were not sent: %w", len(purls), err)
		}
		if err != nil {
			return err
		}
	}
	return refused
}

// withdrawal is one request and, once there is one, its answer.
type withdrawal struct {
	purls   []string
	answers []withdrawalAnswer
}

type withdrawalAnswer struct {
	Purl        string         `json:"purl"`
	Status      int            `json:"status"`
	Origin      string         `json:"origin"`
	Index       uint64         `json:"index"`
	WithdrawnAt string         `json:"withdrawnAt"`
	Reason      string         `json:"reason"`
	Problem     jsontext.Value `json:"problem"`
}

func (w *withdrawal) body(reason string) ([]byte, error) {
	type element struct {
		Purl   string `json:"purl"`
		Reason string `json:"reason"`
	}
	var all []element
	for _, purl := range w.purls {
		all = append(all, element{purl, reason})
	}
	body, err := json.Marshal(map[string]any{"withdrawals": all})
	if err != nil {
		return nil, hint(misuse{err}, "the reason must be valid UTF-8")
	}
	return body, nil
}

// read takes the answer if there is one for each purl.
func (w *withdrawal) read(_ int, body io.Reader) error {
	data, err := readAnswer(body, maxBatch)
	if err != nil {
		return err
	}
	var answers []withdrawalAnswer
	if err := json.Unmarshal(data, &answers); err != nil || len(answers) != len(w.purls) {
		return suspect(errors.New("not one part for each purl"))
	}
	var again error
	for i, a := range answers {
		p := parseProblem(a.Problem)
		switch {
		case a.Purl != w.purls[i]:
			return suspect(fmt.Errorf("it is about %q, not %s", a.Purl, w.purls[i]))
		case p != nil && p.Retryable:
			again = transient{fmt.Errorf("%s: %w", a.Purl, p), time.Duration(p.RetryAfter) * time.Second}
		case p == nil && !a.done():
			again = transient{fmt.Errorf("%s has no answer", a.Purl), 0}
		}
	}
	w.answers = answers
	return again
}

func (a withdrawalAnswer) done() bool {
	return slices.Contains([]int{http.StatusOK, http.StatusCreated}, a.Status) && len(a.Problem) == 0
}

// tell says what became of each purl that has an answer.
func (w *withdrawal) tell(t terminal) error {
	var failure error
	for _, a := range w.answers {
		p := parseProblem(a.Problem)
		switch {
		case p != nil && !p.Retryable:
			t.complain("withdraw: "+a.Purl, withdrawalHint(p))
			failure = exitStatus(1)
		case a.done() && a.Status == http.StatusCreated:
			t.say("withdrawn         %s  entry %d of %s", a.Purl, a.Index, a.Origin)
		case a.done():
			t.say("withdrawn before  %s  at %s: %s", a.Purl, a.WithdrawnAt, a.Reason)
		}
	}
	return failure
}

// withdrawalHint adds what the sender can do.
func withdrawalHint(p *problem) error {
	switch p.code() {
	case "not-found":
		return hint(p, "only what this registry countersigned can be withdrawn: is it the purl that it was published under?")
	case "malformed", "coordinate-not-canonical":
		return p // the reason says it
	}
	return p.hinted()
}
