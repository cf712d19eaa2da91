// Package hsm makes an Ed25519 key in a PKCS#11 token a crypto.Signer.
//
// # Opening a key
//
// A key is named by a URI: module, token label, serial, key label, id, and the
// file that holds the PIN. Open insists on exactly one token, one private key
// and one public key, on a private key the token says it will not hand out, and
// on the public key the caller pinned; the token's word that it is the right
// key is never enough. Then the key must sign a random message, which nothing
// else the key signs can be confused with, before Open returns it.
//
// # Signing
//
// Only pure Ed25519 over whole messages: tokens ignore the parameters of
// Ed25519ph and Ed25519ctx, and sign something else without a word. Each
// signature is verified before it leaves the package, since a faulty one can
// give the key away.
//
// # Sessions
//
// PKCS#11 keeps its state per process: one C_Initialize, and one login per
// token, which lasts while a session is open. So a module is loaded once,
// shared by its keys, and finalised with the last; and each key holds an anchor
// session that does nothing but keep the login, beside a bounded pool of
// read-only sessions that sign, each used by one goroutine at a time. A session
// in which anything failed is closed and never used again: many devices leave
// it in the operation for ever. Where the token has no more sessions the pool
// shrinks; with one session in all, the anchor signs.
//
// # Losing a device and getting it back
//
// What the module answers has a [Class], and the class decides: another
// session, another login, another C_Initialize, or the caller's own fault. A
// signature waits for all that, up to the key's Timeout, and is repeated, which
// is harmless with Ed25519. So a device that restarts within the Timeout costs
// its callers time and no error. Recovery goes from cheap to dear: first a new
// login and a new look for the key, then C_Finalize and C_Initialize, which
// SoftHSM needs when its files were away and p11-kit when its server was, then
// the same again after pauses of up to two seconds. Each time the key found
// must be the pinned one and pass a self-test. An idle key signs a test message
// every few seconds: a module may well report a token that is gone as present.
//
// # Errors that are for good
//
// A few answers match ErrStopped, because another try does harm: a refused PIN,
// since tokens lock after a few; another key than the pinned one; a wrong
// signature. The token or key they concern is then refused for the life of the
// process, without asking the device, and a restart is the operator's way to
// say "again". A service manager must not restart a process that ended with
// ErrStopped by itself.
//
// A call into a module cannot be cancelled, and finalising a module under a
// call crashes it. So calls run in goroutines of their own, callers leave when
// their time is over, and what does not return is counted. When the device
// cannot be had without finalising, or more calls hang than there are
// sessions, the key ends with ErrStuck: the process must be left, which is one
// reason why keys are opened in a process of their own.
//
// [Key.Ended] tells of both, and [Key.Status] how a key is doing.
//
// # Ceremonies
//
// InitToken and GenerateKey make what Open only ever finds, and refuse what
// exists already. A generated key is not extractable and signs with CKM_EDDSA
// only; the attributes are read back and compared. They are the token's own
// report: they show that it was asked and agreed, not that it is hardware.
package hsm
