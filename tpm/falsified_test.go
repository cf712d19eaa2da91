package tpm_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/attest"
	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// answered is a document of an emulator that answers a challenge, and the question it answers.
func answered(t *testing.T) (*certified, []byte, attest.Question) {
	t.Helper()
	c := newCertified(t)
	data, secret := c.answer(c.evidence(c.request()))
	q := c.question()
	q.Secret = secret
	if _, err := attest.Verify(data, q); err != nil {
		t.Fatal(err)
	}
	return c, data, q
}

// TestFalsifiedEvidence changes what an emulator said: every member of its
// document, and then single statements for others that it makes just as well.
func TestFalsifiedEvidence(t *testing.T) {
	c, data, q := answered(t)
	for path, changed := range mutations(t, data) {
		if _, err := attest.Verify(changed, q); err == nil || errors.Is(err, attest.ErrUnchecked) {
			t.Errorf("%s: %v", path, err)
		}
	}
	stale := q
	stale.Secret, stale.Nonce = nil, bytes.Repeat([]byte{8}, 32)
	if _, err := attest.Verify(data, stale); err == nil || !strings.Contains(err.Error(), "nonce") {
		t.Errorf("a stale nonce: %v", err)
	}
	for want, falsify := range map[string]func(*attest.Document){
		"the quoted registers":     func(d *attest.Document) { d.TPM.Quote = c.quotes(d, attest.AKTemplate(), tpm2.TPMLPCRSelection{}) },
		"the quoted registers ":    func(d *attest.Document) { d.TPM.Quote = c.quotes(d, attest.AKTemplate(), bank(tpm2.TPMAlgSHA384)) }, // not allocated
		"a restricted signing key": c.unrestricted,
		"qualifying data": func(d *attest.Document) {
			d.Claims.Nonce[0] ^= 1
			d.TPM.Quote = c.quotes(d, attest.AKTemplate(), bank(tpm2.TPMAlgSHA256))
		},
		"policyRef":       func(d *attest.Document) { c.swapKey(d) },
		"of another type": func(d *attest.Document) { d.TPM.Creation = d.TPM.Quote },
		"another TPM or attestation key": func(d *attest.Document) {
			d.TPM.Quote = c.quotesOf(d, tpm2.TPMRHOwner, attest.AKTemplate(), bank(tpm2.TPMAlgSHA256))
		},
		"signature is not the attestati": func(d *attest.Document) { d.TPM.Quote.Signature = d.TPM.Counter.Signature },
	} {
		d := must(attest.Parse(data))
		falsify(d)
		if _, err := attest.Verify(must(d.Format()), q); err == nil || errors.Is(err, attest.ErrUnchecked) || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// mutations changes one character in the middle of every value.
func mutations(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	at := 0
	for i, line := range strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n") {
		value := strings.TrimRight(line[strings.Index(line, ": ")+1:], "\n,")
		middle := at + len(strings.TrimRight(line, "\n,")) - (len(value)+1)/2
		at += len(line)
		changed := bytes.Clone(data)
		if changed[middle] = '0'; data[middle] == '0' {
			changed[middle] = '1'
		}
		if json.Valid(changed) && !bytes.Equal(changed, data) {
			found[fmt.Sprintf("line %d: %.40s", i+1, line)] = changed
		}
	}
	if len(found) < 40 {
		t.Errorf("only %d mutations", len(found))
	}
	return found
}

func bank(hash tpm2.TPMIAlgHash) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: hash, PCRSelect: tpm2.PCClientCompatible.PCRs(boundPCRs...)}}}
}

// quotes has the emulator quote what it is asked to, in the name of a document's claims.
func (c *certified) quotes(d *attest.Document, key tpm2.TPMTPublic, pcrs tpm2.TPMLPCRSelection) attest.Statement {
	return c.quotesOf(d, tpm2.TPMRHEndorsement, key, pcrs)
}

func (c *certified) quotesOf(d *attest.Document, hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic, pcrs tpm2.TPMLPCRSelection) attest.Statement {
	c.t.Helper()
	key := c.primary(hierarchy, template)
	defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(c.raw())
	if hierarchy == tpm2.TPMRHOwner { // otherwise the AK is the document's own
		d.TPM.AKPublic = key.OutPublic.Bytes()
	}
	r, err := tpm2.Quote{
		SignHandle:     tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: must(d.Claims.Binding())}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: pcrs,
	}.Execute(c.raw())
	if err != nil {
		c.t.Fatal(err)
	}
	return attest.Statement{Attest: r.Quoted.Bytes(), Signature: tpm2.Marshal(r.Signature)}
}

func (c *certified) primary(hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic) *tpm2.CreatePrimaryResponse {
	c.t.Helper()
	r, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: hierarchy, Auth: tpm2.PasswordAuth(nil)}, InPublic: tpm2.New2B(template),
	}.Execute(c.raw())
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// unrestricted quotes with a key that signs whatever it is given.
func (c *certified) unrestricted(d *attest.Document) {
	c.t.Helper()
	template := attest.AKTemplate()
	template.ObjectAttributes.Restricted = false
	key := c.primary(tpm2.TPMRHEndorsement, template)
	tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(c.raw())
	d.TPM.AKPublic = key.OutPublic.Bytes()
	d.TPM.Quote = c.quotes(d, template, bank(tpm2.TPMAlgSHA256))
}

