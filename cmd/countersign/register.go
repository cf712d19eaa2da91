package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

const registerUsage = `usage: countersign register --server URL --registry HOST --cert FILE --key FILE
                            [--ca FILE] [--timeout DURATION] FILE…

register sends enrolment certificates, and ends of them, to the registry's log.
From then on it countersigns what those publishers sign, or no longer does.

  --server       the signing listener of countersignd
  --cert, --key  the TLS client certificate by whose key the service knows you;
                 it needs the role enrol
  --ca           who issued the service's certificate, if not the system's
  --timeout      of the request with all its repetitions; 2m0s

A worked example:

  countersign register --server https://countersign.internal:8443 \
    --registry registry.example --cert client.crt --key client.key --ca ca.crt \
    acme.enrolment.json

At most 1000 files; an end goes in a later call than its certificate. Sending
the same again is always safe.

Exit status: 0 all registered, 1 not all, 2 wrong arguments.
`

func register(args []string, t terminal) error {
	flags := newFlags("register")
	where := addServiceFlags(flags)
	files, err := parse(flags, args, "server", "registry", "cert", "key")
	switch {
	case err != nil:
		return err
	case len(files) == 0 || len(files) > maxLines:
		return misused("name 1 to %d files, not %d", maxLines, len(files))
	}
	service, err := where.open("register", t)
	if err != nil {
		return err
	}
	r := &registration{files: files}
	var envelopes []*provenance.Envelope
	for _, file := range files {
		e, err := r.add(file, where.registry)
		if err != nil {
			return err
		}
		envelopes = append(envelopes, e)
	}
	body := provenance.EncodeEnvelopes(envelopes)
	unsent := service.post("/enrolments", "application/json", func() []byte { return body }, r.read)
	if refused := r.tell(t); unsent == nil {
		return refused
	}
	return unsent
}

// registration is a list of enrolment documents and, once there is one, its answer.
type registration struct {
	files   []string
	digests []string // of the certificate that each is about
	answers []enrolmentAnswer
}

type enrolmentAnswer struct {
	Enrolment string         `json:"enrolment"`
	Status    int            `json:"status"`
	Problem   jsontext.Value `json:"problem"`
}

// add reads a certificate or an end.
func (r *registration) add(file, registry string) (*provenance.Envelope, error) {
	e, err := readEnvelope(file)
	if err != nil {
		return nil, err
	}
	var of, digest string
	if c, err := provenance.ParseEnrolment(e); err == nil {
		of, digest = c.Registry, c.Digest()
	} else if end, endErr := provenance.ParseEnrolmentEnd(e); endErr == nil {
		of, digest = end.Registry, end.Enrolment
	} else {
		return nil, hint(fmt.Errorf("%s is neither an enrolment certificate nor the end of one", file), "countersign show %s says what it is", file)
	}
	if of != registry {
		return nil, fmt.Errorf("%s is for registry %s, not %s", file, of, registry)
	}
	r.digests = append(r.digests, digest)
	return e, nil
}

// read takes the answer if there is one for each document.
func (r *registration) read(_ int, body io.Reader) error {
	data, err := readAnswer(body, maxBatch)
	if err != nil {
		return err
	}
	var answers []enrolmentAnswer
	if err := json.Unmarshal(data, &answers); err != nil || len(answers) != len(r.files) {
		return suspect(errors.New("not one part for each document"))
	}
	var again error
	for i, a := range answers {
		p := parseProblem(a.Problem)
		switch {
		case a.Enrolment != "" && a.Enrolment != r.digests[i]:
			return suspect(fmt.Errorf("it is about enrolment %s, not %s", a.Enrolment, r.digests[i]))
		case p != nil && p.Retryable:
			again = transient{p, time.Duration(p.RetryAfter) * time.Second}
		case p == nil && !a.done():
			again = transient{fmt.Errorf("%s has no answer", r.files[i]), 0}
		}
	}
	r.answers = answers
	return again
}

func (a enrolmentAnswer) done() bool {
	return a.Status == http.StatusOK || a.Status == http.StatusCreated
}

// tell says what became of each document that has an answer.
func (r *registration) tell(t terminal) error {
	var failure error
	for i, a := range r.answers {
		p := parseProblem(a.Problem)
		switch {
		case p != nil && !p.Retryable:
			t.complain("register: "+r.files[i], p.hinted())
			failure = exitStatus(1)
		case a.Status == http.StatusCreated:
			t.say("registered         %s  %s", r.digests[i], r.files[i])
		case a.done():
			t.say("registered before  %s  %s", r.digests[i], r.files[i])
		}
	}
	return failure
}
