#include "core/redis.h"
