package main

// Steps 1 and 2: what cannot be asked or answered, what no pin covers, and chains of identities.

func unaskable() []vector {
	return []vector{
		{"error-no-purl", "No expected purl, and not by intent: the question is incomplete.", asks(drop("purl")), "error"},
		{"error-purl-and-any", "An expected purl and any purl exclude each other.", asks(add("anyPurl", true)), "error"},
		{"error-purl-not-canonical", "The expected purl is not in its canonical spelling: the one who asks must say which file is meant.",
			asks(set("purl", "pkg:npm/@acme/widget@1.2.3")), "error"},
		{"error-purl-tag", "A tag is no version of an image.", asks(set("purl", "pkg:oci/widget@latest?repository_url=registry.example/team/widget")), "error"},
		{"error-partial-with-artifact", "Only expected digests make up for a file name that is left out.", all(
			coordinate("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0-py3-none-any.whl", "acme_http-1.0.0-py3-none-any.whl", sha256Of("acme_http-1.0.0-py3-none-any.whl")),
			asks(set("purl", "pkg:pypi/acme-http@1"))), "error"},
		{"error-fresh-without-now", "Freshness cannot be judged without the time.", asks(drop("now"), add("fresh", true)), "error"},
		{"unchecked-no-identity", "Neither the bundle nor the consumer has the registry's identity.", bundle(drop("identity")), "unchecked"},
		{"unchecked-no-enrolment", "The certificate that the statement names is not at hand.", bundle(drop("enrolment")), "unchecked"},
		{"unchecked-other-enrolment", "The bundle carries another certificate than the one that the statement names.",
			bundle(func(o object) object {
				other := newStory().enrolment.seal(newStory().enrolmentPayload().edited([]edit{drop("notAfter")}))
				return set("enrolment", other.wire)(o)
			}), "unchecked"},
		{"unchecked-digest-not-computed", "The subject has a digest that was not computed from the file.", all(twoDigests, asks(within("digests", drop("sha512")))), "unchecked"},
	}
}

func refusedPins() []vector {
	return []vector{
		{"not-pinned", "No pin covers the name.", pins(pin{namespace: "pkg:npm/@other/*", registry: registry}), "not-pinned"},
		{"not-pinned-no-pins", "There are no pins at all.", pins(), "not-pinned"},
		{"not-pinned-other-ecosystem", "A pin for the same name in another ecosystem.", pins(pin{namespace: "pkg:golang/*", registry: registry}), "not-pinned"},
		{"not-pinned-exact-is-no-prefix", "An exact pin does not cover names that begin with it.", pins(pin{namespace: "pkg:npm/@acme/wid", registry: registry}), "not-pinned"},
		{"not-pinned-case", "npm names differ in case.", pins(pin{namespace: "pkg:npm/@Acme/*", registry: registry}), "not-pinned"},
		{"not-pinned-before-bundle", "Nothing is pinned, so nothing is said about a bundle that cannot be read.",
			all(pins(), bundleBytes(func([]byte) []byte { return []byte("not JSON\n") })), "not-pinned"},
		{"not-pinned-any-purl", "Any purl: the name in the bundle is not pinned.", all(asks(drop("purl"), add("anyPurl", true)), pins()), "not-pinned"},
	}
}

