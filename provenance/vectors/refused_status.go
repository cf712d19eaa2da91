package main

import "strings"

// The status itself is refused.

func refusedStatuses() []vector {
	return leanStatus(append(malformedStatuses(), append(malformedDocuments(), disagreeingStatuses()...)...))
}

// leanStatus takes the identity out of the statuses as well, to keep them small.
func leanStatus(group []vector) []vector {
	for i := range group {
		group[i].tell = all(status(wrapperEdit(drop("identity"))), group[i].tell)
	}
	return lean(group)
}

func malformedStatuses() []vector {
	const code = "malformed"
	wrapper := func(e ...edit) tell { return status(wrapperEdit(e...)) }
	return []vector{
		{"status-empty", "An empty file.", status(func(s *statusStory) { s.wrapperBytes = func([]byte) []byte { return []byte{} } }), code},
		{"status-media-type-missing", "mediaType is missing.", wrapper(drop("mediaType")), code},
		{"status-media-type-of-bundle", "The media type of bundles.", wrapper(set("mediaType", bundleType)), code},
		{"status-media-type-recased", "Media types are compared byte by byte.", wrapper(set("mediaType", strings.ToUpper(statusBundleType))), code},
		{"status-statement-missing", "statement is missing.", wrapper(drop("statement")), code},
		{"status-statement-empty", "statement is empty.", wrapper(set("statement", "")), code},
		{"status-proof-missing", "proof is missing.", wrapper(drop("proof")), code},
		{"status-proof-header", "The proof is none.", status(statusProof(func(p *proof) { p.header = "x" })), code},
		{"status-document-missing", "document is missing.", wrapper(drop("document")), code},
		{"status-document-empty", "document is empty.", wrapper(set("document", "")), code},
		{"status-document-object", "The document is base64 of bytes, not JSON within JSON.", wrapper(set("document", object{})), code},
		{"status-identity-empty", "An empty list of versions: identity is left out instead.", wrapper(add("identity", []any{})), code},
		{"status-bridge-null", "null is nowhere a value.", wrapper(add("bridge", raw("null"))), code},
		{"status-enrolment", "An unknown member: a status has no enrolment.", status(wrapperEdit(func(o object) object { return add("enrolment", object{})(o) })), code},
		{"status-member-twice", "A member twice.", wrapper(twice("mediaType")), code},
		{"status-checkpoint", "The checkpoint is none.", status(func(s *statusStory) { s.note = func(n string) string { return n + "\n" } }), code},
		{"status-not-a-status", "The entry is a countersignature.", status(func(s *statusStory) { s.index = 3 }, func(s *statusStory) {
			s.entryBytes = func([]byte) []byte { return newStory().build().logged }
		}), code},
		{"status-entry-not-json", "The entry is no JSON.", status(func(s *statusStory) { s.entryBytes = ending("!") }), code},
		{"status-name-other", "The subject's name is status, and nothing else.", subjectEdit(set("name", "status.json")), code},
		{"status-two-digests", "The subject has one digest.", subjectEdit(within("digest", add("sha512", hexSHA512(nil)))), code},
		{"status-sha512-alone", "It is sha256.", subjectEdit(set("digest", object{{"sha512", hexSHA512(nil)}})), code},
		{"status-two-subjects", "Two subjects.", status(func(s *statusStory) {
			s.statement = append(s.statement, func(o object) object {
				l := o.get("subject").([]any)
				return set("subject", []any{l[0], l[0]})(o)
			})
		}), code},
		{"status-size-missing", "size is missing.", status(statusEdit(drop("size"))), code},
		{"status-size-zero", "No log is empty.", status(statusEdit(set("size", 0))), code},
		{"status-size-text", "size is a number.", status(statusEdit(set("size", "8"))), code},
		{"status-time-missing", "statusAt is missing.", status(statusEdit(drop("statusAt"))), code},
		{"status-time-offset", "A time with an offset.", status(statusEdit(set("statusAt", "2026-02-28T23:00:00+00:00"))), code},
		{"status-identity-form", "identity is no digest reference.", status(statusEdit(set("identity", "x"))), code},
		{"status-unknown-member", "An unknown member in the predicate.", status(statusEdit(add("purl", "pkg:npm/x@1.0.0"))), code},
		{"status-type-other", "Another version of the predicate.", status(func(s *statusStory) {
			s.statement = append(s.statement, set("predicateType", typePrefix+"status/v2"))
		}), code},
	}
}

func subjectEdit(e ...edit) tell {
	return status(func(s *statusStory) { s.statement = append(s.statement, within("subject", e...)) })
}

