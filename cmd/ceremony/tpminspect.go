package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"countersign.dev/tpm"
)

// tpmReport is what a TPM says of itself, and how a sealed key stands with it.
type tpmReport struct {
	Device string `json:"device"`
	tpm.Capabilities
	Lockout    lockoutReport `json:"lockout"`
	Persistent []string      `json:"persistentHandles"`
	SRK        string        `json:"srk"`     // Name of the storage key; empty without one of ours
	Counter    *uint64       `json:"counter"` // absent without one
	Key        *keyReport    `json:"key,omitempty"`
	Objections []string      `json:"objections"`
}

type lockoutReport struct {
	Failures        uint32 `json:"failures"`
	Max             uint32 `json:"max"`
	ForgetSeconds   int64  `json:"forgetSeconds"`
	RecoverySeconds int64  `json:"recoverySeconds"`
	Locked          bool   `json:"locked"`
}

type keyReport struct {
	Sealed      string           `json:"sealed"`
	Fingerprint string           `json:"fingerprint"`
	Protection  string           `json:"protection"`
	Appliance   string           `json:"appliance"`
	Approvals   []approvalReport `json:"approvals"`
}

type approvalReport struct {
	Limit    uint64            `json:"limit"`
	NotAfter string            `json:"notAfter"`
	PCRs     map[string]string `json:"pcrs"`
	Holds    bool              `json:"holds"` // its signature is not looked at
	Why      string            `json:"why,omitempty"`
}

