#include "core/keys.h"
