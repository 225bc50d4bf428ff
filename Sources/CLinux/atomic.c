#include "clinux_atomic.h"
