// Command countersignd is the network-facing daemon: it admits publications, logs them, has key agents sign the log's
// heads, and answers with bundles. It holds no key and no PIN and creates nothing. See countersignd --help.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
