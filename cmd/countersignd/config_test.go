package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

func agentKey(t *testing.T) string {
	t.Helper()
	seed := sha256.Sum256([]byte("throw-away test key"))
	k, err := provenance.NewPublicKey(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return k.String()
}

func goodConfig(t *testing.T) string {
	return fmt.Sprintf(`ledger = "/var/lib/countersign/ledger"
[signing]
listen = "127.0.0.1:0"
certificate = "/etc/tls.crt"
key = "/etc/tls.key"
[public]
listen = "127.0.0.1:0"
registries = ["registry.example"]
[admin]
socket = "/run/admin.sock"
allow_users = ["root"]
[[caller]]
name = "back end"
keys = ["sha256:%s"]
[[caller.grant]]
registry = "registry.example"
roles = ["publish", "enrol", "backfill"]
namespaces = ["pkg:npm/@acme/*"]
[[registry]]
name = "registry.example"
max_age = "12h"
[[registry.agent]]
name = "a"
socket = "/run/a.sock"
public_key = %q
`, strings.Repeat("ab", 32), agentKey(t))
}

func load(t *testing.T, text string) (*config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "countersignd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadConfig(path)
}

func TestLoad(t *testing.T) {
	c, err := load(t, goodConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	callers, err := c.callers()
	if err != nil {
		t.Fatal(err)
	}
	g := callers[0].Grants[0]
	if len(g.Roles) != 3 || g.Roles[0] != signer.Publish || g.Namespaces[0].String() != "pkg:npm/@acme/*" {
		t.Errorf("grant %+v", g)
	}
	r := c.Registry[0]
	if time.Duration(*r.StatusInterval) != time.Hour || time.Duration(r.MaxAge) != 12*time.Hour || r.FreezeFile != "/var/lib/countersign/registry.example.frozen" {
		t.Errorf("registry %+v", r)
	}
	if uids, err := c.adminUIDs(); err != nil || len(uids) != 1 || uids[0] != 0 {
		t.Errorf("admin uids %v, %v", uids, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := goodConfig(t)
	caller := good[strings.Index(good, "[[caller]]"):strings.Index(good, "[[registry]]")]
	registry := good[strings.Index(good, "[[registry]]"):]
	for want, change := range map[string][2]string{
		"line 1: unknown key":     {"ledger =", "colour = 1\nledger ="},
		"ledger: give":            {`"/var/lib/countersign/ledger"`, `"ledger"`},
		"signing: listen":         {`key = "/etc/tls.key"`, ""},
		"public: listen":          {"[public]\n", "[public]\ncertificate = \"/x\"\n"},
		"whose log everybody":     {"registries = [\"registry.example\"]\n", ""},
		"\"x\" is no [[reg":       {"registries = [\"registry.example\"]", "registries = [\"x\"]"},
		"admin: socket":           {`"/run/admin.sock"`, `"admin.sock"`},
		"no [[registry]]":         {registry, ""},
		"no [[caller]]":           {caller, ""},
		"is there twice":          {registry, registry + registry},
		"lower-case host name":    {`name = "registry.example"`, `name = "Registry"`},
		"not a duration":          {`"12h"`, `"half a day"`},
		"queue_share":             {`max_age = "12h"`, "queue_share = 999"},
		"status_interval must":    {`max_age = "12h"`, `status_interval = "59s"`},
		"or \"0\" for never":      {`max_age = "12h"`, `status_interval = "-1h"`},
		"such as \"1h\"":          {`max_age = "12h"`, `status_interval = "hourly"`},
		"max_batch":               {`max_age = "12h"`, "max_batch = -1"},
		"no [[registry.agent]]":   {registry[strings.Index(registry, "[[registry.agent]]"):], ""},
		"absolute socket path":    {`"/run/a.sock"`, `"a.sock"`},
		"public key":              {agentKey(t), "MCow"},
		"name, keys and at least": {`name = "back end"`, ""},
		"is \"back end\"'s":       {caller, caller + strings.Replace(caller, "back end", "other", 1)},
		"64 lower-case hex":       {"sha256:ab", "sha256:AB"},
		"no [[registry]] here":    {`registry = "registry.example"`, `registry = "other.example"`},
		"no roles":                {`roles = ["publish", "enrol", "backfill"]`, ""},
		`role "admin"`:            {`"backfill"`, `"admin"`},
		"leave it out for all":    {`["pkg:npm/@acme/*"]`, "[]"},
		"grant for registry":      {`"pkg:npm/@acme/*"`, `"pkg:npm/@Acme*x"`},
	} {
		if !strings.Contains(good, change[0]) {
			t.Fatalf("%q: the good configuration has no %q", want, change[0])
		}
		if _, err := load(t, strings.Replace(good, change[0], change[1], 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	c, err := load(t, strings.Replace(good, `allow_users = ["root"]`, `allow_users = ["no-such-user-here"]`, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.adminUIDs(); err == nil {
		t.Error("an unknown user may use the admin socket")
	}
}

// Statuses are made unless the configuration says otherwise, and not too often.
func TestStatusInterval(t *testing.T) {
	good := goodConfig(t)
	for text, want := range map[string]time.Duration{`"0"`: 0, `"0s"`: 0, `"1m"`: time.Minute, `"24h"`: 24 * time.Hour} {
		c, err := load(t, strings.Replace(good, `max_age = "12h"`, "status_interval = "+text, 1))
		if err != nil || time.Duration(*c.Registry[0].StatusInterval) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	c, err := load(t, strings.Replace(good, `"backfill"`, `"withdraw"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	if callers, err := c.callers(); err != nil || callers[0].Grants[0].Roles[2] != signer.Withdraw {
		t.Error(callers, err)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "countersignd.toml")
	if err := os.WriteFile(path, []byte(strings.Replace(goodConfig(t), "/var/lib/countersign", dir, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--help"}, 0, "worked example"},
		{[]string{}, 2, "--config is missing"},
		{[]string{"--colour"}, 2, "--help explains"},
		{[]string{"--config", path, "more"}, 2, "unknown argument"},
		{[]string{"check", "--config", path}, 0, "registry.example: 1 agents"},
		{[]string{"check", "--config", path + ".absent"}, 1, "absent"},
		{[]string{"--config", path}, 1, dir + "/ledger"},
		{[]string{"audit", "--config", path}, 1, dir + "/ledger"},
	} {
		var out bytes.Buffer
		if status := run(tt.args, &out, &out); status != tt.status || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%q: status %d, %s", tt.args, status, out.String())
		}
	}
}

func TestCertificateNeedsCredentialsDirectory(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := certificate("/etc/tls.crt", "${CREDENTIALS_DIRECTORY}/tls.key"); err == nil || !strings.Contains(err.Error(), "LoadCredential") {
		t.Error(err)
	}
}
