package hsm

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/miekg/pkcs11"
)

// module is a PKCS#11 library in this process. Its C_Initialize and
// C_Finalize act on the whole process, so there is one module per file,
// shared and counted. It is never unloaded: many libraries crash on dlclose.
type module struct {
	path string // without symbolic links
	ctx  *pkcs11.Ctx

	users int  // guarded by modules
	owned bool // guarded by modules: the C_Initialize was ours, so C_Finalize is

	// exclusive is held while tokens or keys are made: two of those at once
	// could pick the same free slot, and upset some libraries.
	exclusive sync.Mutex

	// loggingIn is held from looking at stopped until the token's answer, so
	// that two goroutines cannot both try a wrong PIN.
	loggingIn sync.Mutex
	stopped   latch
}

var modules = struct {
	sync.Mutex
	byPath map[string]*module
}{byPath: map[string]*module{}}

// useModule loads and initialises a library unless that is done already. The
// caller releases it after its last call.
func useModule(path string) (*module, error) {
	path, err := resolveModule(path)
	if err != nil {
		return nil, err
	}
	modules.Lock()
	defer modules.Unlock()
	m := modules.byPath[path]
	if m == nil {
		ctx := pkcs11.New(path)
		if ctx == nil {
			return nil, fmt.Errorf("PKCS#11 module %s cannot be loaded: it is not a PKCS#11 library for this machine, or a library it needs is missing (see ldd %[1]s)", path)
		}
		m = &module{path: path, ctx: ctx}
		modules.byPath[path] = m
	}
	if m.users == 0 {
		if err := m.initialize(); err != nil {
			return nil, err
		}
	}
	m.users++
	return m, nil
}

// resolveModule keeps dlopen from searching, and gives one file one name.
func resolveModule(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("PKCS#11 module %s: %w", path, err)
	}
	file, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", fmt.Errorf("PKCS#11 module %s: %w: install it (SoftHSM: apt-get install softhsm2) or correct module-path", path, err)
	}
	return file, nil
}

func (m *module) initialize() error {
	err := m.ctx.Initialize()
	m.owned = err == nil
	if err == nil || errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return nil
	}
	return fmt.Errorf("%w: module %s: check its configuration (SoftHSM: the file SOFTHSM2_CONF names and the token directory in it)", failure("C_Initialize", "", err), m.path)
}

// release finalises the library after its last user. Users release only when
// none of their calls is in flight: finalising under a call crashes.
func (m *module) release() error {
	modules.Lock()
	defer modules.Unlock()
	m.users--
	if m.users > 0 || !m.owned {
		return nil
	}
	if err := m.ctx.Finalize(); err != nil {
		return failure("C_Finalize", "", err)
	}
	return nil
}

// latch remembers for the life of the process which tokens and keys have
// stopped. The zero value is ready.
type latch struct {
	mu      sync.Mutex
	reasons map[string]error
}

// stop keeps the first reason.
func (l *latch) stop(what string, reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reasons == nil {
		l.reasons = map[string]error{}
	}
	if l.reasons[what] == nil {
		l.reasons[what] = reason
	}
}

// reason is nil while nothing stopped.
func (l *latch) reason(what string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reasons[what]
}
