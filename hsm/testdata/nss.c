/*
 * NSS's softokn as a PKCS#11 module like others. Its C_Initialize wants the
 * directory of its database, and its libraries lie where the loader does not
 * look. Tests build it; see second_test.go.
 */
#include <dlfcn.h>
#include <stdio.h>

#include "pkcs11go.h"

static CK_FUNCTION_LIST_PTR softokn;
static CK_FUNCTION_LIST ours;

static CK_RV initialize(CK_VOID_PTR arguments)
{
	struct {
		CK_C_INITIALIZE_ARGS standard; /* its last field is LibraryParameters */
		CK_VOID_PTR reserved;
	} ours = {*(CK_C_INITIALIZE_ARGS *)arguments, NULL};
	ours.standard.pReserved = "configdir='sql:" DATABASE "' tokenDescription='none' dbTokenDescription='" TOKEN "'";
	return softokn->C_Initialize(&ours);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	static const char *const libraries[] = {LIBRARIES "/libnssutil3.so", LIBRARIES "/libmozsqlite3.so", LIBRARIES "/libsoftokn3.so"};
	void *library = NULL;
	for (int i = 0; i < 3; i++) {
		library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
		if (library == NULL) {
			fprintf(stderr, "%s\n", dlerror());
			return CKR_GENERAL_ERROR;
		}
	}
	CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
	CK_RV rv = get(&softokn);
	if (rv != CKR_OK)
		return rv;
	ours = *softokn;
	ours.C_Initialize = initialize;
	*list = &ours;
	return CKR_OK;
}
