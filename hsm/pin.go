package hsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// maxPIN bounds what is read of a PIN file; SoftHSM takes 255 bytes, devices
// far fewer.
const maxPIN = 255

// readPIN reads a PIN file: the PIN, then at most one newline. What a token
// would surely refuse is refused here, since each wrong PIN counts there.
func readPIN(path string) (string, error) {
	pin, err := readPINFile(path)
	if err != nil {
		return "", fmt.Errorf("PIN file: %w", err)
	}
	pin = strings.TrimSuffix(pin, "\n")
	switch {
	case pin == "":
		return "", fmt.Errorf("PIN file %s is empty", path)
	case len(pin) > maxPIN:
		return "", fmt.Errorf("PIN file %s holds more than %d bytes", path, maxPIN)
	case strings.ContainsFunc(pin, isControl):
		return "", fmt.Errorf("PIN file %s holds a control character or a second line: write the PIN alone, with at most one newline after it", path)
	}
	return pin, nil
}

func readPINFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block the start
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New(path + " is not a regular file")
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return "", fmt.Errorf("%s is open to every user (mode %04o): chmod o-rwx it, and change the PIN if others may have read it", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPIN+2))
	return string(b), err
}
