package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"countersign.dev/provenance"
)

// writeOutput leaves what the others need: consumers, monitors, the agents, the daemon.
func (c *ceremony) writeOutput(context.Context) error {
	if err := os.MkdirAll(c.Output, 0o755); err != nil {
		return err
	}
	files := map[string]string{
		"identity.json": string(provenance.EncodeEnvelopes([]*provenance.Envelope{c.identity.Envelope})) + "\n",
		"pins.toml":     c.pins(),
		"log.vkey":      c.vkeys(),
		"registry.toml": c.registryTOML(),
	}
	for i := range c.log {
		files["keyagent-"+c.Log.Key[i].Name+".toml"] = c.agentTOML(i)
	}
	for name, text := range files {
		if err := writeNew(filepath.Join(c.Output, name), text); err != nil {
			return err
		}
	}
	c.say("Wrote %s.\n\nThe registry's fingerprint, which consumers pin:\n\n  %s\n", c.Output, c.identity.Envelope.PayloadDigest())
	return nil
}

func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func (c *ceremony) pins() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Only %s speaks for these namespaces. Compare the identity with what the registry publishes elsewhere.\nversion = 1\ndefault = \"reject\"\n", c.Registry)
	for _, ns := range c.namespaces {
		fmt.Fprintf(&b, "\n[[pin]]\nnamespace = %q\nregistry  = %q\nidentity  = %q\nrequire   = \"publisher\"\nmode      = \"enforce\"\n",
			ns, c.Registry, c.identity.Envelope.PayloadDigest())
	}
	return b.String()
}

func (c *ceremony) vkeys() string {
	var b strings.Builder
	for _, k := range c.log {
		fmt.Fprintln(&b, k.public.VKey(c.origin))
	}
	return b.String()
}

func (c *ceremony) registryTOML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Append this to countersignd.toml.\n[[registry]]\nname = %q\n", c.Registry)
	for i, k := range c.log {
		fmt.Fprintf(&b, "\n[[registry.agent]]\nname       = %q\nsocket     = %q\npublic_key = %q\n", c.Log.Key[i].Name, c.Log.Key[i].Socket, k.public)
	}
	return b.String()
}

func (c *ceremony) agentTOML(i int) string {
	k := c.Log.Key[i]
	keys := make([]string, len(c.log))
	for j, other := range c.log {
		keys[j] = fmt.Sprintf("  %q,\n", other.public)
	}
	allow := fmt.Sprintf("allow_users = [%q]\n", c.DaemonUser)
	if c.DaemonUser == "" {
		allow = "# allow_users = [\"countersignd\"]\n"
	}
	if c.Demo {
		allow = "demo_own_uid = true\n"
	}
	return fmt.Sprintf("# Key agent %s of %s. Where systemd passes the PIN, write pin-source=file:${CREDENTIALS_DIRECTORY}/pin.\n"+
		"socket    = %q\nstate_dir = %q\n%s\n[[log]]\norigin     = %q\nkey        = %q\npublic_key = %q\nthreshold  = %d\nlog_keys   = [\n%s]\n",
		k.Name, c.Registry, k.Socket, k.StateDir, allow, c.origin, c.log[i].uri, c.log[i].public, c.Log.Threshold, strings.Join(keys, ""))
}
