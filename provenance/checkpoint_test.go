package provenance_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	checkpointformat "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/provenance"
)

// theirs is the judgement of golang.org/x/mod and transparency-dev/formats: two of the log's keys signed, and the text is a
// checkpoint that they write the same way.
func theirs(w *world, signed string) bool {
	n, err := note.Open([]byte(signed), verifiers(w))
	if err != nil || len(n.Sigs) < 2 {
		return false
	}
	var cp checkpointformat.Checkpoint
	rest, err := cp.Unmarshal([]byte(n.Text))
	return err == nil && len(rest) == 0 && string(cp.Marshal()) == n.Text && cp.Origin == w.origin(1)
}

func ours(w *world, signed string) bool {
	cp, err := provenance.ParseCheckpoint(signed)
	return err == nil && w.last().Log(w.origin(1)).Counts(cp, nil) == nil
}

// What our parser and rule accept, note.Open accepts. Where ours refuses more, it is for a reason that format.md gives.
func TestCheckpointAgreement(t *testing.T) {
	w := newWorld(registry)
	w.log.fill(9)
	good := w.log.note(9, w.logKeys[:2]...)
	line := func(name string, sig []byte) string {
		return "— " + name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
	}
	text, lines, _ := strings.Cut(good, "\n\n")
	text += "\n"
	first := lines[:strings.Index(lines, "\n")+1]
	sig := make([]byte, 68)
	for what, c := range map[string]struct {
		note         string
		theirs, ours bool
	}{
		"good":                       {good, true, true},
		"a witness":                  {good + witness, true, true},
		"a witness first":            {text + "\n" + witness + lines, true, true},
		"a witness twice":            {good + witness + witness, true, true},
		"a name with a wide letter":  {good + line("wïtness.example", sig), true, true},
		"four bytes of id alone":     {good + line("w.example", sig[:4]), false, false},
		"one byte of signature":      {good + line("w.example", sig[:5]), true, true},
		"empty name":                 {good + line("", sig), false, false},
		"name with a plus":           {good + line("w+example", sig), false, false},
		"name with a tab":            {good + line("w\texample", sig), false, false},
		"name with a control":        {good + line("w\x01example", sig), false, false},
		"name with DEL":              {good + line("w\x7fexample", sig), true, true},
		"name with a hard space":     {good + line("w\u00a0example", sig), false, false},
		"name with a line separator": {good + line("w\u2028example", sig), false, false},
		"name in invalid UTF-8":      {good + line("w\xffexample", sig), false, false},
		"name with two spaces":       {good + "— w  " + base64.StdEncoding.EncodeToString(sig) + "\n", false, false},
		"space after the signature":  {good + "— w " + base64.StdEncoding.EncodeToString(sig) + " \n", false, false},
		"hyphen for the dash":        {text + "\n" + strings.ReplaceAll(lines, "—", "-"), false, false},
		"en dash for the dash":       {text + "\n" + strings.ReplaceAll(lines, "—", "–"), false, false},
		"unpadded":                   {good + "— w " + base64.RawStdEncoding.EncodeToString(sig) + "\n", false, false},
		"carriage returns":           {strings.ReplaceAll(good, "\n", "\r\n"), false, false},
		"carriage return at the end": {strings.TrimSuffix(good, "\n") + "\r\n", false, false},
		"no newline at the end":      {strings.TrimSuffix(good, "\n"), false, false},
		"empty line at the end":      {good + "\n", false, false},
		"empty line in between":      {text + "\n" + first + "\n" + lines[len(first):], false, false},
		"two empty lines":            {text + "\n\n" + lines, false, false},
		"no signatures":              {text + "\n", false, false},
		"text alone":                 {text, false, false},
		"nothing":                    {"", false, false},
		"byte order mark":            {"\ufeff" + good, false, false},
		"one signature":              {text + "\n" + first, false, false},
		"one signature twice":        {text + "\n" + first + first, false, false},
		"a bad signature among good": {good + w.badLine(), false, false},
		// Stricter than x/mod.
		"two signatures, one twice":    {good + first, true, false},                  // a repeated key is malformed
		"a stranger in the log's name": {good + line(w.origin(1), sig), true, false}, // lines under the origin are by keys of the log
		"the log's name, short line":   {good + line(w.origin(1), sig[:5]), true, false},
		"base64 with stray bits":       {good + "— w AAAAAAB=\n", true, false}, // canonical base64
		"65 lines":                     {good + strings.Repeat(witness, 63), true, false},
		"100 lines":                    {good + strings.Repeat(witness, 98), true, false},
		"101 lines":                    {good + strings.Repeat(witness, 99), false, false},
	} {
		if got := theirs(w, c.note); got != c.theirs {
			t.Errorf("%s: theirs %t, want %t", what, got, c.theirs)
		}
		if got := ours(w, c.note); got != c.ours {
			t.Errorf("%s: ours %t, want %t", what, got, c.ours)
		}
	}
}

