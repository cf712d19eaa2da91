// Package agent stands between a signing key and everything that wants it to sign. It holds the guard, which makes one
// key sign one history of one log and nothing else; the server that the daemon reaches it by; and the daemon's client.
//
// # What an agent is for
//
// The daemon faces the network, so assume it is hostile: it wants two signed heads of one log that no tree can both
// contain, a signature over bytes of its choice, or an agent pushed so far ahead that it is useless. The agent runs
// beside the key, under another uid, and gives it none of these. An agent is small enough to be read in an hour, and
// what it promises does not depend on the daemon, the ledger or the network.
//
// # The guard
//
// A [Guard] owns one key of one [Log] and a watermark: the last [Head] it signed or recorded.
//
//   - No raw bytes. A caller gives a size, a root and a proof. The guard builds the checkpoint text (C2SP
//     tlog-checkpoint: origin, size, root, one a line, nothing else) and the key signs that text only.
//   - One history. A head is acceptable if it is the watermark itself, or if an RFC 6962 consistency proof leads to it
//     from the watermark. Smaller, or of the same size with another root, or without a proof that holds: refused, and
//     the refusal carries the watermark so that an honest daemon can see where the agent is.
//   - Durable before released. The new watermark is on disk before the signature leaves; the write runs while the
//     hardware signs, so it costs no time. If the write fails nothing leaves.
//   - Verified before released. Every signature is checked with the public key from the configuration.
//   - Recording. An agent that was away catches up with [Guard.Record]: a checkpoint that threshold distinct keys of
//     the log signed, and a proof from the watermark. A daemon holds fewer keys than that, so it cannot invent one.
//   - Latching. A write that failed, or a signature that does not verify, means that the machine is not what the guard
//     believes it is. The guard stops for good ([StoppedError]); a person inspects and restarts.
//
// Any head that extends the watermark is signed, real or invented: a guard sees hashes, not entries. So a hostile
// daemon can lead an agent on to a branch that nobody else is on. That agent is lost to the log until a ceremony
// replaces it, which withholds service and forges nothing: with a threshold over half of the keys two acceptable heads
// on different branches need one agent to sign both.
//
// A signer can stop its guard too, with a [StoppedError]: a token that refused the PIN is not asked again. And it can tell
// how its device is, by a method Health() error, which /v1/health and /v1/logs pass on.
//
// A hardware call cannot be cancelled. A caller whose context ends gets [ErrBusy], the guard stays busy until the call
// returns, and there is never more than one such call per guard. The caller asks again later: the same head is signed
// again, so repeating a request is always safe.
//
// # The watermark on disk
//
// [State] is one file per log with one record of 512 bytes, overwritten in place through O_DSYNC. A write of one
// aligned 512-byte sector is atomic on the disks we support: a power cut leaves the old record or the new one. That is
// as safe as the customary temporary file, fsync, rename and fsync of the directory, and takes a fifth of the time
// (0.10 ms against 0.55 ms where it was measured). If a disk breaks that promise, the record's SHA-256 no longer fits
// and the agent refuses to start: it never falls back to an older record, because an older record is permission to sign
// a second history. Opening a state writes its record once more, so that what was read has reached the disk even if
// the process before was killed between the page cache and the platter.
//
// The file is locked: a second process with the same state is refused. A copy of the directory, or one restored from a
// backup, is an older watermark that looks right; nothing on this machine can tell. An honest daemon sees that the agent
// is behind and has it record the stored checkpoint first. A hostile one can have such an agent sign a second history,
// as if its guard were hostile too: two acceptable heads share at least 2m-n of n agents, so one such agent makes no fork
// where 2m-n is over 1, as with 3 of 4, and makes one with 2 of 3 if the third agent lags. Do not back this directory up.
// An agent that lost it is replaced by a ceremony.
//
// # Starting again in place
//
// A PKCS#11 module that is stuck, or that leaks, is left only by leaving the process. So that nobody is refused
// meanwhile, the program executes itself: the process, its socket and its locks stay. Before that it ends its server,
// with a listener whose Close only ends Accept: who connects from then on waits in the kernel's queue. Descriptors say
// what to let through, [Inherit] and [InheritState] take it up. No other agent can slip in, since no lock is ever
// released. [Client] repeats a request whose connection broke, once, so that one lost on its way is not noticed.
//
// # The protocol
//
// HTTP/1.1 with JSON bodies over a unix socket:
//
//	POST /v1/watermark {origin}                     -> {size, root}
//	POST /v1/sign      {origin, size, root, proof}  -> {signature, watermark}
//	POST /v1/record    {origin, checkpoint, proof}  -> {size, root}
//	GET  /v1/logs                                   -> {logs: [{origin, publicKey, keyId, keyIds, threshold, watermark, device?, stopped?}]}
//	GET  /v1/health                                 -> {status: "ok", goroutines, signatures}, or stopped if any guard
//	                                                   is, or failed with 503 while a device does not sign
//
// Roots, proof hashes and signatures are canonical base64, public keys the base64 of their SubjectPublicKeyInfo, the
// checkpoint is the text of the signed note. Every member is required and no other is allowed. A refusal is
// {code, message, watermark?}:
//
//	malformed       400, 413, 404  the request cannot be read
//	forbidden       403            this uid may not ask
//	unknown-origin  404            no key here for that log
//	refused         409            the guard does not sign or record this; carries the watermark
//	failed          502            the hardware gave no signature; ask again later
//	busy            503            an operation is still running; ask again later
//	stopped         503            the guard latched; a person must look
//
// The kernel says who the peer is (SO_PEERCRED). Only listed uids are answered; root is not special, and the agent's
// own uid is refused unless the configuration calls itself a demonstration, because a daemon under the agent's uid
// could read its memory and its PIN file.
package agent
