package signer_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"countersign.dev/signer"
)

const fuzzStatement = `{"ref":"a","statement":{"purl":"pkg:npm/x@1.0.0","fileName":"x","reason":"backfill","evidence":[{"type":"t","digest":"sha256:0"}]},"observed":{"size":1,"sha256":"00"}}`

const fuzzPublication = `{"publication":{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"sha256:0","sig":"AA=="}]},"observed":{"sha256":"00","size":1}}`

// What is accepted has exactly one of publication and statement, a short ref, and says the same when it is sent again.
func FuzzSubmission(f *testing.F) {
	for _, seed := range []string{fuzzStatement, fuzzPublication, "", "{}", "null", "[]", `{"observed":{}}`, `{"observed":{"size":1},"statement":{}}`,
		strings.Repeat("[", 40), strings.Repeat(`{"observed":`, 20), `{"ref":"\ud800"}`, "{\"ref\":\"\xff\"}", `{"observed":{"size":1e3}}`, `{"observed":{"size":-0}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ref, s, ok := signer.DecodeSubmission(data)
		if !ok {
			return
		}
		if (s.Publication == nil) == (s.Statement == nil) || len(ref) > 256 {
			t.Fatalf("accepted %q", data)
		}
		if again, _, ok := signer.DecodeSubmission(wire(t, ref, s)); !ok || again != ref {
			t.Fatalf("%q was accepted, not what it says", data)
		}
	})
}

// Every line of a batch counts, and no more are well-formed than there are.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{fuzzStatement, fuzzStatement + "\n" + fuzzPublication + "\n", "\n", "\n\n", "\r\n", fuzzStatement + "\r\n", "{}\n{", strings.Repeat("\n", 1000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, wellFormed := signer.DecodeBatch(data)
		want := bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) + 1
		if lines != 0 && lines != want || lines == 0 && want <= signer.MaxLines || wellFormed > lines {
			t.Fatalf("%q: %d lines, %d well-formed", data, lines, wellFormed)
		}
	})
}

func FuzzEnrolments(f *testing.F) {
	for _, seed := range []string{"[]", "[{}]", "[null]", "{}", `[{"payloadType":"x","payload":"e30=","signatures":[]}]`, strings.Repeat("[", 40), "[{},{}]x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, ok := signer.DecodeEnrolments(data); ok && (n == 0 || n > signer.MaxLines) {
			t.Fatalf("%q: %d enrolments", data, n)
		}
	})
}

func FuzzAsked(f *testing.F) {
	for _, seed := range []string{`{"coordinates":["` + strings.Repeat("0", 64) + `"]}`, `{"coordinates":[]}`, `{"coordinates":["` + strings.Repeat("A", 64) + `"]}`, "{}", `{"coordinates":"x"}`,
		`{"purls":["pkg:npm/x@1.0.0"]}`, `{"purls":[]}`, `{"purls":["a"],"coordinates":[]}`, `{"purls":["\ud800"]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, purls, ok := signer.DecodeAsked(data)
		if n := len(keys) + len(purls); ok && (n == 0 || n > signer.MaxLines || len(keys) > 0 && len(purls) > 0) {
			t.Fatalf("%q: %d coordinates, %d purls", data, len(keys), len(purls))
		}
	})
}

// What is accepted says the same when it is sent again.
func FuzzWithdrawals(f *testing.F) {
	for _, seed := range []string{`{"withdrawals":[{"purl":"pkg:npm/x@1.0.0","reason":"malware"}]}`, `{"withdrawals":[]}`, `{"withdrawals":[{}]}`, `{"withdrawals":[null]}`, "{}", "[]",
		`{"withdrawals":[{"purl":"a","reason":"b","Reason":"c"}]}`, `{"withdrawals":[{"purl":"a","purl":"b"}]}`, `{"withdrawals":[{"reason":"\ud800"}]}`, `{"withdrawals":[{"purl":1}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, ok := signer.DecodeWithdrawals(data)
		if !ok {
			return
		}
		if len(list) == 0 || len(list) > signer.MaxLines {
			t.Fatalf("%q: %d withdrawals", data, len(list))
		}
		if again, ok := signer.DecodeWithdrawals(withdrawalsBody(t, list...)); !ok || !slices.Equal(again, list) {
			t.Fatalf("%q is %v, and that is %v", data, list, again)
		}
	})
}

func FuzzReason(f *testing.F) {
	for _, seed := range []string{`{"reason":"x"}`, `{"reason":""}`, "{}", `{"reason":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if reason, ok := signer.DecodeReason(data); ok && (reason == "" || len(reason) > 1000) {
			t.Fatalf("%q: reason %q", data, reason)
		}
	})
}

// A tile has one path, the one that C2SP tlog-tiles gives it.
func FuzzTile(f *testing.F) {
	for _, seed := range []string{"0/000", "0/000.p/1", "entries/x001/x234/067.p/255", "1/x001/000", "63/999", "data/000", "8/0/000", "0/000.p/256", "entries", "0//000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, ok := signer.ParseTile(path)
		if !ok {
			return
		}
		spelled := strings.TrimPrefix(strings.Replace(tile.Path(), "/8/data/", "/8/entries/", 1), "tile/8/")
		if spelled != path || tile.H != 8 || tile.W < 1 || tile.W > 256 || tile.N < 0 {
			t.Fatalf("%q is tile %+v, whose path is %q", path, tile, spelled)
		}
	})
}
