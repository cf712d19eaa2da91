package attest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// statements are what the TPM said, verified up to what they are about.
type statements struct {
	quote    *tpm2.TPMSQuoteInfo
	creation *tpm2.TPMSCreationInfo
	counter  *tpm2.TPMSNVCertifyInfo
	firmware uint64
	safe     bool
}

// openStatements verifies the three and that they are of one boot of one TPM.
func (e *TPMEvidence) openStatements(ak *attestationKey, binding []byte) (*statements, error) {
	quote, err := e.Quote.open(ak, tpm2.TPMSTAttestQuote, binding)
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	creation, err := e.Creation.open(ak, tpm2.TPMSTAttestCreation, binding)
	if err != nil {
		return nil, fmt.Errorf("creation: %w", err)
	}
	counter, err := e.Counter.open(ak, tpm2.TPMSTAttestNV, binding)
	if err != nil {
		return nil, fmt.Errorf("counter: %w", err)
	}
	s := &statements{firmware: quote.FirmwareVersion, safe: bool(quote.ClockInfo.Safe)}
	for _, other := range []*tpm2.TPMSAttest{creation, counter} {
		if other.FirmwareVersion != quote.FirmwareVersion || other.ClockInfo.ResetCount != quote.ClockInfo.ResetCount || other.ClockInfo.RestartCount != quote.ClockInfo.RestartCount {
			return nil, errors.New("the TPM was reset, restarted or updated between its statements")
		}
		s.safe = s.safe && bool(other.ClockInfo.Safe)
	}
	if s.quote, err = quote.Attested.Quote(); err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	if s.creation, err = creation.Attested.Creation(); err != nil {
		return nil, fmt.Errorf("creation: %w", err)
	}
	if s.counter, err = counter.Attested.NV(); err != nil {
		return nil, fmt.Errorf("counter: %w", err)
	}
	return s, nil
}

// checkQuote compares selection and digest: a TPM quotes a bank that has no
// registers without an error, as nothing at all.
func (s *statements) checkQuote(c *TPMClaims) error {
	if !bytes.Equal(tpm2.Marshal(s.quote.PCRSelect), tpm2.Marshal(c.selection())) {
		return errors.New("quote: the quoted registers are not the claimed ones")
	}
	if !bytes.Equal(s.quote.PCRDigest.Buffer, c.pcrDigest()) {
		return errors.New("quote: the claimed values of the registers are not the quoted ones")
	}
	return nil
}

// checkSealed recomputes the sealed object from the approver's key and the
// reference, which were checked, and checks that the TPM made this one, under this
// parent, in the name of this key.
func (s *statements) checkSealed(d *Document, by *approver) error {
	c := d.Claims.TPM
	public, err := decode[tpm2.TPMTPublic](d.TPM.Sealed.Public)
	if err != nil {
		return fmt.Errorf("sealed: public: %w", err)
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return fmt.Errorf("sealed: public: %w", err)
	}
	if !bytes.Equal(name.Buffer, s.creation.ObjectName.Buffer) {
		return errors.New("sealed: the TPM certified another object")
	}
	want := sealedTemplate(sealedPolicy(c.PolicyRef, by.name))
	want.Unique = public.Unique
	if public.Type != tpm2.TPMAlgKeyedHash || !bytes.Equal(tpm2.Marshal(want), d.TPM.Sealed.Public) {
		return errors.New("sealed: its attributes or its policy are not those of a key sealed for this approver")
	}
	if !bytes.Equal(c.PolicyDigest, want.AuthPolicy.Buffer) {
		return errors.New("sealed: policyDigest is another one")
	}
	return s.checkCreation(d)
}

// sealedTemplate is bound to its TPM and parent, opened by its policy alone, and
// protected against guessing.
func sealedTemplate(policy []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgKeyedHash,
		NameAlg:          tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, AdminWithPolicy: true},
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{}),
	}
}

func (s *statements) checkCreation(d *Document) error {
	sealed := d.TPM.Sealed
	if !bytes.Equal(hash(sealed.CreationData), s.creation.CreationHash.Buffer) {
		return errors.New("sealed: creationData is not what the TPM certified")
	}
	data, err := decode[tpm2.TPMSCreationData](sealed.CreationData)
	if err != nil {
		return fmt.Errorf("sealed: creationData: %w", err)
	}
	if !bytes.Equal(data.ParentName.Buffer, d.Claims.TPM.StorageKey) {
		return errors.New("sealed: it was made under another storage key")
	}
	outside, err := d.Claims.outsideInfo(sealed.Nonce)
	if err != nil {
		return err
	}
	if !bytes.Equal(data.OutsideInfo.Buffer, outside) {
		return errors.New("sealed: it was made for another key")
	}
	return nil
}

func (s *statements) checkCounter(c Counter) error {
	name, err := counterName()
	if err != nil {
		return err
	}
	if !bytes.Equal(s.counter.IndexName.Buffer, name) || !bytes.Equal(c.Name, name) {
		return fmt.Errorf("counter: not the counter at 0x%08x with its attributes", CounterIndex)
	}
	if s.counter.Offset != 0 || !bytes.Equal(s.counter.NVContents.Buffer, binary.BigEndian.AppendUint64(nil, c.Value)) {
		return errors.New("counter: the TPM certified another value")
	}
	return nil
}
