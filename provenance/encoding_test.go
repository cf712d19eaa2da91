package provenance_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	tlogproof "github.com/transparency-dev/formats/proof"

	"countersign.dev/provenance"
)

// The encoders that are written by hand, against a JSON library over these plain types.
type (
	plainEnvelope struct {
		PayloadType string           `json:"payloadType"`
		Payload     []byte           `json:"payload"`
		Signatures  []plainSignature `json:"signatures"`
	}
	plainSignature struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}
	plainHead struct {
		Size uint64 `json:"size"`
		Root []byte `json:"root"`
	}
	plainBridge struct {
		Origin     string    `json:"origin"`
		From       plainHead `json:"from"`
		To         plainHead `json:"to"`
		Hashes     [][]byte  `json:"hashes"`
		Checkpoint string    `json:"checkpoint,omitempty"`
	}
	plainBundle struct {
		MediaType string          `json:"mediaType"`
		Statement []byte          `json:"statement"`
		Proof     string          `json:"proof"`
		Enrolment *plainEnvelope  `json:"enrolment,omitempty"`
		Identity  []plainEnvelope `json:"identity,omitempty"`
		Bridge    jsontext.Value  `json:"bridge,omitempty"`
	}
)

func plain(e *provenance.Envelope) *plainEnvelope {
	if e == nil {
		return nil
	}
	p := &plainEnvelope{PayloadType: e.PayloadType, Payload: e.Payload}
	for _, s := range e.Signatures {
		p.Signatures = append(p.Signatures, plainSignature{s.KeyID, s.Sig})
	}
	return p
}

func TestEnvelopeJSON(t *testing.T) {
	for _, payloadType := range []string{"application/vnd.in-toto+json", `quote " backslash \ <&>`, "control \x00\x1f\x7f", "wide é\u2028\u2029😀"} {
		for _, payload := range []string{"x", "\x00\xff\xfe>?", strings.Repeat("long", 10_000)} {
			e := must(provenance.Sign(payloadType, []byte(payload), signers(testKeys("envelope")...)...))
			if want := must(json.Marshal(plain(e))); !bytes.Equal(e.JSON(), want) {
				t.Errorf("%q:\n%s\nwant\n%s", payloadType, e.JSON(), want)
			}
			if again := must(json.Marshal(e)); !bytes.Equal(again, e.JSON()) {
				t.Errorf("MarshalJSON differs: %s", again)
			}
			back, err := provenance.ParseEnvelope(e.JSON())
			if err != nil || !reflect.DeepEqual(back, e) {
				t.Errorf("%q: read back as %+v, %v", payloadType, back, err)
			}
		}
	}
}

func TestBundleJSON(t *testing.T) {
	full := fullPlan(registry).bundle()
	noted := *full
	noted.Proof = &provenance.Proof{Index: 7, Hashes: full.Proof.Hashes[:0], Checkpoint: full.Proof.Checkpoint + witness + "\" \\ \t\x01<&>\u2028"}
	for what, b := range map[string]*provenance.Bundle{
		"full": full, "no bridge": without(full, "bridge"), "no identity": without(full, "identity"), "no enrolment": without(full, "enrolment"),
		"bare": without(without(without(full, "bridge"), "identity"), "enrolment"), "odd checkpoint": &noted,
		"empty identity": {Statement: full.Statement, Proof: full.Proof, Identity: []*provenance.Envelope{}},
	} {
		p := plainBundle{MediaType: provenance.BundleType, Statement: b.Statement, Proof: b.Proof.String(), Enrolment: plain(b.Enrolment)}
		for _, e := range b.Identity {
			p.Identity = append(p.Identity, *plain(e))
		}
		if b.Bridge != nil {
			p.Bridge = b.Bridge.JSON() // TestBridgeJSON
		}
		want := must(json.Marshal(p))
		if got := b.JSON(); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
		}
		back, err := provenance.ParseBundle(b.JSON())
		if err != nil || !bytes.Equal(back.JSON(), b.JSON()) {
			t.Errorf("%s: read back as %+v, %v", what, back, err)
		}
	}
}

