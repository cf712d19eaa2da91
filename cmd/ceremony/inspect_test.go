package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/provenance"
	"countersign.dev/test/fault"
)

// inspection runs ceremony inspect and gives what it prints and says.
func inspection(args ...string) (out, said string, status int) {
	var o, e bytes.Buffer
	status = run(context.Background(), append([]string{"inspect"}, args...), terminal{strings.NewReader(""), &o, &e})
	return o.String(), e.String(), status
}

// generatedKey is a key seen through a fault module.
func generatedKey(t *testing.T) (*fault.Module, hsm.GeneratedKey) {
	t.Helper()
	tokens := softhsm.New(t)
	key := tokens.Key(tokens.Token("registry"), "log-1")
	module := fault.New(t, softhsm.Module)
	key.URI.ModulePath = module.Path
	return module, key
}

func TestInspectPrints(t *testing.T) {
	_, key := generatedKey(t)
	public, err := provenance.NewPublicKey(key.PublicKey)
	must(t, err)
	out, said, status := inspection("--key", key.URI.String(), "--sign")
	if status != 0 || said != "" {
		t.Fatalf("%d %s", status, said)
	}
	for _, want := range []string{
		`Token "registry"`, "Cryptoki 2.40", "user PIN      ok, 4 to 255 bytes", "CKM_EDDSA 0x1057, key size ", "profile       SoftHSM",
		`Key "log-1"`, "public_key    " + public.String(), fmt.Sprintf("raw           %x", key.PublicKey), "uri           " + key.URI.String(),
		"CKA_NEVER_EXTRACTABLE true", "CKA_EXTRACTABLE       false", "allowed       [0x1057]", "made by       [0x1055]", "self-test     verified after ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	pin, err := os.ReadFile(key.URI.PINFile)
	must(t, err)
	if strings.Contains(out, strings.TrimSpace(string(pin))) {
		t.Error("the PIN is printed")
	}
	key.URI.PINFile = ""
	if out, said, status := inspection("--key", key.URI.String()); status != 0 || !strings.Contains(out, "1 public, seen without a login") || strings.Contains(out, "CKA_LOCAL") {
		t.Errorf("without a PIN: %d %s\n%s", status, said, out)
	}
	if out, said, status := inspection("--module", key.URI.ModulePath); status != 0 || !strings.Contains(out, "keys          not looked at") || strings.Contains(out, "log-1") {
		t.Errorf("--module: %d %s\n%s", status, said, out)
	}
}

func TestInspectJSON(t *testing.T) {
	module, key := generatedKey(t)
	module.Lie(fault.LocalUnreported)
	out, said, status := inspection("--key", key.URI.String(), "--json", "--sign")
	if status != 3 {
		t.Fatalf("%d %s", status, said)
	}
	var r hsm.Report
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	must(t, d.Decode(&r))
	if d.More() {
		t.Error("more than one value")
	}
	k := r.Tokens[0].Keys[0]
	if local, there := k.Attributes["CKA_LOCAL"]; !there || local != nil || k.URI != key.URI.String() || !k.SelfTest.Verified || len(r.Objections()) != 1 {
		t.Errorf("%s", out)
	}
	if strings.Contains(out, `\u0026`) {
		t.Error("the URI is not as one would paste it")
	}
}

func TestInspectStatus(t *testing.T) {
	module, key := generatedKey(t)
	uri := key.URI.String()
	wrong := key.URI
	wrong.Token = "other"
	for name, c := range map[string]struct {
		lie    fault.Quirk
		args   []string
		status int
		out    string
		said   string
	}{
		"no arguments":   {0, nil, 2, "", "--help"},
		"both":           {0, []string{"--key", uri, "--module", "/m.so"}, 2, "", "--help"},
		"more":           {0, []string{"--key", uri, "log-1"}, 2, "", "--help"},
		"unknown flag":   {0, []string{"--key", uri, "--verbose"}, 2, "", "--help"},
		"sign, no key":   {0, []string{"--module", key.URI.ModulePath, "--sign"}, 2, "", "--help"},
		"no URI":         {0, []string{"--key", "token=x"}, 2, "", "scheme pkcs11"},
		"PIN in the URI": {0, []string{"--key", "pkcs11:token=x?pin-value=12345678"}, 2, "", "pin-value is refused"},
		"no module":      {0, []string{"--module", "/nowhere.so"}, 1, "", "install it"},
		"other token":    {0, []string{"--key", wrong.String()}, 1, "Module ", `no token "other"`},
		"final try":      {fault.FinalTry, []string{"--key", uri}, 1, "OBJECTION     (fatal) one more wrong PIN locks", "not logging in"},
		"to new keys":    {fault.NotLocal, []string{"--key", uri}, 3, "OBJECTION     (new keys) CKA_LOCAL is false, want true", "Countersign objects: 0 fatal, 1 to new keys"},
		"fatal":          {fault.Extractable, []string{"--key", uri}, 3, "OBJECTION     (fatal) CKA_EXTRACTABLE is true, want false", "1 fatal, 0 to new keys"},
		"not reported":   {fault.LocalUnreported, []string{"--key", uri}, 3, "CKA_LOCAL             not reported", "1 to new keys"},
		"unknown key":    {fault.NoPublicObject, []string{"--key", uri}, 0, "note          the token does not show the public key", ""},
	} {
		t.Run(name, func(t *testing.T) {
			module.Clear()
			module.Lie(c.lie)
			out, said, status := inspection(c.args...)
			if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(said, c.said) || c.out == "" && out != "" {
				t.Errorf("%d %q\n%s", status, said, out)
			}
			if strings.Contains(out+said, "12345678") {
				t.Error("a PIN is repeated")
			}
		})
	}
	if out, _, _ := inspection("--key", uri, "--json"); strings.Contains(out, "OBJECTION") {
		t.Error("JSON with text")
	}
}

// What a token reports cannot drive the terminal.
func TestInspectPrintsPlainText(t *testing.T) {
	var b bytes.Buffer
	evil := "a\x1b[2Jb\nOBJECTION"
	flag := true
	r := hsm.Report{Module: hsm.ModuleReport{Path: evil, Manufacturer: evil}, Tokens: []*hsm.TokenReport{{
		TokenInfo: hsm.TokenInfo{Label: evil, Serial: evil, Model: evil},
		Keys:      []*hsm.KeyReport{{Label: evil, Attributes: map[string]*bool{"CKA_SIGN": &flag}, Objections: []hsm.Objection{{What: evil, Do: "x"}}}},
	}}}
	must(t, print(&b, r, false))
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "\x1b") || strings.HasPrefix(line, "OBJECTION") {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(b.String(), "a?[2Jb?OBJECTION") {
		t.Errorf("%s", &b)
	}
}