// badLine is a line by the third key over something else.
func (w *world) badLine() string {
	n := w.log.note(8, w.logKeys[2])
	return n[strings.Index(n, "— "):]
}

// Under every change of one byte both come to the same answer, but for stray bits of base64, which only we refuse.
func TestCheckpointAgreementByteByByte(t *testing.T) {
	w := newWorld(registry)
	w.log.fill(9)
	good := w.log.note(9, w.logKeys[:2]...)
	for at := range len(good) {
		changes := []string{good[:at], good[:at] + good[at+1:], good[:at] + good[at:at+1] + good[at:]}
		for bit := range 8 {
			changes = append(changes, string(flip([]byte(good), at, 1<<bit)))
		}
		for i, changed := range changes {
			if ours(w, changed) {
				t.Errorf("byte %d, change %d: accepted", at, i)
			}
			if theirs(w, changed) && canonicalBase64(must(note.Open([]byte(changed), verifiers(w)))) {
				t.Errorf("byte %d, change %d: accepted by note.Open", at, i)
			}
		}
	}
}

// Texts that the log's keys did sign and that are no checkpoint in its one spelling.
func TestCheckpointTexts(t *testing.T) {
	w := newWorld(registry)
	root := base64.StdEncoding.EncodeToString(append(make([]byte, 30), 0xfb, 0xff))
	good := w.origin(1) + "\n7\n" + root + "\n"
	for text, want := range map[string]bool{
		good:                               true,
		strings.Replace(good, "7", "0", 1): true,
		strings.Replace(good, "7", "9007199254740991", 1):           true,
		strings.Replace(good, "7", "9007199254740992", 1):           false,
		strings.Replace(good, "7", "18446744073709551616", 1):       false,
		strings.Replace(good, "7", "07", 1):                         false,
		strings.Replace(good, "7", "+7", 1):                         false,
		strings.Replace(good, "7", "-7", 1):                         false,
		strings.Replace(good, "7", "0x7", 1):                        false,
		strings.Replace(good, "7", "7 ", 1):                         false,
		strings.Replace(good, "7", " 7", 1):                         false,
		strings.Replace(good, "7", "", 1):                           false,
		good + "extension\n":                                        false,
		"\n" + good:                                                 false,
		w.origin(1) + "\n7\n":                                       false,
		w.origin(1) + "\n7\n" + root[:42] + "\n":                    false,
		w.origin(1) + "\n7\n" + strings.TrimRight(root, "=") + "\n": false,
		w.origin(1) + "\n7\n" + strings.ReplaceAll(strings.ReplaceAll(root, "/", "_"), "+", "-") + "\n": false,
		w.origin(1) + "\n7\n" + base64.StdEncoding.EncodeToString(make([]byte, 31)) + "\n":              false,
		w.origin(1) + "\n7\n" + base64.StdEncoding.EncodeToString(make([]byte, 33)) + "\n":              false,
		registry + "\n7\n" + root + "\n":                        false,
		registry + "/countersign/\n7\n" + root + "\n":           false,
		registry + "/countersign/01\n7\n" + root + "\n":         false,
		registry + "/countersign/4294967296\n7\n" + root + "\n": false,
		registry + "/countersign/1/\n7\n" + root + "\n":         false,
		"Registry.example/countersign/1\n7\n" + root + "\n":     false,
		" " + good: false,
	} {
		signed := text + "\n"
		for _, k := range w.logKeys[:2] {
			id := publicKey(k).NoteID(w.origin(1))
			raw := append([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}, ed25519.Sign(k, []byte(text))...)
			signed += "— " + w.origin(1) + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
		}
		cp, err := provenance.ParseCheckpoint(signed)
		if (err == nil) != want {
			t.Errorf("%q: %v, want accepted: %t", text, err, want)
		}
		if err == nil && cp.Text() != text {
			t.Errorf("%q is spelled %q", text, cp.Text())
		}
	}
	if _, err := provenance.ParseCheckpoint(w.log.note(1, w.logKeys...) + strings.Repeat(witness, 200)); err == nil {
		t.Error("a checkpoint of 20 KiB is accepted")
	}
}

func TestParseOrigin(t *testing.T) {
	for origin, want := range map[string]uint64{registry + "/countersign/0": 0, "localhost/countersign/7": 7, "a.b/countersign/4294967295": 1<<32 - 1} {
		if name, n, err := provenance.ParseOrigin(origin); err != nil || n != want || !strings.HasPrefix(origin, name+"/") {
			t.Errorf("%s: %s %d %v", origin, name, n, err)
		}
	}
	for _, origin := range []string{"", "countersign/1", "/countersign/1", "a/countersign/-1", "a/countersign/+1", "a/countersign/1 ", "a./countersign/1",
		"a/b/countersign/1", "a/countersign/1/countersign/1", "a:80/countersign/1", "A/countersign/1", strings.Repeat("a", 201) + "/countersign/1"} {
		if _, _, err := provenance.ParseOrigin(origin); err == nil {
			t.Errorf("%q is accepted", origin)
		}
	}
}
