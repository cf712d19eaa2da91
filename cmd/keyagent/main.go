// Command keyagent guards signing keys in a PKCS#11 token or sealed by a TPM: it signs one history per log and nothing
// else. See package agent for what it promises, and keyagent --help for how to run it.
//
// A life begins with giving up what it will not need. It forbids core dumps and debuggers (harden), refuses root and
// capabilities (checkPrivileges) and confines itself to its files (confine), all before it loads a module or reads a PIN.
// Then it takes the watermarks, opens the keys and serves. A module that leaks or is stuck is left by executing the
// program anew (startAgain): process, socket, locks and confinement stay.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