func refusedChains() []vector {
	const code = "identity-mismatch"
	return []vector{
		{"identity-other", "The identity is not the pinned one.", pinned(func(_ *built, p *pin) { p.identity = digest([]byte("another")) }), code},
		{"identity-pinned-by-last-version", "The pin names version 2's digest; what is pinned is version 1's.", all(version(plain()),
			pinned(func(b *built, p *pin) { p.identity = b.chain[1].digest() })), code},
		{"identity-registry-other", "The identity is the pinned one, but of another registry than the pin says.",
			pinned(func(_ *built, p *pin) { p.registry = "elsewhere.example" }), code},
		{"identity-own-other", "The bundle's chain is the pinned one, the consumer's own is not.", ownIdentity(func(*built) []any {
			other := newStory()
			identity(set("issued", "2026-01-01T00:00:00Z"))(other)
			return other.build().identities()
		}), code},
		{"identity-own-invalid", "The consumer's own chain has a signature that does not verify.", ownIdentity(func(b *built) []any {
			return []any{b.chain[0].wire.edited([]edit{set("signatures", []any{signature(rootKey, logKey.sign(nil))})})}
		}), code},
		{"identity-fork", "Two versions 2 exist, one in the bundle, one at hand: the root signed both.", all(version(plain()), ownIdentity(fork)), code},
		{"identity-fork-longer", "The longer chain does not extend the shorter.", all(version(plain()), version(plain()), ownIdentity(fork)), code},
		{"identity-not-from-first", "The chain begins with version 2.", all(version(plain()),
			bundle(func(o object) object { return set("identity", o.get("identity").([]any)[1:])(o) })), code},
		{"identity-reversed", "The versions are in the wrong order.", all(version(plain()), bundle(func(o object) object {
			list := o.get("identity").([]any)
			return set("identity", []any{list[1], list[0]})(o)
		})), code},
		{"identity-gap", "Version 2 is missing.", all(version(plain()), version(plain()), bundle(func(o object) object {
			list := o.get("identity").([]any)
			return set("identity", []any{list[0], list[2]})(o)
		})), code},
		{"identity-twice", "Version 1 comes twice.", bundle(func(o object) object {
			list := o.get("identity").([]any)
			return set("identity", []any{list[0], list[0]})(o)
		}), code},
		{"rollback-version-missing", "The pin names version 2, the chain at hand ends with version 1.",
			pinned(func(_ *built, p *pin) { p.latest = latest(2, digest([]byte("version 2"))) }), "identity-rollback"},
		{"rollback-version-differs", "The chain's version 2 is not the one that the pin names.", all(version(plain()),
			pinned(func(_ *built, p *pin) { p.latest = latest(2, digest([]byte("version 2"))) })), "identity-rollback"},
		{"log-unknown", "The proof is of a log that the identity does not have.", func(s *story) { s.origin = nextOrigin }, "log-unknown"},
		{"log-not-yet", "The log is in version 2 of the identity, which is not at hand.", all(func(s *story) { s.origin = nextOrigin }, signers("log-d"),
			version(func(b *built) []edit {
				return []edit{set("logs", []any{closed(logOf(origin, 1, active(logKey)), b.anchor(5)), logOf(nextOrigin, 1, active("log-d"))})}
			}), func(s *story) { s.bundle = append(s.bundle, firstVersionOnly) }), "log-unknown"},
	}
}

// fork is the chain with another version 2.
func fork(b *built) []any {
	other := *b
	other.chain = b.chain[:1:1]
	return []any{b.chain[0].wire, other.next(2, []edit{set("expires", "2031-01-01T00:00:00Z")}).wire}
}

