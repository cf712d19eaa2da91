package main

const tpmUsage = `ceremony tpm keeps an Ed25519 key sealed to a TPM 2.0. TPMs do not sign Ed25519: the TPM gives the seed out,
only on this machine, in a state that an approver signed, to who knows the PIN; the key agent then signs in memory.
It is no hardware key. docs/tpm.md tells the whole story.

On a machine of its own, offline:

  ceremony tpm approver --out NAME                      make the approver's key: NAME.key stays there, NAME.pub comes here
  ceremony tpm approve --request FILE --approver NAME.key --not-after TIME --out APPROVAL
                                                        show a request, ask, and sign it

On the machine with the TPM:

  ceremony tpm inspect --device PATH | --key URI [--json]
                                                        what the TPM can do, its lockout, handles, storage key and counter;
                                                        with --key which approvals hold, and why not the others
  ceremony tpm provision --device PATH --owner-auth FILE --lockout-auth FILE
                                                        storage key, counter, attempts before a lockout, ownership
  ceremony tpm seal --device PATH --owner-auth FILE --lockout-auth FILE --appliance NAME --approver NAME.pub
                    --pin-file FILE --pcr N [--pcr …] --out SEALED --approvals FILE --request FILE
                                                        provision, seal a new key, and request its first approval
  ceremony tpm request --key URI --pcr N [--pcr …] [--expect N=HEX …] [--next] --out FILE
                                                        what the approver needs for one more approval
  ceremony tpm add-approval --key URI --approval FILE   try an approval, and add it to the others
  ceremony tpm advance --key URI --owner-auth FILE      withdraw older approvals for ever
  ceremony tpm rotate-pin --key URI --appliance NAME --new-pin-file FILE --out SEALED
                                                        seal the same seed with another PIN
  ceremony tpm reset-lockout --device PATH --lockout-auth FILE
                                                        have the TPM forget the wrong PINs it counted

A key's URI is the key of keyagent.toml, with the PIN file as you find it:

  tpm:srk=000b…?device=/dev/tpmrm0&sealed-path=/etc/countersign/a.sealed&approval-path=/etc/countersign/a.approvals&pin-source=file:/etc/countersign/a.pin

seal and ceremony create print it. srk is the Name of the TPM's storage key: who answers in the TPM's place does not get the
PIN. Only add-approval and rotate-pin read the PIN, and try it once. After a wrong one nothing tries again by itself.

ceremony create makes a registry's keys in TPMs where a [[log.key]] names one instead of a token:

  [[log.key]]
  name      = "a"
  pin_file  = "/etc/countersign/a.pin"           # at most 32 bytes
  state_dir = "/var/lib/keyagent-a"
  socket    = "/run/countersign/keyagent-a.sock"
  user      = "keyagent-a"
  [log.key.tpm]
  device       = "/dev/tpmrm0"                   # or an emulator's socket
  appliance    = "host-1"                        # approvals are for it; a new name needs new ones
  pcrs         = [7, 11]                         # the registers that approvals bind to
  approver     = "/etc/countersign/approver.pub"
  sealed       = "/etc/countersign/a.sealed"     # made
  approvals    = "/etc/countersign/a.approvals"  # brought from the approver, while create waits
  owner_auth   = "/root/a.owner"                 # made, if the TPM has no owner yet; keep both elsewhere
  lockout_auth = "/root/a.lockout"

create provisions the TPM, seals the key, writes the request beside approvals as FILE.request, and waits until you have put
the approval there and pressed Enter. It goes on once the key opened and signed. With demo = true, approver_key names the
approver's private key and create signs by itself until the identity expires; that is no set-up for anything real.

Approvals bind to a state (the registers) and to a generation (the counter: good while it is at most the approval's). Before
an update: request with the values expected after it (--expect), or else after it with those found, while another agent
serves. request --next asks for an approval that outlives one advance. advance shows what is left, and asks.

What this needs that cannot be made again: the owner's and the lockout's authorisation, each in a file that ceremony makes
of 16 random bytes. They go to another place than the machine. After a wrong lockout authorisation the TPM refuses the right
one too, for an hour.

Exit status: 0 done, or inspected without an objection; 1 not done; 2 wrong arguments; 3 inspected, with objections.
`
