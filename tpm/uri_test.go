package tpm_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"countersign.dev/tpm"
)

var (
	someSRK = "000b" + strings.Repeat("4f", 32)
	fullURI = "tpm:srk=" + someSRK + "?device=/dev/tpmrm0&sealed-path=/etc/log%201.sealed&approval-path=/etc/log.approvals&pin-source=file:/run/pin"
)

func TestParseURI(t *testing.T) {
	for text, want := range map[string]tpm.URI{
		fullURI: {SRK: append([]byte{0, 0x0b}, bytes.Repeat([]byte{0x4f}, 32)...), Device: "/dev/tpmrm0", SealedPath: "/etc/log 1.sealed",
			ApprovalPath: "/etc/log.approvals", PINFile: "/run/pin"},
		"tpm:":                           {},
		"tpm:?device=/dev/tpmrm0":        {Device: "/dev/tpmrm0"},
		"tpm:?device=/a?b|c":             {Device: "/a?b|c"},
		"tpm:?pin-source=file:/a%26b%3d": {PINFile: "/a&b="},
	} {
		got, err := tpm.ParseURI(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "does not begin with the scheme tpm",
		"TPM:":                         "does not begin with the scheme tpm",
		"pkcs11:?device=/dev/tpmrm0":   "does not begin with the scheme tpm",
		"tpm:?":                        "unknown attribute",
		"tpm:;":                        "unknown attribute",
		"tpm:srk=" + someSRK + ";":     "unknown attribute",
		"tpm:/dev/tpmrm0":              "unknown attribute",
		"tpm:device=/dev/tpmrm0":       `unknown attribute "device"`,
		"tpm:?srk=" + someSRK:          `unknown attribute "srk"`,
		"tpm:?Device=/dev/tpmrm0":      `unknown attribute "Device"`,
		"tpm:?device":                  "device is empty",
		"tpm:?device=":                 "device is empty",
		"tpm:?device=/a&device=/a":     "device is given twice",
		"tpm:?device=tpmrm0":           "not an absolute path",
		"tpm:?device=/a%00":            "control character",
		"tpm:?device=/%FF":             "is not UTF-8",
		"tpm:?device=/a b":             "0x20 at offset 2",
		"tpm:?device=/%2":              "incomplete percent-encoding",
		"tpm:?device=/%zz":             "incomplete percent-encoding",
		"tpm:?device=/%":               "incomplete percent-encoding",
		"tpm:?pin-value=1234":          "pin-value is refused, because",
		"tpm:pin-value=1234":           "pin-value is refused, because",
		"tpm:?pin-source=/1234":        "not of the form file:",
		"tpm:?pin-source=1234":         "not of the form file:",
		"tpm:?pin-source=file:///1234": "not of the form file:",
		"tpm:?pin-source=file:1234":    "not an absolute path",
		"tpm:srk=1234":                 "not the Name of a storage key",
		"tpm:srk=" + someSRK[2:]:       "not the Name of a storage key",
		"tpm:srk=" + someSRK + "00":    "not the Name of a storage key",
		"tpm:srk=" + strings.Replace(someSRK, "4f", "4F", 1): "not the Name of a storage key",
		"tpm:srk=" + strings.Replace(someSRK, "0b", "0c", 1): "not the Name of a storage key",
	} {
		_, err := tpm.ParseURI(text)
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
	f.Add("tpm:")
	f.Add("tpm:?device=/a?b|%25&pin-source=file:/a%26b")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := tpm.ParseURI(text)
		if err != nil {
			return
		}
		again, err := tpm.ParseURI(u.String())
		if err != nil || !reflect.DeepEqual(u, again) {
			t.Fatalf("%q -> %q -> %+v, %v", text, u, again, err)
		}
	})
}
