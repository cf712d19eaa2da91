package hsm_test

import (
	"reflect"
	"strings"
	"testing"

	"countersign.dev/hsm"
)

const fullURI = "pkcs11:token=my%20registry;serial=4f1c0a;object=log-1;id=%00%FFa?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin"

func TestParseURI(t *testing.T) {
	for text, want := range map[string]hsm.URI{
		fullURI: {Token: "my registry", Serial: "4f1c0a", Object: "log-1", ID: []byte{0, 0xff, 'a'},
			ModulePath: "/usr/lib/softhsm/libsofthsm2.so", PINFile: "/run/pin"},
		"pkcs11:":                           {},
		"pkcs11:object=%c3%a9&1":            {Object: "é&1"},
		"pkcs11:id=abc;token=[a]":           {ID: []byte("abc"), Token: "[a]"},
		"pkcs11:?module-path=/a?b|c":        {ModulePath: "/a?b|c"},
		"pkcs11:?pin-source=file:/a%26b%3d": {PINFile: "/a&b="},
	} {
		got, err := hsm.ParseURI(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "does not begin with the scheme pkcs11",
		"PKCS11:token=a":           "does not begin with the scheme pkcs11",
		"pkcs11:token=a;":          "unknown attribute",
		"pkcs11:token=a;;object=b": "unknown attribute",
		"pkcs11:?":                 "unknown attribute",
		"pkcs11:token":             "token is empty",
		"pkcs11:token=":            "token is empty",
		"pkcs11:token=a;token=a":   "token is given twice",
		"pkcs11:?pin-source=file:/a&pin-source=file:/a": "pin-source is given twice",
		"pkcs11:slot-id=1":                        `unknown attribute "slot-id"`,
		"pkcs11:type=private":                     `unknown attribute "type"`,
		"pkcs11:Token=a":                          `unknown attribute "Token"`,
		"pkcs11:x-vendor=a":                       `unknown attribute "x-vendor"`,
		"pkcs11:module-path=/a":                   `unknown attribute "module-path"`,
		"pkcs11:?token=a":                         `unknown attribute "token"`,
		"pkcs11:?module-name=softhsm":             `unknown attribute "module-name"`,
		"pkcs11:?pin-value=1234":                  "pin-value is refused, because",
		"pkcs11:token=a;pin-value=1234":           "pin-value is refused, because",
		"pkcs11:token=a/b":                        "0x2f at offset 1",
		"pkcs11:token=a b":                        "0x20 at offset 1",
		"pkcs11:token=é":                          "must be percent-encoded",
		"pkcs11:token=a%2":                        "incomplete percent-encoding",
		"pkcs11:token=a%zz":                       "incomplete percent-encoding",
		"pkcs11:token=%FF":                        "token is not UTF-8",
		"pkcs11:token=a%00":                       "control character",
		"pkcs11:object=a%0A":                      "control character",
		"pkcs11:token=a%20":                       "ends with a blank",
		"pkcs11:serial=12345678901234567":         "longer than the 16 bytes",
		"pkcs11:token=" + strings.Repeat("a", 33): "longer than the 32 bytes",
		"pkcs11:?module-path=softhsm.so":          "not an absolute path",
		"pkcs11:?pin-source=/run/pin":             "not of the form file:",
		"pkcs11:?pin-source=file:pin":             "not an absolute path",
		"pkcs11:?pin-source=file:///run/pin":      "not of the form file:",
		"pkcs11:?pin-source=file:":                "not an absolute path",
		"pkcs11:?pin-source=%7Ccat%20/run/pin":    "not of the form file:",
	} {
		_, err := hsm.ParseURI(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: the error repeats a PIN: %v", text, err)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add(fullURI)
	f.Add("pkcs11:")
	f.Add("pkcs11:id=%00a&?module-path=/a?b|%25")
	f.Add("pkcs11:?pin-source=file:/a%26b")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := hsm.ParseURI(text)
		if err != nil {
			return
		}
		again, err := hsm.ParseURI(u.String())
		if err != nil || !reflect.DeepEqual(u, again) {
			t.Fatalf("%q -> %q -> %+v, %v", text, u, again, err)
		}
	})
}
