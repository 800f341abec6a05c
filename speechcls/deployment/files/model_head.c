/* See speechcls_model.h. */
#define SPEECHCLS_IMPLEMENTATION
#include "speechcls_model.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "speechcls_tables.h"

