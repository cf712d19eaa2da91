package hsm

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stddef.h>

// PKCS#11 base 2.40, as far as it is needed here.
typedef unsigned long CK_ULONG, CK_RV;
struct mechanism { CK_ULONG mechanism; void *parameter; CK_ULONG length; };
struct functions {
	unsigned char version[2];
	void (*before[42])(void);
	CK_RV (*sign_init)(CK_ULONG session, struct mechanism *, CK_ULONG key);
	CK_RV (*sign)(CK_ULONG session, const unsigned char *data, CK_ULONG length, unsigned char *signature, CK_ULONG *size);
};

// load gives a module's functions. On failure it returns NULL, with rv set if
// the module itself refused.
static struct functions *load(const char *path, CK_RV *rv) {
	struct functions *list = NULL;
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_RV (*get)(struct functions **) = library == NULL ? NULL : (CK_RV (*)(struct functions **))dlsym(library, "C_GetFunctionList");
	if (get == NULL || (*rv = get(&list)) != 0)
		return NULL;
	return list;
}

// sign_once makes one signature in one crossing. It does not ask for the size
// first: over a network that is a round trip more, and NSS gives a wrong one.
static CK_RV sign_once(struct functions *f, CK_ULONG session, CK_ULONG mechanism, CK_ULONG key,
		const unsigned char *data, CK_ULONG length, unsigned char *signature, CK_ULONG *size, int *begun) {
	struct mechanism m = {mechanism, NULL, 0};
	CK_RV rv = f->sign_init(session, &m, key);
	*begun = rv == 0;
	return rv != 0 ? rv : f->sign(session, data, length, signature, size);
}

#cgo noescape sign_once
#cgo nocallback sign_once
*/
import "C"

import (
	"crypto/ed25519"
	"fmt"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// functions are a module's C_SignInit and C_Sign. The binding for all else
// needs three crossings and a size query for what takes one here.
type functions struct{ list *C.struct_functions }

// loadFunctions loads a library for good. What is no module is found out here,
// before the binding, which would crash on it.
func loadFunctions(path string) (functions, error) {
	name := append([]byte(path), 0)
	var rv C.CK_RV
	list := C.load((*C.char)(unsafe.Pointer(&name[0])), &rv)
	switch {
	case list != nil:
		return functions{list}, nil
	case rv != 0:
		return functions{}, fmt.Errorf("PKCS#11 module %s: %w", path, failure("C_GetFunctionList", "", pkcs11.Error(rv)))
	}
	return functions{}, fmt.Errorf("PKCS#11 module %s cannot be loaded: it is not a PKCS#11 library for this machine, or a library it needs is missing (see ldd %[1]s)", path)
}

// sign makes a pure Ed25519 signature and verifies it before anyone sees it: a
// wrong one may come from a fault and give the key away. After an error the
// session may be stuck in the operation: close it.
func (s session) sign(key pkcs11.ObjectHandle, public ed25519.PublicKey, message []byte) ([]byte, error) {
	signature := make([]byte, ed25519.SignatureSize)
	size := C.CK_ULONG(len(signature))
	var begun C.int
	rv := C.sign_once(s.token.functions.list, C.CK_ULONG(s.handle), ckmEdDSA, C.CK_ULONG(key),
		(*C.uchar)(unsafe.SliceData(message)), C.CK_ULONG(len(message)), (*C.uchar)(unsafe.SliceData(signature)), &size, &begun)
	switch {
	case rv != 0 && begun == 0:
		return nil, s.failure("C_SignInit", pkcs11.Error(rv))
	case rv != 0:
		return nil, s.failure("C_Sign", pkcs11.Error(rv))
	case size != ed25519.SignatureSize || !ed25519.Verify(public, message, signature):
		return nil, fmt.Errorf("C_Sign on token %q: the signature does not verify with the expected public key: the token is faulty or holds another key: %w", s.token.info.Label, ErrStopped)
	}
	return signature, nil
}
