package hsm_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// withPIN gives the key's configuration a PIN file of its own.
func withPIN(t *testing.T, c hsm.Config, pin string, mode os.FileMode) hsm.Config {
	t.Helper()
	c.URI.PINFile = filepath.Join(t.TempDir(), "pin")
	must(t, os.WriteFile(c.URI.PINFile, []byte(pin), 0o600))
	must(t, os.Chmod(c.URI.PINFile, mode))
	return c
}

func TestPINFileRefused(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	good, err := os.ReadFile(generated.URI.PINFile)
	must(t, err)
	pin := strings.TrimSuffix(string(good), "\n")
	module := newFaultyModule(t)
	config := module.over(generated)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"others read":    {pin, 0o604, "open to every user (mode 0604)"},
		"others write":   {pin, 0o602, "open to every user"},
		"others execute": {pin, 0o601, "open to every user"},
		"empty":          {"", 0o600, "is empty"},
		"only a newline": {"\n", 0o600, "is empty"},
		"two newlines":   {pin + "\n\n", 0o600, "a second line"},
		"Windows line":   {pin + "\r\n", 0o600, "control character"},
		"NUL":            {pin + "\x00", 0o600, "control character"},
		"too long":       {strings.Repeat("1", 256), 0o600, "more than 255 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(t, withPIN(t, config, c.text, c.mode), c.want)
			if strings.Contains(err.Error(), pin) {
				t.Errorf("the error shows the PIN: %v", err)
			}
		})
	}
	missing, directory := config, config
	missing.URI.PINFile, directory.URI.PINFile = "/nowhere/pin", t.TempDir()
	refused(t, missing, "PIN file", "/nowhere/pin")
	refused(t, directory, "not a regular file")
	if n := module.Calls("C_Login"); n != 0 {
		t.Errorf("%d logins tried with unfit PIN files", n)
	}
	for _, mode := range []os.FileMode{0o400, 0o440, 0o660} {
		key, err := hsm.Open(t.Context(), withPIN(t, config, pin, mode))
		must(t, err)
		must(t, key.Close())
	}
}

func TestWrongPINIsTriedOnce(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	module := newFaultyModule(t)
	wrong := withPIN(t, module.over(generated), "wrong-1234\n", 0o600)
	if tokenFlags(t, generated.URI)&pkcs11.CKF_USER_PIN_COUNT_LOW != 0 {
		t.Fatal("the token reports a wrong PIN before there was one")
	}

	err := refused(t, wrong, "C_Login", `"registry"`, "CKR_PIN_INCORRECT", "correct the PIN file")
	var answer *hsm.Error
	if !errors.Is(err, hsm.ErrStopped) || !errors.As(err, &answer) || answer.Code != pkcs11.CKR_PIN_INCORRECT {
		t.Fatalf("%#v", err)
	}
	if strings.Contains(err.Error(), "wrong-1234") {
		t.Errorf("the error shows the PIN: %v", err)
	}
	if tokenFlags(t, generated.URI)&pkcs11.CKF_USER_PIN_COUNT_LOW == 0 {
		t.Error("the token has not seen the wrong PIN")
	}

	// Neither the same file nor a corrected one is tried without a restart.
	for _, c := range []hsm.Config{wrong, module.over(generated)} {
		if err := refused(t, c, "not logged into again"); !errors.Is(err, hsm.ErrStopped) {
			t.Errorf("second time: %v", err)
		}
	}
	if n := module.Calls("C_Login"); n != 1 {
		t.Errorf("%d logins, want exactly 1", n)
	}
}

func TestWrongPINConcurrently(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	module := newFaultyModule(t)
	wrong := withPIN(t, module.over(generated), "wrong", 0o600)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := hsm.Open(t.Context(), wrong); !errors.Is(err, hsm.ErrStopped) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := module.Calls("C_Login"); n != 1 {
		t.Errorf("%d logins, want exactly 1", n)
	}
}

// After a restart the operator learns that somebody tried a wrong PIN.
func TestWrongPINIsReported(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	refused(t, withPIN(t, newFaultyModule(t).over(generated), "wrong", 0o600))
	var log bytes.Buffer
	c := configOf(generated) // by the plain module: another latch
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	key, err := hsm.Open(t.Context(), c)
	must(t, err)
	defer key.Close()
	if !strings.Contains(log.String(), "level=WARN msg=\"a wrong user PIN was tried") {
		t.Errorf("not reported: %s", &log)
	}
}

func TestLockedOut(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(faultyModule)
		want   string
		logins int
	}{
		"final try":   {func(m faultyModule) { m.Lie(fault.FinalTry) }, "one more wrong PIN locks it", 0},
		"no user PIN": {func(m faultyModule) { m.Lie(fault.NoUserPIN) }, "CKR_USER_PIN_NOT_INITIALIZED", 0},
		"PIN locked":  {func(m faultyModule) { m.Fail("C_Login", fault.PINLocked, 0, fault.Always) }, "the security officer must unlock", 1},
		"PIN expired": {func(m faultyModule) { m.Fail("C_Login", fault.PINExpired, 0, fault.Always) }, "set a new user PIN", 1},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := softhsm.New(t)
			generated := tokens.Key(tokens.Token("registry"), "log-1")
			module := newFaultyModule(t)
			c.spoil(module)
			for range 2 {
				if err := refused(t, module.over(generated), c.want); !errors.Is(err, hsm.ErrStopped) {
					t.Errorf("does not match ErrStopped: %v", err)
				}
			}
			if n := module.Calls("C_Login"); n != c.logins {
				t.Errorf("%d logins, want %d", n, c.logins)
			}
		})
	}
}

func TestPINFileIsAPipe(t *testing.T) {
	tokens := softhsm.New(t)
	c := configOf(tokens.Key(tokens.Token("registry"), "log-1"))
	c.URI.PINFile = filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(c.URI.PINFile, 0o600))
	refused(t, c, "not a regular file")
}
