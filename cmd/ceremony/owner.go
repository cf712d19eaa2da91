package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"countersign.dev/tpm"
)

// seat is a TPM and the files with the authorisations of its owner and of its lockout.
type seat struct {
	path        string
	ownerAuth   string
	lockoutAuth string
	device      *tpm.Device
}

func (s *seat) flags(flags *flag.FlagSet) {
	flags.StringVar(&s.path, "device", "", "")
	flags.StringVar(&s.ownerAuth, "owner-auth", "", "")
	flags.StringVar(&s.lockoutAuth, "lockout-auth", "", "")
}

// guessing is what a TPM of ours has: enough attempts that an agent and a few power cuts do not lock it, and some 50,000
// guesses a year, which a PIN of 8 random characters withstands for ever. The lockout authorisation is refused for an hour
// after a wrong use.
var guessing = tpm.LockoutState{Max: 32, Forget: 10 * time.Minute, Recovery: time.Hour}

const (
	fewestAttempts = 10
	longestForget  = 2 * time.Hour
)

// survey looks at a TPM and changes nothing. It refuses what provisioning could not bring to an end.
func (s *seat) survey(ctx context.Context) (tpm.Capabilities, error) {
	if s.device == nil {
		s.device = tpm.NewDevice(s.path, 0)
	}
	c, err := s.device.Capabilities(ctx)
	if err != nil {
		return c, err
	}
	if !c.Sealable {
		return c, fmt.Errorf("%s: the TPM lacks what sealing needs: ECC P-256, ECDSA and a SHA-256 bank of PCRs. Some firmware can switch the bank on", s.path)
	}
	if locked(c.Lockout) {
		return c, fmt.Errorf("%s: %s: no attempt is left for a PIN. Wait, or ceremony tpm reset-lockout", s.path, lockoutText(c.Lockout))
	}
	for _, f := range []struct {
		set        bool
		path, what string
	}{{c.OwnerAuth, s.ownerAuth, "owner"}, {c.LockedAuth, s.lockoutAuth, "lockout"}} {
		there, err := exists(f.path)
		if err != nil {
			return c, err
		}
		if f.set && !there {
			return c, fmt.Errorf("%s: the TPM's %s hierarchy has an authorisation already, and %s does not exist: put it there. If nobody has it, the TPM must be cleared in the firmware's settings, which destroys every key in it", s.path, f.what, f.path)
		}
		if there {
			auth, err := readAuth(f.path)
			if err != nil && !f.set {
				return c, fmt.Errorf("%w. The TPM's %s has no authorisation yet, so remove the file", err, f.what)
			}
			if err != nil {
				return c, err
			}
			clear(auth)
		}
	}
	return c, nil
}

// weak says that wrong PINs lock the TPM too early, or for too long.
func weak(l tpm.LockoutState) bool {
	return l.Max < fewestAttempts || l.Forget == 0 || l.Forget > longestForget
}

// locked says that no PIN can be tried, also after provision. The last attempt is never made.
func locked(l tpm.LockoutState) bool {
	if weak(l) {
		l.Max = guessing.Max
	}
	return l.Locked || l.Failures+1 >= l.Max
}

// plan is what provision is going to do, for people.
func (s *seat) plan(c tpm.Capabilities) (steps []string) {
	if weak(c.Lockout) {
		steps = append(steps, fmt.Sprintf("let %d wrong PINs lock it instead of %d, and forget one each %v instead of %v", guessing.Max, c.Lockout.Max, guessing.Forget, c.Lockout.Forget))
	}
	if c.LockedAuth && !c.OwnerAuth {
		steps = append(steps, fmt.Sprintf("go on where an earlier run ended, with the lockout's authorisation in %s: if that is not the one, the TPM refuses the right one too for a while", s.lockoutAuth))
	}
	for _, h := range []struct {
		set        bool
		what, path string
	}{{c.OwnerAuth, "owner", s.ownerAuth}, {c.LockedAuth, "lockout", s.lockoutAuth}} {
		if !h.set {
			steps = append(steps, fmt.Sprintf("set a random authorisation for its %s, written to %s", h.what, h.path))
		}
	}
	return append(steps, "make the storage key and the counter, as far as they are not there")
}

// provision brings a TPM to where keys can be sealed in it. What is done already stays as it is, and what an earlier run
// that was killed has begun is brought to an end. The authorisations are on the disk before the TPM has them.
func (s *seat) provision(ctx context.Context, t terminal) (tpm.Storage, error) {
	c, err := s.survey(ctx)
	if err != nil {
		return tpm.Storage{}, err
	}
	owner, lockout, err := s.authorisations(t, c)
	if err != nil {
		return tpm.Storage{}, err
	}
	defer clear(owner)
	defer clear(lockout)
	// With the lockout's alone set the earlier run came that far, or it was another program: then its file is tried here,
	// before the owner gets one too.
	if weak(c.Lockout) || c.LockedAuth && !c.OwnerAuth {
		if err := s.device.SetLockout(ctx, present(c.LockedAuth, lockout), guessing); err != nil {
			return tpm.Storage{}, fmt.Errorf("%s: %w", s.path, err)
		}
		t.say("TPM %s: %d wrong PINs lock it, one is forgotten each %v.", s.path, guessing.Max, guessing.Forget)
	}
	storage, err := s.device.Provision(ctx, present(c.OwnerAuth, owner))
	if err != nil {
		return tpm.Storage{}, fmt.Errorf("%s: %w", s.path, err)
	}
	t.say("TPM %s: its storage key is %x.", s.path, storage.Name())
	if !c.OwnerAuth || !c.LockedAuth {
		if err := s.device.TakeOwnership(ctx, storage, owner, lockout); err != nil {
			return tpm.Storage{}, fmt.Errorf("%s: %w", s.path, err)
		}
		t.say("TPM %s: the authorisation of its owner is in %s, that of its lockout in %s. Keep both elsewhere, off this machine.", s.path, s.ownerAuth, s.lockoutAuth)
	}
	return storage, nil
}