func TestBridgeJSON(t *testing.T) {
	w := newWorld(registry)
	w.log.fill(9)
	for _, c := range []struct {
		from, to int
		keys     []ed25519.PrivateKey
	}{{3, 9, nil}, {3, 9, w.logKeys}, {9, 9, w.logKeys[:1]}, {1, 2, nil}} {
		b := w.log.bridge(c.from, c.to, c.keys...)
		p := plainBridge{Origin: b.From.Origin, From: plainHead{b.From.Size, b.From.Root[:]}, To: plainHead{b.To.Size, b.To.Root[:]}}
		for _, h := range b.Hashes {
			p.Hashes = append(p.Hashes, h[:])
		}
		if c.keys != nil {
			p.Checkpoint = w.log.note(c.to, c.keys...)
		}
		if want := must(json.Marshal(p)); !bytes.Equal(b.JSON(), want) {
			t.Errorf("%d to %d:\n%s\nwant\n%s", c.from, c.to, b.JSON(), want)
		}
		if back, err := provenance.ParseBridge(b.JSON()); err != nil || !reflect.DeepEqual(back, b) {
			t.Errorf("%d to %d: read back as %+v, %v", c.from, c.to, back, err)
		}
	}
}

// without is the bundle without one of its parts.
func without(b *provenance.Bundle, part string) *provenance.Bundle {
	c := *b
	switch part {
	case "bridge":
		c.Bridge = nil
	case "identity":
		c.Identity = nil
	case "enrolment":
		c.Enrolment = nil
	}
	return &c
}

// AppendJSON appends: what was there stays, and parts that are encoded already go in as they are.
func TestBundleAppendJSON(t *testing.T) {
	b := fullPlan(registry).bundle()
	enrolment, identity := b.Enrolment.JSON(), provenance.EncodeEnvelopes(b.Identity)
	if got := b.AppendJSON([]byte("before "), enrolment, identity); string(got) != "before "+string(b.JSON()) {
		t.Errorf("appended:\n%s", got)
	}
	if list, err := provenance.ParseEnvelopes(identity); err != nil || !reflect.DeepEqual(list, b.Identity) {
		t.Errorf("identity read back: %v", err)
	}
}

