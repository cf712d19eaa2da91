package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// A fingerprint is read aloud in groups of four digits, eight to a line.
const (
	groupSize  = 4
	groupsLine = 8
	askedFor   = 3 // groups that whoever pins has to know from elsewhere: 48 bits that cannot be prepared for
)

// groups are the digits of a fingerprint "sha256:…".
func groups(fingerprint string) []string {
	digits := strings.TrimPrefix(fingerprint, "sha256:")
	var out []string
	for group := range slices.Chunk([]byte(digits), groupSize) {
		out = append(out, string(group))
	}
	return out
}

// sayFingerprint shows a fingerprint with the hidden groups left out.
func sayFingerprint(t terminal, fingerprint string, hidden []int) {
	all := groups(fingerprint)
	for _, i := range hidden {
		all[i] = "····"
	}
	name := "fingerprint"
	for line := range slices.Chunk(all, groupsLine) {
		t.field(name, "%s", strings.Join(line, " "))
		name = ""
	}
}

// hide chooses the groups that are asked for, in order. Nobody can know before which they will be, and so prepare another
// identity whose fingerprint is the same in those.
func hide(fingerprint string) []int {
	hidden := rand.Perm(len(groups(fingerprint)))[:askedFor]
	slices.Sort(hidden)
	return hidden
}

// compare asks for the hidden groups of a fingerprint. The whole of it, pasted from elsewhere, will do as well.
func compare(fingerprint string, hidden []int, t terminal) error {
	all := groups(fingerprint)
	var want string
	var numbers []string
	for _, i := range hidden {
		want += all[i]
		numbers = append(numbers, fmt.Sprint(i+1))
	}
	last := len(numbers) - 1
	typed, err := ask(t, fmt.Sprintf("Groups %s and %s of the fingerprint, from where you compare it: ", strings.Join(numbers[:last], ", "), numbers[last]))
	if err != nil {
		return err
	}
	typed = strings.ToLower(strings.Join(strings.Fields(typed), ""))
	if typed == want || strings.TrimPrefix(typed, "sha256:") == strings.Join(all, "") {
		return nil
	}
	return hint(errors.New("what was typed is not in this identity's fingerprint: nothing was pinned"),
		"groups are counted from 1, row by row. If they were typed right, this identity is not that of the registry you asked: find out who sent it")
}

// ask reads a line that a person types.
func ask(t terminal, question string) (string, error) {
	fmt.Fprint(t.err, question)
	line, err := bufio.NewReader(io.LimitReader(t.in, 1<<10)).ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		fmt.Fprintln(t.err)
		return "", hint(errors.New("nothing was typed"), "a script gives --fingerprint and --yes")
	}
	return line, nil
}
