package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"countersign.dev/agent"
	"countersign.dev/hsm"
	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// config is what a ceremony is about to make. The usage text describes each key.
type config struct {
	Registry   string   `toml:"registry"`
	Namespaces []string `toml:"namespaces"`
	ValidDays  int      `toml:"valid_days"`
	Expires    string   `toml:"expires"`
	Module     string   `toml:"module"`
	Ledger     string   `toml:"ledger"`
	Output     string   `toml:"output"`
	DaemonUser string   `toml:"daemon_user"`
	Demo       bool     `toml:"demo"`
	Root       struct {
		Threshold int         `toml:"threshold"`
		Key       []keyConfig `toml:"key"`
	} `toml:"root"`
	Log struct {
		Threshold int         `toml:"threshold"`
		Key       []logConfig `toml:"key"`
	} `toml:"log"`
	Enrol struct {
		Key []keyConfig `toml:"key"`
	} `toml:"enrol"`

	namespaces []provenance.Namespace
	expires    time.Time
	origin     string
}

// keyConfig says where a key is to be made.
type keyConfig struct {
	Token     string `toml:"token"`
	Serial    string `toml:"serial"`
	Object    string `toml:"object"`
	Module    string `toml:"module"`
	PINFile   string `toml:"pin_file"`
	SOPINFile string `toml:"so_pin_file"`
}

// logConfig is a key of the log and the agent that will hold it.
type logConfig struct {
	keyConfig
	Name     string `toml:"name"`
	StateDir string `toml:"state_dir"`
	Socket   string `toml:"socket"`
	User     string `toml:"user"`

	TPM *tpmConfig `toml:"tpm"` // instead of a token
}

func loadConfig(path string, now time.Time) (*config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c := new(config)
	if err := strict.TOML(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.check(now); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// check refuses whatever can be refused before a token is touched.
func (c *config) check(now time.Time) error {
	if err := provenance.CheckRegistry(c.Registry); err != nil {
		return err
	}
	c.origin = c.Registry + "/countersign/1"
	if len(c.Namespaces) == 0 {
		return errors.New(`namespaces: name at least one, for example "pkg:npm/@acme/*"`)
	}
	for _, s := range c.Namespaces {
		ns, err := provenance.ParseNamespace(s)
		if err != nil {
			return fmt.Errorf("namespaces: %w", err)
		}
		c.namespaces = append(c.namespaces, ns)
	}
	if err := c.checkExpiry(now); err != nil {
		return err
	}
	if c.Root.Threshold < 1 || c.Root.Threshold > len(c.Root.Key) {
		return fmt.Errorf("root: threshold %d of %d keys", c.Root.Threshold, len(c.Root.Key))
	}
	if c.Log.Threshold < 1 || c.Log.Threshold > len(c.Log.Key) {
		return fmt.Errorf("log: threshold %d of %d keys", c.Log.Threshold, len(c.Log.Key))
	}
	if len(c.Enrol.Key) == 0 {
		return errors.New("enrol: name at least one key: without one nobody can be a publisher")
	}
	if err := c.checkKeys(); err != nil {
		return err
	}
	return c.absent()
}

func (c *config) checkExpiry(now time.Time) error {
	if (c.ValidDays == 0) == (c.Expires == "") {
		return errors.New("give either valid_days or expires")
	}
	if c.Expires == "" {
		c.expires = now.AddDate(0, 0, c.ValidDays)
	} else {
		var t provenance.Time
		if err := t.UnmarshalText([]byte(c.Expires)); err != nil {
			return fmt.Errorf("expires: %w", err)
		}
		c.expires = t.Time
	}
	if !c.expires.After(now) {
		return errors.New("the identity would be expired from the start")
	}
	return nil
}

// checkKeys completes the keys' defaults and holds each to what its role needs.
func (c *config) checkKeys() error {
	seen := make(map[string]bool)
	names := make(map[string]bool)
	for _, k := range c.keys() {
		k.Module = cmp.Or(k.Module, c.Module)
		if k.Token == "" || k.PINFile == "" || !filepath.IsAbs(k.Module) {
			return fmt.Errorf("key in token %q: token, pin_file and the absolute path of a module must be there", k.Token)
		}
		for _, pin := range []*string{&k.PINFile, &k.SOPINFile} {
			if *pin != "" && !filepath.IsAbs(*pin) {
				return fmt.Errorf("key in token %q: %q is not an absolute path", k.Token, *pin)
			}
		}
		if where := k.Module + "\n" + k.Token + "\n" + k.Serial; seen[where] {
			return fmt.Errorf("token %q is named twice: each key has a token of its own", k.Token)
		} else {
			seen[where] = true
		}
	}
	for _, k := range c.Log.Key {
		if k.Name == "" || names[k.Name] || filepath.Base(k.Name) != k.Name {
			return fmt.Errorf("log key in token %q: its name %q is missing, used twice or has a slash", k.Token, k.Name)
		}
		names[k.Name] = true
		if !filepath.IsAbs(k.StateDir) || !filepath.IsAbs(k.Socket) {
			return fmt.Errorf("log key %s: state_dir and socket must be absolute paths", k.Name)
		}
	}
	return c.checkSealedKeys()
}

// keys lists all keys to be made in tokens, with a label for those that have none.
func (c *config) keys() []*keyConfig {
	var all []*keyConfig
	add := func(k *keyConfig, label string) {
		k.Object = cmp.Or(k.Object, label)
		all = append(all, k)
	}
	for i := range c.Root.Key {
		add(&c.Root.Key[i], "root")
	}
	for i := range c.Log.Key {
		if c.Log.Key[i].TPM == nil {
			add(&c.Log.Key[i].keyConfig, "log-1")
		}
	}
	for i := range c.Enrol.Key {
		add(&c.Enrol.Key[i], "enrolment")
	}
	return all
}

// absent refuses if a file that is to be made exists.
func (c *config) absent() error {
	if !filepath.IsAbs(c.Ledger) || !filepath.IsAbs(c.Output) {
		return errors.New("ledger and output must be absolute paths")
	}
	paths := []string{c.Ledger, c.Output}
	for _, k := range c.Log.Key {
		paths = append(paths, agent.StatePath(k.StateDir, c.origin))
		if info, err := os.Stat(k.StateDir); err != nil || !info.IsDir() {
			return fmt.Errorf("log key %s: state_dir %s must exist, owned by whoever runs the ceremony and open to the agent's group", k.Name, k.StateDir)
		}
	}
	for _, k := range c.Log.Key {
		if k.TPM != nil {
			paths = append(paths, k.TPM.made()...)
		}
	}
	return refuseExisting(paths...)
}

func refuseExisting(paths ...string) error {
	for _, p := range paths {
		if there, err := exists(p); err != nil {
			return err
		} else if there {
			return fmt.Errorf("%s exists: a ceremony makes everything anew and overwrites nothing", p)
		}
	}
	return nil
}

func (k *keyConfig) uri() hsm.URI {
	return hsm.URI{Token: k.Token, Serial: k.Serial, Object: k.Object, ModulePath: k.Module, PINFile: k.PINFile}
}
