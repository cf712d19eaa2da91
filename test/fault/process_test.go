package fault_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// TestMain lets the test binary be a process that signs.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "sign" {
		os.Exit(child(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// child signs with a module in the slot with a serial, with a PIN, so many times. It prints a line when it is ready and
// one for each signature.
func child(args []string) int {
	ctx := pkcs11.New(args[0])
	if ctx == nil {
		return 3
	}
	if err := ctx.Initialize(); err != nil {
		fmt.Println(err)
		return 4
	}
	slots, _ := ctx.GetSlotList(true)
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err == nil && info.SerialNumber == args[1] {
			return childSign(ctx, slot, args[2], args[3])
		}
	}
	return 5
}

func childSign(ctx *pkcs11.Ctx, slot uint, pin, times string) int {
	n, _ := strconv.Atoi(times)
	s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err == nil {
		err = ctx.Login(s, pkcs11.CKU_USER, pin)
	}
	if err == nil {
		err = ctx.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)})
	}
	var found []pkcs11.ObjectHandle
	if err == nil {
		found, _, err = ctx.FindObjects(s, 1)
	}
	if err == nil {
		err = ctx.FindObjectsFinal(s)
	}
	fmt.Println("ready")
	for ; err == nil && n > 0; n-- {
		err = ctx.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(eddsa, nil)}, found[0])
		if err == nil {
			_, err = ctx.Sign(s, []byte("child"))
		}
		fmt.Println(err)
	}
	if err != nil {
		return 6
	}
	return 0
}

// start starts a child and waits for it to be ready.
func (d *device) start(times int) *exec.Cmd {
	d.t.Helper()
	c := exec.CommandContext(d.t.Context(), os.Args[0], "sign", d.Path, d.key.URI.Serial, d.pin, strconv.Itoa(times))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	must(d.t, err)
	must(d.t, c.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		d.t.Fatalf("child: %q, %v", line, err)
	}
	return c
}

// What is said and counted holds for all processes.
func TestProcesses(t *testing.T) {
	d := newDevice(t)
	d.Engines(1)
	d.Latency(30 * time.Millisecond)
	start := time.Now()
	one, two := d.start(10), d.start(10)
	must(t, one.Wait())
	must(t, two.Wait())
	if took := time.Since(start); took < 20*30*time.Millisecond {
		t.Errorf("20 signatures of one engine took %v", took)
	}
	if good, _ := d.Logins(); d.Calls("C_Sign") != 20 || d.Signatures() != 20 || good != 2 {
		t.Errorf("%d calls, %d signatures, %d logins", d.Calls("C_Sign"), d.Signatures(), good)
	}
	if now, most := d.Sessions(); now != 0 || most != 1 {
		t.Errorf("%d sessions of ended processes, at most %d", now, most)
	}
	d.Fail("C_Sign", fault.DeviceError, 0, 1)
	if err := d.start(1).Wait(); err == nil {
		t.Error("the fault does not hold in a child")
	}
}

// A process that is killed inside the module leaves it working.
func TestKilledProcess(t *testing.T) {
	d := newDevice(t)
	d.Engines(1)
	d.Hang("C_Sign")
	for range 3 {
		c := d.start(1)
		eventually(t, "hangs", func() bool { return d.Hanging() == 1 })
		if now, _ := d.Sessions(); now != 1 {
			t.Errorf("%d sessions", now)
		}
		must(t, c.Process.Kill())
		eventually(t, "is forgotten", func() bool { now, _ := d.Sessions(); return d.Hanging() == 0 && now == 0 })
		c.Wait()
	}
	d.Release()
	d.Latency(time.Hour)
	c := d.start(1)
	calls := d.Calls("C_Sign")
	eventually(t, "signs", func() bool { return d.Calls("C_Sign") == calls })
	must(t, c.Process.Kill())
	c.Wait()
	d.Latency(0)
	s := d.login() // the engine would be busy, for what takes time
	d.mustSign(s, d.private(s))
	d.Latency(time.Millisecond)
	d.Reboot(fault.SessionHandleInvalid) // which frees it
	s = d.login()
	d.mustSign(s, d.private(s))
}

// A copy that cannot work says why, instead of forwarding to nothing. It takes the process along: the Go binding does not
// look at what C_GetFunctionList answers.
func TestRefusesToLoad(t *testing.T) {
	long, missing := fault.New(t, softhsm.Module), fault.New(t, "/nowhere/module.so")
	must(t, os.Truncate(long.Path+".control", 1<<20))
	other := fault.New(t, softhsm.Module)
	control, err := os.OpenFile(other.Path+".control", os.O_WRONLY, 0)
	must(t, err)
	_, err = control.WriteAt([]byte{99}, 8) // the version
	must(t, errors.Join(err, control.Close()))
	for path, want := range map[string]string{
		long.Path:    "is not a control file of version 1",
		other.Path:   "is not a control file of version 1",
		missing.Path: "/nowhere/module.so: cannot open shared object file",
	} {
		out, err := exec.CommandContext(t.Context(), os.Args[0], "sign", path, "", "", "0").CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, want %q:\n%s", err, want, out)
		}
	}
}
