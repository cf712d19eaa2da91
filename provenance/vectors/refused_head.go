package main

import (
	"slices"
	"strings"
)

// Step 6: is the entry in the log, does its head count, does the entry.

func refusedInclusions() []vector {
	const code = "inclusion-proof-invalid"
	return []vector{
		{"inclusion-entry-changed", "The statement was changed after it was logged: a space more.", bundle(func(o object) object {
			return set("statement", paddedTo(len(o.get("statement").([]byte))+1)(o.get("statement").([]byte)))(o)
		}), code},
		{"inclusion-index-other", "The index of another entry.", proofParts(func(p *proof) { p.index = "2" }), code},
		{"inclusion-index-at-size", "An index that is not in the tree.", proofParts(func(p *proof) { p.index = "5" }), code},
		{"inclusion-index-beyond", "An index far beyond the tree.", proofParts(func(p *proof) { p.index = "9007199254740991" }), code},
		{"inclusion-sibling-swapped", "Two hashes changed places.", proofParts(func(p *proof) { p.hashes[0], p.hashes[1] = p.hashes[1], p.hashes[0] }), code},
		{"inclusion-hash-changed", "A bit of a hash is another.", proofParts(func(p *proof) { p.hashes[1] = slices.Clone(p.hashes[1]); p.hashes[1][31] ^= 1 }), code},
		{"inclusion-hash-missing", "The last hash is missing.", proofParts(func(p *proof) { p.hashes = p.hashes[:2] }), code},
		{"inclusion-hash-extra", "A hash too many.", proofParts(func(p *proof) { p.hashes = append(p.hashes, make([]byte, 32)) }), code},
		{"inclusion-no-hashes", "No hashes at all.", proofParts(func(p *proof) { p.hashes = nil }), code},
		{"inclusion-other-root", "The head, well signed, is that of another tree.", heads(func(h *head) { h.root = unhex(hexSHA256([]byte("another tree"))) }), code},
		{"inclusion-other-size", "The same root, signed with another size.", heads(func(h *head) { h.size = "4" }), code},
		{"inclusion-larger-size", "The same root, signed with a larger size.", heads(func(h *head) { h.size = "9" }), code},
		{"inclusion-empty-tree", "Nothing is in the empty tree.", heads(func(h *head) { h.size, h.root = "0", unhex(hexSHA256(nil)) }), code},
		{"inclusion-leaf-as-node", "The hashes of an entry and an inner node are not the same: the proof is for the node above the entry.", proofParts(func(p *proof) {
			p.index, p.hashes = "1", p.hashes[1:]
		}), code},
		{"inclusion-statement-of-another-bundle", "Proof and statement are of two valid bundles.", bundle(func(o object) object {
			other := newStory()
			coordinate("pkg:npm/%40acme/gadget@1.2.3", "gadget-1.2.3.tgz", sha256Of("gadget-1.2.3.tgz"))(other)
			return set("proof", other.build().proofText())(o)
		}), code},
	}
}

