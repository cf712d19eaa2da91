// Package provenance is the format of Countersign and its verifier: what publishers, registries and enrolment officers
// sign, what consumers pin, and [Verify], which decides whether a file is what the pinned registry countersigned under the
// expected name. It is pure Go, opens no file, socket or device, and keeps no state.
//
// This comment says what the objects are and how they are judged. docs/format.md is the same in full, byte by byte, with a
// worked example, for those who write another implementation; testdata holds the test vectors.
//
// # The idea
//
// A publisher signs a [Publication]: this file, under this name, for this registry. The registry verifies it, stores the
// file, and appends a [Countersignature] to an append-only log (RFC 6962, SHA-256). Keys in hardware sign the heads of the
// log, and nothing else. A countersignature is the proof that the registry's statement is in a tree with a signed head.
// So one operation in the hardware covers a whole batch, what is not in the log has no proof, and after a change of keys one
// signature over the newest head vouches for the whole history.
//
// A consumer pins, for a namespace, the fingerprint of a registry's [Identity]. It then refuses every file of that namespace
// without such a proof: a package of the same name from elsewhere is not a matter of configuration any more.
//
// # Common rules
//
// All signatures are pure Ed25519 (RFC 8032) by the strict equation, S below the group order. Keys are written as base64 of
// their SubjectPublicKeyInfo (RFC 8410); encodings that are not canonical and points of small order are refused
// ([PublicKey]). A fingerprint is "sha256:" and the hex SHA-256 of the SubjectPublicKeyInfo.
//
// Every signed document is the payload of a DSSE [Envelope] (DSSE 1.0.0). Its bytes are kept and passed on as they were
// signed, never written anew. A keyid is the fingerprint of the key. One document refers to another by the SHA-256 of its
// payload.
//
// JSON is strict (package strict): no unknown, doubled or differently-cased names, no null, numbers are integers from 0 to
// 2^53-1, at most 16 levels, nothing after the document. What is optional is left out, not empty. Base64 is the standard
// alphabet with padding, in its one spelling. Times are RFC 3339 in UTC, whole seconds, "2026-02-03T12:00:00Z". A registry's
// name is a lower-case host name.
//
// # Objects
//
// [Coordinate]: the name of one file in one ecosystem, written as a purl that has exactly one accepted spelling
// ([NewCoordinate] makes it of what people write). Names that a registry folds together become one, names that it keeps
// apart stay apart. [Namespace]: one name or a literal prefix of names, pkg:npm/@acme/*.
//
// [Publication]: an in-toto Statement about one [Subject], signed by the publisher: registry, purl, signedAt, and attributes,
// which are the publisher's claims. The subject's digests always include sha256. The registry must have observed every one
// of them on the stored file before it countersigns.
//
// [Enrolment]: a certificate for a publisher's key and namespaces, signed by an enrolment key of the registry, which is not
// on the machine that countersigns: that machine cannot invent publishers. [EnrolmentEnd] stops new countersignatures under
// it; what was countersigned before stays good unless it is excluded.
//
// Log entries ([ParseEntry]): [Countersignature], which carries the publication; [RegistryStatement], the registry's word
// about a file without a publisher's signature; [Withdrawal]; [StatusStatement]; and the envelopes of identities, enrolments
// and their ends.
//
// [Identity]: one version of what a registry is: its root keys, its logs and their keys with a threshold each, its enrolment
// keys, its namespaces, what is excluded, and when it expires. A key has one role in one log. A [Chain] of versions begins
// with the one whose payload's SHA-256 is pinned. Each version is signed by enough root keys of its own and of the version
// before. Along a chain the registry's name never changes, issued never decreases, logs and their keys never vanish, an
// ended key and a closed log never come back, and an ended enrolment key stays in the list. Exactly one log is open.
//
// [Head] and [Checkpoint]: the origin, size and root of a log, and the C2SP signed note around them. [Proof]: the C2SP
// tlog-proof of one entry. [Bridge]: an RFC 6962 consistency proof from an old head to a newer one.
//
// A head counts ([Log.Counts]) if (a) its log is open and threshold keys of it signed the head that are not ended, or (b) it
// equals an anchor, which the identity names where a key ended or the log was closed, or (c) a bridge proves it a prefix
// of a head for which (a) or (b) holds. An ended key proves nothing by itself. Every signature line under the log's own name
// must be by a key of the log and verify, whichever it is; lines under other names are witnesses' and are ignored.
//
// [Pins]: the consumer's file. Per namespace: registry, identity, and where wanted the latest version known, the publishers
// accepted, whether the registry's word alone is enough, whether a refusal is enforced or reported, and how old the
// registry's status may be. What it leaves out means the stricter choice: default "reject", require "publisher", mode
// "enforce"; only a status is not required then. The longest pattern decides, an exact one before a prefix.
//
// [Bundle]: what is served beside a file: the statement, its proof, and the enrolment, identity and bridge as needed. With
// enrolment and identity in it, name, file, bundle and pin are verified without a network.
//
// [StatusDocument]: all that a registry withdrew and all enrolments that ended, up to a size of its log. It is made of the
// logs and has one spelling, so that whoever reads them can make it again. The registry commits to it by a StatusStatement,
// and serves both with a proof, as a [StatusBundle]. [Verifier.Status] makes a [Status] of that: an old mirror's bundle of a
// version that was withdrawn since is refused by it.
//
// # Verification
//
// The expected purl comes from the resolver or the lockfile, never from the bundle or the file: a valid bundle of another
// package would pass. It may leave out PyPI's file_name only where digests are expected instead of a file at hand.
//
// A [Verifier] answers many questions and does once what they have in common; [Verify] answers one. They take these steps
// in this order. The first that fails gives the answer: a [*Refusal] with the code, or
// [*Unchecked] where something that is needed is not at hand. Any other error is a mistake in the [Request].
//
//  1. The pin with the longest match on the expected purl: [NotPinned]. The shape of the bundle, of its proof, its envelopes
//     and its bridge: [Malformed].
//  2. The chain: the longest of the bundle's, the consumer's own and the status's, one extending the other, all from the
//     pinned fingerprint, of the pinned registry: [IdentityMismatch]. It contains the version that the pin names:
//     [IdentityRollback]. The checkpoint's shape: [Malformed]. Its log is in the last version: [LogUnknown]. Keys, anchors,
//     exclusions and namespaces are from here on those of the last version. Without a chain: Unchecked.
//  3. The statement's shape: [Malformed]. A registry statement where a publisher is required: [BasisTooWeak]. The purl is the
//     expected one, and the one that the publisher signed: [PurlMismatch]. Registry, identity, origin and subject are the
//     same wherever they occur: [StatementMismatch]. The registry speaks for the name: [NamespaceNotBound].
//  4. The digests: with the file, every digest of the subject was computed from it and is equal; without, at least one
//     of the whole file is expected, and all that are in both are equal: [ArtifactDigestMismatch]. A digest that was not
//     computed: Unchecked. goModHash, which covers one file of a module, never proves the whole.
//  5. The enrolment that the statement names, signed by an enrolment key that is not ended, for this registry, for the key
//     that signed the publication, which has no role in the identity, covering the purl at countersignedAt:
//     [EnrolmentInvalid]. Of several envelopes around its payload one such is enough; with none at hand: Unchecked. One of
//     the pin's publishers: [PublisherNotPinned]. The publication's signature: [PublicationSignatureInvalid].
//  6. The statement's bytes are the entry that the proof says: [InclusionProofInvalid]. The head counts:
//     [CheckpointSignatureInvalid], or [KeyEnded] where ended keys or those of a closed log would have been enough. A key
//     that signed twice: [Malformed]. Not in an excluded range: [Excluded]. countersignedAt is before the identity expires,
//     and so is now, if a fresh identity is asked for: [IdentityExpired].
//  7. With a status, which the last version must stand by too: the purl is not withdrawn: [Withdrawn]. The enrolment has not
//     ended before the statement, by its place in the logs or by countersignedAt: [EnrolmentEnded]. Where the pin limits the
//     age of a status: it is not older, nor more than five minutes ahead: [StatusTooOld]; without one: Unchecked.
//  8. The consumer's own policy: [PolicyDenied].
//
// What a good answer does not say: that there is no newer version, that the time is true (signedAt is the publisher's word,
// countersignedAt the registry's), or that attributes are facts.
//
// # Example
//
//	pins, err := provenance.ParsePins(pinsTOML)
//	if err != nil {
//		return err
//	}
//	result, err := provenance.Verify(provenance.Request{
//		Purl:     "pkg:npm/%40acme/widget@1.2.3", // from the lockfile
//		Digests:  provenance.Digests{"sha256": hex.EncodeToString(sum[:])},
//		Artifact: true, // they were computed from the file
//		Bundle:   bundle,
//		Pins:     pins,
//		Now:      time.Now(),
//	})
//	var no *provenance.Refusal
//	if errors.As(err, &no) && no.Code == provenance.KeyEnded {
//		// ask the registry for a fresh bundle
//	}
//
// # References
//
//   - RFC 6962, section 2.1: Merkle trees, inclusion and consistency proofs
//   - RFC 8032, section 5.1: Ed25519; RFC 8410: its SubjectPublicKeyInfo
//   - DSSE: https://github.com/secure-systems-lab/dsse, protocol 1.0.0
//   - in-toto Statement v1: https://github.com/in-toto/attestation
//   - C2SP signed-note, tlog-checkpoint, tlog-proof and tlog-tiles: https://c2sp.org
//   - purl: https://github.com/package-url/purl-spec
package provenance

//go:generate go run ./vectors testdata
