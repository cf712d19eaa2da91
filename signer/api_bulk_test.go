package signer_test

import (
	"net/http"
	"testing"

	"countersign.dev/signer"
)

// A caller with one place for lists gets it back, whatever became of the list.
func TestBulkPlacesAreGivenBack(t *testing.T) {
	s := newSite(t, newWorld(t, 1, 1, nil), signer.Limits{Bulk: 1}, nil)
	for path, good := range map[string]string{
		"/v1/registries/" + registry + "/withdrawals": `{"withdrawals":[{"purl":"` + widget + `","reason":"malware"}]}`,
		"/v1/registries/" + registry + "/enrolments":  `[]`,
	} {
		for _, body := range []string{"{", good, "{", good, good} {
			if got := s.post(path, jsonType, []byte(body)); got.status == http.StatusTooManyRequests {
				t.Errorf("%s: %s after %s", path, got.body, body)
			}
		}
		long := make([]byte, signer.MaxBulk+1)
		s.post(path, jsonType, long).refused(t, signer.TooLarge)
		s.post(path, jsonType, long).refused(t, signer.TooLarge)
	}
}
