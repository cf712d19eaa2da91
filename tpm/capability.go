package tpm

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

// Capabilities is what a TPM says of itself. Nothing here is authenticated.
type Capabilities struct {
	Manufacturer string `json:"manufacturer"`
	Vendor       string `json:"vendor"`
	Firmware     string `json:"firmware"` // hexadecimal
	Revision     string `json:"revision"` // of the library specification: 1.59

	// NativeEdDSA says that the TPM lists both EdDSA and its curve. Then it might
	// sign by itself one day; this package has no backend for it, and a sealed
	// seed stays a sealed seed.
	NativeEdDSA bool `json:"native_eddsa"`

	// PCRBanks are the hash algorithms with registers, Sealable that everything
	// sealing needs is there.
	PCRBanks []string `json:"pcrBanks"`
	Sealable bool     `json:"sealable"`

	Transient uint32 `json:"transient"` // objects that can be loaded at once

	Lockout    LockoutState `json:"-"`          // changes all the time
	OwnerAuth  bool         `json:"ownerAuth"`  // the owner hierarchy has an authorisation
	LockedAuth bool         `json:"lockedAuth"` // the lockout hierarchy has one
}

// The ids of library 1.83 and later that go-tpm or older tools may not name.
const (
	algEdDSA         tpm2.TPMAlgID    = 0x0060
	curveEd25519     tpm2.TPMECCCurve = 0x0040
	bitOwnerAuth                      = 1 << 0 // TPMA_PERMANENT
	bitLockoutAuth                    = 1 << 2
	bitInLockout                      = 1 << 9
	maxPerCapability                  = 256
)

// Capabilities asks the TPM what it can do.
func (d *Device) Capabilities(ctx context.Context) (Capabilities, error) {
	return perform(ctx, d, (*link).capabilities)
}

func (l *link) capabilities() (c Capabilities, err error) {
	fixed, err := l.properties(tpm2.TPMPTFamilyIndicator)
	if err != nil {
		return c, err
	}
	variable, err := l.properties(tpm2.TPMPTPermanent)
	if err != nil {
		return c, err
	}
	algorithms, curves, err := l.algorithms()
	if err != nil {
		return c, err
	}
	if c.PCRBanks, err = l.banks(); err != nil {
		return c, err
	}
	c.Manufacturer = characters(fixed[tpm2.TPMPTManufacturer])
	c.Vendor = characters(fixed[tpm2.TPMPTVendorString1], fixed[tpm2.TPMPTVendorString2], fixed[tpm2.TPMPTVendorString3], fixed[tpm2.TPMPTVendorString4])
	c.Firmware = fmt.Sprintf("%08x%08x", fixed[tpm2.TPMPTFirmwareVersion1], fixed[tpm2.TPMPTFirmwareVersion2])
	c.Revision = fmt.Sprintf("%d.%02d", fixed[tpm2.TPMPTRevision]/100, fixed[tpm2.TPMPTRevision]%100)
	c.Transient = fixed[tpm2.TPMPTHRTransientMin]
	c.NativeEdDSA = slices.Contains(algorithms, algEdDSA) && slices.Contains(curves, curveEd25519)
	c.Sealable = slices.Contains(algorithms, tpm2.TPMAlgKeyedHash) && slices.Contains(algorithms, tpm2.TPMAlgECDSA) &&
		slices.Contains(curves, tpm2.TPMECCNistP256) && slices.Contains(c.PCRBanks, "sha256")
	c.OwnerAuth = variable[tpm2.TPMPTPermanent]&bitOwnerAuth != 0
	c.LockedAuth = variable[tpm2.TPMPTPermanent]&bitLockoutAuth != 0
	c.Lockout = lockoutState(variable)
	return c, nil
}

// properties gives those of the group that begins with first.
func (l *link) properties(first tpm2.TPMPT) (map[tpm2.TPMPT]uint32, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(first), PropertyCount: maxPerCapability}.Execute(l)
	if err != nil {
		return nil, l.failed("TPM2_GetCapability", err)
	}
	list, err := r.CapabilityData.Data.TPMProperties()
	if err != nil {
		return nil, l.failed("TPM2_GetCapability", err)
	}
	values := map[tpm2.TPMPT]uint32{}
	for _, p := range list.TPMProperty {
		values[p.Property] = p.Value
	}
	return values, nil
}

func (l *link) algorithms() (algorithms []tpm2.TPMAlgID, curves []tpm2.TPMECCCurve, err error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapAlgs, PropertyCount: maxPerCapability}.Execute(l)
	if err != nil {
		return nil, nil, l.failed("TPM2_GetCapability", err)
	}
	list, err := r.CapabilityData.Data.Algorithms()
	if err != nil {
		return nil, nil, l.failed("TPM2_GetCapability", err)
	}
	for _, p := range list.AlgProperties {
		algorithms = append(algorithms, p.Alg)
	}
	if r, err = (tpm2.GetCapability{Capability: tpm2.TPMCapECCCurves, PropertyCount: maxPerCapability}).Execute(l); err != nil {
		return nil, nil, l.failed("TPM2_GetCapability", err)
	}
	known, err := r.CapabilityData.Data.ECCCurves()
	if err != nil {
		return nil, nil, l.failed("TPM2_GetCapability", err)
	}
	return algorithms, known.ECCCurves, nil
}

var bankNames = map[tpm2.TPMIAlgHash]string{
	tpm2.TPMAlgSHA1: "sha1", tpm2.TPMAlgSHA256: "sha256", tpm2.TPMAlgSHA384: "sha384", tpm2.TPMAlgSHA512: "sha512",
}

// banks are the allocated ones: a bank without registers is listed too.
func (l *link) banks() ([]string, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}.Execute(l)
	if err != nil {
		return nil, l.failed("TPM2_GetCapability", err)
	}
	list, err := r.CapabilityData.Data.AssignedPCR()
	if err != nil {
		return nil, l.failed("TPM2_GetCapability", err)
	}
	var names []string
	for _, s := range list.PCRSelections {
		if name := bankNames[s.Hash]; name != "" && slices.ContainsFunc(s.PCRSelect, func(b byte) bool { return b != 0 }) {
			names = append(names, name)
		}
	}
	return names, nil
}

// characters reads properties that hold four characters each.
func characters(values ...uint32) string {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, string(b)))
}
