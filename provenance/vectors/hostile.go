package main

// Keys and texts that must be refused, and two test keys that happen to share a note key id.

var (
	smallOrder   = unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05") // a point of order 8
	notCanonical = unhex("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f") // y = p + 3, a point of large order
	notAPoint    = unhex("0200000000000000000000000000000000000000000000000000000000000000")
)

// urlAlphabet is a key in the URL-safe alphabet, with an underscore where the standard alphabet has a slash.
const urlAlphabet = "MCowBQYDK2VwAyEAoyrA2Z6hKl_WMETpnONqteMUGh4CJAkUdgVCBGqwFAo="

const (
	collisionA  key = "log-collision-95171"
	collisionB  key = "log-collision-141380"
	collisionID     = "48ea5447"
)
