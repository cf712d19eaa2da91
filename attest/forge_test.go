package attest_test

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"sync"
	"testing"
	"time"

	"countersign.dev/attest"
	"github.com/google/go-tpm/tpm2"
)

// forge is a TPM, its maker, an approver, an auditor and a key, all in software:
// it makes good documents, and ones that lie in one point and are signed all the
// same. That real TPMs make such documents, package tpm tests.
type forge struct {
	maker    *ecdsa.PrivateKey
	root     *x509.Certificate
	ek       *rsa.PrivateKey
	ak       *ecdsa.PrivateKey
	approver *ecdsa.PrivateKey
	auditor  ed25519.PrivateKey
	key      ed25519.PrivateKey
	owner    ed25519.PublicKey // whose seed was sealed

	// What to lie about; each may be nil.
	akPublic    func(*tpm2.TPMTPublic)
	ekPublic    func(*tpm2.TPMTPublic)
	certificate func(*x509.Certificate)
	policy      func(*tpm2.PolicyCalculator)
	sealed      func(*tpm2.TPMTPublic)
	creation    func(*tpm2.TPMSCreationData)
	claims      func(*attest.Claims)
	approval    func(*attest.Approval)
	approved    []byte // Name of another counter
	certified   uint64 // value of the counter, if it is not the claimed one
	statement   func(tpm2.TPMST, *tpm2.TPMSAttest)
	evidence    func(*attest.TPMEvidence) // after the TPM has signed
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func p256() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func ed() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

func newForge() *forge {
	f := &forge{maker: p256(), ek: rsaKey(), ak: p256(), approver: p256(), auditor: ed(), key: ed()}
	f.owner = f.key.Public().(ed25519.PublicKey)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	f.root = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, f.maker.Public(), f.maker))))
	return f
}

var now = time.Now().UTC().Truncate(time.Second)

func (f *forge) point(key *ecdsa.PublicKey) tpm2.TPMUPublicID {
	b := must(key.Bytes())
	return tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: b[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: b[33:]}})
}

func call[T any](lie func(T), about T) {
	if lie != nil {
		lie(about)
	}
}

func (f *forge) ekCertificate() []byte {
	// As TPM makers do: no subject, a critical alternative name with a directory name, an unknown usage.
	name := must(asn1.Marshal(pkix.Name{CommonName: "a TPM"}.ToRDNSequence()))
	alt := must(asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}}))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageKeyEncipherment,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
		ExtraExtensions:    []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: alt}},
	}
	template.PublicKey = f.ek.Public()
	call(f.certificate, template)
	return must(x509.CreateCertificate(rand.Reader, template, f.root, template.PublicKey, f.maker))
}

func (f *forge) ekTemplate() tpm2.TPMTPublic {
	p := tpm2.RSAEKTemplate
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: f.ek.N.FillBytes(make([]byte, 256))})
	call(f.ekPublic, &p)
	return p
}

func (f *forge) akTemplate() tpm2.TPMTPublic {
	p := attest.AKTemplate()
	p.Unique = f.point(&f.ak.PublicKey)
	call(f.akPublic, &p)
	return p
}

func nameOf(p tpm2.TPMTPublic) []byte { return must(tpm2.ObjectName(&p)).Buffer }

func spki(key crypto.PublicKey) []byte { return must(x509.MarshalPKIXPublicKey(key)) }

func digest(format string, args ...any) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, format, args...))
	return sum[:]
}

const (
	appliance = "appliance-1"
	firmware  = 0x2020031012345678
	counting  = 41
)

var (
	nonce       = bytes.Repeat([]byte{7}, 32)
	sealNonce   = bytes.Repeat([]byte{9}, 32)
	storageName = append([]byte{0, 11}, bytes.Repeat([]byte{3}, 32)...)
	registers   = []uint{7, 11}
)

func selected(bank tpm2.TPMIAlgHash, indexes ...uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: bank, PCRSelect: tpm2.PCClientCompatible.PCRs(indexes...)}}}
}

func registerDigest() []byte {
	return digest("%s%s", bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{11}, 32))
}

func counterPublic() *tpm2.TPMSNVPublic {
	return &tpm2.TPMSNVPublic{
		NVIndex: attest.CounterIndex, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
		Attributes: tpm2.TPMANV{OwnerWrite: true, AuthRead: true, NoDA: true, NT: tpm2.TPMNTCounter, Written: true},
	}
}

func (f *forge) approverName() []byte {
	return nameOf(tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, UserWithAuth: true},
		Parameters: attest.AKTemplate().Parameters, Unique: f.point(&f.approver.PublicKey),
	})
}