// refusedSuccessions are second versions that may not follow the first, and signatures that do not carry a version.
func refusedSuccessions() []vector {
	const code = "identity-mismatch"
	oldLog := func(b *built) object { return closed(logOf(origin, 1, active(logKey)), b.anchor(5)) }
	return []vector{
		{"identity-version-skipped", "Version 3 follows version 1.", version(plain(set("version", 3))), code},
		{"identity-version-repeated", "Version 1 again, with a previous.", version(plain(set("version", 1))), code},
		{"identity-previous-wrong", "previous is not the digest of the version before.", version(plain(set("previous", digest(nil)))), code},
		{"identity-previous-missing", "Version 2 has no previous.", version(plain(drop("previous"))), code},
		{"identity-registry-changed", "A registry's name never changes.", version(plain(set("registry", "registry.other.example"),
			set("logs", []any{logOf("registry.other.example/countersign/1", 1, active(logKey))}))), code},
		{"identity-issued-earlier", "issued is before that of the version before.", version(plain(set("issued", "2026-01-05T08:59:59Z"))), code},
		{"identity-log-vanished", "A log of the version before is missing.", version(plain(set("logs", []any{logOf(nextOrigin, 1, active("log-d"))}))), code},
		{"identity-log-key-vanished", "A log's key is missing: it must be ended instead.", version(plain(set("logs", []any{logOf(origin, 1, active("log-b"))}))), code},
		{"identity-log-key-revived", "A key that ended cannot come back.", all(
			version(func(b *built) []edit {
				return []edit{set("logs", []any{logOf(origin, 1, ended(logKey, b.anchor(4)), active("log-b"))})}
			}), version(plain(set("logs", []any{logOf(origin, 1, active(logKey), active("log-b"))})))), code},
		{"identity-log-reopened", "A closed log cannot be opened again.", all(
			version(func(b *built) []edit {
				return []edit{set("logs", []any{oldLog(b), logOf(nextOrigin, 1, active("log-d"))})}
			}),
			version(func(b *built) []edit {
				return []edit{set("logs", []any{logOf(origin, 1, active(logKey)), closed(logOf(nextOrigin, 1, active("log-d")), b.anchor(5))})}
			})), code},
		{"identity-enrol-key-revived", "An enrolment key that ended cannot come back.", all(
			version(plain(set("enrol", object{{"keys", []any{endedEnrol(enrolKey), active("enrol-b")}}}))),
			version(plain(set("enrol", object{{"keys", []any{active(enrolKey), active("enrol-b")}}})))), code},
		{"identity-enrol-key-forgotten", "An enrolment key that ended must stay in the list.", all(
			version(plain(set("enrol", object{{"keys", []any{endedEnrol(enrolKey), active("enrol-b")}}}))),
			version(plain(set("enrol", object{{"keys", []any{active("enrol-b")}}})))), code},
		{"identity-signed-by-new-root-only", "Version 2 needs the root of version 1 too.", all(version(plain(set("root", rootOf(1, "root-b")))), versionSigners(2, "root-b")), code},
		{"identity-signed-by-old-root-only", "Version 2 needs its own root too.", all(version(plain(set("root", rootOf(1, "root-b")))), versionSigners(2, rootKey)), code},
		{"identity-root-below-threshold", "One signature where the root needs two.", all(
			identity(set("root", rootOf(2, "root-a", "root-b", "root-c"))), identitySigners("root-b")), code},
		{"identity-old-root-below-threshold", "Two of the new root, one of the old root, which needs two.", all(
			identity(set("root", rootOf(2, "root-a", "root-b"))), identitySigners("root-a", "root-b"),
			version(plain(set("root", rootOf(2, "root-b", "root-c")))), versionSigners(2, "root-b", "root-c")), code},
		{"identity-stranger-signed", "Every signature is by a root key; this envelope has one too many.", identitySigners(rootKey, "root-z"), code},
		{"identity-log-key-signed", "A log's key is no root key.", identitySigners(rootKey, logKey), code},
		{"identity-first-root-signed", "The root of version 1 is not a root for version 3.", all(
			version(plain(set("root", rootOf(1, "root-b")))), versionSigners(2, rootKey, "root-b"),
			version(plain()), versionSigners(3, "root-b", rootKey)), code},
		{"identity-signature-wrong", "A signature that does not verify, over another payload.", identityEnvelope(set("signatures", []any{signature(rootKey, rootKey.sign([]byte("x")))})), code},
		{"identity-second-signature-wrong", "All signatures must verify, even beyond the threshold.", all(
			identity(set("root", rootOf(1, "root-a", "root-b"))), identityEnvelope(func(o object) object {
				return set("signatures", append(o.get("signatures").([]any), signature("root-b", rootKey.sign(nil))))(o)
			})), code},
		{"identity-signature-order", "S of the signature has the group order added.", func(s *story) {
			s.identity.envelope = append(s.identity.envelope, within("signatures", func(o object) object { return set("sig", plusOrder(o.get("sig").([]byte)))(o) }))
		}, code},
		{"identity-signed-without-type", "The root signed the payload alone, not the pre-authentication encoding.", func(s *story) {
			s.identity.envelope = append(s.identity.envelope, func(o object) object {
				return set("signatures", []any{signature(rootKey, rootKey.sign(o.get("payload").([]byte)))})(o)
			})
		}, code},
	}
}
