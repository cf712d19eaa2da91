package signer

import (
	"bytes"
	"errors"
	"fmt"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

const maxRef = 256 // bytes of a caller's own name for a request

// submissionWire is the body of a single request, and a line of a batch.
type submissionWire struct {
	Ref         string               `json:"ref"`
	Publication *provenance.Envelope `json:"publication"`
	Statement   *statementWire       `json:"statement"`
	Observed    *observedWire        `json:"observed"`
}

type statementWire struct {
	Purl     string                `json:"purl"`
	FileName string                `json:"fileName"`
	Reason   string                `json:"reason"`
	Evidence []provenance.Evidence `json:"evidence"`
}

// observedWire has the size and, beside it, a member for each digest.
type observedWire struct {
	Size    uint64             `json:"size"`
	Digests provenance.Digests `json:",embed"`
}

// decodeSubmission reads one submission; what it says is the Service's to judge.
func decodeSubmission(data []byte) (ref string, s Submission, err error) {
	var w submissionWire
	if err := strict.JSON(data, &w); err != nil {
		return "", s, err
	}
	switch {
	case len(w.Ref) > maxRef:
		return "", s, fmt.Errorf("ref is longer than %d bytes", maxRef)
	case w.Observed == nil:
		return w.Ref, s, errors.New("observed is missing: the digests and the size of the stored file")
	case (w.Publication == nil) == (w.Statement == nil):
		return w.Ref, s, errors.New("exactly one of publication and statement must be there")
	}
	s = Submission{Publication: w.Publication, Observed: Observed{w.Observed.Digests, w.Observed.Size}}
	if w.Statement != nil {
		s.Statement = &StatementRequest{w.Statement.Purl, w.Statement.FileName, w.Statement.Reason, w.Statement.Evidence}
	}
	return w.Ref, s, nil
}

// decodeSingle reads the body of a single request, which is about a publication.
func decodeSingle(data []byte) (Submission, *Problem) {
	_, s, err := decodeSubmission(data)
	if err == nil && s.Publication == nil {
		err = errors.New("publication is missing; statements are sent in batches")
	}
	if err != nil {
		return s, newProblem(Malformed, err.Error())
	}
	return s, nil
}

// splitLines cuts a batch into its lines. Every line counts, an empty one too; a newline at the very end begins no other.
func splitLines(data []byte) ([][]byte, *Problem) {
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) > maxLines {
		return nil, newProblem(TooLarge, fmt.Sprintf("%d lines, at most %d are allowed in a call", len(lines), maxLines))
	}
	return lines, nil
}

// batchLine is one line of a batch: a submission, or why it is none.
type batchLine struct {
	ref        string
	submission Submission
	problem    *Problem
}

func decodeLine(data []byte) (l batchLine) {
	if len(data) > maxSingle {
		l.problem = newProblem(TooLarge, fmt.Sprintf("the line has more than %d bytes", maxSingle))
		return l
	}
	var err error
	if l.ref, l.submission, err = decodeSubmission(data); err != nil {
		l.problem = newProblem(Malformed, err.Error())
	}
	return l
}

// decodeWithdrawals reads what is to be withdrawn; whether it can be is the Service's to judge.
func decodeWithdrawals(data []byte) ([]WithdrawalRequest, *Problem) {
	var w struct {
		Withdrawals []struct {
			Purl   string `json:"purl"`
			Reason string `json:"reason"`
		} `json:"withdrawals"`
	}
	if err := strict.JSON(data, &w); err != nil {
		return nil, newProblem(Malformed, err.Error())
	}
	if len(w.Withdrawals) == 0 {
		return nil, newProblem(Malformed, "withdrawals is missing or empty")
	}
	if len(w.Withdrawals) > maxLines {
		return nil, newProblem(TooLarge, fmt.Sprintf("%d withdrawals, at most %d are allowed in a call", len(w.Withdrawals), maxLines))
	}
	out := make([]WithdrawalRequest, len(w.Withdrawals))
	for i, r := range w.Withdrawals {
		out[i] = WithdrawalRequest(r)
	}
	return out, nil
}

// decodeEnrolments reads a list of certificates and ends.
func decodeEnrolments(data []byte) ([]*provenance.Envelope, *Problem) {
	var list []*provenance.Envelope
	if err := strict.JSON(data, &list); err != nil {
		return nil, newProblem(Malformed, err.Error())
	}
	if len(list) == 0 {
		return nil, newProblem(Malformed, "the list is empty")
	}
	if len(list) > maxLines {
		return nil, newProblem(TooLarge, fmt.Sprintf("%d enrolments, at most %d are allowed in a call", len(list), maxLines))
	}
	return list, nil
}
