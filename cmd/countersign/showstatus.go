package main

import (
	"countersign.dev/provenance"
)

func recogniseStatus(data []byte) (func(terminal), error) {
	b, err := provenance.ParseStatusBundle(data)
	if err != nil {
		return nil, err
	}
	statement, err := showEntry(b.Statement)
	if err != nil {
		return nil, err
	}
	document, err := provenance.ParseStatusDocument(b.Document)
	if err != nil {
		return nil, err
	}
	return func(t terminal) {
		statement(t)
		for _, log := range document.Logs {
			t.field("speaks for", "the first %d entries of %s", log.Size, log.Origin)
		}
		t.field("withdrawn", "%d", len(document.Withdrawals))
		for _, w := range document.Withdrawals {
			t.field("", "%s at %s: %s", w.Purl, w.WithdrawnAt, w.Reason)
		}
		t.field("ended", "%d enrolments", len(document.Ended))
		for _, e := range document.Ended {
			t.field("", "%s of publisher %s at %s: %s", e.Enrolment, e.Publisher, e.Ended, e.Reason)
		}
	}, nil
}

func showStatusStatement(t terminal, s *provenance.StatusStatement) {
	t.field("statement", "status of registry %s", s.Registry)
	t.field("identity", "%s", s.Identity)
	t.field("at", "%s, by the registry's clock", provenance.At(s.At))
	t.field("log", "%s, up to size %d", s.Origin, s.Size)
	t.field("document", "sha256:%x", s.Document)
}
