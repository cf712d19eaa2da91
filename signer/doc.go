// Package signer is the countersigning path: it admits publications, logs them, has key agents sign the log's heads, and
// answers with bundles.
//
// # The path of one publication
//
// A caller, known by the key of its TLS certificate, sends a publication and the digests it observed on the stored file.
// Admission runs in the caller's goroutine: the publication is decoded strictly, the caller's grant, the digests and the
// publisher's signature are checked. Then the coordinate is looked up, before anything that depends on time or on state:
// what was countersigned once is answered with the same statement and a fresh proof, whatever has changed since. Only
// then are the enrolment, the age of the signature, the namespace and the identity's expiry looked at, and the exact bytes
// of the log entry are made.
//
// The queue gives each caller a bounded share and a turn. The sequencer, one goroutine per registry, takes all that
// queued up while the last head was being signed, appends it in one transaction, has the new head signed, and answers.
// So batches grow with the load and with the slowness of the hardware, and there is no timer: an idle registry answers in
// one hardware operation, a busy one in at most two.
//
// # What is promised
//
//   - Entries are durable before a head over them is signed (invariant 1).
//   - A head is released when enough agents signed it, their signatures verified, it is stored, and so many agents hold it
//     that any later signers include one that knows it (invariant 2; see quorum).
//   - A coordinate has one content. A request that is sent again gets the same statement (invariant 4). Entries under one
//     ledger key carry ordinals: of two decisions made on the same evidence, the second fails and is made again.
//   - Every decision names the epoch of the state that it was made under; if an enrolment or identity was logged since, the
//     ledger refuses, and the item is admitted anew.
//   - A 4xx answer, an overload or a freeze says that nothing was logged. A 503 with logged: true says that the entry is
//     durable and its head is not signed yet. No answer says nothing: sending the same bytes again is always safe.
//   - The public sees nothing beyond the stored checkpoint.
//
// # What is taken back
//
// A withdrawal ends a coordinate for good: whatever asks for it is answered so, nothing is stated about it again, and no
// identity brings it back. Bundles that are elsewhere go on to verify, so the service states from time to time, and soon
// after each withdrawal or end of an enrolment, what was withdrawn and ended so far: a status is an entry like any other,
// with the digest of a document that anybody can make again from the log. Nothing but the log is kept of it: after a
// restart the document is made again, and compared with what was stated.
//
// # When agents fail
//
// Each agent has a goroutine that works for the newest head, so a slow one skips what it missed and holds up nobody. An
// agent that does not answer is tried again with growing pauses; one that comes back records the stored checkpoint before
// it signs. One whose watermark is not on our tree has diverged and is never asked again; one that latched or gave a bad
// signature has stopped, until an operator returns it. If too few are left for the holding rule, the registry is frozen.
// If a head is not signed in time, its waiters are told, the unsigned tail is signed first, and meanwhile new work is
// refused with nothing logged.
//
// The package holds no key, needs no cgo, and creates nothing: a ceremony makes ledgers, logs and identities.
package signer
