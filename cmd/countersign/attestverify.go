package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/attest"
)

// evidenceFlags are the arguments of attest verify, and of certify as far as it has them.
type evidenceFlags struct {
	anchors, expect                  list
	identity, nonce, secret, require string
	maxAge                           time.Duration
	json                             bool
	file                             string
}

func verifyEvidence(args []string, t terminal) error {
	flags := newFlags("attest verify")
	var f evidenceFlags
	flags.Var(&f.anchors, "anchors", "")
	flags.Var(&f.expect, "expect", "")
	flags.StringVar(&f.identity, "identity", "", "")
	flags.StringVar(&f.nonce, "nonce", "", "")
	flags.StringVar(&f.secret, "secret", "", "")
	flags.StringVar(&f.require, "require", "", "")
	flags.DurationVar(&f.maxAge, "max-age", 0, "")
	flags.BoolVar(&f.json, "json", false, "")
	operands, err := parse(flags, args)
	if err != nil {
		return err
	}
	if f.file, err = one(operands, "evidence document"); err != nil {
		return err
	}
	if err := noneEmpty(flags); err != nil {
		return err
	}
	report, err := f.verify()
	if m := (misuse{}); errors.As(err, &m) {
		return err
	}
	if f.json {
		return tellEvidence(report, err, t)
	}
	if report != nil {
		sayEvidence(report, t)
	}
	if err != nil {
		return err
	}
	t.say("")
	t.say("VERIFIED as far as it is proven above: %s, %s", report.Document.Claims.Protection, report.Document.Claims.Fingerprint)
	return nil
}

// noneEmpty refuses a wish that is given without a value: a script that lost it means something by it.
func noneEmpty(flags *flag.FlagSet) (err error) {
	flags.Visit(func(f *flag.Flag) {
		if v := f.Value.String(); v == "" || v == "0s" {
			err = misused("--%s is empty", f.Name)
		}
	})
	return err
}

func (f *evidenceFlags) verify() (*attest.Report, error) {
	q, data, err := f.question()
	if err != nil {
		return nil, err
	}
	report, err := attest.Verify(data, q)
	if errors.Is(err, attest.ErrUnchecked) {
		err = undecided{err}
	}
	if report == nil {
		return nil, fmt.Errorf("%s: %w", f.file, err)
	}
	if f.identity == "" {
		report.Findings = append(report.Findings, attest.Finding{Claim: "identity", Status: attest.NotShown, Detail: "whether a registry's identity names this document: give it with --identity"})
		return report, err
	}
	found, named := f.named(report)
	if named == nil {
		report.Findings = append(report.Findings, found)
	}
	return report, worse(err, named)
}

// worse keeps a contradiction before what could not be checked.
func worse(a, b error) error {
	var u undecided
	if a == nil || errors.As(a, &u) && b != nil {
		return b
	}
	return a
}

// named looks the document up in the identity's newest version.
func (f *evidenceFlags) named(r *attest.Report) (attest.Finding, error) {
	chain, err := readIdentity(f.identity)
	if err != nil {
		return attest.Finding{}, undecided{err}
	}
	id, key := chain.Last(), r.Document.Claims.Fingerprint
	others := 0
	for _, e := range id.Evidence {
		switch {
		case e.Key == key && e.Digest == r.Digest:
			return attest.Finding{Claim: "identity", Status: attest.Proven, Detail: fmt.Sprintf("version %d of %s, fingerprint %s, names this document for this key", id.Version, id.Registry, chain.Fingerprint())}, nil
		case e.Key == key:
			others++
		}
	}
	if others > 0 {
		return attest.Finding{}, fmt.Errorf("identity: %s names another document for %s: this one, %s, is not it", id.Registry, key, r.Digest)
	}
	return attest.Finding{}, undecided{fmt.Errorf("identity: %s names no evidence for %s", id.Registry, key)}
}

