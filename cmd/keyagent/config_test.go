package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func spki(t testing.TB, key ed25519.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	must(t, err)
	return base64.StdEncoding.EncodeToString(der)
}

func testKey(n int) ed25519.PublicKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "throw-away test key %d", n))
	return ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyagent.toml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const goodConfig = `socket = "/run/countersign/a.sock"
allow_uids = [990]
allow_users = ["root"]
state_dir = "/var/lib/keyagent"

[[log]]
origin = "registry.example/countersign/1"
key = "pkcs11:token=a;object=log-1?module-path=/nowhere/p11.so&pin-source=file:${CREDENTIALS_DIRECTORY}/pin"
public_key = "KEY1"
log_keys = ["KEY1", "KEY2", "KEY3"]
threshold = 2
`

const goodKey = `pkcs11:token=a;object=log-1?module-path=/nowhere/p11.so&pin-source=file:${CREDENTIALS_DIRECTORY}/pin`

func fill(t testing.TB, text string) string {
	for n := 1; n <= 3; n++ {
		text = strings.ReplaceAll(text, fmt.Sprintf("KEY%d", n), spki(t, testKey(n)))
	}
	return text
}

func TestLoad(t *testing.T) {
	c, err := load(writeFile(t, fill(t, goodConfig)), "/run/credentials/keyagent@a.service", nil)
	must(t, err)
	l := c.logs[0]
	if c.mode != 0o660 || len(c.uids) != 2 || c.uids[1] != 0 || c.ownUID || len(c.logs) != 1 || len(l.Keys) != 3 || l.Threshold != 2 ||
		c.callTimeout != 5*time.Second || c.recycleAfter != 1_000_000 ||
		c.confine != confineAuto || c.allowNetwork || !l.public.Equal(testKey(1)) || l.source.pin(nil) != (pinned{"a", "", "/run/credentials/keyagent@a.service/pin"}) {
		t.Fatalf("loaded %+v", c)
	}
	sealed := strings.Replace(goodConfig, goodKey, "tpm:srk=000b"+strings.Repeat("0", 64)+"?sealed-path=/x/s&device=/d&approval-path=/y/a&pin-source=file:${CREDENTIALS_DIRECTORY}/pin", 1)
	c, err = load(writeFile(t, fill(t, sealed)), "/run/credentials/x", nil)
	must(t, err)
	if p := c.logs[0].source.pin(testKey(1)); p.file != "/run/credentials/x/pin" || !strings.HasPrefix(p.token, "tpm:000b00") || p.serial != fmt.Sprintf("%x", testKey(1)) {
		t.Fatalf("sealed key: %+v", p)
	}
	for text, want := range map[string]config{
		"call_timeout = \"1s\"":   {callTimeout: time.Second, recycleAfter: 1_000_000},
		"call_timeout = \"1m\"":   {callTimeout: time.Minute, recycleAfter: 1_000_000},
		"recycle_after = 0":       {callTimeout: 5 * time.Second},
		"recycle_after = 5000000": {callTimeout: 5 * time.Second, recycleAfter: 5_000_000},
	} {
		c, err := load(writeFile(t, text+"\n"+fill(t, goodConfig)), "/run/credentials/x", nil)
		if err != nil || c.callTimeout != want.callTimeout || c.recycleAfter != want.recycleAfter {
			t.Errorf("%s: loaded %+v, %v", text, c, err)
		}
	}
	c, err = load(writeFile(t, fill(t, strings.Replace(goodConfig, "${CREDENTIALS_DIRECTORY}", "/etc/pins", 1))), "", nil)
	must(t, err)
	if p := c.logs[0].source.pin(nil); p.file != "/etc/pins/pin" {
		t.Fatalf("PIN file %s", p.file)
	}
}

