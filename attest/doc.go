// Package attest says where a registry's signing key lives, in one document per
// key that anybody can check without a network, and checks it.
//
// # What a document is worth
//
// A document has claims, what a TPM signed about them if there is one, and a
// signature of the key itself. [Verify] goes through it with the trust anchors
// that its caller chose, and sorts every claim:
//
//	proven         follows from signatures and the chosen anchors
//	self-reported  the word of the machine, the token or whoever wrote the document
//	not shown      nothing in the document, or nothing the caller gave, speaks for it
//
// A contradiction anywhere refuses the whole document.
//
// Attributes of a PKCS#11 token are always self-reported. Vendors have formats of
// their own for more; a document keeps such a chain byte by byte, covered by the
// key's signature, and this package does not judge it: not shown.
//
// For a key sealed by a TPM it is proven that a TPM of the chosen makers holds a
// sealed object which only it can open, under the approver's policy and a PIN,
// and which was made in the name of this key; what the machine had measured when
// it was asked; and where the counter stood. It is never proven that the sealed
// bytes are the key's seed, since a TPM knows no Ed25519, nor that no other copy
// of the seed exists. Documents say so themselves, as "asserted-by-measured-software".
//
// # One binding
//
// Everything that is signed is signed over one value:
//
//	binding = SHA-256("countersign.dev key evidence v1" || 0x00 || SHA-256(claims))
//
// where claims are the claims as JSON without white space. The TPM's quote, its
// certification of the sealed object's creation and that of the counter carry it
// as their qualifying data; so the nonce in the claims makes all of them fresh,
// and no part can be taken from another document. A document has one form:
// [Parse] refuses every other spelling of it, so that its digest, which a
// registry's identity names, is a name for its content.
//
// # The proof of possession
//
// A key that signs checkpoints signs nothing a caller chose. So the proof is a
// signature of a text that [Document.Prove] builds by itself and that can be
// nothing else: a NUL byte, the words "countersign.dev key evidence v1", another
// NUL, and the 32 bytes of the binding. A checkpoint is a C2SP signed note, whose
// text begins with its origin and holds no control character but newline; a DSSE
// signature covers a text that begins with "DSSEv1"; and what the key signs to
// test itself begins with NUL and other words. The caller's share, a nonce and
// what the machine reported, goes in through two hashes. It is made by the
// ceremony, which opens the key itself with its PIN; the key agent's protocol has
// no message for it. A released checkpoint would need no such text, but it says
// nothing of the claims, and whoever has seen it could put it into a document of
// his own.
//
// # Whose TPM
//
// What makes an attestation key (AK) believable is that it sits in a TPM with an
// endorsement key (EK) that the maker certified. The EK cannot sign. A verifier
// encrypts a secret to EK and AK, a [Challenge]; only a TPM that has both answers.
// That convinces who made the challenge, who keeps its [Secret], and nobody else.
// For everyone else an auditor who was convinced signs an [AKCertificate], and
// whoever chose the auditor's key as an anchor need not repeat the challenge.
// The AK must be a restricted signing key, which signs nothing that looks like a
// TPM's own statement unless it is one.
//
// # Order of the checks
//
// The chain, the AK's attributes, then for each statement of the TPM signature,
// magic, type, qualifying data and signer; firmware, reset and restart counts of
// all three; the quote's selection and digest; the approval of that state; the
// sealed object's Name, attributes and policy, recomputed from the approver's key;
// the hash of its creation data and what it was made for; the counter; the proof
// of possession; and last the nonce and the age.
package attest
