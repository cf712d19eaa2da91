package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// recordSize is one disk sector.
const recordSize = 512

const recordVersion = "countersign-watermark v1\n"

// encodeRecord is the version line, the checkpoint text, the SHA-256 of both in hex, and spaces up to the last byte, a
// newline.
func encodeRecord(origin string, head Head) []byte {
	text := recordVersion + head.Text(origin)
	sum := sha256.Sum256([]byte(text))
	record := bytes.Repeat([]byte{' '}, recordSize)
	copy(record, text+hex.EncodeToString(sum[:])+"\n")
	record[recordSize-1] = '\n'
	return record
}

// decodeRecord accepts exactly what encodeRecord makes.
func decodeRecord(record []byte, origin string) (Head, error) {
	if len(record) != recordSize {
		return Head{}, fmt.Errorf("record is not %d bytes", recordSize)
	}
	text, ok := strings.CutPrefix(string(record), recordVersion)
	if !ok {
		return Head{}, errors.New("record is not of a version this agent knows")
	}
	if lines := strings.SplitAfterN(text, "\n", 4); len(lines) == 4 {
		text = strings.Join(lines[:3], "")
	}
	head, err := parseText(text, origin)
	if err != nil {
		return Head{}, err
	}
	if !bytes.Equal(encodeRecord(origin, head), record) {
		return Head{}, errors.New("record does not match its checksum")
	}
	return head, nil
}
