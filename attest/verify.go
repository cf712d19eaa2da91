package attest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// skew is how far the claimed time may be ahead of the verifier's clock.
const skew = 5 * time.Minute

// Verify checks a document as the package comment says. The error is nil if
// nothing contradicts and everything there is to prove is proven; it matches
// ErrUnchecked if something is missing for that; any other error refuses the
// document. The report holds what was found until then; it is nil if the data is
// no document.
func Verify(data []byte, q Question) (*Report, error) {
	d, err := Parse(data)
	if err != nil {
		return nil, err
	}
	r := &Report{Digest: Digest(data), Document: d, Findings: []Finding{}}
	if d.TPM == nil && q.Secret != nil {
		return r, fmt.Errorf("protection: %s is claimed, and it was a TPM that you challenged", d.Claims.Protection)
	}
	if d.TPM != nil {
		if err := r.verifyTPM(q); err != nil {
			return r, err
		}
	}
	if err := d.checkProof(); err != nil {
		return r, err
	}
	r.add("publicKey", Proven, "who made this document had the key %s", d.Claims.Fingerprint)
	if err := r.verifyFreshness(q); err != nil {
		return r, err
	}
	if err := d.checkExpected(q.Expect); err != nil {
		return r, err
	}
	r.claims(q)
	err = r.verifyClass(q.Require)
	r.verified = err == nil
	return r, err
}

// verifyTPM follows the order of the package comment.
func (r *Report) verifyTPM(q Question) error {
	d, e := r.Document, r.Document.TPM
	if err := r.verifyEK(q); err != nil {
		return err
	}
	ak, err := parseAK(e.AKPublic)
	if err != nil {
		return err
	}
	if err := r.verifyAK(q, ak); err != nil {
		return err
	}
	binding, err := d.Claims.Binding()
	if err != nil {
		return err
	}
	s, err := e.openStatements(ak, binding)
	if err != nil {
		return err
	}
	if err := r.verifyState(s); err != nil {
		return err
	}
	return r.verifySealed(s, q.Now)
}

func (r *Report) verifyEK(q Question) error {
	d := r.Document
	serial, err := EKSerial(d.TPM.EKPublic)
	if err != nil {
		return err
	}
	if serial != d.Claims.Token.Serial {
		return errors.New("token: serial is not that of the endorsement key")
	}
	leaf, err := d.TPM.ekCertificate()
	switch {
	case err != nil:
		return err
	case leaf == nil:
		r.add("endorsementKey", NotShown, "there is no endorsement certificate")
	case len(q.Anchors.Makers) == 0:
		r.add("endorsementKey", NotShown, "its certificate, issued by %q, was not checked: choose the maker's certificate as an anchor", leaf.Issuer)
	default:
		if err := d.TPM.checkChain(leaf, q.Anchors.Makers, q.Now); err != nil {
			return err
		}
		r.chained = true
		r.add("endorsementKey", Proven, "a TPM's, certified by %q; serial %s", leaf.Issuer, serial)
	}
	return nil
}

// verifyAK finds what ties the AK to the EK.
func (r *Report) verifyAK(q Question, ak *attestationKey) error {
	e := r.Document.TPM
	if q.Secret != nil {
		if err := q.Secret.answered(r.Document, ak); err != nil {
			return err
		}
		r.answered = true
		if r.chained {
			r.add("attestationKey", Proven, "the TPM with the endorsement key has it: it answered your challenge")
		} else {
			r.add("attestationKey", NotShown, "whoever has the endorsement key answered your challenge, and that key is not shown to be in a TPM")
		}
	}
	if e.AKCertificate != nil {
		if auditor := e.AKCertificate.by(q.Anchors.Auditors); auditor != nil {
			if err := e.AKCertificate.verify(e, ak, auditor); err != nil {
				return err
			}
			r.vouched = true
			r.add("attestationKey", Proven, "the auditor %s found it in the TPM with the endorsement certificate, on %s", e.AKCertificate.Auditor, e.AKCertificate.Time.Format(time.DateOnly))
		} else {
			r.add("akCertificate", NotShown, "signed by %s, which is not a chosen anchor", e.AKCertificate.Auditor)
		}
	}
	if !r.answered && !r.vouched {
		r.add("attestationKey", NotShown, "nothing ties it to the endorsement key: challenge the machine, or choose the auditor's key as an anchor")
	}
	return nil
}

// verifyState is about what the machine was when it was asked.
func (r *Report) verifyState(s *statements) error {
	c := &r.Document.Claims
	if firmware := fmt.Sprintf("%016x", s.firmware); firmware != c.Token.Firmware {
		return fmt.Errorf("token: the claimed firmware is not that of the quote, %s", firmware)
	}
	r.byTPM("firmware", "the TPM's is %s", c.Token.Firmware)
	if s.safe {
		r.byTPM("boot", "all statements are of one boot")
	} else {
		r.byTPM("boot", "all statements are of one boot, after one that ended without notice")
	}
	if err := s.checkQuote(c.TPM); err != nil {
		return err
	}
	for _, i := range c.TPM.indexes() {
		r.byTPM(fmt.Sprintf("pcr-%d", i), "the machine had measured %x", []byte(c.TPM.PCRs[fmt.Sprint(i)]))
	}
	return nil
}

