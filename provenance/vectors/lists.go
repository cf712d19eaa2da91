package main

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// lists are vectors for the parts of the formats.
func lists() []list {
	return []list{
		{"coordinates.json", "What people write (ecosystem, name, version, file), and the one purl of the coordinate, with its match key and the hex SHA-256 of the purl. Without purl it is refused.", coordinates()},
		{"purls.json", "Purls as they are read: ok says whether this is the canonical spelling; where it is not, but means a coordinate, canonical is the right one.", purls()},
		{"namespaces.json", "Namespace patterns. ok: in identities and enrolments; inPins: in pins, which may cover a whole ecosystem. covers and not are purls.", namespacePatterns()},
		{"keys.json", "Public keys as base64 of SubjectPublicKeyInfo. seed (hex) is the RFC 8032 private key of a test key; noteID is the note key id under the name origin.", keys()},
		{"signatures.json", "Ed25519 signatures at the edges of RFC 8032: message and signature in hex.", signatures()},
		{"dsse.json", "Pre-authentication encodings; payload and pae in base64.", encodings()},
		{"trees.json", "RFC 6962 trees. Entry i is the text \"entry i\". inclusion lists [index, hashes…], consistency lists [older size, hashes…], all base64.", trees()},
		{"checkpoints.json", "Signed notes as they are parsed, before any signature is verified.", checkpoints()},
		{"proofs.json", "tlog-proofs as they are parsed.", proofs()},
		{"json.json", "Strict JSON: one document each, as text or, where it is not UTF-8, in base64.", documents()},
		{"texts.json", "Registry names, origins, times and base64.", spellings()},
		{"entries.json", "Log entries, and what kind of entry each is. Without kind it is refused.", entries()},
		{"pins.json", "Pins files.", pinFiles()},
	}
}