func malformedDocuments() []vector {
	const code = "malformed"
	document := func(e ...edit) tell { return status(documentEdit(e...)) }
	first := func(e ...edit) tell { return document(within("withdrawals", e...)) }
	ended := func(e ...edit) tell { return document(within("endedEnrolments", e...)) }
	bytes := func(f func([]byte) []byte) tell { return status(func(s *statusStory) { s.documentBytes = f }) }
	list := func(rows ...any) tell { return status(withdraws(rows...)) }
	other := digest([]byte("a third enrolment"))
	return []vector{
		{"status-document-not-json", "The document is no JSON.", bytes(ending("!")), code},
		{"status-document-spaced", "The document has one spelling: no white space.", bytes(retyped(`{"registry"`, `{ "registry"`)), code},
		{"status-document-newline", "Nor after it.", bytes(ending("\n")), code},
		{"status-document-reordered", "Its members have one order.", document(func(o object) object { return append(o[1:], o[0]) }), code},
		{"status-document-escapes", "Its strings have no needless escapes.", bytes(retyped(`malware@6`, `m\u0061lware@6`)), code},
		{"status-document-unknown-member", "An unknown member.", document(add("size", 8)), code},
		{"status-document-member-twice", "A member twice.", document(twice("registry")), code},
		{"status-document-registry-missing", "registry is missing.", document(drop("registry")), code},
		{"status-document-logs-missing", "logs is missing.", document(drop("logs")), code},
		{"status-document-logs-empty", "logs is empty.", document(set("logs", []any{})), code},
		{"status-document-log-twice", "A log twice.", document(set("logs", []any{covered(origin, 8), covered(origin, 8)})), code},
		{"status-document-logs-disorder", "Logs are in the order of their numbers.", document(set("logs", []any{covered(nextOrigin, 8), covered(origin, 8)})), code},
		{"status-document-log-of-other-registry", "A log of another registry.", document(set("logs", []any{covered("other.example/countersign/1", 8)})), code},
		{"status-document-log-empty", "An empty log.", document(set("logs", []any{covered(origin, 0)})), code},
		{"status-document-withdrawals-missing", "An empty list is there all the same.", document(drop("withdrawals")), code},
		{"status-document-withdrawals-null", "null is nowhere a value.", document(set("withdrawals", raw("null"))), code},
		{"status-document-ends-missing", "An empty list is there all the same.", document(drop("endedEnrolments")), code},
		{"status-withdrawal-twice", "A coordinate twice.", list(withdrawal("pkg:npm/%40acme/malware@6.6.6", origin, 4), withdrawal("pkg:npm/%40acme/malware@6.6.6", origin, 5)), code},
		{"status-withdrawal-disorder", "Not in the order of indexes.", list(withdrawal("pkg:npm/%40acme/malware@6.6.6", origin, 5), withdrawal("pkg:npm/%40acme/malware@6.6.7", origin, 4)), code},
		{"status-withdrawal-same-place", "Two at one index.", list(withdrawal("pkg:npm/%40acme/malware@6.6.6", origin, 4), withdrawal("pkg:npm/%40acme/malware@6.6.7", origin, 4)), code},
		{"status-withdrawal-not-covered", "An index that the document does not cover.", list(withdrawal("pkg:npm/%40acme/malware@6.6.6", origin, 8)), code},
		{"status-withdrawal-first-entry", "Entry 0 is the identity that opened the log.", list(withdrawal("pkg:npm/%40acme/malware@6.6.6", origin, 0)), code},
		{"status-withdrawal-log-not-covered", "A log that is not covered.", list(withdrawal("pkg:npm/%40acme/malware@6.6.6", nextOrigin, 4)), code},
		{"status-withdrawal-purl-not-canonical", "A purl in another spelling.", list(withdrawal("pkg:npm/@acme/malware@6.6.6", origin, 4)), code},
		{"status-withdrawal-purl-partial", "A PyPI purl without its file.", list(withdrawal("pkg:pypi/acme-http@1", origin, 4)), code},
		{"status-withdrawal-reason-missing", "reason is missing.", first(drop("reason")), code},
		{"status-withdrawal-reason-empty", "reason is empty.", first(set("reason", "")), code},
		{"status-withdrawal-reason-long", "A reason of 1025 bytes.", first(set("reason", strings.Repeat("x", 1025))), code},
		{"status-withdrawal-time-missing", "withdrawnAt is missing.", first(drop("withdrawnAt")), code},
		{"status-withdrawal-unknown-member", "An unknown member.", first(add("note", "x")), code},
		{"status-end-twice", "An enrolment twice.", status(ends(func(*built) []any {
			return []any{endOf(other, "mallory", origin, 4, countersignedAt), endOf(other, "mallory", origin, 5, countersignedAt)}
		})), code},
		{"status-end-disorder", "Not in the order of indexes.", status(ends(func(*built) []any {
			return []any{endOf(other, "mallory", origin, 5, countersignedAt), endOf(digest(nil), "mallory", origin, 4, countersignedAt)}
		})), code},
		{"status-end-not-covered", "An index that the document does not cover.", ended(set("index", 8)), code},
		{"status-end-enrolment-form", "enrolment is no digest reference.", ended(set("enrolment", "x")), code},
		{"status-end-publisher-form", "publisher is no fingerprint.", ended(set("publisher", publisher.spki())), code},
		{"status-end-time-missing", "ended is missing.", ended(drop("ended")), code},
		{"status-end-reason-empty", "reason is empty.", ended(set("reason", "")), code},
	}
}

