package ecosystem

import (
	"bytes"
	"fmt"
)

// Limits on TOML in archives. Its parser recurses into brackets and copies every beginning of a dotted key.
const (
	maxTOMLDepth = 32
	maxTOMLDots  = 32 // in one line, outside of strings

	// maxTOMLPaths bounds what the parser keeps of each key: a text of all the keys that lead to it. A long header
	// above many short keys is a bomb.
	maxTOMLPaths = 16 << 20 // bytes
)

// checkTOML refuses what would make the parser recurse deeply or grow without proportion. It understands valid
// TOML; on the rest the parser stops where it becomes invalid.
func checkTOML(data []byte) error {
	depth, dots, line := 0, 0, 1
	header, column, paths := 0, 0, 0 // bytes: of the last header's line, of this line so far, of all keys' paths at most
	for len(data) > 0 {
		n := tokenLength(data)
		switch data[0] {
		case '=':
			paths += header + column
		case '[', '{':
			if column == 0 {
				header = lineLength(data)
			}
			depth++
		case ']', '}':
			depth--
		case '.':
			dots++
		case '\n':
			dots = 0
		}
		if depth > maxTOMLDepth || dots > maxTOMLDots {
			return fmt.Errorf("line %d is nested deeper than %d", line, maxTOMLDepth)
		}
		if paths > maxTOMLPaths {
			return fmt.Errorf("line %d: too many keys with too long names", line)
		}
		column += n
		if data[0] == '\n' {
			column = 0
		}
		line += bytes.Count(data[:n], []byte("\n"))
		data = data[n:]
	}
	return nil
}

// lineLength is the length of the line that data begins with.
func lineLength(data []byte) int {
	if n := bytes.IndexByte(data, '\n'); n >= 0 {
		return n
	}
	return len(data)
}

// tokenLength is the length of the string or comment that data begins with; otherwise 1.
func tokenLength(data []byte) int {
	switch data[0] {
	case '#':
		n := bytes.IndexByte(data, '\n')
		if n < 0 {
			return len(data)
		}
		return n
	case '"', '\'':
		return stringLength(data)
	}
	return 1
}

// stringLength is the length of the string that data begins with, to its end or that of data.
func stringLength(data []byte) int {
	quote, multiline := data[:1], bytes.Repeat(data[:1], 3)
	if bytes.HasPrefix(data, multiline) {
		quote = multiline
	}
	for n := len(quote); n < len(data); n++ {
		switch {
		case data[n] == '\\' && quote[0] == '"':
			n++
		case bytes.HasPrefix(data[n:], quote):
			n += len(quote)
			// A string in triple quotes may end in one or two quotes of its own.
			for len(quote) == 3 && n < len(data) && data[n] == quote[0] {
				n++
			}
			return n
		}
	}
	return len(data)
}
