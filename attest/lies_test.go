package attest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/attest"
	"github.com/google/go-tpm/tpm2"
)

// TestLies are documents whose signatures are all good and that are wrong in one point.
func TestLies(t *testing.T) {
	about := func(kind tpm2.TPMST, lie func(*tpm2.TPMSAttest)) func(*forge) {
		return func(f *forge) {
			f.statement = func(k tpm2.TPMST, a *tpm2.TPMSAttest) {
				if k == kind {
					lie(a)
				}
			}
		}
	}
	quote := func(info tpm2.TPMSQuoteInfo) func(*forge) {
		return about(tpm2.TPMSTAttestQuote, func(a *tpm2.TPMSAttest) { a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &info) })
	}
	certified := func(info tpm2.TPMSNVCertifyInfo) func(*forge) {
		return about(tpm2.TPMSTAttestNV, func(a *tpm2.TPMSAttest) { a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestNV, &info) })
	}
	counted := tpm2.TPM2BData{Buffer: []byte{0, 0, 0, 0, 0, 0, 0, counting}}
	wrongCounter := *counterPublic()
	wrongCounter.Attributes.NT = tpm2.TPMNTOrdinary
	ak := func(lie func(*tpm2.TPMAObject)) func(*forge) {
		return func(f *forge) { f.akPublic = func(p *tpm2.TPMTPublic) { lie(&p.ObjectAttributes) } }
	}
	sealed := func(lie func(*tpm2.TPMAObject)) func(*forge) {
		return func(f *forge) { f.sealed = func(p *tpm2.TPMTPublic) { lie(&p.ObjectAttributes) } }
	}
	nothing := digest("")
	for _, c := range []struct {
		name string
		lie  func(*forge)
		want string
	}{
		{"an empty PCR selection", quote(tpm2.TPMSQuoteInfo{PCRDigest: tpm2.TPM2BDigest{Buffer: nothing}}), "quoted registers"},
		{"a bank without registers", quote(tpm2.TPMSQuoteInfo{PCRSelect: selected(tpm2.TPMAlgSHA384, registers...), PCRDigest: tpm2.TPM2BDigest{Buffer: nothing}}), "quoted registers"},
		{"a selection of nothing", quote(tpm2.TPMSQuoteInfo{PCRSelect: selected(tpm2.TPMAlgSHA256), PCRDigest: tpm2.TPM2BDigest{Buffer: nothing}}), "quoted registers"},
		{"the digest of nothing", quote(tpm2.TPMSQuoteInfo{PCRSelect: selected(tpm2.TPMAlgSHA256, registers...), PCRDigest: tpm2.TPM2BDigest{Buffer: nothing}}), "claimed values"},
		{"fewer registers", quote(tpm2.TPMSQuoteInfo{PCRSelect: selected(tpm2.TPMAlgSHA256, 7), PCRDigest: tpm2.TPM2BDigest{Buffer: registerDigest()}}), "quoted registers"},
		{"an unrestricted AK", ak(func(a *tpm2.TPMAObject) { a.Restricted = false }), "not a restricted signing key"},
		{"an AK that can move", ak(func(a *tpm2.TPMAObject) { a.FixedTPM, a.FixedParent = false, false }), "not a restricted signing key"},
		{"an AK from outside", ak(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false }), "not a restricted signing key"},
		{"an AK that decrypts", ak(func(a *tpm2.TPMAObject) { a.Decrypt = true }), "not a restricted signing key"},
		{"another magic", about(tpm2.TPMSTAttestQuote, func(a *tpm2.TPMSAttest) { a.Magic = 0x12345678 }), "quote: its magic"},
		{"another type", about(tpm2.TPMSTAttestCreation, func(a *tpm2.TPMSAttest) {
			a.Type, a.Attested = tpm2.TPMSTAttestCertify, tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{})
		}), "creation: it is a statement of another type"},
		{"an old quote", about(tpm2.TPMSTAttestQuote, func(a *tpm2.TPMSAttest) { a.ExtraData.Buffer = digest("") }), "quote: its qualifying data"},
		{"an old creation", about(tpm2.TPMSTAttestCreation, func(a *tpm2.TPMSAttest) { a.ExtraData.Buffer = digest("") }), "creation: its qualifying data"},
		{"an old counter", about(tpm2.TPMSTAttestNV, func(a *tpm2.TPMSAttest) { a.ExtraData.Buffer = digest("") }), "counter: its qualifying data"},
		{"an AK of the owner", about(tpm2.TPMSTAttestQuote, func(a *tpm2.TPMSAttest) { a.QualifiedSigner.Buffer = storageName }), "quote: its signer"},
		{"other firmware", func(f *forge) { f.claims = func(c *attest.Claims) { c.Token.Firmware = "0000000000000001" } }, "claimed firmware"},
		{"an update in between", about(tpm2.TPMSTAttestNV, func(a *tpm2.TPMSAttest) { a.FirmwareVersion++ }), "between its statements"},
		{"a reset in between", about(tpm2.TPMSTAttestNV, func(a *tpm2.TPMSAttest) { a.ClockInfo.ResetCount++ }), "between its statements"},
		{"a restart in between", about(tpm2.TPMSTAttestCreation, func(a *tpm2.TPMSAttest) { a.ClockInfo.RestartCount++ }), "between its statements"},
		{"another object", about(tpm2.TPMSTAttestCreation, func(a *tpm2.TPMSAttest) {
			a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestCreation, &tpm2.TPMSCreationInfo{ObjectName: tpm2.TPM2BName{Buffer: storageName}})
		}), "certified another object"},
		{"another creation", about(tpm2.TPMSTAttestCreation, func(a *tpm2.TPMSAttest) {
			was := must(a.Attested.Creation())
			a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestCreation, &tpm2.TPMSCreationInfo{ObjectName: was.ObjectName, CreationHash: tpm2.TPM2BDigest{Buffer: nothing}})
		}), "creationData is not what the TPM certified"},
		{"an object that a PIN alone opens", sealed(func(a *tpm2.TPMAObject) { a.UserWithAuth = true }), "its attributes or its policy"},
		{"an object that can move", sealed(func(a *tpm2.TPMAObject) { a.FixedTPM, a.FixedParent = false, false }), "its attributes or its policy"},
		{"an object to guess at", sealed(func(a *tpm2.TPMAObject) { a.NoDA = true }), "its attributes or its policy"},
		{"a policy with more in it", func(f *forge) {
			f.policy = func(p *tpm2.PolicyCalculator) { must(0, tpm2.PolicyAuthValue{}.Update(p)) }
		}, "its attributes or its policy"},
		{"a policy without the PIN", func(f *forge) {
			f.sealed = func(p *tpm2.TPMTPublic) {
				without := must(tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256))
				must(0, tpm2.PolicyAuthorize{KeySign: tpm2.TPM2BName{Buffer: f.approverName()}, PolicyRef: tpm2.TPM2BDigest{Buffer: f.ref()}}.Update(without))
				p.AuthPolicy.Buffer = without.Hash().Digest
			}
		}, "its attributes or its policy"},
		{"another policy digest", func(f *forge) { f.claims = func(c *attest.Claims) { c.TPM.PolicyDigest = nothing } }, "policyDigest"},
		{"another policy reference", func(f *forge) { f.claims = func(c *attest.Claims) { c.TPM.PolicyRef = nothing } }, "policyRef is not that"},
		{"another appliance", func(f *forge) { f.claims = func(c *attest.Claims) { c.TPM.Appliance = "elsewhere" } }, "policyRef is not that"},
		{"made for another key", func(f *forge) {
			f.creation = func(d *tpm2.TPMSCreationData) { d.OutsideInfo.Buffer = nothing }
		}, "made for another key"},
		{"made under another parent", func(f *forge) {
			f.creation = func(d *tpm2.TPMSCreationData) { d.ParentName.Buffer = nothing }
		}, "another storage key"},
		{"another counter", certified(tpm2.TPMSNVCertifyInfo{IndexName: *must(tpm2.NVName(&wrongCounter)), NVContents: counted}), "not the counter"},
		{"another value", certified(tpm2.TPMSNVCertifyInfo{IndexName: *must(tpm2.NVName(counterPublic())), NVContents: tpm2.TPM2BData{Buffer: []byte{0, 0, 0, 0, 0, 0, 0, 1}}}), "another value"},
		{"a part of the counter", certified(tpm2.TPMSNVCertifyInfo{IndexName: *must(tpm2.NVName(counterPublic())), Offset: 1, NVContents: counted}), "another value"},
		{"a withdrawn approval", func(f *forge) { f.approval = func(a *attest.Approval) { a.Limit = counting - 1 } }, "withdrawn"},
		{"an expired approval", func(f *forge) { f.approval = func(a *attest.Approval) { a.NotAfter = now.Add(-time.Second) } }, "had expired"},
		{"a longer approval", func(f *forge) {
			f.evidence = func(e *attest.TPMEvidence) { e.Approval.NotAfter = now.Add(24 * time.Hour) }
		}, "approval: not the approver's"},
		{"another limit", func(f *forge) { f.evidence = func(e *attest.TPMEvidence) { e.Approval.Limit++ } }, "approval: not the approver's"},
		{"another approver", func(f *forge) { f.evidence = func(e *attest.TPMEvidence) { e.Approver = spki(p256().Public()) } }, "approverName"},
		{"a swapped public key", func(f *forge) { f.key = ed() }, "policyRef is not that"},
		{"a swapped public key with its reference", func(f *forge) {
			f.key = ed()
			f.claims = func(c *attest.Claims) {
				c.TPM.PolicyRef = digest("countersign.dev tpm policy v1\n%x\n%s\n", []byte(f.key.Public().(ed25519.PublicKey)), appliance)
			}
		}, "approval: not the approver's"},
		{"another counter that is approved", func(f *forge) {
			f.approved = storageName
			f.claims = func(c *attest.Claims) { c.TPM.Counter.Name = storageName }
		}, "not the counter"},
		{"more behind the quote", func(f *forge) {
			f.evidence = func(e *attest.TPMEvidence) { e.Quote = f.signed(append(e.Quote.Attest, 0)) }
		}, "quote: not the one form"},
		{"another hash in the signature", func(f *forge) {
			f.evidence = func(e *attest.TPMEvidence) {
				s := must(tpm2.Unmarshal[tpm2.TPMTSignature](e.Quote.Signature))
				must(s.Signature.ECDSA()).Hash = tpm2.TPMAlgSHA384
				e.Quote.Signature = tpm2.Marshal(*s)
			}
		}, "not ECDSA with SHA-256"},
		{"an AK written in another way", func(f *forge) {
			f.akPublic = func(p *tpm2.TPMTPublic) {
				b := must(f.ak.PublicKey.Bytes())
				p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: b[1:32]}, Y: tpm2.TPM2BECCParameter{Buffer: b[32:]}})
			}
		}, "32 bytes each"},
		{"an AK off the curve", func(f *forge) {
			f.akPublic = func(p *tpm2.TPMTPublic) { must(p.Unique.ECC()).X.Buffer[0] ^= 1 }
		}, "akPublic: "},
		{"an approver on another curve", func(f *forge) {
			f.evidence = func(e *attest.TPMEvidence) {
				e.Approver = spki(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).Public())
			}
		}, "ECDSA key on P-256"},
		{"a short EK", func(f *forge) {
			f.ekPublic = func(p *tpm2.TPMTPublic) {
				p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: bytes.Repeat([]byte{0xff}, 128)})
			}
		}, "not one of 2048 bits"},
		{"another EK", func(f *forge) { f.claims = func(c *attest.Claims) { c.Token.Serial = attest.Digest(nil) } }, "endorsement key"},
		{"an EK of another kind", func(f *forge) { f.ekPublic = func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false } }, "template"},
		{"a certificate for nothing", func(f *forge) { f.certificate = func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil } }, "extended key usage"},
		{"an authority's certificate", func(f *forge) { f.certificate = func(c *x509.Certificate) { c.IsCA = true } }, "an authority's"},
		{"a certificate for another key", func(f *forge) { f.certificate = func(c *x509.Certificate) { c.PublicKey = f.maker.Public() } }, "for another key"},
		{"an expired certificate", func(f *forge) { f.certificate = func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) } }, "not from the chosen makers"},
		{"another maker", func(f *forge) { o := newForge(); f.maker, f.root = o.maker, o.root }, "not from the chosen makers"},
		{"another critical extension", func(f *forge) {
			f.certificate = func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, slices.Clone(c.ExtraExtensions)...)
				c.ExtraExtensions[1].Id = []int{2, 5, 29, 99}
			}
		}, "not from the chosen makers"},
	} {
		f := newForge()
		q := f.question()
		c.lie(f)
		_, err := verifyForged(f, q)
		if err == nil || errors.Is(err, attest.ErrUnchecked) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// verifyForged answers a challenge if the document can be challenged at all.
func verifyForged(f *forge, q attest.Question) (*attest.Report, error) {
	d := f.document()
	if _, secret, err := attest.NewChallenge(d); err == nil {
		d.Claims.Nonce, d.TPM.Activation, q.Secret = secret.Nonce, secret.Answer, secret
		f.attest(d)
		call(f.evidence, d.TPM)
	}
	return attest.Verify(f.finish(d), q)
}
