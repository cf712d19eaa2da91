package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
	"countersign.dev/strict"
)

// config is the configuration as written. The usage text describes each key.
type config struct {
	Ledger  string `toml:"ledger"`
	Signing struct {
		Listen      string `toml:"listen"`
		Certificate string `toml:"certificate"`
		Key         string `toml:"key"`
	} `toml:"signing"`
	Public *struct {
		Listen      string   `toml:"listen"`
		Registries  []string `toml:"registries"`
		Certificate string   `toml:"certificate"`
		Key         string   `toml:"key"`
	} `toml:"public"`
	Admin struct {
		Socket     string   `toml:"socket"`
		AllowUsers []string `toml:"allow_users"`
		AllowUIDs  []int    `toml:"allow_uids"`
	} `toml:"admin"`
	Registry []registryConfig `toml:"registry"`
	Caller   []callerConfig   `toml:"caller"`
}

type registryConfig struct {
	Name           string        `toml:"name"`
	FreezeFile     string        `toml:"freeze_file"`
	drainFile      string        // beside the ledger
	MaxAge         duration      `toml:"max_age"`
	QueueShare     int           `toml:"queue_share"`
	MaxBatch       int           `toml:"max_batch"`
	SignTimeout    duration      `toml:"sign_timeout"`
	AgentTimeout   duration      `toml:"agent_timeout"`
	StatusInterval *interval     `toml:"status_interval"`
	Agent          []agentConfig `toml:"agent"`
}

type agentConfig struct {
	Name      string               `toml:"name"`
	Socket    string               `toml:"socket"`
	PublicKey provenance.PublicKey `toml:"public_key"`
}

type callerConfig struct {
	Name  string   `toml:"name"`
	Keys  []string `toml:"keys"`
	Grant []struct {
		Registry   string   `toml:"registry"`
		Roles      []string `toml:"roles"`
		Namespaces []string `toml:"namespaces"`
	} `toml:"grant"`
}

// duration is a time.Duration written as "10s".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a duration such as \"10s\"", text)
	}
	*d = duration(v)
	return nil
}

// interval is a time.Duration written as "1h", or "0" for never.
type interval time.Duration

const (
	defaultStatusInterval = interval(time.Hour)
	leastStatusInterval   = interval(time.Minute)
)

func (d *interval) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as \"1h\", or \"0\" for never", text)
	}
	*d = interval(v)
	return nil
}

