package fault_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

func (d *device) read(s pkcs11.SessionHandle, object pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	values, err := d.GetAttributeValue(s, object, []*pkcs11.Attribute{{Type: kind}})
	if err != nil {
		return nil, err
	}
	return values[0].Value, nil
}

func TestLies(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	const private, public = pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY
	object := map[uint]pkcs11.ObjectHandle{private: d.find(s, private)[0], public: d.find(s, public)[0]}
	point := hex.EncodeToString(d.key.PublicKey)
	oid, printable := "06032b6570", "130c"+hex.EncodeToString([]byte("edwards25519"))
	number := func(n uint64) string { return hex.EncodeToString(binary.NativeEndian.AppendUint64(nil, n)) }
	const missing = "missing"
	for name, c := range map[string]struct {
		lie         fault.Quirk
		class, kind uint
		truth, says string
	}{
		"RawPoint":                  {fault.RawPoint, public, pkcs11.CKA_EC_POINT, "0420" + point, point},
		"RawPoint, private":         {fault.RawPoint, private, pkcs11.CKA_EC_POINT, missing, missing},
		"PointOnPrivate":            {fault.PointOnPrivate, private, pkcs11.CKA_EC_POINT, missing, "0420" + point},
		"PointOnPrivate, public":    {fault.PointOnPrivate, public, pkcs11.CKA_EC_POINT, "0420" + point, "0420" + point},
		"PointOnPrivate | RawPoint": {fault.PointOnPrivate | fault.RawPoint, private, pkcs11.CKA_EC_POINT, missing, point},
		"LocalUnreported":           {fault.LocalUnreported, private, pkcs11.CKA_LOCAL, "01", missing},
		"NotLocal":                  {fault.NotLocal, private, pkcs11.CKA_LOCAL, "01", "00"},
		"Extractable":               {fault.Extractable, private, pkcs11.CKA_EXTRACTABLE, "00", "01"},
		"AnyMechanism":              {fault.AnyMechanism, private, pkcs11.CKA_ALLOWED_MECHANISMS, number(eddsa), number(pkcs11.CKM_ECDSA)},
		"ParamsOID":                 {fault.ParamsOID, private, pkcs11.CKA_EC_PARAMS, printable, oid},
		"ParamsPrintable":           {fault.ParamsPrintable, public, pkcs11.CKA_EC_PARAMS, oid, printable},
		"ParamsGNU":                 {fault.ParamsGNU, public, pkcs11.CKA_EC_PARAMS, oid, "06092b06010401da470f01"},
	} {
		for _, want := range []string{c.truth, c.says, c.truth} {
			got, err := d.read(s, object[c.class], c.kind)
			switch {
			case want == missing:
				wantCode(t, err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)
			case err != nil || hex.EncodeToString(got) != want:
				t.Errorf("%s: %x, %v, want %s", name, got, err, want)
			}
			if want == c.truth {
				d.Lie(c.lie)
			}
			if want == c.says {
				d.Clear()
			}
		}
		d.Clear()
	}
}

// A lie goes with others, and with attributes read in the same call.
func TestLiesTogether(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	private := d.private(s)
	d.Lie(fault.NotLocal, fault.Extractable)
	values, err := d.GetAttributeValue(s, private, []*pkcs11.Attribute{
		{Type: pkcs11.CKA_LOCAL}, {Type: pkcs11.CKA_LABEL}, {Type: pkcs11.CKA_EXTRACTABLE}, {Type: pkcs11.CKA_SENSITIVE}})
	must(t, err)
	for i, want := range [][]byte{{0}, []byte("log-1"), {1}, {1}} {
		if !bytes.Equal(values[i].Value, want) {
			t.Errorf("attribute %d is %x", i, values[i].Value)
		}
	}
}

func TestTokenFlags(t *testing.T) {
	d := newDevice(t)
	for lie, change := range map[fault.Quirk]uint{
		fault.FinalTry:  pkcs11.CKF_USER_PIN_FINAL_TRY,
		fault.CountLow:  pkcs11.CKF_USER_PIN_COUNT_LOW,
		fault.NoUserPIN: pkcs11.CKF_USER_PIN_INITIALIZED,
	} {
		before, err := d.GetTokenInfo(d.slot)
		must(t, err)
		d.Lie(lie)
		after, err := d.GetTokenInfo(d.slot)
		must(t, err)
		d.Clear()
		if before.Flags^after.Flags != change {
			t.Errorf("lie %d: flags %x became %x", lie, before.Flags, after.Flags)
		}
	}
}

