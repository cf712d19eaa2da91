package main

import (
	"encoding/base64"
	"fmt"

	"countersign.dev/provenance"
)

func showChain(t terminal, c *provenance.Chain) {
	t.field("identity", "%s, which consumers pin", c.Fingerprint())
	showIdentity(t, c.Last())
}

func showIdentity(t terminal, id *provenance.Identity) {
	t.field("registry", "%s", id.Registry)
	t.field("version", "%d, payload %s", id.Version, id.Envelope.PayloadDigest())
	t.field("issued", "%s", provenance.At(id.Issued))
	t.field("expires", "%s", provenance.At(id.Expires))
	t.field("namespaces", "%s", joined(id.Namespaces))
	sayKeys(t, id)
	for _, e := range id.Evidence {
		t.field("evidence", "%s of key %s", e.Digest, e.Key)
	}
}

// sayKeys says who decides what in a registry, and what no longer counts.
func sayKeys(t terminal, id *provenance.Identity) {
	t.field("root", "%d of %d keys", id.Root.Threshold, len(id.Root.Keys))
	for _, k := range id.Root.Keys {
		t.field("", "%s", k.Fingerprint())
	}
	for _, l := range id.Logs {
		showLog(t, l)
	}
	for _, k := range id.Enrol {
		ended := ""
		if k.Ended {
			ended = ", ended"
		}
		t.field("enrolment key", "%s%s", k.PublicKey.Fingerprint(), ended)
	}
	for _, x := range id.Excluded {
		showExclusion(t, x)
	}
}

func showLog(t terminal, l provenance.Log) {
	t.field("log", "%s, heads need %d of %d keys%s", l.Origin, l.Threshold, len(l.Active()), anchored("closed", l.Closed))
	for _, k := range l.Keys {
		t.field("", "%s%s", k.PublicKey.Fingerprint(), anchored("ended", k.Ended))
	}
}

func anchored(what string, a *provenance.Anchor) string {
	if a == nil {
		return ""
	}
	return fmt.Sprintf(", %s at size %d, root %s", what, a.Size, base64.StdEncoding.EncodeToString(a.Root))
}

func showExclusion(t terminal, x provenance.Exclusion) {
	to, whose := "on", "all"
	if x.To != nil {
		to = fmt.Sprintf("to %d", *x.To-1)
	}
	if x.Publisher != "" {
		whose = "those of publisher " + x.Publisher
	}
	t.field("excluded", "entries %d %s of %s, %s: %s", *x.From, to, x.Origin, whose, x.Reason)
}

func showEnrolment(t terminal, e *provenance.Enrolment) {
	t.field("enrolment", "%s", e.Digest())
	t.field("registry", "%s", e.Registry)
	t.field("publisher", "%s", e.Publisher.Fingerprint())
	t.field("namespaces", "%s", joined(e.Namespaces))
	t.field("issued", "%s", provenance.At(e.Issued))
	if !e.NotAfter.IsZero() {
		t.field("not after", "%s", provenance.At(e.NotAfter))
	}
	t.field("signed by", "%s", e.Envelope.Signatures[0].KeyID)
}

func showEnrolmentEnd(t terminal, e *provenance.EnrolmentEnd) {
	t.field("end of", "enrolment %s", e.Enrolment)
	t.field("registry", "%s", e.Registry)
	t.field("ended", "%s", provenance.At(e.Ended))
	t.field("reason", "%s", e.Reason)
	t.field("signed by", "%s", e.Envelope.Signatures[0].KeyID)
}

func showBridge(t terminal, b *provenance.Bridge) {
	t.field("bridge", "in log %s", b.From.Origin)
	t.field("from", "size %d, root %s", b.From.Size, base64.StdEncoding.EncodeToString(b.From.Root[:]))
	t.field("to", "size %d, root %s", b.To.Size, base64.StdEncoding.EncodeToString(b.To.Root[:]))
}