// question reads everything that the answer depends on.
func (f *evidenceFlags) question() (q attest.Question, data []byte, err error) {
	q = attest.Question{Now: time.Now(), MaxAge: f.maxAge, Require: attest.Protection(f.require)}
	if err := f.wishes(&q); err != nil {
		return q, nil, err
	}
	for _, path := range f.anchors {
		pem, err := readDocument(path)
		if err == nil {
			err = q.Anchors.Add(pem)
		}
		if err != nil {
			return q, nil, undecided{fmt.Errorf("%s: %w", path, err)}
		}
	}
	if f.secret != "" {
		secret, err := readDocument(f.secret)
		if err == nil {
			q.Secret, err = attest.ParseSecret(secret)
		}
		if err != nil {
			return q, nil, undecided{fmt.Errorf("%s: %w", f.secret, err)}
		}
	}
	if data, err = readDocument(f.file); err != nil {
		return q, nil, undecided{err}
	}
	return q, data, nil
}

func (f *evidenceFlags) wishes(q *attest.Question) (err error) {
	if f.nonce != "" {
		if q.Nonce, err = hex.DecodeString(f.nonce); err != nil {
			return misused("--nonce: not hexadecimal digits")
		}
	}
	classes := []attest.Protection{"", attest.PKCS11Token, attest.TPMSealed, attest.SoftwareTest}
	if !slices.Contains(classes, q.Require) {
		return misused("--require %s: give %s, %s or %s", f.require, attest.PKCS11Token, attest.TPMSealed, attest.SoftwareTest)
	}
	if f.maxAge < 0 {
		return misused("--max-age: give a duration like 720h")
	}
	q.Expect = make(map[string]string)
	for _, s := range f.expect {
		name, value, ok := strings.Cut(s, "=")
		if _, twice := q.Expect[name]; !ok || twice || !slices.Contains(attest.Expectations(), name) && !isRegister(name) {
			return hint(misused("--expect %s: not a claim and its value, once", s), "claims are %s, and pcr-0 to pcr-23", strings.Join(attest.Expectations(), ", "))
		}
		q.Expect[name] = value
	}
	return nil
}

func isRegister(name string) bool {
	i, err := strconv.Atoi(strings.TrimPrefix(name, "pcr-"))
	return err == nil && i >= 0 && i < 24 && name == fmt.Sprintf("pcr-%d", i)
}

// statuses, the one that says most first.
var statuses = []attest.Status{attest.Proven, attest.SelfReported, attest.NotShown}

func sayEvidence(r *attest.Report, t terminal) {
	c := &r.Document.Claims
	t.field("digest", "%s", r.Digest)
	t.field("key", "%s", c.Fingerprint)
	t.field("protection", "%s, as claimed", c.Protection)
	for _, status := range statuses {
		t.say("")
		for _, f := range r.Findings {
			if f.Status == status {
				t.field(string(status), "%s: %s", f.Claim, f.Detail)
			}
		}
	}
}

// evidenceAnswer is the object of attest verify --json. Its names are stable.
type evidenceAnswer struct {
	Verified   bool              `json:"verified"`
	Detail     string            `json:"detail,omitzero"`
	Unchecked  string            `json:"unchecked,omitzero"`
	Digest     string            `json:"digest,omitzero"`
	Key        string            `json:"key,omitzero"`
	Protection attest.Protection `json:"protection,omitzero"`
	Findings   []attest.Finding  `json:"findings,omitzero"`
}

func tellEvidence(r *attest.Report, err error, t terminal) error {
	a, status := evidenceAnswer{Verified: err == nil}, 0
	var u undecided
	switch {
	case errors.As(err, &u):
		a.Unchecked, status = err.Error(), 2
	case err != nil:
		a.Detail, status = err.Error(), 1
	}
	if r != nil {
		a.Digest, a.Key, a.Protection, a.Findings = r.Digest, r.Document.Claims.Fingerprint, r.Document.Claims.Protection, r.Findings
	}
	data, err := json.Marshal(a, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return undecided{err}
	}
	fmt.Fprintf(t.out, "%s\n", data)
	if status == 0 {
		return nil
	}
	return exitStatus(status)
}
