package main

import "slices"

// What is verified: chains of identities, keys that ended, logs that closed, bridges, exclusions.

func validIdentities() []vector {
	return slices.Concat(validChains(), validEnds(), validExclusions(), validEnrolments())
}

func validChains() []vector {
	return []vector{
		{"valid-root-2-of-3", "The root needs two of three; all three sign.", all(
			identity(set("root", rootOf(2, "root-a", "root-b", "root-c"))), identitySigners("root-c", "root-a", "root-b")), ""},
		{"valid-chain-of-3", "Version 2 replaces one of three root keys: root-b counts for both thresholds. Version 3 replaces all and lowers the threshold. " +
			"The fingerprint stays that of version 1.", all(
			identity(set("root", rootOf(2, "root-a", "root-b", "root-c"))), identitySigners("root-a", "root-b"),
			version(plain(set("root", rootOf(2, "root-b", "root-c", "root-d")))), versionSigners(2, "root-b", "root-c"),
			version(plain(set("root", rootOf(1, "root-e")))), versionSigners(3, "root-c", "root-d", "root-e")), ""},
		{"valid-namespace-of-last-version", "Only the last version's namespaces count: version 1 did not have this one.", all(
			identity(set("namespaces", texts("pkg:npm/@other/*"))), version(plain(set("namespaces", texts("pkg:npm/@acme/widget"))))), ""},
		{"valid-same-issued", "Two versions may be issued in the same second.", version(plain(set("issued", "2026-01-05T09:00:00Z"))), ""},
		{"valid-latest-pinned", "The pin names the last version and its digest.", all(version(plain()),
			pinned(func(b *built, p *pin) { p.latest = latest(2, b.chain[1].digest()) })), ""},
		{"valid-later-than-latest", "The chain has gone on beyond the version that the pin names.", all(version(plain()), version(plain()),
			pinned(func(b *built, p *pin) { p.latest = latest(2, b.chain[1].digest()) })), ""},
		{"valid-own-identity", "The bundle carries no identity, the consumer has it.", all(bundle(drop("identity")), ownIdentity((*built).identities)), ""},
		{"valid-own-identity-longer", "The consumer's chain is longer than the bundle's and extends it.", all(version(plain()),
			ownIdentity((*built).identities), func(s *story) { s.bundle = append(s.bundle, firstVersionOnly) }), ""},
		{"valid-own-identity-shorter", "The bundle's chain is longer than the consumer's and extends it.", all(version(plain()),
			ownIdentity(func(b *built) []any { return b.identities()[:1] })), ""},
		{"valid-64-namespaces", "As many namespaces as there may be.", identity(set("namespaces", texts(manyNamespaces(64)...))), ""},
		{"valid-evidence", "Evidence about keys, by digest. Verification does not look at the documents.",
			identity(add("evidence", []any{object{{"key", logKey.fingerprint()}, {"digest", digest([]byte("an attestation"))}}})), ""},
		{"valid-identity-expired-now", "The identity has expired since. The statement is older than that, and freshness was not asked for.",
			asks(set("now", "2030-01-01T00:00:00Z")), ""},
		{"valid-fresh", "One second before the identity expires, it is fresh.", asks(set("now", "2028-01-05T08:59:59Z"), add("fresh", true)), ""},
		{"valid-before-expiry", "Countersigned in the last second before the identity expired.",
			identity(set("expires", "2026-02-03T12:00:01Z")), ""},
		{"valid-extended-expiry", "The last version's expires counts, not the first's.", all(identity(set("expires", "2026-02-01T00:00:00Z")),
			version(plain(set("expires", "2029-01-01T00:00:00Z")))), ""},
	}
}

// firstVersionOnly drops the later versions from a bundle.
func firstVersionOnly(o object) object { return set("identity", o.get("identity").([]any)[:1])(o) }

func latest(version int, digest string) string {
	return string(appendJSON([]byte("{ version = "), version)) + `, sha256 = "` + digest[len("sha256:"):] + `" }`
}