func refusedHeads() []vector {
	const code = "checkpoint-signature-invalid"
	line := func(f func(h head) string) tell {
		return func(s *story) { s.lines = func(_ *built, h head) []string { return []string{f(h)} } }
	}
	more := func(f func(h head) string) tell {
		return addLines(func(_ *built, h head) []string { return []string{f(h)} })
	}
	return []vector{
		{"head-unknown-key", "Signed by a key that is not of the log.", signers("log-z"), code},
		{"head-unknown-key-beside", "A good signature, and one under the log's name by an unknown key: every line under it must verify.", signers(logKey, "log-z"), code},
		{"head-other-role", "Signed by the root key.", signers(rootKey), code},
		{"head-signature-wrong", "A signature over another text.", line(func(h head) string { return noteLine(h.origin, logKey.noteID(h.origin), logKey.sign([]byte("x"))) }), code},
		{"head-signature-wrong-beside", "Two of three sign and two are enough, but the third signature is wrong.", all(twoOfThree,
			more(func(h head) string {
				return noteLine(h.origin, key("log-c").noteID(h.origin), key("log-c").sign([]byte("x")))
			})), code},
		{"head-signature-order", "S of the signature has the group order added.",
			line(func(h head) string {
				return noteLine(h.origin, logKey.noteID(h.origin), plusOrder(logKey.sign([]byte(h.text()))))
			}), code},
		{"head-signature-short", "A signature of 63 bytes.",
			line(func(h head) string {
				return noteLine(h.origin, logKey.noteID(h.origin), logKey.sign([]byte(h.text()))[:63])
			}), code},
		{"head-signature-timestamped", "A witness's timestamped form, eight bytes longer, under the log's own name.",
			line(func(h head) string {
				return noteLine(h.origin, logKey.noteID(h.origin), append(make([]byte, 8), logKey.sign([]byte(h.text()))...))
			}), code},
		{"head-key-id-other", "The log's signature under the id of another key.", line(func(h head) string {
			return noteLine(h.origin, key("log-z").noteID(h.origin), logKey.sign([]byte(h.text())))
		}), code},
		{"head-witness-only", "The log's own key signed under another name: that is a witness's line.", line(func(h head) string { return logKey.signs(h, "witness.example") }), code},
		{"head-signed-without-last-newline", "The signature is over the text without its last line feed.",
			line(func(h head) string {
				return noteLine(h.origin, logKey.noteID(h.origin), logKey.sign([]byte(strings.TrimSuffix(h.text(), "\n"))))
			}), code},
		{"head-below-threshold", "One signature where the log needs two.", all(twoOfThree, signers("log-b")), code},
		{"head-threshold-raised", "The threshold was raised; the old head has too few signatures.", version(plain(set("logs",
			[]any{logOf(origin, 2, active(logKey), active("log-b"))}))), code},
		{"head-key-of-other-log", "Signed by the key of the registry's other log.", all(signers("log-d"), version(func(b *built) []edit {
			anchor := object{{"size", 77}, {"root", unhex(hexSHA256([]byte("root of the closed log")))}}
			return []edit{set("logs", []any{logOf(origin, 1, active(logKey)), closed(logOf(nextOrigin, 1, active("log-d")), anchor)})}
		})), code},
		{"head-note-ids-collide-not", "Signed by a key whose note key id is that of the log's key: only one of the two is the log's.", all(
			identity(set("logs", []any{logOf(origin, 1, active(collisionA))})), signers(collisionB)), code},
		{"head-bridge-from-elsewhere", "The bridge begins at another head than the proof's.", all(twoOfThree, signers("log-a"), grownTo(9), bridged(func(b *built) object {
			return object{{"origin", b.origin}, {"from", b.anchor(4)}, {"to", b.anchor(9)}, {"hashes", hashList(consistency(4, b.leaves))},
				{"checkpoint", note(b.headAt(9), signedBy("log-a", "log-b")(b, b.headAt(9))...)}}
		})), code},
		{"head-bridge-of-other-log", "A bridge of the registry's other log.", all(twoOfThree, signers("log-a"), grownTo(9), bridged(func(b *built) object {
			h := b.headAt(9)
			h.origin = nextOrigin
			return b.bridgeTo(9).edited([]edit{set("origin", nextOrigin), add("checkpoint", note(h, signedBy("log-a", "log-b")(b, h)...))})
		})), code},
		{"head-bridge-without-checkpoint", "The bridge leads to a head that nobody signed and no identity anchors.", all(twoOfThree, signers("log-a"), grownTo(9),
			bridged(func(b *built) object { return b.bridgeTo(9) })), code},
		{"head-bridge-below-threshold", "The newer head has too few signatures as well.", all(twoOfThree, signers("log-a"), grownTo(9),
			bridged(func(b *built) object { return b.bridgeTo(9, "log-a") })), code},
		{"head-bridge-bad-line", "The newer head has enough signatures, and a wrong one.", all(twoOfThree, signers("log-a"), grownTo(9),
			bridged(func(b *built) object { return b.bridgeTo(9, "log-a", "log-b", "log-z") })), code},
		{"head-two-bridges-do-not-add-up", "Bridges are single steps: one to 7 and one from 7 to 9 are no bridge to 9.", all(twoOfThree, signers("log-a"), grownTo(9),
			bridged(func(b *built) object { return b.bridgeTo(7) }), bridges(func(b *built) []any {
				return []any{object{{"origin", b.origin}, {"from", b.anchor(7)}, {"to", b.anchor(9)}, {"hashes", hashList(consistency(7, b.leaves))},
					{"checkpoint", note(b.headAt(9), signedBy("log-a", "log-b")(b, b.headAt(9))...)}}}
			})), code},
		{"head-anchor-bad-line", "The head is an anchor, but a line under the log's name is by an unknown key: what is there must be good.", all(signers(logKey, "log-z"),
			version(func(b *built) []edit {
				return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, b.anchor(5)), active("log-b"))})}
			})), code},
		{"head-bridged-bad-line", "A bridge proves the head, but its own signature is wrong.", all(grownTo(9), signers("log-z"),
			bridged(func(b *built) object { return b.bridgeTo(9, logKey) })), code},
		{"head-bridge-to-anchor-bad-line", "The bridge leads to an anchor, but its checkpoint has a line by an unknown key.", all(twoOfThree, signers("log-a"), grownTo(8),
			version(func(b *built) []edit {
				return []edit{set("logs", []any{logOf(origin, 2, active("log-a"), active("log-b"), ended("log-c", b.anchor(8)))})}
			}), bridged(func(b *built) object { return b.bridgeTo(8, "log-z") })), code},
		{"head-anchor-other-root", "The anchor has the head's size and another root: the key signed a fork.", all(signers("log-z"), version(func(b *built) []edit {
			return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, object{{"size", 5}, {"root", b.root(4)}}), active("log-b"))})}
		})), code},
	}
}

