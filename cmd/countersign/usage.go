package main

const usage = `countersign proves which registry published a package, and for whom.

A publisher signs a package; the registry verifies that and countersigns; you
verify both, offline, against the one registry you pinned for that name. The
commands, in the order of the life of a package:

  keygen         a publisher makes a key pair
  enrol          the registry's enrolment officer certifies the publisher's key
  register       … and the registry logs the certificate
  sign           the publisher signs a package
  submit         the registry's back end has it countersigned
  pins           a consumer decides whose word counts for which names
  check          a consumer checks all that lockfiles name, before installing it
  verify         a consumer checks it against a pin, offline
  policy         a consumer's own rules are held to their examples
  end-enrolment  the officer ends a publisher's certificate
  withdraw       the registry takes a version back for good

  show           print any of the documents for people; verifies nothing
  attest         tell where a registry's key lives, from its evidence
  admin          operate countersignd: state, freeze, thaw, drain, return
  completion     what a shell needs to complete commands and flags
  man            the manual pages
  version        which build this is

One package, from key to proof:

  countersign keygen --out acme
  countersign enrol --key officer.key --identity identity.json \
    --publisher acme.pub --namespace 'pkg:npm/@acme/*' --out acme.enrolment.json
  countersign register --server https://countersign.internal:8443 \
    --registry registry.example --cert client.crt --key client.key --ca ca.crt \
    acme.enrolment.json
  countersign sign --key acme.key --registry registry.example \
    acme-widget-1.2.3.tgz
  countersign submit --server https://countersign.internal:8443 \
    --registry registry.example --cert client.crt --key client.key --ca ca.crt \
    acme-widget-1.2.3.tgz
  countersign verify --pins pins.toml --purl pkg:npm/%40acme/widget@1.2.3 \
    acme-widget-1.2.3.tgz

countersign COMMAND --help explains each with a worked example.

Exit status: 0 done, 1 not done, 2 wrong arguments. Of verify: 0 verified,
1 refused, 2 could not be checked.
`