func TestParseEnvelopes(t *testing.T) {
	e := newWorld(registry).last().Envelope
	for text, want := range map[string]bool{
		"[]": true, string(provenance.EncodeEnvelopes(nil)): true, string(provenance.EncodeEnvelopes([]*provenance.Envelope{e, e})): true,
		"": false, "{}": false, "null": false, "[null]": false, "[{}]": false, string(e.JSON()): false, "[" + string(e.JSON()) + ",]": false,
	} {
		if _, err := provenance.ParseEnvelopes([]byte(text)); (err == nil) != want {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

func TestEnvelopeRules(t *testing.T) {
	good := string(must(provenance.Sign("type", []byte("payload"), signers(testKeys("envelope")[:2]...)...)).JSON())
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	id := fingerprint(testKeys("envelope")[0])
	many := must(provenance.ParseEnvelope([]byte(good)))
	for i := range 63 {
		many.Signatures = append(many.Signatures, provenance.Signature{KeyID: "sha256:" + sha256Of(string(rune(i))), Sig: many.Signatures[0].Sig})
	}
	for what, c := range map[string]struct{ text, want string }{
		"good":                  {good, ""},
		"no payload":            {change(`"cGF5bG9hZA=="`, `""`), "must all be there"},
		"no type":               {change(`"type"`, `""`), "must all be there"},
		"no signatures":         {`{"payloadType":"type","payload":"cGF5bG9hZA==","signatures":[]}`, "must all be there"},
		"payload unpadded":      {change("cGF5bG9hZA==", "cGF5bG9hZA"), "base64"},
		"payload with bits":     {change("cGF5bG9hZA==", "cGF5bG9hZB=="), "base64"},
		"payload, newline":      {change("cGF5bG9hZA==", `cGF5\nbG9hZA==`), "base64"},
		"payload, URL alphabet": {change("cGF5bG9hZA==", "-_-_"), "base64"},
		"payload, twice padded": {change("cGF5bG9hZA==", "cGF5bG9hZA==cGF5bG9hZA=="), "base64"},
		"no keyid":              {change(`"keyid":"`+id+`",`, ``), "keyid"},
		"keyid in capitals":     {change(id, strings.ToUpper(id)), "keyid"},
		"keyid of no form":      {change(id, "key-1"), "keyid"},
		"same keyid twice":      {strings.ReplaceAll(good, fingerprint(testKeys("envelope")[1]), id), "two signatures by"},
		"short signature":       {change(`"sig":"`, `"sig":"AAAA","x":"`), "x"},
		"no signature":          {change(`"sig":"`, `"sig":"","x":"`), "x"},
		"65 signatures":         {string(many.JSON()), "more than 64"},
	} {
		_, err := provenance.ParseEnvelope([]byte(c.text))
		wantError(t, what, err, c.want)
	}
	short := must(provenance.ParseEnvelope([]byte(good)))
	short.Signatures[0].Sig = short.Signatures[0].Sig[:63]
	_, err := provenance.ParseEnvelope(short.JSON())
	wantError(t, "63 bytes", err, "63 bytes")
}

// One signature, except on identities.
func TestSingleSignatures(t *testing.T) {
	p := newWorld(registry).plan()
	two := []ed25519.PrivateKey{p.publisher, p.officer}
	pub, cert := *p.publication().Envelope, *p.enrolment()
	resign(&pub, two, two)
	_, err := provenance.ParsePublication(&pub)
	wantError(t, "publication", err, "want exactly one")
	resign(&cert, two, two)
	_, err = provenance.ParseEnrolment(&cert)
	wantError(t, "enrolment", err, "want exactly one")
	_, err = provenance.ParsePublication(nil)
	wantError(t, "absent publication", err, "absent")
}

// What we write is what transparency-dev/formats writes; what is not in that one spelling is not a proof.
func TestProofSpelling(t *testing.T) {
	w := newWorld(registry)
	w.log.fill(100)
	for _, size := range []int{1, 2, 3, 7, 64, 100} {
		for index := range size {
			p := w.log.proof(index, size, w.logKeys[0])
			theirs := tlogproof.TLogProof{Index: uint64(index), Checkpoint: []byte(p.Checkpoint)}
			for _, h := range p.Hashes {
				theirs.Hashes = append(theirs.Hashes, h)
			}
			if p.String() != string(theirs.Marshal()) {
				t.Fatalf("proof %d of %d:\n%s\nwant\n%s", index, size, p, theirs.Marshal())
			}
			if back, err := provenance.ParseProof(p.String()); err != nil || !reflect.DeepEqual(back, p) {
				t.Fatalf("proof %d of %d read back: %v", index, size, err)
			}
		}
	}
	good := w.log.proof(41, 100, w.logKeys...).String()
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for what, text := range map[string]string{
		"nothing":            "",
		"another version":    strings.Replace(good, "@v1", "@v2", 1),
		"extra data":         strings.Replace(good, "\nindex", "\nextra QUJD\nindex", 1),
		"no index":           strings.Replace(good, "index 41\n", "", 1),
		"index without name": strings.Replace(good, "index ", "", 1),
		"leading zero":       strings.Replace(good, "index 41", "index 041", 1),
		"plus":               strings.Replace(good, "index 41", "index +41", 1),
		"negative":           strings.Replace(good, "index 41", "index -41", 1),
		"two spaces":         strings.Replace(good, "index 41", "index  41", 1),
		"space after":        strings.Replace(good, "index 41", "index 41 ", 1),
		"2^53":               strings.Replace(good, "index 41", "index 9007199254740992", 1),
		"hash of 31 bytes":   strings.Replace(good, "index 41\n", "index 41\n"+base64.StdEncoding.EncodeToString(make([]byte, 31))+"\n", 1),
		"hash unpadded":      strings.Replace(good, "index 41\n", "index 41\n"+strings.TrimRight(hash, "=")+"\n", 1),
		"hash with bits":     strings.Replace(good, "index 41\n", "index 41\n"+hash[:42]+"B=\n", 1),
		"65 hashes":          strings.Replace(good, "index 41\n", "index 41\n"+strings.Repeat(hash+"\n", 65), 1),
		"carriage returns":   strings.ReplaceAll(good, "\n", "\r\n"),
		"no checkpoint":      good[:strings.Index(good, "\n\n")+1],
		"something before":   "\n" + good,
		"invalid UTF-8":      good + "\xff",
	} {
		if _, err := provenance.ParseProof(text); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// Sign verifies what a device hands back before anybody else sees it.
func TestSignVerifiesTheSignature(t *testing.T) {
	good := testKey("device")
	for what, key := range map[string]crypto.Signer{
		"bad signature": device{good.Public(), func([]byte) ([]byte, error) { return make([]byte, 64), nil }},
		"of a prefix":   device{good.Public(), func(m []byte) ([]byte, error) { return ed25519.Sign(good, m[:len(m)-1]), nil }},
		"too long":      device{good.Public(), func(m []byte) ([]byte, error) { return append(ed25519.Sign(good, m), 0), nil }},
		"no signature":  device{good.Public(), func([]byte) ([]byte, error) { return nil, errors.New("device removed") }},
		"no key":        device{ed25519.PublicKey(make([]byte, 32)), nil},
		"short key":     device{ed25519.PublicKey(make([]byte, 31)), nil},
		"not Ed25519":   device{"RSA", nil},
	} {
		if e, err := provenance.Sign("type", []byte("payload"), key); err == nil {
			t.Errorf("%s: signed as %s", what, e.JSON())
		}
	}
	for what, sign := range map[string]func() error{
		"no payload": func() error { _, err := provenance.Sign("type", nil, good); return err },
		"no type":    func() error { _, err := provenance.Sign("", []byte("x"), good); return err },
		"no keys":    func() error { _, err := provenance.Sign("type", []byte("x")); return err },
		"same twice": func() error { _, err := provenance.Sign("type", []byte("x"), good, good); return err },
	} {
		if sign() == nil {
			t.Errorf("%s: signed", what)
		}
	}
}

// device is a crypto.Signer that misbehaves, and that is never given randomness or asked to hash.
type device struct {
	public crypto.PublicKey
	sign   func([]byte) ([]byte, error)
}

func (d device) Public() crypto.PublicKey { return d.public }

func (d device) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if n, err := random.Read(make([]byte, 1)); n > 0 || err == nil || opts.HashFunc() != 0 {
		panic("asked for randomness or a hash")
	}
	return d.sign(message)
}

func TestTime(t *testing.T) {
	at := provenance.At(time.Date(2026, 1, 2, 4, 4, 5, 999, time.FixedZone("", 3600)))
	if text := must(at.MarshalText()); string(text) != "2026-01-02T03:04:05Z" || at.String() != string(text) {
		t.Errorf("time is %s", text)
	}
	for text, want := range map[string]bool{`"2026-01-02T03:04:05Z"`: true, `"9999-12-31T23:59:59Z"`: true, `"2024-02-29T00:00:00Z"`: true,
		`"2026-01-02T03:04:05.0Z"`: false, `"2026-01-02T03:04:05,0Z"`: false, `"2026-01-02T03:04:05+00:00"`: false, `"2026-01-02T04:04:05+01:00"`: false,
		`"2026-01-02T03:04:05z"`: false, `"2026-01-02t03:04:05Z"`: false, `"2026-01-02T3:04:05Z"`: false, `"2026-02-29T00:00:00Z"`: false,
		`"2026-01-02T24:00:00Z"`: false, `"2026-01-02T03:04:60Z"`: false, `"+2026-01-02T03:04:05Z"`: false, `"10000-01-02T03:04:05Z"`: false,
		`"2026-01-02"`: false, `""`: false, `1767322800`: false, `{}`: false} {
		var v provenance.Time
		if err := json.Unmarshal([]byte(text), &v); (err == nil) != want || err == nil && string(must(json.Marshal(v))) != text {
			t.Errorf("%s: %s, %v", text, v, err)
		}
	}
}
