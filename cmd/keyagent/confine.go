package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// confinement is what the agent leaves itself, besides what it has open: files and folders with all that is in them, and
// the network or not. It executes nothing but itself, starts no process, and looks into none.
//
// It has two halves. Landlock is about files and is the kernel's to have; seccomp is about the rest. Both stay when the
// program is executed anew, and neither can be loosened. So a successor is confined as its predecessor was, and applies
// nothing: a process can be confined sixteen times only.
type confinement struct {
	mode    string   // one of the following
	read    []string // sorted
	write   []string // sorted
	network bool
}

const (
	confineAuto     = "auto"     // as far as the kernel can
	confineRequired = "required" // or not at all
	confineOff      = "off"
)

// digest tells confinements apart. It is "" for none.
func (c confinement) digest() string {
	if c.mode == confineOff {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q %t", c.mode, c.read, c.write, c.network))
	return fmt.Sprintf("%x", sum[:16])
}

// String is for an operator who looks for what to allow.
func (c confinement) String() string {
	if c.mode == confineOff {
		return "not confined"
	}
	return fmt.Sprintf("confined (%s), network: %t\n  may read %s\n  may read and write %s", c.mode, c.network, strings.Join(c.read, " "), strings.Join(c.write, " "))
}

var errConfinedOtherwise = errors.New("the agent is confined as its configuration was when it started, and that was changed: restart it")

// confine is called before any module is loaded and any PIN is read. had is the digest of what a predecessor left.
func (c confinement) confine(binary, had string, log *slog.Logger) error {
	switch {
	case had != "" && had != c.digest():
		return errConfinedOtherwise
	case had != "":
		return c.verify(landlockVersion() > 0, filterAvailable())
	case c.mode == confineOff:
		log.Warn(`not confined, since the configuration has confine = "off"`)
		return nil
	}
	version, filter := landlockVersion(), filterAvailable()
	if err := c.enough(version, filter); err != nil {
		return err
	}
	if version > 0 {
		if err := c.restrictFiles(binary); err != nil {
			return fmt.Errorf("confine: landlock: %w", err)
		}
	} else {
		log.Warn("the kernel has no landlock: the agent may use all files that its user may")
	}
	if filter {
		if err := c.restrictCalls(); err != nil {
			return fmt.Errorf("confine: seccomp: %w", err)
		}
	} else {
		log.Warn("the kernel has no seccomp filters: the agent may use the network and start processes")
	}
	if err := c.verify(version > 0, filter); err != nil {
		return err
	}
	log.Info("confined", "landlock", version, "seccomp", filter, "network", c.network)
	return nil
}

// enough refuses a kernel that lacks what the configuration requires.
func (c confinement) enough(landlock int, filter bool) error {
	if c.mode == confineRequired && (landlock == 0 || !filter) {
		return fmt.Errorf(`confine = "required", but the kernel has landlock %d and seccomp filters: %t. Use another kernel, or write confine = "auto" and do with less`, landlock, filter)
	}
	return nil
}

// verify tries what must not work.
func (c confinement) verify(files, calls bool) error {
	if f, err := os.Open("/"); files && !errors.Is(err, fs.ErrPermission) {
		f.Close()
		return fmt.Errorf("confine: / can be read after all (%v)", err)
	}
	if fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0); calls && err != unix.EAFNOSUPPORT {
		unix.Close(fd)
		return fmt.Errorf("confine: raw network packets are possible after all (%v)", err)
	}
	return nil
}
