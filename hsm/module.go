package hsm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/miekg/pkcs11"
)

// module is a PKCS#11 library in this process. Its C_Initialize and
// C_Finalize act on the whole process, so there is one module per file,
// shared and counted. It is never unloaded: many libraries crash on dlclose.
type module struct {
	path      string // without symbolic links
	ctx       *pkcs11.Ctx
	functions functions // for signing

	users int // guarded by modules

	// exclusive is held while tokens or keys are made: two of those at once
	// could pick the same free slot, and upset some libraries.
	exclusive sync.Mutex

	// loggingIn is held from looking at stopped until the token's answer, so
	// that two goroutines cannot both try a wrong PIN.
	loggingIn sync.Mutex
	stopped   latch
	accepted  acceptance
	gate      *gate
}

var modules = struct {
	sync.Mutex
	byPath      map[string]*module
	byFunctions map[functions]*module
}{byPath: map[string]*module{}, byFunctions: map[functions]*module{}}

// loadModule loads a library unless that is done already. Whoever loads it
// unloads it.
func loadModule(path string) (*module, error) {
	path, err := resolveModule(path)
	if err != nil {
		return nil, err
	}
	modules.Lock()
	defer modules.Unlock()
	m := modules.byPath[path]
	if m == nil {
		f, err := loadFunctions(path)
		if err != nil {
			return nil, err
		}
		if m = modules.byFunctions[f]; m == nil { // else one file with two names
			m = &module{path: path, ctx: pkcs11.New(path), functions: f, gate: newGate()}
			modules.byFunctions[f] = m
		}
		modules.byPath[path] = m
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

// hold counts a user more.
func (m *module) hold() {
	modules.Lock()
	defer modules.Unlock()
	m.users++
}

// unload finalises the library after its last user, unless a call is still in
// it and does not return soon: a leak is better than a crash.
func (m *module) unload(patience time.Duration) error {
	modules.Lock()
	m.users--
	last := m.users == 0 && m.gate.shut(anyEpoch)
	modules.Unlock()
	if !last {
		return nil
	}
	if !m.gate.drain(time.Second) {
		m.gate.open()
		return nil
	}
	return m.finaliseWithin(patience, m.finalise)
}

// useModule loads and initialises a library for a ceremony, which counts as
// one long call: nobody finalises the module under it.
func useModule(path string) (*module, error) {
	m, err := loadModule(path)
	if err != nil {
		return nil, err
	}
	if _, err := m.enter(); err != nil {
		return nil, errors.Join(err, m.unload(ceremonyPatience))
	}
	return m, nil
}

// release ends what useModule began.
func (m *module) release() error {
	m.gate.leave()
	return m.unload(ceremonyPatience)
}

// enter begins a call, or several, after initialising the module if it is not,
// and returns the epoch. It waits while somebody else initialises or finalises
// it. gate.leave ends it.
func (m *module) enter() (epoch uint64, err error) {
	g := m.gate
	if g.enter() {
		return g.epoch, nil
	}
	defer g.open()
	err = m.ctx.Initialize()
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return 0, fmt.Errorf("%w: module %s: check its configuration (SoftHSM: the file SOFTHSM2_CONF names and the token directory in it)", failure("C_Initialize", "", err), m.path)
	}
	return g.initialised(err == nil), nil
}

// renew finalises the module, so that the next enter initialises it, for a key
// that could not be opened in the epoch. It waits for calls under way, and
// returns an error matching ErrStuck if they do not return.
func (m *module) renew(k *Key, epoch uint64, patience time.Duration) error {
	g := m.gate
	if g.busy(k) || !g.shut(epoch) {
		return nil
	}
	if !g.drain(patience) {
		if g.giveUp(k) {
			return nil // slow for this key's patience; if hung, its own key says so
		}
		return fmt.Errorf("module %s cannot be initialised anew, because a call has not returned for %s: %w", m.path, patience, ErrStuck)
	}
	return m.finaliseWithin(patience, func() error {
		if m.foreign() {
			return nil
		}
		return m.finalise()
	})
}

// ceremonyPatience is how long a ceremony waits for C_Finalize.
const ceremonyPatience = 10 * time.Second

// finaliseWithin opens the gate when finalise has returned.
func (m *module) finaliseWithin(patience time.Duration, finalise func() error) error {
	finalised := make(chan error, 1)
	go func() {
		defer m.gate.open()
		finalised <- finalise()
	}()
	select {
	case err := <-finalised:
		return err
	case <-time.After(patience):
		return fmt.Errorf("module %s: C_Finalize has not returned for %s: %w", m.path, patience, ErrStuck)
	}
}

// foreign says that another part of the process initialised the module and has
// not finalised it. It is called with the gate shut and drained.
func (m *module) foreign() bool {
	if m.gate.ours() {
		return false
	}
	_, err := m.ctx.GetInfo()
	return !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED))
}

// finalise is called with the gate shut and drained. A module that another
// part of the process initialised is left as it is.
func (m *module) finalise() error {
	var err error
	if m.gate.ours() {
		err = m.ctx.Finalize()
	}
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		err = nil
	}
	m.gate.finalised(err == nil)
	if err != nil {
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

// acceptance remembers, by their hashes, the PINs that tokens took. The zero
// value is ready; it is used under loggingIn.
type acceptance map[string][sha256.Size]byte

func (a *acceptance) keep(token, pin string) {
	if *a == nil {
		*a = acceptance{}
	}
	(*a)[token] = sha256.Sum256([]byte(pin))
}

func (a acceptance) same(token, pin string) bool {
	hash, known := a[token]
	return known && hash == sha256.Sum256([]byte(pin))
}
