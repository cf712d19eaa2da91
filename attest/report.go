package attest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrUnchecked matches, by errors.Is, a document without a contradiction that
// could not be checked: an anchor, an answer or a certificate is missing.
var ErrUnchecked = errors.New("could not be checked")

// Status is what there is for a claim.
type Status string

const (
	Proven       Status = "proven"
	SelfReported Status = "self-reported"
	NotShown     Status = "not shown"
)

// Finding is one claim and what there is for it.
type Finding struct {
	Claim  string `json:"claim"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
}

// Report is what Verify found, until a contradiction if there is one.
type Report struct {
	Digest   string    `json:"digest"` // of the document; what an identity names
	Document *Document `json:"-"`
	Findings []Finding `json:"findings"`

	chained  bool // the EK's certificate is from a chosen maker
	answered bool // the TPM answered the verifier's challenge
	vouched  bool // a chosen auditor certified the AK
	verified bool // Verify had no error
}

func (r *Report) add(claim string, s Status, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{claim, s, fmt.Sprintf(format, args...)})
}

// genuine tells whether the AK is known to be in a TPM.
func (r *Report) genuine() bool { return r.chained && r.answered || r.vouched }

// byTPM adds what the TPM's statements prove, if they are a TPM's.
func (r *Report) byTPM(claim, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if r.genuine() {
		r.add(claim, Proven, "%s", detail)
	} else {
		r.add(claim, NotShown, "%s, says an attestation key that is not shown to be in a TPM", detail)
	}
}

// status is that of the claim's last finding.
func (r *Report) status(claim string) Status {
	for _, f := range slices.Backward(r.Findings) {
		if f.Claim == claim {
			return f.Status
		}
	}
	return NotShown
}

// Question is what a verifier knows and wants to know.
type Question struct {
	Anchors Anchors
	Now     time.Time
	Nonce   []byte        // that the verifier chose; nil for none
	MaxAge  time.Duration // of the claimed time; 0 for any
	Secret  *Secret       // of the verifier's own challenge; nil for none

	// Expect holds claims that must have a value. Expectations lists the names.
	Expect map[string]string

	// Require is a protection that must be claimed, and proven if it can be.
	Require Protection
}

// Expectations lists what Question.Expect takes besides pcr-0 to pcr-23.
func Expectations() []string {
	return []string{"key", "agent", "appliance", "approver", "counter", "firmware", "manufacturer", "model", "previous", "serial"}
}

// value gives the claim that an expectation names.
func (d *Document) value(name string) (string, bool) {
	c := &d.Claims
	fixed := map[string]string{
		"key": c.Fingerprint, "agent": c.Agent, "previous": c.Previous, "manufacturer": c.Token.Manufacturer,
		"model": c.Token.Model, "serial": c.Token.Serial, "firmware": c.Token.Firmware,
	}
	if c.TPM != nil {
		fixed["appliance"], fixed["counter"], fixed["approver"] = c.TPM.Appliance, fmt.Sprint(c.TPM.Counter.Value), Digest(d.TPM.Approver)
		for i, v := range c.TPM.PCRs {
			fixed["pcr-"+i] = fmt.Sprintf("%x", []byte(v))
		}
	}
	v, ok := fixed[name]
	return v, ok
}

// checkExpected compares; it does not make a self-reported claim a proven one.
func (d *Document) checkExpected(expect map[string]string) error {
	var wrong []string
	for name, want := range expect {
		if got, ok := d.value(name); !ok || got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %q, expected was %q", name, got, want))
		}
	}
	slices.Sort(wrong)
	if wrong != nil {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}
