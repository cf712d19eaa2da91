package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"countersign.dev/ecosystem"
	"countersign.dev/provenance"
)

const submitUsage = `usage: countersign submit --server URL --registry HOST --cert FILE --key FILE
                          [--ca FILE] [--timeout DURATION] [--batch]
                          [--publication FILE] [--out FILE] ARTIFACT…

submit is for a registry's back end: it sends the publication of a stored file,
with the digests of that file, to be countersigned, and writes the answer to
ARTIFACT.bundle.json, to be served beside the package.

  --server       the signing listener of countersignd
  --cert, --key  the TLS client certificate by whose key the service knows you
  --ca           who issued the service's certificate, if not the system's
  --timeout      of each request with all its repetitions; 2m0s
  --batch        send many artifacts in one request each 1000
  --publication  instead of ARTIFACT.publication.json, for one artifact
  --out          instead of ARTIFACT.bundle.json, for one artifact

A worked example:

  countersign submit --server https://countersign.internal:8443 \
    --registry registry.example --cert client.crt --key client.key --ca ca.crt \
    acme-widget-1.2.3.tgz

Nothing is sent before every artifact was found to be what its publisher signed.
What has no definite answer is sent again, the same bytes, as long as --timeout
allows; sending the same once more, at any time, is always safe. A bundle is
written only if it is of this publication; one that is there already is kept. In
a publish pipeline submit comes after your own validation and before the version
is installable.

Exit status: 0 all countersigned, 1 not all, 2 wrong arguments.
`

// submission is a signed artifact on its way to the registry.
type submission struct {
	artifact    string
	publication *provenance.Publication
	observed    map[string]any // digests and size of the file
	out         string
}

func submit(args []string, t terminal) error {
	flags := newFlags("submit")
	where := addServiceFlags(flags)
	publication, out := flags.String("publication", "", ""), flags.String("out", "", "")
	batch := flags.Bool("batch", false, "")
	artifacts, err := parse(flags, args, "server", "registry", "cert", "key")
	switch {
	case err != nil:
		return err
	case len(artifacts) == 0:
		return misused("name at least one artifact")
	case len(artifacts) > 1 && *publication+*out != "":
		return misused("--publication and --out are for one artifact, not %d", len(artifacts))
	}
	service, err := where.open("submit", t)
	if err != nil {
		return err
	}
	var all []*submission
	for _, artifact := range artifacts {
		s := &submission{artifact: artifact, out: cmp.Or(*out, filepath.Clean(artifact)+".bundle.json")}
		if err := s.prepare(cmp.Or(*publication, filepath.Clean(artifact)+".publication.json"), where.registry); err != nil {
			return err
		}
		kept, err := s.kept()
		if err != nil {
			return err
		}
		if kept {
			t.say("kept  %s, which answers an earlier submit; move it away to get a fresh one", s.out)
			continue
		}
		all = append(all, s)
	}
	if *batch {
		return service.submitBatches(all, t)
	}
	return service.submitEach(all, t)
}

// prepare reads what was signed and holds the file to it.
func (s *submission) prepare(publication, registry string) error {
	e, err := readEnvelope(publication)
	if err != nil {
		return hint(err, "countersign sign makes it; --publication names it if it lies elsewhere")
	}
	if s.publication, err = provenance.ParsePublication(e); err != nil {
		return fmt.Errorf("%s: %w", publication, err)
	}
	if s.publication.Registry != registry {
		return fmt.Errorf("%s is for registry %s, not %s", publication, s.publication.Registry, registry)
	}
	digests, size, err := ecosystem.Digests(s.artifact, s.publication.Coordinate.Type())
	if err != nil {
		return err
	}
	return s.observe(digests, size)
}

func (s *submission) observe(digests provenance.Digests, size int64) error {
	signed := s.publication.Subject.Digest
	if name := signed.Disagreement(digests); name != "" {
		return hint(fmt.Errorf("%s is not the file that was signed: its %s is %s, signed is %s", s.artifact, name, digests[name], signed[name]),
			"nothing was sent: find the signed file, or sign this one under a new version")
	}
	for name := range signed {
		if digests[name] == "" {
			return fmt.Errorf("%s: the publisher signed a %s, which this program cannot compute", s.artifact, name)
		}
	}
	s.observed = map[string]any{"size": size}
	for name, value := range digests {
		s.observed[name] = value
	}
	return nil
}

