//go:build !race

package provenance_test

const stride = 1
