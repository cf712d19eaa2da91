package attest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
	"github.com/google/go-tpm/tpm2"
)

func TestVerify(t *testing.T) {
	data, q := good(t, newForge())
	r, err := attest.Verify(data, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []attest.Finding{
		{"attestationKey", attest.Proven, ""}, {"protection", attest.Proven, ""}, {"nonce", attest.Proven, ""}, {"counter", attest.Proven, ""},
		{"agent", attest.SelfReported, ""}, {"previous", attest.SelfReported, ""}, {"approver", attest.SelfReported, ""},
		{"sealedBytes", attest.NotShown, ""}, {"copies", attest.NotShown, ""},
	} {
		if !slices.ContainsFunc(r.Findings, func(f attest.Finding) bool { return f.Claim == want.Claim && f.Status == want.Status }) {
			t.Errorf("%s is not %s: %+v", want.Claim, want.Status, r.Findings)
		}
	}
	if again := must(attest.Parse(data)); !bytes.Equal(must(again.Format()), data) {
		t.Error("the document has two forms")
	}
}

// TestWithout takes away what the verifier needs: nothing contradicts, and nothing is proven.
func TestWithout(t *testing.T) {
	f := newForge()
	data, _ := good(t, f)
	for name, q := range map[string]attest.Question{
		"anchors":                {Now: now},
		"the auditor and answer": {Now: now, Anchors: attest.Anchors{Makers: f.question().Anchors.Makers}},
		"the right auditor":      {Now: now, Anchors: attest.Anchors{Auditors: newForge().question().Anchors.Auditors}},
	} {
		r, err := attest.Verify(data, q)
		if !errors.Is(err, attest.ErrUnchecked) {
			t.Errorf("without %s: %v", name, err)
			continue
		}
		for _, f := range r.Findings {
			if slices.Contains([]string{"protection", "pcr-7", "policy", "creation", "counter", "firmware", "boot", "attestationKey"}, f.Claim) && f.Status != attest.NotShown {
				t.Errorf("without %s: %s is %s", name, f.Claim, f.Status)
			}
		}
		if _, err := attest.Certify(r, f.auditor, now); err == nil {
			t.Errorf("without %s: certified", name)
		}
	}
	q := attest.Question{Now: now, Anchors: attest.Anchors{Auditors: f.question().Anchors.Auditors}}
	if r, err := attest.Verify(data, q); err != nil {
		t.Errorf("with the auditor alone: %v", err)
	} else if _, err := attest.Certify(r, f.auditor, now); err == nil {
		t.Error("an auditor certifies on another's word")
	}
	q = f.question()
	q.Anchors.Auditors, q.Nonce = nil, nil
	d := f.document()
	q.Secret = f.answered(d)
	if _, err := attest.Verify(f.finish(d), q); err != nil {
		t.Errorf("with the own challenge alone: %v", err)
	}
	q.Anchors.Makers = nil
	r, err := attest.Verify(f.finish(d), q)
	if !errors.Is(err, attest.ErrUnchecked) {
		t.Errorf("an answer of a TPM by anybody: %v", err)
	}
	if _, err := attest.Certify(r, f.auditor, now); err == nil {
		t.Error("a TPM by anybody is certified")
	}
}

// TestAKCertificate: it is for one attestation key in one TPM, by one auditor.
func TestAKCertificate(t *testing.T) {
	f := newForge()
	data, whole := good(t, f)
	q := whole
	q.Secret, q.Anchors.Makers = nil, nil
	for want, spoil := range map[string]func(d *attest.Document){
		"not the auditor's signature":                func(d *attest.Document) { d.TPM.AKCertificate.Time = now.Add(-time.Hour) },
		"for another TPM's endorsement certificate":  func(d *attest.Document) { d.TPM.EKCertificates[0] = f.ekCertificate() },
		"for another TPM's endorsement certificate ": func(d *attest.Document) { d.TPM.EKCertificates = nil },
		"akCertificate: it is for another attestation k": func(d *attest.Document) {
			f.ak = p256()
			d.TPM.AKPublic = tpm2.Marshal(f.akTemplate())
			f.attest(d)
		},
	} {
		d := must(attest.Parse(data))
		spoil(d)
		if _, err := attest.Verify(f.finish(d), q); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if r := must(attest.Verify(data, whole)); must(attest.Certify(r, f.auditor, now)) == nil {
		t.Error("no certificate")
	}
	whole.Require = attest.PKCS11Token
	if r, err := attest.Verify(data, whole); err == nil {
		t.Error("another class")
	} else if _, err := attest.Certify(r, f.auditor, now); err == nil {
		t.Error("a refused document is certified")
	}
	// Both kinds of auditors' keys, and no other.
	g := newForge()
	d := g.document()
	q = g.question()
	q.Secret = g.answered(d)
	r, err := attest.Verify(g.finish(d), q)
	if err != nil {
		t.Fatal(err)
	}
	curve := p256()
	if d.TPM.AKCertificate, err = attest.Certify(r, curve, now); err != nil {
		t.Fatal(err)
	}
	q = attest.Question{Now: now, Anchors: attest.Anchors{Auditors: []crypto.PublicKey{ed().Public(), curve.Public()}}, Require: attest.TPMSealed}
	if _, err := attest.Verify(g.finish(d), q); err != nil {
		t.Error(err)
	}
	for _, key := range []crypto.Signer{rsaKey(), must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))} {
		if _, err := attest.Certify(r, key, now); err == nil {
			t.Errorf("%T certifies", key)
		}
	}
}