// verifySealed adds nothing before all of it is verified: an approval is worth
// what its reference and its counter are.
func (r *Report) verifySealed(s *statements, now time.Time) error {
	d := r.Document
	by, err := parseApprover(d.TPM.Approver)
	if err != nil {
		return err
	}
	if err := d.checkApproval(by); err != nil {
		return err
	}
	if err := s.checkSealed(d, by); err != nil {
		return err
	}
	if err := s.checkCounter(d.Claims.TPM.Counter); err != nil {
		return err
	}
	a, passed := d.TPM.Approval, ""
	if now.After(a.NotAfter) {
		passed = ", which has passed"
	}
	r.add("approval", Proven, "the approver %s approved this state for this key up to counter %d, until %s%s", Digest(d.TPM.Approver), a.Limit, a.NotAfter.Format(time.RFC3339), passed)
	r.byTPM("policy", "a sealed object opens in this TPM only, in a state the approver approved and with its PIN, however good that is; wrong PINs count")
	r.byTPM("creation", "this TPM made it under the claimed storage key, in the name of this key")
	r.byTPM("counter", "it stands at %d", d.Claims.TPM.Counter.Value)
	return nil
}

func (r *Report) verifyFreshness(q Question) error {
	c := &r.Document.Claims
	switch {
	case q.Nonce != nil && !bytes.Equal(q.Nonce, c.Nonce):
		return errors.New("nonce: not the one you chose: the document is not an answer to you")
	case q.Secret != nil && !bytes.Equal(q.Secret.Nonce, c.Nonce):
		return errors.New("nonce: not that of your challenge: the document is not an answer to it")
	case q.Nonce != nil || q.Secret != nil:
		r.add("nonce", Proven, "the document is younger than the nonce you chose")
	default:
		r.add("nonce", NotShown, "no nonce of yours: the document may be of any age")
	}
	age := q.Now.Sub(c.Time)
	switch {
	case age < -skew:
		return fmt.Errorf("time: %s is in the future", c.Time.Format(time.RFC3339))
	case q.MaxAge > 0 && age > q.MaxAge:
		return fmt.Errorf("time: %s is longer ago than %s", c.Time.Format(time.RFC3339), q.MaxAge)
	}
	r.add("time", SelfReported, "%s", c.Time.Format(time.RFC3339))
	return nil
}

// claims adds what nothing but words speaks for, and what nothing at all does.
func (r *Report) claims(q Question) {
	c := &r.Document.Claims
	if c.TPM != nil {
		r.add("token", SelfReported, "%q, %q", c.Token.Manufacturer, c.Token.Model)
	} else {
		r.add("token", SelfReported, "%q, %q, serial %q, firmware %q", c.Token.Manufacturer, c.Token.Model, c.Token.Serial, c.Token.Firmware)
	}
	if c.Agent != "" {
		r.add("agent", SelfReported, "the key agent's program is %s", c.Agent)
	} else {
		r.add("agent", NotShown, "which program uses the key is not said")
	}
	if c.Previous != "" {
		r.add("previous", SelfReported, "the document before this one is %s", c.Previous)
	}
	if c.PKCS11 != nil {
		for _, name := range slices.Sorted(maps.Keys(c.PKCS11.Attributes)) {
			r.add(name, SelfReported, "%t", c.PKCS11.Attributes[name])
		}
		r.add("allowedMechanisms", SelfReported, "%#x", c.PKCS11.AllowedMechanisms)
		for _, v := range c.PKCS11.Vendor {
			r.add("vendorAttestation", NotShown, "%q, %d bytes, kept for the vendor's verifier", v.Format, len(v.Data))
		}
	}
	if c.TPM == nil {
		return
	}
	if _, expected := q.Expect["approver"]; expected {
		r.byTPM("approver", "it is the expected one")
	} else {
		r.add("approver", SelfReported, "whose key %s is, you have to know: expect approver=…", Digest(r.Document.TPM.Approver))
	}
	r.add("appliance", SelfReported, "%s", c.TPM.Appliance)
}

// verifyClass says what the class is worth, and holds it against the required one.
func (r *Report) verifyClass(required Protection) error {
	class := r.Document.Claims.Protection
	switch class {
	case SoftwareTest:
		r.add("protection", SelfReported, "%s: none", class)
	case PKCS11Token:
		r.add("protection", SelfReported, "%s: that the key is in a device and never leaves it is the token's own word", class)
	case TPMSealed:
		r.byTPM("protection", "%s: a TPM guards what was sealed in the name of this key; while the key is in use it is in memory", class)
		r.add("sealedBytes", NotShown, "that the sealed bytes are this key's seed: %s", AssertedBySoftware)
	}
	r.add("copies", NotShown, "that no other copy of the key exists")
	if required != "" && class != required {
		return fmt.Errorf("protection: %s is claimed, and %s required", class, required)
	}
	if class == TPMSealed && r.status("protection") != Proven {
		return fmt.Errorf("protection %s: %w: %s", class, ErrUnchecked, r.missing())
	}
	return nil
}

// missing says what to do so that a TPM's statements count.
func (r *Report) missing() string {
	if !r.chained && !r.vouched {
		return "choose the TPM maker's certificate, or an auditor's key, as an anchor"
	}
	return "nothing ties the attestation key to the endorsement key: challenge the machine, or choose the auditor's key as an anchor"
}
