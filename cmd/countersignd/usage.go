package main

const usage = `countersignd countersigns publications for package registries.

  countersignd --config FILE         serve until SIGTERM
  countersignd check --config FILE   read the configuration, touch nothing
  countersignd audit --config FILE   read the whole ledger and compare everything in it; the daemon must be stopped

It admits a publication if the publisher's signature verifies, an enrolment certificate covers it, and its digests are
those that the registry observed on the stored file. It appends it to the registry's log, has the key agents sign the
log's new head, and answers with a bundle. It creates nothing: ceremony makes keys, identity and log.

A worked example, /etc/countersign/countersignd.toml:

  ledger = "/var/lib/countersign/ledger"

  [signing]                                     # for the registry's back end
  listen      = "10.0.0.5:8443"
  certificate = "/etc/countersign/tls.crt"
  key         = "${CREDENTIALS_DIRECTORY}/tls.key"

  [public]                                      # leave out to publish nothing: a log names its packages
  listen     = "10.0.0.5:8080"
  registries = ["registry.example"]             # whose log everybody may read

  [admin]
  socket      = "/run/countersign/admin.sock"
  allow_users = ["root"]

  [[caller]]                                    # known by the key of its TLS certificate
  name = "npm back end"
  keys = ["sha256:…"]
  [[caller.grant]]
  registry   = "registry.example"
  roles      = ["publish", "enrol"]             # and "backfill", "withdraw"
  namespaces = ["pkg:npm/@acme/*"]              # leave out for all of the registry's

  [[registry]]                                  # a ceremony wrote this part: registry.toml
  name = "registry.example"
  [[registry.agent]]
  name       = "a"
  socket     = "/run/countersign/keyagent-a.sock"
  public_key = "MCowBQYDK2VwAyEA..."

A caller's key is the SHA-256 of its certificate's SubjectPublicKeyInfo:

  openssl x509 -in client.crt -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum

More keys of the file:

  [public] certificate, key   serve it over TLS
  [registry] freeze_file      while this file exists the registry is frozen, with its text as the reason;
                              by default NAME.frozen beside the ledger
             max_age          of a publication's signature at admission, "24h"
             queue_share      requests that one caller may have waiting, 4096
             max_batch        entries under one hardware operation, 4096
             sign_timeout     until callers are told that signing is unavailable, "10s"
             agent_timeout    of one request to a key agent, "10s"
             status_interval  after which a status is logged, the list of all that was withdrawn or ended, even if
                              nothing was; consumers who pin a status_max_age need it. "1h", at least "1m", or "0":
                              none is made, also not after a withdrawal

Exit status: 0 ended by SIGTERM or SIGINT, 1 could not start or go on, 2 wrong arguments.
`
