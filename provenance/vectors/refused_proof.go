package main

import (
	"encoding/base64"
	"strings"
)

// Proofs and checkpoints that are not in their one spelling.

func refusedProofs() []vector {
	text := func(old, new string) tell { return proofBytes(respelled(old, new)) }
	cases := []struct {
		name, comment string
		tell          tell
	}{
		{"header-other-version", "Another version of tlog-proof.", text("tlog-proof@v1\n", "tlog-proof@v2\n")},
		{"header-missing", "No header.", text(proofHeader+"\n", "")},
		{"header-twice", "The header occurs twice.", text(proofHeader+"\n", proofHeader+"\n"+proofHeader+"\n")},
		{"extra-line", "tlog-proof's extra data has no place here.", text("\nindex 3\n", "\nextra AAAA\nindex 3\n")},
		{"extra-line-empty", "Not even empty.", text("\nindex 3\n", "\nextra \nindex 3\n")},
		{"index-missing", "No index.", text("index 3\n", "")},
		{"index-leading-zero", "A leading zero.", text("index 3\n", "index 03\n")},
		{"index-plus", "A sign.", text("index 3\n", "index +3\n")},
		{"index-hex", "A number in another base.", text("index 3\n", "index 0x3\n")},
		{"index-empty", "No number.", text("index 3\n", "index \n")},
		{"index-space", "A space after the number.", text("index 3\n", "index 3 \n")},
		{"index-two-spaces", "Two spaces before the number.", text("index 3\n", "index  3\n")},
		{"index-too-large", "2^53 is too large.", text("index 3\n", "index 9007199254740992\n")},
		{"index-recased", "Index with a capital.", text("index 3\n", "Index 3\n")},
		{"crlf", "Lines end in one line feed, not in two characters.", proofBytes(func(s string) string { return strings.Replace(s, "\n", "\r\n", 3) })},
		{"hash-short", "A hash of 31 bytes.", proofParts(func(p *proof) { p.hashes[0] = p.hashes[0][:31] })},
		{"hash-long", "A hash of 33 bytes.", proofParts(func(p *proof) { p.hashes[0] = append(p.hashes[0], 0) })},
		{"hash-hex", "A hash in hex.", firstHash(func(s string) string { return strings.Repeat("00", 32) })},
		{"hash-unpadded", "A hash without its padding.", firstHash(func(s string) string { return strings.TrimSuffix(s, "=") })},
		{"hash-trailing-bits", "A hash whose last character has bits that belong to no byte.", firstHash(func(s string) string {
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			return s[:42] + string(alphabet[strings.IndexByte(alphabet, s[42])+1]) + "="
		})},
		{"hash-space", "A space after a hash.", firstHash(func(s string) string { return s + " " })},
		{"65-hashes", "65 hashes, one too many.", proofParts(func(p *proof) { p.hashes = make65() })},
		{"no-blank-line", "No blank line before the checkpoint.", text("\n\n"+origin, "\n"+origin)},
		{"two-blank-lines", "Two blank lines before the checkpoint.", text("\n\n"+origin, "\n\n\n"+origin)},
		{"no-checkpoint", "No checkpoint.", proofParts(func(p *proof) { p.note = "" })},
	}
	var out []vector
	for _, c := range cases {
		out = append(out, vector{"proof-" + c.name, c.comment, c.tell, "malformed"})
	}
	return out
}

func firstHash(change func(string) string) tell {
	return proofBytes(func(s string) string {
		lines := strings.Split(s, "\n")
		lines[2] = change(lines[2])
		return strings.Join(lines, "\n")
	})
}

func refusedCheckpoints() []vector {
	var out []vector
	for _, c := range append(checkpointTexts(), signatureLines()...) {
		out = append(out, vector{"checkpoint-" + c.name, c.comment, c.tell, "malformed"})
	}
	return out
}

type misspelling struct {
	name, comment string
	tell          tell
}

