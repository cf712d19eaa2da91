package fault

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign.dev/hsm/softhsm"
)

// leaks are not ours: SoftHSM and libcrypto under it lose memory with each signature and at the end of the process.
const leaks = "leak:libsofthsm2.so\nleak:libcrypto.so\n"

// The C code, under the sanitizers, from several threads, while everything that can go wrong does.
func TestSanitized(t *testing.T) {
	checks := []string{"-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}
	l, err := build(checks...)
	must(t, err)
	tokens := softhsm.New(t)
	key := tokens.Key(tokens.Token("registry"), "log-1")
	m := l.install(t, softhsm.Module)
	pin, err := os.ReadFile(key.URI.PINFile)
	must(t, err)
	dir := t.TempDir()
	headers, err := headerDir()
	must(t, err)
	must(t, os.CopyFS(dir, source))
	must(t, os.WriteFile(filepath.Join(dir, "leaks"), []byte(leaks), 0o600))
	must(t, compile(dir, headers, append(checks, "-o", "driver", "testdata/driver.c")...))

	driver := exec.CommandContext(t.Context(), filepath.Join(dir, "driver"), m.Path, key.URI.Serial, strings.TrimSpace(string(pin)))
	driver.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=1", "LSAN_OPTIONS=print_suppressions=0:suppressions="+filepath.Join(dir, "leaks"))
	var out bytes.Buffer
	driver.Stdout, driver.Stderr = &out, &out
	running, err := driver.StdinPipe()
	must(t, err)
	must(t, driver.Start())
	for range 3000 { // until it works
		if m.Signatures() > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.makeTrouble(2 * time.Second)
	must(t, running.Close())
	err = driver.Wait()
	t.Logf("%s%d signatures, %d hung", &out, m.Signatures(), m.Hanging())
	if err != nil || strings.Contains(out.String(), "Sanitizer") || strings.Contains(out.String(), "runtime error") {
		t.Fatalf("%v", err)
	}
	if m.Signatures() < 20 || m.Calls("C_Initialize") < 3 {
		t.Errorf("only %d signatures and %d calls of C_Initialize: the test tested little", m.Signatures(), m.Calls("C_Initialize"))
	}
}

// makeTrouble does all a Module can do, and ends with a module that works.
func (m *Module) makeTrouble(d time.Duration) {
	dice := rand.New(rand.NewPCG(1, 2))
	often := []string{"C_Sign", "C_SignInit", "C_OpenSession", "C_CloseSession", "C_Login", "C_FindObjects", "C_Initialize", "C_Finalize", "C_GenerateKeyPair"}
	m.Rename(0x80000001, 0x80000002)
	trouble := []func(){
		func() { m.Fail(often[dice.IntN(len(often))], DeviceError, dice.IntN(3), 1+dice.IntN(3)) },
		func() { m.FailOften(often[dice.IntN(len(often))], FunctionFailed, 500) },
		func() { m.Hang(often[dice.IntN(len(often))]) },
		func() { m.HangFor(often[dice.IntN(len(often))], 10*time.Millisecond, 5) },
		m.Release, m.Clear, m.Clear, m.Revive,
		func() { m.Reboot(SessionHandleInvalid) },
		func() { m.Reboot(DeviceRemoved) },
		func() { m.Stale(DeviceError) },
		func() { m.Die(DeviceRemoved) },
		func() { m.Corrupt(1 + dice.IntN(3)) },
		func() { m.Shorten(true) },
		func() { m.SessionCap(1 + dice.IntN(4)); m.ReportSessionCap(true) },
		func() { m.Lie(Quirk(1 << dice.IntN(13))) },
		func() { m.Engines(dice.IntN(4)); m.Latency(time.Duration(dice.IntN(3)) * time.Millisecond) },
		func() { m.Jitter(time.Duration(dice.IntN(2)) * time.Millisecond) },
		func() { m.Messages(); m.Sessions(); m.Hanging() },
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Duration(dice.IntN(15)) * time.Millisecond) {
		trouble[dice.IntN(len(trouble))]()
	}
	m.Clear()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
