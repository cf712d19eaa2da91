package main

import (
	"bufio"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// systemFiles is what libraries and the Go runtime read on any system: other libraries, the time zone, random numbers.
var systemFiles = []string{
	"/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload",
	"/etc/localtime", "/usr/share/zoneinfo", "/usr/share/locale", "/etc/locale.alias",
	"/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
	"/dev/urandom", "/dev/random", "/dev/zero", "/sys/devices/system/cpu",
}

// moduleFiles is what PKCS#11 modules read beside that: their configuration and that of the cryptographic libraries.
var moduleFiles = []string{
	"/etc/pkcs11", "/usr/share/p11-kit", "/etc/softhsm",
	"/etc/ssl/openssl.cnf", "/etc/crypto-policies", "/usr/share/crypto-policies",
}

// networkFiles is what looking up a name takes.
var networkFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/ssl/certs"}

// confinement is what the configuration at path asks for.
func (c *config) confinement(path string) confinement {
	n := confinement{mode: c.confine, network: c.allowNetwork}
	n.read = slices.Concat(systemFiles, folders(path), c.allowRead)
	n.write = slices.Concat([]string{filepath.Dir(c.socket), c.stateDir, "/dev/null"}, c.allowWrite)
	for _, l := range c.logs {
		read, write := l.source.files()
		n.read, n.write = append(n.read, read...), append(n.write, write...)
		n.read = append(n.read, folders(l.source.pin(l.public).file)...)
	}
	if c.allowNetwork {
		n.read = append(n.read, networkFiles...)
	}
	for _, list := range []*[]string{&n.read, &n.write} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n
}

// folders are where files lie: editors and other tools put a new file in the old one's place, which is another file to
// the kernel. A folder directly below / has too much in it, and the file is taken as it is.
func folders(files ...string) (list []string) {
	for _, f := range files {
		if dir := filepath.Dir(f); filepath.Dir(dir) != "/" {
			f = dir
		}
		list = append(list, f)
	}
	return list
}

func (s sealedSource) files() (read, write []string) {
	return folders(s.SealedPath, s.ApprovalPath), []string{s.Device}
}

func (s tokenSource) files() (read, write []string) {
	read = slices.Concat(moduleFiles, folders(s.ModulePath))
	if target, err := filepath.EvalSymlinks(s.ModulePath); err == nil {
		read = append(read, folders(target)...)
	}
	config, tokens := softHSM()
	return append(read, config...), tokens
}

// softHSM finds the configuration as the library does, and the tokens that it names. Whoever uses another module has
// neither.
func softHSM() (config, tokens []string) {
	own, _ := os.UserConfigDir() // "" has no such file in it
	path := cmp.Or(os.Getenv("SOFTHSM2_CONF"), filepath.Join(own, "softhsm2/softhsm2.conf"))
	f, err := os.Open(path)
	if err != nil {
		path = "/etc/softhsm/softhsm2.conf"
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		if strings.TrimSpace(name) == "directories.tokendir" {
			tokens = append(tokens, strings.TrimSpace(value))
		}
	}
	return folders(path), tokens
}