func loadConfig(path string) (*config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c := new(config)
	if err := strict.TOML(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *config) check() error {
	switch {
	case !filepath.IsAbs(c.Ledger):
		return errors.New("ledger: give an absolute path")
	case c.Signing.Listen == "" || c.Signing.Certificate == "" || c.Signing.Key == "":
		return errors.New("signing: listen, certificate and key must be there")
	case c.Public != nil && (c.Public.Listen == "" || (c.Public.Certificate == "") != (c.Public.Key == "")):
		return errors.New("public: listen must be there; certificate and key together or not at all")
	case !filepath.IsAbs(c.Admin.Socket):
		return errors.New("admin: socket: give an absolute path")
	case len(c.Registry) == 0:
		return errors.New("no [[registry]]: append the registry.toml that the ceremony wrote")
	case len(c.Caller) == 0:
		return errors.New("no [[caller]]: nobody could ask for a countersignature")
	}
	names := make(map[string]bool)
	for i := range c.Registry {
		r := &c.Registry[i]
		if err := provenance.CheckRegistry(r.Name); err != nil {
			return err
		}
		if names[r.Name] {
			return fmt.Errorf("registry %s is there twice", r.Name)
		}
		names[r.Name] = true
		if err := r.check(c.Ledger); err != nil {
			return fmt.Errorf("registry %s: %w", r.Name, err)
		}
	}
	if c.Public != nil {
		if len(c.Public.Registries) == 0 {
			return errors.New("public: registries: name those whose log everybody may read")
		}
		for _, name := range c.Public.Registries {
			if !names[name] {
				return fmt.Errorf("public: registries: %q is no [[registry]] here", name)
			}
		}
	}
	_, err := c.callers()
	return err
}

func (r *registryConfig) check(ledger string) error {
	if r.FreezeFile == "" {
		r.FreezeFile = filepath.Join(filepath.Dir(ledger), r.Name+".frozen")
	}
	r.drainFile = filepath.Join(filepath.Dir(ledger), r.Name+".drained")
	if r.QueueShare != 0 && r.QueueShare < 1000 {
		return errors.New("queue_share must be at least 1000: one batch call has as many lines")
	}
	if r.StatusInterval == nil {
		r.StatusInterval = new(interval)
		*r.StatusInterval = defaultStatusInterval
	}
	if *r.StatusInterval != 0 && *r.StatusInterval < leastStatusInterval {
		return errors.New("status_interval must be at least 1m: each status is an entry of the log; or \"0\" for none")
	}
	if len(r.Agent) == 0 {
		return errors.New("no [[registry.agent]]: nobody could sign")
	}
	for _, a := range r.Agent {
		if a.Name == "" || !filepath.IsAbs(a.Socket) || a.PublicKey == (provenance.PublicKey{}) {
			return fmt.Errorf("agent %q: name, absolute socket path and public_key must be there", a.Name)
		}
	}
	return nil
}

// callers gives each caller its grants; a grant for a registry that is not here is a typing error.
func (c *config) callers() ([]*signer.Caller, error) {
	var all []*signer.Caller
	seen := make(map[string]string)
	for _, cc := range c.Caller {
		if cc.Name == "" || len(cc.Keys) == 0 || len(cc.Grant) == 0 {
			return nil, fmt.Errorf("caller %q: name, keys and at least one [[caller.grant]] must be there", cc.Name)
		}
		caller := &signer.Caller{Name: cc.Name, Keys: cc.Keys}
		for _, k := range append([]string{"name " + cc.Name}, cc.Keys...) {
			if other, taken := seen[k]; taken {
				return nil, fmt.Errorf("caller %q: %s is %q's already", cc.Name, k, other)
			}
			seen[k] = cc.Name
		}
		for _, k := range cc.Keys {
			if !strings.HasPrefix(k, "sha256:") || len(k) != len("sha256:")+64 || strings.ToLower(k) != k {
				return nil, fmt.Errorf("caller %q: key %q is not sha256: and 64 lower-case hex digits", cc.Name, k)
			}
		}
		for _, g := range cc.Grant {
			grant, err := c.grant(g.Registry, g.Roles, g.Namespaces)
			if err != nil {
				return nil, fmt.Errorf("caller %q: %w", cc.Name, err)
			}
			caller.Grants = append(caller.Grants, grant)
		}
		all = append(all, caller)
	}
	return all, nil
}

func (c *config) grant(registry string, roles, namespaces []string) (signer.Grant, error) {
	g := signer.Grant{Registry: registry}
	known := false
	for _, r := range c.Registry {
		known = known || r.Name == registry
	}
	if !known {
		return g, fmt.Errorf("grant for %q, which is no [[registry]] here", registry)
	}
	if len(roles) == 0 {
		return g, fmt.Errorf("grant for %s: no roles", registry)
	}
	for _, r := range roles {
		switch role := signer.Role(r); role {
		case signer.Publish, signer.Enrol, signer.Backfill, signer.Withdraw:
			g.Roles = append(g.Roles, role)
		default:
			return g, fmt.Errorf(`grant for %s: role %q is not "publish", "enrol", "backfill" or "withdraw"`, registry, r)
		}
	}
	if namespaces != nil && len(namespaces) == 0 {
		return g, fmt.Errorf("grant for %s: namespaces is empty: leave it out for all", registry)
	}
	for _, s := range namespaces {
		ns, err := provenance.ParseNamespace(s)
		if err != nil {
			return g, fmt.Errorf("grant for %s: %w", registry, err)
		}
		g.Namespaces = append(g.Namespaces, ns)
	}
	return g, nil
}

// certificate loads a TLS certificate; its key may lie in systemd's credentials directory.
func certificate(certFile, keyFile string) (tls.Certificate, error) {
	if name, ok := strings.CutPrefix(keyFile, "${CREDENTIALS_DIRECTORY}/"); ok {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return tls.Certificate{}, errors.New("$CREDENTIALS_DIRECTORY is not set: start from a systemd unit with LoadCredential, or give an absolute path")
		}
		keyFile = filepath.Join(dir, name)
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// overflowUID stands for all users that a user namespace does not map.
const overflowUID = 65534

// adminUIDs are who may use the admin socket.
func (c *config) adminUIDs() ([]int, error) {
	uids := c.Admin.AllowUIDs
	for _, name := range c.Admin.AllowUsers {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("admin: user %s has uid %q", name, u.Uid)
		}
		uids = append(uids, uid)
	}
	if slices.Contains(uids, overflowUID) {
		return nil, fmt.Errorf("admin: uid %d is not a user: the kernel reports it for every uid it cannot map", overflowUID)
	}
	if len(uids) == 0 {
		return nil, errors.New("admin: nobody may use the socket: name users in allow_users")
	}
	return uids, nil
}
