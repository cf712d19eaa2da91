package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/provenance"
)

// mirror serves the identity as a public listener does, at $PUBLIC over https and at $PLAIN over http, and puts what a
// person who pins it types into the file typed. Below /KIND it has one trouble each.
func mirror(s *scene, ts *testscript.TestScript, _ []string) {
	identity := provenance.EncodeEnvelopes(s.registry.chain())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		trouble, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), "registry.example/identity")
		if !ok || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		switch trouble {
		case "":
			w.Write(identity)
		case "redirect/":
			http.Redirect(w, r, "https://registry.example/here", http.StatusFound)
		case "broken/":
			w.WriteHeader(http.StatusBadGateway)
		case "cut/":
			w.Header().Set("Content-Length", "100000")
			w.Write(identity[:100])
		case "huge/":
			io.WriteString(w, "["+strings.Repeat(" ", provenance.MaxBundle)+"]")
		case "garbage/":
			io.WriteString(w, "<html>\x1b[31m")
		case "forged/":
			io.WriteString(w, strings.Replace(string(identity), `"sig":"`, `"sig":"AA`, 1))
		}
	})
	public := httptest.NewUnstartedServer(handler)
	public.Config.ErrorLog = log.New(io.Discard, "", 0)
	public.StartTLS()
	ts.Defer(public.Close)
	plain := httptest.NewServer(handler)
	ts.Defer(plain.Close)
	write(ts, "public.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public.Certificate().Raw}))
	ts.Setenv("SSL_CERT_FILE", ts.MkAbs("public.crt"))
	ts.Setenv("PUBLIC", public.URL)
	ts.Setenv("PLAIN", plain.URL)
	ts.Setenv("FINGERPRINT", s.registry.fingerprint())
	write(ts, "typed", []byte(s.registry.fingerprint()+"\n"))
}