func disagreeingStatuses() []vector {
	const mismatch = "statement-mismatch"
	elsewhere := digest([]byte("another identity"))
	document := func(e ...edit) tell { return status(documentEdit(e...)) }
	return []vector{
		{"status-registry-other", "The status is of another registry.", status(statusEdit(set("registry", "other.example"), set("origin", "other.example/countersign/1"))), mismatch},
		{"status-origin-of-other-registry", "Its origin is another registry's.", status(statusEdit(set("origin", "other.example/countersign/1"))), mismatch},
		{"status-origin-other", "It names another log than the one that holds it.", status(statusEdit(set("origin", nextOrigin))), mismatch},
		{"status-identity-other", "It names another identity.", status(statusEdit(set("identity", elsewhere))), mismatch},
		{"status-covers-itself", "It claims to cover its own entry.", status(func(s *statusStory) { s.size = 10 }), mismatch},
		{"status-covers-the-future", "It claims to cover more than there is.", status(func(s *statusStory) { s.size = 1000 }), mismatch},
		{"status-document-registry-other", "The document is of another registry.", status(documentEdit(set("registry", "other.example"),
			set("logs", []any{covered("other.example/countersign/1", 8)}), set("withdrawals", []any{}), set("endedEnrolments", []any{}))), mismatch},
		{"status-document-size-other", "Document and statement cover different sizes.", document(set("logs", []any{covered(origin, 7)})), mismatch},
		{"status-document-without-log", "The document does not cover the log that holds the status.", document(set("logs", []any{covered(nextOrigin, 8)}),
			set("withdrawals", []any{}), set("endedEnrolments", []any{})), mismatch},
		{"status-closed-log-left-out", "The closed log before it is not covered.", closedBeside(7), mismatch},
		{"status-closed-log-short", "The closed log is not covered up to its anchor.", all(closedBeside(7), status(func(s *statusStory) { s.logs = bothLogs(6) })), mismatch},
		{"status-closed-log-beyond", "The closed log is covered beyond its anchor.", all(closedBeside(7), status(func(s *statusStory) { s.logs = bothLogs(8) })), mismatch},
		{"status-log-unknown", "The document covers a log that the identity does not have.",
			document(set("logs", []any{covered(origin, 8), covered(nextOrigin, 8)})), "log-unknown"},
		{"status-proof-of-unknown-log", "The head is of a log that the identity does not have.", status(func(s *statusStory) { s.heads = func(h *head) { h.origin = nextOrigin } }), "log-unknown"},
		{"status-document-other", "Another document than the one that the entry commits to.", status(wrapperEdit(func(o object) object {
			s := newStory()
			status(withdraws())(s)
			return set("document", s.build().statusDocument())(o)
		})), "artifact-digest-mismatch"},
		{"status-index-other", "The index of another entry.", status(statusProof(func(p *proof) { p.index = "10" })), "inclusion-proof-invalid"},
		{"status-entry-changed", "The statement was changed after it was logged.", status(wrapperEdit(func(o object) object {
			return set("statement", paddedTo(len(o.get("statement").([]byte))+1)(o.get("statement").([]byte)))(o)
		})), "inclusion-proof-invalid"},
		{"status-unknown-key", "Its head is signed by a key that is not of the log.", status(statusSigners("log-z")), "checkpoint-signature-invalid"},
		{"status-unsigned", "Its head is signed by a witness alone.", status(func(s *statusStory) {
			s.lines = func(_ *built, h head) []string { return []string{logKey.signs(h, "witness.example")} }
		}), "checkpoint-signature-invalid"},
		{"status-key-ended", "The key that signed its head has ended, and no bridge leads on.", all(laterKey(), signers("log-b")), "key-ended"},
		{"status-excluded", "Its entry is in an excluded range: whoever held the log's key then may have made it.",
			excluding(object{{"origin", origin}, {"from", 9}, {"to", 10}, {"reason", "key stolen"}}), "excluded"},
		{"status-expired", "It was made in the second in which the identity expires.", identity(set("expires", "2026-02-28T23:00:00Z")), "identity-expired"},
		{"status-order-proof-before-document", "Not in the log, and another document: of the document nothing is read before.", all(status(statusProof(func(p *proof) { p.index = "10" }),
			wrapperEdit(set("document", []byte("x"))))), "inclusion-proof-invalid"},
	}
}

