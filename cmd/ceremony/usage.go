package main

const usage = `ceremony creates a registry's keys, its identity and its log.

  ceremony create --config FILE                         everything for a new registry
  ceremony enrol --key URI --identity FILE              sign an enrolment certificate with a key in a token
                 --publisher FILE --namespace PATTERN [--namespace …] [--not-after TIME] --out FILE
  ceremony end-enrolment --key URI --identity FILE      sign the end of one
                 --enrolment FILE|sha256:… --reason TEXT --out FILE
  ceremony inspect --key URI [--sign] [--json]          what a token can do, what its key really is, and what
  ceremony inspect --module PATH [--json]               Countersign objects to
  ceremony tpm VERB …                                   keys sealed to a TPM: see ceremony tpm --help
  ceremony attest --key URI --public-key BASE64 …       evidence of where a key lives: see ceremony attest --help

create refuses if anything it would make exists. It makes, in this order:

  1. the tokens that name a so_pin_file (others must be there)
  2. in each token one key that cannot leave it; where a log key names a TPM, one that is sealed to it
  3. the identity's first version, signed by the root keys
  4. the ledger with a new log, whose entry 0 is the identity
  5. for each key agent its first watermark, with its signature of the log's first head
  6. in the output directory: identity.json, pins.toml for consumers, log.vkey for monitors, evidence-NAME.json of
     where each agent's key lives, for auditors, keyagent-NAME.toml for each agent and registry.toml for
     countersignd.toml

What the registry is from now on is its fingerprint: publish it where consumers can compare it. Afterwards keep the
root tokens and the enrolment token offline. PINs come from files; make each with, for example,

  (umask 077; head -c 20 /dev/urandom | base32 >/etc/countersign/a.pin)

A worked example:

  registry   = "registry.example"
  namespaces = ["pkg:npm/@acme/*", "pkg:golang/git.example/*"]
  valid_days = 730                         # then the root must have signed a new version
  module     = "/usr/lib/softhsm/libsofthsm2.so"
  ledger     = "/var/lib/countersign/ledger"
  output     = "/etc/countersign/registry.example"
  daemon_user = "countersignd"             # owns the ledger, may ask the agents

  [root]                                   # signs identities; offline
  threshold = 1
  [[root.key]]
  token       = "registry-root"
  pin_file    = "/etc/countersign/root.pin"
  so_pin_file = "/etc/countersign/root.so"

  [log]                                    # signs the log's heads; online, one agent each
  threshold = 2
  [[log.key]]
  name        = "a"
  token       = "registry-a"
  pin_file    = "/etc/countersign/a.pin"
  so_pin_file = "/etc/countersign/a.so"
  state_dir   = "/var/lib/keyagent-a"      # must exist: deploy/tmpfiles.conf
  socket      = "/run/countersign/keyagent-a.sock"
  user        = "keyagent-a"               # owns the watermark

  [[log.key]]
  name = "b"
  …

  [enrol]                                  # signs enrolment certificates; not on the appliance
  [[enrol.key]]
  token       = "registry-enrolment"
  pin_file    = "/etc/countersign/enrolment.pin"
  so_pin_file = "/etc/countersign/enrolment.so"

Choose 1 of 1 agents to try it, 2 of 3 to run it. With a threshold of half the agents or fewer, one missing agent stops
the service until it is drained, and whoever controls the daemon can then fork the log: you are asked to type that you
accept this.

Other keys of the file: expires = "2030-01-01T00:00:00Z" instead of valid_days; serial, where two tokens have one label;
object, the key's label in the token; module per key; demo = true, for agents that run as the daemon's own user.

inspect changes nothing. With --module it lists the tokens of a module. With --key it looks at one token; if the URI has
object or id at that key, otherwise at all keys of the token. Without pin-source it does not log in, and shows what the
token shows to everyone. It logs in once, and not where another wrong PIN would lock the token. --sign uses the key: it
signs one message that means nothing, verifies the signature and says how long that took. --json prints the same as JSON.
A fatal objection keeps an agent from using the key; the others would keep a ceremony from making such a key.

  ceremony inspect --module /usr/lib/softhsm/libsofthsm2.so
  ceremony inspect --key 'pkcs11:token=registry-a;object=log-1?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/countersign/a.pin'

Exit status: 0 done, or inspected without an objection; 1 not done; 2 wrong arguments; 3 inspected, with objections.
`
