package main

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign.dev/agent"
	"countersign.dev/hsm"
	"countersign.dev/strict"
	"countersign.dev/tpm"
)

// file is the configuration as written. The usage text describes each key.
type file struct {
	Socket     string   `toml:"socket"`
	SocketMode string   `toml:"socket_mode"`
	AllowUIDs  []int    `toml:"allow_uids"`
	AllowUsers []string `toml:"allow_users"`
	DemoOwnUID bool     `toml:"demo_own_uid"`
	AllowRoot  bool     `toml:"allow_root"`
	StateDir   string   `toml:"state_dir"`

	CallTimeout  string  `toml:"call_timeout"`
	RecycleAfter *uint64 `toml:"recycle_after"`

	Confine      string   `toml:"confine"`
	AllowRead    []string `toml:"allow_read"`
	AllowWrite   []string `toml:"allow_write"`
	AllowNetwork bool     `toml:"allow_network"`

	Log []fileLog `toml:"log"`
}

type fileLog struct {
	Origin    string   `toml:"origin"`
	Key       string   `toml:"key"`
	PublicKey string   `toml:"public_key"`
	LogKeys   []string `toml:"log_keys"`
	Threshold int      `toml:"threshold"`
}

// config is the configuration as meant.
type config struct {
	socket   string
	mode     fs.FileMode
	uids     []int
	ownUID   bool
	root     bool // it may be root, or have capabilities
	stateDir string
	logs     []logConfig

	callTimeout  time.Duration // of a call into the module
	recycleAfter uint64        // signatures; 0 for never

	confine               string
	allowRead, allowWrite []string
	allowNetwork          bool

	users map[string]int // those that were looked up
}

const (
	shortestCall = time.Second
	longestCall  = time.Minute

	// recycleDefault keeps what SoftHSM leaks, 70 to 190 bytes for each signature, under 200 MB.
	recycleDefault = 1_000_000
)

type logConfig struct {
	agent.Log
	source source
	public ed25519.PublicKey
}

// load reads a configuration file. PIN files may lie in the directory that credentials names. Users that are known are
// not looked up again: once confined, the agent may not see the file that they are in, because another took its place.
func load(path, credentials string, known map[string]int) (*config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var f file
	if err := strict.TOML(data, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c, err := f.config(credentials, known)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (f file) config(credentials string, known map[string]int) (*config, error) {
	c := &config{
		socket: f.Socket, ownUID: f.DemoOwnUID, root: f.DemoOwnUID || f.AllowRoot, stateDir: f.StateDir, recycleAfter: recycleDefault,
		confine: cmp.Or(f.Confine, confineAuto), allowRead: f.AllowRead, allowWrite: f.AllowWrite, allowNetwork: f.AllowNetwork,
		users: maps.Clone(known),
	}
	if f.RecycleAfter != nil {
		c.recycleAfter = *f.RecycleAfter
	}
	for key, path := range map[string]string{"socket": f.Socket, "state_dir": f.StateDir} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%s = %q: give an absolute path", key, path)
		}
	}
	mode, err := strconv.ParseUint(cmp.Or(f.SocketMode, "0660"), 8, 9)
	if err != nil {
		return nil, fmt.Errorf("socket_mode = %q: give an octal mode such as \"0660\"", f.SocketMode)
	}
	c.mode = fs.FileMode(mode)
	c.callTimeout, err = time.ParseDuration(cmp.Or(f.CallTimeout, "5s"))
	if err != nil || c.callTimeout < shortestCall || c.callTimeout > longestCall {
		return nil, fmt.Errorf("call_timeout = %q: give a duration from \"1s\" to \"60s\"", f.CallTimeout)
	}
	if err := c.checkConfinement(); err != nil {
		return nil, err
	}
	if c.uids, err = c.lookUp(f.AllowUIDs, f.AllowUsers); err != nil {
		return nil, err
	}
	if len(c.uids) == 0 && !f.DemoOwnUID {
		return nil, errors.New("nobody may ask this agent: name the daemon's user in allow_users or allow_uids")
	}
	if len(f.Log) == 0 {
		return nil, errors.New("no [[log]]: this agent has nothing to guard")
	}
	for _, l := range f.Log {
		log, err := l.config(credentials)
		if err != nil {
			return nil, fmt.Errorf("log %q: %w", l.Origin, err)
		}
		for _, other := range c.logs {
			if other.Origin == log.Origin || other.public.Equal(log.public) {
				return nil, fmt.Errorf("log %q: its origin or its key is that of %q: one log, one key", l.Origin, other.Origin)
			}
		}
		c.logs = append(c.logs, log)
	}
	return c, nil
}

