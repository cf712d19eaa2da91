package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"countersign.dev/provenance"
)

// writeOutput leaves what the others need: consumers, monitors, auditors, the agents, the daemon.
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
	for i, k := range c.log {
		name := c.Log.Key[i].Name
		files["keyagent-"+name+".toml"] = c.agentTOML(i)
		files["evidence-"+name+".json"] = string(k.evidence)
	}
	for name, text := range files {
		if err := writeNew(filepath.Join(c.Output, name), text); err != nil {
			return err
		}
	}
	c.say("Wrote %s.\n\nThe registry's fingerprint, which consumers pin:\n\n  %s\n", c.Output, c.identity.Envelope.PayloadDigest())
	return nil
}

func writeNew(path, text string) error { return writeFile(path, []byte(text), 0o644) }

// writeFile makes a file that did not exist, with its whole content at once: killed before, it leaves no file.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	temporary, err := writeBeside(path, data, func(f *os.File) error { return f.Chmod(mode) })
	if err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return errors.Join(&fs.PathError{Op: "make", Path: path, Err: err}, os.Remove(temporary))
	}
	return syncDir(filepath.Dir(path))
}

// replaceFile exchanges the content of a file at once, and leaves its mode and its owner.
func replaceFile(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temporary, err := writeBeside(path, data, func(f *os.File) error {
		return errors.Join(f.Chmod(info.Mode().Perm()), keepOwner(f, info))
	})
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(filepath.Dir(path))
}

// writeBeside writes a file that is to be renamed to path. Until prepare it is its owner's alone.
func writeBeside(path string, data []byte, prepare func(*os.File) error) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".ceremony-*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, prepare(f), f.Sync(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// keepOwner does nothing where the owner is right, since not every file system knows owners.
func keepOwner(f *os.File, like fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	is, wanted := info.Sys().(*syscall.Stat_t), like.Sys().(*syscall.Stat_t)
	if is.Uid == wanted.Uid && is.Gid == wanted.Gid {
		return nil
	}
	return f.Chown(int(wanted.Uid), int(wanted.Gid))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
