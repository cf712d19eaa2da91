package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"countersign.dev/provenance"
	"countersign.dev/tpm"
)

// tpmConfig says that a key of the log is to be sealed to a TPM, and where. The usage text describes each key.
type tpmConfig struct {
	Device      string `toml:"device"`
	Appliance   string `toml:"appliance"`
	PCRs        []uint `toml:"pcrs"`
	Approver    string `toml:"approver"`
	ApproverKey string `toml:"approver_key"`
	Sealed      string `toml:"sealed"`
	Approvals   string `toml:"approvals"`
	OwnerAuth   string `toml:"owner_auth"`
	LockoutAuth string `toml:"lockout_auth"`

	approver *ecdsa.PublicKey
}

// sealedKey is a key of the log on its way.
type sealedKey struct {
	*tpmConfig
	seat    seat
	sealed  *tpm.Sealed
	request approvalRequest
	uri     tpm.URI
}

// made are the files that a ceremony makes for the key.
func (c *tpmConfig) made() []string { return []string{c.Sealed, c.requestFile(), c.Approvals} }

func (c *tpmConfig) requestFile() string { return c.Approvals + ".request" }

func (c *tpmConfig) seat() seat {
	return seat{path: c.Device, ownerAuth: c.OwnerAuth, lockoutAuth: c.LockoutAuth}
}

// checkSealedKeys refuses what can be refused before a TPM is touched.
func (c *config) checkSealedKeys() error {
	taken := make(map[string]string)
	for _, k := range c.Log.Key {
		if k.TPM == nil {
			continue
		}
		if err := k.checkTPM(c.Demo); err != nil {
			return fmt.Errorf("log key %s: %w", k.Name, err)
		}
		// Agents with one TPM have one lockout, and are lost together.
		for _, path := range append(k.TPM.made(), k.TPM.Device, k.TPM.OwnerAuth, k.TPM.LockoutAuth, k.PINFile) {
			path = filepath.Clean(path)
			if other, there := taken[path]; there {
				return fmt.Errorf("log keys %s and %s: %s is named twice: each key has a TPM and files of its own", other, k.Name, path)
			}
			taken[path] = k.Name
		}
	}
	return nil
}

func (k *logConfig) checkTPM(demo bool) error {
	t := k.TPM
	if k.Token != "" || k.Serial != "" || k.Object != "" || k.Module != "" || k.SOPINFile != "" {
		return errors.New("it names a token and a TPM: a key is in one of them")
	}
	if err := absolute(t.Device, t.Approver, t.Sealed, t.Approvals, t.OwnerAuth, t.LockoutAuth, k.PINFile); err != nil {
		return fmt.Errorf("tpm: device, approver, sealed, approvals, owner_auth, lockout_auth and pin_file: %w", err)
	}
	if t.ApproverKey != "" && !demo {
		return errors.New("tpm: approver_key is for demos only: keep the approver's private key off this machine, and leave it out")
	}
	if err := errors.Join(checkPCRs(t.PCRs), checkAppliance(t.Appliance), checkPIN(k.PINFile)); err != nil {
		return fmt.Errorf("tpm: %w", err)
	}
	var err error
	t.approver, err = readApprover(t.Approver)
	return err
}

// checkPIN refuses a PIN file before anything is made that it is for.
func checkPIN(path string) error {
	pin, err := tpm.ReadPIN(path)
	if err != nil {
		return fmt.Errorf("%w; ceremony --help shows how to make a PIN", err)
	}
	clear(pin)
	return nil
}

func checkAppliance(name string) error {
	if name == "" || len(name) > 64 || slices.ContainsFunc([]byte(name), func(b byte) bool { return b < 0x21 || b > 0x7e }) {
		return fmt.Errorf("appliance %.70q: give a name of 1 to 64 printable ASCII characters without blanks", name)
	}
	return nil
}

func absolute(paths ...string) error {
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			return fmt.Errorf("%q is not an absolute path", p)
		}
	}
	return nil
}

