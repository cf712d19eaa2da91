package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"

	"countersign.dev/provenance"
	"countersign.dev/tpm"
)

// sealFresh makes a key and has the TPM seal it. The seed is nowhere else afterwards.
func sealFresh(ctx context.Context, s *seat, c tpm.Sealing, pinFile string) (*tpm.Sealed, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	defer clear(seed)
	return sealSeed(ctx, s, c, pinFile, seed)
}

func sealSeed(ctx context.Context, s *seat, c tpm.Sealing, pinFile string, seed []byte) (*tpm.Sealed, error) {
	pin, err := tpm.ReadPIN(pinFile)
	if err != nil {
		return nil, err
	}
	defer clear(pin)
	c.PIN = pin
	sealed, err := s.device.Seal(ctx, c, seed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return sealed, nil
}

// prove opens a sealed key and has it sign a message that cannot pass for one it signs in earnest. The caller closes the
// key.
func prove(ctx context.Context, u tpm.URI, public ed25519.PublicKey) (*tpm.Key, error) {
	key, err := tpm.Open(ctx, tpm.Config{URI: u, PublicKey: public})
	if err != nil {
		return nil, err
	}
	message := append([]byte("\x00countersign.dev ceremony proof v1\x00"), rand.Text()...)
	signature, err := key.Sign(nil, message, crypto.Hash(0))
	if err == nil && !ed25519.Verify(public, message, signature) {
		err = errors.New("its signature does not verify")
	}
	if err != nil {
		key.Close()
		return nil, fmt.Errorf("%s: %w", u.SealedPath, err)
	}
	return key, nil
}

// readSealed reads the sealed key that a URI names, and refuses one for another storage key than the URI's.
func readSealed(u tpm.URI) (*tpm.Sealed, error) {
	data, err := os.ReadFile(u.SealedPath)
	if err != nil {
		return nil, err
	}
	sealed, err := tpm.ParseSealed(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.SealedPath, err)
	}
	if !bytes.Equal(sealed.Storage.Name(), u.SRK) {
		return nil, fmt.Errorf("%s was sealed to the storage key %x, and the URI has %x: restore the file, or find out who replaced it", u.SealedPath, sealed.Storage.Name(), u.SRK)
	}
	return sealed, nil
}

func writeSealed(path string, s *tpm.Sealed) error {
	data, err := s.Format()
	if err != nil {
		return err
	}
	return writeNew(path, string(data))
}

func fingerprint(public ed25519.PublicKey) string {
	key, err := provenance.NewPublicKey(public)
	if err != nil {
		return "not a key: " + err.Error()
	}
	return key.Fingerprint()
}

// sealOrder is what the verb seal is told.
type sealOrder struct {
	seat
	tpm.Sealing
	approver  string
	pinFile   string
	out       string
	approvals string
	request   string
}

func parseSealOrder(args []string) (o sealOrder, err error) {
	flags := flag.NewFlagSet("seal", flag.ContinueOnError)
	o.seat.flags(flags)
	flags.StringVar(&o.Appliance, "appliance", "", "")
	flags.Var((*pcrFlag)(&o.PCRs), "pcr", "")
	flags.StringVar(&o.approver, "approver", "", "")
	flags.StringVar(&o.pinFile, "pin-file", "", "")
	flags.StringVar(&o.out, "out", "", "")
	flags.StringVar(&o.approvals, "approvals", "", "")
	flags.StringVar(&o.request, "request", "", "")
	if err := parse(flags, args, "device", "owner-auth", "lockout-auth", "appliance", "approver", "pin-file", "pcr", "out", "approvals", "request"); err != nil {
		return o, err
	}
	if o.Approver, err = readApprover(o.approver); err != nil {
		return o, err
	}
	existing := refuseExisting(o.out, o.request)
	if existing != nil {
		existing = fmt.Errorf("%w. If an earlier run was interrupted and nothing uses its key, remove %s and %s, and run this again", existing, o.out, o.request)
	}
	return o, errors.Join(checkAppliance(o.Appliance), checkPIN(o.pinFile), absolute(o.path, o.pinFile, o.out, o.approvals), existing)
}

