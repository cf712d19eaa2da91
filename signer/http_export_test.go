package signer

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Routes lists "METHOD path" of the listeners that docs/openapi.yaml describes.
func Routes() []string {
	var out []string
	for _, r := range append(new(api).routes(), new(publicSite).routes()...) {
		out = append(out, r.method+" "+r.path)
	}
	return out
}

// Codes lists every problem code.
func Codes() []Code { return slices.Sorted(maps.Keys(problems)) }

// StatusOf is the HTTP status of a code, and whether it is retryable.
func StatusOf(c Code) (int, bool) { return problems[c].status, problems[c].retryable }

// Limits of bodies, for tests that exceed them.
const (
	MaxSingle = maxSingle
	MaxAsked  = maxAsked
	MaxBulk   = maxBulk
	MaxLines  = maxLines
)

// ServeWith is a listener whose only path, /, is served by f.
func ServeWith(logger *slog.Logger, f func(w http.ResponseWriter, r *http.Request)) http.Handler {
	return &edge{"test", time.Minute, logger, newRouter([]route{{http.MethodPost, "/", func(x *exchange, r *http.Request) *Problem {
		f(x, r)
		return nil
	}}})}
}

// AnswerBatch is the answer to a batch with these outcomes for its well-formed lines.
func AnswerBatch(body string, outcomes []Outcome) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	lines, problem := decodeBatch([]byte(body))
	if problem != nil {
		panic(problem)
	}
	(&exchange{ResponseWriter: rec, id: "ID"}).writeLines(lines, outcomes)
	return rec
}

// AnswerSingle is the answer to a single request with this outcome.
func AnswerSingle(o Outcome) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	x := &exchange{ResponseWriter: rec, id: "ID"}
	if problem := x.outcome(o); problem != nil {
		x.refuse(problem)
	}
	return rec
}

// AnswerWithdrawals is the answer to a list of withdrawals with these outcomes.
func AnswerWithdrawals(outcomes []WithdrawalOutcome) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	(&exchange{ResponseWriter: rec, id: "ID"}).writeWithdrawals(outcomes)
	return rec
}

// WithStatusDelay sets how soon a status follows a withdrawal.
func WithStatusDelay(c *Config, d time.Duration) { c.statusDelay = d }

// AnswerEnrolled is the answer to a list of enrolments with these results.
func AnswerEnrolled(results []Enrolled) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	(&exchange{ResponseWriter: rec, id: "ID"}).writeEnrolled(results)
	return rec
}

// DecodeSubmission, DecodeBatch, DecodeEnrolments, DecodeWithdrawals, DecodeAsked, DecodeReason and ParseTile are the decoders of
// request bodies and paths, for fuzzing. They report whether the input was accepted.
func DecodeSubmission(data []byte) (ref string, s Submission, ok bool) {
	ref, s, err := decodeSubmission(data)
	return ref, s, err == nil
}

func DecodeBatch(data []byte) (lines, wellFormed int) {
	all, problem := decodeBatch(data)
	if problem != nil {
		return 0, 0
	}
	return len(all), len(submissions(all))
}

func DecodeEnrolments(data []byte) (int, bool) {
	list, problem := decodeEnrolments(data)
	return len(list), problem == nil
}

func DecodeAsked(data []byte) (coordinates [][32]byte, purls []string, ok bool) {
	a, problem := decodeAsked(data)
	return a.coordinates, a.purls, problem == nil
}

func DecodeWithdrawals(data []byte) ([]WithdrawalRequest, bool) {
	list, problem := decodeWithdrawals(data)
	return list, problem == nil
}

func DecodeReason(data []byte) (string, bool) {
	reason, problem := decodeReason(data)
	return reason, problem == nil
}

func ParseTile(path string) (tlog.Tile, bool) { return parseTile(path) }

// CodeOf is the code in a problem document's type.
func CodeOf(typ string) Code { return Code(strings.TrimPrefix(typ, "urn:countersign:error:")) }