// checkpointTexts are misspelled heads. They are signed as they are misspelled: no signature repairs them.
func checkpointTexts() []misspelling {
	return []misspelling{
		{"four-lines", "A fourth line, which C2SP allows and these formats do not.", heads(func(h *head) { h.size += "\n" + base64.StdEncoding.EncodeToString(h.root) })},
		{"two-lines", "The root is missing.", noteBytes(func(s string) string {
			lines := strings.SplitN(s, "\n", 4)
			return lines[0] + "\n" + lines[1] + "\n" + lines[3]
		})},
		{"size-leading-zero", "A leading zero.", heads(func(h *head) { h.size = "05" })},
		{"size-plus", "A sign.", heads(func(h *head) { h.size = "+5" })},
		{"size-negative", "A negative size.", heads(func(h *head) { h.size = "-5" })},
		{"size-too-large", "2^53 is too large.", heads(func(h *head) { h.size = "9007199254740992" })},
		{"size-space", "A space after the size.", heads(func(h *head) { h.size = "5 " })},
		{"size-crlf", "A carriage return.", heads(func(h *head) { h.size = "5\r" })},
		{"size-empty", "No size.", heads(func(h *head) { h.size = "" })},
		{"root-short", "A root of 31 bytes.", heads(func(h *head) { h.root = h.root[:31] })},
		{"root-long", "A root of 33 bytes.", heads(func(h *head) { h.root = append(h.root, 0) })},
		{"origin-registry-only", "An origin that is only a host name.", heads(func(h *head) { h.origin = registry })},
		{"origin-leading-zero", "A log's number with a leading zero.", heads(func(h *head) { h.origin = registry + "/countersign/01" })},
		{"origin-number-too-large", "A log's number of 2^32.", heads(func(h *head) { h.origin = registry + "/countersign/4294967296" })},
		{"origin-upper-case", "A host name in upper case.", heads(func(h *head) { h.origin = strings.ToUpper(registry) + "/countersign/1" })},
		{"origin-scheme", "An origin is no URL.", heads(func(h *head) { h.origin = "https://" + origin })},
	}
}

func signatureLines() []misspelling {
	text := func(old, new string) tell { return noteBytes(respelled(old, new)) }
	line := func(s string) tell { return addLines(func(*built, head) []string { return []string{s} }) }
	return []misspelling{
		{"crlf", "Lines end in one line feed.", noteBytes(func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") })},
		{"no-final-newline", "The last line has no line feed.", noteBytes(func(s string) string { return strings.TrimSuffix(s, "\n") })},
		{"blank-line-at-end", "A blank line after the signatures.", noteBytes(func(s string) string { return s + "\n" })},
		{"no-signatures", "No signature line.", signers()},
		{"no-blank-line", "No blank line before the signatures.", text("\n\n— ", "\n— ")},
		{"text-line", "A line that is no signature.", line("signed\n")},
		{"hyphen", "A hyphen in place of the em dash.", text("— ", "- ")},
		{"no-space", "No space after the em dash.", text("— ", "—")},
		{"no-signature", "A name and nothing else.", line("— witness.example\n")},
		{"name-empty", "No name.", line("—  AAAAAAA=\n")},
		{"name-plus", "A plus sign in a name.", line("— witness+example AAAAAAA=\n")},
		{"name-tab", "A tab in a name.", line("— witness\texample AAAAAAA=\n")},
		{"name-carriage-return", "A carriage return in a name.", line("— witness\r AAAAAAA=\n")},
		{"name-unicode-space", "A space that is not ASCII in a name.", line("— witness\u00a0example AAAAAAA=\n")},
		{"name-control-character", "A control character in a name.", line("— witness\u0007 AAAAAAA=\n")},
		{"signature-not-base64", "A signature that is not base64.", line("— witness.example ????\n")},
		{"signature-unpadded", "Base64 without its padding.", line("— witness.example AAAAAAA\n")},
		{"signature-trailing-bits", "Base64 with bits that belong to no byte.", line("— witness.example AAAAAAB=\n")},
		{"signature-id-only", "Four bytes are a key id without a signature.", line("— witness.example AAAAAA==\n")},
		{"signature-space", "A space after a signature.", line("— witness.example AAAAAAA= \n")},
		{"65-lines", "65 signature lines, one too many.", addLines(func(*built, head) []string { return strings.SplitAfter(strings.Repeat("— w AAAAAAA=\n", 64), "\n") })},
		{"too-large", "More than 16384 bytes.", addLines(func(*built, head) []string { return []string{"— " + strings.Repeat("w", 16384) + " AAAAAAA=\n"} })},
		{"signature-twice", "Two lines by one key of the log.", addLines(func(_ *built, h head) []string { return []string{logKey.signs(h, h.origin)} })},
		{"signature-twice-differing", "Two lines by one key of the log, the second one wrong.",
			addLines(func(_ *built, h head) []string {
				return []string{noteLine(h.origin, logKey.noteID(h.origin), make([]byte, 64))}
			})},
	}
}