// manyNamespaces gives n patterns, one of which covers the story's package.
func manyNamespaces(n int) []string {
	list := []string{"pkg:npm/@acme/*"}
	for i := 1; i < n; i++ {
		list = append(list, "pkg:npm/@acme"+string(appendJSON(nil, i))+"/*")
	}
	return list
}

func validEnds() []vector {
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
		{"valid-key-added", "A key was added; the old one still counts.", version(plain(set("logs", []any{logOf(origin, 1, active(logKey), active("log-b"))}))), ""},
		{"valid-refreshed-bundle", "A key ended; the bundle was refreshed and its head is signed by the new key.", all(endedAt(4), signers("log-b")), ""},
		{"valid-ended-key-beside-new", "The ended key's signature is verified and not counted; the new key's is enough.", all(endedAt(4), signers(logKey, "log-b")), ""},
		{"valid-anchor-of-ended-key", "The head is the anchor at which the key ended: the root vouches for it.", endedAt(5), ""},
		{"valid-anchor-needs-no-signature", "An anchor counts by itself; the note has no line but a witness's.", all(endedAt(5), witnessOnly), ""},
		{"valid-bridge-in-bundle", "The head is signed by an ended key; the bridge in the bundle proves it a prefix of a head signed by the new one.",
			all(endedAt(6), grownTo(9), bridged(func(b *built) object { return b.bridgeTo(9, "log-b") })), ""},
		{"valid-bridge-to-anchor", "The bridge leads to the anchor, and needs no checkpoint.", all(endedAt(8), grownTo(8), bridged(func(b *built) object { return b.bridgeTo(8) })), ""},
		{"valid-bridge-beside", "The bridge is not in the bundle but at hand.", all(endedAt(6), grownTo(9),
			bridges(func(b *built) []any { return []any{b.bridgeTo(9, "log-b")} })), ""},
		{"valid-second-bridge", "The bundle's bridge leads nowhere that counts, the one at hand does.", all(endedAt(6), grownTo(9),
			bridged(func(b *built) object { return b.bridgeTo(9, logKey) }), bridges(func(b *built) []any { return []any{b.bridgeTo(9, "log-b")} })), ""},
		{"valid-bridge-of-no-length", "A bridge may lead to the same head, signed by other keys.", all(endedAt(4), bridged(func(b *built) object { return b.bridgeTo(5, "log-b") })), ""},
		{"valid-bridge-not-needed", "A head that counts does not need the bridge, wherever that leads.", all(grownTo(9), bridged(func(b *built) object { return b.bridgeTo(9, "log-z") })), ""},
		{"valid-bridge-needs-no-signature", "Nor does a prefix that a bridge proves need one.", all(grownTo(9), witnessOnly,
			bridged(func(b *built) object { return b.bridgeTo(9, logKey) })), ""},
		{"valid-bridge-2-of-3", "The newer head has the two signatures that it needs.", all(twoOfThree, signers("log-a"), grownTo(700),
			bridged(func(b *built) object { return b.bridgeTo(700, "log-b", "log-c") })), ""},
		{"valid-closed-log", "The log was closed at this head.", closedAt(5), ""},
		{"valid-closed-log-bridge", "The log was closed later; the bridge leads to where.", all(closedAt(8), grownTo(8), bridged(func(b *built) object { return b.bridgeTo(8) })), ""},
		{"valid-next-log", "A statement in the log that followed a closed one.", all(func(s *story) { s.origin = nextOrigin }, signers("log-d"),
			version(func(*built) []edit {
				anchor := object{{"size", 77}, {"root", unhex(hexSHA256([]byte("root of the closed log")))}}
				return []edit{set("logs", []any{closed(logOf(origin, 1, active(logKey)), anchor), logOf(nextOrigin, 1, active("log-d"))})}
			})), ""},
	}
}

// witnessOnly leaves the log's own keys out of a note.
func witnessOnly(s *story) {
	s.lines = func(_ *built, h head) []string { return []string{key("witness").signs(h, "witness.example/w1")} }
}

func closed(log, anchor object) object { return append(log, member{"closed", anchor}) }

