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
  verify         a consumer checks it against a pin, offline
  end-enrolment  the officer ends a publisher's certificate

  show           print any of the documents for people; verifies nothing
  admin          operate countersignd: state, freeze, thaw, drain, return
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
