package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/ecosystem"
	"countersign.dev/provenance"
)

// listen makes the registry's public listener, at $PUBLIC on this machine.
func listen(s *scene, ts *testscript.TestScript, _ []string) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/registry.example/identity":
			w.Write(provenance.EncodeEnvelopes(s.registry.chain()))
		case "/registry.example/bundles:batch":
			s.registry.answerBatch(w, r)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"type":"urn:countersign:error:not-found","detail":"no"}`)
		}
	})
	public := httptest.NewServer(handler)
	ts.Defer(public.Close)
	ts.Setenv("PUBLIC", public.URL)
	ts.Setenv("XDG_CACHE_HOME", ts.MkAbs("caches"))
}

func (r *registry) answerBatch(w http.ResponseWriter, request *http.Request) {
	var wanted struct {
		Coordinates []string `json:"coordinates"`
	}
	if err := json.Unmarshal(must(io.ReadAll(request.Body)), &wanted); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, key := range wanted.Coordinates {
		answer := `"problem":{"type":"urn:countersign:error:not-found","detail":"no"}`
		for purl, index := range r.statements {
			if sum := sha256.Sum256([]byte(purl)); hex.EncodeToString(sum[:]) == key {
				answer = `"bundle":` + string(r.bundle(index).JSON())
			}
		}
		fmt.Fprintf(w, `{"coordinate":%q,%s}`+"\n", key, answer)
	}
}

// lock writes a package-lock.json: lock FILE NAME@VERSION=ARTIFACT…
func lock(_ *scene, ts *testscript.TestScript, args []string) {
	var entries []string
	for _, a := range args[1:] {
		place, artifact, _ := strings.Cut(a, "=")
		at := strings.LastIndexByte(place, '@')
		digests, _, err := ecosystem.Digests(ts.MkAbs(artifact), "")
		ts.Check(err)
		raw := must(hex.DecodeString(digests["sha512"]))
		entries = append(entries, fmt.Sprintf("    \"node_modules/%s\": {\n      \"version\": %q,\n      \"resolved\": %q,\n      \"integrity\": \"sha512-%s\"\n    }",
			place[:at], place[at+1:], "https://npm.example/"+place, base64.StdEncoding.EncodeToString(raw)))
	}
	write(ts, args[0], []byte("{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n"+strings.Join(entries, ",\n")+"\n  }\n}\n"))
}

// sarifHolds checks what code scanning needs of a SARIF file: sarif FILE RESULTS
func sarifHolds(_ *scene, ts *testscript.TestScript, args []string) {
	var log sarifLog
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &log, json.RejectUnknownMembers(true)))
	run := log.Runs[0]
	if log.Version != "2.1.0" || fmt.Sprint(len(run.Results)) != args[1] {
		ts.Fatalf("version %s, %d results", log.Version, len(run.Results))
	}
	seen := make(map[string]bool)
	for _, r := range run.Results {
		place := r.Locations[0].Physical
		print := r.Fingerprints["countersign/v1"]
		switch {
		case run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID:
			ts.Fatalf("rule %d is not %s", r.RuleIndex, r.RuleID)
		case place.Region.StartLine < 1 || place.Artifact.URI == "" || strings.HasPrefix(place.Artifact.URI, "/"):
			ts.Fatalf("place %+v", place)
		case len(print) != 64 || seen[print]:
			ts.Fatalf("fingerprint %q", print)
		case r.Message.Text == "" || r.Level != "error" && r.Level != "warning" && r.Level != "note":
			ts.Fatalf("%+v", r)
		}
		seen[print] = true
	}
}

// stated writes a status document, which lists a withdrawal if there is a purl: stated OUT [PURL]
func stated(s *scene, ts *testscript.TestScript, args []string) {
	r, now := s.registry, time.Now()
	gone := []provenance.WithdrawnCoordinate{}
	if len(args) > 1 {
		claim := r.claim(must(provenance.ParseCoordinate(args[1])), now)
		index := r.add(must((&provenance.Withdrawal{Claim: claim, Subject: provenance.Subject{Name: "file", Digest: provenance.Digests{"sha256": strings.Repeat("0", 64)}}, Reason: "malware"}).Statement()))
		gone = append(gone, provenance.WithdrawnCoordinate{Purl: args[1], Origin: r.origin(), Index: uint64(index), WithdrawnAt: provenance.At(now), Reason: "malware"})
	}
	size := uint64(len(r.entries))
	document := must((&provenance.StatusDocument{Registry: r.name, Logs: []provenance.CoveredLog{{Origin: r.origin(), Size: size}}, Withdrawals: gone,
		Ended: []provenance.EndedEnrolment{}}).JSON())
	b := r.bundle(r.add(must((&provenance.StatusStatement{Registry: r.name, Origin: r.origin(), Identity: r.fingerprint(), Size: size, At: now,
		Document: sha256.Sum256(document)}).Statement())))
	write(ts, args[0], (&provenance.StatusBundle{Statement: b.Statement, Proof: b.Proof, Document: document, Identity: b.Identity}).JSON())
}

// hostile makes a lockfile in which a package comes from a place that commands a terminal: hostile FILE
func hostile(_ *scene, ts *testscript.TestScript, args []string) {
	data := strings.Replace(ts.ReadFile(args[0]), "https://npm.example/", `https://npm.example/\u001b[2J\u202e`, -1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(data), 0o644))
}