// seal is the verb: a key for a log that exists, or one more agent's.
func seal(ctx context.Context, args []string, t terminal) error {
	o, err := parseSealOrder(args)
	if err != nil {
		return err
	}
	if err := o.announce(ctx, t); err != nil {
		return err
	}
	if o.Storage, err = o.provision(ctx, t); err != nil {
		return err
	}
	sealed, err := sealFresh(ctx, &o.seat, o.Sealing, o.pinFile)
	if err != nil {
		return err
	}
	if err := writeSealed(o.out, sealed); err != nil {
		return err
	}
	t.sealed(sealed, tpm.URI{SRK: o.Storage.Name(), Device: o.path, SealedPath: o.out, ApprovalPath: o.approvals, PINFile: o.pinFile})
	r, err := measure(ctx, o.device, sealed, o.PCRs)
	if err == nil {
		err = r.write(o.request, t)
	}
	if err != nil {
		return fmt.Errorf("%w\nThe key is sealed, and its request is not there: make it with ceremony tpm request", err)
	}
	return nil
}

// sealed tells of a new sealed key.
func (t terminal) sealed(s *tpm.Sealed, u tpm.URI) {
	t.say("Sealed key %s for appliance %s: %s.", fingerprint(s.PublicKey), s.Appliance, u.SealedPath)
	if key, err := provenance.NewPublicKey(s.PublicKey); err == nil {
		t.say("  public_key = %q\n  key        = %q", key, u)
	}
}

// rotatePIN seals the seed once more. It writes a new file and leaves the old one, which stays good with the old PIN until
// its approvals are withdrawn.
func rotatePIN(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("rotate-pin", flag.ContinueOnError)
	u := keyFlag(flags)
	newPIN := flags.String("new-pin-file", "", "")
	appliance := flags.String("appliance", "", "")
	out := flags.String("out", "", "")
	if err := parse(flags, args, "key", "new-pin-file", "appliance", "out"); err != nil {
		return err
	}
	old, err := readSealed(u.URI)
	if err != nil {
		return err
	}
	if err := errors.Join(checkAppliance(*appliance), checkPIN(*newPIN), absolute(*newPIN, *out), refuseExisting(*out)); err != nil {
		return err
	}
	s := seat{path: u.Device, device: tpm.NewDevice(u.Device, 0)}
	seed, approval, err := tpm.Unseal(ctx, tpm.Config{URI: u.URI, PublicKey: old.PublicKey, Device: s.device})
	if err != nil {
		return err
	}
	defer clear(seed)
	sealed, err := sealSeed(ctx, &s, tpm.Sealing{Storage: old.Storage, Appliance: *appliance, Approver: old.Approver, PCRs: indexes(approval.PCRs)}, *newPIN, seed)
	if err != nil {
		return err
	}
	if err := writeSealed(*out, sealed); err != nil {
		return err
	}
	next := u.URI
	next.SealedPath, next.PINFile = *out, *newPIN
	t.sealed(sealed, next)
	if *appliance != old.Appliance {
		t.say("Appliance %s needs approvals of its own: ceremony tpm request --next, approve, add-approval with this key. Then give the agent the new key and PIN file.\n"+
			"The old file and the old PIN stay good until ceremony tpm advance.", *appliance)
		return nil
	}
	key, err := prove(ctx, next, sealed.PublicKey)
	if err != nil {
		return err
	}
	defer key.Close()
	t.say("It opens with the new PIN and signs. Give the agent the new key and PIN file.\n"+
		"Who has a copy of %s and the old PIN can go on using both in this TPM: to void them, give --appliance another name.", u.SealedPath)
	return nil
}
