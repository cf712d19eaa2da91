package main

// Step 5: who may publish, and whether they did.

func refusedEnrolments() []vector {
	const code = "enrolment-invalid"
	publisherIs := func(k string) edit { return set("publisher", k) }
	cases := []struct {
		name, comment string
		tell          tell
	}{
		{"not-yet", "Countersigned one second before the certificate begins.", enrolment(set("issued", "2026-02-03T12:00:01Z"))},
		{"expired", "Countersigned in the second in which the certificate ends: notAfter is not in it.", enrolment(set("notAfter", countersignedAt))},
		{"not-covering", "The certificate is for other names.", enrolment(set("namespaces", texts("pkg:npm/@acme/widgets", "pkg:npm/@acme/gadget*")))},
		{"other-registry", "A certificate of another registry, by the same key.", enrolment(set("registry", "registry.other.example"))},
		{"other-publisher", "A certificate for another publisher.", enrolment(publisherIs(key("mallory").spki()))},
		{"publication-by-stranger", "The publication is by a key that nobody enrolled.", publicationSigners("mallory")},
		{"signed-by-stranger", "Not signed by an enrolment key: a registry's daemon cannot invent publishers.", enrolmentSigners("mallory")},
		{"signed-by-log-key", "A log's key enrols nobody.", enrolmentSigners(logKey)},
		{"signed-by-root-key", "Nor does a root key.", enrolmentSigners(rootKey)},
		{"signed-by-publisher", "Nor do publishers themselves.", enrolmentSigners(publisher)},
		{"signed-by-ended-key", "The enrolment key ended; nobody signed the certificate again.",
			version(plain(set("enrol", object{{"keys", []any{endedEnrol(enrolKey), active("enrol-b")}}})))},
		{"signed-by-dropped-key", "The enrolment key is not in the last version any more.", version(plain(set("enrol", object{{"keys", []any{active("enrol-b")}}})))},
		{"signature-wrong", "The signature does not verify.", enrolmentEnvelope(within("signatures", set("sig", make([]byte, 64))))},
		{"signature-order", "S of the signature has the group order added.", enrolmentEnvelope(within("signatures", func(o object) object {
			return set("sig", plusOrder(o.get("sig").([]byte)))(o)
		}))},
		{"keyid-of-another-key", "Mallory's signature under the enrolment key's id.", all(enrolmentSigners("mallory"), enrolmentEnvelope(within("signatures", set("keyid", enrolKey.fingerprint()))))},
		{"two-signatures", "A certificate has exactly one signature.", all(identity(set("enrol", object{{"keys", []any{active(enrolKey), active("enrol-b")}}})), enrolmentSigners(enrolKey, "enrol-b"))},
		{"payload-type", "A certificate under another payload type.", enrolmentType(inTotoPayload)},
		{"payload-type-end", "The payload type of its end.", enrolmentType(vendorPrefix + "enrolment-end.v1+json")},
		{"publisher-is-log-key", "A publisher's key that is a log's: one key, one role.", all(enrolment(publisherIs(logKey.spki())), publicationSigners(logKey))},
		{"publisher-is-root-key", "A publisher's key that is a root key.", all(enrolment(publisherIs(rootKey.spki())), publicationSigners(rootKey))},
		{"publisher-is-enrol-key", "A publisher's key that is an enrolment key.", all(enrolment(publisherIs(enrolKey.spki())), publicationSigners(enrolKey))},
		{"publisher-is-ended-key", "Nor may it be a key that ended.", all(enrolment(publisherIs(key("log-b").spki())), publicationSigners("log-b"),
			version(func(b *built) []edit {
				return []edit{set("logs", []any{logOf(origin, 1, active(logKey), ended("log-b", b.anchor(4)))})}
			}))},
		{"publisher-small-order", "A publisher's key of small order.", enrolment(publisherIs(spki(smallOrder)))},
		{"publisher-not-canonical", "A publisher's key that is not the canonical encoding of its point.", enrolment(publisherIs(spki(notCanonical)))},
		{"publisher-missing", "publisher is missing.", enrolment(drop("publisher"))},
		{"registry-missing", "registry is missing.", enrolment(drop("registry"))},
		{"issued-missing", "issued is missing.", enrolment(drop("issued"))},
		{"not-after-before-issued", "notAfter is before issued.", enrolment(set("notAfter", "2026-01-01T00:00:00Z"))},
		{"not-after-year-1", "The first second of year 1 is not the same as no end.", enrolment(set("notAfter", "0001-01-01T00:00:00Z"))},
		{"not-after-null", "null is not the same as left out.", enrolment(set("notAfter", raw("null")))},
		{"not-after-empty", "Nor is an empty text.", enrolment(set("notAfter", ""))},
		{"namespaces-missing", "namespaces is missing.", enrolment(drop("namespaces"))},
		{"namespaces-twice", "A namespace occurs twice.", enrolment(set("namespaces", texts("pkg:npm/@acme/*", "pkg:npm/@acme/*")))},
		{"namespaces-65", "65 namespaces, one too many.", enrolment(set("namespaces", texts(manyNamespaces(65)...)))},
		{"namespace-whole-ecosystem", "Only a pin may cover a whole ecosystem.", enrolment(set("namespaces", texts("pkg:npm/*")))},
		{"unknown-member", "An unknown member.", enrolment(add("comment", "x"))},
		{"member-twice", "A member that occurs twice.", enrolment(twice("notAfter"))},
		{"member-recased", "A name that differs in case: a lenient reader would see no end.", enrolment(recase("notAfter"))},
		{"trailing-data", "Data after the payload's object.", enrolmentBytes(ending("\n{}"))},
		{"too-large", "A payload of 8193 bytes.", enrolmentBytes(paddedTo(8193))},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"enrolment-" + c.name, c.comment, c.tell, code})
	}
	return append(out, vector{"publisher-not-pinned", "The publisher is enrolled, but is not one of the pin's.",
		pinned(func(_ *built, p *pin) { p.publishers = []string{key("mallory").fingerprint()} }), "publisher-not-pinned"})
}