// checkTPMs looks at every TPM before anything is made, and prints what will be done to it.
func (c *ceremony) checkTPMs(ctx context.Context) error {
	for _, k := range c.Log.Key {
		if k.TPM == nil {
			continue
		}
		s := k.TPM.seat()
		if err := s.announce(ctx, c.terminal); err != nil {
			return fmt.Errorf("log key %s: %w", k.Name, err)
		}
		pcrs, err := s.device.ReadPCRs(ctx, k.TPM.PCRs...)
		if err != nil {
			return fmt.Errorf("log key %s: %w", k.Name, err)
		}
		c.say("  - seal key %s to it, for appliance %s, usable in the state that its approver signs; at present:", k.Name, k.TPM.Appliance)
		c.state(pcrs)
	}
	return nil
}

func (c *ceremony) sealKey(ctx context.Context, k *logConfig) (*madeKey, error) {
	s := &sealedKey{tpmConfig: k.TPM, seat: k.TPM.seat()}
	storage, err := s.seat.provision(ctx, c.terminal)
	if err != nil {
		return nil, fmt.Errorf("log key %s: %w", k.Name, err)
	}
	s.sealed, err = sealFresh(ctx, &s.seat, tpm.Sealing{Storage: storage, Appliance: s.Appliance, Approver: s.approver, PCRs: s.PCRs}, k.PINFile)
	if err != nil {
		return nil, fmt.Errorf("log key %s: %w", k.Name, err)
	}
	s.uri = tpm.URI{SRK: storage.Name(), Device: s.Device, SealedPath: s.Sealed, ApprovalPath: s.Approvals, PINFile: k.PINFile}
	made := &madeKey{uri: s.uri, sealed: s}
	if made.public, err = provenance.NewPublicKey(s.sealed.PublicKey); err != nil {
		return nil, err
	}
	if err := writeSealed(s.Sealed, s.sealed); err != nil {
		return nil, err
	}
	c.say("Sealed key %s to TPM %s: %s.", k.Name, s.Device, made.public.Fingerprint())
	if s.request, err = measure(ctx, s.seat.device, s.sealed, s.PCRs); err != nil {
		return nil, err
	}
	return made, s.request.write(s.requestFile(), c.terminal)
}

// approveKeys waits for the approvals, and proves each key by a signature.
func (c *ceremony) approveKeys(ctx context.Context) error {
	for i, k := range c.log {
		if k.sealed == nil {
			continue
		}
		name, approve := c.Log.Key[i].Name, c.awaitApproval
		if k.sealed.ApproverKey != "" {
			approve = c.approveHere
		}
		key, err := approve(ctx, name, k.sealed)
		if err != nil {
			return fmt.Errorf("log key %s: %w", name, err)
		}
		k.signer = key
		c.say("Key %s opens and signs, under an approval until %s.", name, provenance.At(key.Approval().NotAfter))
	}
	return nil
}

func (k *sealedKey) prove(ctx context.Context) (*tpm.Key, error) {
	return prove(ctx, k.uri, k.sealed.PublicKey)
}

// approveHere is for demos.
func (c *ceremony) approveHere(ctx context.Context, _ string, k *sealedKey) (*tpm.Key, error) {
	c.say("DEMO: the approver's private key is on this machine.")
	approval, err := k.request.sign(k.ApproverKey, c.expires)
	if err != nil {
		return nil, err
	}
	if err := writeNew(k.Approvals, string(tpm.FormatApprovals([]tpm.Approval{approval}))); err != nil {
		return nil, err
	}
	return k.prove(ctx)
}

// awaitApproval asks until an approval is there that holds. Where another try could do harm it asks no more.
func (c *ceremony) awaitApproval(ctx context.Context, name string, k *sealedKey) (*tpm.Key, error) {
	for {
		c.say("\nKey %s waits for its approver. Take the request there, look at it, sign it, and bring the approval back:\n\n"+
			"  ceremony tpm approve --request %s --approver APPROVER.key --not-after TIME --out %s\n\n"+
			"Put it at %s. Then press Enter.",
			name, filepath.Base(k.requestFile()), filepath.Base(k.Approvals), k.Approvals)
		if _, err := c.line(ctx); err != nil {
			return nil, fmt.Errorf("no approval: %w", err)
		}
		key, err := k.prove(ctx)
		if err == nil || errors.Is(err, tpm.ErrStopped) {
			return key, err
		}
		c.say("Not yet: %v", explained(err))
	}
}
