// Package fault gives tests a PKCS#11 module that misbehaves on demand. It is
// the C code in testdata, which forwards to another module: SoftHSM, p11-kit's
// client, or a second one of its own kind. It is for tests only; nothing that
// ships imports it.
//
// Each New is a copy of its own, a file that any number of processes load at
// once, in-process or as children: what a test says to the Module holds for
// all of them from their next call on, and what it reads counts all of them.
// They share <path>.control, memory that testdata/control.h describes. Nothing
// goes by environment variables.
//
// A call passes these stations in order: it is counted, hangs, is refused by a
// dead device or a stale module, meets a fault, is refused because its session
// is of before a reboot, and reaches the module below. A call that failed on
// the way did not happen below. So C_Sign that failed leaves its operation
// active, as many devices do, and C_CloseSession that failed leaves the session
// open.
//
// A C_Sign then takes the device's time. With n engines it gets the one that
// is free first and occupies it for the latency: a queue with n servers, over
// all processes. A killed process leaves nothing locked, only the engines busy
// with what it had asked for. The size query of C_Sign (no buffer for the
// signature) takes no time, meets no fault and is not counted.
//
// A reboot is done to the module below too, when no call is in it: the real
// sessions are closed and with them the login ends. A process notices with its
// next call.
//
// Libraries crash if C_Finalize comes while another call runs, or if two
// threads use one session at once. Here both are reported and fail the test
// at its end.
package fault