// refusedPublishers are signatures under publications that do not verify with the enrolled key.
func refusedPublishers() []vector {
	const code = "publication-signature-invalid"
	resigned := func(f func(object) []byte) tell {
		return publicationEnvelope(func(o object) object {
			return within("signatures", set("sig", f(o)))(o)
		})
	}
	return []vector{
		{"publication-signature-wrong", "A bit of the signature is another.", resigned(func(o object) []byte {
			sig := append([]byte(nil), o.get("signatures").([]any)[0].(object).get("sig").([]byte)...)
			sig[0] ^= 1
			return sig
		}), code},
		{"publication-signature-zero", "A signature of 64 zero bytes.", resigned(func(object) []byte { return make([]byte, 64) }), code},
		{"publication-signature-order", "S of the signature has the group order added: RFC 8032 refuses it.", resigned(func(o object) []byte {
			return plusOrder(o.get("signatures").([]any)[0].(object).get("sig").([]byte))
		}), code},
		{"publication-keyid-of-another-key", "Mallory's signature under the publisher's id.", all(publicationSigners("mallory"),
			publicationEnvelope(within("signatures", set("keyid", publisher.fingerprint())))), code},
		{"publication-signed-without-type", "The publisher signed the payload alone.", resigned(func(o object) []byte {
			return publisher.sign(o.get("payload").([]byte))
		}), code},
		{"publication-signed-under-another-type", "The publisher signed the payload under another type.", resigned(func(o object) []byte {
			return publisher.sign(pae("application/json", o.get("payload").([]byte)))
		}), code},
		{"publication-signed-with-spaces", "The publisher signed the same JSON in another layout.", resigned(func(o object) []byte {
			return publisher.sign(pae(inTotoPayload, append(o.get("payload").([]byte), '\n')))
		}), code},
		{"publication-payload-changed", "An attribute was changed after signing.", publicationEnvelope(func(o object) object {
			return set("payload", retyped(`"attributes":{}`, `"attributes":{"reviewed":true}`)(o.get("payload").([]byte)))(o)
		}), code},
	}
}
