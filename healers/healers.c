#include "healers/healer.h"