func validExclusions() []vector {
	return []vector{
		{"valid-excluded-before", "The excluded range ends before the entry: to is not in it.", excluding(object{{"origin", origin}, {"from", 0}, {"to", 3}, {"reason", "x"}}), ""},
		{"valid-excluded-after", "The excluded range begins after the entry.", excluding(object{{"origin", origin}, {"from", 4}, {"reason", "x"}}), ""},
		{"valid-excluded-other-publisher", "Another publisher's entries are excluded.",
			excluding(object{{"origin", origin}, {"from", 0}, {"publisher", key("mallory").fingerprint()}, {"reason", "x"}}), ""},
		{"valid-excluded-publisher-of-none", "A publisher's exclusion does not touch the registry's own statements.", all(registryWord,
			pinned(func(_ *built, p *pin) { p.require = "registry" }),
			excluding(object{{"origin", origin}, {"from", 0}, {"publisher", publisher.fingerprint()}, {"reason", "x"}})), ""},
		{"valid-excluded-other-log", "Entries of another log are excluded.", all(version(func(b *built) []edit {
			return []edit{set("logs", []any{closed(logOf(origin, 1, active(logKey)), b.anchor(5)), logOf(nextOrigin, 1, active("log-d"))}),
				set("excluded", []any{object{{"origin", nextOrigin}, {"from", 0}, {"reason", "x"}}})}
		})), ""},
		{"valid-exclusion-taken-back", "The last version no longer excludes what the one before did.", all(
			excluding(object{{"origin", origin}, {"from", 0}, {"reason", "x"}}), version(plain(set("excluded", []any{})))), ""},
	}
}

func excluding(ranges ...any) tell { return version(plain(set("excluded", ranges))) }

func validEnrolments() []vector {
	replaced := version(plain(set("enrol", object{{"keys", []any{endedEnrol(enrolKey), active("enrol-b")}}})))
	return []vector{
		{"valid-enrolled-again", "The enrolment key ended; the new one signed the same certificate, and statements refer to its payload.",
			all(replaced, enrolmentSigners("enrol-b")), ""},
		{"valid-enrolled-again-beside", "The bundle's envelope is by the ended key; another around the same payload is at hand, by the new one.", all(replaced,
			enrolments(func(b *built) []any {
				d := b.enrolment
				d.signers = []key{"enrol-b"}
				return []any{d.seal(b.enrolmentPayload()).wire}
			})), ""},
		{"valid-enrolled-again-order", "The good envelope is the bundle's; the one at hand, by the ended key, does not get in its way.", all(replaced,
			enrolmentSigners("enrol-b"), enrolments(func(b *built) []any {
				d := b.enrolment
				d.signers = []key{enrolKey}
				return []any{d.seal(b.enrolmentPayload()).wire}
			})), ""},
		{"valid-enrolment-beside-unusable", "A second envelope around the payload has two signatures and is no certificate; the bundle's is one.",
			all(identity(set("enrol", object{{"keys", []any{active(enrolKey), active("enrol-b")}}})), enrolments(func(b *built) []any {
				d := b.enrolment
				d.signers = []key{enrolKey, "enrol-b"}
				return []any{d.seal(b.enrolmentPayload()).wire}
			})), ""},
		{"valid-enrolment-at-hand", "The bundle carries no enrolment, the consumer has it, and others.", all(bundle(drop("enrolment")),
			enrolments(func(b *built) []any {
				other := b.enrolment.seal(b.enrolmentPayload().edited([]edit{drop("notAfter")}))
				return []any{other.wire, b.enrolled.wire}
			})), ""},
		{"valid-enrolment-from", "Countersigned in the second in which the certificate begins.", enrolment(set("issued", countersignedAt)), ""},
		{"valid-enrolment-until", "Countersigned one second before the certificate ends.", enrolment(set("notAfter", "2026-02-03T12:00:01Z")), ""},
		{"valid-enrolment-without-end", "A certificate without an end.", enrolment(drop("notAfter")), ""},
		{"valid-enrolment-exact", "A certificate for one name.", enrolment(set("namespaces", texts("pkg:npm/@acme/widget"))), ""},
	}
}