func TestLoadRefuses(t *testing.T) {
	second := goodConfig[strings.Index(goodConfig, "[[log]]"):]
	tests := map[string]struct{ old, new, want string }{
		"unknown key":            {"threshold = 2", "threshold = 2\ncolour = 1", "line 12"},
		"another case":           {"threshold", "Threshold", "line 11"},
		"not TOML":               {"threshold = 2", "threshold = ", "line 11"},
		"relative socket":        {"/run/countersign/a.sock", "a.sock", "absolute"},
		"no state directory":     {`state_dir = "/var/lib/keyagent"`, "", "absolute"},
		"decimal mode":           {"allow_uids", "socket_mode = \"0698\"\nallow_uids", "octal"},
		"set-uid mode":           {"allow_uids", "socket_mode = \"4660\"\nallow_uids", "octal"},
		"call too short":         {"allow_uids", "call_timeout = \"999ms\"\nallow_uids", "\"1s\" to \"60s\""},
		"call too long":          {"allow_uids", "call_timeout = \"61s\"\nallow_uids", "\"1s\" to \"60s\""},
		"call not a duration":    {"allow_uids", "call_timeout = \"5\"\nallow_uids", "\"1s\" to \"60s\""},
		"call as a number":       {"allow_uids", "call_timeout = 5\nallow_uids", "line 2"},
		"another confinement":    {"allow_uids", "confine = \"yes\"\nallow_uids", "\"required\""},
		"everything readable":    {"allow_uids", "allow_read = [\"/usr/..\"]\nallow_uids", "and not /"},
		"relative exception":     {"allow_uids", "allow_write = [\"/a\", \"b\"]\nallow_uids", "allow_write: \"b\""},
		"sealed, no device":      {"pkcs11:token=a;object=log-1?module-path=/nowhere/p11.so&", "tpm:srk=000b" + strings.Repeat("0", 64) + "?sealed-path=/s&approval-path=/a&", "lacks device"},
		"sealed, no approvals":   {"pkcs11:token=a;object=log-1?module-path=/nowhere/p11.so&", "tpm:srk=000b" + strings.Repeat("0", 64) + "?sealed-path=/s&device=/d&", "lacks approval-path"},
		"sealed, no PIN file":    {goodKey, "tpm:srk=000b" + strings.Repeat("0", 64) + "?sealed-path=/s&device=/d&approval-path=/a", "no pin-source"},
		"sealed to whatever":     {goodKey, "tpm:?sealed-path=/s&device=/d&approval-path=/a&pin-source=file:/p", "lacks srk"},
		"recycling backwards":    {"allow_uids", "recycle_after = -1\nallow_uids", "line 2"},
		"negative uid":           {"990", "-1", "not between 0"},
		"unknown user":           {`"root"`, `"no-such-user-here"`, "no-such-user-here"},
		"nobody allowed":         {"allow_uids = [990]\nallow_users = [\"root\"]", "", "nobody may ask"},
		"no log":                 {second, "", "nothing to guard"},
		"a log twice":            {second, second + second, "one log, one key"},
		"not a URI":              {"pkcs11:", "file:", "scheme pkcs11"},
		"a PIN in the URI":       {"pin-source=file:${CREDENTIALS_DIRECTORY}/pin", "pin-value=1234", "pin-value"},
		"no PIN file":            {"&pin-source=file:${CREDENTIALS_DIRECTORY}/pin", "", "pin-source"},
		"variable elsewhere":     {"token=a", "token=${CREDENTIALS_DIRECTORY}", "token"},
		"public key not a log's": {`public_key = "KEY1"`, `public_key = "` + spki(t, testKey(4)) + `"`, "not one of the log's"},
		"public key missing":     {`public_key = "KEY1"`, "", "public_key"},
		"log key garbled":        {`"KEY3"]`, `"MCowBQYDK2Vw"]`, "key 3"},
		"log key twice":          {`"KEY3"]`, `"KEY2"]`, "note key id"},
		"threshold missing":      {"threshold = 2", "", "threshold 0"},
		"threshold too high":     {"threshold = 2", "threshold = 4", "threshold 4 of 3"},
		"origin":                 {"/countersign/1", "/countersign/01", "<registry>"},
	}
	for name, tt := range tests {
		if !strings.Contains(goodConfig, tt.old) {
			t.Fatalf("%s: the good configuration has no %q", name, tt.old)
		}
		text := fill(t, strings.Replace(goodConfig, tt.old, tt.new, 1))
		if _, err := load(writeFile(t, text), "/run/credentials/x", nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := load(writeFile(t, fill(t, goodConfig)), "", nil); err == nil || !strings.Contains(err.Error(), "LoadCredential") {
		t.Errorf("no credentials directory: %v", err)
	}
}

// The worked example in the usage text is a configuration, once its keys are filled in.
func TestUsageExample(t *testing.T) {
	start, end := strings.Index(usage, "  socket      ="), strings.Index(usage, "Every key of the file")
	text := usage[start:end]
	for n := 1; n <= 3; n++ {
		text = strings.Replace(text, `["MCowBQYDK2VwAyEA..."`, `["KEY1"`, 1)
		text = strings.Replace(text, `= "MCowBQYDK2VwAyEA..."`, `= "KEY1"`, 1)
	}
	text = strings.Replace(text, `"MCowBQYDK2VwAyEA..."`, `"KEY2"`, 1)
	text = strings.Replace(text, `"MCowBQYDK2VwAyEA..."`, `"KEY3"`, 1)
	text = strings.Replace(text, `"countersignd"`, `"root"`, 1)
	c, err := load(writeFile(t, fill(t, text)), "/run/credentials/x", nil)
	if err != nil || c.socket != "/run/countersign/keyagent-a.sock" || len(c.logs[0].Keys) != 3 {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, key := range []string{"socket_mode", "allow_users", "allow_uids", "demo_own_uid", "state_dir", "call_timeout", "recycle_after", "allow_root", "confine", "allow_read", "allow_write", "allow_network", "sealed-path", "GOEXPERIMENT=runtimesecret", "pin-refused", "log_keys", "RestartPreventExitStatus=78"} {
		if !strings.Contains(usage, key) {
			t.Errorf("the usage text does not explain %s", key)
		}
	}
}
