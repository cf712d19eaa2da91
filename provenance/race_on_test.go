//go:build race

package provenance_test

// stride thins out the long tables of mutations under the race detector, which makes them eight times slower and has
// nothing to find in them: no goroutine is in this package.
const stride = 8