// inspectTPM changes nothing, and uses no PIN and no authorisation.
func inspectTPM(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("inspect", flag.ContinueOnError)
	device := flags.String("device", "", "")
	u := keyFlag(flags)
	asJSON := flags.Bool("json", false, "")
	if err := parse(flags, args); err != nil {
		return err
	}
	if (*device == "") == (u.Device == "") {
		return fmt.Errorf("tpm inspect: give either --device PATH or --key URI: %w", errTPMUsage)
	}
	if u.Device != "" {
		*device = u.Device
	}
	r, err := examine(ctx, *device)
	if err == nil && u.Device != "" {
		err = r.examineKey(ctx, u.URI)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(t.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		r.print(page{t.out})
	}
	if err == nil && len(r.Objections) > 0 {
		err = fmt.Errorf("%w: %d", errObjections, len(r.Objections))
	}
	return err
}

func examine(ctx context.Context, path string) (*tpmReport, error) {
	device := tpm.NewDevice(path, 0)
	r := &tpmReport{Device: path, Persistent: []string{}, Objections: []string{}}
	var err error
	if r.Capabilities, err = device.Capabilities(ctx); err != nil {
		return nil, err
	}
	l := r.Capabilities.Lockout
	r.Lockout = lockoutReport{l.Failures, l.Max, int64(l.Forget.Seconds()), int64(l.Recovery.Seconds()), l.Locked}
	if r.Persistent, r.SRK, err = kept(ctx, path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if counter, err := device.Counter(ctx); err == nil {
		r.Counter = &counter
	} else if !errors.Is(err, tpm.ErrStopped) { // which says that there is none
		return nil, err
	}
	r.object()
	return r, nil
}

// object lists what Countersign minds.
func (r *tpmReport) object() {
	for _, o := range []struct {
		bad  bool
		text string
	}{
		{!r.Sealable, "it lacks what sealing needs: ECC P-256, ECDSA or a SHA-256 bank of PCRs"},
		{r.Lockout.Locked, "it is locked after wrong authorisations: wait, or ceremony tpm reset-lockout"},
		{weak(r.Capabilities.Lockout), "few wrong PINs lock it, or for long: ceremony tpm provision sets that"},
		{!r.OwnerAuth, "its owner has no authorisation, so that any program can delete the storage key and the counter: ceremony tpm provision sets one"},
		{!r.LockedAuth, "its lockout has no authorisation, so that any program can reset it: ceremony tpm provision sets one"},
		{r.SRK == "", fmt.Sprintf("it has no storage key of ours at 0x%08x: ceremony tpm provision makes it", tpm.StorageHandle)},
		{r.Counter == nil, fmt.Sprintf("it has no counter at 0x%08x: ceremony tpm provision makes it", tpm.CounterIndex)},
	} {
		if o.bad {
			r.Objections = append(r.Objections, o.text)
		}
	}
}

func (r *tpmReport) examineKey(ctx context.Context, u tpm.URI) error {
	sealed, err := readSealed(u)
	if err != nil {
		return err
	}
	r.Key = &keyReport{Sealed: u.SealedPath, Fingerprint: fingerprint(sealed.PublicKey), Protection: "tpm-sealed", Appliance: sealed.Appliance, Approvals: []approvalReport{}}
	if r.SRK != fmt.Sprintf("%x", u.SRK) {
		r.Objections = append(r.Objections, fmt.Sprintf("its storage key is not the one of the URI: it was replaced, the TPM was cleared, or this is another TPM. "+
			"If the TPM is gone, so is the key: see docs/tpm.md, %s", replacing))
	}
	if r.Counter == nil {
		return nil
	}
	f, err := lookUp(ctx, u, sealed)
	if err != nil {
		return err
	}
	holding := false
	for _, a := range f.list {
		why, _ := f.objection(a, f.count)
		one := approvalReport{Limit: a.Limit, NotAfter: a.NotAfter.UTC().Format("2006-01-02T15:04:05Z"), PCRs: map[string]string{}, Holds: why == "", Why: why}
		for i, v := range a.PCRs {
			one.PCRs[fmt.Sprint(i)] = fmt.Sprintf("%x", v)
		}
		r.Key.Approvals = append(r.Key.Approvals, one)
		holding = holding || one.Holds
	}
	if !holding {
		r.Objections = append(r.Objections, "no approval of the key holds now: ceremony tpm request, at the approver's ceremony tpm approve, ceremony tpm add-approval")
	}
	return nil
}

func (r *tpmReport) print(p page) {
	fmt.Fprintf(p, "TPM %q\n", r.Device)
	p.line("chip", "%s, firmware %s, library %s", describe(r.Capabilities), r.Firmware, r.Revision)
	p.line("native_eddsa", "%v", r.NativeEdDSA)
	p.line("PCR banks", "%s", strings.Join(r.PCRBanks, " "))
	p.line("lockout", "%s", lockoutText(r.Capabilities.Lockout))
	p.line("authorised", "owner %v, lockout %v", r.OwnerAuth, r.LockedAuth)
	p.line("persistent", "%s", strings.Join(r.Persistent, " "))
	p.line("storage key", "%s", r.SRK)
	if r.Counter != nil {
		p.line("generation", "%d", *r.Counter)
	}
	if k := r.Key; k != nil {
		fmt.Fprintf(p, "\nKey %q\n", k.Sealed)
		p.line("fingerprint", "%s", k.Fingerprint)
		p.line("protection", "%s: the TPM keeps the seed while no agent uses it, and does not sign", k.Protection)
		p.line("appliance", "%s", k.Appliance)
		for n, a := range k.Approvals {
			why := a.Why
			if a.Holds {
				why = "it holds, if the approver signed it"
			}
			p.line(fmt.Sprintf("approval %d", n+1), "up to generation %d, until %s: %s", a.Limit, a.NotAfter, why)
		}
	}
	for _, o := range r.Objections {
		p.line("OBJECTION", "%s", o)
	}
}

func describe(c tpm.Capabilities) string {
	return strings.Join(strings.Fields(c.Manufacturer+" "+c.Vendor), " ")
}

// kept lists the TPM's persistent handles, and gives the Name of the storage key, if it is from our template. Both commands
// only read, and leave nothing in the TPM. One that hangs holds up nobody but itself.
func kept(ctx context.Context, path string) (handles []string, srk string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	done := make(chan struct{})
	var list []string
	var name string
	var failed error
	go func() {
		defer close(done)
		list, name, failed = readKept(path)
	}()
	select {
	case <-done:
		return list, name, failed
	case <-ctx.Done():
		return nil, "", tpm.ErrBusy
	}
}

func readKept(path string) (handles []string, srk string, err error) {
	bus, err := openBus(path)
	if err != nil {
		return nil, "", err
	}
	defer bus.Close()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(tpm2.TPMHTPersistent) << 24, PropertyCount: 256}.Execute(bus)
	if err != nil {
		return nil, "", fmt.Errorf("TPM2_GetCapability: %w", err)
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, "", fmt.Errorf("TPM2_GetCapability: %w", err)
	}
	handles = []string{}
	for _, h := range list.Handle {
		handles = append(handles, fmt.Sprintf("0x%08x", uint32(h)))
		if h != tpm.StorageHandle {
			continue
		}
		key, err := tpm2.ReadPublic{ObjectHandle: h}.Execute(bus)
		if err != nil {
			return nil, "", fmt.Errorf("TPM2_ReadPublic: %w", err)
		}
		srk = fmt.Sprintf("%x", tpm.Storage{Public: key.OutPublic.Bytes()}.Name())
	}
	return handles, srk, nil
}

func openBus(path string) (transport.TPMCloser, error) {
	if bus, err := linuxtpm.Open(path); !errors.Is(err, linuxtpm.ErrFileIsNotDevice) {
		return bus, err
	}
	return linuxudstpm.Open(path)
}
