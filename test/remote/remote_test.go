package remote_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/remote"
)

const (
	ecEdwards         = 0x40 // CKK_EC_EDWARDS
	edwardsKeyPairGen = 0x1055
	eddsa             = 0x1057
	allowedMechanisms = 0x40000600
)

// TestMain is also the child process of TestChild.
func TestMain(m *testing.M) {
	module := os.Getenv("REMOTE_TEST_MODULE")
	if module == "" {
		os.Exit(m.Run())
	}
	tokens, err := hsm.Tokens(context.Background(), module)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, t := range tokens {
		fmt.Println(t.Label)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, key hsm.GeneratedKey) *hsm.Key {
	t.Helper()
	k, err := hsm.Open(t.Context(), hsm.Config{URI: key.URI, PublicKey: key.PublicKey})
	must(t, err)
	return k
}

func signs(t *testing.T, k *hsm.Key) {
	t.Helper()
	message := []byte("a checkpoint")
	signature, err := k.Sign(nil, message, crypto.Hash(0))
	must(t, err)
	if !ed25519.Verify(k.Public().(ed25519.PublicKey), message, signature) {
		t.Error("the signature does not verify")
	}
}

// What the remote HSM makes and signs is what a local one does.
func TestKey(t *testing.T) {
	r := remote.New(t)
	generated := r.Key("log-1")
	if !slices.Equal(generated.AllowedMechanisms, []uint{eddsa}) {
		t.Errorf("through p11-kit the key allows %#x", generated.AllowedMechanisms)
	}
	key := open(t, generated)
	before := r.Remote.Signatures()
	signs(t, key)
	if r.Remote.Signatures() == before {
		t.Error("the remote HSM made no signature")
	}
	must(t, key.Close())

	t.Setenv("SOFTHSM2_CONF", r.Config)
	s := login(t, softhsm.Module, generated.URI)
	defer s.Finalize()
	for kind, want := range map[uint]uint{allowedMechanisms: eddsa, pkcs11.CKA_KEY_GEN_MECHANISM: edwardsKeyPairGen, pkcs11.CKA_KEY_TYPE: ecEdwards} {
		values, err := s.GetAttributeValue(s.handle, s.key, []*pkcs11.Attribute{{Type: kind}})
		must(t, err)
		if !bytes.Equal(values[0].Value, pkcs11.NewAttribute(kind, want).Value) {
			t.Errorf("attribute 0x%x of the key in SoftHSM is %x, want 0x%x", kind, values[0].Value, want)
		}
	}
}

// A connection that was lost stays lost, whoever listens now, until the module
// is initialised anew. So whoever wants the HSM back must finalise.
func TestKilled(t *testing.T) {
	r := remote.New(t)
	generated := r.Key("log-1")
	s := login(t, r.Module.Path, generated.URI)
	must(t, s.sign())
	r.Kill()
	s.allFail(t, "killed")
	s.allFail(t, "killed, again")
	r.Start()
	s.allFail(t, "started")
	must(t, s.Finalize())

	s = login(t, r.Module.Path, generated.URI)
	must(t, s.sign())
	must(t, s.Finalize())
}

// A module that is initialised while nobody listens says that all is well, and
// has no token for ever. So finding no token calls for finalising, too.
func TestInitializedWhileDown(t *testing.T) {
	r := remote.New(t)
	generated := r.Key("log-1")
	r.Kill()
	ctx := pkcs11.New(r.Module.Path)
	must(t, ctx.Initialize())
	if slots, err := ctx.GetSlotList(true); err != nil || len(slots) != 0 {
		t.Errorf("killed: slots %v: %v", slots, err)
	}
	r.Start()
	if slots, err := ctx.GetSlotList(true); err != nil || len(slots) != 0 {
		t.Errorf("started: slots %v: %v", slots, err)
	}
	must(t, ctx.Finalize())

	s := login(t, r.Module.Path, generated.URI)
	must(t, s.sign())
	must(t, s.Finalize())
}

// Package hsm has the HSM back by closing and opening.
func TestOpenAgain(t *testing.T) {
	r := remote.New(t)
	generated := r.Key("log-1")
	key := open(t, generated)
	r.Kill()
	key.Close() // says that the sessions could not be closed
	r.Start()
	key = open(t, generated)
	signs(t, key)
	must(t, key.Close())
}

// The HSMs of one process are apart.
func TestTwo(t *testing.T) {
	one, two := remote.New(t), remote.New(t)
	first, second := open(t, one.Key("log-1")), open(t, two.Key("log-2"))
	signs(t, first)
	signs(t, second)
	one.Kill()
	signs(t, second)
	first.Close()
	must(t, second.Close())
}

// Child processes reach the HSM by Env.
func TestChild(t *testing.T) {
	r := remote.New(t)
	other := remote.New(t) // the environment of this process names this one now
	r.Key("log-1")
	other.Key("log-2")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "REMOTE_TEST_MODULE="+r.Module.Path, r.Env())
	if out, err := child.CombinedOutput(); err != nil || string(out) != "log-1\n" {
		t.Errorf("a child sees %q: %v", out, err)
	}
}