func (f *forge) ref() []byte {
	return digest("countersign.dev tpm policy v1\n%x\n%s\n", []byte(f.owner), appliance)
}

// sealedPublic computes the policy with go-tpm's calculator, which the verifier does not use.
func (f *forge) sealedPublic() tpm2.TPMTPublic {
	policy := must(tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256))
	must(0, tpm2.PolicyAuthorize{KeySign: tpm2.TPM2BName{Buffer: f.approverName()}, PolicyRef: tpm2.TPM2BDigest{Buffer: f.ref()}}.Update(policy))
	must(0, tpm2.PolicyAuthValue{}.Update(policy))
	call(f.policy, policy)
	p := tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, AdminWithPolicy: true},
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy.Hash().Digest},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{}),
		Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{Buffer: bytes.Repeat([]byte{5}, 32)}),
	}
	call(f.sealed, &p)
	return p
}

func (f *forge) creationData() []byte {
	data := tpm2.TPMSCreationData{
		PCRSelect: selected(tpm2.TPMAlgSHA256, registers...), PCRDigest: tpm2.TPM2BDigest{Buffer: registerDigest()},
		Locality: tpm2.TPMALocality{TPMLocZero: true}, ParentNameAlg: tpm2.TPMAlgSHA256, ParentName: tpm2.TPM2BName{Buffer: storageName},
		ParentQualifiedName: tpm2.TPM2BName{Buffer: storageName},
		OutsideInfo:         tpm2.TPM2BData{Buffer: digest("countersign.dev tpm creation v1\n%x\n%x\n", []byte(f.owner), sealNonce)},
	}
	call(f.creation, &data)
	return tpm2.Marshal(data)
}

func (f *forge) approve() attest.Approval {
	policy := must(tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256))
	must(0, tpm2.PolicyPCR{PcrDigest: tpm2.TPM2BDigest{Buffer: registerDigest()}, Pcrs: selected(tpm2.TPMAlgSHA256, registers...)}.Update(policy))
	a := attest.Approval{Limit: counting, NotAfter: now.Add(time.Hour)}
	call(f.approval, &a)
	name := *must(tpm2.NVName(counterPublic()))
	if f.approved != nil {
		name.Buffer = f.approved
	}
	must(0, tpm2.PolicyNV{
		NVIndex:  tpm2.NamedHandle{Handle: attest.CounterIndex, Name: name},
		OperandB: tpm2.TPM2BOperand{Buffer: binary.BigEndian.AppendUint64(nil, a.Limit)}, Operation: tpm2.TPMEOUnsignedLE,
	}.Update(policy))
	approved := policy.Hash().Digest
	a.TPMSignature = must(f.approver.Sign(rand.Reader, digest("%s%s", approved, f.ref()), crypto.SHA256))
	a.Signature = must(f.approver.Sign(rand.Reader, digest("countersign.dev tpm approval v1\n%x\n%x\n%s\n", approved, f.ref(), a.NotAfter.Format(time.RFC3339)), crypto.SHA256))
	return a
}

// sign has the TPM state something.
func (f *forge) sign(kind tpm2.TPMST, binding []byte, attested tpm2.TPMUAttest) attest.Statement {
	signer := append(binary.BigEndian.AppendUint32(nil, uint32(tpm2.TPMRHEndorsement)), nameOf(f.akTemplate())...)
	a := tpm2.TPMSAttest{
		Magic: tpm2.TPMGeneratedValue, Type: kind, ExtraData: tpm2.TPM2BData{Buffer: binding},
		QualifiedSigner: tpm2.TPM2BName{Buffer: append([]byte{0, 11}, digest("%s", signer)...)},
		ClockInfo:       tpm2.TPMSClockInfo{Clock: 5, ResetCount: 3, RestartCount: 1, Safe: true}, FirmwareVersion: firmware, Attested: attested,
	}
	if f.statement != nil {
		f.statement(kind, &a)
	}
	return f.signed(tpm2.Marshal(a))
}

func (f *forge) signed(data []byte) attest.Statement {
	r, s, err := ecdsa.Sign(rand.Reader, f.ak, digest("%s", data))
	must(0, err)
	return attest.Statement{Attest: data, Signature: tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
		Hash: tpm2.TPMAlgSHA256, SignatureR: tpm2.TPM2BECCParameter{Buffer: r.Bytes()}, SignatureS: tpm2.TPM2BECCParameter{Buffer: s.Bytes()},
	})})}
}

