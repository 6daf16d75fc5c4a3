#include "core/conf.h"