// swapKey claims another key, and has the TPM make all its statements anew.
func (c *certified) swapKey(d *attest.Document) {
	stranger, _, err := ed25519.GenerateKey(nil)
	public := must(x509.MarshalPKIXPublicKey(must(stranger, err)))
	d.Claims.PublicKey, d.Claims.Fingerprint = public, attest.Digest(public)
	d.TPM.Quote = c.quotes(d, attest.AKTemplate(), bank(tpm2.TPMAlgSHA256))
	binding := tpm2.TPM2BData{Buffer: must(d.Claims.Binding())}
	key := c.primary(tpm2.TPMRHEndorsement, attest.AKTemplate())
	signer := tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)}
	null := tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}
	index := must(tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(tpm.CounterIndex)}.Execute(c.raw())).NVName
	counted := must(tpm2.NVCertify{
		SignHandle: signer, QualifyingData: binding, InScheme: null, Size: 8,
		AuthHandle: tpm2.AuthHandle{Handle: tpm.CounterIndex, Name: index, Auth: tpm2.PasswordAuth(nil)},
		NVIndex:    tpm2.NamedHandle{Handle: tpm.CounterIndex, Name: index},
	}.Execute(c.raw()))
	d.TPM.Counter = attest.Statement{Attest: counted.CertifyInfo.Bytes(), Signature: tpm2.Marshal(counted.Signature)}
	object := loadByHand(c.t.(*testing.T), c.raw(), c.fixture)
	digest := sha256.Sum256(c.sealed.CreationData)
	made := must(tpm2.CertifyCreation{
		SignHandle: signer, ObjectHandle: object, QualifyingData: binding, InScheme: null, CreationHash: tpm2.TPM2BDigest{Buffer: digest[:]},
		CreationTicket: *must(tpm2.Unmarshal[tpm2.TPMTTKCreation](c.sealed.CreationTicket)),
	}.Execute(c.raw()))
	d.TPM.Creation = attest.Statement{Attest: made.CertifyInfo.Bytes(), Signature: tpm2.Marshal(made.Signature)}
	tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(c.raw())
	tpm2.FlushContext{FlushHandle: object.Handle}.Execute(c.raw())
}

// TestEvidenceOnTheBus flips a byte of each answer while a document is made: there
// is none, or one that is right, except for the endorsement certificate and the
// answer to the challenge, which only a verifier can judge, and refuses. The bus
// carries no secret, and nothing stays in the TPM.
func TestEvidenceOnTheBus(t *testing.T) {
	c, data, q := answered(t)
	p := newProxy(t, c.emulator)
	c.config.URI.Device = p.path
	r := c.request()
	challenge, secret, err := attest.NewChallenge(must(attest.Parse(data)))
	if err != nil {
		t.Fatal(err)
	}
	r.Challenge, r.Claims.Nonce, q.Secret = challenge, challenge.Nonce, secret
	c.evidence(r)
	if p.carried(c.seed) || p.carried([]byte(rightPIN)) {
		t.Error("the bus carried a secret")
	}
	for n, e := range p.recorded() {
		c.resetLockout()
		p.record(flip(n, 10+(len(e.response)-10)/2))
		made, err := tpm.Evidence(t.Context(), c.config, r)
		if err == nil {
			_, err = attest.Verify(made, q)
			if err != nil && made != nil && e.code() != tpm2.TPMCCActivateCredential && e.code() != tpm2.TPMCCNVRead {
				t.Errorf("answer %d (command %x): a document that is wrong: %v", n, uint32(e.code()), err)
			}
		}
		if n := c.loaded(); n != 0 {
			t.Fatalf("command %x: %d handles left", uint32(e.code()), n)
		}
	}
}

// TestEvidenceFromKilledTPM: an error and no hang, whatever the TPM was asked.
func TestEvidenceFromKilledTPM(t *testing.T) {
	c := newCertified(t)
	c.setLockout(32) // see TestPowerCutCounts
	p := newProxy(t, c.emulator)
	c.config.URI.Device = p.path
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCCreatePrimary, tpm2.TPMCCQuote, tpm2.TPMCCNVCertify, tpm2.TPMCCCertifyCreation} {
		for what, cut := range map[string]func(){"kill -9": c.kill, "power cycle": func() { c.control("-i") }} {
			var once sync.Once
			p.meanwhile(func(next tpm2.TPMCC, _ transport.TPM) {
				if next == code {
					once.Do(cut)
				}
			})
			within(t, what, func(ctx context.Context) {
				if data, err := tpm.Evidence(ctx, c.config, c.request()); err == nil || data != nil {
					t.Errorf("%s at %x: %v", what, uint32(code), err)
				}
			})
			p.meanwhile(nil)
			c.kill()
			c.start()
		}
	}
	c.evidence(c.request())
	if n := c.loaded(); n != 0 {
		t.Errorf("%d handles left", n)
	}
}

// TestEvidenceCallerLeaves: nothing stays in the TPM.
func TestEvidenceCallerLeaves(t *testing.T) {
	c := newCertified(t)
	p := newProxy(t, c.emulator)
	c.config.URI.Device = p.path
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCCreatePrimary, tpm2.TPMCCQuote, tpm2.TPMCCCertifyCreation} {
		ctx, leave := context.WithCancel(t.Context())
		p.meanwhile(func(next tpm2.TPMCC, _ transport.TPM) {
			if next == code {
				leave()
				time.Sleep(2 * time.Millisecond)
			}
		})
		if _, err := tpm.Evidence(ctx, c.config, c.request()); !errors.Is(err, context.Canceled) {
			t.Errorf("left at %x: %v", uint32(code), err)
		}
		leave()
		p.meanwhile(nil)
		if n := c.loaded(); n != 0 {
			t.Errorf("left at %x: %d handles", uint32(code), n)
		}
	}
}
