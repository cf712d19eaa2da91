//go:build goexperiment.runtimesecret

package tpm

import (
	"runtime"
	"runtime/secret"
)

// erases says that erasing does.
const erases = (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64") && runtime.GOOS == "linux"

// erasing calls f and erases the registers, the stack and, when the collector
// finds it, the heap memory that f used. f starts no goroutine.
func erasing(f func()) { secret.Do(f) }
