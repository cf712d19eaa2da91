package fault

import "time"

// Fail has a function answer rv for count calls, or Always, after skip good
// ones. It takes the place of the function's Fail before it.
func (m *Module) Fail(function string, rv uint, skip, count int) {
	m.t.Helper()
	f := m.function(function)
	m.mustBeError(rv)
	f.count.Store(0)
	f.rv.Store(uint64(rv))
	f.skip.Store(uint64(skip))
	f.count.Store(number(count))
}

// FailOften has a function answer rv in so many of 10,000 calls, at random.
func (m *Module) FailOften(function string, rv uint, per10000 int) {
	m.t.Helper()
	f := m.function(function)
	m.mustBeError(rv)
	f.often.Store(0)
	f.oftenRV.Store(uint64(rv))
	f.often.Store(uint64(per10000))
}

func (m *Module) mustBeError(rv uint) {
	m.t.Helper()
	if rv == 0 {
		m.t.Fatal("CKR_OK is no fault")
	}
}

// Hang has every call of a function wait for Release.
func (m *Module) Hang(function string) {
	m.t.Helper()
	m.hang(function, forever, Always)
}

// HangFor has the next calls of a function, or Always, wait so long, or for
// Release if that comes first.
func (m *Module) HangFor(function string, d time.Duration, calls int) {
	m.t.Helper()
	m.hang(function, uint64(d), calls)
}

func (m *Module) hang(function string, ns uint64, calls int) {
	m.t.Helper()
	f := m.function(function)
	f.hangCalls.Store(0)
	f.hang.Store(ns)
	f.hangCalls.Store(number(calls))
}

// Release ends all hanging. The calls go on as if they had just been made.
func (m *Module) Release() {
	for i := range m.shared.functions {
		m.shared.functions[i].hangCalls.Store(0)
	}
	m.shared.released.Add(1)
}

// Hanging is how many calls hang now.
func (m *Module) Hanging() int {
	return m.shared.sum(func(p *process) uint64 { return p.hanging.Load() })
}

// Die has every function but C_Finalize answer rv, until Revive. The sessions
// outlive that; Reboot while it is dead for a device that was removed.
func (m *Module) Die(rv uint) {
	m.t.Helper()
	m.mustBeError(rv)
	m.shared.dead.Store(uint64(rv))
}

// Revive ends Die.
func (m *Module) Revive() { m.shared.dead.Store(0) }

// Reboot ends all sessions and logins of all processes. The sessions from
// before, and C_Sign that were not yet answered, answer rv. New ones work at
// once.
func (m *Module) Reboot(rv uint) {
	m.t.Helper()
	m.mustBeError(rv)
	for i := range m.shared.busyUntil {
		m.shared.busyUntil[i].Store(0)
	}
	m.shared.rebootRV.Store(uint64(rv))
	m.shared.reboots.Add(1)
}

// Stale has everything answer rv in processes that initialised the module
// before now, until they finalise it and initialise it again.
func (m *Module) Stale(rv uint) {
	m.t.Helper()
	m.mustBeError(rv)
	m.shared.staleRV.Store(uint64(rv))
	m.shared.stales.Add(1)
}

// Corrupt flips a bit in each signature whose number, counted from now on, is a
// multiple of every; 0 for none.
func (m *Module) Corrupt(every int) {
	m.shared.corruptEvery.Store(0)
	m.shared.corrupting.Store(0)
	m.shared.corruptEvery.Store(uint64(every))
}

// Shorten makes signatures 63 bytes long.
func (m *Module) Shorten(yes bool) { m.shared.shortSignatures.Store(flag(yes)) }

// Lie adds to what the token reports wrongly.
func (m *Module) Lie(lies ...Quirk) {
	for _, lie := range lies {
		m.shared.quirks.Or(uint64(lie))
	}
}

// Quirk is something a token reports otherwise than SoftHSM does.
type Quirk uint64

// As in enum quirk of module.c.
const (
	RawPoint        Quirk = 1 << iota // CKA_EC_POINT without its DER wrapping
	PointOnPrivate                    // CKA_EC_POINT readable on the private key
	NoPublicObject                    // public keys cannot be found
	LocalUnreported                   // no CKA_LOCAL
	NotLocal                          // CKA_LOCAL is false
	Extractable                       // CKA_EXTRACTABLE is true
	AnyMechanism                      // CKA_ALLOWED_MECHANISMS is CKM_ECDSA
	FinalTry                          // CKF_USER_PIN_FINAL_TRY
	CountLow                          // CKF_USER_PIN_COUNT_LOW
	NoUserPIN                         // no CKF_USER_PIN_INITIALIZED
	ParamsOID                         // CKA_EC_PARAMS is the OID 1.3.101.112
	ParamsPrintable                   // CKA_EC_PARAMS is the PrintableString "edwards25519"
	ParamsGNU                         // CKA_EC_PARAMS is the OID 1.3.6.1.4.1.11591.15.1
)