// present is what authorises now: nothing, where the TPM has no authorisation yet.
func present(set bool, auth []byte) []byte {
	if set {
		return auth
	}
	return nil
}

// authorisations reads the two, or makes those that the TPM has not yet. Files that an interrupted run wrote are used.
func (s *seat) authorisations(t terminal, c tpm.Capabilities) (owner, lockout []byte, err error) {
	if owner, err = s.authorisation(t, s.ownerAuth, c.OwnerAuth); err != nil {
		return nil, nil, err
	}
	if lockout, err = s.authorisation(t, s.lockoutAuth, c.LockedAuth); err != nil {
		clear(owner)
		return nil, nil, err
	}
	return owner, lockout, nil
}

func (s *seat) authorisation(t terminal, path string, set bool) ([]byte, error) {
	there, err := exists(path)
	if err != nil {
		return nil, err
	}
	if !there && !set {
		if err := makeAuth(path); err != nil {
			return nil, err
		}
		t.say("Wrote %s.", path)
	}
	return readAuth(path)
}

// makeAuth writes 32 hexadecimal digits without a newline, so that other tools read the same.
func makeAuth(path string) error {
	random := make([]byte, 16)
	rand.Read(random) // never fails
	defer clear(random)
	text := hex.AppendEncode(nil, random)
	defer clear(text)
	return writeFile(path, text, 0o600)
}

// readAuth reads an authorisation with the care that a PIN gets.
func readAuth(path string) ([]byte, error) {
	auth, err := tpm.ReadPIN(path)
	if err != nil {
		return nil, fmt.Errorf("authorisation: %w", err)
	}
	if len(auth) < 16 {
		clear(auth)
		return nil, fmt.Errorf("authorisation %s: shorter than 16 bytes: it is not one that ceremony wrote", path)
	}
	return auth, nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// provision is the verb.
func provision(ctx context.Context, args []string, t terminal) error {
	var s seat
	flags := flag.NewFlagSet("provision", flag.ContinueOnError)
	s.flags(flags)
	if err := parse(flags, args, "device", "owner-auth", "lockout-auth"); err != nil {
		return err
	}
	if err := s.announce(ctx, t); err != nil {
		return err
	}
	if _, err := s.provision(ctx, t); err != nil {
		return err
	}
	counter, err := s.device.Counter(ctx)
	if err != nil {
		return err
	}
	t.say("TPM %s: its counter is at generation %d.", s.path, counter)
	return nil
}

// announce prints the plan.
func (s *seat) announce(ctx context.Context, t terminal) error {
	if s.ownerAuth == s.lockoutAuth {
		return errors.New("the owner's authorisation and the lockout's are two files")
	}
	c, err := s.survey(ctx)
	if err != nil {
		return err
	}
	t.say("TPM %s, %s, firmware %s. For all who use it, this will:", s.path, describe(c), c.Firmware)
	for _, step := range s.plan(c) {
		t.say("  - %s", step)
	}
	return nil
}

// resetLockout has the TPM forget wrong PINs. Where none were counted the authorisation is not used.
func resetLockout(ctx context.Context, args []string, t terminal) error {
	var s seat
	flags := flag.NewFlagSet("reset-lockout", flag.ContinueOnError)
	s.flags(flags)
	if err := parse(flags, args, "device", "lockout-auth"); err != nil {
		return err
	}
	s.device = tpm.NewDevice(s.path, 0)
	c, err := s.device.Capabilities(ctx)
	if err != nil {
		return err
	}
	t.say("TPM %s: %s.", s.path, lockoutText(c.Lockout))
	if c.Lockout.Failures == 0 && !c.Lockout.Locked {
		t.say("There is nothing to reset.")
		return nil
	}
	auth, err := readAuth(s.lockoutAuth)
	if err != nil {
		return err
	}
	defer clear(auth)
	if err := s.device.ResetLockout(ctx, auth); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if c, err = s.device.Capabilities(ctx); err != nil {
		return err
	}
	t.say("Reset. TPM %s: %s.\nCorrect the PIN file before anything tries it again.", s.path, lockoutText(c.Lockout))
	return nil
}

func lockoutText(l tpm.LockoutState) string {
	text := fmt.Sprintf("%d wrong authorisations counted, %d lock it", l.Failures, l.Max)
	if l.Locked {
		text = fmt.Sprintf("LOCKED after %d wrong authorisations of %d", l.Failures, l.Max)
	}
	if l.Forget == 0 {
		return text + ", none is ever forgotten"
	}
	return text + fmt.Sprintf(", one is forgotten each %v", l.Forget)
}