func TestNoPublicObject(t *testing.T) {
	d := newDevice(t)
	s := d.login()
	count := func() (n int) { // one by one, so that some answers would be empty
		must(t, d.FindObjectsInit(s, nil))
		for {
			found, _, err := d.FindObjects(s, 1)
			must(t, err)
			if len(found) == 0 {
				break
			}
			n++
		}
		must(t, d.FindObjectsFinal(s))
		return n
	}
	if n := count(); n != 2 {
		t.Fatalf("%d objects", n)
	}
	d.Lie(fault.NoPublicObject)
	if public, private, all := d.find(s, pkcs11.CKO_PUBLIC_KEY), d.find(s, pkcs11.CKO_PRIVATE_KEY), count(); len(public) != 0 || len(private) != 1 || all != 1 {
		t.Errorf("%d public, %d private, %d in all", len(public), len(private), all)
	}
}

// Between two copies that rename, another number is in use than on both sides.
func TestRenames(t *testing.T) {
	const between, betweenKeys = pkcs11.CKM_ECDSA, pkcs11.CKM_EC_KEY_PAIR_GEN
	d := newDevice(t)
	lower := fault.New(t, d.Path)
	lower.Rename(between, eddsa)
	lower.Rename(betweenKeys, edwards)
	middle := device{load(t, lower.Path), lower, t, d.key, d.pin, d.slot}
	s := d.login()
	private := d.private(s)

	if _, err := middle.sign(s, private, "m"); err == nil {
		t.Error("the lower copy still takes the number it gave away")
	}
	must(t, middle.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(between, nil)}, private))
	signature, err := middle.Ctx.Sign(s, []byte("m"))
	if err != nil || !d.verify("m", signature) {
		t.Fatalf("%x, %v", signature, err)
	}

	upper := fault.New(t, lower.Path)
	upper.Rename(eddsa, between)
	upper.Rename(edwards, betweenKeys)
	top := device{load(t, upper.Path), upper, t, d.key, d.pin, d.slot}
	top.mustSign(s, private)
	truth, err := d.GetMechanismInfo(d.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(edwards, nil)})
	must(t, err)
	for name, c := range map[string]struct {
		device
		eddsa, edwards uint
	}{"top": {top, eddsa, edwards}, "middle": {middle, between, betweenKeys}} {
		info, err := c.GetMechanismInfo(c.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(c.edwards, nil)})
		if err != nil || info != truth {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		value, err := c.read(s, private, pkcs11.CKA_ALLOWED_MECHANISMS)
		if err != nil || binary.NativeEndian.Uint64(value) != uint64(c.eddsa) {
			t.Errorf("%s: allowed %x, %v", name, value, err)
		}
		value, err = c.read(s, private, pkcs11.CKA_KEY_GEN_MECHANISM)
		if err != nil || binary.NativeEndian.Uint64(value) != uint64(c.edwards) {
			t.Errorf("%s: made by %x, %v", name, value, err)
		}
	}
	if got, want := mechanisms(t, top), mechanisms(t, d); !slices.Equal(got, want) {
		t.Errorf("mechanisms %x, want %x", got, want)
	}
}

// Key pairs are made under the other name, and allow what was meant.
func TestRenamesInTemplates(t *testing.T) {
	tokens := softhsm.New(t)
	d := newDeviceOf(t, fault.New(t, softhsm.Module), tokens.Key(tokens.Token("registry"), "log-1"))
	d.Rename(0x80000001, edwards)
	d.Rename(0x80000002, eddsa)
	s, err := d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(t, err)
	must(t, d.Login(s, pkcs11.CKU_USER, d.pin))
	allowed := binary.NativeEndian.AppendUint64(nil, 0x80000002)
	_, private, err := d.GenerateKeyPair(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(0x80000001, nil)},
		[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{6, 3, 0x2b, 0x65, 0x70})},
		[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, allowed)})
	must(t, err)
	must(t, d.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(0x80000002, nil)}, private))
	if _, err := d.Ctx.Sign(s, []byte("m")); err != nil {
		t.Fatal(err)
	}
	if value, err := d.read(s, private, pkcs11.CKA_ALLOWED_MECHANISMS); err != nil || !bytes.Equal(value, allowed) {
		t.Errorf("allowed %x, %v", value, err)
	}
	direct := device{load(t, softhsm.Module), d.Module, t, d.key, d.pin, d.slot}
	if value, err := direct.read(s, private, pkcs11.CKA_ALLOWED_MECHANISMS); err != nil || binary.NativeEndian.Uint64(value) != eddsa {
		t.Errorf("SoftHSM has it as %x, %v", value, err)
	}
}

func mechanisms(t *testing.T, d device) (list []uint) {
	t.Helper()
	all, err := d.GetMechanismList(d.slot)
	must(t, err)
	for _, m := range all {
		list = append(list, m.Mechanism)
	}
	slices.Sort(list)
	return list
}
