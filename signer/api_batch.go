package signer

import (
	"bufio"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// batch handles up to 1000 submissions. All are read before the first is answered, each gets one line, in order, and
// none of them depends on another. A line that is left out says that nobody knows what became of that submission.
func (a *api) batch(x *exchange, r *http.Request) *Problem {
	s, problem := a.service(x, r, Publish, Backfill)
	if problem != nil {
		return problem
	}
	yielding, problem := priority(r)
	if problem != nil {
		return problem
	}
	free, problem := x.client.occupy()
	if problem != nil {
		return problem
	}
	defer free()
	data, problem := x.body(r, ndjsonType, maxBulk)
	if problem != nil {
		return problem
	}
	lines, problem := decodeBatch(data)
	if problem != nil {
		return problem
	}
	x.items = len(lines)
	outcomes, problem := s.Countersign(r.Context(), x.client.Caller, submissions(lines), yielding)
	if problem != nil {
		return problem
	}
	x.writeLines(lines, outcomes)
	return nil
}

// priority reads ?priority=backfill.
func priority(r *http.Request) (yielding bool, problem *Problem) {
	values, problem := query(r, "priority")
	if problem != nil {
		return false, problem
	}
	if values.Has("priority") && values.Get("priority") != "backfill" {
		return false, newProblem(Malformed, "priority can only be backfill")
	}
	return values.Has("priority"), nil
}

func decodeBatch(data []byte) ([]batchLine, *Problem) {
	raw, problem := splitLines(data)
	if problem != nil {
		return nil, problem
	}
	lines := make([]batchLine, len(raw))
	parallel(len(raw), func(i int) { lines[i] = decodeLine(raw[i]) })
	return lines, nil
}

// submissions are those of the lines that are well-formed.
func submissions(lines []batchLine) []Submission {
	var out []Submission
	for i := range lines {
		if lines[i].problem == nil {
			out = append(out, lines[i].submission)
		}
	}
	return out
}

// writeLines answers each line with its own problem or with the next outcome. What cannot be written is of no concern:
// the caller that went away sends the same again.
func (x *exchange) writeLines(lines []batchLine, outcomes []Outcome) {
	x.Header().Set("Content-Type", ndjsonType)
	x.WriteHeader(http.StatusOK)
	w := bufio.NewWriterSize(x, 64<<10)
	defer w.Flush()
	for i, line := range lines {
		o := Outcome{Problem: line.problem}
		if o.Problem == nil {
			o, outcomes = outcomes[0], outcomes[1:]
		}
		if o.Bundle == nil && o.Problem == nil {
			x.unknown++
			continue
		}
		x.line(w, i+1, line.ref, o)
	}
}

// line writes {"ref":…,"line":n,"status":…,"bundle":…} or the same with a problem.
func (x *exchange) line(w *bufio.Writer, n int, ref string, o Outcome) {
	out := append(w.AvailableBuffer(), '{')
	if ref != "" {
		out = append(out, `"ref":`...)
		out, _ = jsontext.AppendQuote(out, ref) // decoded strictly: it is valid UTF-8
		out = append(out, ',')
	}
	w.Write(strconv.AppendInt(append(out, `"line":`...), int64(n), 10))
	x.result(w, "bundle", o)
}

// result writes the members that end a line: the status, and what was asked for under its name, or a problem.
func (x *exchange) result(w *bufio.Writer, name string, o Outcome) {
	value := o.Bundle
	if o.Problem != nil {
		name, value = "problem", encode(x.own(o.Problem))
	}
	out := strconv.AppendInt(append(w.AvailableBuffer(), `,"status":`...), int64(o.status()), 10)
	w.Write(append(append(append(out, `,"`...), name...), `":`...))
	w.Write(value)
	w.WriteString("}\n")
}
