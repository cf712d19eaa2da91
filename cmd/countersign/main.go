// Command countersign is the tool of publishers, enrolment officers, registries and consumers: it makes keys and
// enrolment certificates, signs packages, sends them to be countersigned, and verifies the answer offline. It is pure Go
// and one static binary; keys in tokens are left to the program ceremony. See countersign --help.
//
// # How it talks
//
// The rules that every verb keeps:
//
//   - What was asked for goes to standard output, everything else to standard error.
//   - Errors begin with "countersign: " and the verb, in lower case; where something can be done about one, a line that
//     begins with "hint: " says what.
//   - Text that came from elsewhere is printed without the characters that command a terminal.
//   - No file is ever overwritten, but that pins add adds to the pins file. A file appears under its name complete, or
//     empty, never in between.
//   - Exit status 0 is success, 1 is no, 2 is wrong arguments; of verify, 2 is also "could not be checked".
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
