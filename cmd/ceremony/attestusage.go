package main

const errAttestUsage usageError = "see ceremony attest --help"

const attestUsage = `ceremony attest writes a document about where a key lives, which anyone checks offline with countersign attest verify.
docs/attestation.md tells what it proves. It opens the key with its PIN, which is not tried again if it is refused, and has
the key sign a text that can never be a checkpoint; agents that use the key go on.

  ceremony attest --key URI --public-key BASE64 --out FILE
                  [--nonce HEX | --challenge FILE] [--ak-certificate FILE] [--certificates PEM]
                  [--agent PROGRAM] [--previous FILE] [--vendor FORMAT=FILE …]

  --key             the key of keyagent.toml, with the PIN file as you find it: pkcs11:… or tpm:…
  --public-key      the public_key beside it: the device's word alone is not taken
  --nonce           what the verifier chose, 32 to 128 digits; a random one if left out
  --challenge       what countersign attest challenge made, with a nonce of its own; for tpm: keys, like the next two
  --ak-certificate  what the auditor's countersign attest certify made of the answer
  --certificates    the issuers of the TPM's endorsement certificate, from its maker; first the certificate itself where
                    the TPM holds none
  --agent           the key agent's program, whose digest goes into the document
  --previous        the document before this one
  --vendor          an attestation by the token's vendor, kept as it is for those who can check it
  --out             the document; what exists is not overwritten

A token of a maker of software is called software-test, any other pkcs11-token by its own word. For a key sealed to a TPM the
endorsement hierarchy must have no authorisation, and an approval must hold.

  ceremony attest --key 'pkcs11:token=registry-a;object=log-1?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/countersign/a.pin' \
    --public-key MCowBQYDK2VwAyEA… --agent /usr/local/bin/keyagent --out a.evidence.json

For a TPM it takes three documents: the first shows an auditor which TPM to challenge, the second answers, and the third
carries the auditor's certificate and is published. It prints the digest by which the registry's identity names it.

Exit status: 0 done, 1 not done, 2 wrong arguments.
`
