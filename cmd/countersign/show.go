package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"countersign.dev/provenance"
)

const showUsage = `usage: countersign show FILE…
       countersign show --proof BUNDLE
       countersign show --statement BUNDLE

show prints for people what a document of ours says: a bundle, a publication, an
identity, an enrolment certificate or its end, a bridge, a log entry, a status.

show verifies nothing. Anybody can write a document that says anything:
countersign verify tells what of it is proven.

  --proof      write the bundle's inclusion proof, as any C2SP tlog-proof
               verifier reads it
  --statement  write the exact bytes of the log entry, which that proof is about

Worked examples:

  countersign show acme-widget-1.2.3.tgz.bundle.json
  countersign show identity.json acme.enrolment.json
  countersign show --proof acme-widget-1.2.3.tgz.bundle.json
  countersign show --statement acme-widget-1.2.3.tgz.bundle.json

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

const unproven = "NOT VERIFIED. This is what the document says; countersign verify tells what is proven."

func show(args []string, t terminal) error {
	flags := newFlags("show")
	proof, statement := flags.Bool("proof", false, ""), flags.Bool("statement", false, "")
	files, err := parse(flags, args)
	switch {
	case err != nil:
		return err
	case *proof && *statement:
		return misused("--proof and --statement exclude each other")
	case len(files) == 0:
		return misused("name at least one file")
	case *proof || *statement:
		return export(files, *proof, t)
	}
	t.say(unproven)
	for _, file := range files {
		data, err := readBounded(file, provenance.MaxStatusBundle)
		if err != nil {
			return err
		}
		print, err := recognise(bytes.TrimSpace(data))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		t.say("")
		t.say("%s", file)
		print(t)
	}
	return nil
}

// export writes a part of a bundle byte by byte.
func export(files []string, proof bool, t terminal) error {
	file, err := one(files, "bundle")
	if err != nil {
		return err
	}
	data, err := readDocument(file)
	if err != nil {
		return err
	}
	bundle, err := provenance.ParseBundle(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	t.note("show: " + unproven)
	part := bundle.Statement
	if proof {
		part = []byte(bundle.Proof.String())
	}
	_, err = t.out.Write(part)
	return err
}

// recognise finds out what a document is; the result prints it.
func recognise(data []byte) (func(terminal), error) {
	if bytes.HasPrefix(data, []byte("[")) {
		return recogniseChain(data)
	}
	var kind struct {
		MediaType   string `json:"mediaType"`
		PayloadType string `json:"payloadType"`
		Type        string `json:"_type"`
		Origin      string `json:"origin"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return nil, errors.New("not a document of ours")
	}
	switch {
	case kind.MediaType == provenance.StatusBundleType:
		return recogniseStatus(data)
	case kind.MediaType != "":
		bundle, err := provenance.ParseBundle(data)
		if err != nil {
			return nil, err
		}
		return showBundle(bundle)
	case kind.PayloadType != "":
		return recogniseEnvelope(data)
	case kind.Type != "":
		return showEntry(data)
	case kind.Origin != "":
		bridge, err := provenance.ParseBridge(data)
		return func(t terminal) { showBridge(t, bridge) }, err
	}
	return nil, errors.New("not a document of ours")
}

func recogniseChain(data []byte) (func(terminal), error) {
	envelopes, err := provenance.ParseEnvelopes(data)
	if err != nil {
		return nil, err
	}
	chain, err := provenance.ParseChain(envelopes)
	return func(t terminal) { showChain(t, chain) }, err
}

func recogniseEnvelope(data []byte) (func(terminal), error) {
	e, err := provenance.ParseEnvelope(data)
	if err != nil {
		return nil, err
	}
	p, err := provenance.ParsePublication(e)
	if err == nil {
		return func(t terminal) { showPublication(t, p) }, nil
	}
	if e.PayloadType == "application/vnd.in-toto+json" {
		return nil, err
	}
	return showEntry(e.JSON())
}

// showEntry is for everything that a log holds.
func showEntry(data []byte) (func(terminal), error) {
	entry, err := provenance.ParseEntry(data)
	if err != nil {
		return nil, err
	}
	return func(t terminal) {
		switch e := entry.(type) {
		case *provenance.Countersignature:
			showCountersignature(t, e)
		case *provenance.RegistryStatement:
			showRegistryStatement(t, e)
		case *provenance.Withdrawal:
			showWithdrawal(t, e)
		case *provenance.StatusStatement:
			showStatusStatement(t, e)
		case *provenance.Identity:
			showIdentity(t, e)
		case *provenance.Enrolment:
			showEnrolment(t, e)
		case *provenance.EnrolmentEnd:
			showEnrolmentEnd(t, e)
		}
	}, nil
}