func keys() []any {
	var out []any
	for _, k := range []key{publisher, rootKey, enrolKey, logKey, "root-b", "root-c", "root-d", "root-e", "enrol-b", "log-b", "log-c", "log-d", "log-z",
		"mallory", "witness", "reviewer", "co-signer", collisionA, collisionB} {
		out = append(out, object{{"name", string(k)}, {"ok", true}, {"publicKey", k.spki()}, {"seed", hex.EncodeToString(k.seed())}, {"raw", hex.EncodeToString(k.raw())},
			{"fingerprint", k.fingerprint()}, {"origin", origin}, {"noteID", hex.EncodeToString(k.noteID(origin))}})
	}
	bad := func(comment, text string) {
		out = append(out, object{{"name", comment}, {"ok", false}, {"publicKey", text}})
	}
	for i, point := range smallOrderPoints {
		bad("small order, "+strconv.Itoa(i+1)+" of 8", spki(unhex(point)))
	}
	bad("small order, not canonical: y = p", spki(unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")))
	bad("small order, not canonical: y = p + 1", spki(unhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")))
	bad("small order, not canonical: x = 0 with its sign set", spki(unhex("0100000000000000000000000000000000000000000000000000000000000080")))
	bad("not canonical: y = p + 3", spki(notCanonical))
	bad("not a point", spki(notAPoint))
	bad("32 bytes without SubjectPublicKeyInfo", string(encode(publisher.raw())[1:45]))
	bad("31 bytes", spki(publisher.raw()[:31]))
	bad("33 bytes", spki(append(publisher.raw(), 0)))
	bad("Ed448's algorithm identifier", string(encode(replacedByte(der(publisher.raw()), 8, 0x71))[1:61]))
	bad("a NULL as the algorithm's parameters", string(encode(append(unhex("302c300706032b65700500032100"), publisher.raw()...))[1:65]))
	bad("data after the structure", string(encode(append(der(publisher.raw()), 0))[1:61]))
	bad("a long form of a length", string(encode(append(unhex("30812a300506032b6570032100"), publisher.raw()...))[1:61]))
	bad("PEM", "-----BEGIN PUBLIC KEY-----\n"+publisher.spki()+"\n-----END PUBLIC KEY-----\n")
	bad("the URL-safe alphabet", urlAlphabet)
	bad("no padding", strings.TrimRight(publisher.spki(), "="))
	bad("a line break at the end", publisher.spki()+"\n")
	bad("nothing", "")
	return out
}

func replacedByte(b []byte, i int, v byte) []byte {
	b[i] = v
	return b
}

func encodings() []any {
	var out []any
	for _, e := range []struct{ payloadType, payload string }{
		{"http://example.com/HelloWorld", "hello world"}, // the example of DSSE's own specification
		{inTotoPayload, "{}"}, {"x", "\x00\xff"}, {"ünïcode", "☃"}, {vendorPrefix + "identity.v1+json", strings.Repeat("x", 100)},
	} {
		out = append(out, object{{"payloadType", e.payloadType}, {"payload", []byte(e.payload)}, {"pae", pae(e.payloadType, []byte(e.payload))}})
	}
	return out
}

func trees() []any {
	var out []any
	for size := range 14 {
		var leaves [][]byte
		for i := range size {
			leaves = append(leaves, leafHash([]byte("entry "+strconv.Itoa(i))))
		}
		included, consistent := []any{}, []any{}
		for i := range size {
			included = append(included, append([]any{i}, hashList(inclusion(i, leaves))...))
			consistent = append(consistent, append([]any{i + 1}, hashList(consistency(i+1, leaves))...))
		}
		out = append(out, object{{"size", size}, {"root", treeHash(leaves)}, {"inclusion", included}, {"consistency", consistent}})
	}
	return out
}

func checkpoints() []any {
	good := newStory().build()
	h := good.headAt(5)
	own := logKey.signs(h, origin)
	out := []any{
		object{{"comment", "one signature"}, {"ok", true}, {"note", note(h, own)}, {"origin", origin}, {"size", 5}, {"root", h.root}},
		object{{"comment", "a witness's line; nobody checks signatures here"}, {"ok", true}, {"note", note(h, noteLine("w.example", []byte{0, 0, 0, 0}, []byte{0}), own)},
			{"origin", origin}, {"size", 5}, {"root", h.root}},
		object{{"comment", "the empty tree"}, {"ok", true}, {"note", note(head{origin, "0", unhex(hexSHA256(nil))}, own)}, {"origin", origin}, {"size", 0}, {"root", unhex(hexSHA256(nil))}},
		object{{"comment", "the largest size"}, {"ok", true}, {"note", note(head{origin, "9007199254740991", h.root}, own)}, {"origin", origin}, {"size", raw("9007199254740991")}, {"root", h.root}},
	}
	for _, c := range append(checkpointTexts(), signatureLines()...) {
		if strings.HasPrefix(c.name, "signature-twice") || c.name == "too-large" { // which needs the keys, or much room
			continue
		}
		s := newStory()
		c.tell(s)
		_, text, _ := strings.Cut(s.build().proofText(), "\n\n")
		out = append(out, object{{"comment", c.comment}, {"ok", false}, {"note", text}})
	}
	return out
}

func proofs() []any {
	var out []any
	for _, at := range [][2]int{{0, 1}, {3, 5}, {4, 5}, {617, 1000}} {
		s := newStory()
		entryAt(at[0], at[1])(s)
		b := s.build()
		_, checkpoint, _ := strings.Cut(b.proofText(), "\n\n")
		out = append(out, object{{"comment", "entry " + strconv.Itoa(at[0]) + " of " + strconv.Itoa(at[1])}, {"ok", true}, {"proof", b.proofText()},
			{"index", at[0]}, {"hashes", hashList(inclusion(at[0], b.leaves))}, {"checkpoint", checkpoint}})
	}
	for _, v := range refusedProofs() {
		if v.name == "proof-no-checkpoint" || v.name == "proof-two-blank-lines" { // the checkpoint's parser refuses them
			continue
		}
		s := newStory()
		v.tell(s)
		out = append(out, object{{"comment", v.comment}, {"ok", false}, {"proof", s.build().proofText()}})
	}
	return out
}
