package main

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"countersign.dev/agent"
	"countersign.dev/hsm"
	"countersign.dev/strict"
)

// file is the configuration as written. The usage text describes each key.
type file struct {
	Socket     string   `toml:"socket"`
	SocketMode string   `toml:"socket_mode"`
	AllowUIDs  []int    `toml:"allow_uids"`
	AllowUsers []string `toml:"allow_users"`
	DemoOwnUID bool     `toml:"demo_own_uid"`
	StateDir   string   `toml:"state_dir"`

	CallTimeout  string  `toml:"call_timeout"`
	RecycleAfter *uint64 `toml:"recycle_after"`

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
	stateDir string
	logs     []logConfig

	callTimeout  time.Duration // of a call into the module
	recycleAfter uint64        // signatures; 0 for never
}

const (
	shortestCall = time.Second
	longestCall  = time.Minute

	// recycleDefault keeps what SoftHSM leaks, 70 to 190 bytes for each signature, under 200 MB.
	recycleDefault = 1_000_000
)

type logConfig struct {
	agent.Log
	uri    hsm.URI
	public ed25519.PublicKey
}

// load reads a configuration file. PIN files may lie in the directory that credentials names.
func load(path, credentials string) (*config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var f file
	if err := strict.TOML(data, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c, err := f.config(credentials)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (f file) config(credentials string) (*config, error) {
	c := &config{socket: f.Socket, ownUID: f.DemoOwnUID, stateDir: f.StateDir, recycleAfter: recycleDefault}
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
	if c.uids, err = uids(f.AllowUIDs, f.AllowUsers); err != nil {
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

func uids(numbers []int, names []string) ([]int, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("allow_users: %w", err)
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("allow_users: %s has uid %q", name, u.Uid)
		}
		numbers = append(numbers, uid)
	}
	return numbers, nil
}

func (l fileLog) config(credentials string) (log logConfig, err error) {
	log.Log = agent.Log{Origin: l.Origin, Threshold: l.Threshold}
	if log.uri, err = keyURI(l.Key, credentials); err != nil {
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

func keyURI(text, credentials string) (hsm.URI, error) {
	u, err := hsm.ParseURI(strings.Replace(text, "file:"+credentialsVariable+"/", "file:"+credentialsPath+"/", 1))
	if err != nil {
		return hsm.URI{}, err
	}
	if u.PINFile == "" {
		return hsm.URI{}, errors.New("no pin-source: name the file that holds the PIN with ?pin-source=file:/absolute/path")
	}
	if name, ok := strings.CutPrefix(u.PINFile, "/"+credentialsVariable+"/"); ok {
		if credentials == "" {
			return hsm.URI{}, errors.New("the pin-source wants $CREDENTIALS_DIRECTORY, which is not set: start keyagent from a systemd unit with LoadCredential, or write an absolute path")
		}
		u.PINFile = filepath.Join(credentials, name)
	}
	return u, nil
}