func TestAnchors(t *testing.T) {
	f := newForge()
	f.certificate = func(c *x509.Certificate) { c.PublicKey = f.maker.Public() }
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	root, auditor := block("CERTIFICATE", f.root.Raw), block("PUBLIC KEY", spki(f.auditor.Public()))
	var a attest.Anchors
	must(0, a.Add(slices.Concat(root, auditor, block("PUBLIC KEY", spki(f.approver.Public())))))
	if len(a.Makers) != 1 || len(a.Auditors) != 2 {
		t.Fatalf("%+v", a)
	}
	for want, bad := range map[string][]byte{
		"not an authority's":   block("CERTIFICATE", f.ekCertificate()),
		"nothing in PEM":       []byte("x"),
		"neither a maker's":    block("PRIVATE KEY", nil),
		"an auditor's key is":  block("PUBLIC KEY", spki(rsaKey().Public())),
		"an auditor's key is ": block("PUBLIC KEY", spki(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).Public())),
		"anchor 2":             slices.Concat(root, block("CERTIFICATE", []byte{1})),
	} {
		var a attest.Anchors
		if err := a.Add(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestMutations changes every member of a good document.
func TestMutations(t *testing.T) {
	data, q := good(t, newForge())
	count := 0
	var walk func(v any, path string, set func(any))
	refused := func(root any, path string) {
		t.Helper()
		count++
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		must(0, e.Encode(root))
		// Members in their order: through the type, where that takes the value at all.
		d := new(attest.Document)
		if json.Unmarshal(b.Bytes(), d) != nil {
			if _, err := attest.Parse(b.Bytes()); err == nil {
				t.Errorf("%s: parsed", path)
			}
			return
		}
		b.Reset()
		e = json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		must(0, e.Encode(d))
		if bytes.Equal(b.Bytes(), data) {
			t.Fatalf("%s: nothing changed", path)
		}
		question, vouched := q, strings.HasPrefix(path, ".tpm.akCertificate")
		if vouched { // who was answered needs no auditor
			question.Secret, question.Anchors.Makers = nil, nil
		}
		if _, err := attest.Verify(b.Bytes(), question); err == nil || errors.Is(err, attest.ErrUnchecked) && !vouched {
			t.Errorf("%s: %v", path, err)
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var root map[string]any
	must(0, decoder.Decode(&root))
	walk = func(v any, path string, set func(any)) {
		change := func(to any, how string) {
			set(to)
			refused(root, path+" "+how)
			set(v)
		}
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				walk(member, path+"."+name, func(to any) { v[name] = to })
				delete(v, name)
				refused(root, path+"."+name+" removed")
				v[name] = member
			}
		case []any:
			for i, member := range v {
				walk(member, fmt.Sprintf("%s[%d]", path, i), func(to any) { v[i] = to })
			}
			change([]any{}, "empty")
		case string:
			for _, at := range []int{0, len(v) / 2, len(v) - 1} {
				change(v[:at]+other(v[at])+v[at+1:], fmt.Sprintf("changed at %d", at))
			}
			change("", "empty")
		case json.Number:
			change(json.Number(v.String()+"1"), "changed")
		}
	}
	walk(root, "", func(any) {})
	if count < 100 {
		t.Errorf("only %d mutations", count)
	}
}

// other is another digit, or letter, of the same kind.
func other(c byte) string {
	switch {
	case c == 'A' || c == 'a' || c == '0':
		return "1"
	case c >= '0' && c <= '9':
		return "0"
	case c == '=':
		return "A"
	}
	return "0"
}

func TestFreshness(t *testing.T) {
	f := newForge()
	d := f.document()
	good := f.question()
	good.Nonce = nonce
	for _, c := range []struct {
		change func(*attest.Question)
		want   string
	}{
		{func(q *attest.Question) { q.Nonce = digest("") }, "nonce: not the one you chose"},
		{func(q *attest.Question) { q.Nonce = []byte{} }, "nonce: not the one you chose"},
		{func(q *attest.Question) { q.Now = now.Add(30 * time.Minute); q.MaxAge = 29 * time.Minute }, "longer ago"},
		{func(q *attest.Question) { q.Now = now.Add(-6 * time.Minute) }, "in the future"},
		{func(q *attest.Question) { _, q.Secret, _ = attest.NewChallenge(d) }, "activation: not the answer"},
		{func(q *attest.Question) {
			_, q.Secret, _ = attest.NewChallenge(d)
			d.TPM.Activation = q.Secret.Answer
		}, "nonce: not that of your challenge"},
		{func(q *attest.Question) {
			other := newForge()
			_, q.Secret, _ = attest.NewChallenge(other.document())
			d.TPM.Activation = q.Secret.Answer
		}, "another TPM or attestation key"},
	} {
		q := good
		c.change(&q)
		if _, err := attest.Verify(f.finish(d), q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// TestRelay: an attestation key in one TPM answers, and the document shows another TPM's certificate.
func TestRelay(t *testing.T) {
	f := newForge()
	q := f.question()
	q.Secret = f.answered(f.document())
	f.ek = must(rsa.GenerateKey(rand.Reader, 2048))
	d := f.document()
	d.Claims.Nonce, d.TPM.Activation = q.Secret.Nonce, q.Secret.Answer
	f.attest(d)
	if _, err := attest.Verify(f.finish(d), q); err == nil || !strings.Contains(err.Error(), "another TPM or attestation key") {
		t.Error(err)
	}
}

func TestProof(t *testing.T) {
	f := newForge()
	d := f.document()
	q := f.question()
	q.Secret = f.answered(d)
	good := f.finish(d)
	other := newForge()
	d.Proof = ed25519.Sign(other.key, append([]byte("\x00countersign.dev key evidence v1\x00"), must(d.Claims.Binding())...))
	if _, err := attest.Verify(must(d.Format()), q); err == nil || !strings.Contains(err.Error(), "proof: not the key's") {
		t.Errorf("another key's proof: %v", err)
	}
	d.Proof = ed25519.Sign(f.key, must(d.Claims.Binding()))
	if _, err := attest.Verify(must(d.Format()), q); err == nil || !strings.Contains(err.Error(), "proof: not the key's") {
		t.Errorf("a proof over the bare binding: %v", err)
	}
	for name, signer := range map[string]ed25519.PrivateKey{"the key": f.key, "another key": other.key} {
		recorded := recorder{PrivateKey: signer}
		data, err := d.Prove(&recorded)
		if (err == nil) != (name == "the key") || err == nil && !bytes.Equal(data, good) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.HasPrefix(recorded.message, []byte("\x00countersign.dev key evidence v1\x00")) || len(recorded.message) != 65 {
			t.Errorf("the key signed %q", recorded.message)
		}
	}
	small := newForge()
	small.claims = func(c *attest.Claims) {
		point := ed25519.PublicKey(append([]byte{1}, make([]byte, 31)...)) // the neutral element
		c.PublicKey, c.Fingerprint = spki(point), attest.Digest(spki(point))
	}
	sd := small.document()
	sd.Proof = make([]byte, 64)
	sd.Proof[0] = 1 // verifies for every message
	if _, err := sd.Format(); err == nil {
		t.Error("a key of small order")
	}
}

func TestExpect(t *testing.T) {
	data, q := good(t, newForge())
	d := must(attest.Parse(data))
	expected := map[string]string{
		"key": d.Claims.Fingerprint, "agent": d.Claims.Agent, "previous": d.Claims.Previous, "manufacturer": "FORG", "model": "software",
		"serial": d.Claims.Token.Serial, "firmware": d.Claims.Token.Firmware, "appliance": appliance, "counter": "41",
		"approver": attest.Digest(d.TPM.Approver), "pcr-7": fmt.Sprintf("%x", bytes.Repeat([]byte{7}, 32)),
	}
	for _, name := range attest.Expectations() {
		if expected[name] == "" {
			t.Errorf("%s is not tested", name)
		}
	}
	q.Expect = expected
	if _, err := attest.Verify(data, q); err != nil {
		t.Fatal(err)
	}
	for name := range expected {
		q.Expect = map[string]string{name: expected[name] + "0"}
		if _, err := attest.Verify(data, q); err == nil || errors.Is(err, attest.ErrUnchecked) || !strings.Contains(err.Error(), name+" is ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	q.Expect = map[string]string{"pcr-0": "00"}
	if _, err := attest.Verify(data, q); err == nil {
		t.Error("a register that is not there")
	}
}
