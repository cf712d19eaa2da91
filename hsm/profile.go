package hsm

import (
	"strings"

	"github.com/miekg/pkcs11"
)

// profile is what is known of a vendor's tokens beyond the standard. A token
// without one gets the zero profile, which excuses nothing.
type profile struct {
	name string

	// Prefixes of what C_GetInfo and C_GetTokenInfo report; all must match.
	library      string // CK_INFO.manufacturerID
	manufacturer string // CK_TOKEN_INFO.manufacturerID
	model        string // CK_TOKEN_INFO.model

	unknown    []uint   // CKA_ attributes that make the token refuse a template: a new key goes without
	unproven   string   // the derived CKA_ attribute that says nothing on this token
	maxMessage int      // bytes in one signature operation; 0: nothing known
	notes      []string // for the operator
}

// profiles holds facts with their source, and nothing that was only heard of.
// Other vendors' tokens (Luna, nShield, Utimaco, CloudHSM) have none until
// somebody has seen how theirs name themselves and what they do.
var profiles = []profile{{
	name:    "p11-kit",
	library: "PKCS#11 Kit", // measured: proxy and, once connected, client of 0.24.1
	notes: []string{
		"p11-kit does not carry CKM_EDDSA over its remote protocol: load the vendor's module itself",                  // p11-kit#668, #776; measured with 0.24.1 and 0.25.5
		"when the remote end goes away every call fails until the module is finalised, which an agent does by itself", // measured with kill -9 of p11-kit-server: CKR_DEVICE_ERROR, C_GetSlotList too
	},
}, {
	name:         "SoftHSM",
	manufacturer: "SoftHSM project", // measured with 2.6.1 and 2.7.0, as is what follows
	notes: []string{
		"a software token: keys are as safe as its token directory; for tests and demonstrations",
		"wrong PINs are counted, but never lock it",
		"after its directory went away and came back it finds no key until the module is finalised, which an agent does by itself",
		"it loses 70 to 190 bytes of memory per Ed25519 signature: see recycle_after in keyagent --help", // up to 2.7.0; SoftHSMv2#858, #863
	},
}, {
	name:         "NSS",
	manufacturer: "Mozilla Foundation", // measured with 3.87 and 3.125, as is what follows
	model:        "NSS 3",
	unknown:      []uint{pkcs11.CKA_ALLOWED_MECHANISMS}, // 3.125: CKR_GENERAL_ERROR
	unproven:     "CKA_LOCAL",                           // 3.110, 3.125: false for generated keys too
	notes: []string{
		"a software token: keys are as safe as its database",
		"it does not hold a key to one mechanism (CKA_ALLOWED_MECHANISMS)",
		"CKA_LOCAL is false even for keys made on the token, so that it says nothing",
		"all its tokens have the serial 0000000000000000",
		"Ed25519 is in 3.110 and 3.125, but not in 3.87",
	},
}, {
	name:         "YubiHSM 2",
	manufacturer: "Yubico",
	model:        "YubiHSM", // OpenSC/libp11#176
	maxMessage:   2019,      // theupdateframework/specification#310, approximate
	notes: []string{
		"all programs together have 16 sessions, and one that is idle for 30 seconds is gone", // Yubico/yubihsm-shell#379
		"with YubiHSM Auth only finalising the module helps after that",                       // Yubico/yubihsm-shell#541
		"Ed25519 needs Yubico's module for PKCS#11 3.0",                                       // Yubico/yubihsm-shell#183
	},
}}

// profile looks the token up in the table; the first match counts.
func (t token) profile() (profile, error) {
	info, err := t.ctx.GetInfo()
	if err != nil {
		return profile{}, failure("C_GetInfo", "", err)
	}
	return findProfile(info.ManufacturerID, t.info), nil
}

func findProfile(library string, t TokenInfo) profile {
	for _, p := range profiles {
		if strings.HasPrefix(library, p.library) && strings.HasPrefix(t.Manufacturer, p.manufacturer) && strings.HasPrefix(t.Model, p.model) {
			return p
		}
	}
	return profile{}
}
