//go:build !amd64 && !arm64

package main

// filterArch is 0 for machines whose numbers nobody has checked.
const filterArch = 0

var forbiddenHere []uint32
