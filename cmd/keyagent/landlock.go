package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	access "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// landlockVersion is 0 where the kernel has none.
func landlockVersion() int {
	version, err := access.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return version
}

// What may be done with a file, and with all files of a folder besides.
const (
	fileRead  landlock.AccessFSSet = access.AccessFSReadFile
	fileWrite landlock.AccessFSSet = fileRead | access.AccessFSWriteFile | access.AccessFSTruncate | access.AccessFSIoctlDev

	folderRead  = fileRead | access.AccessFSReadDir
	folderWrite = folderRead | fileWrite | access.AccessFSMakeReg | access.AccessFSMakeSock | access.AccessFSMakeDir |
		access.AccessFSRemoveFile | access.AccessFSRemoveDir
)

// restrictFiles leaves signals alone: kernels 6.12 to 6.14 count those between the threads of one process.
func (c confinement) restrictFiles(binary string) error {
	limits := landlock.V8
	limits.Scoped = access.ScopeAbstractUnixSocket
	if c.network {
		limits.HandledAccessNet, limits.Scoped = 0, 0
	}
	rules, err := executable(binary)
	if err != nil {
		return err
	}
	for _, path := range c.read {
		rules = allow(rules, path, fileRead, folderRead)
	}
	for _, path := range c.write {
		rules = allow(rules, path, fileWrite, folderWrite)
	}
	return limits.BestEffort().Restrict(rules...)
}

// allow passes over what is not there.
func allow(rules []landlock.Rule, path string, file, folder landlock.AccessFSSet) []landlock.Rule {
	info, err := os.Stat(path)
	if err != nil {
		return rules
	}
	if info.IsDir() {
		file = folder
	}
	return append(rules, landlock.PathAccess(file, path).IgnoreIfMissing())
}

// executable allows the program to be executed, and the loader that it names: not by their paths but as they are now. A
// program that took the place of this one is not it.
func executable(binary string) (rules []landlock.Rule, err error) {
	f, err := elf.Open(binary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	defer f.Close()
	const execute = fileRead | access.AccessFSExecute
	rules = []landlock.Rule{landlock.PathAccess(execute, binary)}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return nil, fmt.Errorf("%s: %w", binary, err)
		}
		loader := strings.TrimRight(string(name), "\x00")
		if _, err := os.Stat(loader); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: its loader %s is not there", binary, loader)
		}
		rules = append(rules, landlock.PathAccess(execute, loader))
	}
	return rules, nil
}
