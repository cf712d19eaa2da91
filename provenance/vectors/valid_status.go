package main

// What is verified by a consumer who has a status of the registry.

func validStatuses() []vector {
	age := func(s string) tell { return pinned(func(_ *built, p *pin) { p.statusMaxAge = s }) }
	at := func(t string) func(*statusStory) { return func(s *statusStory) { s.at = t } }
	return []vector{
		{"valid-status", "A status that lists another package and another enrolment.", status(), ""},
		{"valid-status-empty", "Nothing was ever withdrawn or ended: both lists are there, empty.", status(withdraws(), ends(nobody)), ""},
		{"valid-status-other-version", "Another version of the package was withdrawn.", status(withdraws(withdrawal("pkg:npm/%40acme/widget@1.2.4", origin, 4))), ""},
		{"valid-status-spaced", "White space between the tokens of the wrapper means nothing.", status(func(s *statusStory) {
			s.wrapperBytes = retyped(`,"proof":`, ` , "proof" : `)
		}), ""},
		{"valid-status-statement-spaced", "Nor in the statement.", status(func(s *statusStory) { s.entryBytes = retyped(`"predicate":{`, `"predicate": { `) }), ""},
		{"valid-status-covers-all-before", "The status covers every entry before its own.", status(func(s *statusStory) { s.size = 9 }), ""},
		{"valid-status-own-identity", "Neither bundle nor status carries the identity, the consumer has it.", all(bundle(drop("identity")),
			status(wrapperEdit(drop("identity"))), ownIdentity((*built).identities)), ""},
		{"valid-status-brings-identity", "The bundle carries no identity, the status does.", all(bundle(drop("identity")), status()), ""},
		{"valid-status-longer-identity", "The status brings a longer chain than the bundle.", all(version(plain()), bundle(firstVersionOnly), status()), ""},
		{"valid-status-shorter-identity", "The bundle brings a longer chain than the status, which stands by the status.", all(version(plain()),
			status(wrapperEdit(firstVersionOnly))), ""},
		{"valid-status-other-excluded", "The entry of another status is excluded.", all(excluding(object{{"origin", origin}, {"from", 10}, {"reason", "key stolen"}}), status()), ""},
		{"valid-status-publisher-excluded", "A range for a publisher does not cover the registry's own entries.", all(
			excluding(object{{"origin", origin}, {"from", 9}, {"publisher", key("mallory").fingerprint()}, {"reason", "key stolen"}}), status()), ""},
		{"valid-status-max-age", "One hour old, where the pin allows 72.", all(age("72h"), status()), ""},
		{"valid-status-exact-age", "Exactly as old as the pin allows.", all(age("60m"), status()), ""},
		{"valid-status-seconds", "The same in seconds.", all(age("3600s"), status()), ""},
		{"valid-status-five-minutes-ahead", "The registry's clock is five minutes ahead.", all(age("72h"), status(at("2026-03-01T00:05:00Z"))), ""},
		{"valid-status-no-age", "Without status_max_age a status is used whatever its age.", status(at("2026-02-03T00:00:00Z")), ""},
		{"valid-status-ahead-no-age", "And whatever its time.", status(at("2027-03-01T00:00:00Z")), ""},
		{"valid-status-ended-since", "The publisher's enrolment ended after the statement: past ones stay good, and the answer says it.", all(
			status(ends(endedAt(origin, 4, "2026-02-03T12:00:01Z"))), func(s *story) { s.publisherEnded = "2026-02-03T12:00:01Z" }), ""},
		{"valid-status-ended-registry-word", "The registry's own statement stands on no enrolment.", all(registryWord,
			pinned(func(_ *built, p *pin) { p.require = "registry" }), status(ends(endedAt(origin, 1, "2026-02-01T00:00:00Z")))), ""},
		{"valid-status-bridge", "The keys that signed the status's head have ended; a bridge leads on.", all(laterKey(), signers("log-b"), status(statusSigners(logKey),
			func(s *statusStory) { s.bridge = bridgeFrom(12, 14, "log-b") }), grownTo(14)), ""},
		{"valid-status-bridge-at-hand", "The same bridge, at hand beside the status.", all(laterKey(), signers("log-b"), status(statusSigners(logKey)), grownTo(14),
			bridges(func(b *built) []any { return []any{bridgeFrom(12, 14, "log-b")(b)} })), ""},
		{"valid-status-closed-log", "A closed log is covered up to its anchor.", all(closedBeside(7), status(
			func(s *statusStory) { s.logs = bothLogs(7) })), ""},
		{"valid-status-withdrawal-in-closed-log", "And what was withdrawn in it is listed first.", all(closedBeside(7), status(withdraws(
			withdrawal("pkg:npm/%40acme/malware@6.6.6", earlierOrigin, 4), withdrawal("pkg:npm/%40acme/malware@6.6.7", origin, 2)),
			func(s *statusStory) { s.logs = bothLogs(7) })), ""},
	}
}

const earlierOrigin = registry + "/countersign/0"

func nobody(*built) []any { return []any{} }

// endedAt ends the enrolment of the story's publisher.
func endedAt(origin string, index int, ended string) func(*built) []any {
	return func(b *built) []any { return []any{endOf(b.enrolled.digest(), publisher, origin, index, ended)} }
}

// laterKey ends the log's key at the identity's own entry and adds another.
func laterKey() tell {
	return version(func(b *built) []edit {
		return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, b.anchor(1)), active("log-b"))})}
	})
}

func bridgeFrom(from, to int, keys ...key) func(*built) object {
	return func(b *built) object {
		h := b.headAt(to)
		return object{{"origin", b.origin}, {"from", b.anchor(from)}, {"to", b.anchor(to)}, {"hashes", hashList(consistency(from, b.leaves[:to]))},
			{"checkpoint", note(h, signedBy(keys...)(b, h)...)}}
	}
}

// closedBeside gives the identity a log that was closed at size before the story's.
func closedBeside(size int) tell {
	anchor := object{{"size", size}, {"root", unhex(hexSHA256([]byte("root of the closed log")))}}
	return identity(set("logs", []any{closed(logOf(earlierOrigin, 1, active("log-d")), anchor), logOf(origin, 1, active(logKey))}))
}

func bothLogs(size int) func(*built) []any {
	return func(b *built) []any { return []any{covered(earlierOrigin, size), covered(b.origin, b.status.size)} }
}
