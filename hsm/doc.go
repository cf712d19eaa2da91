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
// # Errors
//
// The module's answers are *Error. Those after which another try does harm
// match ErrStopped: a refused PIN, because tokens lock after a few; another key
// than the pinned one; a wrong signature. The token or key they concern is then
// refused for the life of the process, without asking the device, and a restart
// is the operator's way to say "again". A service manager must not restart a
// process that ended with ErrStopped by itself. After any other error the
// session it happened in is closed, and the next signature uses a fresh one.
//
// # Processes and sessions
//
// PKCS#11 keeps its state per process: one C_Initialize, and one login per
// token, which lasts while a session is open. So a module is loaded once,
// shared by its keys, and finalised with the last; and each key holds an anchor
// session that does nothing but keep the login. A session is used by one
// goroutine at a time. A call into a module cannot be cancelled: a device that
// hangs holds up its caller and Close, and the cure is to end the process. That
// is one reason why keys are opened in a process of their own.
//
// # Ceremonies
//
// InitToken and GenerateKey make what Open only ever finds, and refuse what
// exists already. A generated key is not extractable and signs with CKM_EDDSA
// only; the attributes are read back and compared. They are the token's own
// report: they show that it was asked and agreed, not that it is hardware.
package hsm
