#include "core/ci_event.h"
