package tpm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxPIN is what a TPM takes as an authorisation value with SHA-256.
const maxPIN = 32

// ReadPIN reads a PIN file: the PIN, then at most one newline. Whoever gets the
// PIN clears it after use.
func ReadPIN(path string) ([]byte, error) {
	b, err := readFile(path, maxPIN+2, true)
	if err != nil {
		return nil, fmt.Errorf("PIN file: %w", err)
	}
	pin := bytes.TrimSuffix(b, []byte("\n"))
	if err := checkPIN(pin); err != nil {
		clear(b)
		return nil, fmt.Errorf("PIN file %s: %w", path, err)
	}
	return pin, nil
}

// checkPIN refuses what a TPM and a library may disagree about: both drop zero
// bytes at the end.
func checkPIN(pin []byte) error {
	switch {
	case len(pin) == 0:
		return errors.New("the PIN is empty")
	case len(pin) > maxPIN:
		return fmt.Errorf("the PIN is longer than the %d bytes a TPM takes", maxPIN)
	case bytes.ContainsFunc(pin, isControl):
		return errors.New("the PIN has a control character or a second line: write it alone, with at most one newline after it")
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// readFile reads a regular file of limited size; private ones must not be open
// to every user.
func readFile(path string, limit int64, private bool) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block the start
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New(path + " is not a regular file")
	}
	if mode := info.Mode().Perm(); private && mode&0o007 != 0 {
		return nil, fmt.Errorf("%s is open to every user (mode %04o): chmod o-rwx it, and change the PIN if others may have read it", path, mode)
	}
	b := make([]byte, limit+1) // one buffer, so that a PIN leaves no copies
	n, err := io.ReadFull(f, b)
	switch {
	case err == nil:
		clear(b)
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, err
	}
	return b[:n], nil
}