func refusedEnds() []vector {
	const code = "key-ended"
	endedAt := func(size int) tell {
		return version(func(b *built) []edit {
			return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, b.anchor(size)), active("log-b"))})}
		})
	}
	closedAt := func(size int) tell {
		return version(func(b *built) []edit {
			return []edit{set("logs", []any{closed(logOf(origin, 1, active(logKey)), b.anchor(size)), logOf(nextOrigin, 1, active("log-d"))})}
		})
	}
	return []vector{
		{"key-ended", "The key ended after this head; without a bridge nothing says whether the head is from before.", all(endedAt(6), grownTo(6)), code},
		{"key-ended-earlier", "The key ended before this head: it may be the thief's.", endedAt(4), code},
		{"key-ended-one-of-two", "One of the two signatures is by an ended key.", all(twoOfThree, version(func(b *built) []edit {
			return []edit{set("logs", []any{logOf(origin, 2, ended("log-a", b.anchor(4)), active("log-b"), active("log-c"))})}
		})), code},
		{"key-ended-anchor-other-root", "The anchor has this size and another root: the ended key signed a fork.", version(func(b *built) []edit {
			return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, object{{"size", 5}, {"root", b.root(4)}}), active("log-b"))})}
		}), code},
		{"key-ended-anchor-other-size", "The anchor has this root and another size.", version(func(b *built) []edit {
			return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, object{{"size", 6}, {"root", b.root(5)}}), active("log-b"))})}
		}), code},
		{"key-ended-anchor-of-other-log", "The anchor is the closed one of another log.", all(version(func(b *built) []edit {
			return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, b.anchor(4)), active("log-b")), closed(logOf(nextOrigin, 1, active("log-d")), b.anchor(5))})}
		})), code},
		{"key-ended-bridge-to-its-own", "The bridge leads to a head that only the ended key signed.", all(endedAt(4), grownTo(9),
			bridged(func(b *built) object { return b.bridgeTo(9, logKey) })), code},
		{"key-ended-bridge-from-elsewhere", "A good bridge, from another head.", all(endedAt(4), grownTo(9), bridged(func(b *built) object {
			return object{{"origin", b.origin}, {"from", b.anchor(6)}, {"to", b.anchor(9)}, {"hashes", hashList(consistency(6, b.leaves))},
				{"checkpoint", note(b.headAt(9), signedBy("log-b")(b, b.headAt(9))...)}}
		})), code},
		{"log-closed", "The log is closed; the signatures of its keys count no more, though none has ended.", all(closedAt(4)), code},
		{"log-closed-later", "Nor for a head from before the end, without a bridge.", all(closedAt(8), grownTo(8)), code},
		{"log-closed-bridge-beyond", "A bridge to a head that was signed after the log was closed.", all(closedAt(4), grownTo(9),
			bridged(func(b *built) object { return b.bridgeTo(9, logKey) })), code},
		{"excluded", "The entry is in an excluded range.", excluding(object{{"origin", origin}, {"from", 2}, {"to", 9}, {"reason", "key stolen"}}), "excluded"},
		{"excluded-first", "The range begins with the entry.", excluding(object{{"origin", origin}, {"from", 3}, {"to", 4}, {"reason", "key stolen"}}), "excluded"},
		{"excluded-for-ever", "A range without an end.", excluding(object{{"origin", origin}, {"from", 0}, {"reason", "key stolen"}}), "excluded"},
		{"excluded-publisher", "The publisher's entries are excluded.",
			excluding(object{{"origin", origin}, {"from", 0}, {"publisher", publisher.fingerprint()}, {"reason", "account taken over"}}), "excluded"},
		{"excluded-second-range", "The second range covers the entry.", excluding(object{{"origin", origin}, {"from", 0}, {"to", 3}, {"reason", "x"}},
			object{{"origin", origin}, {"from", 3}, {"reason", "y"}}), "excluded"},
		{"excluded-registry-statement", "A range without a publisher covers the registry's own statements.", all(registryWord,
			pinned(func(_ *built, p *pin) { p.require = "registry" }), excluding(object{{"origin", origin}, {"from", 0}, {"reason", "x"}})), "excluded"},
		{"expired", "Countersigned in the second in which the identity expires.", identity(set("expires", countersignedAt)), "identity-expired"},
		{"expired-by-last-version", "The last version shortened the identity's life.", version(plain(set("issued", "2026-01-05T09:00:00Z"),
			set("expires", "2026-02-01T00:00:00Z"))), "identity-expired"},
		{"expired-not-fresh", "A fresh identity is asked for, and it expires in this second.", asks(set("now", "2028-01-05T09:00:00Z"), add("fresh", true)), "identity-expired"},
	}
}