// What a status says about the bundle.

func refusedByStatus() []vector {
	age := func(s string) tell { return pinned(func(_ *built, p *pin) { p.statusMaxAge = s }) }
	at := func(t string) func(*statusStory) { return func(s *statusStory) { s.at = t } }
	mine := withdrawal("pkg:npm/%40acme/widget@1.2.3", origin, 5)
	long := "2027-01-01T00:00:00Z"
	return []vector{
		{"status-identity-not-at-hand", "Nobody has the identity.", all(bundle(drop("identity")), status(wrapperEdit(drop("identity")))), "unchecked"},
		{"status-identity-mismatch", "The status brings another identity.", status(wrapperEdit(func(o object) object {
			s := newStory()
			identity(set("expires", "2029-01-01T00:00:00Z"))(s)
			return set("identity", s.build().identities())(o)
		})), "identity-mismatch"},
		{"status-identity-rollback", "The status does not bring the version that the pin names.", all(version(plain()),
			pinned(func(b *built, p *pin) { p.latest = latest(2, b.chain[1].digest()) }), status(wrapperEdit(firstVersionOnly))), "identity-rollback"},
		{"status-required", "The pin wants a status, and none is at hand.", age("72h"), "unchecked"},
		{"withdrawn", "The coordinate was withdrawn.", status(withdraws(mine)), "withdrawn"},
		{"withdrawn-before", "At an index before the statement's: it is withdrawn all the same.", status(withdraws(withdrawal("pkg:npm/%40acme/widget@1.2.3", origin, 1))), "withdrawn"},
		{"withdrawn-registry-statement", "What the registry stated by itself is withdrawn like anything else.", all(registryWord,
			pinned(func(_ *built, p *pin) { p.require = "registry" }), status(withdraws(mine))), "withdrawn"},
		{"withdrawn-in-closed-log", "The withdrawal is in a log that was closed since.", all(closedBeside(7), status(func(s *statusStory) { s.logs = bothLogs(7) },
			withdraws(withdrawal("pkg:npm/%40acme/widget@1.2.3", earlierOrigin, 6)))), "withdrawn"},
		{"enrolment-ended", "The enrolment ended at an index before the statement's.", status(ends(endedAt(origin, 2, long))), "enrolment-ended"},
		{"enrolment-ended-in-earlier-log", "The enrolment ended in an earlier log, at a larger index.", all(closedBeside(7), status(func(s *statusStory) { s.logs = bothLogs(7) },
			ends(endedAt(earlierOrigin, 6, long)))), "enrolment-ended"},
		{"enrolment-ended-by-time", "The end is logged after the statement, and says that it was over in the second of countersignedAt.",
			status(ends(endedAt(origin, 4, countersignedAt))), "enrolment-ended"},
		{"status-too-old", "A second older than the pin allows.", all(age("3599s"), status()), "status-too-old"},
		{"status-ahead", "More than five minutes ahead of the time of asking.", all(age("72h"), status(at("2026-03-01T00:05:01Z"))), "status-too-old"},
		{"status-judged-by-newer-identity", "The status is good under the chain that it brings; the bundle's longer one excludes its entry.", all(
			excluding(object{{"origin", origin}, {"from", 9}, {"reason", "key stolen"}}), status(wrapperEdit(firstVersionOnly))), "excluded"},
		{"status-of-ended-key", "The same, where the longer chain ended the key that signed its head.", all(laterKey(), signers("log-b"),
			status(wrapperEdit(firstVersionOnly))), "key-ended"},
		{"order-withdrawn-before-ended", "Withdrawn, and the enrolment ended before.", status(withdraws(mine), ends(endedAt(origin, 2, long))), "withdrawn"},
		{"order-withdrawn-before-age", "Withdrawn, and the status is too old.", all(age("1m"), status(withdraws(mine))), "withdrawn"},
		{"order-ended-before-age", "The enrolment ended, and the status is too old.", all(age("1m"), status(ends(endedAt(origin, 2, long)))), "enrolment-ended"},
		{"order-expired-before-withdrawn", "Countersigned after the identity expired, and withdrawn.", all(identity(set("expires", countersignedAt)),
			status(withdraws(mine), at("2026-02-03T11:00:00Z"))), "identity-expired"},
		{"order-expired-before-status-required", "Countersigned after the identity expired, and no status.", all(identity(set("expires", countersignedAt)), age("1h")), "identity-expired"},
		{"error-status-without-time", "A status has an age only at a time.", all(age("72h"), status(), asks(drop("now"))), "error"},
	}
}
