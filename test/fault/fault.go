package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Answers that tests ask for often. Any other CKR_ number will do as well.
const (
	GeneralError         uint = 0x05
	FunctionFailed       uint = 0x06
	DeviceError          uint = 0x30
	DeviceRemoved        uint = 0x32
	OperationActive      uint = 0x90
	PINIncorrect         uint = 0xa0
	PINExpired           uint = 0xa3
	PINLocked            uint = 0xa4
	SessionCount         uint = 0xb1
	SessionHandleInvalid uint = 0xb3
	TokenNotPresent      uint = 0xe0
	UserNotLoggedIn      uint = 0x101
)

// Always is a number of calls without end.
const Always = -1

// Module is one copy of the module. Its methods may be called at any time, by
// any goroutine.
type Module struct {
	Path string // for module-path

	t         testing.TB
	shared    *control
	functions []string
}

// New makes a copy that forwards to the module at over. What it does wrong
// ends with the test, and the test fails if the copy was used wrongly.
func New(t testing.TB, over string) *Module {
	t.Helper()
	l, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return l.install(t, over)
}

func (l library) install(t testing.TB, over string) *Module {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fault.so")
	if err := os.WriteFile(path, l.file, 0o700); err != nil {
		t.Fatal(err)
	}
	shared, err := newControl(path+".control", over)
	if err != nil {
		t.Fatal(err)
	}
	m := &Module{path, t, shared, l.functions}
	t.Cleanup(func() {
		m.Clear()
		for _, misuse := range m.Misuse() {
			t.Error(misuse)
		}
	})
	return m
}

func (m *Module) function(name string) *function {
	m.t.Helper()
	i := slices.Index(m.functions, name)
	if i < 0 || name == "C_GetFunctionList" || name == "C_WaitForSlotEvent" {
		m.t.Fatalf("the fault module does not handle %s", name)
	}
	return &m.shared.functions[i]
}

// Latency is what each C_Sign takes.
func (m *Module) Latency(d time.Duration) { m.shared.latency.Store(uint64(d)) }

// Jitter is what each C_Sign takes longer, at most.
func (m *Module) Jitter(d time.Duration) { m.shared.jitter.Store(uint64(d)) }

// Engines is how many C_Sign the device works on at once; 0 for no limit.
func (m *Module) Engines(n int) {
	m.t.Helper()
	if n < 0 || n > engines {
		m.t.Fatalf("%d engines", n)
	}
	m.shared.engines.Store(uint64(n))
}

// SessionCap is how many sessions a process may have open; 0 for no limit.
func (m *Module) SessionCap(n int) { m.shared.sessionCap.Store(uint64(n)) }

// ReportSessionCap has the token say its cap in ulMaxSessionCount.
func (m *Module) ReportSessionCap(yes bool) { m.shared.sessionCapReported.Store(flag(yes)) }

// Rename exchanges two mechanism numbers: where the caller says one of them,
// the module below is told the other. It covers C_SignInit, C_GenerateKeyPair,
// C_GetMechanismList, C_GetMechanismInfo, CKA_ALLOWED_MECHANISMS and
// CKA_KEY_GEN_MECHANISM. It is for what lies between two copies and knows only
// one of the numbers.
func (m *Module) Rename(caller, below uint) {
	m.t.Helper()
	for i := range m.shared.renames {
		if r := &m.shared.renames[i]; r.caller.Load() == 0 {
			r.below.Store(uint64(below))
			r.caller.Store(uint64(caller))
			return
		}
	}
	m.t.Fatalf("more than %d renamed mechanisms", renames)
}

// Clear ends faults, hanging, death, a session cap, wrong signatures and lies.
// The device's speed, the renamed mechanisms and what was counted stay, and a
// stale module stays stale until it is initialised again.
func (m *Module) Clear() {
	for i := range m.shared.functions {
		f := &m.shared.functions[i]
		f.count.Store(0)
		f.often.Store(0)
	}
	m.shared.sessionCap.Store(0)
	m.shared.sessionCapReported.Store(0)
	m.shared.quirks.Store(0)
	m.Corrupt(0)
	m.Shorten(false)
	m.Revive()
	m.Release()
}

func flag(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func number(calls int) uint64 {
	if calls == Always {
		return forever
	}
	return uint64(calls)
}

// Misuse says what was done that crashes other modules, and forgets it.
func (m *Module) Misuse() (found []string) {
	if n := m.shared.earlyFinalises.Swap(0); n != 0 {
		found = append(found, fmt.Sprintf("C_Finalize came %d times while another call was in flight", n))
	}
	if n := m.shared.sharedSessions.Swap(0); n != 0 {
		found = append(found, fmt.Sprintf("a session was used %d times while another call was using it", n))
	}
	return found
}
