package hsm

import (
	"slices"
	"strings"
	"testing"
)

func TestFindProfile(t *testing.T) {
	for _, c := range []struct{ library, manufacturer, model, want string }{
		{"SoftHSM", "SoftHSM project", "SoftHSM v2", "SoftHSM"},
		{"PKCS#11 Kit", "SoftHSM project", "SoftHSM v2", "p11-kit"},
		{"Mozilla Foundation", "Mozilla Foundation", "NSS 3", "NSS"},
		{"Mozilla Foundation", "Mozilla Foundation", "other", ""},
		{"Yubico (www.yubico.com)", "Yubico (www.yubico.com)", "YubiHSM", "YubiHSM 2"},
		{"Yubico (www.yubico.com)", "Yubico (www.yubico.com)", "YubiKey YK5", ""},
		{"Mozilla Foundation", "someone else", "NSS 3", ""},
		{"", "", "", ""},
	} {
		if p := findProfile(c.library, TokenInfo{Manufacturer: c.manufacturer, Model: c.model}); p.name != c.want {
			t.Errorf("%v: %q", c, p.name)
		}
	}
}

// A profile excuses only what a token sets by itself, asks for all that Open
// insists on, and does not match every token.
func TestProfiles(t *testing.T) {
	for _, p := range profiles {
		if p.library+p.manufacturer == "" || p.name == "" {
			t.Errorf("%q matches every vendor", p.name)
		}
		excusable := slices.ContainsFunc(keyFlags(KeyOptions{}), func(f keyFlag) bool { return f.name == p.unproven && f.role == derived })
		if p.unproven != "" && !excusable {
			t.Errorf("%s excuses %q", p.name, p.unproven)
		}
		for _, f := range keyFlags(KeyOptions{}) {
			if f.role != asked && slices.Contains(p.unknown, f.kind) {
				t.Errorf("%s does without %s", p.name, f.name)
			}
		}
	}
}

func hardened(o KeyOptions) KeyInfo {
	k := KeyInfo{Attributes: map[string]bool{}, AllowedMechanisms: []uint{ckmEdDSA}}
	for _, f := range keyFlags(o) {
		k.Attributes[f.name] = f.want
	}
	return k
}

// Each attribute that is not as asked, or not reported, is told apart: no
// matter, no matter for an old key, fatal.
func TestObjections(t *testing.T) {
	if list := hardened(KeyOptions{}).objections(KeyOptions{}, profile{}); list != nil {
		t.Fatalf("a hardened key: %v", list)
	}
	fatal := []string{"CKA_SENSITIVE", "CKA_EXTRACTABLE", "CKA_SIGN"}
	needed := append([]string{"CKA_ALWAYS_SENSITIVE", "CKA_NEVER_EXTRACTABLE", "CKA_LOCAL"}, fatal...)
	for _, f := range keyFlags(KeyOptions{}) {
		k := hardened(KeyOptions{})
		k.Attributes[f.name] = !f.want
		checkObjection(t, k, f.name+" is", true, slices.Contains(fatal, f.name))
		delete(k.Attributes, f.name)
		checkObjection(t, k, f.name+" is not reported", slices.Contains(needed, f.name), slices.Contains(fatal, f.name))
	}
	k := hardened(KeyOptions{})
	k.AllowedMechanisms = []uint{ckmEdDSA, 0x1041}
	checkObjection(t, k, "CKA_ALLOWED_MECHANISMS", true, false)
	k.AllowedMechanisms = []uint{0x1041}
	checkObjection(t, k, "CKA_ALLOWED_MECHANISMS", true, true)
	k.AllowedMechanisms = nil
	checkObjection(t, k, "", false, false)
}

func checkObjection(t *testing.T, k KeyInfo, text string, objects, fatal bool) {
	t.Helper()
	list := k.objections(KeyOptions{}, profile{})
	if len(list) > 1 || (len(list) == 1) != objects || objects && (list[0].Fatal != fatal || !strings.HasPrefix(list[0].What, text) || list[0].Do == "") {
		t.Errorf("%s: %+v", text, list)
	}
	if err := k.checkUsable(); (err != nil) != fatal {
		t.Errorf("%s: checkUsable: %v", text, err)
	}
	if err := k.checkHardened(KeyOptions{}, profile{}); (err != nil) != objects {
		t.Errorf("%s: checkHardened: %v", text, err)
	}
}

// NSS says of keys it made that it did not make them.
func TestProfileExcuses(t *testing.T) {
	nss := findProfile("Mozilla Foundation", TokenInfo{Manufacturer: "Mozilla Foundation", Model: "NSS 3"})
	k := hardened(KeyOptions{})
	k.Attributes["CKA_LOCAL"] = false
	if err := k.checkHardened(KeyOptions{}, nss); err != nil {
		t.Error(err)
	}
	if err := k.checkHardened(KeyOptions{}, profile{}); err == nil {
		t.Error("excused without a profile")
	}
	k.Attributes["CKA_NEVER_EXTRACTABLE"] = false
	if err := k.checkHardened(KeyOptions{}, nss); err == nil || strings.Contains(err.Error(), "CKA_LOCAL") {
		t.Errorf("%v", err)
	}
}