// document makes one that lacks the proof.
func (f *forge) document() *attest.Document {
	key := f.key.Public()
	e := &attest.TPMEvidence{
		EKCertificates: [][]byte{f.ekCertificate()}, EKPublic: tpm2.Marshal(f.ekTemplate()), AKPublic: tpm2.Marshal(f.akTemplate()),
		Approver: spki(f.approver.Public()), Approval: f.approve(),
		Sealed: attest.Sealed{Public: tpm2.Marshal(f.sealedPublic()), Nonce: sealNonce, CreationData: f.creationData()},
	}
	d := &attest.Document{Type: attest.Type, TPM: e, Claims: attest.Claims{
		PublicKey: spki(key), Fingerprint: attest.Digest(spki(key)), Protection: attest.TPMSealed, Time: now, Nonce: nonce,
		Agent: attest.Digest([]byte("agent")), Previous: attest.Digest([]byte("previous")),
		Token: attest.Token{Manufacturer: "FORG", Model: "software", Serial: attest.Digest(spki(f.ek.Public())), Firmware: fmt.Sprintf("%016x", uint64(firmware))},
		TPM: &attest.TPMClaims{
			Binding: attest.AssertedBySoftware, Appliance: appliance, ApproverName: f.approverName(), PolicyRef: f.ref(),
			PolicyDigest: f.sealedPublic().AuthPolicy.Buffer, StorageKey: storageName, PCRs: map[string]attest.Hex{},
			Counter: attest.Counter{Name: must(tpm2.NVName(counterPublic())).Buffer, Value: counting},
		},
	}}
	for _, i := range registers {
		d.Claims.TPM.PCRs[strconv.Itoa(int(i))] = bytes.Repeat([]byte{byte(i)}, 32)
	}
	call(f.claims, &d.Claims)
	f.attest(d)
	call(f.evidence, e)
	return d
}

func (f *forge) attest(d *attest.Document) {
	binding, e := must(d.Claims.Binding()), d.TPM
	e.Quote = f.sign(tpm2.TPMSTAttestQuote, binding, tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{
		PCRSelect: selected(tpm2.TPMAlgSHA256, registers...), PCRDigest: tpm2.TPM2BDigest{Buffer: registerDigest()},
	}))
	e.Creation = f.sign(tpm2.TPMSTAttestCreation, binding, tpm2.NewTPMUAttest(tpm2.TPMSTAttestCreation, &tpm2.TPMSCreationInfo{
		ObjectName: tpm2.TPM2BName{Buffer: nameOf(f.sealedPublic())}, CreationHash: tpm2.TPM2BDigest{Buffer: digest("%s", e.Sealed.CreationData)},
	}))
	e.Counter = f.sign(tpm2.TPMSTAttestNV, binding, tpm2.NewTPMUAttest(tpm2.TPMSTAttestNV, &tpm2.TPMSNVCertifyInfo{
		IndexName:  *must(tpm2.NVName(counterPublic())),
		NVContents: tpm2.TPM2BData{Buffer: binary.BigEndian.AppendUint64(nil, cmp.Or(f.certified, d.Claims.TPM.Counter.Value))},
	}))
}

// finish proves possession without a look at the rest, and writes the document.
func (f *forge) finish(d *attest.Document) []byte {
	text := append([]byte("\x00countersign.dev key evidence v1\x00"), must(d.Claims.Binding())...)
	d.Proof = ed25519.Sign(f.key, text)
	return must(d.Format())
}

// answered has the document answer a challenge, and gives what the challenger keeps.
func (f *forge) answered(d *attest.Document) *attest.Secret {
	_, secret, err := attest.NewChallenge(d)
	must(0, err)
	d.Claims.Nonce = secret.Nonce
	f.attest(d)
	call(f.evidence, d.TPM)
	d.TPM.Activation = secret.Answer
	return secret
}

// question believes in the maker and the auditor.
func (f *forge) question() attest.Question {
	return attest.Question{Now: now, Anchors: attest.Anchors{Makers: []*x509.Certificate{f.root}, Auditors: []crypto.PublicKey{f.auditor.Public()}}}
}

// good is a document with everything in it, and a question it answers.
func good(t testing.TB, f *forge) ([]byte, attest.Question) {
	t.Helper()
	d := f.document()
	q := f.question()
	q.Secret = f.answered(d)
	r, err := attest.Verify(f.finish(d), q)
	if err != nil {
		t.Fatal(err)
	}
	if d.TPM.AKCertificate, err = attest.Certify(r, f.auditor, now); err != nil {
		t.Fatal(err)
	}
	q.Require = attest.TPMSealed
	return f.finish(d), q
}
