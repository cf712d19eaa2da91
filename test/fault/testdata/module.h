/* What module.c, the way of every call, and functions.c, what single functions do otherwise, share. */
#include <stddef.h>

#include "pkcs11go.h"

#include "control.h"

/* The bits of control.quirks, as in faults.go. */
enum quirk {
	RAW_POINT = 1, POINT_ON_PRIVATE = 2, NO_PUBLIC_OBJECT = 4, LOCAL_UNREPORTED = 8, NOT_LOCAL = 16,
	EXTRACTABLE = 32, ANY_MECHANISM = 64, FINAL_TRY = 128, COUNT_LOW = 256, NO_USER_PIN = 512,
	PARAMS_OID = 1024, PARAMS_PRINTABLE = 2048, PARAMS_GNU = 4096,
};

#define FN(name) ((offsetof(CK_FUNCTION_LIST, name) - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof(void *))
_Static_assert(FN(C_WaitForSlotEvent) == FUNCTIONS - 1, "functions of pkcs11f.h");

/* Every function of the list has a stand-in. */
#define CK_NEED_ARG_LIST 1
#define CK_PKCS11_FUNCTION_INFO(name) CK_RV our_##name
#include "pkcs11f.h"
#undef CK_NEED_ARG_LIST
#undef CK_PKCS11_FUNCTION_INFO

extern CK_FUNCTION_LIST *real;
extern struct control *control;

struct call {
	struct session *session; /* NULL: none, or one the module does not know */
	uint64_t epoch;          /* of its start below */
	int is_below;
};

CK_RV begin(struct call *, struct function *, CK_SESSION_HANDLE);
void come_up(struct call *);
CK_RV end(struct call *, CK_RV);
#define BEGIN(name, handle) struct call c; CK_RV rv = begin(&c, &control->functions[FN(name)], handle)

CK_RV unfit(void);

uint64_t now(void); /* CLOCK_MONOTONIC, ns */
void sleep_until(uint64_t);
uint64_t dice(uint64_t n);
