package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func bytesHex(b []byte) string { return fmt.Sprintf("%x", b) }

func advanceTo(n uint64, out bool) string {
	text := fmt.Sprintf("advance to %d", n)
	if out {
		text += " and lock the key out"
	}
	return text + "\n"
}

// setAuth does half of what taking ownership does.
func setAuth(r *room, hierarchy tpm2.TPMHandle, auth string) error {
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: hierarchy, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: []byte(auth)},
	}.Execute(r.raw())
	return err
}

const sampleRequest = `{
  "version": 1,
  "publicKey": "MCowBQYDK2VwAyEA/lkDLqBid7vQiyEpz15/q7XA/G6GWAjrM6EU83HDkLs=",
  "appliance": "host-1",
  "approver": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwfMLpeyGjFkzmIRzkIOgrUB6SjmNA1uNAQXC/eej3zGA11jidTsv3XlRhMs7h8Ne6AmG9mkjnhdVVL0IelXceg==",
  "pcrs": {
    "7": "0101010101010101010101010101010101010101010101010101010101010101"
  },
  "predicted": [
    "7"
  ],
  "limit": 3
}
`

func TestParseRequest(t *testing.T) {
	r, err := parseRequest([]byte(sampleRequest))
	must(t, err)
	data, err := r.format()
	must(t, err)
	if string(data) != sampleRequest {
		t.Errorf("%s", data)
	}
	for why, change := range map[string][2]string{
		"unknown":            {`"version"`, `"colour": 1, "version"`},
		"version 1":          {`"version": 1`, `"version": 2`},
		"appliance":          {`host-1`, `host 1`},
		"publicKey":          {`MCowBQYDK2VwAyEA`, `MCowBQYDK2VwAyEB!`},
		"approver: a ":       {`"approver": "`, `"approver": "MCowBQYDK2VwAyEA/lkDLqBid7vQiyEpz15/q7XA/G6GWAjrM6EU83HDkLs=", "x": "`},
		"is not a register":  {`"7":`, `"07":`},
		"0 to 23":            {`"7":`, `"24":`},
		"reset by any":       {`"7":`, `"16":`},
		"hexadecimal":        {`0101"`, `010"`},
		"predicted and has":  {`    "7"` + "\n", `    "8"` + "\n"},
		"at least one":       {`"7": "0101010101010101010101010101010101010101010101010101010101010101"`, ``},
		"between 0 and 2^53": {`"limit": 3`, `"limit": -1`},
	} {
		text := strings.Replace(sampleRequest, change[0], change[1], 1)
		if why == "approver: a " {
			i, j := strings.Index(sampleRequest, `"approver"`), strings.Index(sampleRequest, `"pcrs"`)
			text = sampleRequest[:i] + `"approver": "MCowBQYDK2VwAyEA/lkDLqBid7vQiyEpz15/q7XA/G6GWAjrM6EU83HDkLs=", ` + sampleRequest[j:]
		}
		if !strings.Contains(why, "predicted") {
			text = strings.Replace(text, "\n    \"7\"\n", "", 1)
		}
		if _, err := parseRequest([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", why, err)
		}
	}
}

// A request has one form.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(sampleRequest))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRequest(data)
		if err != nil {
			return
		}
		once, err := r.format()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRequest(once)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := again.format(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%s\n%s", err, once, twice)
		}
	})
}
