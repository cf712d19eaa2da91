// Command keyagent guards signing keys in a PKCS#11 token: it signs one history per log and nothing else. See package
// agent for what it promises, and keyagent --help for how to run it.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