// request is the body of a request, or a line of a batch if ref names it: the same bytes each time.
func (s *submission) request(ref string) ([]byte, error) {
	return json.Marshal(struct {
		Ref         string               `json:"ref,omitzero"`
		Publication *provenance.Envelope `json:"publication"`
		Observed    map[string]any       `json:"observed"`
	}{ref, s.publication.Envelope, s.observed}, json.Deterministic(true))
}

// submitEach sends one after the other. A refusal is about one artifact, anything else would befall the next one too.
func (s *service) submitEach(all []*submission, t terminal) error {
	refused := 0
	for i, item := range all {
		err := s.submit(item, t)
		if err == nil {
			continue
		}
		t.complain("submit: "+item.artifact, err)
		refused++
		if !definite(err) {
			if rest := len(all) - i - 1; rest > 0 {
				t.note("submit: %d more artifacts were not sent", rest)
			}
			break
		}
	}
	if refused > 0 {
		return exitStatus(1)
	}
	return nil
}

// definite reports whether err is the service's last word about one artifact.
func definite(err error) bool {
	var p *problem
	var u unanswered
	return errors.As(err, &p) && !errors.As(err, &u)
}

func (s *service) submit(item *submission, t terminal) error {
	body, err := item.request("")
	if err != nil {
		return err
	}
	return s.post("/countersignatures", "application/json", func() []byte { return body }, func(status int, r io.Reader) error {
		data, err := readAnswer(r, provenance.MaxBundle)
		if err != nil {
			return err
		}
		return item.accept(status, data, t)
	})
}

// kept reports whether an earlier call has left the bundle already. Any other file in its place is an error.
func (s *submission) kept() (bool, error) {
	absence := absent(s.out)
	if absence == nil {
		return false, nil
	}
	data, err := readDocument(s.out)
	if err == nil {
		_, err = s.read(data)
	}
	if err != nil {
		return false, fmt.Errorf("%w, and is not this artifact's: %w", absence, err)
	}
	return true, nil
}

// read holds a bundle to the publication that was sent. It verifies nothing: that is for those who have a pin.
func (s *submission) read(data []byte) (*provenance.Bundle, error) {
	bundle, err := provenance.ParseBundle(data)
	if err != nil {
		return nil, err
	}
	entry, err := provenance.ParseEntry(bundle.Statement)
	if err != nil {
		return nil, err
	}
	c, ok := entry.(*provenance.Countersignature)
	switch {
	case !ok:
		return nil, errors.New("the bundle is not of a countersignature")
	case c.Coordinate != s.publication.Coordinate:
		return nil, fmt.Errorf("the bundle is of %s, not %s", c.Coordinate, s.publication.Coordinate)
	case c.Publication.Envelope.PayloadDigest() != s.publication.Envelope.PayloadDigest() || c.Publication.Publisher() != s.publication.Publisher():
		return nil, fmt.Errorf("the bundle is of another publication of %s", c.Coordinate)
	}
	return bundle, nil
}

// accept writes a bundle that is about the artifact.
func (s *submission) accept(status int, data []byte, t terminal) error {
	bundle, err := s.read(data)
	if err != nil {
		return suspect(err)
	}
	if err := writeNew(s.out, append(data, '\n'), 0o644); err != nil {
		return err
	}
	how := "countersigned"
	if status == http.StatusOK {
		how = "countersigned before"
	}
	t.say("%s  %s as entry %d, wrote %s", how, s.publication.Coordinate, bundle.Proof.Index, s.out)
	return nil
}

// suspect is an answer that a countersigning service does not give.
func suspect(err error) error {
	return hint(fmt.Errorf("the answer is not usable: %w", err), "is the signing listener of countersignd at --server?")
}
