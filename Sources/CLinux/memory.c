#include "clinux_memory.h"
