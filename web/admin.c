#include "web/admin.h"