func (c *config) checkConfinement() error {
	if !slices.Contains([]string{confineAuto, confineRequired, confineOff}, c.confine) {
		return fmt.Errorf("confine = %q: give \"auto\", \"required\" or \"off\"", c.confine)
	}
	for key, paths := range map[string][]string{"allow_read": c.allowRead, "allow_write": c.allowWrite} {
		for _, path := range paths {
			if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
				return fmt.Errorf("%s: %q: give absolute paths of files or folders, and not /", key, path)
			}
		}
	}
	return nil
}

func (c *config) lookUp(numbers []int, names []string) ([]int, error) {
	for _, name := range names {
		uid, known := c.users[name]
		if !known {
			u, err := user.Lookup(name)
			if err != nil {
				return nil, fmt.Errorf("allow_users: %w", err)
			}
			if uid, err = strconv.Atoi(u.Uid); err != nil {
				return nil, fmt.Errorf("allow_users: %s has uid %q", name, u.Uid)
			}
			if c.users == nil {
				c.users = map[string]int{}
			}
			c.users[name] = uid
		}
		numbers = append(numbers, uid)
	}
	return numbers, nil
}

func (l fileLog) config(credentials string) (log logConfig, err error) {
	log.Log = agent.Log{Origin: l.Origin, Threshold: l.Threshold}
	if log.source, err = keySource(l.Key, credentials); err != nil {
		return log, fmt.Errorf("key: %w", err)
	}
	if log.public, err = agent.ParsePublicKey(l.PublicKey); err != nil {
		return log, fmt.Errorf("public_key: %w", err)
	}
	for i, text := range l.LogKeys {
		key, err := agent.ParsePublicKey(text)
		if err != nil {
			return log, fmt.Errorf("log_keys: key %d: %w", i+1, err)
		}
		log.Keys = append(log.Keys, key)
	}
	return log, log.Check(log.public)
}

// credentialsVariable stands, at the start of a pin-source path, for the directory of systemd's credentials.
const credentialsVariable = "${CREDENTIALS_DIRECTORY}"

// credentialsPath is the variable as a path of its own while the URI is parsed.
const credentialsPath = "/%24%7BCREDENTIALS_DIRECTORY%7D"

func keySource(text, credentials string) (source, error) {
	text = strings.Replace(text, "file:"+credentialsVariable+"/", "file:"+credentialsPath+"/", 1)
	if strings.HasPrefix(text, "tpm:") {
		return sealedURI(text, credentials)
	}
	u, err := hsm.ParseURI(text)
	if err != nil {
		return nil, err
	}
	u.PINFile, err = pinFile(u.PINFile, credentials)
	return tokenSource{u}, err
}

func sealedURI(text, credentials string) (source, error) {
	u, err := tpm.ParseURI(text)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"srk": string(u.SRK), "device": u.Device, "sealed-path": u.SealedPath, "approval-path": u.ApprovalPath} {
		if value == "" {
			return nil, fmt.Errorf("key URI lacks %s", name)
		}
	}
	u.PINFile, err = pinFile(u.PINFile, credentials)
	return sealedSource{u}, err
}

func pinFile(path, credentials string) (string, error) {
	if path == "" {
		return "", errors.New("no pin-source: name the file that holds the PIN with ?pin-source=file:/absolute/path")
	}
	name, ok := strings.CutPrefix(path, "/"+credentialsVariable+"/")
	if !ok {
		return path, nil
	}
	if credentials == "" {
		return "", errors.New("the pin-source wants $CREDENTIALS_DIRECTORY, which is not set: start keyagent from a systemd unit with LoadCredential, or write an absolute path")
	}
	return filepath.Join(credentials, name), nil
}
