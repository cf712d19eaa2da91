// Package tpm makes an Ed25519 key whose seed a TPM 2.0 has sealed a
// crypto.Signer.
//
// # What a TPM does for the key
//
// No TPM known to us signs Ed25519. So a TPM keeps the key when it is not in use:
// the seed is encrypted by the TPM, and given out only by that TPM, on a machine
// in an approved state, to who knows the PIN, and not once the approval was
// withdrawn. From then on the seed is in the memory of the process that asked,
// and root on the running machine can take it. A sealed key withstands a stolen
// disk, a stolen machine, another boot image and guessing; it is no hardware key.
// [Capabilities] reports a TPM that lists EdDSA as native_eddsa, and nothing
// changes: there is no backend for it to slip into.
//
// # How it is sealed
//
// [Device.Provision] makes a storage key, ECC P-256 from one frozen template, and
// a counter. [Device.Seal] has the TPM make an object under the storage key that
// holds the seed, bound to the TPM and that parent, where wrong PINs count
// towards the TPM's lockout. Its policy has two steps:
//
//	PolicyAuthorize  whatever the approver's key has signed for this key and appliance, and then
//	PolicyAuthValue  the PIN
//
// The first replaces all that came before it, so an approver decides on the state
// of the machine and can never drop the PIN. What an approver signs, with
// [Approve], off the machine, is:
//
//	PolicyPCR  the measured state, registers of the SHA-256 bank, and
//	PolicyNV   the counter is at most Limit
//
// New firmware or a new kernel needs a new approval and no new sealing. An
// approval file holds several, so that the one for the state after an update is
// there before the update, and the one for the state before it until that is
// proven: the first that holds is taken. [Device.Advance] moves the counter, and
// approvals with a lower limit are void for ever, also in the hands of who kept a
// copy; the TPM lets no counter go back, not even a deleted one. An approval also
// expires. That is a reminder and no barrier, since root sets the clock.
//
// The approver's key is ECDSA P-256, because TPMs verify that. A new PIN is a new
// sealing of the unsealed seed. The old sealed file stays good with the old PIN
// for who has a copy, unless the new one is for a new appliance name, which needs
// approvals of its own, and the counter is advanced.
//
// # The bus
//
// Between processor and TPM there may be someone who reads, or who answers in the
// TPM's place. Seed and PIN cross it only in sessions whose key is agreed with
// the storage key. Which storage key that is, the URI says, by its Name, noted at
// the ceremony: neither the bus nor the sealed file is asked. Who does not have
// its private half cannot take part, and whoever changes a byte of a load or an
// unsealing is noticed. Everything looked at before, the counters, registers and
// the shown storage key, is not authenticated: it serves to refuse early and to
// explain. Who holds the bus can always refuse service, and use up PIN attempts.
// Provision takes the TPM at its word: do it where the bus is trusted.
//
// # The PIN
//
// A wrong PIN is never tried again: it gives a [PINError] that matches
// [ErrStopped]. Before each attempt the TPM's count of failures is read, and the
// last attempt before the lockout is never made, so that an operator has it. A
// [Device] remembers a refusal, and an unsealing without an answer after which the
// count rose, so that one whose caller never heard of it is not repeated. A
// power cut within a boot that used a sealed key counts as a failure too; the
// TPM cannot know better. Some TPMs lock after three: [Device.SetLockout] at the
// ceremony to ten or more, forgetting one in some minutes, and then
// [Device.TakeOwnership], with random authorisations that are kept elsewhere. The
// lockout's resets the count, by [Device.ResetLockout]; the owner's advances the
// counter, and could delete it.
//
// # Sharing the TPM, and losing it
//
// A TPM has three slots for objects and does one thing at a time. A [Device]
// gives each operation a connection of its own and its turn. The connection reads
// along what gets loaded and flushes it at the end, whatever became of it. The
// kernel's resource manager, /dev/tpmrm0, does the same when a process is killed;
// a device without one is refused. Behind a socket there is an emulator, whose
// only connection is the lock, and who gets it sweeps what others left.
//
// A caller leaves when its context ends; the operation then stops before its next
// command. A command that hangs keeps the turn, so it is one goroutine and one
// descriptor that stay behind for a device, and the others get [ErrBusy]. A reset
// or a dead TPM is an error at once.
//
// # Memory
//
// The seed is kept in one place, a page of its own: memfd_secret(2), which no
// other process, no debugger and no core dump can read, root's included; only
// where the kernel has no such memory a locked page outside swap and dumps.
// [Key.Memory] says which. Where a page can be neither hidden nor locked, a key is
// not opened. Each signature derives the private key anew and wipes it. Buffers
// that held seed or PIN are wiped.
//
// crypto/ed25519 and go-tpm make copies out of reach: a thousand signatures leave
// about a thousand. A program built with GOEXPERIMENT=runtimesecret has the Go
// runtime erase the registers and the stack at once, and the heap when the
// collector comes, which a Key sees to after the unlock and within seconds after
// a signature. Then no copy is left but the page. Builds without it sign as well,
// and leave copies: Key.Memory tells them apart. Neither helps against who takes
// over the process itself.
package tpm