// ordered are bundles with two faults: the one that an earlier step finds is the answer.
func ordered() []vector {
	wrongHead := signers("log-z")
	wrongDigest := asks(set("digests", sha256Of("tampered")))
	return []vector{
		{"order-pin-before-bundle", "Not pinned, and a bundle that is none.", all(pins(), bundle(drop("proof"))), "not-pinned"},
		{"order-bundle-before-identity", "A malformed proof, and another identity.", all(proofParts(func(p *proof) { p.header = "x" }),
			pinned(func(_ *built, p *pin) { p.identity = digest(nil) })), "malformed"},
		{"order-identity-before-rollback", "Another identity, and a version that it does not have.", pinned(func(_ *built, p *pin) {
			p.identity, p.latest = digest(nil), latest(2, digest(nil))
		}), "identity-mismatch"},
		{"order-identity-before-checkpoint", "Another identity, and a checkpoint that is none: of the checkpoint's text nothing is read before the chain is.",
			all(noteBytes(func(s string) string { return s + "\n" }), pinned(func(_ *built, p *pin) { p.identity = digest(nil) })), "identity-mismatch"},
		{"order-checkpoint-before-statement", "A checkpoint that is none, and a name that is not expected.",
			tell(noteBytes(func(s string) string { return s + "\n" })).asking("pkg:npm/%40acme/gadget@1.0.0"), "malformed"},
		{"order-rollback-before-log", "A rolled-back identity, which does not have the log.", all(func(s *story) { s.origin = nextOrigin },
			pinned(func(_ *built, p *pin) { p.latest = latest(2, digest(nil)) })), "identity-rollback"},
		{"order-log-before-statement", "An unknown log, and a statement that is none.", all(func(s *story) { s.origin = nextOrigin },
			statement(drop("subject"))), "log-unknown"},
		{"order-statement-before-basis", "A malformed registry statement, where none is enough.", all(registryWord, predicate(drop("reason"))), "malformed"},
		{"order-basis-before-purl", "A registry statement about another package.", tell(registryWord).asking("pkg:npm/%40acme/gadget@1.0.0"), "basis-too-weak"},
		{"order-purl-before-identity-name", "Another package, and another identity in the statement.", predicate(set("identity", digest(nil))).asking("pkg:npm/%40acme/gadget@1.0.0"), "purl-mismatch"},
		{"order-names-before-namespace", "Another identity in the statement, and a name that the registry does not speak for.", all(
			predicate(set("identity", digest(nil))), version(plain(set("namespaces", texts("pkg:npm/@other/*"))))), "statement-mismatch"},
		{"order-namespace-before-digests", "A name that the registry does not speak for, and another file.", all(wrongDigest,
			version(plain(set("namespaces", texts("pkg:npm/@other/*"))))), "namespace-not-bound"},
		{"order-digests-before-enrolment", "Another file, and a certificate that is missing.", all(wrongDigest, bundle(drop("enrolment"))), "artifact-digest-mismatch"},
		{"order-enrolment-before-publishers", "An expired certificate, and a publisher that is not the pin's.", all(enrolment(set("notAfter", countersignedAt)),
			pinned(func(_ *built, p *pin) { p.publishers = []string{key("mallory").fingerprint()} })), "enrolment-invalid"},
		{"order-publishers-before-signature", "A publisher that is not the pin's, whose signature is wrong.", all(
			publicationEnvelope(within("signatures", set("sig", make([]byte, 64)))),
			pinned(func(_ *built, p *pin) { p.publishers = []string{key("mallory").fingerprint()} })), "publisher-not-pinned"},
		{"order-signature-before-inclusion", "A publication's signature that is wrong, not in the log.", all(
			publicationEnvelope(within("signatures", set("sig", make([]byte, 64)))), proofParts(func(p *proof) { p.index = "2" })), "publication-signature-invalid"},
		{"order-inclusion-before-head", "Not in the tree, whose head is not signed.", all(wrongHead, proofParts(func(p *proof) { p.index = "2" })), "inclusion-proof-invalid"},
		{"order-head-before-exclusion", "A head that is not signed, an entry that is excluded.", all(wrongHead,
			excluding(object{{"origin", origin}, {"from", 0}, {"reason", "x"}})), "checkpoint-signature-invalid"},
		{"order-exclusion-before-expiry", "Excluded, and countersigned too late.", all(identity(set("expires", countersignedAt)),
			version(plain(set("issued", "2026-01-05T09:00:00Z"), set("excluded", []any{object{{"origin", origin}, {"from", 0}, {"reason", "x"}}})))), "excluded"},
		{"order-any-purl-needs-the-bundle", "Any purl: the pin can only be looked for once the bundle is read.",
			all(pins(), bundle(drop("proof")), asks(drop("purl"), add("anyPurl", true))), "malformed"},
		{"order-any-purl-needs-the-statement", "And the statement in it.",
			all(pins(), statement(drop("subject")), asks(drop("purl"), add("anyPurl", true))), "malformed"},
		{"order-unchecked-before-refusal", "No identity at hand, and another package: what cannot be told comes first where it is needed first.",
			bundle(drop("identity")).asking("pkg:npm/%40acme/gadget@1.0.0"), "unchecked"},
	}
}
