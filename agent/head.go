package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// MaxSize is the largest tree size: every JSON implementation represents it exactly.
const MaxSize = 1<<53 - 1

// maxRegistry bounds the registry name in an origin, in bytes.
const maxRegistry = 200

// Head is a state of a log: its size and the RFC 6962 root hash over that many entries.
type Head struct {
	Size uint64
	Root [32]byte
}

// Text is the C2SP checkpoint text of the head: what an agent's key signs, and all that it ever signs.
func (h Head) Text(origin string) string {
	return origin + "\n" + strconv.FormatUint(h.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(h.Root[:]) + "\n"
}

func (h Head) check() error {
	if h.Size < 1 || h.Size > MaxSize {
		return fmt.Errorf("tree size %d is not between 1 and 2^53-1", h.Size)
	}
	if h.Root == ([32]byte{}) {
		return errors.New("no root")
	}
	return nil
}

// parseText reads a checkpoint text of the origin. There is one text per head, so it formats what it read and compares.
func parseText(text, origin string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return Head{}, fmt.Errorf("checkpoint text is not the three lines of %s", origin)
	}
	size, err := strconv.ParseUint(lines[1], 10, 53)
	if err != nil {
		return Head{}, errors.New("checkpoint size is not a decimal number up to 2^53-1")
	}
	h := Head{Size: size}
	if err := decode64(h.Root[:], []byte(lines[2])); err != nil {
		return Head{}, fmt.Errorf("checkpoint root: %w", err)
	}
	if h.Text(origin) != text {
		return Head{}, errors.New("checkpoint text is not in canonical form")
	}
	return h, h.check()
}

// decode64 fills dst from its one canonical base64 text.
func decode64(dst, text []byte) error {
	if len(text) != base64.StdEncoding.EncodedLen(len(dst)) {
		return fmt.Errorf("not the base64 of %d bytes", len(dst))
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != len(dst) {
		return fmt.Errorf("not the canonical base64 of %d bytes", len(dst))
	}
	copy(dst, raw)
	return nil
}

// originForm is <registry>/countersign/<n>: a lower-case host name, and a number without leading zeros.
var originForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)/countersign/(0|[1-9][0-9]{0,9})$`)

func checkOrigin(origin string) error {
	m := originForm.FindStringSubmatch(origin)
	if m == nil || len(m[1]) > maxRegistry {
		return fmt.Errorf("log origin %.300q is not <registry>/countersign/<n>", origin)
	}
	return nil
}
