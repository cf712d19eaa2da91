package main

const usage = `keyagent guards the signing keys of logs, beside the token or TPM that holds them.

  keyagent --config FILE         serve until SIGTERM
  keyagent check --config FILE   read the configuration, touch nothing

It signs a head of a log only if the head provably extends the last one it
signed or recorded. It never signs bytes that a caller chose. Run it as a user
of its own: the daemon that asks it must not be able to read its memory or PIN.
As root, or with capabilities, it does not start.

A worked example. A ceremony made the token, the key, the log and the first
watermark, and printed the public keys. /etc/countersign/keyagent-a.toml:

  socket      = "/run/countersign/keyagent-a.sock"
  socket_mode = "0660"                    # default; the group may connect
  allow_users = ["countersignd"]          # and only these users are answered
  state_dir   = "/var/lib/keyagent-a"     # the watermarks; never back this up

  [[log]]
  origin     = "registry.example/countersign/1"
  key        = "pkcs11:token=registry-a;object=log-1?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:${CREDENTIALS_DIRECTORY}/pin"
  public_key = "MCowBQYDK2VwAyEA..."      # what the key must be
  log_keys   = ["MCowBQYDK2VwAyEA...", "MCowBQYDK2VwAyEA...", "MCowBQYDK2VwAyEA..."]
  threshold  = 2                          # signatures that a head needs

Every key of the file:

  socket        absolute path of the unix socket to make
  socket_mode   its mode, octal
  allow_users   names of the users that are answered
  allow_uids    the same by number; root is answered only if listed
  demo_own_uid  true: answer the agent's own user too, and allow_root. For
                demonstrations: a daemon under the agent's user is not kept from
                the key
  allow_root    true: start as root, or with capabilities, too
  state_dir     absolute path on a local disk; only the agent's user may
                write there
  call_timeout  how long a call into the PKCS#11 module may take, "1s" to "60s";
                default "5s". A call that takes longer counts as hung: whoever
                waits is told, and if the module stays stuck the agent starts
                again in place, since nothing else gets rid of it. Make it
                longer than the device's slowest signature
  recycle_after start again in place after so many signatures; default 1000000,
                0 for never. It bounds what a leaking module takes: SoftHSM
                leaks 70 to 190 bytes for each. Requests wait for a moment.
                Signatures by a TPM-sealed key do not count
  confine       "auto" (default): the agent confines itself as far as the kernel
                can, see below. "required": or it does not start. "off": not
  allow_read    files and folders that it may read besides, for a vendor's module
  allow_write   the same for reading and writing; devices too
  allow_network true for a module that talks to its HSM over the network; default
                false: unix sockets only
  [[log]]       one for each log; each needs a key of its own
    origin      <registry>/countersign/<n>
    key         RFC 7512 URI: token, object or id, module-path, pin-source;
                serial where two tokens have one label. Or the URI of a key
                that a TPM has sealed: srk, device, sealed-path, approval-path,
                pin-source, as the ceremony printed it. The PIN is read from
                the file. ${CREDENTIALS_DIRECTORY} at the start of its path is
                where systemd puts LoadCredential=pin:/etc/countersign/a.pin
    public_key  base64 SubjectPublicKeyInfo of the key
    log_keys    the same of all keys of the log that are not ended, this one
                included
    threshold   how many of them a head needs

Try it:

  keyagent check --config /etc/countersign/keyagent-a.toml
  sudo -u countersignd curl --unix-socket /run/countersign/keyagent-a.sock http://agent/v1/logs

Exit status:

  0   ended by SIGTERM or SIGINT
  1   could not start or go on; the message says what to do
  2   wrong arguments
  78  the token or the TPM refused the PIN, or the key is not the one expected.
      Do not restart before you have looked: tokens and TPMs lock after a few
      wrong PINs. In a systemd unit: RestartPreventExitStatus=78

To start again in place, the agent executes its program anew: the process, its
socket and its locks stay, and nobody is refused. The configuration is read
again. The program is the one that was started; for a new one, or another
confinement, restart the agent. (With confine = "off" it is the one now at its
path.)

A PIN that was refused is remembered in state_dir, in the file pin-refused, as a
slow hash, also if the answer comes while the agent ends. With the same PIN the
agent ends with 78 and asks neither token nor TPM, whatever starts it. Correct
the PIN file, or empty or delete pin-refused if that PIN is taken by now. Where
the agent may not make files in state_dir, give it that file, empty. After
SIGKILL, a power cut, or an answer that never came nobody knows whether a PIN was
refused, and the next start tries it once more.

A key that a TPM has sealed is unsealed at the start, and the TPM not needed any
more: the seed is in the agent's memory, where root can take it. It lies in a
page that no other process, no debugger and no core dump can read (on old
kernels: a locked page). Built with GOEXPERIMENT=runtimesecret, the program also
erases the copies that signing makes; "unsealed" in the log says both. Each agent
needs one locked page for each such key (LimitMEMLOCK).

The agent confines itself before it loads a module or reads a PIN, for good. It
may read its configuration, the system's libraries and the modules and their
configuration; write where its socket, its state, its tokens or its TPM are;
execute nothing but its own program; start no process, look into none, signal
none, and make no sockets but unix ones. keyagent check lists the files. Of a
file that is named the whole folder may be read, so that it can be replaced; not
of a folder directly below /. Files are landlock's business, Linux 5.13 and
newer: where the kernel has none, the log says so. The rest is seccomp's. Not
prevented is to connect to any unix socket that the user may (before Linux 6.12
also to those without a file); to run, through the system's loader, a program
that may be read; to use what was open when it started; before Linux 6.2 to
truncate the user's own files. A module that starts processes needs confine =
"off"; one that reads its configuration elsewhere needs allow_read.

A watermark that is missing, damaged or locked by another agent also ends it
with 1. It makes and repairs none: an agent that lost its watermark is replaced
by a ceremony.
`
